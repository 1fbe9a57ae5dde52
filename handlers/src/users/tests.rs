//! The users function over the ports in memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::memory::{CountedIds, Fault, ManualClock, MemoryStore, Reply, request, send, with_header};

type TestUsers = Users<MemoryStore, ManualClock, CountedIds>;

fn users() -> (TestUsers, MemoryStore, ManualClock) {
    let (store, clock) = (MemoryStore::new(KEY), ManualClock::new());
    (
        Users::new(store.clone(), clock.clone(), CountedIds::new(&clock), 1),
        store,
        clock,
    )
}

async fn post(users: &TestUsers, body: Value) -> Reply {
    send(users, request("POST", "/users", body)).await
}

async fn created(users: &TestUsers, email: &str) -> Value {
    let reply = post(users, json!({"email": email, "name": "N"})).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["data"].clone()
}

fn path(user: &Value) -> String {
    format!("/users/{}", user["userId"].as_str().unwrap())
}

#[tokio::test]
async fn a_user_lives_and_goes() {
    let (users, store, clock) = users();
    let reply = post(
        &users,
        json!({"Email": "Ann@Example.com", "Name": " Ann ", "Department": "R&D"}),
    )
    .await;
    let id = reply.body["userId"].as_str().unwrap().to_owned();
    let data = json!({"userId": id, "email": "ann@example.com", "name": "Ann", "department": "R&D",
        "createdAt": 1_763_681_475_123_i64, "updatedAt": 1_763_681_475_123_i64});
    assert_eq!(
        (reply.status, &reply.headers["location"]),
        (201, &format!("/users/{id}"))
    );
    assert_eq!(
        reply.body,
        json!({"message": "User created successfully", "userId": id, "data": data})
    );
    assert_eq!(send(&users, request("GET", &path(&data), None)).await.body, data);
    let listed = json!({"items": [data], "nextKey": null});
    assert_eq!(
        send(&users, request("GET", "/users?email=ANN%40example.com", None))
            .await
            .body,
        listed
    );
    assert_eq!(send(&users, request("GET", "/users", None)).await.body, listed);

    clock.advance(5);
    let change = json!({"email": "ann@example.org", "department": null, "ttl": 1_900_000_000});
    let reply = send(&users, request("PUT", &path(&data), change)).await;
    let data = json!({"userId": id, "email": "ann@example.org", "name": "Ann", "createdAt": 1_763_681_475_123_i64,
        "updatedAt": 1_763_681_475_128_i64, "ttl": 1_900_000_000});
    assert_eq!((reply.status, reply.headers["etag"].as_str()), (200, "\"2\""));
    assert_eq!(
        reply.body,
        json!({"message": "User updated successfully", "data": data})
    );

    assert_eq!(send(&users, request("DELETE", &path(&data), None)).await.status, 204);
    let reply = send(&users, request("GET", &path(&data), None)).await;
    assert_eq!(
        (reply.status, &reply.body["message"]),
        (404, &json!(format!("User with ID '{id}' not found")))
    );
    assert_eq!(
        store.keys(),
        ["directory"],
        "nothing is left of it, nor of its addresses"
    );
}

#[tokio::test]
async fn an_address_belongs_to_one_user() {
    let (users, _, _) = users();
    let ann = created(&users, "ann@example.com").await;
    created(&users, "bob@example.com").await;
    for taken in ["ann@example.com", "ANN@EXAMPLE.COM"] {
        let reply = post(&users, json!({"email": taken, "name": "X"})).await;
        assert_eq!((reply.status, &reply.body["error"]), (409, &json!("Conflict")));
        assert!(!reply.body["message"].as_str().unwrap().to_lowercase().contains("ann"));
    }
    assert_eq!(
        send(&users, request("PUT", &path(&ann), json!({"email": "Bob@example.com"})))
            .await
            .status,
        409
    );
    assert_eq!(
        send(&users, request("PUT", &path(&ann), json!({"email": "Ann@Example.COM"})))
            .await
            .headers["etag"],
        "\"1\""
    );
    assert_eq!(
        send(&users, request("PUT", &path(&ann), json!({"email": "ann@example.org"})))
            .await
            .status,
        200
    );
    created(&users, "ann@example.com").await;
    assert_eq!(send(&users, request("DELETE", &path(&ann), None)).await.status, 204);
    created(&users, "ann@example.org").await;
}

#[tokio::test]
async fn a_user_whose_time_is_over_is_gone_before_dynamodb_deletes_it() {
    let (users, store, clock) = users();
    let soon = 1_763_681_475 + 60;
    let reply = post(&users, json!({"email": "ann@example.com", "name": "Ann", "ttl": soon})).await;
    let ann = reply.body["data"].clone();
    clock.advance(60_000);
    assert_eq!(send(&users, request("GET", &path(&ann), None)).await.status, 404);
    assert_eq!(
        send(&users, request("GET", "/users", None)).await.body["items"],
        json!([])
    );
    assert_eq!(
        send(&users, request("GET", "/users?email=ann@example.com", None))
            .await
            .body["items"],
        json!([])
    );
    let again = created(&users, "ann@example.com").await;
    assert_eq!(
        send(&users, request("GET", "/users?email=ann@example.com", None))
            .await
            .body["items"],
        json!([again])
    );
    assert_eq!(store.keys().len(), 4, "directory, both users, one reservation");
}

