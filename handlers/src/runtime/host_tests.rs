//! Whole events to whole answers: headers, log lines, and input that means harm.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::{Value, json};
use taskctl_lambda::LogLevel;

use super::*;
use crate::assets::Assets;
use crate::http::RouteSpec;
use crate::memory::{CountedIds, Fault, ManualClock, MemoryObjects, MemoryStore};
use crate::tasks::Tasks;
use crate::users::Users;

fn process() -> Process {
    Process {
        function: "app-dev-tasks".to_owned(),
        version: "3".to_owned(),
        counts_cold_starts: true,
        log_level: LogLevel::Info,
    }
}

fn event(method: &str, path: &str, body: &str, headers: Value) -> Value {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "headers": headers, "body": body,
        "stageVariables": {"release": "7", "color": "blue"}, "requestContext": {"http": {"method": method}}})
}

fn read(answer: &Answer) -> Value {
    serde_json::to_value(answer).unwrap()
}

/// A log line without what differs from run to run.
fn stable(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).unwrap();
    for name in ["durationMs", "Latency"] {
        assert!(line[name].is_f64());
        line[name] = json!("…");
    }
    line
}

fn tasks(store: &MemoryStore) -> Host<Tasks<MemoryStore, ManualClock, CountedIds>, ManualClock> {
    let clock = ManualClock::new();
    let function = Tasks::new(store.clone(), clock.clone(), CountedIds::new(&clock), 1);
    Host::new(function, process(), clock)
}

#[tokio::test]
async fn every_response_says_who_gave_it() {
    let host = tasks(&MemoryStore::new("taskId"));
    for (method, path, status) in [
        ("GET", "/tasks", 200),
        ("GET", "/tasks/x", 404),
        ("DELETE", "/nothing", 404),
        ("POST", "/tasks", 400),
    ] {
        let (answer, _) = host
            .invoke("r-1", &event(method, path, "", json!({})).to_string())
            .await;
        let answer = read(&answer);
        let headers = &answer["headers"];
        assert_eq!(answer["statusCode"], status, "{method} {path}");
        assert_eq!(
            (&headers["x-request-id"], &headers["x-release"], &headers["x-version"]),
            (&json!("r-1"), &json!("7"), &json!("3"))
        );
        assert_eq!(
            (&headers["content-type"], &answer["isBase64Encoded"]),
            (&json!("application/json"), &json!(false))
        );
    }
}

#[tokio::test]
async fn a_line_per_request_with_its_metrics() {
    let store = MemoryStore::new("taskId");
    let host = tasks(&store);
    let secret = json!({"title": "a secret", "description": "ann@example.com"}).to_string();
    let headers = json!({"content-type": "application/json", "authorization": "Bearer secret"});
    let (_, line) = host
        .invoke("r-1", &event("POST", "/tasks", &secret, headers.clone()).to_string())
        .await;
    assert!(
        line.ends_with("}\n") && !line.contains("secret") && !line.contains("ann@"),
        "{line}"
    );
    insta::assert_json_snapshot!(stable(&line), @r#"
    {
      "timestamp": "2025-11-20T23:31:15.123Z",
      "level": "INFO",
      "message": "request",
      "requestId": "r-1",
      "route": "POST /tasks",
      "status": 201,
      "durationMs": "…",
      "coldStart": true,
      "release": "7",
      "version": "3",
      "color": "blue",
      "FunctionName": "app-dev-tasks",
      "Version": "3",
      "Requests": 1,
      "Responses5xx": 0,
      "Latency": "…",
      "ColdStart": 1,
      "_aws": {
        "Timestamp": 1763681475123,
        "CloudWatchMetrics": [
          {
            "Namespace": "Taskctl",
            "Dimensions": [
              [
                "FunctionName",
                "Version"
              ]
            ],
            "Metrics": [
              {
                "Name": "Requests",
                "Unit": "Count"
              },
              {
                "Name": "Responses5xx",
                "Unit": "Count"
              },
              {
                "Name": "Latency",
                "Unit": "Milliseconds"
              },
              {
                "Name": "ColdStart",
                "Unit": "Count"
              }
            ]
          }
        ]
      }
    }
    "#);
    *store.faults.borrow_mut() = vec![Fault::Failed];
    let (answer, line) = host
        .invoke("r-2", &event("POST", "/tasks", &secret, headers).to_string())
        .await;
    assert_eq!(read(&answer)["statusCode"], 500);
    let line = stable(&line);
    let told = [
        "level",
        "route",
        "status",
        "coldStart",
        "error",
        "Responses5xx",
        "ColdStart",
    ]
    .map(|name| line[name].clone());
    insta::assert_json_snapshot!(told, @r#"
    [
      "ERROR",
      "POST /tasks",
      500,
      false,
      "commit failed: broken pipe",
      1,
      0
    ]
    "#);
}

#[tokio::test]
async fn pings_are_answered_and_not_logged() {
    let (answer, line) = tasks(&MemoryStore::new("taskId"))
        .invoke("r", r#"{"warmup":true}"#)
        .await;
    assert_eq!((read(&answer)["statusCode"].clone(), line), (json!(204), String::new()));
}

#[test]
fn a_provisioned_environment_has_no_cold_start() {
    let mut process = process();
    process.counts_cold_starts = false;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_, line) = runtime.block_on(Host::new(Panics, process, ManualClock::new()).invoke("r", "{}"));
    assert_eq!(stable(&line)["coldStart"], false);
}

#[derive(Debug)]
struct Panics;

impl Function for Panics {
    type Route = ();
    const ROUTES: &'static [RouteSpec<()>] = &[("GET /panic", ())];

    async fn handle(&self, (): (), _: &Request) -> Result<Response, Failure> {
        panic!("the sky fell");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_next_request_is_served() {
    let host = Host::new(Panics, process(), ManualClock::new());
    for _ in 0..2 {
        let (answer, line) = host
            .invoke("r", &event("GET", "/panic", "", json!({})).to_string())
            .await;
        let answer = read(&answer);
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&answer["statusCode"], &body["error"]),
            (&json!(500), &json!("Internal Server Error"))
        );
        assert!(!body.to_string().contains("sky"));
        assert!(stable(&line)["error"].as_str().unwrap().contains("the sky fell"));
    }
}

/// Any JSON, with an inclination to what the functions know.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "DONE",
            "in progress",
            "a@b.co",
            "2026-12-01T10:00:00Z",
            "image/png",
            "\u{0}",
            "../x",
            "💥"
        ])
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        4 => prop::sample::select(vec!["title", "Title", "description", "status", "priority", "dueAt", "tags", "taskId", "email", "name", "department", "ttl", "fileName", "contentType", "sizeBytes"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    leaf.prop_recursive(4, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        ]
    })
}

