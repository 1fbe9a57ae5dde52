//! Signature Version 4 of a request, read and checked: in the `Authorization` header, or in the query of a presigned URL.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>

use std::time::{Duration, SystemTime};

use ::http::header::{self, HeaderMap, HeaderName};
use ::http::request::Parts;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use subtle::ConstantTimeEq as _;

use super::refusal::Refusal;
use crate::protocol::classify::{header_text, query_parameter, query_parameters};

/// How far the clock of a client may be off.
const SKEW: Duration = Duration::from_secs(15 * 60);
/// Longest life of a presigned URL.
const LONGEST: u64 = 7 * 24 * 60 * 60;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Parameters of a presigned URL that name its signer.
const PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];
/// Headers that may be there without being signed although their names begin with `x-amz-`.
const UNSIGNED: [&str; 2] = ["x-amz-user-agent", "x-amz-checksum-mode"];

/// Where a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query.
    Presigned {
        /// How long it is good, seconds.
        expires: u64,
    },
}

/// The signature parameters of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub form: Form,
    pub access_key_id: String,
    pub region: String,
    /// The service that it is signed for, e.g. `dynamodb`.
    pub service: String,
    pub session_token: Option<String>,
    signed_at: SystemTime,
    signed_headers: Vec<String>,
    signature: String,
}

impl Claim {
    /// Reads the signature of a request.
    pub(crate) fn read(parts: &Parts) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let parameter = |name: &str| query_parameter(query, name);
        let authorization = parts.headers.get_all(header::AUTHORIZATION).iter().count();
        let presigned = PARAMETERS.iter().any(|name| parameter(name).is_some());
        match (authorization, presigned) {
            (0, false) if is_version_2(query) => Err(Refusal::unsupported("Signature Version 2")),
            (0, false) => Err(Refusal::Missing),
            (1, false) => Self::of_header(&parts.headers),
            (0, true) => Self::of_query(query),
            _ => Err(Refusal::malformed("it is signed more than once")),
        }
    }

    fn of_header(headers: &HeaderMap) -> Result<Self, Refusal> {
        let text = header_text(headers, "authorization").unwrap_or_default();
        let (algorithm, fields) = text.split_once(' ').unwrap_or((text, ""));
        check_algorithm(algorithm)?;
        let mut given = [None; 3];
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=').unwrap_or_default();
            let place = ["Credential", "SignedHeaders", "Signature"]
                .iter()
                .position(|known| *known == name);
            let place = place.ok_or_else(|| Refusal::malformed("the Authorization header has unknown fields"))?;
            if given[place].replace(value).is_some() {
                return Err(Refusal::malformed("the Authorization header names a field twice"));
            }
        }
        let [Some(credential), Some(signed_headers), Some(signature)] = given else {
            return Err(Refusal::malformed("the Authorization header lacks a field"));
        };
        let date =
            header_text(headers, "x-amz-date").ok_or_else(|| Refusal::malformed("it has no X-Amz-Date header"))?;
        let token = header_text(headers, "x-amz-security-token").map(str::to_owned);
        Self::new(Form::Header, credential, signed_headers, signature, date, token)
    }

    fn of_query(query: &str) -> Result<Self, Refusal> {
        let mut given = Vec::new();
        for name in PARAMETERS {
            let values: Vec<String> = query_parameters(query, name);
            match <[String; 1]>::try_from(values) {
                Ok([value]) => given.push(Some(value)),
                Err(values) if values.is_empty() => given.push(None),
                Err(_) => return Err(Refusal::malformed("the query names a parameter of the signature twice")),
            }
        }
        let Ok([algorithm, credential, date, expires, signed_headers, signature, token]) =
            <[Option<String>; 7]>::try_from(given)
        else {
            return Err(Refusal::malformed("the query lacks a parameter of the signature"));
        };
        check_algorithm(algorithm.as_deref().unwrap_or_default())?;
        let (Some(credential), Some(date), Some(signed_headers), Some(signature)) =
            (credential, date, signed_headers, signature)
        else {
            return Err(Refusal::malformed("the query lacks a parameter of the signature"));
        };
        let expires = expires.and_then(|text| text.parse().ok());
        let expires = expires.filter(|seconds| (1..=LONGEST).contains(seconds));
        let expires = expires.ok_or_else(|| Refusal::malformed("X-Amz-Expires must be 1 to 604800 seconds"))?;
        Self::new(
            Form::Presigned { expires },
            &credential,
            &signed_headers,
            &signature,
            &date,
            token,
        )
    }

    fn new(
        form: Form,
        credential: &str,
        signed_headers: &str,
        signature: &str,
        date: &str,
        session_token: Option<String>,
    ) -> Result<Self, Refusal> {
        let fields: Vec<&str> = credential.split('/').collect();
        let [access_key_id, day, region, service, "aws4_request"] = fields[..] else {
            return Err(Refusal::malformed(
                "the credential scope must be KEY/DATE/REGION/SERVICE/aws4_request",
            ));
        };
        if !date.starts_with(day) || day.len() != 8 {
            return Err(Refusal::malformed(
                "the date of the credential scope is not that of the request",
            ));
        }
        let instant = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok();
        let instant = instant.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let instant = instant.ok_or_else(|| Refusal::malformed("X-Amz-Date must look like 20260131T235959Z"))?;
        let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_ascii_lowercase).collect();
        if !signed_headers.iter().any(|name| name == "host") {
            return Err(Refusal::malformed("the host header must be signed"));
        }
        Ok(Self {
            form,
            access_key_id: access_key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            session_token,
            signed_at: instant.timestamp().into(),
            signed_headers,
            signature: signature.to_owned(),
        })
    }

    /// Whether the signature is of this time.
    pub(crate) fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        let early = self.signed_at.duration_since(now).unwrap_or_default();
        let late = now.duration_since(self.signed_at).unwrap_or_default();
        match self.form {
            _ if early > SKEW => Err(Refusal::Skewed),
            Form::Header if late > SKEW => Err(Refusal::Skewed),
            Form::Presigned { expires } if late > Duration::from_secs(expires) => Err(Refusal::Expired),
            Form::Header | Form::Presigned { .. } => Ok(()),
        }
    }

    /// Whether every header that changes what a request means is part of what is signed.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        let unsigned = headers.keys().map(HeaderName::as_str).find(|name| {
            let names_it = name.starts_with("x-amz-") && !UNSIGNED.contains(name);
            names_it && !is_signed(name)
        });
        match unsigned {
            Some(name) => Err(Refusal::HeaderNotSigned(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Signs the chunks of a body, one after the other.
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// Whether the signature is that of a key's secret over this request, whose payload has this hash.
    pub(crate) fn verify(&self, parts: &Parts, secret: &str, payload: &str) -> Result<(), Refusal> {
        let expected = self.expected(parts, secret, payload);
        let expected = expected.ok_or_else(|| Refusal::malformed("the signed headers cannot be read"))?;
        match bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            true => Ok(()),
            false => Err(Refusal::Mismatch),
        }
    }

    fn expected(&self, parts: &Parts, secret: &str, payload: &str) -> Option<String> {
        let headers: Option<Vec<(&str, &str)>> = self.headers(&parts.headers);
        let host = header_text(&parts.headers, "host")?;
        let path = parts.uri.path();
        let uri = match (self.form, parts.uri.query()) {
            (_, None) => format!("http://{host}{path}"),
            (Form::Header, Some(query)) => format!("http://{host}{path}?{query}"),
            (Form::Presigned { .. }, Some(query)) => format!("http://{host}{path}?{}", without_signature(query)),
        };
        let body = SignableBody::Precomputed(payload.to_owned());
        let request = SignableRequest::new(parts.method.as_str(), uri, headers?.into_iter(), body).ok()?;
        let identity = self.identity(secret).into();
        let params = self.params(&identity, self.settings())?;
        let (_, signature) = sign(request, &params.into()).ok()?.into_parts();
        Some(signature)
    }

    /// The signed headers, as in the request.
    fn headers<'a>(&'a self, headers: &'a HeaderMap) -> Option<Vec<(&'a str, &'a str)>> {
        let mut all = Vec::new();
        for name in &self.signed_headers {
            // A header that is signed must be there.
            headers.get(name)?;
            for value in headers.get_all(name) {
                all.push((name.as_str(), value.to_str().ok()?));
            }
        }
        Some(all)
    }

    fn identity(&self, secret: &str) -> Credentials {
        Credentials::new(
            &*self.access_key_id,
            secret,
            self.session_token.clone(),
            None,
            "taskctl-local",
        )
    }

    fn params<'a>(
        &'a self,
        identity: &'a aws_smithy_runtime_api::client::identity::Identity,
        settings: SigningSettings,
    ) -> Option<SigningParams<'a, SigningSettings>> {
        SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.signed_at)
            .settings(settings)
            .build()
            .ok()
    }

    /// S3 signs paths as they are, all other services normalized and encoded once more.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.excluded_headers = None;
        settings.session_token_mode = SessionTokenMode::Include;
        if matches!(self.service.as_str(), "s3" | "s3express") {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if let Form::Presigned { expires } = self.form {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(expires));
        }
        settings
    }
}

