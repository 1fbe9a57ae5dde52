//! From a function's answer to a response: the rules of payload format 2.0, and the gateway's own answers.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html#http-api-develop-integrations-lambda.response>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, SERVER, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::hop_by_hop;

/// A response on its way out.
pub(super) type Outgoing = Response<Full<Bytes>>;

/// Why a function's answer cannot become a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidResponse {
    #[error("the function did not answer with JSON")]
    NotJson,
    #[error("the function answered with an invalid {member}")]
    Member { member: String },
}

/// An answer of the gateway itself.
pub(super) fn message(status: StatusCode) -> Outgoing {
    let text = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or("Internal Server Error"),
    };
    json_response(status, Bytes::from(json!({"message": text}).to_string()))
}

fn json_response(status: StatusCode, body: Bytes) -> Outgoing {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The response that a function's answer stands for.
pub(super) fn from_payload(payload: &Bytes) -> Result<Outgoing, InvalidResponse> {
    let answer: Value = serde_json::from_slice(payload).map_err(|_| InvalidResponse::NotJson)?;
    match answer {
        Value::Object(answer) if answer.contains_key("statusCode") => formatted(answer),
        Value::String(text) => Ok(json_response(StatusCode::OK, text.into())),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            Ok(json_response(StatusCode::OK, payload.clone()))
        }
    }
}

fn formatted(mut answer: Map<String, Value>) -> Result<Outgoing, InvalidResponse> {
    let status = status(&answer["statusCode"]).ok_or_else(|| invalid("statusCode"))?;
    let encoded = match answer.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(encoded)) => *encoded,
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(invalid("isBase64Encoded"));
        }
    };
    let body = match answer.remove("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(body)) if encoded => STANDARD.decode(body).map_err(|_| invalid("body"))?.into(),
        Some(Value::String(body)) => body.into(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => return Err(invalid("body")),
    };
    let mut headers = headers(answer.get("headers"))?;
    for cookie in cookies(answer.get("cookies"))? {
        headers.append(SET_COOKIE, cookie);
    }
    let bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    }
    let mut response = Response::new(Full::new(if bodiless { Bytes::new() } else { body }));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn status(value: &Value) -> Option<StatusCode> {
    let code = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // An informational status is no answer.
    if !(200..=599).contains(&code) {
        return None;
    }
    StatusCode::from_u16(u16::try_from(code).ok()?).ok()
}

fn headers(value: Option<&Value>) -> Result<HeaderMap, InvalidResponse> {
    let mut headers = HeaderMap::new();
    let given = match value {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(given)) => given,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(invalid("headers"));
        }
    };
    for (name, value) in given {
        let fault = || invalid(&format!("header {name}"));
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(fault()),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| fault())?;
        if let Some(name) = outgoing_name(name) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// The name under which a header is sent; `None` for headers that the gateway sets itself.
fn outgoing_name(name: HeaderName) -> Option<HeaderName> {
    if hop_by_hop::is_hop_by_hop(&name) || name == CONTENT_LENGTH {
        None
    } else if name == DATE {
        Some(HeaderName::from_static("x-amzn-remapped-date"))
    } else if name == SERVER {
        Some(HeaderName::from_static("x-amzn-remapped-server"))
    } else {
        Some(name)
    }
}

fn cookies(value: Option<&Value>) -> Result<Vec<HeaderValue>, InvalidResponse> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(cookies)) => cookies
            .iter()
            .map(|cookie| {
                let cookie = cookie.as_str().ok_or_else(|| invalid("cookies"))?;
                HeaderValue::from_bytes(cookie.as_bytes()).map_err(|_| invalid("cookies"))
            })
            .collect(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => Err(invalid("cookies")),
    }
}

