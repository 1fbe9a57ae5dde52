//! IAM.

pub mod role;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "iam",
    quotas: &[
        // IAM publishes no rates.
        quota(&["Get*", "List*"], 40.0, 80.0),
        quota(&[], 15.0, 30.0),
    ],
    errors: &[
        rule(
            &["MalformedPolicyDocument", "MalformedPolicy", "InvalidParameter"],
            "invalid principal",
            ErrorKind::Settling,
        ),
        // IAM, Logs, EventBridge
        rule(&["EntityAlreadyExists"], "", ErrorKind::AlreadyExists),
        rule(&["ConcurrentModification"], "", ErrorKind::Busy),
        rule(&["DeleteConflict"], "", ErrorKind::Busy),
        rule(&["LimitExceeded"], "", ErrorKind::Quota),
    ],
};
