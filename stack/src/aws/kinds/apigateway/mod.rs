//! HTTP APIs of API Gateway.

pub mod api;
pub mod deployment;
pub mod integration;
pub mod route;
pub mod stage;
pub mod state;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "apigateway",
    quotas: &[
        // https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
        quota(&["CreateDeployment"], 0.2, 1.0),
        quota(&[], 10.0, 40.0),
    ],
    errors: &[
        // https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/
        // Quotas on what an API or an account has, which come as conflicts.
        rule(
            &["Conflict", "TooManyRequests", "LimitExceeded"],
            "maximum number of",
            ErrorKind::Quota,
        ),
        // The resource policy of CloudWatch Logs, to which API Gateway adds each access log, has 5,120 characters.
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
        rule(&["BadRequest"], "policy document length breaking", ErrorKind::Quota),
        // https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
        rule(&["BadRequest"], "create a service linked role", ErrorKind::Denied),
        rule(&["Conflict"], "concurrent", ErrorKind::Busy),
        rule(&["Conflict"], "in progress", ErrorKind::Busy),
        rule(&["ConcurrentModification"], "", ErrorKind::Busy),
        // What refers to it was deleted, or changed, a moment ago.
        rule(&["Conflict"], "cannot delete", ErrorKind::Settling),
        rule(&["Conflict"], "referenced", ErrorKind::Settling),
        rule(&["Conflict"], "", ErrorKind::AlreadyExists),
        rule(
            &["BadRequest"],
            "insufficient permissions to enable logging",
            ErrorKind::Settling,
        ),
        // The log delivery of an API that was made seconds ago.
        // https://github.com/hashicorp/terraform-provider-aws/issues/46610
        rule(&["NotFound"], "cannot find log delivery", ErrorKind::Settling),
    ],
};
