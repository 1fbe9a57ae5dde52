//! Answers of the REST-JSON services, and their parts.

use ::http::header::HeaderValue;
use ::http::{Response, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Fault;
use crate::protocol::http::{Body, ReadError, answer, collect};

/// Largest body that is read: that of Lambda, a zip of 50 MB in base64.
const LARGEST_BODY: usize = 70_167_211;

/// Errors of Lambda whose text is in `Message`; in its other ones, and in those of its front, it is in `message`.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html#API_GetFunction_Errors>
const WITH_CAPITAL: [&str; 3] = ["AccessDeniedException", "ResourceNotFoundException", "ServiceException"];

/// Which service words an error.
#[derive(Clone, Copy)]
pub(super) enum Style {
    ApiGateway,
    Lambda,
    Scheduler,
}

/// A successful answer of a REST-JSON service.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON body; none is an empty one.
    pub body: Option<Value>,
}

impl Reply {
    /// An answer with a body.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        Self {
            status,
            body: serde_json::to_value(body).ok(),
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, body: None }
    }
}

/// A new id of so many characters out of `[a-z0-9]`, as API Gateway makes them.
pub(crate) fn new_id(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = uuid::Uuid::new_v4().as_u128();
    (0..length)
        .map(|_| {
            let index = usize::try_from(random % 36).unwrap_or_default();
            random /= 36;
            char::from(ALPHABET[index])
        })
        .collect()
}

/// The time now, RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time now, milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The time now, seconds since the epoch.
pub(crate) fn now_seconds() -> f64 {
    now_ms() as f64 / 1000.0
}

/// One page of a list, and where the next one begins.
pub(crate) fn page<T>(items: Vec<T>, size: usize, token: Option<&str>) -> Result<(Vec<T>, Option<String>), ()> {
    let start: usize = token.map_or(Ok(0), str::parse).map_err(drop)?;
    let next = start.saturating_add(size);
    let more = next < items.len();
    Ok((
        items.into_iter().skip(start).take(size).collect(),
        more.then(|| next.to_string()),
    ))
}

/// Reads the body of a call of an operation.
pub(super) async fn read(body: Body, operation: &str) -> Result<Bytes, Fault> {
    collect(body, LARGEST_BODY).await.map_err(|error| match error {
        ReadError::TooLarge { limit } => Fault::new(
            413,
            "RequestEntityTooLargeException",
            format!("Request must be smaller than {limit} bytes for the {operation} operation"),
        ),
        ReadError::Broken(error) => Fault::new(400, "RequestAbortedException", error.to_string()),
    })
}

/// The answer of a call, or its refusal in the words of the service.
pub(super) fn respond(result: Result<Reply, Fault>, style: Style) -> Response<Body> {
    let mut response = match result {
        Ok(Reply { status, body }) => {
            let bytes = body.map(|body| body.to_string()).unwrap_or_default();
            answer(status_of(status), "application/json", bytes)
        }
        Err(Fault {
            status,
            code,
            message,
            fields,
        }) => {
            let mut body = json!({});
            body[match style {
                Style::Lambda if WITH_CAPITAL.contains(&code) => "Message",
                Style::Scheduler => "Message",
                Style::ApiGateway | Style::Lambda => "message",
            }] = message.into();
            for (name, value) in fields {
                body[name] = value;
            }
            let mut response = answer(status_of(status), "application/json", body.to_string());
            response
                .headers_mut()
                .insert("x-amzn-errortype", HeaderValue::from_static(code));
            response
        }
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    response
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert_eq!(new_id(10).len(), 10);
        assert_ne!(new_id(10), new_id(10));
    }

    #[test]
    fn pages() {
        assert_eq!(page(vec![1, 2, 3], 2, None), Ok((vec![1, 2], Some("2".to_owned()))));
        assert_eq!(page(vec![1, 2, 3], 2, Some("2")), Ok((vec![3], None)));
        assert_eq!(page(vec![1, 2], 2, None), Ok((vec![1, 2], None)));
        assert_eq!(page(vec![1], 2, Some("x")), Err(()));
    }
}
