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
        // What was detached or deleted before it is not gone everywhere yet; what others attached stays.
        rule(&["DeleteConflict"], "", ErrorKind::Settling),
        // A policy, not the role that it is attached to: waiting does not help.
        rule(
            &["NoSuchEntity"],
            "does not exist or is not attachable",
            ErrorKind::Invalid,
        ),
        rule(&["LimitExceeded"], "", ErrorKind::Quota),
    ],
};
