//! The ledger: immutable release records and the inventory, in the control bucket. History, not truth: everything that
//! decides is read from AWS itself.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::control_bucket::{Condition, ControlBucket};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::event::Event;
use crate::release::record::{MoveRecord, ReleaseRecord, decode, encode};
use crate::resource::ResourceId;

fn prefix(context: &Context) -> String {
    let identity = context.identity();
    format!("{}/{}/", identity.app, identity.stage)
}

/// Where a release's record lies in the control bucket.
pub fn key_of(context: &Context, release: u64) -> String {
    format!("{}releases/{release:08}.json", prefix(context))
}

/// Writes a release's record. One that stands already stays as it is.
pub async fn record(context: &Context, bucket: &ControlBucket, release: &ReleaseRecord) -> Result<(), AwsError> {
    let key = key_of(context, release.release);
    let body = encode(release);
    match bucket.put(context, &key, &body, Condition::Absent).await {
        Err(error) if error.kind == ErrorKind::Precondition => {
            let standing = of_release(context, bucket, release.release).await?;
            if standing.is_none_or(|standing| standing.grants != release.grants) {
                context.emit(Event::Warning {
                    message: format!(
                        "the record of release {} (s3://{}/{key}) was there before the release and says something else: it is \
                         not believed",
                        release.release,
                        bucket.name()
                    ),
                });
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The record of a release; none when the ledger has lost it.
pub async fn of_release(
    context: &Context,
    bucket: &ControlBucket,
    release: u64,
) -> Result<Option<ReleaseRecord>, AwsError> {
    let key = key_of(context, release);
    let stored = bucket.get(context, &key).await?;
    Ok(stored.and_then(|stored| decode(&stored.body)))
}

/// All records, oldest first.
pub async fn records(context: &Context, bucket: &ControlBucket) -> Result<Vec<ReleaseRecord>, AwsError> {
    read_all(context, bucket, &format!("{}releases/", prefix(context))).await
}

/// Objects read at the same time.
const READS: usize = 32;

async fn read_all<T: DeserializeOwned>(
    context: &Context,
    bucket: &ControlBucket,
    prefix: &str,
) -> Result<Vec<T>, AwsError> {
    let keys = bucket.list(context, prefix).await?;
    let stored: Vec<_> = stream::iter(keys)
        .map(|key| async move { bucket.get(context, &key).await })
        .buffered(READS)
        .try_collect()
        .await?;
    let parsed = stored.into_iter().flatten().filter_map(|one| decode(&one.body));
    Ok(parsed.collect())
}

/// Deletes all records of releases and of movements: those of a stage that was destroyed, whose numbers begin again.
pub async fn forget(context: &Context, bucket: &ControlBucket) -> Result<(), AwsError> {
    let list = async |what: &str| bucket.list(context, &format!("{}{what}/", prefix(context))).await;
    let (releases, moves) = futures::try_join!(list("releases"), list("moves"))?;
    let delete = |key: String| async move {
        match bucket.get(context, &key).await? {
            Some(stored) => bucket.delete(context, &key, &stored.etag).await,
            None => Ok(()),
        }
    };
    stream::iter(releases.into_iter().chain(moves))
        .map(delete)
        .buffered(READS)
        .try_collect()
        .await
}

/// Writes a transition down. A control bucket that is gone is made again.
pub async fn record_move(context: &Context, bucket: &ControlBucket, made: &MoveRecord) -> Result<(), AwsError> {
    let key = format!(
        "{}moves/{}-{}.json",
        prefix(context),
        made.at.as_millisecond(),
        made.fence
    );
    let body = encode(made);
    match bucket.put(context, &key, &body, Condition::Absent).await {
        Err(error) if error.kind == ErrorKind::Precondition => Ok(()),
        other => other.map(drop),
    }
}

/// All movements, oldest first.
pub async fn moves(context: &Context, bucket: &ControlBucket) -> Result<Vec<MoveRecord>, AwsError> {
    read_all(context, bucket, &format!("{}moves/", prefix(context))).await
}

/// The newest release and the newest transition.
pub async fn latest(
    context: &Context,
    bucket: &ControlBucket,
) -> Result<(Option<ReleaseRecord>, Option<MoveRecord>), AwsError> {
    futures::try_join!(
        read_last(context, bucket, format!("{}releases/", prefix(context))),
        read_last(context, bucket, format!("{}moves/", prefix(context)))
    )
}

/// Keys are in the order of their numbers or times.
async fn read_last<T: DeserializeOwned>(
    context: &Context,
    bucket: &ControlBucket,
    prefix: String,
) -> Result<Option<T>, AwsError> {
    let Some(key) = bucket.list(context, &prefix).await?.pop() else {
        return Ok(None);
    };
    let stored = bucket.get(context, &key).await?;
    Ok(stored.and_then(|stored| decode(&stored.body)))
}

/// What a deploy leaves behind when it is through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Everything that exists then and has a name of its own, with that name.
    pub resources: BTreeMap<ResourceId, String>,
    /// When the deploy was through; none while it runs, and of one that did not come to its end.
    #[serde(serialize_with = "crate::time::serialize_known")]
    pub completed: Option<jiff::Timestamp>,
}

fn inventory_key(context: &Context) -> String {
    format!("{}inventory.json", prefix(context))
}

/// Writes down what is about to exist, before the first of it is made or deleted.
pub async fn announce(context: &Context, bucket: &ControlBucket, inventory: &Inventory) -> Result<(), AwsError> {
    let body = encode(inventory);
    let key = inventory_key(context);
    bucket.put(context, &key, &body, Condition::Always).await.map(drop)
}

/// What the last deploy that changed something wrote down. None of a stage that only versions before this format deployed.
pub async fn inventory(context: &Context, bucket: &ControlBucket) -> Result<Option<Inventory>, AwsError> {
    let stored = bucket.get(context, &inventory_key(context)).await?;
    Ok(stored.and_then(|stored| decode(&stored.body)))
}
