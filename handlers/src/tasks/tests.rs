//! The tasks function over the ports in memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::memory::{CountedIds, Fault, ManualClock, MemoryStore, Reply, request, send, with_header};
use crate::ports::{Attribute, Item, TTL};

type TestTasks = Tasks<MemoryStore, ManualClock, CountedIds>;

fn tasks() -> (TestTasks, MemoryStore, ManualClock) {
    let (store, clock) = (MemoryStore::new(KEY), ManualClock::new());
    (
        Tasks::new(store.clone(), clock.clone(), CountedIds::new(&clock), 1),
        store,
        clock,
    )
}

async fn created(tasks: &TestTasks, body: Value) -> Value {
    let reply = send(tasks, request("POST", "/tasks", body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["data"].clone()
}

fn path(task: &Value) -> String {
    format!("/tasks/{}", task["taskId"].as_str().unwrap())
}

/// What the lists show for each combination of filters must be what the tasks say.
async fn check_lists(tasks: &TestTasks, all: &[Value]) {
    for status in [None, Some("TODO"), Some("DONE")] {
        for tag in [None, Some("a"), Some("b")] {
            let mut target = "/tasks?limit=100".to_owned();
            status
                .iter()
                .for_each(|status| target.push_str(&format!("&status={status}")));
            tag.iter().for_each(|tag| target.push_str(&format!("&tag={tag}")));
            let matches = |task: &&Value| {
                let tags = task["tags"].as_array().cloned().unwrap_or_default();
                status.is_none_or(|status| task["status"] == status) && tag.is_none_or(|tag| tags.contains(&json!(tag)))
            };
            let wanted: Vec<&Value> = all.iter().filter(matches).collect();
            let reply = send(tasks, request("GET", &target, None)).await;
            assert_eq!(reply.body, json!({"items": wanted, "nextKey": null}), "{target}");
        }
    }
}

#[tokio::test]
async fn a_task_lives_and_goes() {
    let (tasks, store, clock) = tasks();
    let body = json!({"Title": " Buy milk ", "Description": "2 l", "Status": "In Progress", "priority": "high",
        "dueAt": "2026-12-01T10:00:00+02:00", "tags": ["a", " b ", "a"]});
    let reply = send(&tasks, request("POST", "/tasks", body)).await;
    let id = reply.body["taskId"].as_str().unwrap().to_owned();
    let data = json!({"taskId": id, "title": "Buy milk", "description": "2 l", "status": "IN_PROGRESS", "priority": "HIGH",
        "dueAt": "2026-12-01T08:00:00Z", "tags": ["a", "b"],
        "createdAt": "2025-11-20T23:31:15.123Z", "updatedAt": "2025-11-20T23:31:15.123Z"});
    assert_eq!(
        (reply.status, &reply.headers["location"]),
        (201, &format!("/tasks/{id}"))
    );
    assert_eq!(
        reply.body,
        json!({"message": "Task created successfully", "taskId": id, "data": data})
    );

    let reply = send(&tasks, request("GET", &path(&data), None)).await;
    assert_eq!(
        (reply.status, &reply.body, reply.headers["etag"].as_str()),
        (200, &data, "\"1\"")
    );
    check_lists(&tasks, std::slice::from_ref(&data)).await;

    clock.advance(1000);
    let change = json!({"status": "Completed", "tags": ["b"], "dueAt": null, "description": null, "TaskId": id});
    let reply = send(&tasks, request("PATCH", &path(&data), change)).await;
    let data = json!({"taskId": id, "title": "Buy milk", "status": "DONE", "priority": "HIGH", "tags": ["b"],
        "createdAt": "2025-11-20T23:31:15.123Z", "updatedAt": "2025-11-20T23:31:16.123Z"});
    assert_eq!((reply.status, reply.headers["etag"].as_str()), (200, "\"2\""));
    assert_eq!(
        reply.body,
        json!({"message": "Task updated successfully", "data": data})
    );
    check_lists(&tasks, std::slice::from_ref(&data)).await;

    let reply = send(&tasks, request("DELETE", &path(&data), None)).await;
    assert_eq!((reply.status, reply.body), (204, Value::Null));
    for method in ["GET", "DELETE"] {
        let reply = send(&tasks, request(method, &path(&data), None)).await;
        assert_eq!(reply.status, 404);
        assert_eq!(
            reply.body,
            json!({"error": "Not Found", "message": format!("Task with ID '{id}' not found"), "requestId": "request-1"})
        );
    }
    check_lists(&tasks, &[]).await;
    assert_eq!(store.keys(), ["directory"], "nothing is left of it");
}

#[tokio::test]
async fn defaults_and_absent_fields() {
    let (tasks, _, _) = tasks();
    let data = created(&tasks, json!({"title": "x", "description": null, "tags": []})).await;
    let names: Vec<&String> = data.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["taskId", "title", "status", "priority", "createdAt", "updatedAt"]
    );
    assert_eq!((&data["status"], &data["priority"]), (&json!("TODO"), &json!("MEDIUM")));
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let (tasks, store, _) = tasks();
    let data = created(&tasks, json!({"title": "x"})).await;
    store.calls.borrow_mut().clear();
    for body in [json!({}), json!({"title": " x "}), json!({"status": null})] {
        let reply = send(&tasks, request("PUT", &path(&data), body)).await;
        assert_eq!((reply.status, &reply.body["data"]), (200, &data));
    }
    assert!(!store.calls.borrow().contains(&"commit"));
}

#[tokio::test]
async fn what_a_body_may_not_be() {
    let (tasks, store, _) = tasks();
    let data = created(&tasks, json!({"title": "x"})).await;
    let cases = [
        (json!({}), "title"),
        (json!({"title": "  "}), "title"),
        (json!({"title": "x".repeat(201)}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"title": "a\u{0}b"}), "title"),
        (json!({"title": "x", "Title": "y"}), "title"),
        (json!({"title": "x", "description": "y".repeat(4001)}), "description"),
        (json!({"title": "x", "description": {"deep": []}}), "description"),
        (json!({"title": "x", "status": "LATER"}), "status"),
        (json!({"title": "x", "priority": "URGENT"}), "priority"),
        (json!({"title": "x", "dueAt": "tomorrow"}), "dueAt"),
        (json!({"title": "x", "dueAt": "2026-12-01"}), "dueAt"),
        (json!({"title": "x", "dueAt": "2026-02-30T00:00:00Z"}), "dueAt"),
        (json!({"title": "x", "dueAt": "2026-12-01T10:00:00"}), "dueAt"),
        (json!({"title": "x", "tags": "a"}), "tags"),
        (json!({"title": "x", "tags": ["a", 1]}), "tags"),
        (json!({"title": "x", "tags": [""]}), "tags"),
        (json!({"title": "x", "tags": ["y".repeat(51)]}), "tags"),
        (json!({"title": "x", "tags": vec!["y"; 21]}), "tags"),
        (json!({"title": "x", "titel": "y"}), "titel"),
        (json!({"title": "x", "taskId": data["taskId"]}), "taskId"),
        (json!({"title": "x", "TITLE": "y"}), "TITLE"),
    ];
    let before = store.keys();
    for (body, field) in cases {
        let reply = send(&tasks, request("POST", "/tasks", body.clone())).await;
        assert_eq!(
            (reply.status, &reply.body["error"]),
            (400, &json!("Validation Error")),
            "{body}"
        );
        assert!(
            reply.body["message"].as_str().unwrap().contains(&format!("'{field}'")),
            "{body}: {}",
            reply.body
        );
    }
    for (body, field) in [
        (json!({"title": null}), "title"),
        (json!({"taskId": "other"}), "taskId"),
        (json!({"createdAt": "x"}), "createdAt"),
    ] {
        let reply = send(&tasks, request("PATCH", &path(&data), body)).await;
        assert_eq!(reply.status, 400);
        assert!(
            reply.body["message"].as_str().unwrap().contains(&format!("'{field}'")),
            "{}",
            reply.body
        );
    }
    assert_eq!(store.keys(), before);
}

