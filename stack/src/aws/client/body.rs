//! Bodies of answers.

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};

/// The whole body of an answer. Read inside the call: one that is cut off is repeated like one that never came.
pub(in crate::aws) async fn collect<E>(body: ByteStream) -> Result<Vec<u8>, SdkError<E, HttpResponse>> {
    match body.collect().await {
        Ok(body) => Ok(body.to_vec()),
        Err(error) => Err(SdkError::dispatch_failure(ConnectorError::io(Box::new(error)))),
    }
}
