//! CORS, headers, logs.

use std::time::Duration;

use serde_json::{Value, json};
use taskctl_tests::eventually;

use super::{Deployed, unique};

#[test]
fn every_answer_says_request_release_and_version() {
    let api = Deployed::shared();
    for path in [
        "/health",
        "/tasks/00000000-0000-7000-8000-000000000000",
        "/users?email=nobody@example.com",
    ] {
        let reply = api.get(path);
        assert!(!reply.header("x-request-id").is_empty(), "{path}");
        assert_eq!(
            (reply.header("x-release"), reply.header("x-version")),
            ("1", "1"),
            "{path}"
        );
        assert!(reply.header("content-type").starts_with("application/json"), "{path}");
    }
}

#[test]
fn browsers_of_the_stages_origins_are_let_in_and_no_others() {
    let api = Deployed::shared();
    let origin = "http://localhost:1580";
    let preflight = |origin: &str| {
        api.send(
            "OPTIONS",
            "/tasks",
            &[
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ],
            b"",
        )
    };
    let answer = preflight(origin);
    assert!(matches!(answer.status, 200 | 204));
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    assert_eq!(
        preflight("https://evil.example").header("access-control-allow-origin"),
        ""
    );
    let read = api.send("GET", "/health", &[("origin", origin)], b"");
    assert_eq!(read.header("access-control-allow-origin"), origin);
    let exposed = read.header("access-control-expose-headers").to_lowercase();
    for name in ["etag", "location", "x-request-id", "x-release", "x-version"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    assert_ne!(read.header("access-control-allow-credentials"), "true");
}

/// What a function logged about a request, once it has logged the end of it.
fn logged(api: &Deployed, function: &str, request: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let group = format!("/aws/lambda/{}", api.project.name(function));
    eventually("the end of the request is logged", Duration::from_secs(20), || {
        let found: Vec<String> = runtime.block_on(async {
            let clients = api.project.clients().await;
            let page = clients
                .logs
                .filter_log_events()
                .log_group_name(&group)
                .send()
                .await
                .unwrap();
            let messages = page.events().iter().filter_map(|event| event.message());
            messages
                .filter(|line| line.contains(request))
                .map(str::to_owned)
                .collect()
        });
        let is_over = found.iter().any(|line| line.contains("platform.report"));
        is_over.then_some(found)
    })
}

#[test]
fn a_request_leaves_one_line_without_what_is_private() {
    let api = Deployed::shared();
    let email = format!("{}@example.com", unique("secret"));
    let reply = api
        .post("/users", &json!({"email": email, "name": "Nobody's business"}))
        .expect(201);
    let id = reply.header("x-request-id").to_owned();
    let lines = logged(&api, "users", &id);
    let requests: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "request")
        .collect();
    assert_eq!(requests.len(), 1, "{lines:?}");
    let text = requests[0].to_string();
    for part in ["POST /users", "201", "coldStart", "release", "version", "blue"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for line in &lines {
        assert!(!line.contains(&email) && !line.contains("Nobody's business"), "{line}");
    }
}
