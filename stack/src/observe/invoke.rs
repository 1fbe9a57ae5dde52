//! One call of a function version.

use aws_sdk_lambda::types::LogType;
use base64::Engine as _;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;

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
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub async fn invoke(context: &Context, function: &str, version: &str, payload: &str) -> Result<Invoked, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "Invoke").once().upload(), || {
            client
                .invoke()
                .function_name(function)
                .qualifier(format!("v{version}"))
                .log_type(LogType::Tail)
                .payload(payload.as_bytes().to_vec().into())
                .send()
        })
        .await?;
    let log = answer
        .log_result()
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Invoked {
        payload: answer
            .payload()
            .map(|payload| text(payload.as_ref()))
            .unwrap_or_default(),
        log: log.map(|bytes| text(&bytes)).unwrap_or_default(),
        error: answer.function_error().map(str::to_owned),
    })
}
