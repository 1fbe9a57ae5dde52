//! Signs requests to the local target: those of taskctl itself, and those of tests.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;

use crate::keys::Credentials;

/// The service that paths of the local target's own are signed for.
pub(crate) const OWN_SERVICE: &str = "taskctl";
/// The region that goes with [`OWN_SERVICE`].
const OWN_REGION: &str = "local";

/// Why something cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("sign a request to {url}: {reason}")]
pub struct SigningError {
    url: String,
    reason: String,
}

/// A request to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// `GET`
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// Headers that are signed, beside those that signing adds.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Payload<'a>,
}

/// The body of a request to be signed.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Whatever `x-amz-content-sha256` says, e.g. `UNSIGNED-PAYLOAD`.
    Named(&'a str),
}

/// The scope of paths of the local target's own.
pub(crate) fn own_scope() -> Scope<'static> {
    Scope {
        region: OWN_REGION,
        service: OWN_SERVICE,
        time: SystemTime::now(),
    }
}

/// Whom a request is signed for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Region, e.g. `eu-central-1`.
    pub region: &'a str,
    /// Signing name of the service, e.g. `dynamodb`.
    pub service: &'a str,
    /// When.
    pub time: SystemTime,
}

/// The headers that make a request a signed one.
pub fn signed_headers(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: Signable<'_>,
) -> Result<Vec<(String, String)>, SigningError> {
    let mut settings = settings(scope.service);
    settings.signature_location = SignatureLocation::Headers;
    let (headers, _) = instructions(credentials, scope, request, settings)?;
    Ok(headers)
}

/// A presigned URL, valid for `expires`.
pub fn presigned_url(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: Signable<'_>,
    expires: Duration,
) -> Result<String, SigningError> {
    let mut settings = settings(scope.service);
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(expires);
    let (_, parameters) = instructions(credentials, scope, request, settings)?;
    let mut url = url::Url::parse(request.url).map_err(|error| failed(request.url, &error))?;
    for (name, value) in parameters {
        url.query_pairs_mut().append_pair(&name, &value);
    }
    Ok(url.into())
}

/// Names and values, of headers or of parameters.
type Pairs = Vec<(String, String)>;

fn instructions(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: Signable<'_>,
    settings: SigningSettings,
) -> Result<(Pairs, Pairs), SigningError> {
    let failed = |error: &dyn std::fmt::Display| failed(request.url, error);
    let identity = aws_credential_types::Credentials::new(
        &*credentials.access_key_id,
        &*credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "taskctl-local",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.time)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let body = match request.body {
        Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
        Payload::Named(name) => SignableBody::Precomputed(name.to_owned()),
    };
    let signable = SignableRequest::new(request.method, request.url, request.headers.iter().copied(), body);
    let output = sign(signable.map_err(|error| failed(&error))?, &params).map_err(|error| failed(&error))?;
    let (instructions, _) = output.into_parts();
    let headers = instructions.headers();
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let parameters = instructions.params().iter();
    let parameters = parameters.map(|(name, value)| ((*name).to_owned(), value.clone().into_owned()));
    Ok((headers.collect(), parameters.collect()))
}

fn failed(url: &str, error: &dyn std::fmt::Display) -> SigningError {
    SigningError {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

/// S3 signs paths as they are and wants the body's hash in a header.
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}
