//! What comes in: a request in payload format 2.0, a warm-up event, or something that is neither.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The value of a stage variable that is not set, and of a route that is not known.
pub(crate) const UNKNOWN: &str = "unknown";

/// An event.
#[derive(Debug)]
pub enum Event {
    /// A request.
    Request(Box<HttpEvent>),
    /// Keeps the environment warm; there is nothing to do.
    Ping,
    /// No request, and why.
    Unreadable(String),
}

/// A request in payload format 2.0, as far as functions need it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpEvent {
    /// The route that the gateway matched, e.g. `GET /tasks/{taskId}` or `$default`.
    pub route_key: Option<String>,
    /// The path, with the stage's name before it where the stage has one.
    pub raw_path: Option<String>,
    /// The query string as it was sent.
    pub raw_query_string: Option<String>,
    /// Headers by lower-case name. One that is no header of HTTP is left out.
    #[serde(deserialize_with = "headers")]
    pub headers: HashMap<String, String>,
    /// The query string's parameters.
    #[serde(deserialize_with = "texts")]
    pub query_string_parameters: HashMap<String, String>,
    /// The values of the route's parameters.
    #[serde(deserialize_with = "texts")]
    pub path_parameters: HashMap<String, String>,
    /// The stage's variables.
    #[serde(deserialize_with = "texts")]
    pub stage_variables: HashMap<String, String>,
    /// The body.
    pub body: Option<String>,
    /// Whether the body is base64.
    pub is_base64_encoded: bool,
    /// What the gateway knows of the request.
    pub request_context: RequestContext,
}

/// What the gateway knows of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestContext {
    /// The API's stage.
    pub stage: Option<String>,
    /// The route that the gateway matched.
    pub route_key: Option<String>,
    /// The request line.
    pub http: RequestLine,
}

/// The request line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RequestLine {
    /// The method, upper case.
    pub method: String,
}

/// Which release and colour took the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Stage variable `release`.
    pub release: String,
    /// Stage variable `color`.
    pub color: String,
}

impl Stage {
    /// Out of the stage's variables; what they lack is `unknown`.
    pub fn of<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        let variable = |name| variable(name).unwrap_or(UNKNOWN).to_owned();
        Self {
            release: variable("release"),
            color: variable("color"),
        }
    }
}

/// A warm-up event has no HTTP part: `{"warmup": true}`, or a scheduled event as EventBridge sends it.
#[derive(Deserialize)]
struct PingEvent {
    #[serde(default)]
    warmup: bool,
    #[serde(default)]
    source: Option<String>,
}

impl Event {
    /// Reads a payload.
    pub fn read(payload: &str) -> Self {
        let fault = match serde_json::from_str::<HttpEvent>(payload) {
            Ok(event) if is_token(&event.request_context.http.method) => return Self::Request(Box::new(event)),
            Ok(_) => "it has no method".to_owned(),
            Err(error) => error.to_string(),
        };
        if is_ping(payload) {
            return Self::Ping;
        }
        Self::Unreadable(format!(
            "the event is not an HTTP request in payload format 2.0: {fault}"
        ))
    }
}

impl HttpEvent {
    /// Which release and colour took it.
    pub fn stage(&self) -> Stage {
        Stage::of(|name| self.stage_variables.get(name).map(String::as_str))
    }

    /// The route that the gateway matched.
    pub fn route(&self) -> Option<&str> {
        self.route_key.as_deref().or(self.request_context.route_key.as_deref())
    }
}

/// Whether a payload only keeps the environment warm.
pub(crate) fn is_ping(payload: &str) -> bool {
    serde_json::from_str::<PingEvent>(payload)
        .is_ok_and(|ping| ping.warmup || matches!(ping.source.as_deref(), Some("aws.events" | "aws.scheduler")))
}

/// The payload without headers that typed events refuse to be read with, when it has such.
pub(crate) fn without_odd_headers(payload: &str) -> Option<String> {
    let mut event: Value = serde_json::from_str(payload).ok()?;
    let headers = event.get_mut("headers")?.as_object_mut()?;
    let before = headers.len();
    headers.retain(|name, value| is_token(name) && value.as_str().is_some_and(is_ascii_text));
    (headers.len() < before).then(|| event.to_string())
}

/// Headers: whatever can be one.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, String>, D::Error> {
    let given = texts(deserializer)?;
    let headers = given
        .into_iter()
        .filter(|(name, value)| is_token(name) && is_text(value));
    Ok(headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect())
}

/// Texts by name; `null` is none, and what is no text is left out.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, String>, D::Error> {
    let given = Option::<HashMap<Cow<'de, str>, Value>>::deserialize(deserializer)?;
    let texts = given.into_iter().flatten().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name.into_owned(), text)),
        _ => None,
    });
    Ok(texts.collect())
}

/// Whether a text is a token, as methods and names of headers are: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a header may have this value: <https://www.rfc-editor.org/rfc/rfc9110#section-5.5>.
fn is_text(value: &str) -> bool {
    value
        .chars()
        .all(|character| character == '\t' || !character.is_control())
}

/// Whether it is what `http::HeaderValue` reads from a string.
fn is_ascii_text(value: &str) -> bool {
    is_text(value) && value.is_ascii()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pings_and_rubbish_are_told_apart() {
        assert!(matches!(Event::read(r#"{"warmup":true}"#), Event::Ping));
        assert!(matches!(
            Event::read(r#"{"source":"aws.events","detail":{}}"#),
            Event::Ping
        ));
        for rubbish in [
            "{}",
            "null",
            "[]",
            "7",
            r#"{"requestContext":{"http":{"method":"\u0000"}}}"#,
        ] {
            assert!(matches!(Event::read(rubbish), Event::Unreadable(_)), "{rubbish}");
        }
    }

    #[test]
    fn a_request_that_calls_itself_a_ping_is_a_request() {
        let request = r#"{"warmup":true,"source":"aws.events","requestContext":{"http":{"method":"GET"}}}"#;
        assert!(matches!(Event::read(request), Event::Request(_)));
    }

    #[test]
    fn one_odd_header_costs_itself_and_not_the_request() {
        let event = json!({
            "headers": {"X-Name": "Jürgen", "accept": "a/b", "x y": "1", "": "2", "nul": "a\u{0}b", "number": 7, "none": null},
            "queryStringParameters": null,
            "requestContext": {"http": {"method": "GET"}},
        });
        let Event::Request(read) = Event::read(&event.to_string()) else {
            panic!("no request")
        };
        let mut headers: Vec<_> = read
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        headers.sort_unstable();
        assert_eq!(headers, [("accept", "a/b"), ("x-name", "Jürgen")]);
    }

    #[test]
    fn what_a_stage_does_not_say_is_unknown() {
        let stage = Stage::of(|name| (name == "release").then_some("7"));
        assert_eq!((stage.release.as_str(), stage.color.as_str()), ("7", "unknown"));
    }
}
