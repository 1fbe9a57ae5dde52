#![expect(clippy::unwrap_used, reason = "a test may panic")]

use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};

use super::*;
use crate::testing::{event, recorder};

fn request(headers: Value) -> Value {
    json!({"version": "2.0", "routeKey": "GET /hello/{name}", "rawPath": "/hello/ann", "headers": headers,
        "stageVariables": {"release": "7", "color": "blue"},
        "requestContext": {"http": {"method": "GET", "path": "/hello/ann"}}, "isBase64Encoded": false})
}

/// Answer and line of one request to a handler.
async fn ask<A, H, F>(function: H, payload: &Value) -> (Value, Value)
where
    A: Serialize,
    H: Fn(LambdaEvent<Value>) -> F,
    F: Future<Output = Result<A, Error>>,
{
    let (answer, line) = handler(function, recorder()).invoke(event(payload)).await;
    (answer, serde_json::from_str(&line).unwrap_or_default())
}

#[tokio::test]
async fn an_answer_is_logged_counted_and_says_who_gave_it() {
    let (answer, line) = ask(
        async |_| Ok(json!({"statusCode": 201, "headers": {"X-Version": "mine", "a": "b"}, "body": "made"})),
        &request(json!({})),
    )
    .await;
    let expected = json!({"statusCode": 201, "body": "made",
        "headers": {"X-Version": "mine", "a": "b", "x-request-id": "r-1", "x-release": "7"}});
    assert_eq!(answer, expected);
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
    let expected = json!(["INFO", "request", "r-1", "GET /hello/{name}", 201, true, "7", "3", 1]);
    assert_eq!(json!(told.map(|name| &line[name])), expected);
}

#[tokio::test]
async fn what_has_no_status_is_the_body_of_a_200() {
    let (answer, line) = ask(async |_| Ok(json!({"hello": "ann"})), &request(json!({}))).await;
    assert_eq!(
        (&answer["statusCode"], &answer["body"]),
        (&json!(200), &json!(r#"{"hello":"ann"}"#))
    );
    assert_eq!(answer["headers"]["content-type"], "application/json");
    assert_eq!(line["status"], 200);
    let (answer, _) = ask(async |_| Ok("text"), &request(json!({}))).await;
    assert_eq!(answer["body"], "text");
}

#[derive(Debug, thiserror::Error)]
#[error("the table is gone")]
struct Broken(#[source] std::io::Error);

#[tokio::test]
async fn an_error_or_a_panic_is_a_500_with_its_cause_in_the_log_only() {
    let failed = async |_| Err::<Value, Error>(Broken(std::io::Error::other("it was deleted")).into());
    let panicked = async |_| -> Result<Value, Error> { panic!("the sky fell") };
    let (one, other) = (
        ask(failed, &request(json!({}))).await,
        ask(panicked, &request(json!({}))).await,
    );
    for ((answer, line), cause) in [(one, "the table is gone: it was deleted"), (other, "the sky fell")] {
        assert_eq!((&answer["statusCode"], &line["level"]), (&json!(500), &json!("ERROR")));
        assert!(line["error"].as_str().unwrap().contains(cause), "{line}");
        assert_eq!(line["Responses5xx"], 1);
        assert!(!answer.to_string().contains(cause), "{answer}");
        assert_eq!(answer["headers"]["x-release"], "7");
    }
}

#[tokio::test]
async fn a_warm_up_event_is_answered_and_neither_logged_nor_handled() {
    let function = async |_: LambdaEvent<Value>| -> Result<Value, Error> { panic!("handled") };
    let (answer, line) = handler(function, recorder())
        .invoke(event(&json!({"warmup": true})))
        .await;
    assert_eq!((answer, line), (json!({"statusCode": 204}), String::new()));
}

#[tokio::test]
async fn a_header_that_typed_events_refuse_does_not_cost_the_request() {
    let function = async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = if event.payload.headers.contains_key("accept") {
            200
        } else {
            400
        };
        Ok(response)
    };
    for headers in [
        json!({"accept": "a/b", "x y": "1"}),
        json!({"accept": "a/b", "x": "a\u{0}b"}),
        json!({"accept": "a/b", "x-name": "Jürgen"}),
    ] {
        let (answer, line) = handler(function, recorder())
            .invoke(event(&request(headers.clone())))
            .await;
        assert_eq!(answer["statusCode"], 200, "{headers}: {line}");
    }
}

#[tokio::test]
async fn an_event_that_does_not_fit_the_handler_is_a_400() {
    let function = async |_: LambdaEvent<ApiGatewayV2httpRequest>| Ok(json!({"statusCode": 200}));
    let (answer, line) = handler(function, recorder())
        .invoke(event(&json!({"Records": []})))
        .await;
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["x-release"]),
        (&json!(400), &json!("unknown"))
    );
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["route"], "unknown");
}
