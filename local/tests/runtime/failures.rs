//! Functions that crash, hang, cannot start or say too much.

use std::time::Duration;

use serde_json::{Value, json};
use taskctl_local::deps::Deps;
use taskctl_local::ports::{
    Architecture, Completed, FunctionError, InvokeOutcome, InvokeRequest, Invoker as _, LogFormat,
};

use crate::world::{World, package, package_of, request, until};

/// Checks type and message of a failed invocation; `REQUEST` in the message stands for its request id.
fn check(completed: &Completed, error_type: &str, message: &str) {
    assert_eq!(completed.function_error, Some(FunctionError::Unhandled));
    let error: Value = serde_json::from_slice(&completed.payload).unwrap();
    let message = message.replace("REQUEST", &completed.request_id);
    assert_eq!(
        (error["errorType"].as_str(), error["errorMessage"].as_str()),
        (Some(error_type), Some(message.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_and_a_fresh_environment_comes_next() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let first = world.describe(&address).await;
    let completed = world.invoke(&address, json!({"do": "exit", "code": 7})).await;
    check(
        &completed,
        "Runtime.ExitError",
        "RequestId: REQUEST Error: Runtime exited with error: exit status 7",
    );
    let next = world.describe(&address).await;
    assert_ne!(next["pid"], first["pid"]);
    assert_eq!(next["runs"], 1);
    let completed = world.invoke(&address, json!({"do": "kill"})).await;
    check(
        &completed,
        "Runtime.ExitError",
        "RequestId: REQUEST Error: Runtime exited with error: signal: killed",
    );
    let completed = world.invoke(&address, json!({"do": "exit", "code": 0})).await;
    check(
        &completed,
        "Runtime.ExitError",
        "RequestId: REQUEST Error: Runtime exited without providing a reason",
    );
    assert_eq!(world.memory.sum("AWS/Lambda", "Errors", &["echo"]), Some(3.0));
    assert_eq!(world.memory.sum("AWS/Lambda", "Invocations", &["echo"]), Some(5.0));
}

/// The log of a group once so many of its lines are of a kind: they are written while the answer is on its way.
async fn settled(world: &World, group: &str, kind: impl Fn(&str) -> bool, count: usize) -> Vec<String> {
    until("the log", || {
        let lines = world.memory.log(group);
        (lines.iter().filter(|line| kind(line)).count() >= count).then_some(lines)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_too_long_is_ended() {
    let world = World::new();
    let (address, _) = world.function("echo", |version| version.timeout = Duration::from_secs(1));
    let pid = world.describe(&address).await["pid"].as_u64().unwrap();
    let completed = world.invoke(&address, json!({"do": "hang"})).await;
    check(
        &completed,
        "Sandbox.Timedout",
        "RequestId: REQUEST Error: Task timed out after 1.00 seconds",
    );
    assert!(completed.duration >= Duration::from_secs(1));
    crate::world::until("the process is gone", || (!crate::world::is_running(pid)).then_some(())).await;
    assert_ne!(world.describe(&address).await["pid"].as_u64(), Some(pid));
    let log = settled(&world, "/aws/lambda/echo", |line| line.contains("Status: timeout"), 1)
        .await
        .join("\n");
    assert!(
        log.contains(&format!("Z {} Task timed out after 1.00 seconds", completed.request_id)),
        "{log}"
    );
    assert!(log.contains("Status: timeout"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_error_keeps_the_environment() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let first = world.describe(&address).await;
    let completed = world.invoke(&address, json!({"do": "fail"})).await;
    check(&completed, "Test.Failed", "as told");
    assert_eq!(world.describe(&address).await["pid"], first["pid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_larger_than_six_megabytes_is_refused() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let completed = world
        .invoke(&address, json!({"do": "big", "bytes": 6 * 1024 * 1024}))
        .await;
    assert_eq!(completed.function_error, None);
    let completed = world
        .invoke(&address, json!({"do": "big", "bytes": 6 * 1024 * 1024 + 200}))
        .await;
    check(
        &completed,
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    );
    assert_eq!(world.describe(&address).await["runs"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_invocation() {
    let world = World::new();
    let (address, _) = world.function("echo", |_| {});
    let large = InvokeRequest {
        payload: vec![b' '; 6 * 1024 * 1024 + 1].into(),
        ..request(&address, json!({}))
    };
    let InvokeOutcome::Refused { status: 413, code, .. } = world.host.invoke(large).await else {
        panic!("accepted")
    };
    assert_eq!(code, "RequestTooLargeException");
    let broken = InvokeRequest {
        payload: "{".into(),
        ..request(&address, json!({}))
    };
    let InvokeOutcome::Refused { status: 400, code, .. } = world.host.invoke(broken).await else {
        panic!("accepted")
    };
    assert_eq!(code, "InvalidRequestContentException");
    let empty = InvokeRequest {
        payload: "".into(),
        ..request(&address, json!({}))
    };
    assert!(matches!(world.host.invoke(empty).await, InvokeOutcome::Completed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_is_told_to_one_invocation() {
    let world = World::new();
    let start = |how: &str| {
        let variable = ("START".to_owned(), how.to_owned());
        world.function(how, |version| version.environment = [variable].into()).0
    };
    let completed = world.invoke(&start("exit"), json!({})).await;
    check(
        &completed,
        "Runtime.ExitError",
        "RequestId: REQUEST Error: Runtime exited with error: exit status 3",
    );
    let completed = world.invoke(&start("error"), json!({})).await;
    check(&completed, "Test.NoConfiguration", "nothing to start with");
    let log = settled(&world, "/aws/lambda/exit", |line| line.starts_with("REPORT"), 1).await;
    let kinds: Vec<&str> = log.iter().map(|line| line.split([' ', ':']).next().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "INIT_START",
            "going",
            "INIT_REPORT",
            "INIT_START",
            "going",
            "INIT_REPORT",
            "START",
            "RequestId",
            "Runtime.ExitError",
            "END",
            "REPORT"
        ]
    );
    assert!(
        log[2].contains("Phase: init\tStatus: error\tError Type: Runtime.ExitError"),
        "{}",
        log[2]
    );
    assert!(
        log[5].contains("Phase: invoke\tStatus: error\tError Type: Runtime.ExitError"),
        "{}",
        log[5]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_once_is_made_good_by_the_invocation() {
    let world = World::new();
    let marker = world.root.path().join("started").to_string_lossy().into_owned();
    let (address, _) = world.function("once", |version| {
        version.environment = [("START", "once"), ("MARKER", &marker)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
    let first = world.describe(&address).await;
    assert_eq!(world.describe(&address).await["pid"], first["pid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_is_given_up() {
    let world = World::with(
        |config| config.init_timeout = Duration::from_millis(200),
        Deps::system(),
    );
    let (address, _) = world.function("slow", |version| {
        version.timeout = Duration::from_secs(1);
        version.log_format = LogFormat::Json;
        version.environment = [("START", "slow"), ("START_SECONDS", "600")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
    let completed = world.invoke(&address, json!({})).await;
    check(
        &completed,
        "Sandbox.Timedout",
        "RequestId: REQUEST Error: Task timed out after 1.00 seconds",
    );
    let log = settled(
        &world,
        "/aws/lambda/slow",
        |line| line.contains("platform.initReport"),
        2,
    )
    .await;
    let records: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let phases: Vec<(&str, &str)> = records
        .iter()
        .filter(|record| record["type"] == "platform.initReport")
        .map(|record| {
            (
                record["record"]["phase"].as_str().unwrap(),
                record["record"]["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(phases, [("init", "timeout"), ("invoke", "timeout")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_within_the_limit_is_only_slow() {
    let world = World::new();
    let (address, _) = world.function("slow", |version| {
        version.environment = [("START", "slow"), ("START_SECONDS", "0.4")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
    world.describe(&address).await;
    let log = settled(&world, "/aws/lambda/slow", |line| line.starts_with("REPORT"), 1).await;
    let report = log.iter().find(|line| line.starts_with("REPORT")).unwrap();
    let init: f64 = report
        .split("Init Duration: ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(init >= 400.0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_cannot_be_executed() {
    let world = World::new();
    let root = world.root.path().to_owned();
    let mut arm = b"\x7fELF\x02\x01\x01".to_vec();
    arm.resize(64, 0);
    arm[18] = 0xb7;
    let cases = [
        (
            "missing",
            package_of(&root, "main", b"#!/bin/sh\n", 0o755),
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        ),
        (
            "mode",
            package(&root, b"#!/bin/sh\n", 0o644),
            "fork/exec /var/task/bootstrap: permission denied",
        ),
        (
            "text",
            package(&root, b"exit 0", 0o755),
            "fork/exec /var/task/bootstrap: exec format error",
        ),
        (
            "arm",
            package(&root, &arm, 0o755),
            "fork/exec /var/task/bootstrap: exec format error",
        ),
        (
            "interpreter",
            package(&root, b"#!/none/such\n", 0o755),
            "fork/exec /var/task/bootstrap: no such file or directory",
        ),
    ];
    for (name, code, message) in cases {
        let (address, _) = world.function(name, |version| {
            version.code = code;
            version.architecture = if name == "arm" {
                Architecture::Arm64
            } else {
                Architecture::X86_64
            };
        });
        let completed = world.invoke(&address, json!({})).await;
        check(
            &completed,
            "Runtime.InvalidEntrypoint",
            &format!("RequestId: REQUEST Error: {message}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_none() {
    let world = World::new();
    let (address, _) = world.function("broken", |version| {
        let zip = world.root.path().join("broken.zip");
        std::fs::write(&zip, "no zip").unwrap();
        version.code.zip = zip;
        version.code.sha256 = "broken".to_owned();
    });
    let completed = world.invoke(&address, json!({})).await;
    let error: Value = serde_json::from_slice(&completed.payload).unwrap();
    assert!(
        error["errorMessage"].as_str().unwrap().contains("read package"),
        "{error}"
    );
}