#[tokio::test]
async fn a_changed_ttl_reaches_the_reservation() {
    let (users, store, _) = users();
    let ann = created(&users, "ann@example.com").await;
    send(&users, request("PUT", &path(&ann), json!({"ttl": 1_900_000_000}))).await;
    assert_eq!(
        store.item("email#ann@example.com").unwrap().number("ttl"),
        Some(1_900_000_000)
    );
    send(&users, request("PUT", &path(&ann), json!({"ttl": null}))).await;
    assert_eq!(store.item("email#ann@example.com").unwrap().number("ttl"), None);
}

#[tokio::test]
async fn what_a_body_may_not_be() {
    let (users, store, _) = users();
    for (body, field) in [
        (json!({"name": "x"}), "email"),
        (json!({"email": "x", "name": "x"}), "email"),
        (json!({"email": ["a@b.co"], "name": "x"}), "email"),
        (json!({"email": "a@b.co"}), "name"),
        (json!({"email": "a@b.co", "name": " "}), "name"),
        (json!({"email": "a@b.co", "name": "x".repeat(201)}), "name"),
        (json!({"email": "a@b.co", "name": "x", "department": 1}), "department"),
        (json!({"email": "a@b.co", "name": "x", "ttl": 1}), "ttl"),
        (json!({"email": "a@b.co", "name": "x", "ttl": "1900000000"}), "ttl"),
        (json!({"email": "a@b.co", "name": "x", "ttl": 1.5}), "ttl"),
        (
            json!({"email": "a@b.co", "name": "x", "ttl": 1_900_000_000_000_i64}),
            "ttl",
        ),
        (json!({"email": "a@b.co", "name": "x", "role": "admin"}), "role"),
        (json!({"email": "a@b.co", "name": "x", "userId": "y"}), "userId"),
    ] {
        let reply = post(&users, body.clone()).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(
            reply.body["message"].as_str().unwrap().contains(&format!("'{field}'")),
            "{body}: {}",
            reply.body
        );
    }
    assert_eq!(store.keys(), [""; 0]);
}

