//! The ledger: immutable release records and the inventory, in the control bucket. History, not truth: everything that
//! decides is read from AWS itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aws::context::Context;
use crate::aws::control_bucket::{Condition, ControlBucket};
use crate::aws::error::{AwsError, Class};
use crate::plan::Counts;
use crate::resource::ResourceId;

/// What is known of a release, written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Number.
    pub release: u64,
    /// Colour it was given.
    pub color: String,
    /// Fingerprint of its content.
    pub fingerprint: String,
    /// Commit of the code, with `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Who deployed it.
    pub user: String,
    /// When the deploy ended.
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// What changed with it.
    pub changes: Counts,
    /// Function versions in it.
    pub versions: BTreeMap<String, u64>,
    /// Fencing number of the lease it was written under.
    pub fence: u64,
}

fn prefix(context: &Context) -> String {
    let identity = context.identity();
    format!("{}/{}/", identity.app, identity.stage)
}

/// Writes a release's record. One that stands already stays as it is.
pub async fn record(context: &Context, bucket: &ControlBucket, release: &ReleaseRecord) -> Result<(), AwsError> {
    let key = format!("{}releases/{:08}.json", prefix(context), release.release);
    let body = serde_json::to_vec_pretty(release).unwrap_or_default();
    match bucket.put(context, &key, &body, Condition::Absent).await {
        Err(error) if error.class == Class::Precondition => Ok(()),
        other => other.map(drop),
    }
}

/// All records, oldest first.
pub async fn records(context: &Context, bucket: &ControlBucket) -> Result<Vec<ReleaseRecord>, AwsError> {
    let mut records = Vec::new();
    for key in bucket.list(context, &format!("{}releases/", prefix(context))).await? {
        if let Some(stored) = bucket.get(context, &key).await? {
            records.extend(serde_json::from_slice::<ReleaseRecord>(&stored.body).ok());
        }
    }
    Ok(records)
}

/// Writes down what is about to exist, before the first of it is made.
pub async fn announce(context: &Context, bucket: &ControlBucket, resources: &[ResourceId]) -> Result<(), AwsError> {
    let key = format!("{}inventory.json", prefix(context));
    let body = serde_json::to_vec_pretty(resources).unwrap_or_default();
    bucket.put(context, &key, &body, Condition::Always).await.map(drop)
}
