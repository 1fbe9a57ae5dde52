//! The errors that Lambda itself reports about a function, with its names and wording.
//!
//! Error types and texts as the troubleshooting page shows them:
//! <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

/// Largest response of a synchronous invocation, bytes (6 MB and Lambda's allowance for its envelope).
pub(super) const RESPONSE_LIMIT: usize = 6_291_556;

/// Why an invocation, or the start of an environment, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The package has no `bootstrap`.
    NoBootstrap,
    /// `bootstrap` cannot be executed; the reason in the kernel's words.
    NotExecutable(String),
    /// The process ended by itself.
    Exited(ExitStatus),
    /// The runtime reported that it cannot start.
    Init { error_type: String, body: Bytes },
    /// Start took too long.
    InitTimeout(Duration),
    /// The invocation took too long.
    Timeout(Duration),
    /// The function reported an error.
    Function { error_type: String, body: Bytes },
    /// The response was larger than allowed.
    ResponseTooLarge,
    /// The package cannot be unpacked, or another fault of this machine.
    Internal(String),
}

impl Failure {
    /// `errorType` of the answer and of the report line.
    pub(super) fn error_type(&self) -> &str {
        match self {
            Self::NoBootstrap | Self::NotExecutable(_) => "Runtime.InvalidEntrypoint",
            Self::Exited(_) => "Runtime.ExitError",
            Self::Init { error_type, .. } | Self::Function { error_type, .. } => error_type,
            Self::InitTimeout(_) | Self::Timeout(_) => "Sandbox.Timedout",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::Internal(_) => "Runtime.Unknown",
        }
    }

    /// The error message, without the request id.
    pub(super) fn message(&self) -> String {
        match self {
            Self::NoBootstrap => "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned(),
            Self::NotExecutable(reason) => format!("fork/exec /var/task/bootstrap: {reason}"),
            Self::Exited(status) => exit_message(*status),
            Self::Init { .. } | Self::Function { .. } => self.error_type().to_owned(),
            Self::InitTimeout(limit) | Self::Timeout(limit) => {
                format!("Task timed out after {:.2} seconds", limit.as_secs_f64())
            }
            Self::ResponseTooLarge => {
                format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).")
            }
            Self::Internal(reason) => reason.clone(),
        }
    }

    /// The payload that the caller gets.
    pub(super) fn payload(&self, request_id: &str) -> Bytes {
        match self {
            Self::Init { body, .. } | Self::Function { body, .. } => body.clone(),
            Self::ResponseTooLarge => json!({"errorType": self.error_type(), "errorMessage": self.message()})
                .to_string()
                .into(),
            Self::NoBootstrap
            | Self::NotExecutable(_)
            | Self::Exited(_)
            | Self::InitTimeout(_)
            | Self::Timeout(_)
            | Self::Internal(_) => {
                let message = format!("RequestId: {request_id} Error: {}", self.message());
                json!({"errorType": self.error_type(), "errorMessage": message})
                    .to_string()
                    .into()
            }
        }
    }

    /// `status` of the report: `timeout`, `failure` (the environment is gone) or `error`.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::InitTimeout(_) | Self::Timeout(_) => "timeout",
            Self::Exited(_) | Self::NoBootstrap | Self::NotExecutable(_) | Self::Internal(_) => "failure",
            Self::Init { .. } | Self::Function { .. } | Self::ResponseTooLarge => "error",
        }
    }

    /// Whether the environment may serve again.
    pub(super) fn environment(&self) -> Environment {
        match self {
            Self::Function { .. } | Self::ResponseTooLarge => Environment::Reusable,
            Self::NoBootstrap
            | Self::NotExecutable(_)
            | Self::Exited(_)
            | Self::Init { .. }
            | Self::InitTimeout(_)
            | Self::Timeout(_)
            | Self::Internal(_) => Environment::Lost,
        }
    }
}

/// The effect of a failure on its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    /// It serves on.
    Reusable,
    /// A fresh one comes next.
    Lost,
}

fn exit_message(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
        (None, None) => "Runtime exited with error".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "floating point exception".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: &Failure, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&failure.payload("id-1")), expected);
    }

    #[test]
    fn payloads_as_lambda_words_them() {
        check(
            &Failure::Timeout(Duration::from_secs(3)),
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: id-1 Error: Task timed out after 3.00 seconds"}"#,
        );
        check(
            &Failure::Exited(ExitStatus::from_raw(1 << 8)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: id-1 Error: Runtime exited with error: exit status 1"}"#,
        );
        check(
            &Failure::Exited(ExitStatus::from_raw(9)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: id-1 Error: Runtime exited with error: signal: killed"}"#,
        );
        check(
            &Failure::NotExecutable("exec format error".to_owned()),
            r#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: id-1 Error: fork/exec /var/task/bootstrap: exec format error"}"#,
        );
        check(
            &Failure::Function {
                error_type: "E".to_owned(),
                body: "{}".into(),
            },
            "{}",
        );
    }
}
