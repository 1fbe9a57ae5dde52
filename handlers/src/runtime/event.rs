//! What comes in: a request in payload format 2.0, a warm-up ping, or something that is neither.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskctl_lambda::{HttpEvent, Stage};

use crate::http::{Body, Query, Request};

/// The route of what is no request.
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

impl Event {
    /// Reads a payload.
    pub fn read(request_id: &str, payload: &str) -> Self {
        match taskctl_lambda::Event::read(payload) {
            taskctl_lambda::Event::Request(event) => Self::Request(Box::new(request(request_id, *event))),
            taskctl_lambda::Event::Ping => Self::Ping,
            taskctl_lambda::Event::Unreadable(fault) => Self::Unreadable(Box::new(unknown(request_id)), fault),
        }
    }
}

fn request(request_id: &str, event: HttpEvent) -> Request {
    let stage = event.stage();
    let slot = event.request_context.stage.unwrap_or_default();
    let raw_path = event.raw_path.unwrap_or_default();
    let query = match event.raw_query_string.as_deref() {
        Some(raw) if !raw.is_empty() => Query::parse(raw),
        Some(_) | None => Query::from_pairs(event.query_string_parameters),
    };
    Request {
        id: request_id.to_owned(),
        method: event.request_context.http.method,
        route_key: event.route_key.or(event.request_context.route_key).unwrap_or_default(),
        path: without_stage(&raw_path, &slot).to_owned(),
        path_parameters: event.path_parameters,
        headers: event.headers,
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
        stage: Stage::of(|_| None),
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
