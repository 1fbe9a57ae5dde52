//! The event that a function gets: payload format 2.0.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;

use super::hop_by_hop;
use crate::ports::{ApiSnapshot, StageSnapshot};

/// A request as it came in.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    pub(super) method: &'a str,
    /// Decoded, with stage prefix.
    pub(super) path: &'a str,
    /// As sent, without `?`.
    pub(super) query: &'a str,
    pub(super) protocol: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) source_ip: IpAddr,
    pub(super) server_port: u16,
    pub(super) request_id: &'a str,
    pub(super) trace_id: &'a str,
    pub(super) time: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'a str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: BTreeMap<&'a str, String>,
    is_base64_encoded: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stage_variables: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'a str,
    api_id: &'a str,
    domain_name: String,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'a str,
    stage: &'a str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'a str,
    source_ip: String,
    user_agent: String,
}

/// The event, as JSON.
pub(super) fn event(
    api: &ApiSnapshot,
    stage: &StageSnapshot,
    route_key: &str,
    path_parameters: BTreeMap<&str, String>,
    incoming: &Incoming<'_>,
    body: &Bytes,
) -> serde_json::Result<Bytes> {
    let (body, encoding) = encode(incoming.headers, body);
    let event = Event {
        version: "2.0",
        route_key,
        raw_path: incoming.path,
        raw_query_string: incoming.query,
        cookies: cookies(incoming.headers),
        headers: headers(incoming),
        query_string_parameters: query_parameters(incoming.query),
        request_context: RequestContext {
            account_id: &api.account,
            api_id: &api.api_id,
            domain_name: domain_name(api),
            domain_prefix: &api.api_id,
            http: Http {
                method: incoming.method,
                path: incoming.path,
                protocol: incoming.protocol,
                source_ip: incoming.source_ip.to_string(),
                user_agent: user_agent(incoming.headers),
            },
            request_id: incoming.request_id,
            route_key,
            stage: &stage.name,
            time: clf_time(incoming.time),
            time_epoch: incoming.time.as_millisecond(),
        },
        body,
        path_parameters,
        is_base64_encoded: encoding == Encoding::Base64,
        stage_variables: &stage.variables,
    };
    serde_json::to_vec(&event).map(Bytes::from)
}

/// The name that the API has on AWS.
pub(super) fn domain_name(api: &ApiSnapshot) -> String {
    format!("{}.execute-api.{}.amazonaws.com", api.api_id, api.region)
}

/// `10/Oct/2000:13:55:36 +0000`
pub(super) fn clf_time(time: Timestamp) -> String {
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// The `User-Agent`, empty when there is none.
pub(super) fn user_agent(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).map(text).unwrap_or_default()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| {
            text(value)
                .split(';')
                .map(|cookie| cookie.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn headers(incoming: &Incoming<'_>) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in incoming.headers {
        if *name == COOKIE || hop_by_hop::is_hop_by_hop(name) {
            continue;
        }
        append(&mut headers, name, &text(value));
    }
    // The load balancer in front of the gateway adds these.
    let source_ip = incoming.source_ip.to_string();
    headers
        .entry("x-forwarded-for".to_owned())
        .and_modify(|forwarded| *forwarded = format!("{forwarded}, {source_ip}"))
        .or_insert(source_ip);
    headers.insert("x-forwarded-port".to_owned(), incoming.server_port.to_string());
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    headers.insert("x-amzn-trace-id".to_owned(), incoming.trace_id.to_owned());
    headers.entry(HOST.as_str().to_owned()).or_default();
    headers
}

fn append(headers: &mut BTreeMap<String, String>, name: &HeaderName, value: &str) {
    match headers.get_mut(name.as_str()) {
        Some(values) => {
            values.push(',');
            values.push_str(value);
        }
        None => drop(headers.insert(name.as_str().to_owned(), value.to_owned())),
    }
}

fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match parameters.get_mut(name.as_ref()) {
            Some(values) => {
                values.push(',');
                values.push_str(&value);
            }
            None => drop(parameters.insert(name.into_owned(), value.into_owned())),
        }
    }
    parameters
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    Base64,
}

fn encode(headers: &HeaderMap, body: &Bytes) -> (Option<String>, Encoding) {
    if body.is_empty() {
        return (None, Encoding::Text);
    }
    let content_type = headers.get(CONTENT_TYPE).map(text).unwrap_or_default();
    match std::str::from_utf8(body) {
        Ok(body) if is_text(&content_type) => (Some(body.to_owned()), Encoding::Text),
        Ok(_) | Err(_) => (Some(STANDARD.encode(body)), Encoding::Base64),
    }
}

