//! Lambda.

pub mod account;
pub mod alias;
pub mod function;
pub mod permission;
pub mod release;
pub mod staging;
pub mod version;

use crate::aws::client::error::ErrorKind;
use crate::aws::client::service::{Service, quota, rule};

/// What taskctl knows of the service.
pub static SERVICE: Service = Service {
    name: "lambda",
    quotas: &[
        // https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        quota(&["GetFunction"], 100.0, 100.0),
        quota(&["GetPolicy"], 15.0, 15.0),
        quota(&["Invoke"], 1000.0, 1000.0),
        quota(&[], 15.0, 15.0),
    ],
    errors: &[
        // Lambda sees a role some seconds after IAM made it.
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html (eventual consistency)
        rule(
            &["InvalidParameterValue"],
            "cannot be assumed by lambda",
            ErrorKind::Settling,
        ),
        rule(
            &["InvalidParameterValue"],
            "does not have permissions",
            ErrorKind::Settling,
        ),
        rule(
            &["InvalidParameterValue"],
            "kms key is invalid for creategrant",
            ErrorKind::Settling,
        ),
        // https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
        rule(&["ResourceConflict"], "in progress", ErrorKind::Busy),
        rule(&["ResourceConflict"], "pending", ErrorKind::Busy),
        rule(
            &["ResourceConflict"],
            "currently in the following state",
            ErrorKind::Busy,
        ),
        rule(&["ResourceConflict"], "already exist", ErrorKind::AlreadyExists),
        // An alias that was deleted a moment ago counts for some seconds.
        rule(
            &["ResourceConflict"],
            "following aliases reference",
            ErrorKind::Settling,
        ),
        rule(&["ResourceConflict"], "", ErrorKind::Busy),
        rule(&["PreconditionFailed"], "", ErrorKind::Precondition),
        // A hundred of the account's concurrent executions stay unreserved.
        // https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
        rule(
            &["InvalidParameterValue"],
            "unreservedconcurrentexecution below",
            ErrorKind::Quota,
        ),
        rule(&["CodeStorageExceeded", "PolicyLengthExceeded"], "", ErrorKind::Quota),
        // What Invoke answers with 502 and no repetition changes.
        // https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        rule(
            &["ENILimitReached", "SubnetIPAddressLimitReached"],
            "",
            ErrorKind::Quota,
        ),
        rule(&["EC2Throttled"], "", ErrorKind::Throttled),
        rule(&["SnapStartNotReady", "ResourceNotReady"], "", ErrorKind::Busy),
        rule(
            &[
                "InvalidZipFile",
                "InvalidRuntime",
                "InvalidSubnetID",
                "InvalidSecurityGroupID",
                "EC2AccessDenied",
                "EFSIOException",
                "EFSMountConnectivity",
                "EFSMountFailure",
                "EFSMountTimeout",
                "KMSAccessDenied",
                "KMSDisabled",
                "KMSInvalidState",
                "KMSNotFound",
                "SnapStart",
            ],
            "",
            ErrorKind::Invalid,
        ),
    ],
};
