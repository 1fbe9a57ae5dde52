//! Whatever is sent, the answer is the client's fault and names it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Deployed, check_error};

#[test]
fn hostile_bodies_are_never_the_servers_fault() {
    let api = Deployed::shared();
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let wide = format!(
        "{{{}}}",
        (0..2_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",")
    );
    let huge = format!("{{\"title\":\"{}\"}}", "x".repeat(300_000));
    let bodies: [(&str, &[u8]); 12] = [
        ("application/json", b"{"),
        ("application/json", b"null"),
        ("application/json", b"{\"title\": \"a\\u0000b\"}"),
        ("application/json", b"{\"title\": \"\\ud800\"}"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"{\"title\":\"x\",\"title\":\"y\"}"),
        ("application/json", b"{\"title\": 1e999}"),
        ("application/json", deep.as_bytes()),
        ("application/json", wide.as_bytes()),
        ("application/json", huge.as_bytes()),
        ("text/plain", b"{\"title\":\"x\"}"),
        ("application/x-www-form-urlencoded", b"title=x"),
    ];
    for path in ["/tasks", "/users", "/assets"] {
        for (content_type, body) in bodies {
            let reply = api.send("POST", path, &[("content-type", content_type)], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(
                matches!(reply.status, 400 | 413 | 415),
                "{path} {content_type} {shown}: {} {}",
                reply.status,
                reply.text
            );
        }
    }
    let large = api.send(
        "POST",
        "/tasks",
        &[("content-type", "application/json")],
        huge.as_bytes(),
    );
    check_error(&large.expect(413), "Too Large");
    let text = api.send(
        "POST",
        "/tasks",
        &[("content-type", "text/plain")],
        b"{\"title\":\"x\"}",
    );
    check_error(&text.expect(415), "Unsupported Media Type");
}

#[test]
fn the_field_at_fault_is_named() {
    let api = Deployed::shared();
    let reply = api.post("/tasks", &json!({"title": "x", "priority": 7})).expect(400);
    assert!(
        reply.json()["message"].as_str().unwrap().contains("priority"),
        "{}",
        reply.text
    );
    let reply = api.post("/tasks", &json!({"title": "x", "colour": "red"})).expect(400);
    assert!(
        reply.json()["message"].as_str().unwrap().contains("colour"),
        "{}",
        reply.text
    );
}

#[test]
fn odd_paths_and_ids_are_never_the_servers_fault() {
    let api = Deployed::shared();
    let long = "x".repeat(2_000);
    for id in ["x", "%00", "%2e%2e", "..%2f..", "'%20OR%201=1", "%F0%9F%92%A9", &long] {
        for path in [
            format!("/tasks/{id}"),
            format!("/users/{id}"),
            format!("/assets/{id}/download"),
        ] {
            let status = api.get(&path).status;
            assert!((400..500).contains(&status), "{path}: {status}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("title|status|tags|email|name|fileName|contentType|.{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_is_taken_or_refused() {
    // One deployment for all of them.
    let api = Deployed::shared();
    let config = ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(body in any_json(), path in prop::sample::select(vec!["/tasks", "/users", "/assets"]))| {
        let reply = api.post(path, &body);
        prop_assert!(reply.status < 500, "{path} {body}: {} {}", reply.status, reply.text);
    });
}
