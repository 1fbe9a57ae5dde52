//! What AWS's errors mean. The code is the contract; where two meanings share a code, the message tells them apart. Here
//! are the codes that all services share; those that mean something else in one service stand with its kinds.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::aws::client::service::{Rule, rule};

/// A call that AWS refused, or that never came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}:{operation} failed{}: {message}", .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct AwsError {
    /// Service, as its IAM prefix spells it.
    pub service: &'static str,
    /// Operation.
    pub operation: &'static str,
    /// Error code, where AWS gave one.
    pub code: Option<String>,
    /// Message, or what happened to the connection.
    pub message: String,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// AWS's request id, to quote to support.
    pub request_id: Option<String>,
    /// What it means.
    pub kind: ErrorKind,
    /// Nothing answered: there is no network, no such host, or no one listens there.
    pub is_unreached: bool,
}

/// What an error means to whoever made the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing is not there.
    NotFound,
    /// The thing is there already.
    AlreadyExists,
    /// Too fast: slow down and repeat.
    Throttled,
    /// AWS or the network failed; the call may or may not have been processed.
    Transient,
    /// Something made a moment ago is not known everywhere yet: repeat.
    Settling,
    /// The thing is being changed by an earlier call: repeat.
    Busy,
    /// A condition of the call (ETag, revision) no longer holds.
    Precondition,
    /// A permission is missing.
    Denied,
    /// Credentials are missing, wrong or expired.
    Credentials,
    /// A quota of the account is used up.
    Quota,
    /// The request can never work as it is.
    Invalid,
    /// The operator asked to stop before the call was made.
    Interrupted,
    /// The lease was lost before the call was made.
    LeaseLost,
}

/// What codes mean in every service.
const GENERAL: &[Rule] = &[
    rule(
        &[
            "Throttling",
            "Throttled",
            "RequestThrottled",
            "TooManyRequests",
            "RequestLimitExceeded",
            "ProvisionedThroughputExceeded",
            "BandwidthLimitExceeded",
            "SlowDown",
            "PriorRequestNotComplete",
            "LimitExceeded",
        ],
        "",
        ErrorKind::Throttled,
    ),
    rule(
        &[
            "ExpiredToken",
            "InvalidClientTokenId",
            "UnrecognizedClient",
            "SignatureDoesNotMatch",
            "InvalidSignature",
            "RequestTimeTooSkewed",
            "RequestExpired",
            "AuthFailure",
            "MissingAuthenticationToken",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "OptInRequired",
        ],
        "",
        ErrorKind::Credentials,
    ),
    rule(
        &[
            "AccessDenied",
            "Forbidden",
            "UnauthorizedOperation",
            "Unauthorized",
            "AuthorizationError",
        ],
        "",
        ErrorKind::Denied,
    ),
    rule(
        &["ResourceNotFound", "NotFound", "NoSuchEntity", "404"],
        "",
        ErrorKind::NotFound,
    ),
    rule(&["ServiceQuotaExceeded", "QuotaExceeded"], "", ErrorKind::Quota),
    rule(
        &[
            "InternalServerError",
            "InternalError",
            "InternalFailure",
            "ServiceUnavailable",
            "Service",
            "RequestTimeout",
            "ServerError",
        ],
        "",
        ErrorKind::Transient,
    ),
];

/// Finds the meaning of an error. `own` are the rules of the service.
pub fn classify(own: &[Rule], code: Option<&str>, message: &str, status: Option<u16>) -> ErrorKind {
    let message = message.to_lowercase();
    if let Some(code) = code {
        let code = code.rsplit('#').next().unwrap_or(code);
        let short = code.strip_suffix("Exception").unwrap_or(code);
        let fits = |rule: &&Rule| {
            (rule.codes.contains(&short) || rule.codes.contains(&code)) && message.contains(rule.message)
        };
        if let Some(rule) = own.iter().chain(GENERAL).find(fits) {
            return rule.kind;
        }
    }
    match status {
        Some(404) => ErrorKind::NotFound,
        Some(403) => ErrorKind::Denied,
        Some(412) => ErrorKind::Precondition,
        Some(429) => ErrorKind::Throttled,
        Some(status) if status >= 500 => ErrorKind::Transient,
        Some(_) => ErrorKind::Invalid,
        None => ErrorKind::Transient,
    }
}

