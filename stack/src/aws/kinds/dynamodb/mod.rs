//! DynamoDB.

pub mod table;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "dynamodb",
    quotas: &[
        // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
        quota(&["TagResource", "UntagResource"], 5.0, 5.0),
        quota(&["ListTagsOfResource"], 10.0, 10.0),
        quota(&["DescribeTable"], 1000.0, 1000.0),
        quota(
            &["DescribeTimeToLive", "DescribeContinuousBackups", "Update*"],
            10.0,
            20.0,
        ),
        quota(&[], 10.0, 50.0),
    ],
    errors: &[
        // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
        rule(&["ResourceInUse"], "already exists", ErrorKind::AlreadyExists),
        rule(&["ResourceInUse"], "", ErrorKind::Busy),
        rule(&["ContinuousBackupsUnavailable"], "", ErrorKind::Busy),
        rule(&["LimitExceeded"], "simultaneous", ErrorKind::Busy),
        rule(&["LimitExceeded"], "too many operations", ErrorKind::Busy),
        rule(&["LimitExceeded"], "subscriber limit exceeded", ErrorKind::Quota),
        rule(&["LimitExceeded"], "tables per subscriber", ErrorKind::Quota),
        rule(&["Validation"], "indexes are being", ErrorKind::Busy),
        rule(&["TableNotFound"], "", ErrorKind::NotFound),
    ],
};
