//! The same request with the same key has one effect.

use serde_json::json;

use super::{Deployed, at_once, check_error, unique};

#[test]
fn the_same_key_and_body_have_one_effect_also_at_once() {
    let api = Deployed::shared();
    let key = unique("key");
    let tag = unique("once");
    let body = json!({"title": "once", "tags": [tag]});
    let send = || api.with_json("POST", "/tasks", &[("idempotency-key", &key)], &body);
    let answers = at_once(|_| {
        let reply = send();
        (reply.status, reply.json()["taskId"].as_str().map(str::to_owned))
    });
    let made: std::collections::BTreeSet<_> = answers
        .iter()
        .filter(|(status, _)| *status == 201)
        .map(|(_, id)| id.clone().unwrap())
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(
        answers.iter().all(|(status, _)| matches!(status, 201 | 409 | 503)),
        "{answers:?}"
    );
    let again = send().expect(201).json();
    assert_eq!(again["taskId"].as_str(), made.first().map(String::as_str));
    let (items, _) = api.walk(&format!("/tasks?tag={tag}"), 10);
    assert_eq!(items.len(), 1);
}

#[test]
fn another_body_under_the_same_key_is_refused_and_another_path_is_another_scope() {
    let api = Deployed::shared();
    let key = unique("key");
    let headers = [("idempotency-key", key.as_str())];
    api.with_json("POST", "/tasks", &headers, &json!({"title": "one"}))
        .expect(201);
    let refused = api
        .with_json("POST", "/tasks", &headers, &json!({"title": "two"}))
        .expect(422);
    check_error(&refused, "Unprocessable");
    let email = format!("{}@example.com", unique("idem"));
    let user = json!({"email": email, "name": "x"});
    let first = api.with_json("POST", "/users", &headers, &user).expect(201).json();
    let second = api.with_json("POST", "/users", &headers, &user).expect(201).json();
    assert_eq!(first["userId"], second["userId"]);
}

#[test]
fn a_refused_request_does_not_use_its_key_up() {
    let api = Deployed::shared();
    let key = unique("key");
    let headers = [("idempotency-key", key.as_str())];
    api.with_json("POST", "/tasks", &headers, &json!({"title": ""}))
        .expect(400);
    api.with_json("POST", "/tasks", &headers, &json!({"title": "now right"}))
        .expect(201);
}

#[test]
fn a_deleted_user_is_not_shown_again_by_its_key() {
    let api = Deployed::shared();
    let key = unique("key");
    let headers = [("idempotency-key", key.as_str())];
    let email = format!("{}@example.com", unique("gone"));
    let user = json!({"email": email, "name": "x"});
    let first = api.with_json("POST", "/users", &headers, &user).expect(201).json();
    api.delete(&format!("/users/{}", first["userId"].as_str().unwrap()))
        .expect(204);
    let other = json!({"email": format!("other-{email}"), "name": "x"});
    let second = api.with_json("POST", "/users", &headers, &other).expect(201);
    assert!(!second.text.contains(&format!("\"{email}\"")), "{}", second.text);
}
