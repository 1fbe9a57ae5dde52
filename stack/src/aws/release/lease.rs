//! The lease on a stage: whoever changes something holds it. It lives in the control bucket, is renewed while work goes
//! on, and frees itself when its holder dies. AWS checks no fence, so the holder does: no call starts unless the lease
//! outlives it, by a clock that also counts the time a machine was suspended.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::control_bucket::{Condition, ControlBucket};
use crate::aws::client::context::{Clock, Context, LeaseGuard};
use crate::aws::client::error::{AwsError, ErrorKind};

/// How long a lease lives without being renewed.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// Writes that are tried to acquire it: each but the last was overtaken by another holder's.
const ROUNDS: usize = 10;
/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(15);
/// How long giving it back waits for a renewal that is under way.
const LAST_RENEWAL: Duration = Duration::from_secs(10);
/// How much longer than its lifetime a lease must be silent before another takes it: the longest a call already sent
/// may still be on its way.
pub const GRACE: Duration = Duration::from_secs(40);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// Person or job.
    pub user: String,
    /// Machine.
    pub host: String,
    /// Command line, without secrets.
    pub command: String,
    /// Process id.
    pub pid: u32,
}

/// The lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseRecord {
    /// Who.
    pub holder: Holder,
    /// Since when, by the holder's clock.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub since: jiff::Timestamp,
    /// Raised by every new holder; ledger writes carry it.
    pub fence: u64,
    /// Tells one's own write from another's.
    pub nonce: String,
    /// Raised by every renewal.
    pub renewals: u64,
    /// How far a canary is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

impl LeaseRecord {
    /// Who holds it, with which command, for how long: `ann@vm: taskctl deploy, for 12 s (process 21811)`.
    pub fn described(&self, for_seconds: i64) -> String {
        let Holder {
            user,
            host,
            command,
            pid,
        } = &self.holder;
        format!("{user}@{host}: {command}, for {} s (process {pid})", for_seconds.max(0))
    }
}

/// How far a canary is: for whoever looks from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Release that goes live.
    pub release: u64,
    /// Percent of live's traffic that it has.
    pub percent: u8,
    /// Which step this is, from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// When the step began.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub since: jiff::Timestamp,
    /// How long it is watched, unless too few requests come.
    pub seconds: u64,
}

/// Why a lease was not had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody has it.
    #[error("{stack} is locked by {}", .holder.described(*.for_seconds))]
    Held {
        /// Application and stage.
        stack: String,
        /// Who.
        holder: Box<LeaseRecord>,
        /// For how long, by this machine's clock.
        for_seconds: i64,
        /// Seconds until it frees itself, if its holder is dead.
        free_in_seconds: u64,
    },
    /// AWS refused.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl LeaseError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Held { free_in_seconds, .. } => Some(format!(
                "wait for it to finish; if that process is dead, the lock frees itself in {free_in_seconds} s, and \
                 `taskctl unlock --force` breaks it now; to roll back all the same: `taskctl rollback --preempt`"
            )),
            Self::Aws(error) => error.hint(),
        }
    }
}

/// A lease that is held. Dropping it stops the renewal; [`Lease::release`] gives it back at once.
pub struct Lease {
    context: Context,
    bucket: ControlBucket,
    key: String,
    state: Arc<State>,
    stop: Arc<Notify>,
    renewal: JoinHandle<()>,
}

struct State {
    clock: Arc<dyn Clock>,
    /// There is something to say: the next renewal is now.
    news: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    record: LeaseRecord,
    /// What the next renewal says.
    progress: Option<Progress>,
    etag: String,
    /// On the clock that counts suspension, when the last successful renewal was sent.
    renewed: Duration,
    standing: Standing,
    /// Its former holder died in a canary.
    is_after_canary: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Held,
    Lost,
}

impl LeaseGuard for State {
    fn outlives(&self, attempt: Duration) -> bool {
        let inner = self.inner.lock();
        inner.standing == Standing::Held && self.clock.since_boot() + attempt < inner.renewed + LIFETIME
    }
}

/// Key of a stage's lease.
fn key(context: &Context) -> String {
    let identity = context.identity();
    format!("{}/{}/lease.json", identity.app, identity.stage)
}

/// Reads who holds the lease, and for how many seconds it has been silent.
pub async fn holder(context: &Context, bucket: &ControlBucket) -> Result<Option<(LeaseRecord, i64)>, AwsError> {
    let stored = bucket.get(context, &key(context)).await?;
    Ok(stored.and_then(|stored| Some((serde_json::from_slice(&stored.body).ok()?, stored.age_seconds))))
}

