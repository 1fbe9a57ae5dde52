//! Why a request is not let in, and the answer to it in the words of its service.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>

use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};

use crate::protocol::fault::{Style, fault};
use crate::protocol::http::Body;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its Host is not a name of this machine.
    Host(String),
    /// It comes from a page of another origin.
    Origin(String),
    /// Its path is the emulator's own.
    Administrative,
    /// It has no signature.
    Missing,
    /// Its signature is of another kind.
    Unsupported(String),
    /// Its signature cannot be read.
    Malformed(String),
    /// Its access key is not of this local target.
    UnknownKey,
    /// It was signed long ago, or will be.
    Skewed,
    /// Its URL has expired.
    Expired,
    /// Its session has ended.
    SessionEnded,
    /// A header is not signed.
    HeaderNotSigned(String),
    /// Another signature is right.
    Mismatch,
    /// Its body differs from the signed one.
    OtherBody,
    /// Its body is too large.
    TooLarge {
        /// Bytes.
        limit: usize,
    },
}

/// Help for users of other clients than taskctl.
const HELP: &str = "run `eval \"$(taskctl local env)\"` to use its credentials";

impl Refusal {
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::Unsupported(what.to_owned())
    }

    pub(crate) fn malformed(why: &str) -> Self {
        Self::Malformed(why.to_owned())
    }

    /// What happened and what to do.
    fn message(&self) -> String {
        match self {
            Self::Host(host) => format!(
                "The local target answers requests for 127.0.0.1, localhost and names below localhost, not for {host:?}."
            ),
            Self::Origin(origin) => format!("The local target does not answer pages of {origin:?}."),
            Self::Administrative => "Administrative paths of the emulator are not reachable.".to_owned(),
            Self::Missing => format!("The request is not signed: {HELP}."),
            Self::Unsupported(what) => format!("The local target does not take {what}."),
            Self::Malformed(why) => format!("The signature of the request is not valid: {why}."),
            Self::UnknownKey => format!("The access key is not one of this local target: {HELP}."),
            Self::Skewed => "The difference between the request time and the current time is too large.".to_owned(),
            Self::Expired => "Request has expired".to_owned(),
            Self::SessionEnded => "The security token included in the request is expired".to_owned(),
            Self::HeaderNotSigned(name) => {
                format!("There were headers present in the request which were not signed: {name}")
            }
            Self::Mismatch => {
                format!("The request signature we calculated does not match the signature you provided: {HELP}.")
            }
            Self::OtherBody => "The body of the request is not the one that was signed.".to_owned(),
            Self::TooLarge { limit } => format!("The body is longer than {limit} bytes."),
        }
    }

    /// The error code as S3, services with JSON, and services with queries name it.
    fn code(&self, style: Style) -> &'static str {
        let [s3, json, query] = match self {
            Self::Host(_) | Self::Origin(_) | Self::Administrative => {
                ["AccessDenied", "AccessDeniedException", "AccessDenied"]
            }
            Self::Missing => [
                "AccessDenied",
                "MissingAuthenticationTokenException",
                "MissingAuthenticationToken",
            ],
            Self::Unsupported(_) => ["NotImplemented", "IncompleteSignatureException", "IncompleteSignature"],
            Self::Malformed(_) => [
                "AuthorizationHeaderMalformed",
                "IncompleteSignatureException",
                "IncompleteSignature",
            ],
            Self::UnknownKey => [
                "InvalidAccessKeyId",
                "UnrecognizedClientException",
                "InvalidClientTokenId",
            ],
            Self::Skewed => [
                "RequestTimeTooSkewed",
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
            ],
            Self::Expired => ["AccessDenied", "InvalidSignatureException", "RequestExpired"],
            Self::SessionEnded => ["ExpiredToken", "ExpiredTokenException", "ExpiredToken"],
            Self::HeaderNotSigned(_) => ["AccessDenied", "InvalidSignatureException", "SignatureDoesNotMatch"],
            Self::Mismatch => [
                "SignatureDoesNotMatch",
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
            ],
            Self::OtherBody => [
                "XAmzContentSHA256Mismatch",
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
            ],
            Self::TooLarge { .. } => [
                "EntityTooLarge",
                "RequestEntityTooLargeException",
                "RequestEntityTooLarge",
            ],
        };
        match style {
            Style::S3 => s3,
            Style::Query => query,
            Style::Json | Style::RestJson | Style::Cbor => json,
        }
    }

    /// The answer. Everything but a body that is too large is 403.
    pub(crate) fn answer(&self, parts: &Parts) -> Response<Body> {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::FORBIDDEN,
        };
        let style = Style::of(parts);
        let is_head = parts.method == Method::HEAD;
        fault(style, is_head, status, self.code(style), &self.message())
    }
}
