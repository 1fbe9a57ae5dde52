//! How many environments there are, and who is turned away.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use taskctl_local::deps::Deps;
use taskctl_local::ports::{FunctionAddress, InvokeOutcome, Invoker as _, ThrottleReason};
use tokio::task::JoinHandle;

use crate::world::{PATIENCE, World, completed, request, until};

/// Starts an invocation that waits for `gate` in the function.
fn waiting(world: &World, address: &FunctionAddress, gate: &Path) -> JoinHandle<InvokeOutcome> {
    let (host, request) = (Arc::clone(&world.host), request(address, json!({"wait_for": gate})));
    tokio::spawn(async move { host.invoke(request).await })
}

fn pids(outcomes: Vec<Result<InvokeOutcome, tokio::task::JoinError>>) -> BTreeSet<u64> {
    let seen = outcomes.into_iter().map(|outcome| completed(outcome.unwrap()).payload);
    seen.map(|payload| {
        serde_json::from_slice::<Value>(&payload).unwrap()["pid"]
            .as_u64()
            .unwrap()
    })
    .collect()
}

/// How many log lines of a kind there are.
fn lines(world: &World, kind: &str) -> usize {
    world
        .memory
        .log("/aws/lambda/echo")
        .iter()
        .filter(|line| line.starts_with(kind))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_concurrent_invocation_has_an_environment_of_its_own() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let gate = world.root.path().join("gate");
    let running: Vec<_> = (0..8).map(|_| waiting(&world, &address, &gate)).collect();
    until("eight invocations", || (lines(&world, "START") == 8).then_some(())).await;
    std::fs::write(&gate, "").unwrap();
    assert_eq!(pids(join_all(running).await).len(), 8);
    assert_eq!(world.host.environments(&version).total, 8);
    let concurrent = world.memory.data.lock().unwrap();
    let most = concurrent
        .iter()
        .filter(|(_, datum)| datum.name == "ConcurrentExecutions")
        .map(|(_, datum)| datum.value);
    assert_eq!(most.fold(0.0, f64::max), 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_cap_invocations_wait() {
    let world = World::with(|config| config.max_environments = 2, Deps::system());
    let (address, version) = world.function("echo", |_| {});
    let gate = world.root.path().join("gate");
    let running: Vec<_> = (0..6).map(|_| waiting(&world, &address, &gate)).collect();
    until("two environments", || {
        (world.host.environments(&version).total == 2).then_some(())
    })
    .await;
    std::fs::write(&gate, "").unwrap();
    let pids = pids(join_all(running).await);
    assert!((1..=2).contains(&pids.len()), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_after_another_needs_one_environment() {
    // However slow this machine is now.
    let world = World::with(|config| config.settle_time = PATIENCE, Deps::system());
    let (address, version) = world.function("echo", |_| {});
    for _ in 0..200 {
        world.describe(&address).await;
    }
    assert_eq!(world.host.environments(&version).total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_idle_environment_is_used_first() {
    let world = World::new();
    let (address, version) = world.function("echo", |_| {});
    let gates = [world.root.path().join("a"), world.root.path().join("b")];
    let running: Vec<_> = gates.iter().map(|gate| waiting(&world, &address, gate)).collect();
    until("two invocations", || (lines(&world, "START") == 2).then_some(())).await;
    let idle = |count: usize| (world.host.environments(&version).idle == count).then_some(());
    let mut last = None;
    for (done, (gate, running)) in gates.iter().zip(running).enumerate() {
        std::fs::write(gate, "").unwrap();
        let payload = completed(running.await.unwrap()).payload;
        last = serde_json::from_slice::<Value>(&payload).unwrap()["pid"].as_u64();
        until("it is idle", || idle(done + 1)).await;
    }
    for _ in 0..5 {
        assert_eq!(world.describe(&address).await["pid"].as_u64(), last);
        until("it is idle again", || idle(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_concurrency_turns_away() {
    let world = World::new();
    let version = world.version("echo", "1", |_| {});
    let address = crate::world::address("echo", Some("v1"));
    let throttled = |outcome: InvokeOutcome| match outcome {
        InvokeOutcome::Throttled { reason, .. } => reason,
        other => panic!("not throttled: {other:?}"),
    };
    world.memory.set(&address, &[(&version, 1.0)], Some(0));
    let reason = throttled(world.host.invoke(request(&address, json!({}))).await);
    assert_eq!(
        reason,
        ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
    );
    world.memory.set(&address, &[(&version, 1.0)], Some(1));
    let gate = world.root.path().join("gate");
    let running = waiting(&world, &address, &gate);
    until("it runs", || {
        (world.host.environments(&version).total == 1).then_some(())
    })
    .await;
    throttled(world.host.invoke(request(&address, json!({}))).await);
    std::fs::write(&gate, "").unwrap();
    running.await.unwrap();
    // One caller after another is never two at once.
    for _ in 0..50 {
        world.describe(&address).await;
    }
    assert_eq!(world.memory.sum("AWS/Lambda", "Throttles", &["echo"]), Some(2.0));
    assert_eq!(
        world.memory.sum("AWS/Lambda", "Throttles", &["echo", "echo:v1"]),
        Some(2.0)
    );
    assert_eq!(world.memory.sum("AWS/Lambda", "Invocations", &["echo"]), Some(51.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_has_a_limit_too() {
    let world = World::with(|config| config.account_concurrency = 1, Deps::system());
    let (address, version) = world.function("echo", |_| {});
    let gate = world.root.path().join("gate");
    let running = waiting(&world, &address, &gate);
    until("it runs", || {
        (world.host.environments(&version).total == 1).then_some(())
    })
    .await;
    let outcome = world.host.invoke(request(&address, json!({}))).await;
    let InvokeOutcome::Throttled { reason, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reason, ThrottleReason::ConcurrentInvocationLimitExceeded);
    std::fs::write(&gate, "").unwrap();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_does_not_stop_the_function() {
    let world = World::with(|config| config.settle_time = PATIENCE, Deps::system());
    let (address, version) = world.function("echo", |_| {});
    let first = world.describe(&address).await;
    let gate = world.root.path().join("gate");
    let left = world.root.path().join("left");
    let (host, order) = (Arc::clone(&world.host), json!({"wait_for": gate, "touch": left}));
    let invocation = host.invoke(request(&address, order));
    assert!(
        tokio::time::timeout(Duration::from_millis(20), invocation)
            .await
            .is_err()
    );
    std::fs::write(&gate, "").unwrap();
    until("the function has ended", || {
        (lines(&world, "REPORT") == 2).then_some(())
    })
    .await;
    assert!(left.exists());
    assert_eq!(world.describe(&address).await["pid"], first["pid"]);
    assert_eq!(world.host.environments(&version).total, 1);
}
