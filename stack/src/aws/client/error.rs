//! What AWS's errors mean. The code is the contract; where two meanings share a code, the message tells them apart. Here
//! are the codes that all services share; those that mean something else in one service stand with its kinds.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
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

/// Why no bucket of an account can be public.
pub const ACCOUNT_BLOCKS: &str = "Block Public Access of the account refuses it, whatever the bucket says";

/// What to do about it.
pub const ACCOUNT_BLOCKS_HINT: &str = "let the account have public buckets (S3 console: Block Public Access settings for this account; \
     `aws s3control put-public-access-block`), or take the web site out of the template; then run the same command again";

/// What to do about the role that API Gateway cannot make.
const SERVICE_ROLE_HINT: &str = "the first API of an account makes the role AWSServiceRoleForAPIGateway: let somebody who may run `aws iam \
     create-service-linked-role --aws-service-name ops.apigateway.amazonaws.com` once, or add iam:CreateServiceLinkedRole to the \
     deployer's policy (`taskctl export policy` prints a sufficient one); then run the same command again";

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
            "InvalidToken",
            "TokenRefreshRequired",
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
                let without_identity = identity_failure(other);
                let kind = match other {
                    _ if without_identity.is_some() => without_identity.unwrap_or(ErrorKind::Credentials),
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
                    && without_identity.is_none()
                    && matches!(other, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_));
                let message = match kind {
                    ErrorKind::Credentials => credentials_message(other),
                    _ if without_identity.is_some() => credentials_message(other),
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
            // https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sign-in.html
            ErrorKind::Credentials if self.message.contains("credentials-login") => Some(
                "profiles of `aws login` are read through the AWS CLI: `eval \"$(aws configure export-credentials --format env)\"`, then run the same command again"
                    .to_owned(),
            ),
            ErrorKind::Credentials => Some(
                "check the credentials: `aws sts get-caller-identity`, `aws sso login`, AWS_PROFILE or --profile; then run the same command again"
                    .to_owned(),
            ),
            ErrorKind::Denied => Some(self.denied_hint()),
            ErrorKind::Quota if self.is_about_a_fixed_limit() => Some(
                "this limit cannot be raised: give the function fewer grants or callers, or make two functions of it; then run the same command again"
                    .to_owned(),
            ),
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

    /// What to do about a missing permission: what denies it decides who can allow it.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
    fn denied_hint(&self) -> String {
        if self.message.contains(ACCOUNT_BLOCKS) {
            return ACCOUNT_BLOCKS_HINT.to_owned();
        }
        let action = self.denied_action();
        let lacking = action
            .clone()
            .unwrap_or_else(|| format!("{}:{}", self.service, self.operation));
        let denied_by = |policy: &str| {
            let explicit = ["in a", "in an"].map(|article| format!("explicit deny {article} {policy}"));
            let implicit = format!("no {policy} allows");
            explicit
                .iter()
                .chain([&implicit])
                .any(|text| self.message.contains(text.as_str()))
        };
        let above = [
            (
                "service control policy",
                "whoever administers the organization can allow it, no policy of the caller can",
            ),
            (
                "resource control policy",
                "whoever administers the organization can allow it, no policy of the caller can",
            ),
            (
                "permissions boundary",
                "extend the boundary of the caller: its policy alone does not suffice",
            ),
            (
                "session policy",
                "extend the policy that the session was begun with: that of its role does not suffice",
            ),
            (
                "VPC endpoint policy",
                "extend the policy of the VPC endpoint, or call AWS past it",
            ),
            (
                "resource-based policy",
                "change the policy of the resource that the message names",
            ),
        ];
        if let Some((policy, remedy)) = above.iter().find(|(policy, _)| denied_by(policy)) {
            return format!("a {policy} denies {lacking}: {remedy}; then run the same command again");
        }
        if self.is_about_a_service_role() {
            return SERVICE_ROLE_HINT.to_owned();
        }
        // S3 answers the same for a bucket of another account.
        let owner = match (self.service, &action) {
            ("s3", None) => ", or another account owns the bucket",
            _ => "",
        };
        format!(
            "the caller lacks {lacking}{owner}; add it to the deployer's policy (`taskctl export policy` prints a sufficient one) and run the same command again"
        )
    }

    /// Whether API Gateway could not make the role that it needs in an account: with its first API.
    /// <https://github.com/amplify-education/serverless-domain-manager/issues/112>
    fn is_about_a_service_role(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        message.contains("service linked role") || message.contains("iam:createservicelinkedrole")
    }

    /// Whether a quota is one that Service Quotas does not raise: the sizes of IAM's and Lambda's policies.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    fn is_about_a_fixed_limit(&self) -> bool {
        self.message.contains("Maximum policy size") || self.code.as_deref() == Some("PolicyLengthExceededException")
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

/// What it means that no credentials could be had: where they come from may have failed for a moment, as AWS itself may. None when
/// it is not about credentials.
fn identity_failure(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    let failure = causes.find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    Some(match failure {
        CredentialsError::ProviderTimedOut(_) => ErrorKind::Transient,
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) if is_passing(failure) => {
            ErrorKind::Transient
        }
        _ => ErrorKind::Credentials,
    })
}

