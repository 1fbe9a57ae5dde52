//! The actions that calls of S3 take.

use ::http::Method;
use ::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::protocol::classify::header_text;
use crate::protocol::xml::Element;
use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn s3(&self, parts: &Parts, body: &[u8]) -> Vec<Required> {
        let target = super::Target::of(parts);
        let bucket = format!("arn:aws:s3:::{}", target.bucket);
        if target.bucket.is_empty() {
            return vec![self.on("s3:ListAllMyBuckets", "*")];
        }
        let method = &parts.method;
        if !target.key.is_empty() {
            let object = format!("{bucket}/{}", target.key);
            let of_version = has(parts, "versionId");
            let action = match *method {
                Method::GET | Method::HEAD if of_version => "s3:GetObjectVersion",
                Method::GET | Method::HEAD => "s3:GetObject",
                Method::DELETE if has(parts, "uploadId") => "s3:AbortMultipartUpload",
                Method::DELETE if of_version => "s3:DeleteObjectVersion",
                Method::DELETE => "s3:DeleteObject",
                _ => "s3:PutObject",
            };
            let mut all = vec![self.on(action, object)];
            if let Some(source) = header_text(&parts.headers, "x-amz-copy-source") {
                let source = decode(source.trim_start_matches('/').split('?').next().unwrap_or_default());
                all.push(self.on("s3:GetObject", format!("arn:aws:s3:::{source}")));
            }
            return all;
        }
        if method == Method::POST && has(parts, "delete") {
            let listed = Element::parse(body);
            let action = match listed
                .as_ref()
                .is_some_and(|listed| listed.first("VersionId").is_some())
            {
                true => "s3:DeleteObjectVersion",
                false => "s3:DeleteObject",
            };
            let keys = listed.iter().flat_map(|listed| listed.all("Key"));
            let object = |key: &Element| self.on(action, format!("{bucket}/{}", key.text()));
            return keys.map(object).collect();
        }
        /// The name of a sub-resource's actions.
        const ASPECTS: [(&str, &str); 10] = [
            ("policy", "BucketPolicy"),
            ("publicAccessBlock", "BucketPublicAccessBlock"),
            ("encryption", "EncryptionConfiguration"),
            ("lifecycle", "LifecycleConfiguration"),
            ("cors", "BucketCORS"),
            ("ownershipControls", "BucketOwnershipControls"),
            ("versioning", "BucketVersioning"),
            ("website", "BucketWebsite"),
            ("tagging", "BucketTagging"),
            ("location", "BucketLocation"),
        ];
        let aspect = ASPECTS.iter().find(|(name, _)| has(parts, name));
        let action = match (method, aspect) {
            (&Method::GET, Some((_, aspect))) => format!("s3:Get{aspect}"),
            (&Method::DELETE, Some((name @ ("policy" | "website"), aspect))) if !name.is_empty() => {
                format!("s3:Delete{aspect}")
            }
            (_, Some((_, aspect))) => format!("s3:Put{aspect}"),
            (&Method::GET, None) if has(parts, "uploads") => "s3:ListBucketMultipartUploads".to_owned(),
            (&Method::GET, None) if has(parts, "versions") => "s3:ListBucketVersions".to_owned(),
            (&Method::GET | &Method::HEAD, None) => "s3:ListBucket".to_owned(),
            (&Method::DELETE, None) => "s3:DeleteBucket".to_owned(),
            (_, None) => "s3:CreateBucket".to_owned(),
        };
        vec![self.on(action, bucket)]
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn has(parts: &Parts, name: &str) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}
