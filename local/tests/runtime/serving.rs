//! The gateway in front of real functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use serde_json::json;
use taskctl_local::ports::{AccessLog, CorsSnapshot, ExecuteApiEndpoint, InvokeOutcome, Invoker as _, RouteSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::{API, allow, api, deployment, order, read, serve, stage};
use crate::world::{ACCOUNT, REGION, World, request, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_function_and_comes_back() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    world.memory.set_api(api(vec![stage(
        "$default",
        deployment("d1", &function, &["GET /tasks/{taskId}"]),
    )]));
    let served = serve(&world).await;
    let response = served
        .get(&format!("/tasks/7?{}", order(&json!({"do": "event"}))))
        .await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("apigw-requestid"));
    assert_eq!(read(&response)["pathParameters"], json!({"taskId": "7"}));
    assert_eq!(served.get("/tasks").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_have_prefixes_variables_and_deployments_of_their_own() {
    let world = World::new();
    let (old, _) = world.function("old", |_| {});
    let (new, _) = world.function("new", |_| {});
    allow(&world, &old);
    allow(&world, &new);
    let mut live = stage("$default", deployment("d1", &old, &["ANY /tasks"]));
    live.variables.insert("release".to_owned(), "1".to_owned());
    let mut preview = stage("preview", deployment("d2", &new, &["ANY /tasks"]));
    preview.variables.insert("release".to_owned(), "2".to_owned());
    world.memory.set_api(api(vec![live, preview]));
    let served = serve(&world).await;
    let event = order(&json!({"do": "event"}));
    let live = read(&served.get(&format!("/tasks?{event}")).await);
    assert_eq!(
        (&live["rawPath"], &live["stageVariables"]),
        (&json!("/tasks"), &json!({"release": "1"}))
    );
    assert_eq!(live["requestContext"]["stage"], "$default");
    let preview = read(&served.get(&format!("/preview/tasks?{event}")).await);
    assert_eq!(
        (&preview["rawPath"], &preview["stageVariables"]),
        (&json!("/preview/tasks"), &json!({"release": "2"}))
    );
    assert_eq!(preview["requestContext"]["http"]["path"], "/preview/tasks");
    assert_eq!(preview["routeKey"], "ANY /tasks");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_gateway_itself() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    let (forbidden, _) = world.function("forbidden", |_| {});
    allow(&world, &function);
    let mut deployed = deployment(
        "d1",
        &function,
        &["ANY /{proxy+}", "GET /token", "GET /empty", "GET /forbidden"],
    );
    deployed.routes[1].authorization_type = "JWT".to_owned();
    deployed.routes[2].integration_id = None;
    deployed.routes[3].integration_id = Some("i2".to_owned());
    let mut integration = deployed.integrations["i1"].clone();
    integration.integration_uri = forbidden.qualified_arn();
    deployed.integrations.insert("i2".to_owned(), integration);
    world.memory.set_api(api(vec![stage("$default", deployed.clone())]));
    let served = serve(&world).await;
    let check = |response: http::Response<bytes::Bytes>, status: u16, message: &str| {
        assert_eq!(response.status(), status, "{response:?}");
        assert_eq!(read(&response), json!({"message": message}));
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["apigw-requestid"].len(), 16);
    };
    check(served.get("/").await, 404, "Not Found");
    check(served.get("/a%zz").await, 400, "Bad Request");
    check(served.get("/empty").await, 404, "Not Found");
    // Neither a missing permission nor an unknown authorization lets anyone through.
    check(served.get("/token").await, 500, "Internal Server Error");
    check(served.get("/forbidden").await, 500, "Internal Server Error");
    check(
        served.get(&format!("/x?{}", order(&json!({"do": "fail"})))).await,
        500,
        "Internal Server Error",
    );
    check(
        served
            .get(&format!("/x?{}", order(&json!({"do": "raw", "text": "{"}))))
            .await,
        500,
        "Internal Server Error",
    );
    check(
        served
            .get(&format!("/x?{}", order(&json!({"do": "exit", "code": 1}))))
            .await,
        500,
        "Internal Server Error",
    );
    let bad_shape = order(&json!({"do": "respond", "response": {"statusCode": 200, "body": {}}}));
    check(
        served.get(&format!("/x?{bad_shape}")).await,
        500,
        "Internal Server Error",
    );
    let long = Request::get("/").header("x-long", "x".repeat(10_240));
    check(
        served.send(long, "/x", "").await,
        431,
        "Request Header Fields Too Large",
    );
    let large = vec![b'x'; 10 * 1024 * 1024 + 1];
    check(
        served.send(Request::post("/"), "/x", large).await,
        413,
        "Request Entity Too Large",
    );

    let mut disabled = api(vec![stage("$default", deployed)]);
    disabled.endpoint = ExecuteApiEndpoint::Disabled;
    world.memory.set_api(disabled);
    check(served.get("/x").await, 403, "Forbidden");
    world.memory.set_api(api(vec![]));
    check(served.get("/x").await, 404, "Not Found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_and_its_answer_pass_unchanged() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    world
        .memory
        .set_api(api(vec![stage("$default", deployment("d1", &function, &["POST /x"]))]));
    let served = serve(&world).await;
    let event = format!("/x?{}", order(&json!({"do": "event"})));
    let text = Request::post("/").header("content-type", "application/json");
    let seen = read(&served.send(text, &event, r#"{"title":"ü"}"#).await);
    assert_eq!(
        (&seen["body"], &seen["isBase64Encoded"]),
        (&json!(r#"{"title":"ü"}"#), &json!(false))
    );
    assert_eq!(seen["headers"]["content-length"], "14");
    let binary = Request::post("/").header("content-type", "image/png");
    let seen = read(&served.send(binary, &event, vec![0, 159, 146]).await);
    assert_eq!(
        (&seen["body"], &seen["isBase64Encoded"]),
        (&json!("AJ+S"), &json!(true))
    );
    let answer = json!({
        "statusCode": 201,
        "headers": {"content-type": "image/png", "x-own": "1", "connection": "close"},
        "cookies": ["a=1", "b=2"],
        "body": "AJ+S",
        "isBase64Encoded": true,
    });
    let respond = format!("/x?{}", order(&json!({"do": "respond", "response": answer})));
    let response = served.send(Request::post("/"), &respond, "").await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.body().as_ref(), [0, 159, 146]);
    assert_eq!(response.headers()["x-own"], "1");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_origin_rules_come_from_the_api() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    let mut deployed = deployment("d1", &function, &["GET /x"]);
    deployed.cors = Some(CorsSnapshot {
        allow_origins: vec!["http://localhost:1580".to_owned()],
        allow_methods: vec!["GET".to_owned()],
        ..CorsSnapshot::default()
    });
    world.memory.set_api(api(vec![stage("$default", deployed)]));
    let served = serve(&world).await;
    let origin = "http://localhost:1580";
    let preflight = Request::options("/")
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    let response = served.send(preflight, "/none/such", "").await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    assert_eq!(response.headers()["access-control-allow-methods"], "GET");
    assert_eq!(served.send(Request::options("/"), "/none/such", "").await.status(), 204);
    let evil = json!({"statusCode": 200, "headers": {"access-control-allow-origin": "*"}, "body": ""});
    let path = format!("/x?{}", order(&json!({"do": "respond", "response": evil})));
    let response = served.send(Request::get("/").header("origin", origin), &path, "").await;
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let response = served
        .send(Request::get("/").header("origin", "http://evil"), &path, "")
        .await;
    assert_eq!(response.headers().get("access-control-allow-origin"), None);
    // The gateway's own errors can be read by scripts, too.
    let response = served
        .send(Request::get("/").header("origin", origin), "/none", "")
        .await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["access-control-allow-origin"]
        ),
        (404, &origin.parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_stage_turn_away() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    let mut limited = stage("$default", deployment("d1", &function, &["GET /x"]));
    limited.default_route_settings = RouteSettings {
        throttling_rate_limit: Some(0.001),
        throttling_burst_limit: Some(3),
        detailed_metrics: true,
    };
    world.memory.set_api(api(vec![limited]));
    let served = serve(&world).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(served.get("/x").await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(read(&served.get("/x").await), json!({"message": "Too Many Requests"}));
    assert_eq!(world.memory.sum("AWS/ApiGateway", "Count", &[API]), Some(6.0));
    assert_eq!(world.memory.sum("AWS/ApiGateway", "4xx", &[API, "$default"]), Some(3.0));
    assert_eq!(world.memory.sum("AWS/ApiGateway", "5xx", &[API, "$default"]), Some(0.0));
    assert_eq!(
        world
            .memory
            .sum("AWS/ApiGateway", "Count", &[API, "$default", "GET", "/x"]),
        Some(6.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_takes_too_long_is_503_and_goes_on() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    let mut deployed = deployment("d1", &function, &["GET /x"]);
    let integration = deployed.integrations.get_mut("i1").unwrap();
    integration.timeout = Duration::from_millis(300);
    let mut logged = stage("$default", deployed);
    logged.access_log = Some(AccessLog {
        destination_arn: format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/vendedlogs/api"),
        format: "$context.status $context.integrationStatus $context.routeKey $context.integrationErrorMessage"
            .to_owned(),
    });
    world.memory.set_api(api(vec![logged]));
    // Warm, so that the time is the function's.
    world.describe(&function).await;
    let served = serve(&world).await;
    let (gate, left) = (world.root.path().join("gate"), world.root.path().join("left"));
    let path = format!("/x?{}", order(&json!({"wait_for": gate, "touch": left})));
    let response = served.get(&path).await;
    assert_eq!(response.status(), 503);
    assert_eq!(read(&response), json!({"message": "Service Unavailable"}));
    std::fs::write(&gate, "").unwrap();
    until("the function has gone on", || left.exists().then_some(())).await;
    assert_eq!(
        world.memory.log("/aws/vendedlogs/api"),
        ["503 - GET /x Endpoint request timed out"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_function_is_an_internal_error() {
    let world = World::new();
    let version = world.version("echo", "1", |_| {});
    let function = crate::world::address("echo", Some("v1"));
    world.memory.set(&function, &[(&version, 1.0)], Some(0));
    allow(&world, &function);
    world
        .memory
        .set_api(api(vec![stage("$default", deployment("d1", &function, &["GET /x"]))]));
    let served = serve(&world).await;
    assert_eq!(served.get("/x").await.status(), 500);
    let outcome = world.host.invoke(request(&function, json!({}))).await;
    assert!(matches!(outcome, InvokeOutcome::Throttled { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_many_requests() {
    let world = World::new();
    world.memory.set_api(api(vec![]));
    let served = serve(&world).await;
    let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"POST /none HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello")
            .await
            .unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"{\"message\":\"Not Found\"}") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        assert!(seen.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_seen_by_the_next_request_and_loses_none() {
    let world = World::new();
    let (old, _) = world.function("old", |_| {});
    let (new, _) = world.function("new", |_| {});
    allow(&world, &old);
    allow(&world, &new);
    let releases = [("d1", &old), ("d2", &new)];
    let switch = |index: usize| {
        let (id, function) = releases[index % 2];
        let mut live = stage("$default", deployment(id, function, &["GET /x"]));
        live.variables.insert("release".to_owned(), id.to_owned());
        world.memory.set_api(api(vec![live]));
    };
    switch(0);
    let served = Arc::new(serve(&world).await);
    let path = Arc::new(format!("/x?{}", order(&json!({"do": "event"}))));
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (served, path, stop, sent) = (
                Arc::clone(&served),
                Arc::clone(&path),
                Arc::clone(&stop),
                Arc::clone(&sent),
            );
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let response = served.get(&path).await;
                    assert_eq!(response.status(), 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for index in 1..=20 {
        switch(index);
        // The very next request is served by the new deployment.
        let seen = read(&served.get(&path).await);
        assert_eq!(seen["stageVariables"]["release"], releases[index % 2].0);
    }
    until("enough requests", || (sent.load(Ordering::Relaxed) > 50).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_finishes_what_is_in_flight() {
    let world = World::new();
    let (function, _) = world.function("echo", |_| {});
    allow(&world, &function);
    world
        .memory
        .set_api(api(vec![stage("$default", deployment("d1", &function, &["GET /x"]))]));
    world.describe(&function).await;
    let served = serve(&world).await;
    let (reached, gate) = (world.root.path().join("reached"), world.root.path().join("gate"));
    let path = format!("/x?{}", order(&json!({"touch_first": reached, "wait_for": gate})));
    let client = served.client.clone();
    let uri = format!("http://{}{path}", served.address).parse().unwrap();
    let running = tokio::spawn(async move { client.get(uri).await.unwrap().status() });
    until("it is in flight", || reached.exists().then_some(())).await;
    served.stop.send(()).unwrap();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(running.await.unwrap(), 200);
    served.server.await.unwrap();
    assert!(tokio::net::TcpStream::connect(served.address).await.is_err());
}
