//! SNS.

pub mod topic;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "sns",
    quotas: &[
        quota(&["TagResource", "UntagResource"], 10.0, 10.0),
        quota(&[], 30.0, 30.0),
    ],
    errors: &[
        rule(
            &["MalformedPolicyDocument", "MalformedPolicy", "InvalidParameter"],
            "invalid principal",
            ErrorKind::Settling,
        ),
        // https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html (idempotent only with the same attributes and tags)
        rule(&["InvalidParameter"], "topic already exists", ErrorKind::AlreadyExists),
        // 403, and no permission is missing.
        rule(
            &[
                "TopicLimitExceeded",
                "SubscriptionLimitExceeded",
                "FilterPolicyLimitExceeded",
                "TagLimitExceeded",
            ],
            "",
            ErrorKind::Quota,
        ),
        rule(&["ConcurrentAccess", "StaleTag"], "", ErrorKind::Busy),
    ],
};
