//! The response in payload format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::http::Response;

/// What goes back to Lambda.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

impl Answer {
    /// The answer to a warm-up ping.
    pub(super) fn pong() -> Self {
        Self {
            status_code: 204,
            headers: BTreeMap::new(),
            body: None,
            is_base64_encoded: false,
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self {
            status_code: response.status,
            headers: response.headers.into_iter().collect(),
            body: response.body,
            is_base64_encoded: false,
        }
    }
}