/// Whether a provider of credentials got 5xx or was throttled, or could not reach what it asked. Its causes are errors of clients that
/// the SDK keeps to itself, so that only their texts tell. Those are never shown: they may hold secrets.
fn is_passing(failure: &CredentialsError) -> bool {
    let text = format!("{failure:?}");
    [
        "StatusCode(5",
        "StatusCode(429)",
        "Throttl",
        "TooManyRequests",
        "IDPCommunicationError",
        "DispatchFailure(",
        "TimeoutError(",
    ]
    .iter()
    .any(|part| text.contains(part))
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
        check(
            "lambda",
            "ResourceConflictException",
            "Unable to delete version because the following aliases reference it: [v3]",
            ErrorKind::Settling,
        );
        check("iam", "NoSuchEntity", "", ErrorKind::NotFound);
        check("iam", "NoSuchEntityException", "", ErrorKind::NotFound);
        check("s3", "NoSuchBucketPolicy", "", ErrorKind::NotFound);
        check(
            "s3",
            "AccessDenied",
            "public policies are prevented by the BlockPublicPolicy setting",
            ErrorKind::Denied,
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
        check(
            "apigateway",
            "NotFoundException",
            "Cannot find log delivery named a1b2c3-$default",
            ErrorKind::Settling,
        );
        check(
            "apigateway",
            "NotFoundException",
            "Invalid API identifier specified",
            ErrorKind::NotFound,
        );
        assert_eq!(classify(own("lambda"), None, "", Some(503)), ErrorKind::Transient);
        assert_eq!(classify(own("s3"), None, "", Some(412)), ErrorKind::Precondition);
    }

    #[test]
    fn recorded_errors_mean_what_they_say() {
        let recorded = include_str!("../../../tests/fixtures/recorded_errors.tsv");
        let mut wrong = Vec::new();
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let [expected, service, _, status, code, message] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("six fields: {line}");
            };
            let kind = classify(own(service), Some(code), message, status.parse().ok());
            if format!("{kind:?}") != expected {
                wrong.push(format!("{kind:?} instead of {line}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Quotas come under many names, and with other ones than theirs.
    #[test]
    fn quotas_in_disguise() {
        for (service, code, message) in [
            (
                "apigateway",
                "ConflictException",
                "Maximum number of Routes for this API has been reached. Please contact AWS",
            ),
            (
                "apigateway",
                "BadRequestException",
                "Cannot enable logging. Policy document length breaking Cloudwatch Logs Constraints, either < 1 or > 5120",
            ),
            (
                "cloudwatch",
                "LimitExceeded",
                "The maximum limit of 5000 alarms has been reached",
            ),
            ("cloudwatch", "LimitExceededFault", ""),
            (
                "events",
                "LimitExceededException",
                "The requested resource exceeds the maximum number allowed.",
            ),
            ("sns", "TopicLimitExceeded", ""),
            ("sns", "SubscriptionLimitExceeded", ""),
            (
                "dynamodb",
                "LimitExceededException",
                "Subscriber limit exceeded: There is a limit of 2500 tables per subscriber",
            ),
            ("logs", "LimitExceededException", "Resource limit exceeded."),
            (
                "iam",
                "LimitExceeded",
                "Maximum policy size of 10240 bytes exceeded for role shop-dev-tasks",
            ),
            (
                "lambda",
                "InvalidParameterValueException",
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
                 minimum value of [100].",
            ),
            ("lambda", "PolicyLengthExceededException", ""),
            ("lambda", "ENILimitReachedException", ""),
            ("s3", "TooManyBuckets", ""),
        ] {
            check(service, code, message, ErrorKind::Quota);
        }
        let queries = "Account maximum query concurrency limit of [30] reached.";
        check("logs", "LimitExceededException", queries, ErrorKind::Throttled);
        check("cloudwatch", "ConflictException", "", ErrorKind::Busy);
    }

    #[test]
    fn what_no_repetition_changes_ends_at_once() {
        for code in [
            "InvalidZipFileException",
            "KMSAccessDeniedException",
            "EC2AccessDeniedException",
        ] {
            assert_eq!(
                classify(own("lambda"), Some(code), "", Some(502)),
                ErrorKind::Invalid,
                "{code}"
            );
        }
        assert_eq!(
            classify(own("s3"), Some("NotImplemented"), "", Some(501)),
            ErrorKind::Invalid
        );
        let detached = "Policy arn:aws:iam::1:policy/x does not exist or is not attachable.";
        check("iam", "NoSuchEntity", detached, ErrorKind::Invalid);
        check("s3", "InvalidToken", "", ErrorKind::Credentials);
        check("s3", "TokenRefreshRequired", "", ErrorKind::Credentials);
    }

    #[test]
    fn the_role_that_api_gateway_makes_for_itself_is_named() {
        for (code, message) in [
            (
                "AccessDeniedException",
                "Caller does not have permissions to create a Service Linked Role",
            ),
            (
                "BadRequestException",
                "Caller does not have permissions to create a Service Linked Role.",
            ),
            (
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/x is not authorized to perform: iam:CreateServiceLinkedRole on resource: \
                 arn:aws:iam::1:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway",
            ),
        ] {
            let kind = classify(own("apigateway"), Some(code), message, Some(403));
            assert_eq!(kind, ErrorKind::Denied, "{code}");
            let hint = AwsError::own("apigateway", "CreateApi", kind, message).hint();
            assert_eq!(hint.as_deref(), Some(SERVICE_ROLE_HINT));
        }
    }

    /// A permission that an organization or a boundary denies is not added to the caller's policy.
    #[test]
    fn what_denies_decides_who_can_allow() {
        let hint = |service, message: &str| {
            let operation = "PutPublicAccessBlock";
            AwsError::own(service, operation, ErrorKind::Denied, message)
                .hint()
                .unwrap_or_default()
        };
        let refused = |why: &str| {
            let said = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:PutBucketPublicAccessBlock on resource: \
                        \"arn:aws:s3:::b\"";
            hint("s3", &format!("{said} {why}"))
        };
        assert_eq!(
            refused("with an explicit deny in a service control policy"),
            "a service control policy denies s3:PutBucketPublicAccessBlock: whoever administers the organization can allow it, no policy \
             of the caller can; then run the same command again"
        );
        for (why, start) in [
            (
                "because no service control policy allows the s3:PutBucketPublicAccessBlock action",
                "a service control policy",
            ),
            (
                "with an explicit deny in a permissions boundary",
                "a permissions boundary",
            ),
            (
                "with an explicit deny in a resource-based policy",
                "a resource-based policy",
            ),
            (
                "because no session policy allows the s3:PutBucketPublicAccessBlock action",
                "a session policy",
            ),
            (
                "because no identity-based policy allows the s3:PutBucketPublicAccessBlock action",
                "the caller lacks s3:Put",
            ),
        ] {
            assert!(refused(why).starts_with(start), "{}", refused(why));
        }
        assert!(hint("s3", "Access Denied").contains("or another account owns the bucket"));
        assert!(!hint("sns", "Access Denied").contains("bucket"));
    }

    /// Where credentials come from may fail for a moment, as AWS itself may.
    #[tokio::test]
    async fn credentials_that_are_late_are_not_wrong() {
        use aws_credential_types::provider::{ProvideCredentials, future};

        #[derive(Debug)]
        struct Fails(fn() -> CredentialsError);

        impl ProvideCredentials for Fails {
            fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                future::ProvideCredentials::ready(Err((self.0)()))
            }
        }

        fn refused(status: u16, code: &str) -> CredentialsError {
            let body = aws_smithy_types::body::SdkBody::empty();
            let raw = HttpResponse::new(status.try_into().expect("a status"), body);
            let error = aws_smithy_types::error::ErrorMetadata::builder().code(code).build();
            CredentialsError::provider_error(SdkError::<_, HttpResponse>::service_error(error, raw))
        }

        for (fails, kind) in [
            (
                (|| refused(503, "ServiceUnavailable")) as fn() -> CredentialsError,
                ErrorKind::Transient,
            ),
            (|| refused(400, "Throttling"), ErrorKind::Transient),
            (|| refused(400, "IDPCommunicationError"), ErrorKind::Transient),
            (
                || CredentialsError::provider_timed_out(Duration::from_secs(5)),
                ErrorKind::Transient,
            ),
            (|| refused(403, "AccessDenied"), ErrorKind::Credentials),
            (|| refused(400, "ExpiredToken"), ErrorKind::Credentials),
            (|| CredentialsError::not_loaded("no profile"), ErrorKind::Credentials),
        ] {
            let config = aws_sdk_sts::Config::builder()
                .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
                .region(aws_sdk_sts::config::Region::new("eu-central-1"))
                .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
                .http_client(crate::aws::client::fake::http_client(|call| {
                    panic!("nothing is called without credentials: {call:?}")
                }))
                .credentials_provider(Fails(fails))
                .build();
            let answer = aws_sdk_sts::Client::from_conf(config)
                .get_caller_identity()
                .send()
                .await;
            let error = AwsError::from_sdk("sts", "GetCallerIdentity", &[], &answer.expect_err("there are none"));
            assert_eq!((error.kind, error.is_unreached), (kind, false), "{error:?}");
        }
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
