//! SDK errors as the ports know them.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::ports::{HotSpot, StoreError};

/// Error codes that mean "later": <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.
const THROTTLES: [&str; 6] = [
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "SlowDown",
];

/// Whether an error code means that the request was throttled.
pub(super) fn is_throttle(code: &str) -> bool {
    THROTTLES.contains(&code)
}

/// What the service said, as text: its types do not leave this module, its secrets are not in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Any text as the source of an error.
pub(super) fn said(text: impl Into<String>) -> Box<dyn Error + Send + Sync> {
    Box::new(Said(text.into()))
}

/// An SDK error of an operation; `hot` is what was too hot, should it be throttling.
pub(super) fn store_error<E>(operation: &'static str, hot: HotSpot, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default()
        .to_owned();
    let text = match error.as_service_error() {
        Some(service) => format!("{code}: {}", service.message().unwrap_or("no message")),
        None => DisplayErrorContext(&error).to_string(),
    };
    if is_throttle(&code) {
        return StoreError::Throttled {
            operation,
            hot,
            source: said(text),
        };
    }
    StoreError::Failed {
        operation,
        source: said(text),
    }
}
