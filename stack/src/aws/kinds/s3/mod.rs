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
                "NoSuchBucket",
            ],
            "",
            ErrorKind::NotFound,
        ),
        // A bucket's public access block was lifted a moment ago; where the account itself blocks public policies this
        // never gets better, and the message stays the same.
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
        rule(&["AccessDenied"], "blockpublicpolicy", ErrorKind::Settling),
    ],
};