fn invalid(member: &str) -> InvalidResponse {
    InvalidResponse::Member {
        member: member.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    use super::*;

    /// Status, headers and body in one line.
    fn shown(payload: &str) -> String {
        let response = match from_payload(&Bytes::copy_from_slice(payload.as_bytes())) {
            Ok(response) => response,
            Err(error) => return format!("error: {error}"),
        };
        let (parts, body) = response.into_parts();
        let headers: Vec<String> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let body = futures::executor::block_on(body.collect()).unwrap().to_bytes();
        format!(
            "{} [{}] {}",
            parts.status.as_u16(),
            headers.join("; "),
            String::from_utf8_lossy(&body)
        )
        .trim_end()
        .to_owned()
    }

    fn check(payload: &str, expected: &str) {
        assert_eq!(shown(payload), expected, "{payload}");
    }

    #[test]
    fn an_answer_without_status_is_the_body() {
        check(
            r#"{"message": "hi"}"#,
            r#"200 [content-type: application/json] {"message": "hi"}"#,
        );
        check(
            r#"{"body":"x"}"#,
            r#"200 [content-type: application/json] {"body":"x"}"#,
        );
        check(r#""Hello""#, "200 [content-type: application/json] Hello");
        check("[1]", "200 [content-type: application/json] [1]");
        check("null", "200 [content-type: application/json] null");
    }

    #[test]
    fn an_answer_with_status_is_a_response() {
        check(r#"{"statusCode":204}"#, "204 []");
        check(
            r#"{"statusCode":"201","body":"x"}"#,
            "201 [content-type: text/plain;charset=utf-8] x",
        );
        check(
            r#"{"statusCode":200,"headers":{"Content-Type":"a/b","X-N":1,"X-T":true,"X-Z":null},"body":"x","multiValueHeaders":{"q":["1"]}}"#,
            "200 [content-type: a/b; x-n: 1; x-t: true] x",
        );
        check(
            r#"{"statusCode":200,"headers":{"content-type":"a/b"},"cookies":["a=1; Path=/","b=2"],"body":"aGk=","isBase64Encoded":true}"#,
            "200 [content-type: a/b; set-cookie: a=1; Path=/; set-cookie: b=2] hi",
        );
        check(
            r#"{"statusCode":304,"headers":{"etag":"x"},"body":"dropped"}"#,
            "304 [etag: x]",
        );
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        check(
            r#"{"statusCode":200,"headers":{"content-type":"a/b","Connection":"close","Transfer-Encoding":"chunked","Content-Length":"9","Date":"now","Keep-Alive":"1"},"body":"x"}"#,
            "200 [content-type: a/b; x-amzn-remapped-date: now] x",
        );
    }

    #[test]
    fn invalid_answers() {
        check("", "error: the function did not answer with JSON");
        check("{", "error: the function did not answer with JSON");
        for (payload, member) in [
            (r#"{"statusCode":null}"#, "statusCode"),
            (r#"{"statusCode":"abc"}"#, "statusCode"),
            (r#"{"statusCode":99}"#, "statusCode"),
            (r#"{"statusCode":101}"#, "statusCode"),
            (r#"{"statusCode":200.5}"#, "statusCode"),
            (r#"{"statusCode":200,"body":{}}"#, "body"),
            (r#"{"statusCode":200,"headers":[]}"#, "headers"),
            (r#"{"statusCode":200,"headers":{"a":[]}}"#, "header a"),
            (r#"{"statusCode":200,"headers":{"a b":"x"}}"#, "header a b"),
            (r#"{"statusCode":200,"headers":{"a":"x\ny"}}"#, "header a"),
            (r#"{"statusCode":200,"cookies":"a=1"}"#, "cookies"),
            (r#"{"statusCode":200,"isBase64Encoded":"yes"}"#, "isBase64Encoded"),
            (r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#, "body"),
        ] {
            check(
                payload,
                &format!("error: the function answered with an invalid {member}"),
            );
        }
    }

    #[test]
    fn messages_of_the_gateway() {
        for (status, expected) in [
            (400, "Bad Request"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (413, "Request Entity Too Large"),
            (429, "Too Many Requests"),
            (500, "Internal Server Error"),
            (503, "Service Unavailable"),
        ] {
            let response = message(StatusCode::from_u16(status).unwrap());
            assert_eq!(response.status().as_u16(), status);
            let body = futures::executor::block_on(response.into_body().collect())
                .unwrap()
                .to_bytes();
            assert_eq!(body, format!(r#"{{"message":"{expected}"}}"#));
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::String),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec(("\\PC{0,8}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_a_response_or_an_error(
            status in prop_oneof![Just(json!(200)), Just(json!("404")), json()],
            headers in json(),
            cookies in json(),
            body in json(),
            encoded in json(),
        ) {
            let answer = json!({
                "statusCode": status, "headers": headers, "cookies": cookies, "body": body, "isBase64Encoded": encoded,
            });
            if let Ok(response) = from_payload(&answer.to_string().into()) {
                prop_assert!((200..=599).contains(&response.status().as_u16()));
                prop_assert!(!response.headers().contains_key("transfer-encoding"));
            }
        }
    }
}
