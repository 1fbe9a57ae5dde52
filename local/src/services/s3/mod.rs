//! S3: buckets and objects are the emulator's. Corrected here: defaults of new buckets, the owner that callers expect, policies. Noted: which buckets are
//! websites.

mod actions;
pub(crate) mod cors;
mod notifications;
pub(crate) mod websites;

use ::http::request::Parts;
use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::protocol::classify::{Call, header_text};
use crate::protocol::emulator_client::Caller;
use crate::protocol::fault::{Style, fault};
use crate::protocol::http::{Body, answer, collect, full};
use crate::protocol::xml::Element;
use crate::services::Services;

/// Largest bucket policy that is read; AWS takes 20 KB.
const LARGEST_POLICY: usize = 128 * 1024;
const BLOCK_ALL: &str = "<PublicAccessBlockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
/// Who can own the objects of a bucket.
const OWNERSHIPS: [&str; 3] = ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"];
const AES256: &str = "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>";

/// Bucket and key of a request, path style or virtual-hosted.
pub(crate) struct Target {
    pub bucket: String,
    pub key: String,
}

impl Target {
    pub(crate) fn of(parts: &Parts) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let path = parts.uri.path().trim_start_matches('/');
        let host = header_text(&parts.headers, "host").unwrap_or_default();
        match bucket_of_host(host) {
            Some(bucket) => Self {
                bucket: bucket.to_owned(),
                key: decode(path),
            },
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                Self {
                    bucket: decode(bucket),
                    key: decode(key),
                }
            }
        }
    }
}

/// `bucket` of `bucket.localhost:4580` or `bucket.s3.localhost`.
pub(crate) fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bucket = name.strip_suffix(".localhost")?;
    Some(bucket.strip_suffix(".s3").unwrap_or(bucket)).filter(|bucket| !bucket.is_empty() && *bucket != "s3")
}