fn check_algorithm(algorithm: &str) -> Result<(), Refusal> {
    match algorithm {
        ALGORITHM => Ok(()),
        "AWS" => Err(Refusal::unsupported("Signature Version 2")),
        "AWS4-ECDSA-P256-SHA256" => Err(Refusal::unsupported("Signature Version 4A")),
        _ => Err(Refusal::unsupported(
            "another kind of authorization than Signature Version 4",
        )),
    }
}

/// Whether a query is signed as in Signature Version 2.
fn is_version_2(query: &str) -> bool {
    query_parameter(query, "AWSAccessKeyId").is_some()
}

/// A query without the parameters of its signature.
pub(crate) fn without_signature(query: &str) -> String {
    let of_signature = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        !PARAMETERS.contains(&name)
    };
    let kept: Vec<&str> = query.split('&').filter(of_signature).collect();
    kept.join("&")
}

/// Signs the chunks of a body, each with what was signed before it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
pub(crate) struct ChunkSigner<'a> {
    claim: &'a Claim,
    identity: aws_smithy_runtime_api::client::identity::Identity,
}

impl<'a> ChunkSigner<'a> {
    /// Signs as the request's signer did.
    pub(crate) fn new(claim: &'a Claim, secret: &str) -> Self {
        Self {
            claim,
            identity: claim.identity(secret).into(),
        }
    }

    /// The signature of a chunk after another signature.
    pub(crate) fn chunk(&self, chunk: &bytes::Bytes, previous: &str) -> Option<String> {
        let params = self.claim.params(&self.identity, self.claim.settings())?;
        let output = aws_sigv4::sign::v4::sign_chunk(chunk, previous, &params).ok()?;
        Some(output.into_parts().1)
    }

    /// The signature of the trailing headers after that of the last chunk.
    pub(crate) fn trailer(&self, headers: &[(String, String)], previous: &str) -> Option<String> {
        let params = self.claim.params(&self.identity, self.claim.settings())?;
        let mut all = aws_smithy_runtime_api::http::Headers::new();
        for (name, value) in headers {
            all.try_append(name.clone(), value.clone()).ok()?;
        }
        let output = aws_sigv4::sign::v4::sign_trailer(&all, previous, &params).ok()?;
        Some(output.into_parts().1)
    }
}
