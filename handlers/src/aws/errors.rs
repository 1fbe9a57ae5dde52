//! SDK errors as the ports know them. A log line gets their operation, kind and code, and words that this module chose: what AWS
//! says, and what the SDK's own `Display` and `Debug` show, may hold what was sent.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

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

/// Longest code that AWS has, by far.
const LONGEST_CODE: usize = 80;

/// Whether an error code means that the request was throttled.
pub(super) fn is_throttle(code: &str) -> bool {
    THROTTLES.contains(&code)
}

/// What became of a call, as text: the SDK's types do not leave this module.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Words of ours as the source of an error.
pub(super) fn said(text: impl Into<String>) -> Box<dyn Error + Send + Sync> {
    Box::new(Said(text.into()))
}

/// An error code as it may be logged: one word of letters and digits, as AWS's are. Anything else is no code.
pub(super) fn shown_code(code: Option<&str>) -> &str {
    let is_code = |code: &&str| {
        (1..=LONGEST_CODE).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    code.filter(is_code).unwrap_or("unknown error")
}

/// An SDK error of an operation; `hot` is what was too hot, should it be throttling.
pub(super) fn store_error<E>(operation: &'static str, hot: HotSpot, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata,
{
    let source = said(told(&error));
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    match code {
        Some(code) if is_throttle(code) => StoreError::Throttled { operation, hot, source },
        Some(_) | None => StoreError::Failed { operation, source },
    }
}

fn told<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be made".to_owned(),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let kind = if failure.is_timeout() {
                "no answer in time"
            } else if failure.is_io() {
                "the connection failed"
            } else if failure.is_user() {
                "the request could not be made"
            } else {
                "the request could not be sent"
            };
            match failure.as_connector_error().and_then(|error| io_kind(error)) {
                Some(io) => format!("{kind}: {io}"),
                None => kind.to_owned(),
            }
        }
        SdkError::ResponseError(response) => {
            format!(
                "the answer could not be read (HTTP {})",
                response.raw().status().as_u16()
            )
        }
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = shown_code(service.err().code());
            match service.err().message().and_then(denied_action) {
                Some(action) => format!("{code} (HTTP {status}): not authorized to perform {action}"),
                None => format!("{code} (HTTP {status})"),
            }
        }
        _ => "it failed in a way that is not known here".to_owned(),
    }
}

/// The action that a role lacks, out of the sentence that names it, and nothing else of that sentence:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
fn denied_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("is not authorized to perform: ")?;
    let action = rest.split_whitespace().next()?;
    let (service, name) = action.split_once(':')?;
    let is_action = matches!(service, "dynamodb" | "s3" | "kms")
        && (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_action.then_some(action)
}

/// What the operating system said, where it said something: `connection refused`.
fn io_kind(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind().to_string());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_word() {
        assert_eq!(shown_code(Some("ValidationException")), "ValidationException");
        for other in [
            None,
            Some(""),
            Some("a@b.co"),
            Some("two words"),
            Some("a\nb"),
            Some("é"),
        ] {
            assert_eq!(shown_code(other), "unknown error", "{other:?}");
        }
        assert_eq!(shown_code(Some(&"x".repeat(81))), "unknown error");
    }

    #[test]
    fn an_action_is_found_in_its_sentence_only() {
        let said = |action: &str| {
            format!(
                "User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: {action} on resource: arn:aws:z"
            )
        };
        assert_eq!(denied_action(&said("dynamodb:PutItem")), Some("dynamodb:PutItem"));
        for other in [
            "ann@example.com",
            "dynamodb:ann@example.com",
            "ann:secret",
            "dynamodb:",
            "s3",
        ] {
            assert_eq!(denied_action(&said(other)), None, "{other}");
        }
        assert_eq!(denied_action("dynamodb:PutItem of ann@example.com"), None);
    }

    #[test]
    fn what_the_system_said_is_found_below_other_errors() {
        let io = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "canary@example.com");
        let wrapped = std::io::Error::other(io);
        assert_eq!(io_kind(&wrapped).as_deref(), Some("other error"));
        assert_eq!(io_kind(&Said("x".to_owned())), None);
    }
}