#[tokio::test]
async fn limits_are_inclusive_and_count_characters() {
    let (tasks, _, _) = tasks();
    let body = json!({"title": "é".repeat(200), "description": "日".repeat(4000), "tags": (0..20).map(|n| format!("{n:ü>50}")).collect::<Vec<_>>()});
    let data = created(&tasks, body).await;
    assert_eq!(data["tags"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn if_match_guards_changes() {
    let (tasks, _, _) = tasks();
    let data = created(&tasks, json!({"title": "x"})).await;
    let put = |tag: &str| with_header(request("PUT", &path(&data), json!({"title": "y"})), "if-match", tag);
    for stale in ["\"7\"", "1", "W/\"1\"", "\"2\", \"3\""] {
        let reply = send(&tasks, put(stale)).await;
        assert_eq!(
            (reply.status, &reply.body["error"]),
            (412, &json!("Precondition Failed")),
            "{stale}"
        );
    }
    assert_eq!(send(&tasks, put("\"7\", \"1\"")).await.headers["etag"], "\"2\"");
    assert_eq!(
        send(
            &tasks,
            with_header(request("DELETE", &path(&data), None), "if-match", "\"1\"")
        )
        .await
        .status,
        412
    );
    assert_eq!(
        send(
            &tasks,
            with_header(request("DELETE", &path(&data), None), "if-match", "*")
        )
        .await
        .status,
        204
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_run_again_without_if_match_and_412_with_it() {
    let (tasks, store, _) = tasks();
    let data = created(&tasks, json!({"title": "x"})).await;
    let key = data["taskId"].as_str().unwrap().to_owned();
    let overtake = |revision: i64| {
        let set = Item::default()
            .with("description", "theirs")
            .with("revision", revision + 1);
        Fault::Overtaken(vec![Write::Update {
            key: key.clone(),
            set,
            remove: vec![],
            when: Condition::Revision(revision),
        }])
    };
    *store.faults.borrow_mut() = vec![overtake(1), Fault::Contended];
    let reply = send(&tasks, request("PUT", &path(&data), json!({"title": "y"}))).await;
    assert_eq!(
        (&reply.body["data"]["title"], &reply.body["data"]["description"]),
        (&json!("y"), &json!("theirs"))
    );
    assert_eq!(reply.headers["etag"], "\"3\"");
    *store.faults.borrow_mut() = vec![overtake(3)];
    let reply = send(
        &tasks,
        with_header(request("PUT", &path(&data), json!({"title": "z"})), "if-match", "\"3\""),
    )
    .await;
    assert_eq!(reply.status, 412);
}

#[tokio::test]
async fn throttling_is_503_and_opens_more_partitions() {
    let (tasks, store, clock) = tasks();
    created(&tasks, json!({"title": "x"})).await;
    *store.faults.borrow_mut() = vec![Fault::Throttled];
    let reply = send(&tasks, request("POST", "/tasks", json!({"title": "y"}))).await;
    assert_eq!((reply.status, reply.headers["retry-after"].as_str()), (503, "1"));
    assert_eq!(reply.body["error"], "Unavailable");
    let Some(Attribute::Set(opened)) = store.item("directory").unwrap().0.remove("partitions") else {
        panic!("no directory")
    };
    assert_eq!(
        opened.into_iter().collect::<Vec<_>>(),
        ["2025-11/0", "2025-11/1@1763681495"]
    );
    clock.advance(20_000);
    for _ in 0..16 {
        created(&tasks, json!({"title": "z"})).await;
    }
    let used: BTreeSet<String> = store
        .keys()
        .iter()
        .filter_map(|key| Some(store.item(key)?.text("listPartition")?.to_owned()))
        .collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["all/2025-11/0", "all/2025-11/1"]);
    let reply = send(&tasks, request("GET", "/tasks", None)).await;
    assert_eq!(reply.body["items"].as_array().unwrap().len(), 17);
}

#[tokio::test]
async fn what_fails_inside_stays_inside() {
    let (tasks, store, _) = tasks();
    *store.faults.borrow_mut() = vec![Fault::Failed];
    let reply = send(&tasks, request("POST", "/tasks", json!({"title": "y"}))).await;
    let body = json!({"error": "Internal Server Error", "message": "An unexpected error occurred. Please try again later.", "requestId": "request-1"});
    assert_eq!((reply.status, reply.body), (500, body));
}

fn keyed(body: Value, key: &str) -> Request {
    with_header(request("POST", "/tasks", body), "idempotency-key", key)
}

#[tokio::test]
async fn the_same_key_and_body_is_answered_once_and_for_a_day() {
    let (tasks, store, clock) = tasks();
    let first = send(&tasks, keyed(json!({"title": "x", "tags": ["a"]}), "k")).await;
    clock.advance(23 * 3600 * 1000);
    assert_eq!(
        send(&tasks, keyed(json!({"title": "x", "tags": ["a"]}), "k")).await,
        first
    );
    let other = send(&tasks, keyed(json!({"title": "y"}), "k")).await;
    assert_eq!((other.status, &other.body["error"]), (422, &json!("Unprocessable")));
    assert_eq!(
        send(&tasks, keyed(json!({"titel": 7}), "k")).await.status,
        422,
        "also when it is not valid"
    );
    let kept = store
        .keys()
        .into_iter()
        .find(|key| key.starts_with("idempotency#"))
        .unwrap();
    assert_eq!(store.item(&kept).unwrap().number(TTL), Some(1_763_681_475 + 24 * 3600));
    clock.advance(3600 * 1000);
    let later = send(&tasks, keyed(json!({"title": "y"}), "k")).await;
    assert_eq!(later.status, 201, "expired, though not deleted yet");
    assert_ne!(later.body["taskId"], first.body["taskId"]);
}

#[tokio::test]
async fn only_what_was_done_is_kept_for_a_key() {
    let (tasks, store, _) = tasks();
    assert_eq!(send(&tasks, keyed(json!({"title": ""}), "k")).await.status, 400);
    *store.faults.borrow_mut() = vec![Fault::Failed];
    assert_eq!(send(&tasks, keyed(json!({"title": "x"}), "k")).await.status, 500);
    assert_eq!(send(&tasks, keyed(json!({"title": "y"}), "k")).await.status, 201);
    for bad in ["", " ", "é", "a\u{1}"] {
        assert_eq!(
            send(&tasks, keyed(json!({"title": "y"}), bad)).await.status,
            400,
            "{bad:?}"
        );
    }
    assert_eq!(
        send(&tasks, keyed(json!({"title": "y"}), &"k".repeat(256)))
            .await
            .status,
        400
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_at_once_one_is_done() {
    let (tasks, store, clock) = tasks();
    // The other one commits between this one's start and its transaction.
    let rival = Tasks::new(store.clone(), clock.clone(), tasks.ids.clone(), 1);
    let first = send(&rival, keyed(json!({"title": "x"}), "k")).await;
    *store.faults.borrow_mut() = vec![Fault::Contended, Fault::Contended];
    assert_eq!(send(&tasks, keyed(json!({"title": "x"}), "k")).await, first);
    assert_eq!(store.keys().len(), 3, "directory, task, kept answer");
}

#[tokio::test]
async fn a_page_by_page_walk() {
    let (tasks, _, clock) = tasks();
    let mut ids = Vec::new();
    for number in 0..45 {
        // Over seven months, several in one millisecond.
        clock.advance(if number % 3 == 0 { 13 * 24 * 3600 * 1000 } else { 0 });
        ids.push(
            created(&tasks, json!({"title": number.to_string()})).await["taskId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    ids.sort();
    ids.reverse();
    let mut walked: Vec<String> = Vec::new();
    let mut target = "/tasks".to_owned();
    for page in [20, 20, 5] {
        let Reply { body, .. } = send(&tasks, request("GET", &target, None)).await;
        let shown: Vec<String> = body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["taskId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(shown.len(), page);
        assert_eq!(body["nextKey"], if page == 20 { json!(shown[19]) } else { Value::Null });
        target = format!("/tasks?lastKey={}", shown[page - 1].to_uppercase());
        walked.extend(shown);
    }
    assert_eq!(walked, ids);
}

#[tokio::test]
async fn an_index_that_lags_shows_nothing_wrong_and_no_short_page() {
    let (tasks, store, _) = tasks();
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(
            created(&tasks, json!({"title": "x", "tags": ["a"]})).await["taskId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    all.sort();
    // One is done, one deleted, one without its tag, and the indexes have not heard of it.
    let [_, changed, .., deleted, untagged] = &all[..] else {
        panic!("seven tasks")
    };
    let set = |item: Item, remove: &[&str]| Write::Update {
        key: String::new(),
        set: item,
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        when: Condition::Always,
    };
    let at = |write: Write, id: &str| match write {
        Write::Update { set, remove, when, .. } => Write::Update {
            key: id.to_owned(),
            set,
            remove,
            when,
        },
        other => other,
    };
    store
        .commit(&[
            at(set(Item::default().with("status", "DONE"), &[]), changed),
            at(set(Item::default(), &["tags"]), untagged),
            at(set(Item::default(), &["title"]), deleted),
        ])
        .await
        .unwrap();
    let reply = send(&tasks, request("GET", "/tasks?status=TODO&tag=a&limit=3", None)).await;
    let shown: Vec<&str> = reply.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["taskId"].as_str().unwrap())
        .collect();
    assert_eq!(shown, [&all[4], &all[3], &all[2]]);
    assert_eq!(reply.body["nextKey"], json!(all[2]));
}

#[tokio::test]
async fn a_cursor_may_lie_beyond_either_end() {
    let (tasks, _, _) = tasks();
    let data = created(&tasks, json!({"title": "x"})).await;
    for (cursor, items) in [
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", json!([data])),
        ("00000000-0000-7000-8000-000000000000", json!([])),
    ] {
        let reply = send(&tasks, request("GET", &format!("/tasks?lastKey={cursor}"), None)).await;
        assert_eq!(reply.body, json!({"items": items, "nextKey": null}));
    }
}

#[tokio::test]
async fn what_a_list_may_not_be_asked() {
    let (tasks, _, _) = tasks();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=1", "limit"),
        ("lastKey=7", "lastKey"),
        ("lastKey=", "lastKey"),
        ("lastKey=6f9619ff-8b86-4011-b42d-00cf4fc964ff", "lastKey"),
        ("status=LATER", "status"),
        ("tag=", "tag"),
        ("tag=%00", "tag"),
        ("tag=%ff", "tag"),
        ("lastKey=directory", "lastKey"),
    ] {
        let reply = send(&tasks, request("GET", &format!("/tasks?{query}"), None)).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(
            reply.body["message"].as_str().unwrap().contains(&format!("'{field}'")),
            "{query}: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn no_route_leads_to_an_item_that_is_no_task() {
    let (tasks, store, _) = tasks();
    let data = created(&tasks, json!({"title": "x", "tags": ["a"]})).await;
    assert_eq!(send(&tasks, keyed(json!({"title": "x"}), "k")).await.status, 201);
    for key in store.keys().into_iter().filter(|key| key.len() != 36) {
        for method in ["GET", "PUT", "DELETE"] {
            let mut asked = request(method, "/tasks/x", json!({}));
            asked.route_key = format!("{method} /tasks/{{taskId}}");
            asked.path_parameters.insert("taskId".to_owned(), key.clone());
            assert_eq!(send(&tasks, asked).await.status, 404, "{method} {key}");
        }
    }
    assert_eq!(send(&tasks, request("GET", &path(&data), None)).await.status, 200);
}

#[tokio::test]
async fn an_unfiltered_page_costs_one_query_however_many_tasks_there_are() {
    let (tasks, store, _) = tasks();
    for number in 0..300 {
        created(
            &tasks,
            json!({"title": number.to_string(), "tags": [if number == 0 { "rare" } else { "common" }]}),
        )
        .await;
    }
    store.calls.borrow_mut().clear();
    send(&tasks, request("GET", "/tasks?limit=20", None)).await;
    assert_eq!(*store.calls.borrow(), ["query"]);
    store.calls.borrow_mut().clear();
    let reply = send(&tasks, request("GET", "/tasks?limit=20&tag=rare&status=Open", None)).await;
    assert_eq!(reply.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(*store.calls.borrow(), ["query", "get_many"]);
}

/// What happens to the table while someone walks it.
#[derive(Debug, Clone)]
enum Event {
    Create {
        after_millis: i64,
        done: bool,
        tagged: bool,
    },
    Delete(usize),
    Flip(usize),
    Retag(usize),
    Page,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (prop_oneof![Just(0_i64), 0..5_i64, 0..40 * 24 * 3600 * 1000_i64], any::<bool>(), any::<bool>())
            .prop_map(|(after_millis, done, tagged)| Event::Create { after_millis, done, tagged }),
        1 => any::<usize>().prop_map(Event::Delete),
        1 => any::<usize>().prop_map(Event::Flip),
        1 => any::<usize>().prop_map(Event::Retag),
        3 => Just(Event::Page),
    ]
}

/// A model of what must be shown: which tasks matched from the walk's start to its end.
#[derive(Default)]
struct Walked {
    shown: Vec<String>,
    constant: BTreeSet<String>,
    next: Option<String>,
    ended: bool,
}

fn status_of(done: bool) -> &'static str {
    if done { "DONE" } else { "TODO" }
}

async fn walk_while_things_change(
    before: Vec<Event>,
    during: Vec<Event>,
    limit: usize,
    partitions: usize,
    status: bool,
    tag: bool,
) {
    let (store, clock) = (MemoryStore::new(KEY), ManualClock::new());
    let tasks = Tasks::new(store.clone(), clock.clone(), CountedIds::new(&clock), partitions);
    // id → (done, tagged)
    let mut model: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let matches = |state: &(bool, bool)| (!status || state.0) && (!tag || state.1);
    let mut walk = Walked::default();
    let events = before
        .into_iter()
        .filter(|event| !matches!(event, Event::Page))
        .map(|event| (false, event));
    let mut begun = false;
    for (walking, event) in events
        .chain(during.into_iter().map(|event| (true, event)))
        .chain((0..400).map(|_| (true, Event::Page)))
    {
        if walking && !begun {
            begun = true;
            walk.constant = model
                .iter()
                .filter(|(_, state)| matches(state))
                .map(|(id, _)| id.clone())
                .collect();
        }
        let pick = |at: usize| model.keys().nth(at % model.len().max(1)).cloned();
        match event {
            Event::Create {
                after_millis,
                done,
                tagged,
            } => {
                clock.advance(after_millis);
                let tags: &[&str] = if tagged { &["a", "z"] } else { &["z"] };
                let data = created(&tasks, json!({"title": "t", "status": status_of(done), "tags": tags})).await;
                model.insert(data["taskId"].as_str().unwrap().to_owned(), (done, tagged));
            }
            Event::Delete(at) => {
                let Some(id) = pick(at) else { continue };
                assert_eq!(
                    send(&tasks, request("DELETE", &format!("/tasks/{id}"), None))
                        .await
                        .status,
                    204
                );
                model.remove(&id);
                walk.constant.remove(&id);
            }
            Event::Flip(at) | Event::Retag(at) => {
                let Some(id) = pick(at) else { continue };
                let state = model.get_mut(&id).unwrap();
                let body = match event {
                    Event::Flip(_) => {
                        state.0 = !state.0;
                        json!({"status": status_of(state.0)})
                    }
                    _ => {
                        state.1 = !state.1;
                        json!({"tags": if state.1 { vec!["a"] } else { vec!["y", "z"] }})
                    }
                };
                assert_eq!(
                    send(&tasks, request("PUT", &format!("/tasks/{id}"), body)).await.status,
                    200
                );
                if !matches(&model[&id]) {
                    walk.constant.remove(&id);
                }
            }
            Event::Page if walk.ended => {}
            Event::Page => {
                let mut target = format!("/tasks?limit={limit}");
                walk.next
                    .iter()
                    .for_each(|next| target.push_str(&format!("&lastKey={next}")));
                if status {
                    target.push_str("&status=DONE");
                }
                if tag {
                    target.push_str("&tag=a");
                }
                store.calls.borrow_mut().clear();
                let Reply { body, .. } = send(&tasks, request("GET", &target, None)).await;
                let items = body["items"].as_array().unwrap();
                for task in items {
                    let id = task["taskId"].as_str().unwrap();
                    assert!(matches(&model[id]), "a task that does not match is not shown");
                    walk.shown.push(id.to_owned());
                }
                walk.next = body["nextKey"].as_str().map(str::to_owned);
                walk.ended = walk.next.is_none();
                let spent = reads(&store) >= 40;
                assert!(
                    walk.ended || items.len() == limit || spent,
                    "only the last page is short, and one that has read all it may"
                );
                assert!(
                    walk.ended || walk.next == walk.shown.last().cloned() || spent,
                    "nextKey is the last id shown"
                );
            }
        }
    }
    assert!(walk.ended, "the walk ends");
    assert!(
        walk.shown.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, nothing twice"
    );
    let shown: BTreeSet<&String> = walk.shown.iter().collect();
    for id in &walk.constant {
        assert!(shown.contains(id), "{id} was there all the time and was skipped");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_sees_everything_that_stays_once(
        before in prop::collection::vec(event(), 0..60),
        during in prop::collection::vec(event(), 0..60),
        limit in 1_usize..8,
        partitions in prop_oneof![Just(1_usize), Just(3)],
        status: bool,
        tag: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(walk_while_things_change(before, during, limit, partitions, status, tag));
    }
}

/// Opens `partitions` list partitions in each of the months before the clock's.
async fn open_months(store: &MemoryStore, months: i16, partitions: usize) {
    let members = (0..months).flat_map(|back| {
        let (year, month) = (2025 - back / 12, 11 - back % 12);
        let (year, month) = if month < 1 {
            (year - 1, month + 12)
        } else {
            (year, month)
        };
        (0..partitions).map(move |number| format!("{year}-{month:02}/{number}@1"))
    });
    store
        .extend_set("directory", "partitions", members.collect())
        .await
        .unwrap();
}

/// Reads of one request, the directory's apart.
fn reads(store: &MemoryStore) -> usize {
    let calls = store.calls.borrow();
    calls
        .iter()
        .filter(|call| matches!(**call, "query" | "get_many"))
        .count()
}

/// One list over ten years of 16 partitions a month: 1,920 of them, none with a task of that tag but the oldest.
#[tokio::test]
async fn a_request_reads_a_bounded_number_of_partitions_and_says_where_to_go_on() {
    let (tasks, store, clock) = tasks();
    clock.advance(-119 * 30 * 24 * 3600 * 1000);
    let old = created(&tasks, json!({"title": "x", "tags": ["rare"]})).await;
    clock.advance(119 * 30 * 24 * 3600 * 1000);
    open_months(&store, 120, 16).await;
    let mut target = "/tasks?tag=rare".to_owned();
    let (mut pages, mut most, mut found) = (0, 0, Vec::new());
    loop {
        store.calls.borrow_mut().clear();
        let Reply { status, body, .. } = send(&tasks, request("GET", &target, None)).await;
        assert_eq!(status, 200);
        most = most.max(reads(&store));
        assert!(most <= 49, "{most} reads for one request");
        found.extend(body["items"].as_array().unwrap().clone());
        pages += 1;
        let Some(next) = body["nextKey"].as_str() else { break };
        assert!(RecordId::parse(next).is_some(), "{next} is no id");
        target = format!("/tasks?tag=rare&lastKey={next}");
    }
    assert_eq!(found, [old]);
    assert_eq!(pages, 40, "no partition is read twice");
}

#[tokio::test]
async fn a_deleted_task_takes_its_kept_answer_along() {
    let (tasks, store, clock) = tasks();
    let asked = || keyed(json!({"title": "x", "tags": ["a"]}), "k");
    let first = send(&tasks, asked()).await.body["data"].clone();
    assert_eq!(send(&tasks, request("DELETE", &path(&first), None)).await.status, 204);
    assert_eq!(store.keys(), ["directory"], "nothing is left of it");
    // A key that was reused by then belongs to another request.
    let second = send(&tasks, asked()).await.body["data"].clone();
    clock.advance(24 * 3600 * 1000);
    let third = send(&tasks, asked()).await;
    assert_ne!(third.body["taskId"], second["taskId"]);
    assert_eq!(send(&tasks, request("DELETE", &path(&second), None)).await.status, 204);
    assert_eq!(send(&tasks, asked()).await, third);
}
