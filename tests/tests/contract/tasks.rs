//! Tasks.

use serde_json::{Value, json};

use super::{Deployed, at_once, check_error, unique};

#[test]
fn a_task_is_created_read_changed_and_deleted() {
    let api = Deployed::shared();
    let created = api
        .post(
            "/tasks",
            &json!({"title": "  water the plants  ", "description": "all of them", "dueAt": "2027-01-02T03:04:05Z", "tags": ["home"]}),
        )
        .expect(201);
    let body = created.json();
    let id = body["taskId"].as_str().unwrap().to_owned();
    assert!(created.header("location").ends_with(&format!("/tasks/{id}")));
    assert!(body["message"].as_str().unwrap().ends_with("created successfully"));
    let data = &body["data"];
    assert_eq!(
        (&data["taskId"], &data["title"], &data["status"], &data["priority"]),
        (&json!(id), &json!("water the plants"), &json!("TODO"), &json!("MEDIUM"))
    );
    assert_eq!(id.as_bytes()[14], b'7', "ids are UUIDv7");

    let read = api.get(&format!("/tasks/{id}")).expect(200);
    assert_eq!(read.json(), *data);
    let etag = read.header("etag").to_owned();
    assert!(!etag.is_empty());

    let changed = api
        .put(
            &format!("/tasks/{id}"),
            &json!({"status": "IN_PROGRESS", "description": null}),
        )
        .expect(200)
        .json();
    assert!(changed["message"].as_str().unwrap().ends_with("updated successfully"));
    assert_eq!(changed["data"]["status"], "IN_PROGRESS");
    assert_eq!(changed["data"]["title"], "water the plants");
    assert!(changed["data"].get("description").is_none(), "null clears");
    assert_ne!(api.get(&format!("/tasks/{id}")).header("etag"), etag);

    let patched = api
        .with_json("PATCH", &format!("/tasks/{id}"), &[], &json!({"priority": "HIGH"}))
        .expect(200)
        .json();
    assert_eq!(
        (&patched["data"]["priority"], &patched["data"]["status"]),
        (&json!("HIGH"), &json!("IN_PROGRESS"))
    );

    let gone = api.delete(&format!("/tasks/{id}")).expect(204);
    assert_eq!(gone.text, "");
    let missing = api.get(&format!("/tasks/{id}")).expect(404);
    check_error(&missing, "Not Found");
    assert_eq!(missing.json()["message"], format!("Task with ID '{id}' not found"));
    api.delete(&format!("/tasks/{id}")).expect(404);
    api.put(&format!("/tasks/{id}"), &json!({"title": "x"})).expect(404);
}

#[test]
fn either_vocabulary_is_understood_and_one_is_spoken() {
    let api = Deployed::shared();
    for (written, spoken) in [
        ("Open", "TODO"),
        ("in progress", "IN_PROGRESS"),
        ("COMPLETED", "DONE"),
        ("done", "DONE"),
    ] {
        let made = api
            .post(
                "/tasks",
                &json!({"Title": "pascal", "Description": "case", "Status": written}),
            )
            .expect(201)
            .json();
        assert_eq!(
            (&made["data"]["status"], &made["data"]["title"]),
            (&json!(spoken), &json!("pascal"))
        );
    }
    check_error(
        &api.post("/tasks", &json!({"title": "x", "status": "LATER"}))
            .expect(400),
        "Validation Error",
    );
}

#[test]
fn limits_are_kept_to_the_character() {
    let api = Deployed::shared();
    let wrong = [
        json!({}),
        json!({"title": ""}),
        json!({"title": "   "}),
        json!({"title": "x".repeat(201)}),
        json!({"title": "x", "description": "x".repeat(4001)}),
        json!({"title": "x", "priority": "URGENT"}),
        json!({"title": "x", "dueAt": "tomorrow"}),
        json!({"title": "x", "tags": vec!["t"; 21]}),
        json!({"title": "x", "tags": ["t".repeat(51)]}),
        json!({"title": "x", "owner": "me"}),
        json!({"title": 5}),
        json!(["title"]),
    ];
    for body in wrong {
        check_error(&api.post("/tasks", &body).expect(400), "Validation Error");
    }
    let tags: Vec<String> = (0..20).map(|number| format!("{number:050}")).collect();
    let most = json!({"title": "ü".repeat(200), "description": "d".repeat(4000), "tags": tags});
    api.post("/tasks", &most).expect(201);
}

