//! An S3 bucket as [`Objects`].

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;

use super::errors::{said, store_error};
use crate::ports::{HotSpot, ObjectHead, Objects, SignedUrl, StoreError, Upload};
use crate::record::RecordId;

/// A bucket.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

impl S3Objects {
    /// The bucket of that name.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

impl Objects for S3Objects {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(ObjectHead {
                size: head.content_length().unwrap_or(0),
                etag: head.e_tag().unwrap_or_default().to_owned(),
            })),
            // Without s3:ListBucket an object that is not there is 403: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            Err(error)
                if error
                    .raw_response()
                    .is_some_and(|raw| matches!(raw.status().as_u16(), 403 | 404)) =>
            {
                Ok(None)
            }
            Err(error) => Err(store_error("HeadObject", HotSpot::Elsewhere, error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        delete
            .map(|_| ())
            .map_err(|error| store_error("DeleteObject", HotSpot::Elsewhere, error))
    }

    async fn reserve(&self, key: &str) -> Result<String, StoreError> {
        // Content that cannot have been uploaded, so that no upload has its entity tag.
        let body = ByteStream::from(RecordId::new().to_string().into_bytes());
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(body);
        let output = put
            .send()
            .await
            .map_err(|error| store_error("PutObject", HotSpot::Elsewhere, error))?;
        output.e_tag.ok_or_else(|| StoreError::Failed {
            operation: "PutObject",
            source: said("the answer has no entity tag"),
        })
    }

    async fn upload_url(&self, upload: &Upload<'_>, seconds: u32) -> Result<SignedUrl, StoreError> {
        let Upload {
            key,
            content_type,
            size,
            replaces,
        } = *upload;
        // Each signed header must be sent as it was signed. A length makes S3 refuse any other
        // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html); an entity tag makes it refuse the upload
        // with 412 when something else is there, and with 404 when nothing is
        // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html#conditional-error-response).
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .content_length(size)
            .if_match(replaces);
        let signed = put
            .presigned(valid_for("PutObject", seconds)?)
            .await
            .map_err(|error| store_error("PutObject", HotSpot::Elsewhere, error))?;
        Ok(signed_url(&signed))
    }

    async fn download_url(&self, key: &str, disposition: &str, seconds: u32) -> Result<SignedUrl, StoreError> {
        let get = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .response_content_disposition(disposition);
        let signed = get
            .presigned(valid_for("GetObject", seconds)?)
            .await
            .map_err(|error| store_error("GetObject", HotSpot::Elsewhere, error))?;
        Ok(signed_url(&signed))
    }
}

fn valid_for(operation: &'static str, seconds: u32) -> Result<PresigningConfig, StoreError> {
    PresigningConfig::expires_in(Duration::from_secs(seconds.into())).map_err(|_| StoreError::Failed {
        operation,
        source: said("the URL cannot be valid for that long"),
    })
}

/// Headers that are left out: every client sends a host and a length of its own accord, and browsers refuse to be told them; the trace
/// of this invocation, which the SDK adds, is not signed and none of the client's business.
const NOT_TOLD: [&str; 3] = ["content-length", "host", "x-amzn-trace-id"];

fn signed_url(signed: &PresignedRequest) -> SignedUrl {
    let told = signed
        .headers()
        .filter(|(name, _)| !NOT_TOLD.iter().any(|other| name.eq_ignore_ascii_case(other)));
    SignedUrl {
        url: signed.uri().to_owned(),
        headers: told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}