#[tokio::test]
async fn the_same_key_answers_the_same_user_and_not_409() {
    let (users, _, _) = users();
    let keyed = |email: &str| {
        with_header(
            request("POST", "/users", json!({"email": email, "name": "x"})),
            "idempotency-key",
            "k",
        )
    };
    let first = send(&users, keyed("a@b.co")).await;
    assert_eq!(
        (first.status, send(&users, keyed("a@b.co")).await),
        (201, first.clone())
    );
    assert_eq!(send(&users, keyed("c@b.co")).await.status, 422);
    assert_eq!(
        send(&users, with_header(keyed("a@b.co"), "idempotency-key", "other"))
            .await
            .status,
        409
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_run_again() {
    let (users, store, _) = users();
    let ann = created(&users, "ann@example.com").await;
    let key = ann["userId"].as_str().unwrap().to_owned();
    let set = crate::ports::Item::default().with("name", "theirs").with("revision", 2);
    let theirs = Write::Update {
        key,
        set,
        remove: vec![],
        when: Condition::Revision(1),
    };
    *store.faults.borrow_mut() = vec![Fault::Overtaken(vec![theirs])];
    let reply = send(&users, request("PUT", &path(&ann), json!({"email": "ann@example.org"}))).await;
    assert_eq!(
        (&reply.body["data"]["name"], reply.headers["etag"].as_str()),
        (&json!("theirs"), "\"3\"")
    );
}

async fn walk(gaps: Vec<i64>, gone: Vec<usize>, limit: usize, partitions: usize) {
    let (store, clock) = (MemoryStore::new(KEY), ManualClock::new());
    let users = Users::new(store.clone(), clock.clone(), CountedIds::new(&clock), partitions);
    let mut ids: Vec<String> = Vec::new();
    for (number, gap) in gaps.iter().enumerate() {
        clock.advance(*gap);
        ids.push(
            created(&users, &format!("u{number}@example.com")).await["userId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let (mut gone, mut shown, mut deleted) = (gone.into_iter(), Vec::new(), BTreeSet::new());
    let mut target = format!("/users?limit={limit}");
    loop {
        store.calls.borrow_mut().clear();
        let Reply { body, .. } = send(&users, request("GET", &target, None)).await;
        let items = body["items"].as_array().unwrap();
        shown.extend(items.iter().map(|user| user["userId"].as_str().unwrap().to_owned()));
        let Some(next) = body["nextKey"].as_str() else { break };
        let spent = store.calls.borrow().len() >= 40;
        assert!(
            items.len() == limit || spent,
            "only the last page is short, and one that has read all it may"
        );
        // Between two pages one user goes, maybe the one that the cursor names.
        if let Some(at) = gone.next() {
            let id = if at % 2 == 0 && ids.iter().any(|id| id == next) {
                next.to_owned()
            } else {
                ids[at % ids.len()].clone()
            };
            if deleted.insert(id.clone()) {
                assert_eq!(
                    send(&users, request("DELETE", &format!("/users/{id}"), None))
                        .await
                        .status,
                    204
                );
            }
        }
        target = format!("/users?limit={limit}&lastKey={next}");
    }
    assert!(
        shown.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, nothing twice"
    );
    let missed = ids
        .iter()
        .filter(|id| !shown.contains(id) && !deleted.contains(*id))
        .count();
    assert_eq!(missed, 0, "nothing that stays is skipped");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Many users in one millisecond: `createdAt` alone does not order them.
    #[test]
    fn a_walk_sees_every_user_once(
        gaps in prop::collection::vec(prop_oneof![4 => Just(0_i64), 2 => 1..3_i64, 1 => 0..50 * 24 * 3600 * 1000_i64], 0..60),
        gone in prop::collection::vec(any::<usize>(), 0..20),
        limit in 1_usize..7,
        partitions in prop_oneof![Just(1_usize), Just(3)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(walk(gaps, gone, limit, partitions));
    }
}

fn keyed(email: &str) -> Request {
    let body = json!({"email": email, "name": "Ann"});
    with_header(request("POST", "/users", body), "idempotency-key", "k")
}

#[tokio::test]
async fn a_deleted_user_is_not_shown_by_the_kept_answer() {
    let (users, store, _) = users();
    let first = send(&users, keyed("ann@example.com")).await.body["data"].clone();
    assert_eq!(send(&users, request("DELETE", &path(&first), None)).await.status, 204);
    let left: Vec<String> = store
        .keys()
        .into_iter()
        .filter(|key| format!("{:?}", store.item(key)).contains("ann@example.com"))
        .collect();
    assert_eq!(left, [""; 0], "the address is left in the table");
    let again = send(&users, keyed("ann@example.com")).await;
    assert_ne!(
        again.body["data"]["userId"], first["userId"],
        "the deleted user was shown"
    );
    assert_eq!(again.status, 201);
}

#[tokio::test]
async fn an_expired_user_is_not_shown_by_the_kept_answer() {
    let (users, _, clock) = users();
    let first = send(&users, keyed("ann@example.com")).await;
    let soon = json!({"ttl": 1_763_681_475 + 60});
    let user = path(&first.body["data"]);
    assert_eq!(send(&users, request("PUT", &user, soon)).await.status, 200);
    clock.advance(59_000);
    assert_eq!(send(&users, keyed("ann@example.com")).await, first);
    clock.advance(1_000);
    let again = send(&users, keyed("ann@example.com")).await;
    assert_eq!(again.status, 201);
    assert_ne!(again.body["userId"], first.body["userId"], "the expired user was shown");
    assert_eq!(send(&users, keyed("ann@example.com")).await, again, "kept anew");
}

#[tokio::test]
async fn a_look_up_by_address_reads_a_bounded_number_of_items() {
    let (users, store, clock) = users();
    for _ in 0..200 {
        let ttl = clock.0.get() / 1000 + 1;
        let body = json!({"email": "ann@example.com", "name": "Ann", "ttl": ttl});
        assert_eq!(post(&users, body).await.status, 201);
        clock.advance(1000);
    }
    let ann = created(&users, "ann@example.com").await;
    store.calls.borrow_mut().clear();
    let reply = send(&users, request("GET", "/users?email=ann@example.com", None)).await;
    assert_eq!(reply.body, json!({"items": [ann], "nextKey": null}));
    assert!(store.calls.borrow().len() <= 4, "{} reads", store.calls.borrow().len());
}

#[tokio::test]
async fn expired_users_do_not_make_a_list_read_on_and_on() {
    let (users, store, clock) = users();
    let old = created(&users, "old@example.com").await;
    for number in 0..400 {
        clock.advance(1000);
        let ttl = clock.0.get() / 1000 + 1;
        let body = json!({"email": format!("u{number}@example.com"), "name": "N", "ttl": ttl});
        assert_eq!(post(&users, body).await.status, 201);
    }
    clock.advance(5000);
    let (mut target, mut found) = ("/users?limit=1".to_owned(), Vec::new());
    loop {
        store.calls.borrow_mut().clear();
        let Reply { body, .. } = send(&users, request("GET", &target, None)).await;
        assert!(store.calls.borrow().len() <= 49, "{} reads", store.calls.borrow().len());
        found.extend(body["items"].as_array().unwrap().clone());
        let Some(next) = body["nextKey"].as_str() else { break };
        target = format!("/users?limit=1&lastKey={next}");
    }
    assert_eq!(found, [old]);
}