/// Whether a lease that may be alive is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only one that has been silent for too long.
    Expired,
    /// Any. Its holder starts no further call once it notices, which takes up to a renewal.
    Any,
}

/// Takes the lease away; none when nobody has it.
pub async fn take_away(
    context: &Context,
    bucket: &ControlBucket,
    force: Force,
) -> Result<Option<LeaseRecord>, LeaseError> {
    let key = key(context);
    let Some(stored) = bucket.get(context, &key).await? else {
        return Ok(None);
    };
    let Ok(current) = serde_json::from_slice::<LeaseRecord>(&stored.body) else {
        bucket.delete(context, &key, &stored.etag).await?;
        return Ok(None);
    };
    let silent = Duration::from_secs(u64::try_from(stored.age_seconds).unwrap_or(0));
    let left = (LIFETIME + GRACE).checked_sub(silent).filter(|left| !left.is_zero());
    if let (Force::Expired, Some(left)) = (force, left) {
        return Err(held(context, current, left));
    }
    match bucket.delete(context, &key, &stored.etag).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(|()| Some(current)).map_err(LeaseError::from),
    }
}

/// That a lease is still somebody's, by how long it has been silent.
pub fn still_held(context: &Context, current: LeaseRecord, silent_seconds: i64) -> Option<LeaseError> {
    let silent = Duration::from_secs(u64::try_from(silent_seconds).unwrap_or(0));
    let left = (LIFETIME + GRACE).checked_sub(silent).filter(|left| !left.is_zero())?;
    Some(held(context, current, left))
}

fn held(context: &Context, current: LeaseRecord, left: Duration) -> LeaseError {
    let identity = context.identity();
    LeaseError::Held {
        stack: format!("{}/{}", identity.app, identity.stage),
        for_seconds: context.now().as_second() - current.since.as_second(),
        holder: Box::new(current),
        free_in_seconds: left.as_secs().max(1),
    }
}

/// A lease that was written.
struct Taken {
    etag: String,
    /// When the write was sent.
    sent: Duration,
    /// It was written over that of a holder that died in a canary.
    is_after_canary: bool,
}

/// Writes the lease where there is none, or over one that has expired.
async fn take(
    context: &Context,
    bucket: &ControlBucket,
    key: &str,
    record: &mut LeaseRecord,
) -> Result<Taken, LeaseError> {
    let mut expired: Option<String> = None;
    let (mut is_ensured, mut is_after_canary) = (false, false);
    for _ in 0..ROUNDS {
        let condition = expired.as_deref().map_or(Condition::Absent, Condition::Unchanged);
        let sent = context.clock().since_boot();
        match bucket.put(context, key, &body(record), condition).await {
            Ok(etag) => {
                return Ok(Taken {
                    etag,
                    sent,
                    is_after_canary,
                });
            }
            Err(error) if error.kind == ErrorKind::NotFound && !is_ensured => {
                bucket.ensure(context).await?;
                (is_ensured, expired) = (true, None);
                continue;
            }
            Err(error) if error.kind == ErrorKind::Precondition => {}
            Err(error) => return Err(error.into()),
        }
        let Some(stored) = bucket.get(context, key).await? else {
            expired = None;
            continue;
        };
        let current: Option<LeaseRecord> = serde_json::from_slice(&stored.body).ok();
        if let Some(current) = current {
            // The answer to our own write was lost: it is ours.
            if current.nonce == record.nonce {
                return Ok(Taken {
                    etag: stored.etag,
                    sent,
                    is_after_canary,
                });
            }
            let silent = Duration::from_secs(u64::try_from(stored.age_seconds).unwrap_or(0));
            if let Some(left) = (LIFETIME + GRACE).checked_sub(silent).filter(|left| !left.is_zero()) {
                return Err(held(context, current, left));
            }
            record.fence = current.fence + 1;
            is_after_canary = current.progress.is_some();
        }
        expired = Some(stored.etag);
    }
    let message = format!("the lease on this stage changed {ROUNDS} times while it was being acquired");
    Err(AwsError::own("s3", "PutObject", ErrorKind::Busy, message).into())
}

