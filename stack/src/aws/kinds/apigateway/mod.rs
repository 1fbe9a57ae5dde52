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
        rule(&["Conflict"], "concurrent", ErrorKind::Busy),
        rule(&["Conflict"], "in progress", ErrorKind::Busy),
        rule(&["ConcurrentModification"], "", ErrorKind::Busy),
        rule(&["Conflict"], "", ErrorKind::AlreadyExists),
        rule(
            &["BadRequest"],
            "insufficient permissions to enable logging",
            ErrorKind::Settling,
        ),
    ],
};
