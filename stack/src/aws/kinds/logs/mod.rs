//! CloudWatch Logs.

pub mod group;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "logs",
    quotas: &[
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
        quota(&["CreateLogGroup"], 10.0, 10.0),
        quota(&["DeleteLogGroup"], 10.0, 10.0),
        quota(&["DescribeLogGroups"], 10.0, 10.0),
        quota(&["FilterLogEvents"], 5.0, 5.0),
        quota(&[], 5.0, 10.0),
    ],
    errors: &[
        rule(&["ResourceAlreadyExists"], "", ErrorKind::AlreadyExists),
        rule(&["OperationAborted"], "", ErrorKind::Busy),
        // Any other limit is one of queries at a time, or of calls a second.
        // https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
        rule(&["LimitExceeded"], "resource limit exceeded", ErrorKind::Quota),
    ],
};