/// Whether bodies of a content type arrive as text.
fn is_text(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(
            essence.as_str(),
            "application/json" | "application/javascript" | "application/xml"
        )
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use std::net::Ipv4Addr;

    use http::Request;
    use serde_json::Value;

    use super::*;
    use crate::ports::{ExecuteApiEndpoint, RouteSettings};

    fn stage(name: &str, variables: &[(&str, &str)]) -> StageSnapshot {
        StageSnapshot {
            name: name.to_owned(),
            deployment: None,
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            default_route_settings: RouteSettings::default(),
            route_settings: BTreeMap::new(),
            access_log: None,
        }
    }

    fn event_of(
        request: &http::Request<&str>,
        path: &str,
        stage: &StageSnapshot,
        parameters: BTreeMap<&str, String>,
    ) -> Value {
        let api = ApiSnapshot {
            api_id: "abc123".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "000000000000".to_owned(),
            endpoint: ExecuteApiEndpoint::Enabled,
            stages: BTreeMap::new(),
        };
        let incoming = Incoming {
            method: request.method().as_str(),
            path,
            query: request.uri().query().unwrap_or_default(),
            protocol: "HTTP/1.1",
            headers: request.headers(),
            source_ip: Ipv4Addr::LOCALHOST.into(),
            server_port: 8080,
            request_id: "JKJaXmPLvHcESHA=",
            trace_id: "Root=1-5f84c7a9-0",
            time: Timestamp::from_millisecond(1_583_348_638_390).unwrap(),
        };
        let body = Bytes::copy_from_slice(request.body().as_bytes());
        let event = event(&api, stage, "POST /tasks/{taskId}", parameters, &incoming, &body).unwrap();
        serde_json::from_slice(&event).unwrap()
    }

    #[test]
    fn an_event_with_everything() {
        let request = Request::post("/preview/tasks/a%20b?tag=x&tag=y%2Cz&empty=&plus=a+b")
            .header("Host", "127.0.0.1:8080")
            .header("Content-Type", "application/json; charset=utf-8")
            .header("Cookie", "one=1; two=2")
            .header("Cookie", "three=3")
            .header("X-Many", "a")
            .header("X-Many", "b")
            .header("User-Agent", "curl/8")
            .header("Connection", "keep-alive")
            .header("X-Forwarded-For", "10.0.0.1")
            .body(r#"{"title":"x"}"#)
            .unwrap();
        let stage = stage("preview", &[("release", "42"), ("color", "green")]);
        let parameters = BTreeMap::from([("taskId", "a b".to_owned())]);
        let event = event_of(&request, "/preview/tasks/a b", &stage, parameters);
        insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap(), @r#"
        {
          "version": "2.0",
          "routeKey": "POST /tasks/{taskId}",
          "rawPath": "/preview/tasks/a b",
          "rawQueryString": "tag=x&tag=y%2Cz&empty=&plus=a+b",
          "cookies": [
            "one=1",
            "two=2",
            "three=3"
          ],
          "headers": {
            "content-type": "application/json; charset=utf-8",
            "host": "127.0.0.1:8080",
            "user-agent": "curl/8",
            "x-amzn-trace-id": "Root=1-5f84c7a9-0",
            "x-forwarded-for": "10.0.0.1, 127.0.0.1",
            "x-forwarded-port": "8080",
            "x-forwarded-proto": "http",
            "x-many": "a,b"
          },
          "queryStringParameters": {
            "empty": "",
            "plus": "a b",
            "tag": "x,y,z"
          },
          "requestContext": {
            "accountId": "000000000000",
            "apiId": "abc123",
            "domainName": "abc123.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abc123",
            "http": {
              "method": "POST",
              "path": "/preview/tasks/a b",
              "protocol": "HTTP/1.1",
              "sourceIp": "127.0.0.1",
              "userAgent": "curl/8"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /tasks/{taskId}",
            "stage": "preview",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390
          },
          "body": "{\"title\":\"x\"}",
          "pathParameters": {
            "taskId": "a b"
          },
          "isBase64Encoded": false,
          "stageVariables": {
            "color": "green",
            "release": "42"
          }
        }
        "#);
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let request = Request::post("/").header("Host", "h").body("").unwrap();
        let event = event_of(&request, "/", &stage("$default", &[]), BTreeMap::new());
        let members: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            members,
            [
                "version",
                "routeKey",
                "rawPath",
                "rawQueryString",
                "headers",
                "requestContext",
                "isBase64Encoded"
            ]
        );
        assert_eq!(event["rawQueryString"], "");
        assert_eq!(event["requestContext"]["http"]["userAgent"], "");
    }

    fn check_body(content_type: Option<&str>, body: &[u8], expected: (&str, Encoding)) {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        let (text, encoding) = encode(&headers, &Bytes::copy_from_slice(body));
        assert_eq!(
            (text.as_deref(), encoding),
            (Some(expected.0), expected.1),
            "{content_type:?}"
        );
    }

    #[test]
    fn bodies_by_content_type() {
        use Encoding::{Base64, Text};
        check_body(Some("text/plain"), b"hi", ("hi", Text));
        check_body(Some("Application/JSON"), b"{}", ("{}", Text));
        check_body(Some("application/problem+json; charset=utf-8"), b"{}", ("{}", Text));
        check_body(Some("application/javascript"), b"1", ("1", Text));
        check_body(Some("image/svg+xml"), b"<a/>", ("<a/>", Text));
        check_body(Some("application/x-www-form-urlencoded"), b"a=b", ("YT1i", Base64));
        check_body(Some("application/octet-stream"), b"hi", ("aGk=", Base64));
        check_body(None, b"hi", ("aGk=", Base64));
        check_body(Some("text/plain"), b"\xff", ("/w==", Base64));
    }

    #[test]
    fn clf_time_has_english_months_and_utc() {
        let time = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(clf_time(time), "02/Jan/2026:03:04:05 +0000");
    }
}
