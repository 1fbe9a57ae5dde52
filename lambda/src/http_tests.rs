#![expect(clippy::unwrap_used, reason = "a test may panic")]

use axum::Router;
use axum::routing::get;
use lambda_http::Body;

use super::*;
use crate::testing::{event, recorder};

fn request(path: &str, headers: &Value) -> Value {
    json!({"version": "2.0", "routeKey": "ANY /{any+}", "rawPath": path, "rawQueryString": "", "headers": headers,
        "stageVariables": {"release": "7", "color": "blue"}, "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "routeKey": "ANY /{any+}", "http": {"method": "GET", "path": path}}})
}

fn app() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/versioned", get(async || ([("x-version", "mine")], "")))
        .route("/panic", get(async || -> &'static str { panic!("the sky fell") }))
}

/// The whole way of an event through an axum router.
async fn ask(payload: &Value) -> Value {
    let layer = RequestLog::new(recorder());
    let mut events = Events {
        recorder: Arc::clone(&layer.recorder),
        requests: Adapter::from(layer.layer(app())),
    };
    std::future::poll_fn(|context| events.poll_ready(context))
        .await
        .unwrap();
    events.call(event(payload)).await.unwrap()
}

/// Response and line of one request to a service.
async fn answered(status: u16, cause: Option<Cause>) -> Value {
    let LambdaEvent { payload, context } = event(&request("/hello", &json!({})));
    let request: lambda_http::Request = read(payload.get()).unwrap().into();
    let asked = Asked::of(&request.with_lambda_context(context));
    let recorder = recorder();
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(cause) = cause {
        response.extensions_mut().insert(cause);
    }
    let (_, line) = asked.finish(response, &recorder, recorder.started());
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn an_answer_says_who_gave_it() {
    let answer = ask(&request("/hello", &json!({}))).await;
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(200), &json!("hello")));
    let headers = ["x-request-id", "x-release", "x-version"].map(|name| answer["headers"][name].clone());
    assert_eq!(headers, [json!("r-1"), json!("7"), json!("3")]);
    assert_eq!(
        ask(&request("/versioned", &json!({}))).await["headers"]["x-version"],
        "mine"
    );
}

#[tokio::test]
async fn a_request_has_its_line() {
    let line = answered(200, None).await;
    let told = [
        "level",
        "message",
        "requestId",
        "route",
        "status",
        "coldStart",
        "release",
        "version",
        "Requests",
    ];
    let expected = json!(["INFO", "request", "r-1", "ANY /{any+}", 200, true, "7", "3", 1]);
    assert_eq!(json!(told.map(|name| &line[name])), expected);
    let line = answered(503, Some(Cause::of(&std::io::Error::other("the table is gone")))).await;
    assert_eq!(
        (&line["level"], &line["error"]),
        (&json!("ERROR"), &json!("the table is gone"))
    );
}

#[tokio::test]
async fn a_panic_is_a_500_that_does_not_say_why() {
    let answer = ask(&request("/panic", &json!({}))).await;
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["x-release"]),
        (&json!(500), &json!("7"))
    );
    assert!(!answer.to_string().contains("sky"), "{answer}");
}

#[tokio::test]
async fn a_service_that_fails_or_panics_before_it_waits_is_a_500() {
    struct Broken(bool);
    impl Service<Request<Body>> for Broken {
        type Response = Response<Body>;
        type Error = Error;
        type Future = std::future::Ready<Result<Response<Body>, Error>>;
        fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            assert!(!self.0, "at once");
            std::future::ready(Err("no table".into()))
        }
    }
    for panics in [true, false] {
        let mut service = RequestLog::new(recorder()).layer(Broken(panics));
        let response = service.call(Request::new(Body::Empty)).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["x-release"], "unknown");
    }
}

#[tokio::test]
async fn warm_up_events_odd_headers_and_rubbish_are_answered() {
    assert_eq!(ask(&json!({"warmup": true})).await, json!({"statusCode": 204}));
    for headers in [
        json!({"x y": "1"}),
        json!({"x": "a\u{0}b"}),
        json!({"x-name": "Jürgen"}),
    ] {
        assert_eq!(ask(&request("/hello", &headers)).await["statusCode"], 200, "{headers}");
    }
    let answer = ask(&json!({"Records": []})).await;
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["x-version"]),
        (&json!(400), &json!("3"))
    );
}
