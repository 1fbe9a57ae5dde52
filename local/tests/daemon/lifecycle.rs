//! Starting, ending, crashing; and that everything is there afterwards.

use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use taskctl_local::{AskedPorts, Ended, LocalError, LocalOptions, LocalState, UpProgress, down, reset, status, up};

use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn up_is_instant_the_second_time() {
    let world = World::new();
    let first = world.up().await;
    assert_eq!(first.state, LocalState::Running);
    // The best of some, since other tests take the machine's time.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let again = up(&world.options, &world.daemon(), |progress| unreachable!("{progress:?}"))
            .await
            .unwrap();
        best = best.min(started.elapsed());
        assert_eq!(again.pid, first.pid);
    }
    assert!(best < Duration::from_millis(200), "{best:?}");
    assert_eq!(down(&world.options).await.unwrap(), Ended::Stopped);
    assert_eq!(status(&world.options).await.state, LocalState::Stopped);
    assert_eq!(down(&world.options).await.unwrap(), Ended::WasStopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_ups_at_once_start_one() {
    let world = World::new();
    let (a, b, c) = tokio::join!(world.up(), world.up(), world.up());
    assert_eq!(a.pid, b.pid);
    assert_eq!(b.pid, c.pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_is_named() {
    let world = World::new();
    let holder = std::net::TcpListener::bind(("127.0.0.1", world.options.ports().endpoint)).unwrap();
    let error = up(&world.options, &world.daemon(), |_| ()).await.unwrap_err();
    assert!(matches!(error, LocalError::PortTaken { .. }), "{error:?}");
    let text = format!("{error} {}", error.hint().unwrap());
    assert!(
        text.contains(&world.options.ports().endpoint.to_string()) && text.contains("--local-port"),
        "{text}"
    );
    drop(holder);
    assert_eq!(world.up().await.state, LocalState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_must_fail_leaves_what_runs_alone() {
    let world = World::running().await;
    let before = status(&world.options).await;
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    let (cache, asked) = (world.options.root.join("empty"), world.options.asked);
    let asking = |asked| LocalOptions {
        asked,
        ..world.options.clone()
    };
    for other in [
        asking(AskedPorts {
            endpoint: Some(taken),
            ..asked
        }),
        asking(AskedPorts {
            websites: Some(taken),
            ..asked
        }),
        // The emulator of another version cannot be installed.
        LocalOptions {
            cache,
            python: Some("/nowhere/python3".into()),
            asked: AskedPorts {
                first_api: asked.first_api.map(|port| port + 1),
                ..asked
            },
            ..world.options.clone()
        },
    ] {
        let error = up(&other, &world.daemon(), |_| ()).await.unwrap_err();
        let is_right = matches!(error, LocalError::PortTaken { port, .. } if port == taken)
            || matches!(error, LocalError::PythonMissing { .. });
        assert!(is_right, "{error:?}");
        let after = status(&world.options).await;
        assert_eq!((after.state, after.pid), (LocalState::Running, before.pid));
        let kept = LocalOptions::new(&world.options.root, &world.options.cache);
        assert_eq!(kept.ports(), world.options.ports());
    }
    // Its own ports, the other way round, are free for it.
    let swapped = asking(AskedPorts {
        endpoint: asked.websites,
        websites: asked.endpoint,
        ..asked
    });
    let after = up(&swapped, &world.daemon(), |_| ()).await.unwrap();
    assert_eq!(after.state, LocalState::Running);
    assert_ne!(after.pid, before.pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_survives_a_restart() {
    let world = World::running().await;
    let made = make_things(&world).await;
    check_things(&world, &made).await;
    world.down().await;
    world.up().await;
    check_things(&world, &made).await;
    reset(&world.options).await.unwrap();
    world.up().await;
    let gone = world
        .rest("apigateway", "GET", &format!("/v2/apis/{}", made.api_id), json!(null))
        .await;
    gone.refused(404, "NotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_emulator_is_replaced_with_its_state() {
    let world = World::running().await;
    let made = make_things(&world).await;
    // A kill loses what was not saved yet, half a second at most.
    for (service, name) in [("dynamodb", "kept"), ("s3", "objects"), ("iam", "hello-role")] {
        let state = world.options.root.join(format!("state/services/{service}.json"));
        until("the saved state", || async {
            std::fs::read_to_string(&state).ok().filter(|text| text.contains(name))
        })
        .await;
    }
    kill(part_pid(&world, "emulator").await);
    let after = until("an incident", || async {
        let status = status(&world.options).await;
        (status.state == LocalState::Running && !status.incidents.is_empty()).then_some(status)
    })
    .await;
    assert_eq!(after.incidents[0].part, "emulator");
    check_things(&world, &made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_background_process_is_started_anew() {
    let world = World::running().await;
    let made = make_things(&world).await;
    // Nothing is lost here: the emulator outlives the background process long enough to save.
    let before = status(&world.options).await;
    let emulator = part_pid(&world, "emulator").await;
    kill(before.pid.unwrap());
    until("the end", || async {
        (status(&world.options).await.state == LocalState::Stopped).then_some(())
    })
    .await;
    let after = world.up().await;
    assert_ne!(after.pid, before.pid);
    check_things(&world, &made).await;
    until("the end of the old emulator", || async {
        rustix::process::test_kill_process(pid(emulator)).is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_background_process_is_waited_for_and_a_hanging_one_replaced() {
    let world = World::running().await;
    let before = status(&world.options).await.pid.unwrap();
    let hold = |signal| kill_process(pid(before), signal).unwrap();

    hold(Signal::STOP);
    let (mut said, daemon) = (Vec::new(), world.daemon());
    let after = up(&world.options, &daemon, |progress| {
        said.push(progress.clone());
        if progress == UpProgress::WaitingForAnswer {
            hold(Signal::CONT);
        }
    });
    let after = after.await.unwrap();
    assert_eq!(said, [UpProgress::WaitingForAnswer]);
    assert_eq!(after.pid, Some(before), "what others work with is not taken from them");

    hold(Signal::STOP);
    let after = world.up().await;
    assert_ne!(after.pid, Some(before));
    assert_eq!(after.state, LocalState::Running);
}

/// What a test made.
struct Made {
    api_id: String,
    url: String,
}

/// A table with an item, an object, a function behind an API.
async fn make_things(world: &World) -> Made {
    let table = json!({
        "TableName": "things", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    });
    world
        .json("dynamodb", "DynamoDB_20120810.CreateTable", table)
        .await
        .ok();
    let item = json!({"TableName": "things", "Item": {"id": {"S": "1"}, "text": {"S": "kept"}}});
    world.json("dynamodb", "DynamoDB_20120810.PutItem", item).await.ok();
    world.call("s3", Method::PUT, "/objects", &[], location()).await.ok();
    world
        .call(
            "s3",
            Method::PUT,
            "/objects/a/b.txt",
            &[("content-type", "text/plain")],
            "kept",
        )
        .await
        .ok();
    let function = world.function("hello", "hello").await;
    let arn = function["FunctionArn"].as_str().unwrap().to_owned();
    let api = world
        .rest(
            "apigateway",
            "POST",
            "/v2/apis",
            json!({"name": "a", "protocolType": "HTTP"}),
        )
        .await
        .value();
    let api_id = api["apiId"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("/v2/apis/{api_id}/{rest}");
    let permission = json!({
        "StatementId": "api", "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com",
        "SourceArn": format!("arn:aws:execute-api:eu-central-1:000000000000:{api_id}/*/*"),
    });
    world
        .rest("lambda", "POST", "/2015-03-31/functions/hello/policy", permission)
        .await
        .ok();
    let integration = json!({"integrationType": "AWS_PROXY", "integrationUri": arn, "payloadFormatVersion": "2.0"});
    let integration = world
        .rest("apigateway", "POST", &path("integrations"), integration)
        .await
        .value();
    let target = format!("integrations/{}", integration["integrationId"].as_str().unwrap());
    let route = json!({"routeKey": "GET /hello", "target": target});
    world.rest("apigateway", "POST", &path("routes"), route).await.ok();
    let deployment = world
        .rest("apigateway", "POST", &path("deployments"), json!({}))
        .await
        .value();
    let stage = json!({"stageName": "$default", "deploymentId": deployment["deploymentId"]});
    world.rest("apigateway", "POST", &path("stages"), stage).await.ok();
    let url = format!("{}/hello", api["apiEndpoint"].as_str().unwrap());
    Made { api_id, url }
}

async fn check_things(world: &World, made: &Made) {
    let key = json!({"TableName": "things", "Key": {"id": {"S": "1"}}});
    let item = world.json("dynamodb", "DynamoDB_20120810.GetItem", key).await.value();
    assert_eq!(item["Item"]["text"]["S"], "kept");
    let object = world.call("s3", Method::GET, "/objects/a/b.txt", &[], "").await.ok();
    assert_eq!(
        (object.text().as_str(), object.headers["content-type"].to_str().unwrap()),
        ("kept", "text/plain")
    );
    let answer = world.get(&made.url).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, b"hello $LATEST".as_slice())
    );
    assert_eq!(status(&world.options).await.apis[0].id, made.api_id);
}

pub fn location() -> &'static str {
    "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>eu-central-1\
     </LocationConstraint></CreateBucketConfiguration>"
}

async fn part_pid(world: &World, name: &str) -> u32 {
    let status = status(&world.options).await;
    status
        .parts
        .iter()
        .find(|part| part.name == name)
        .and_then(|part| part.pid)
        .unwrap()
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}

fn kill(process: u32) {
    kill_process(pid(process), Signal::KILL).unwrap();
}
