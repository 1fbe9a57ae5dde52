//! Environments from start to end: what a function sees, and that none is left behind.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskctl_local::deps::Deps;
use taskctl_local::ports::{
    Asynchronous, InvokeKind, InvokeOutcome, InvokeRequest, Invoker as _, LogFormat, OutgoingKind,
};
use taskctl_local::runtime::Launcher;

use crate::world::{World, address, host, is_running, package, request, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_used_again() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let first = world.describe(&address).await;
    let second = world.describe(&address).await;
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(second["runs"], json!(2));
    assert_eq!(world.host.environments(&version).total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_what_lambda_shows() {
    let world = World::new();
    let (address, _) = world.function("echo", |version| {
        version.log_format = LogFormat::Json;
        version.application_log_level = Some("DEBUG".to_owned());
        version.environment = [
            ("TASKS_TABLE", "app-dev-tasks"),
            ("AWS_REGION", "not-this"),
            ("TZ", "Europe/Berlin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    });
    let invocation = InvokeRequest {
        client_context: Some("Y29udGV4dA==".to_owned()),
        trace_id: Some("Root=1-2-3".to_owned()),
        ..request(&address, json!({"hello": "world"}))
    };
    let completed = crate::world::completed(world.host.invoke(invocation).await);
    assert_eq!(completed.executed_version, "1");
    let seen: Value = serde_json::from_slice(&completed.payload).unwrap();
    assert_eq!(seen["event"], json!({"hello": "world"}));
    assert_eq!(seen["request"], json!(completed.request_id));
    assert_eq!(seen["arn"], json!(address.qualified_arn()));
    assert_eq!(seen["trace"], "Root=1-2-3");
    assert_eq!(seen["context"], "Y29udGV4dA==");
    let left = seen["left"].as_i64().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");

    let environment = seen["environment"].as_object().unwrap();
    let credentials = crate::world::keys().of_role("arn:aws:iam::000000000000:role/echo");
    let expected = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        ("AWS_SESSION_TOKEN", credentials.session_token.as_deref().unwrap()),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_LAMBDA_FUNCTION_NAME", "echo"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "DEBUG"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/echo"),
        ("_HANDLER", "bootstrap"),
        ("TASKS_TABLE", "app-dev-tasks"),
        ("TZ", "Europe/Berlin"),
        ("LAMBDA_TASK_ROOT", seen["directory"].as_str().unwrap()),
    ];
    for (name, value) in expected {
        assert_eq!(environment.get(name), Some(&json!(value)), "{name}");
    }
    // The interpreter may add variables of its own, but none can come from this process.
    for (name, value) in std::env::vars() {
        let allowed = name == "PATH" || expected.iter().any(|(own, _)| *own == name);
        assert!(
            allowed || environment.get(&name) != Some(&json!(value)),
            "{name} came from the host's own environment"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_environment_ends_after_a_while() {
    let world = World::with(|config| config.idle_timeout = Duration::from_millis(50), Deps::system());
    let (address, version) = world.function("echo", |_| {});
    let pid = world.describe(&address).await["pid"].as_u64().unwrap();
    until("the environment is gone", || {
        (world.host.environments(&version).total == 0).then_some(())
    })
    .await;
    assert!(!is_running(pid));
    assert_ne!(world.describe(&address).await["pid"].as_u64(), Some(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_takes_its_environments_along() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let pid = world.describe(&address).await["pid"].as_u64().unwrap();
    world.memory.remove(&address);
    until("the environment is gone", || {
        (world.host.environments(&version).total == 0).then_some(())
    })
    .await;
    assert!(!is_running(pid));
    let outcome = world.host.invoke(request(&address, json!({}))).await;
    assert!(matches!(outcome, InvokeOutcome::NotFound(_)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_invocation_of_a_replaced_version_ends_well() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let gate = world.root.path().join("gate");
    let reached = world.root.path().join("reached");
    // The order waits first and touches then, so a warm start tells that the environment exists.
    world.describe(&address).await;
    let order = json!({"wait_for": gate, "touch": reached});
    let running = tokio::spawn({
        let (host, request) = (Arc::clone(&world.host), request(&address, order));
        async move { host.invoke(request).await }
    });
    let next = world.version("echo", "2", |_| {});
    world.memory.set(&address, &[(&next, 1.0)], None);
    let other = world.describe(&address).await;
    assert_eq!(other["environment"]["AWS_LAMBDA_FUNCTION_VERSION"], "2");
    std::fs::write(&gate, "").unwrap();
    let completed = crate::world::completed(running.await.unwrap());
    assert_eq!(completed.function_error, None);
    assert!(reached.exists());
    until("the old environment is gone", || {
        (world.host.environments(&version).total == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_ends_with_the_host() {
    for launcher in [Launcher::Direct, Launcher::detect(&std::env::var_os("PATH").unwrap())] {
        let world = World::with(|config| config.launcher = launcher.clone(), Deps::system());
        let (address, _) = world.function("echo", |_| {});
        let completed = world.invoke(&address, json!({"do": "child"})).await;
        let seen: Value = serde_json::from_slice(&completed.payload).unwrap();
        let pids = ["pid", "child"].map(|name| seen[name].as_u64().unwrap());
        assert!(pids.iter().all(|pid| is_running(*pid)), "{launcher:?}");
        drop(world);
        until("the processes are gone", || {
            pids.iter().all(|pid| !is_running(*pid)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_shuts_down_gives_up_what_runs() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let pid = world.describe(&address).await["pid"].as_u64().unwrap();
    let running = tokio::spawn({
        let (host, request) = (Arc::clone(&world.host), request(&address, json!({"do": "hang"})));
        async move { host.invoke(request).await }
    });
    until("it runs", || {
        let lines = world.memory.log("/aws/lambda/echo");
        (lines.iter().filter(|line| line.starts_with("START")).count() == 2).then_some(())
    })
    .await;
    world.host.shut_down().await;
    assert_eq!(world.host.environments(&version).total, 0);
    for outcome in [
        running.await.unwrap(),
        world.host.invoke(request(&address, json!({}))).await,
    ] {
        assert!(
            matches!(outcome, InvokeOutcome::Refused { status: 500, .. }),
            "{outcome:?}"
        );
    }
    until("the process is gone", || (!is_running(pid)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_no_version_has_is_removed() {
    let world = World::new();
    let (kept, _) = world.function("kept", |_| {});
    let (gone, _) = world.function("gone", |version| {
        version.code = package(world.root.path(), b"#!/bin/sh\nexit 1\n", 0o755);
    });
    world.describe(&kept).await;
    world.invoke(&gone, json!({})).await;
    let unpacked = || {
        std::fs::read_dir(world.root.path().join("runtime/code"))
            .unwrap()
            .count()
    };
    assert_eq!(unpacked(), 2);
    world.memory.remove(&gone);
    until("one is removed", || (unpacked() == 1).then_some(())).await;
    world.describe(&kept).await;
}

/// Re-runs this test binary as a host of its own, kills it, and looks for what it left behind.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_killed_host() {
    for launcher in ["direct", "detect"] {
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifecycle::a_host_to_be_killed", "--ignored", "--nocapture"])
            .env("HOST_TO_BE_KILLED", root.path())
            .env("HOST_LAUNCHER", launcher)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let noted = root.path().join("pid");
        let pid: u64 = until("the function runs", || {
            std::fs::read_to_string(&noted).ok()?.parse().ok()
        })
        .await;
        assert!(is_running(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        let memory = Arc::default();
        // A direct child may still run now; the next host on the same root ends it.
        let _next = (launcher == "direct").then(|| host(root.path(), &memory, |_| {}, Deps::system()));
        until("the function is gone", || (!is_running(pid)).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by nothing_outlives_a_killed_host in a process of its own"]
async fn a_host_to_be_killed() {
    let Some(root) = std::env::var_os("HOST_TO_BE_KILLED") else {
        return;
    };
    let root = std::path::PathBuf::from(root);
    let direct = std::env::var("HOST_LAUNCHER").unwrap() == "direct";
    let world = World::at(root.clone(), |config| {
        if direct {
            config.launcher = Launcher::Direct;
        }
    });
    let (address, _) = world.function("echo", |_| {});
    let order = json!({"write_pid": root.join("pid"), "do": "hang"});
    world.host.invoke(request(&address, order)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_at_once_and_tried_again() {
    let retry = Duration::from_millis(10);
    let world = World::with(|config| config.retry_delays = vec![retry, retry], Deps::system());
    let (address, _) = world.function("echo", |_| {});
    let queue = |name: &str| Some(format!("arn:aws:sqs:eu-central-1:000000000000:{name}"));
    *world.memory.asynchronous.lock().unwrap() = Asynchronous {
        on_success: queue("well"),
        on_failure: queue("badly"),
        dead_letters: queue("dead"),
        ..Asynchronous::default()
    };
    let event = |order: Value| InvokeRequest {
        kind: InvokeKind::Event,
        ..request(&address, order)
    };
    let outcome = world
        .host
        .invoke(event(json!({"print": "running", "do": "fail"})))
        .await;
    let InvokeOutcome::Accepted { request_id } = outcome else {
        panic!("{outcome:?}")
    };
    let reports = || {
        let lines = world.memory.log("/aws/lambda/echo");
        lines
            .into_iter()
            .filter(|line| line.starts_with(&format!("REPORT RequestId: {request_id}")))
            .count()
    };
    until("it has run three times", || (reports() == 3).then_some(())).await;
    let outcome = world.host.invoke(event(json!({}))).await;
    let InvokeOutcome::Accepted { request_id: other } = outcome else {
        panic!("{outcome:?}")
    };
    until("the other has run", || {
        world
            .memory
            .log("/aws/lambda/echo")
            .iter()
            .any(|line| line.contains(&format!("END RequestId: {other}")))
            .then_some(())
    })
    .await;
    assert_eq!(reports(), 3);

    // Results and dead letters go where they should.
    let sent = until("the results", || {
        let sent = world.memory.sent.lock().unwrap().clone();
        (sent.len() == 3).then_some(sent)
    })
    .await;
    let to = |name: &str| {
        sent.iter()
            .find(|one| Some(&one.destination) == queue(name).as_ref())
            .unwrap()
    };
    let record: Value = serde_json::from_str(&to("badly").body).unwrap();
    let expected = json!({
        "requestId": request_id, "functionArn": address.qualified_arn(), "condition": "RetriesExhausted", "approximateInvokeCount": 3,
    });
    assert_eq!(record["requestContext"], expected);
    assert_eq!(record["requestPayload"], json!({"print": "running", "do": "fail"}));
    assert_eq!(record["responsePayload"]["errorMessage"], "as told");
    let dead = to("dead");
    assert_eq!(dead.body, json!({"print": "running", "do": "fail"}).to_string());
    let OutgoingKind::DeadLetter { attributes } = &dead.kind else {
        panic!("{dead:?}")
    };
    assert_eq!(attributes[0], ("RequestID", request_id));
    let record: Value = serde_json::from_str(&to("well").body).unwrap();
    assert_eq!(record["requestContext"]["condition"], "Success");
    let counted = |name: &str| world.memory.sum("AWS/Lambda", name, &["echo"]);
    assert_eq!(
        (counted("AsyncEventsReceived"), counted("AsyncEventsDropped")),
        (Some(2.0), Some(1.0))
    );
    let missing = InvokeRequest {
        kind: InvokeKind::Event,
        ..request(&crate::world::address("none", None), json!({}))
    };
    assert!(matches!(world.host.invoke(missing).await, InvokeOutcome::NotFound(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_choose_the_version_for_each_invocation() {
    let rolls = Arc::new(std::sync::Mutex::new(vec![0.95, 0.05, 0.5].into_iter().cycle()));
    let deps = Deps::system().with_chance(move || rolls.lock().unwrap().next().unwrap());
    let world = World::with(|_| {}, deps);
    let (old, new) = (world.version("echo", "1", |_| {}), world.version("echo", "2", |_| {}));
    let alias = address("echo", Some("live"));
    world.memory.set(&alias, &[(&old, 0.9), (&new, 0.1)], None);
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.push(world.invoke(&alias, json!({})).await.executed_version);
    }
    assert_eq!(versions, ["1", "2", "1"]);
    assert_eq!(
        world
            .memory
            .sum("AWS/Lambda", "Invocations", &["echo", "echo:live", "2"]),
        Some(1.0)
    );
    assert_eq!(
        world
            .memory
            .sum("AWS/Lambda", "Invocations", &["echo", "echo:live", "1"]),
        Some(2.0)
    );
    assert_eq!(
        world.memory.sum("AWS/Lambda", "Invocations", &["echo", "echo:live"]),
        Some(3.0)
    );
}
