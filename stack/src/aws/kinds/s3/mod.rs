//! S3.

pub mod bucket;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "s3",
    quotas: &[
        quota(&["CreateBucket", "DeleteBucket"], 10.0, 20.0),
        quota(
            &["GetObject", "PutObject", "DeleteObject", "DeleteObjects", "HeadObject"],
            3000.0,
            3000.0,
        ),
        quota(&[], 50.0, 100.0),
    ],
    errors: &[
        rule(
            &["MalformedPolicyDocument", "MalformedPolicy", "InvalidParameter"],
            "invalid principal",
            ErrorKind::Settling,
        ),
        // https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
        rule(
            &["BucketAlreadyOwnedByYou", "BucketAlreadyExists"],
            "",
            ErrorKind::AlreadyExists,
        ),
        rule(&["OperationAborted", "ConditionalRequestConflict"], "", ErrorKind::Busy),
        rule(&["PreconditionFailed"], "", ErrorKind::Precondition),
        rule(&["TooManyBuckets"], "", ErrorKind::Quota),
        // 501 and 403 that no repetition and no permission changes.
        rule(&["NotImplemented", "InvalidObjectState"], "", ErrorKind::Invalid),
        rule(
            &[
                "NoSuchBucketPolicy",
                "NoSuchCORSConfiguration",
                "NoSuchWebsiteConfiguration",
                "NoSuchLifecycleConfiguration",
                "NoSuchTagSet",
                "ServerSideEncryptionConfigurationNotFoundError",
                "NoSuchPublicAccessBlockConfiguration",
                "OwnershipControlsNotFoundError",
                "NoSuchKey",
                "NoSuchVersion",
                "NoSuchUpload",
                "NoSuchBucket",
            ],
            "",
            ErrorKind::NotFound,
        ),
    ],
};