#[test]
fn of_sixteen_writers_with_the_same_etag_one_wins() {
    let api = Deployed::shared();
    let made = api.post("/tasks", &json!({"title": "contended"})).expect(201).json();
    let path = format!("/tasks/{}", made["taskId"].as_str().unwrap());
    let etag = api.get(&path).header("etag").to_owned();
    let answers = at_once(|number| {
        let body = json!({"title": format!("writer {number}")});
        api.with_json("PUT", &path, &[("if-match", &etag)], &body).status
    });
    assert_eq!(
        answers.iter().filter(|status| **status == 200).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|status| **status == 412).count(),
        15,
        "{answers:?}"
    );
    check_error(
        &api.with_json("PUT", &path, &[("if-match", &etag)], &json!({"title": "late"})),
        "Precondition Failed",
    );
}

#[test]
fn lists_are_newest_first_filtered_and_paged_without_gaps() {
    let api = Deployed::shared();
    let tag = unique("page");
    let made: Vec<String> = (0..25)
        .map(|number| {
            let status = if number % 2 == 0 { "TODO" } else { "DONE" };
            let body = json!({"title": format!("{number}"), "tags": [tag], "status": status});
            api.post("/tasks", &body).expect(201).json()["taskId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let ids = |items: &[Value]| -> Vec<String> {
        items
            .iter()
            .map(|item| item["taskId"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    let (items, sizes) = api.walk(&format!("/tasks?tag={tag}"), 10);
    assert_eq!(ids(&items), newest_first);
    assert_eq!(sizes, [10, 10, 5], "no page is short while more match");
    let (done, sizes) = api.walk(&format!("/tasks?tag={tag}&status=Completed"), 5);
    assert_eq!((done.len(), sizes), (12, vec![5, 5, 2]));
    assert!(done.iter().all(|item| item["status"] == "DONE"));

    // The key's task may be gone: the walk goes on at its place.
    let first = api.get(&format!("/tasks?tag={tag}&limit=10")).expect(200).json();
    let key = first["nextKey"].as_str().unwrap().to_owned();
    assert_eq!(key, newest_first[9]);
    api.delete(&format!("/tasks/{key}")).expect(204);
    let second = api
        .get(&format!("/tasks?tag={tag}&limit=10&lastKey={key}"))
        .expect(200)
        .json();
    assert_eq!(ids(second["items"].as_array().unwrap()), newest_first[10..20]);
    for wrong in ["limit=0", "limit=101", "limit=x", "lastKey=x", "status=LATER"] {
        check_error(&api.get(&format!("/tasks?{wrong}")).expect(400), "Validation Error");
    }
}

#[test]
fn a_walk_meets_every_task_once_while_others_come_and_go() {
    let api = Deployed::shared();
    let tag = unique("walk");
    let make = |title: String| {
        api.post("/tasks", &json!({"title": title, "tags": [tag]}))
            .expect(201)
            .json()["taskId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut standing: Vec<String> = (0..40).map(|number| make(format!("{number}"))).collect();
    // A fixed sequence that looks random: what is deleted, and where the walk is meanwhile.
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let (mut met, mut key, mut deleted) = (Vec::new(), None::<String>, Vec::new());
    loop {
        let last = key.as_ref().map(|key| format!("&lastKey={key}")).unwrap_or_default();
        let page = api.get(&format!("/tasks?tag={tag}&limit=7{last}")).expect(200).json();
        let items = page["items"].as_array().unwrap();
        met.extend(items.iter().map(|item| item["taskId"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextKey"].as_str() else { break };
        assert_eq!(items.len(), 7, "a page is short while more match");
        key = Some(next.to_owned());
        let victim = standing.remove(random(standing.len()));
        api.delete(&format!("/tasks/{victim}")).expect(204);
        deleted.push(victim);
        make("a newcomer".to_owned());
    }
    let unique: std::collections::BTreeSet<&String> = met.iter().collect();
    assert_eq!(unique.len(), met.len(), "something came twice");
    for id in &standing {
        assert!(unique.contains(id), "{id} was skipped");
    }
}
