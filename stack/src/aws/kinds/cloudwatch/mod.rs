//! CloudWatch.

pub mod alarm;
pub mod dashboard;
pub mod tags;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "cloudwatch",
    quotas: &[
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
        quota(&["PutMetricAlarm"], 3.0, 3.0),
        quota(&["DeleteAlarms"], 3.0, 3.0),
        quota(&["DescribeAlarms"], 9.0, 9.0),
        quota(&["DescribeAlarmHistory"], 3.0, 3.0),
        quota(&["GetMetricData"], 50.0, 50.0),
        quota(&[], 10.0, 10.0),
    ],
    errors: &[
        rule(&["ResourceNotFound", "DashboardNotFoundError"], "", ErrorKind::NotFound),
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        rule(&["LimitExceeded", "LimitExceededFault"], "", ErrorKind::Quota),
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
        rule(&["Conflict", "ConcurrentModification"], "", ErrorKind::Busy),
    ],
};
