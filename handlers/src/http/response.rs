//! A response before it is turned into the gateway's payload format.

use serde::Serialize;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON text, when there is a body.
    pub body: Option<String>,
    /// Why it went wrong, for the log only.
    pub cause: Option<String>,
}

impl Response {
    /// A JSON response.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Serialising our own values fails only for map keys that are not strings, which there are none of.
        let body = serde_json::to_string(body).unwrap_or_default();
        Self::json_text(status, body)
    }

    /// A response whose JSON is written already.
    pub fn json_text(status: u16, body: String) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: Some(body),
            cause: None,
        }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: None,
            cause: None,
        }
    }

    /// This response with a header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// This response with its cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: String) -> Self {
        self.cause = Some(cause);
        self
    }
}