impl Lease {
    /// Takes the lease and guards every later call of the context with it.
    pub async fn acquire(
        context: &Context,
        bucket: &ControlBucket,
        holder: Holder,
        nonce: String,
    ) -> Result<Self, LeaseError> {
        let key = key(context);
        let mut record = LeaseRecord {
            holder,
            since: context.now(),
            fence: 1,
            nonce,
            renewals: 0,
            progress: None,
        };
        let Taken {
            etag,
            sent,
            is_after_canary,
        } = take(context, bucket, &key, &mut record).await?;
        let state = Arc::new(State {
            clock: Arc::clone(context.clock()),
            news: Notify::new(),
            inner: Mutex::new(Inner {
                record,
                progress: None,
                etag,
                renewed: sent,
                standing: Standing::Held,
                is_after_canary,
            }),
        });
        let stop = Arc::new(Notify::new());
        let renewal = tokio::spawn(renew(
            context.clone(),
            bucket.clone(),
            key.clone(),
            Arc::clone(&state),
            Arc::clone(&stop),
        ));
        context.guard(Some(Arc::clone(&state) as Arc<dyn LeaseGuard>));
        Ok(Self {
            context: context.clone(),
            bucket: bucket.clone(),
            key,
            state,
            stop,
            renewal,
        })
    }

    /// The fencing number.
    pub fn fence(&self) -> u64 {
        self.state.inner.lock().record.fence
    }

    /// Whether the holder before died in a canary: weights are set, whatever reads of aliases show.
    pub fn is_after_canary(&self) -> bool {
        self.state.inner.lock().is_after_canary
    }

    /// Reports how far the holder is. Written with a renewal, which begins at once.
    pub fn report(&self, progress: Option<Progress>) {
        let mut inner = self.state.inner.lock();
        if inner.progress != progress {
            inner.progress = progress;
            self.state.news.notify_one();
        }
    }

    /// Gives the lease back. One that was lost meanwhile is left to its new holder.
    pub async fn release(mut self) -> Result<(), AwsError> {
        // A renewal that is under way would write the lease again under another token: it ends first.
        self.stop.notify_one();
        if tokio::time::timeout(LAST_RENEWAL, &mut self.renewal).await.is_err() {
            self.renewal.abort();
        }
        self.context.guard(None);
        let (mut etag, nonce) = {
            let inner = self.state.inner.lock();
            (inner.etag.clone(), inner.record.nonce.clone())
        };
        loop {
            match self.bucket.delete(&self.context, &self.key, &etag).await {
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind == ErrorKind::Precondition => {}
                other => return other,
            }
            // Another token: a renewal whose answer was lost, or another holder.
            let Some(stored) = self.bucket.get(&self.context, &self.key).await? else {
                return Ok(());
            };
            let current: Option<LeaseRecord> = serde_json::from_slice(&stored.body).ok();
            if stored.etag == etag || current.is_none_or(|current| current.nonce != nonce) {
                return Ok(());
            }
            etag = stored.etag;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

fn body(record: &LeaseRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(record).unwrap_or_default()
}

/// Renews until asked to stop, or lost.
async fn renew(context: Context, bucket: ControlBucket, key: String, state: Arc<State>, stop: Arc<Notify>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = state.news.notified() => {}
            () = stop.notified() => return,
        }
        let (record, etag) = {
            let inner = state.inner.lock();
            (
                LeaseRecord {
                    renewals: inner.record.renewals + 1,
                    progress: inner.progress.clone(),
                    ..inner.record.clone()
                },
                inner.etag.clone(),
            )
        };
        let sent = state.clock.since_boot();
        let renewed = match bucket
            .put(&context, &key, &body(&record), Condition::Unchanged(&etag))
            .await
        {
            Ok(etag) => Some(etag),
            // Perhaps the answer to our own renewal was lost; perhaps another took the lease.
            Err(_) => match bucket.get(&context, &key).await {
                Ok(Some(stored)) => match serde_json::from_slice::<LeaseRecord>(&stored.body) {
                    Ok(current) if current.nonce == record.nonce && current.renewals == record.renewals => {
                        Some(stored.etag)
                    }
                    Ok(current) if current.nonce == record.nonce => None,
                    Ok(_) | Err(_) => return lose(&state),
                },
                Ok(None) => return lose(&state),
                Err(_) => None,
            },
        };
        if let Some(etag) = renewed {
            let mut inner = state.inner.lock();
            inner.record = record;
            inner.etag = etag;
            inner.renewed = sent;
        }
    }
}

fn lose(state: &State) {
    state.inner.lock().standing = Standing::Lost;
}