impl AwsError {
    /// From what the SDK reports. `own` are the rules of the service.
    pub fn from_sdk<E>(
        service: &'static str,
        operation: &'static str,
        own: &[Rule],
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error {
            SdkError::ServiceError(context) => {
                let inner = context.err();
                let code = inner.code().map(str::to_owned);
                let message = match (inner.message(), &code) {
                    (Some(message), _) => message.to_owned(),
                    (None, Some(_)) => inner.to_string(),
                    (None, None) => not_understood(context.raw()),
                };
                let kind = classify(own, code.as_deref(), &message, status);
                let request_id = inner.meta().extra("aws_request_id").map(str::to_owned);
                Self {
                    service,
                    operation,
                    code,
                    message: single_line(&message),
                    status,
                    request_id,
                    kind,
                    is_unreached: false,
                }
            }
            other => {
                let message = single_line(&chain(other));
                let lower = message.to_lowercase();
                let kind = match other {
                    SdkError::ConstructionFailure(_) if lower.contains("credential") || lower.contains("token") => {
                        ErrorKind::Credentials
                    }
                    SdkError::ConstructionFailure(_) => ErrorKind::Invalid,
                    SdkError::DispatchFailure(_) if lower.contains("credential") => ErrorKind::Credentials,
                    SdkError::ResponseError(_) => match status {
                        Some(status) if status < 500 => classify(own, None, &message, Some(status)),
                        Some(_) | None => ErrorKind::Transient,
                    },
                    _ => ErrorKind::Transient,
                };
                let is_unreached = kind == ErrorKind::Transient
                    && matches!(other, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_));
                let message = match kind {
                    ErrorKind::Credentials => credentials_message(other),
                    _ if is_unreached => single_line(&innermost(other)),
                    _ => message,
                };
                Self {
                    service,
                    operation,
                    code: None,
                    message,
                    status,
                    request_id: None,
                    kind,
                    is_unreached,
                }
            }
        }
    }

    /// An error of our own making about a call that was not, or not rightly, answered.
    pub fn own(service: &'static str, operation: &'static str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            service,
            operation,
            code: None,
            message: message.into(),
            status: None,
            request_id: None,
            kind,
            is_unreached: false,
        }
    }

    /// Says where nothing answered.
    pub(super) fn at(mut self, endpoint: impl FnOnce() -> String) -> Self {
        if self.is_unreached {
            self.message = format!("{} cannot be reached: {}", endpoint(), self.message);
        }
        self
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            ErrorKind::Credentials if self.is_about_time() => Some(
                "the clock of this machine and that of AWS are more than five minutes apart: set it right (`timedatectl set-ntp true`), then run the same command again"
                    .to_owned(),
            ),
            ErrorKind::Credentials => Some(
                "check the credentials: `aws sts get-caller-identity`, `aws sso login`, AWS_PROFILE or --profile; then run the same command again"
                    .to_owned(),
            ),
            ErrorKind::Denied => Some(format!(
                "the caller lacks {}; add it to the deployer's policy (`taskctl export policy` prints a sufficient one) and run the same command again",
                self.denied_action().unwrap_or_else(|| format!("{}:{}", self.service, self.operation))
            )),
            ErrorKind::Quota => Some(
                "raise the quota in Service Quotas, or remove what is no longer needed; then run the same command again".to_owned(),
            ),
            ErrorKind::Transient if self.is_about_disk() => {
                Some("free some disk space, then run the same command again".to_owned())
            }
            ErrorKind::Transient if self.is_unreached => Some(
                "check the network, and HTTPS_PROXY and NO_PROXY where there is a proxy; then run the same command again".to_owned(),
            ),
            ErrorKind::Transient => Some(
                "check https://health.aws.amazon.com; then run the same command again, it resumes where it stopped".to_owned(),
            ),
            ErrorKind::Throttled | ErrorKind::Settling | ErrorKind::Busy => {
                Some("AWS was not ready in time; run the same command again, it resumes where it stopped".to_owned())
            }
            ErrorKind::Interrupted => Some("run the same command again, it resumes where it stopped".to_owned()),
            ErrorKind::LeaseLost => Some("another command took over; look at `taskctl status`, then run the command again".to_owned()),
            ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Precondition | ErrorKind::Invalid => None,
        }
    }

    /// Whether an endpoint, such as the local target, has no room left for what it was sent.
    fn is_about_disk(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        message.contains("no space left") || message.contains("disk quota exceeded")
    }

    /// Whether a signature was refused for its time.
    fn is_about_time(&self) -> bool {
        self.code.as_deref() == Some("RequestTimeTooSkewed")
            || ["Signature not yet current", "Signature expired"]
                .iter()
                .any(|start| self.message.starts_with(start))
    }

    /// The missing IAM action, as AWS's message names it (`… is not authorized to perform: lambda:CreateFunction …`).
    pub fn denied_action(&self) -> Option<String> {
        let after = self.message.split("to perform").nth(1)?;
        let action: String = after
            .trim_start_matches([':', ' '])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '*' | '-'))
            .collect();
        action.contains(':').then_some(action)
    }
}

