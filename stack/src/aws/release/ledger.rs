//! The ledger: immutable release records and the inventory, in the control bucket. History, not truth: everything that
//! decides is read from AWS itself.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::control_bucket::{Condition, ControlBucket, Stored};
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
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// The release.
    pub release: Option<ReleaseRecord>,
    /// When it was recorded, by S3's clock. What AWS says of when something changed is compared with this, and not with the
    /// times in records, which are those of the machines that wrote them.
    pub released: Option<Timestamp>,
    /// The transition.
    pub moved: Option<MoveRecord>,
    /// When it was recorded, by S3's clock.
    pub moved_at: Option<Timestamp>,
}

impl Latest {
    /// Both, as S3 dates them.
    pub fn dated(self) -> (Option<ReleaseRecord>, Option<MoveRecord>) {
        let release = self.release.map(|record| ReleaseRecord {
            at: self.released.unwrap_or(record.at),
            ..record
        });
        let moved = self.moved.map(|record| MoveRecord {
            at: self.moved_at.unwrap_or(record.at),
            ..record
        });
        (release, moved)
    }
}

/// Reads them.
pub async fn latest(context: &Context, bucket: &ControlBucket) -> Result<Latest, AwsError> {
    let (release, moved) = futures::try_join!(
        read_last(context, bucket, format!("{}releases/", prefix(context))),
        read_last(context, bucket, format!("{}moves/", prefix(context)))
    )?;
    let (release, released) = apart(release);
    let (moved, moved_at) = apart(moved);
    Ok(Latest {
        release,
        released,
        moved,
        moved_at,
    })
}

/// A record, and when it was written; none of a record that cannot be read.
fn apart<T: DeserializeOwned>(stored: Option<Stored>) -> (Option<T>, Option<Timestamp>) {
    let Some(stored) = stored else { return (None, None) };
    let record = decode(&stored.body);
    let written = stored.written.filter(|_| record.is_some());
    (record, written)
}

/// Keys are in the order of their numbers or times.
async fn read_last(context: &Context, bucket: &ControlBucket, prefix: String) -> Result<Option<Stored>, AwsError> {
    match bucket.list(context, &prefix).await?.pop() {
        Some(key) => bucket.get(context, &key).await,
        None => Ok(None),
    }
}

/// What a deploy leaves behind when it is through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Everything that exists then and has a name of its own, with that name.
    pub resources: BTreeMap<ResourceId, String>,
    /// When the deploy was through, as S3 dates it once it is written; none while it runs, and of one that did not come to its
    /// end.
    #[serde(serialize_with = "crate::time::serialize_known")]
    pub completed: Option<Timestamp>,
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
    let (inventory, written) = apart::<Inventory>(bucket.get(context, &inventory_key(context)).await?);
    Ok(inventory.map(|inventory| Inventory {
        completed: inventory.completed.map(|completed| written.unwrap_or(completed)),
        ..inventory
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;

    /// The machine that deployed was seven hours ahead.
    #[tokio::test(start_paused = true)]
    async fn what_is_compared_with_times_of_aws_is_dated_by_aws() {
        let ahead: Timestamp = fake::LAST_MODIFIED + jiff::SignedDuration::from_hours(7);
        let inventory = Inventory {
            resources: BTreeMap::new(),
            completed: Some(ahead),
        };
        let clients = fake::clients("eu-central-1", move |_| (200, encode(&inventory)));
        let context = context_over(identity(), clients);
        let control = ControlBucket::new(&context, None);
        let read = super::inventory(&context, &control).await.unwrap().unwrap();
        assert_eq!(read.completed, Some(fake::LAST_MODIFIED));
    }
}
