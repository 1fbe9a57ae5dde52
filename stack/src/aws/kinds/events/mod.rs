//! EventBridge.

pub mod warmup_rule;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "events",
    quotas: &[quota(&[], 50.0, 50.0)],
    errors: &[
        rule(&["Validation"], "assume", ErrorKind::Settling),
        rule(&["ConcurrentModification"], "", ErrorKind::Busy),
        rule(&["ResourceAlreadyExists"], "", ErrorKind::AlreadyExists),
        // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
        rule(&["LimitExceeded"], "", ErrorKind::Quota),
    ],
};
