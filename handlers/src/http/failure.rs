//! The error classes of the API and their one body shape. What is inside never leaves: the cause goes to the log only.

use std::error::Error;

use serde_json::json;
use taskctl_lambda::cause_chain;

use super::Response;
use crate::ports::StoreError;

/// Seconds after which a throttled client may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 400: the request is wrong; the text names the field.
    #[error("validation error: {0}")]
    Validation(String),
    /// 403: nothing here for anyone.
    #[error("forbidden")]
    Forbidden,
    /// 404
    #[error("not found: {0}")]
    NotFound(String),
    /// 409
    #[error("conflict: {0}")]
    Conflict(String),
    /// 412: `If-Match` names another revision.
    #[error("precondition failed: {0}")]
    PreconditionFailed(String),
    /// 413
    #[error("too large: {0}")]
    TooLarge(String),
    /// 415
    #[error("unsupported media type: {0}")]
    UnsupportedMediaType(String),
    /// 422: the same idempotency key with another body.
    #[error("unprocessable: {0}")]
    Unprocessable(String),
    /// 503: throttled; try again.
    #[error("the service is busy")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// 500
    #[error("internal error")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Status, class and message as the client sees them.
    pub fn shown(&self) -> (u16, &'static str, String) {
        match self {
            Self::Validation(message) => (400, "Validation Error", message.clone()),
            Self::Forbidden => (403, "Forbidden", "This path is not served here.".to_owned()),
            Self::NotFound(message) => (404, "Not Found", message.clone()),
            Self::Conflict(message) => (409, "Conflict", message.clone()),
            Self::PreconditionFailed(message) => (412, "Precondition Failed", message.clone()),
            Self::TooLarge(message) => (413, "Too Large", message.clone()),
            Self::UnsupportedMediaType(message) => (415, "Unsupported Media Type", message.clone()),
            Self::Unprocessable(message) => (422, "Unprocessable", message.clone()),
            Self::Unavailable(_) => (
                503,
                "Unavailable",
                "The service is busy. Please try again in a moment.".to_owned(),
            ),
            Self::Internal(_) => (
                500,
                "Internal Server Error",
                "An unexpected error occurred. Please try again later.".to_owned(),
            ),
        }
    }

    /// The response, with the cause kept for the log.
    pub fn into_response(self, request_id: &str) -> Response {
        let (status, class, message) = self.shown();
        let body = json!({"error": class, "message": message, "requestId": request_id});
        let response = Response::json(status, &body);
        match &self {
            Self::Unavailable(source) => response
                .header("retry-after", RETRY_AFTER_SECONDS.to_string())
                .caused_by(cause_chain(source.as_ref())),
            Self::Internal(source) => response.caused_by(cause_chain(source.as_ref())),
            Self::Validation(_)
            | Self::Forbidden
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::PreconditionFailed(_)
            | Self::TooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::Unprocessable(_) => response,
        }
    }

    /// The 400 for one field.
    pub fn field(name: &str, fault: impl std::fmt::Display) -> Self {
        Self::Validation(format!("'{}' {fault}", shortened(name)))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Throttled { .. } => Self::Unavailable(Box::new(error)),
            StoreError::Failed { .. } => Self::Internal(Box::new(error)),
        }
    }
}

/// A client's own word, short enough for a message.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}