impl Services {
    pub(super) async fn call_s3(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let query = parts.uri.query().unwrap_or_default();
        let owner = header_text(&parts.headers, "x-amz-expected-bucket-owner");
        if owner.is_some_and(|owner| owner != call.account) {
            return error(&parts.method, StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
        }
        let target = Target::of(&parts);
        if target.bucket.is_empty() || !target.key.is_empty() {
            if parts.method == Method::PUT || parts.method == Method::POST || parts.method == Method::DELETE {
                self.websites.written(&target.bucket);
            }
            return self.pass(Request::from_parts(parts, body)).await;
        }
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let caller = Caller::of(call);
        match parts.method {
            Method::PUT if has("notification") => self.put_notifications(&target.bucket, parts, body).await,
            Method::PUT if has("policy") => self.put_policy(&caller, &target.bucket, parts, body).await,
            Method::PUT if has("website") => {
                let response = self.pass(Request::from_parts(parts, body)).await;
                if response.status().is_success() {
                    self.websites.add(&caller, &target.bucket);
                }
                response
            }
            Method::DELETE if has("website") => {
                self.websites.remove(&target.bucket);
                self.pass(Request::from_parts(parts, body)).await
            }
            Method::DELETE if has("encryption") => {
                // Encryption cannot be off: deleting the configuration brings back the default.
                let path = format!("/{}?encryption", target.bucket);
                match self.put_s3(&caller, &path, AES256).await {
                    status if status.is_success() => answer(StatusCode::NO_CONTENT, "application/xml", ""),
                    _ => self.pass(Request::from_parts(parts, body)).await,
                }
            }
            Method::PUT
                if !query
                    .split('&')
                    .any(|pair| !pair.is_empty() && !pair.starts_with("x-id=")) =>
            {
                self.create_bucket(&caller, &target.bucket, parts, body).await
            }
            Method::DELETE
                if !query
                    .split('&')
                    .any(|pair| !pair.is_empty() && !pair.starts_with("x-id=")) =>
            {
                let response = self.pass(Request::from_parts(parts, body)).await;
                if response.status().is_success() {
                    self.websites.remove(&target.bucket);
                }
                response
            }
            _ => self.pass(Request::from_parts(parts, body)).await,
        }
    }

    /// A new bucket blocks public access, is encrypted, and has no ACLs unless it asks for them.
    async fn create_bucket(&self, caller: &Caller, bucket: &str, parts: Parts, body: Body) -> Response<Body> {
        let existed = self.emulator.s3(caller, Method::HEAD, &format!("/{bucket}")).await;
        let existed = existed.is_ok_and(|response| response.status() != StatusCode::NOT_FOUND);
        let ownership = match header_text(&parts.headers, "x-amz-object-ownership") {
            None => "BucketOwnerEnforced",
            Some(known) => match OWNERSHIPS.into_iter().find(|name| *name == known) {
                Some(name) => name,
                None => {
                    let message = format!("Invalid x-amz-object-ownership header: {known}");
                    return error(&parts.method, StatusCode::BAD_REQUEST, "InvalidArgument", &message);
                }
            },
        };
        let ownership_controls = ownership_controls(ownership);
        let response = self.pass(Request::from_parts(parts, body)).await;
        if existed || !response.status().is_success() {
            return response;
        }
        let path = |part: &str| format!("/{bucket}?{part}");
        let (block, controls, encryption) = (path("publicAccessBlock"), path("ownershipControls"), path("encryption"));
        let done = futures::join!(
            self.put_s3(caller, &block, BLOCK_ALL),
            self.put_s3(caller, &controls, ownership_controls),
            self.put_s3(caller, &encryption, AES256),
        );
        for status in [done.0, done.1, done.2] {
            if !status.is_success() {
                tracing::warn!(bucket, %status, "could not set a default of the new bucket");
            }
        }
        response
    }

    async fn put_s3(&self, caller: &Caller, path: &str, body: impl Into<Bytes>) -> StatusCode {
        let response = self.emulator.s3_with(caller, Method::PUT, path, body.into()).await;
        response.map_or(StatusCode::SERVICE_UNAVAILABLE, |response| response.status())
    }

    /// A policy must be one, and may not be public while the bucket blocks that.
    async fn put_policy(&self, caller: &Caller, bucket: &str, parts: Parts, body: Body) -> Response<Body> {
        let Ok(body) = collect(body, LARGEST_POLICY).await else {
            return error(
                &parts.method,
                StatusCode::BAD_REQUEST,
                "MalformedPolicy",
                "Policies must be less than 20 KB",
            );
        };
        let policy: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !policy["Statement"].is_array() && !policy["Statement"].is_object() {
            let message = "Policies must be valid JSON and the first byte must be '{'";
            return error(&parts.method, StatusCode::BAD_REQUEST, "MalformedPolicy", message);
        }
        if is_public(&policy) {
            let block = self
                .emulator
                .s3(caller, Method::GET, &format!("/{bucket}?publicAccessBlock"))
                .await;
            let blocks = block.is_ok_and(|response| {
                response.status().is_success()
                    && Element::parse(response.body())
                        .is_some_and(|block| block.text_of("BlockPublicPolicy").as_deref() == Some("true"))
            });
            if blocks {
                let message =
                    "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
                return error(&parts.method, StatusCode::FORBIDDEN, "AccessDenied", message);
            }
        }
        self.pass(Request::from_parts(parts, full(body))).await
    }
}

fn ownership_controls(ownership: &str) -> String {
    format!(
        "<OwnershipControls xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule>\
         </OwnershipControls>"
    )
}

/// Whether a policy lets everybody in without a condition.
pub(crate) fn is_public(policy: &Value) -> bool {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        one @ Value::Object(_) => std::slice::from_ref(one),
        _ => &[],
    };
    statements.iter().any(|statement| {
        let who = &statement["Principal"];
        let everybody = who == "*"
            || who["AWS"] == "*"
            || who["AWS"]
                .as_array()
                .is_some_and(|all| all.iter().any(|principal| principal == "*"));
        statement["Effect"] == "Allow" && everybody && statement.get("Condition").is_none()
    })
}

fn error(method: &Method, status: StatusCode, code: &str, message: &str) -> Response<Body> {
    fault(Style::S3, *method == Method::HEAD, status, code, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn buckets_of_hosts() {
        assert_eq!(bucket_of_host("b.localhost:4580"), Some("b"));
        assert_eq!(bucket_of_host("a.b.localhost"), Some("a.b"));
        assert_eq!(bucket_of_host("b.s3.localhost:4580"), Some("b"));
        assert_eq!(bucket_of_host("localhost:4580"), None);
        assert_eq!(bucket_of_host("127.0.0.1:4580"), None);
        assert_eq!(bucket_of_host("s3.localhost"), None);
    }

    #[test]
    fn public_policies() {
        let policy =
            |effect: &str, principal: Value| json!({"Statement": [{"Effect": effect, "Principal": principal}]});
        assert!(is_public(&policy("Allow", json!("*"))));
        assert!(is_public(&policy("Allow", json!({"AWS": ["*"]}))));
        assert!(!is_public(&policy("Deny", json!("*"))));
        assert!(!is_public(&policy(
            "Allow",
            json!({"Service": "cloudfront.amazonaws.com"})
        )));
        let conditional = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Condition": {}}});
        assert!(!is_public(&conditional));
    }
}