fn any_body() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => any_json().prop_map(|json| json.to_string()),
        1 => any::<String>(),
        1 => (0_usize..100_000).prop_map(|depth| "[".repeat(depth)),
        1 => (0_usize..2000).prop_map(|depth| format!("{{\"title\":{}1{}}}", "[".repeat(depth), "]".repeat(depth))),
        1 => Just(format!("{{\"title\":\"{}\"}}", "x".repeat(300_000))),
        1 => Just(r#"{"title":"\ud800"}"#.to_owned()),
        1 => Just(r#"{"ttl":1e999,"title":-0}"#.to_owned()),
    ]
}

fn any_event() -> impl Strategy<Value = Value> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]);
    let id = prop_oneof![
        Just("019aa3bd-7b13-7000-8000-000000000000".to_owned()),
        any::<String>(),
        prop::sample::select(vec!["directory", "email#a@b.co", "..", "%00", "💥"]).prop_map(str::to_owned),
    ];
    let base = prop::sample::select(vec!["/tasks", "/users", "/assets", "/", ""]);
    let path = (
        base,
        prop::option::of(id),
        prop::sample::select(vec!["", "/download", "/"]),
    )
        .prop_map(|(base, id, rest)| id.map_or(base.to_owned(), |id| format!("{base}/{id}{rest}")));
    let query = prop_oneof![
        "(limit|lastKey|status|tag|email)=[ -~]{0,40}(&(limit|tag)=[0-9a-z%]{0,6})?",
        any::<String>(),
    ];
    let headers = prop::collection::btree_map(
        prop::sample::select(vec!["content-type", "idempotency-key", "if-match", "x"]),
        prop_oneof![2 => Just("application/json".to_owned()), 1 => any::<String>()],
        0..4,
    );
    (method, path, query, headers, prop::option::of(any_body()), any::<bool>(), any::<bool>()).prop_map(
        |(method, path, query, headers, body, base64, route)| {
            let key = if route { format!("{method} {path}") } else { "$default".to_owned() };
            json!({"version": "2.0", "routeKey": key, "rawPath": path, "rawQueryString": query, "headers": headers, "body": body,
                "isBase64Encoded": base64, "requestContext": {"stage": "preview", "http": {"method": method}}})
        },
    )
}

async fn survives<F: Function>(function: F, payload: &str) {
    let host = Host::new(function, process(), ManualClock::new());
    let (answer, line) = host.invoke("r", payload).await;
    let answer = read(&answer);
    let status = answer["statusCode"].as_u64().unwrap();
    assert!(status < 500, "{status} for {payload}: {line}");
    if status >= 400 {
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let names: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["error", "message", "requestId"]);
        assert!(
            body["message"].as_str().unwrap().len() < 2000,
            "a message is for reading"
        );
    }
    assert_eq!(line.matches('\n').count(), 1, "one line");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn hostile_events_are_never_a_5xx(event in any_event()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (clock, payload) = (ManualClock::new(), event.to_string());
        let ids = CountedIds::new(&clock);
        runtime.block_on(async {
            survives(Tasks::new(MemoryStore::new("taskId"), clock.clone(), ids.clone(), 1), &payload).await;
            survives(Users::new(MemoryStore::new("userId"), clock.clone(), ids.clone(), 1), &payload).await;
            survives(Assets::new(MemoryStore::new("assetId"), MemoryObjects::default(), clock.clone(), ids.clone(), 1), &payload).await;
        });
    }

    #[test]
    fn what_is_no_event_is_no_5xx_either(payload in prop_oneof![any_json().prop_map(|json| json.to_string()), any::<String>()]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (answer, _) = runtime.block_on(tasks(&MemoryStore::new("taskId")).invoke("r", &payload));
        assert!(read(&answer)["statusCode"].as_u64().unwrap() < 500);
    }
}
