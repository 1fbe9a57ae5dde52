//! Block Public Access of the account: it overrides what buckets say, so that a public web site cannot be served.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>

use super::{PublicAccessBlock, unset};
use crate::aws::client::context::Context;
use crate::aws::client::error::{ACCOUNT_BLOCKS, AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::partition::dns_suffix;

/// What the account blocks; none when it does not say, or the caller may not know. It is another API of S3, spoken like this one.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_GetPublicAccessBlock.html>
pub async fn public_access_block(context: &Context) -> Result<Option<PublicAccessBlock>, AwsError> {
    // An emulator has no such API.
    if context.clients().endpoint_url.is_some() {
        return Ok(None);
    }
    let identity = context.identity();
    let (account, region) = (&identity.account, &identity.region);
    let url = format!(
        "https://{account}.s3-control.{region}.{}/v20180820/configuration/publicAccessBlock",
        dns_suffix(region)
    );
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetAccountPublicAccessBlock"), || {
            let (url, account) = (url.clone(), account.clone());
            let request = client.get_public_access_block().bucket("account").customize();
            // Before it is signed.
            request
                .map_request(move |mut request| {
                    request.set_uri(url.as_str())?;
                    request.headers_mut().insert("x-amz-account-id", account.clone());
                    Ok::<_, aws_smithy_runtime_api::http::HttpError>(request)
                })
                .send()
        })
        .await;
    let answer = match unset(answer) {
        Err(error) if error.kind == ErrorKind::Denied => return Ok(None),
        other => other?,
    };
    let block = answer.and_then(|answer| answer.public_access_block_configuration);
    Ok(block.as_ref().map(PublicAccessBlock::of))
}

/// Refuses to open a bucket to everyone in an account that keeps buckets closed.
pub(super) async fn let_public(context: &Context, bucket: &str) -> Result<(), AwsError> {
    match public_access_block(context).await? {
        Some(block) if block.keeps_closed() => Err(blocks(bucket)),
        Some(_) | None => Ok(()),
    }
}

/// Whether a public policy was refused by a block, the bucket's or the account's: the message is the same.
pub(super) fn is_blocked(error: &AwsError) -> bool {
    error.kind == ErrorKind::Denied && error.message.contains("BlockPublicPolicy")
}

/// That the account keeps a bucket closed.
pub(super) fn blocks(bucket: &str) -> AwsError {
    AwsError::own(
        "s3",
        "PutBucketPolicy",
        ErrorKind::Denied,
        format!("bucket {bucket} cannot be public: {ACCOUNT_BLOCKS}"),
    )
}
