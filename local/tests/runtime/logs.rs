//! What a function and the platform write, and the metrics in it.

use serde_json::{Value, json};
use taskctl_local::ports::{InvokeRequest, Invoker as _, LogFormat, LogTail};

use crate::world::{World, completed, request, until};

/// Waits for the report of an invocation; then its lines are all there.
async fn settled(world: &World, group: &str, reports: usize, mark: &str) -> Vec<String> {
    until("the report", || {
        let lines = world.memory.log(group);
        (lines.iter().filter(|line| line.contains(mark)).count() == reports).then_some(lines)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_an_invocation_stand_between_start_and_end() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let first = world.invoke(&address, json!({"print": "one\ntwo"})).await;
    let second = world.invoke(&address, json!({"print": "three"})).await;
    let lines = settled(&world, "/aws/lambda/echo", 2, "REPORT").await;
    let (first, second) = (first.request_id, second.request_id);
    let expected = [
        "INIT_START Runtime Version: provided:al2023.local\tRuntime Version ARN: arn:aws:lambda:eu-central-1::runtime:local".to_owned(),
        format!("START RequestId: {first} Version: 1"),
        "one".to_owned(),
        "two".to_owned(),
        format!("END RequestId: {first}"),
        format!("REPORT RequestId: {first}\tDuration: "),
        format!("START RequestId: {second} Version: 1"),
        "three".to_owned(),
        format!("END RequestId: {second}"),
        format!("REPORT RequestId: {second}\tDuration: "),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(
            line.starts_with(expected.as_str()),
            "{line} does not start with {expected}"
        );
    }
    // Only the first one has a cold start; both tell the memory.
    assert!(
        lines[5].contains("Memory Size: 128 MB") && lines[5].contains("Init Duration: "),
        "{}",
        lines[5]
    );
    assert!(!lines[9].contains("Init Duration"), "{}", lines[9]);
    let used: u64 = lines[9]
        .split("Max Memory Used: ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..200).contains(&used), "{}", lines[9]);
    let events = world.memory.lines.lock().unwrap();
    let streams: std::collections::BTreeSet<&str> = events.iter().map(|(_, stream, _)| stream.as_str()).collect();
    let stream = streams.first().unwrap();
    assert_eq!(streams.len(), 1);
    let (day, rest) = stream.split_once("/[1]").unwrap();
    assert_eq!(day.split('/').map(str::len).collect::<Vec<_>>(), [4, 2, 2]);
    assert!(
        rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{stream}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_format_makes_records_and_heeds_levels() {
    let world = World::new();
    let (address, _) = world.function("echo", |version| {
        version.log_format = LogFormat::Json;
        version.application_log_level = Some("WARN".to_owned());
    });
    let own = |level: &str| format!(r#"{{"timestamp":"2026-11-20T00:00:00Z","level":"{level}","message":"{level}"}}"#);
    // What has no time or no level is INFO, whatever it says of itself.
    let untimed = r#"{"level":"ERROR","message":"untimed"}"#;
    let badly_timed = r#"{"timestamp":"yesterday","level":"ERROR","message":"badly timed"}"#;
    let unlevelled = r#"{"timestamp":"2026-11-20T00:00:00Z","message":"no level"}"#;
    let print = [&own("INFO"), untimed, badly_timed, unlevelled, &own("ERROR"), "plain"].join("\n");
    let request_id = world.invoke(&address, json!({"print": print})).await.request_id;
    let lines = settled(&world, "/aws/lambda/echo", 1, "platform.report").await;
    let told: Vec<String> = lines
        .iter()
        .map(|line| match serde_json::from_str::<Value>(line) {
            Ok(record) => record["type"].as_str().or(record["level"].as_str()).unwrap().to_owned(),
            Err(_) => line.clone(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "platform.initStart",
            "platform.start",
            "ERROR",
            "plain",
            "platform.report"
        ]
    );
    let report: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(report["record"]["requestId"], json!(request_id));
    assert_eq!(report["record"]["status"], "success");
    let metrics = report["record"]["metrics"].as_object().unwrap();
    for name in [
        "durationMs",
        "billedDurationMs",
        "memorySizeMB",
        "maxMemoryUsedMB",
        "initDurationMs",
    ] {
        assert!(metrics[name].as_f64().unwrap() > 0.0, "{name}: {metrics:?}");
    }
}

/// Bytes of the largest event.
const EVENT: usize = 256 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_become_events_of_whole_characters() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let characters = ["x", "\u{e4}", "\u{20ac}", "\u{1f600}"];
    let mut expected = Vec::new();
    let mut print = String::new();
    // Each character in each place across the border, and what follows a long line.
    for character in characters {
        for before in 0..character.len().min(3) {
            let first = "a".repeat(EVENT - before);
            let rest = format!("{character}b");
            print.push_str(&format!("{first}{rest}\nnext\n"));
            expected.extend([first, rest, "next".to_owned()]);
        }
    }
    let exact = "c".repeat(EVENT);
    print.push_str(&exact);
    expected.push(exact);
    world.invoke(&address, json!({ "print": print })).await;
    let lines = settled(&world, "/aws/lambda/echo", 1, "REPORT").await;
    let own: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with(['a', 'b', 'c', 'n', 'x']) || !line.is_ascii())
        .collect();
    assert_eq!(own.len(), expected.len());
    for (line, expected) in own.into_iter().zip(&expected) {
        assert!(line == expected, "{} bytes instead of {}", line.len(), expected.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_of_the_log_comes_back() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let with_tail = |order: Value| InvokeRequest {
        log_tail: LogTail::Include,
        ..request(&address, order)
    };
    let short = completed(world.host.invoke(with_tail(json!({"print": "hello"}))).await);
    let tail = String::from_utf8(short.log_tail.unwrap()).unwrap();
    assert!(
        tail.starts_with("START RequestId: ") && tail.contains("\nhello\nEND RequestId: "),
        "{tail}"
    );
    let long = completed(
        world
            .host
            .invoke(with_tail(json!({"print": "x".repeat(100_000)})))
            .await,
    );
    let tail = String::from_utf8(long.log_tail.unwrap()).unwrap();
    assert_eq!(tail.len(), 4096);
    assert!(tail.contains("xxx\nEND RequestId: "), "{tail}");
    assert_eq!(world.invoke(&address, json!({})).await.log_tail, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_become_several_events() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    world.invoke(&address, json!({"print": "x".repeat(600_000)})).await;
    let lines = settled(&world, "/aws/lambda/echo", 1, "REPORT").await;
    let lengths: Vec<usize> = lines
        .iter()
        .filter(|line| line.starts_with('x'))
        .map(String::len)
        .collect();
    assert_eq!(lengths, [262_144, 262_144, 75_712]);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_metrics_are_taken() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let line = json!({
        "_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [
            {"Namespace": "taskctl", "Dimensions": [["function"]], "Metrics": [{"Name": "Requests", "Unit": "Count"}]}
        ]},
        "function": "tasks",
        "Requests": 3,
    });
    world.invoke(&address, json!({"print": line.to_string()})).await;
    let lines = settled(&world, "/aws/lambda/echo", 1, "REPORT").await;
    assert!(lines.contains(&line.to_string()));
    assert_eq!(world.memory.sum("taskctl", "Requests", &["tasks"]), Some(3.0));
}
