//! One call of a function version.

use aws_sdk_lambda::types::LogType;
use base64::Engine as _;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::kinds::lambda;

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoked {
    /// The answer.
    pub payload: String,
    /// The last 4 KB that it logged.
    pub log: String,
    /// `Unhandled` when the function failed.
    pub error: Option<String>,
}

/// Calls a version through its alias, once.
pub async fn invoke(context: &Context, function: &str, version: &str, payload: &str) -> Result<Invoked, AwsError> {
    let call = op("lambda", "Invoke").once().upload();
    let called = lambda::version::invoke(context, call, (function, version), payload, Some(LogType::Tail)).await?;
    let log = called
        .log
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    Ok(Invoked {
        payload: called.payload,
        log: log
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
        error: called.error,
    })
}