/// Treats "not there" as an answer.
pub fn found<T>(result: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Treats "not there" as done.
pub fn gone(result: Result<(), AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// How long to go on repeating a call that fails in this way, and the first and longest pause.
pub(crate) fn patience(kind: ErrorKind) -> Option<Patience> {
    let patience = |total, first, longest| {
        Some(Patience {
            total: secs(total),
            first: millis(first),
            longest: millis(longest),
        })
    };
    match kind {
        ErrorKind::Throttled => patience(300, 300, 20_000),
        ErrorKind::Transient => patience(60, 200, 5_000),
        ErrorKind::Settling => patience(120, 250, 1_000),
        ErrorKind::Busy => patience(900, 200, 2_000),
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Precondition
        | ErrorKind::Denied
        | ErrorKind::Credentials
        | ErrorKind::Quota
        | ErrorKind::Invalid
        | ErrorKind::Interrupted
        | ErrorKind::LeaseLost => None,
    }
}

/// Patience with one kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub total: Duration,
    pub first: Duration,
    pub longest: Duration,
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// An answer that is no error of AWS: some other server's, most likely.
fn not_understood(answer: &HttpResponse) -> String {
    let begin: String = answer
        .body()
        .bytes()
        .map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned())
        .unwrap_or_default();
    let begin = single_line(&begin);
    let status = answer.status().as_u16();
    if begin.is_empty() {
        format!("HTTP {status} without a body that says why; is this an endpoint of AWS?")
    } else {
        format!("HTTP {status} with a body that is no answer of AWS: {begin}")
    }
}

/// Why there are no credentials: the last cause says it, unless every place was merely empty.
fn credentials_message(error: &dyn std::error::Error) -> String {
    let whole = chain(error).to_lowercase();
    let nowhere = ["no credentials found in chain", "imds"];
    if nowhere.iter().any(|part| whole.contains(part)) {
        return "no credentials were found: not in the environment, not in a profile, not from a container or an instance role".to_owned();
    }
    format!(
        "the credentials could not be loaded: {}",
        single_line(&innermost(error))
    )
}

/// The last cause.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::kinds::registry::services;

    fn own(service: &str) -> &'static [Rule] {
        services()
            .iter()
            .find(|one| one.name == service)
            .map_or(&[], |one| one.errors)
    }

    fn check(service: &str, code: &str, message: &str, expected: ErrorKind) {
        assert_eq!(
            classify(own(service), Some(code), message, Some(400)),
            expected,
            "{service} {code} {message}"
        );
    }

    #[test]
    fn meanings() {
        check(
            "lambda",
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
            ErrorKind::Settling,
        );
        check(
            "lambda",
            "InvalidParameterValueException",
            "memory is wrong",
            ErrorKind::Invalid,
        );
        check(
            "lambda",
            "ResourceConflictException",
            "An update is in progress for resource: x",
            ErrorKind::Busy,
        );
        check(
            "lambda",
            "ResourceConflictException",
            "Function already exist: x",
            ErrorKind::AlreadyExists,
        );
        check(
            "dynamodb",
            "ResourceInUseException",
            "Table already exists: x",
            ErrorKind::AlreadyExists,
        );
        check(
            "dynamodb",
            "LimitExceededException",
            "too many tables simultaneously",
            ErrorKind::Busy,
        );
        check(
            "iam",
            "LimitExceeded",
            "Cannot exceed quota for RolesPerAccount: 1000",
            ErrorKind::Quota,
        );
        check("iam", "NoSuchEntity", "", ErrorKind::NotFound);
        check("iam", "NoSuchEntityException", "", ErrorKind::NotFound);
        check("s3", "NoSuchBucketPolicy", "", ErrorKind::NotFound);
        check(
            "s3",
            "AccessDenied",
            "public policies are prevented by the BlockPublicPolicy setting",
            ErrorKind::Settling,
        );
        check(
            "sns",
            "InvalidParameter",
            "Tags Reason: Topic already exists with different tags",
            ErrorKind::AlreadyExists,
        );
        check("cloudwatch", "Throttling", "Rate exceeded", ErrorKind::Throttled);
        check(
            "apigateway",
            "ConflictException",
            "Unable to complete operation due to concurrent modification.",
            ErrorKind::Busy,
        );
        check(
            "apigateway",
            "ConflictException",
            "Route with key GET /x already exists",
            ErrorKind::AlreadyExists,
        );
        check("sts", "ExpiredTokenException", "", ErrorKind::Credentials);
        assert_eq!(classify(own("lambda"), None, "", Some(503)), ErrorKind::Transient);
        assert_eq!(classify(own("s3"), None, "", Some(412)), ErrorKind::Precondition);
    }

    #[test]
    fn a_denied_action_is_read_from_the_message() {
        let error = AwsError::own(
            "lambda",
            "CreateFunction",
            ErrorKind::Denied,
            "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: y because no policy allows it",
        );
        assert_eq!(error.denied_action().as_deref(), Some("iam:PassRole"));
    }

    /// Advice follows the cause, not the class alone.
    #[test]
    fn advice_names_what_failed() {
        let failed = |message: &str, is_unreached| {
            let error = AwsError {
                service: "lambda",
                operation: "CreateFunction",
                code: None,
                message: message.to_owned(),
                status: Some(500),
                request_id: None,
                kind: ErrorKind::Transient,
                is_unreached,
            };
            error.hint().unwrap_or_default()
        };
        assert!(
            failed("the local target: no space left on the disk that holds /tmp", false).starts_with("free some disk")
        );
        assert!(failed("dns error", true).starts_with("check the network"));
        assert!(failed("internal error", false).starts_with("check https://health.aws.amazon.com"));
    }
}
