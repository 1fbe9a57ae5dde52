//! What comes in: a request in payload format 2.0, a warm-up ping, or something that is neither.

use std::collections::HashMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::http::{Body, Query, Request, Stage};

/// The value of a stage variable that is not set.
const UNKNOWN: &str = "unknown";

/// An event.
#[derive(Debug)]
pub enum Event {
    /// A request.
    Request(Box<Request>),
    /// Keeps the environment warm; there is nothing to do.
    Ping,
    /// No request; what is known of it, and why.
    Unreadable(Box<Request>, String),
}

/// A ping has no HTTP part: `{"warmup": true}`, or a scheduled event as EventBridge sends it.
#[derive(Deserialize)]
struct PingEvent {
    #[serde(default)]
    warmup: bool,
    #[serde(default)]
    source: Option<String>,
}

impl Event {
    /// Reads a payload.
    pub fn read(request_id: &str, payload: &str) -> Self {
        match serde_json::from_str::<ApiGatewayV2httpRequest>(payload) {
            Ok(event) => Self::Request(Box::new(request(request_id, event))),
            Err(_) if is_ping(payload) => Self::Ping,
            Err(error) => {
                let fault = format!("the event is not an HTTP request in payload format 2.0: {error}");
                Self::Unreadable(Box::new(unknown(request_id)), fault)
            }
        }
    }
}

fn is_ping(payload: &str) -> bool {
    serde_json::from_str::<PingEvent>(payload)
        .is_ok_and(|ping| ping.warmup || matches!(ping.source.as_deref(), Some("aws.events" | "aws.scheduler")))
}

fn request(request_id: &str, event: ApiGatewayV2httpRequest) -> Request {
    let mut variables = event.stage_variables;
    let mut variable = |name: &str| variables.remove(name).unwrap_or_else(|| UNKNOWN.to_owned());
    let stage = Stage {
        release: variable("release"),
        color: variable("color"),
    };
    let slot = event.request_context.stage.unwrap_or_default();
    let raw_path = event.raw_path.unwrap_or_default();
    let query = match event.raw_query_string.as_deref() {
        Some(raw) if !raw.is_empty() => Query::parse(raw),
        Some(_) | None => {
            let pairs = event.query_string_parameters.iter();
            Query::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
        }
    };
    let headers = event.headers.iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    Request {
        id: request_id.to_owned(),
        method: event.request_context.http.method.as_str().to_owned(),
        route_key: event.route_key.or(event.request_context.route_key).unwrap_or_default(),
        path: without_stage(&raw_path, &slot).to_owned(),
        path_parameters: event.path_parameters,
        headers: headers.collect(),
        query,
        body: body(event.body, event.is_base64_encoded),
        stage,
    }
}

/// The path of a named stage begins with the stage's name.
fn without_stage<'a>(path: &'a str, stage: &str) -> &'a str {
    if stage.is_empty() || stage == "$default" {
        return path;
    }
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => path,
    }
}

fn body(body: Option<String>, base64: bool) -> Body {
    match body {
        None => Body::Empty,
        Some(text) if text.is_empty() => Body::Empty,
        Some(text) if base64 => STANDARD.decode(text).map_or(Body::Undecodable, Body::Bytes),
        Some(text) => Body::Bytes(text.into_bytes()),
    }
}

fn unknown(request_id: &str) -> Request {
    Request {
        id: request_id.to_owned(),
        method: String::new(),
        route_key: UNKNOWN.to_owned(),
        path: String::new(),
        path_parameters: HashMap::new(),
        headers: HashMap::new(),
        query: Query::default(),
        body: Body::Empty,
        stage: Stage {
            release: UNKNOWN.to_owned(),
            color: UNKNOWN.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_no_part_of_the_path() {
        assert_eq!(without_stage("/preview/tasks", "preview"), "/tasks");
        assert_eq!(without_stage("/preview", "preview"), "/");
        assert_eq!(without_stage("/previews/tasks", "preview"), "/previews/tasks");
        assert_eq!(without_stage("/tasks", "$default"), "/tasks");
    }

    #[test]
    fn pings_and_rubbish_are_told_apart() {
        assert!(matches!(Event::read("r", r#"{"warmup":true}"#), Event::Ping));
        assert!(matches!(
            Event::read("r", r#"{"source":"aws.events","detail":{}}"#),
            Event::Ping
        ));
        for rubbish in [
            "{}",
            "null",
            "[]",
            "7",
            r#"{"requestContext":{"http":{"method":"\u0000"}}}"#,
        ] {
            assert!(matches!(Event::read("r", rubbish), Event::Unreadable(..)), "{rubbish}");
        }
    }

    #[test]
    fn a_request_is_read() {
        let payload = r#"{"version":"2.0","routeKey":"POST /tasks","rawPath":"/preview/tasks","rawQueryString":"limit=2",
            "headers":{"Content-Type":"application/json"},"stageVariables":{"release":"7","color":"blue"},
            "requestContext":{"stage":"preview","http":{"method":"POST"}},"body":"e30=","isBase64Encoded":true}"#;
        let Event::Request(request) = Event::read("r", payload) else {
            panic!("no request")
        };
        assert_eq!(
            (request.path.as_str(), request.body.clone()),
            ("/tasks", Body::Bytes(b"{}".to_vec()))
        );
        assert_eq!(
            request.stage,
            Stage {
                release: "7".to_owned(),
                color: "blue".to_owned()
            }
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.query.limit().ok(), Some(2));
    }
}
