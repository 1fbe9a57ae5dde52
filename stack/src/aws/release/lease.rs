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
use crate::release::record::session;

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
    /// Which process of its machine it is; none where that could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// ARN of the AWS principal whose credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// What tells a process from another one that gets its number later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// The boot of its machine, and the processes that can be seen from there: those of a container are others.
    pub boot: String,
    /// When it started, as the system writes it.
    pub started: String,
}

/// The machine that this runs on.
pub trait Machine: Send + Sync {
    /// Its name.
    fn host(&self) -> &str;
    /// Its boot, and the processes that can be seen; none where that cannot be found out.
    fn boot(&self) -> Option<String>;
    /// When a process started.
    fn started(&self, pid: u32) -> Started;
}

/// When a process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// Then.
    At(String),
    /// There is no such process.
    Never,
    /// It cannot be seen.
    Unknown,
}

impl Holder {
    /// Whether it has surely ended: it ran on this machine since its last start, and its process is gone or its number has
    /// another one.
    fn is_dead(&self, machine: &dyn Machine) -> bool {
        let Some(process) = &self.process else { return false };
        let is_here = self.host == machine.host() && machine.boot().as_ref() == Some(&process.boot);
        is_here
            && match machine.started(self.pid) {
                Started::At(at) => at != process.started,
                Started::Never => true,
                Started::Unknown => false,
            }
    }

    /// What its credentials are for, in a few words: `assumed-role/Deployer/run-42`.
    pub fn session(&self) -> Option<&str> {
        self.principal.as_deref().and_then(session)
    }
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
    /// Who holds it, with which command, for how long: `ann@vm as user/ann: taskctl deploy, for 12 s (process 21811)`.
    pub fn described(&self, for_seconds: i64) -> String {
        let Holder {
            user,
            host,
            command,
            pid,
            process: _,
            principal: _,
        } = &self.holder;
        let session = self.holder.session();
        let session = session.map(|session| format!(" as {session}")).unwrap_or_default();
        format!(
            "{user}@{host}{session}: {command}, for {} s (process {pid})",
            for_seconds.max(0)
        )
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
    machine: &dyn Machine,
) -> Result<Option<LeaseRecord>, LeaseError> {
    let key = key(context);
    let Some(stored) = bucket.get(context, &key).await? else {
        return Ok(None);
    };
    let Ok(current) = serde_json::from_slice::<LeaseRecord>(&stored.body) else {
        bucket.delete(context, &key, &stored.etag).await?;
        return Ok(None);
    };
    let left = held_for(&current, stored.age_seconds, machine);
    if let (Force::Expired, Some(left)) = (force, left) {
        return Err(held(context, current, left));
    }
    match bucket.delete(context, &key, &stored.etag).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(|()| Some(current)).map_err(LeaseError::from),
    }
}

/// That a lease is still somebody's, by how long it has been silent.
pub fn still_held(
    context: &Context,
    current: LeaseRecord,
    silent_seconds: i64,
    machine: &dyn Machine,
) -> Option<LeaseError> {
    let left = held_for(&current, silent_seconds, machine)?;
    Some(held(context, current, left))
}

/// How much longer a lease is its holder's; none when it is free. That of a holder that has surely ended is free at once.
fn held_for(current: &LeaseRecord, silent_seconds: i64, machine: &dyn Machine) -> Option<Duration> {
    let silent = Duration::from_secs(u64::try_from(silent_seconds).unwrap_or(0));
    let left = (LIFETIME + GRACE).checked_sub(silent);
    left.filter(|left| !left.is_zero() && !current.holder.is_dead(machine))
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
    machine: &dyn Machine,
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
            if let Some(left) = held_for(&current, stored.age_seconds, machine) {
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
        machine: &dyn Machine,
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
        } = take(context, bucket, &key, &mut record, machine).await?;
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

    /// ARN of the AWS principal of its holder.
    pub fn principal(&self) -> Option<String> {
        self.state.inner.lock().record.holder.principal.clone()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which process 7 started then.
    struct Here(&'static str, Started);

    impl Machine for Here {
        fn host(&self) -> &str {
            self.0
        }

        fn boot(&self) -> Option<String> {
            Some("boot-1".to_owned())
        }

        fn started(&self, pid: u32) -> Started {
            assert_eq!(pid, 7);
            self.1.clone()
        }
    }

    fn record(boot: Option<&str>) -> LeaseRecord {
        LeaseRecord {
            holder: Holder {
                user: "ann".to_owned(),
                host: "vm".to_owned(),
                command: "taskctl deploy".to_owned(),
                pid: 7,
                process: boot.map(|boot| Process {
                    boot: boot.to_owned(),
                    started: "100".to_owned(),
                }),
                principal: Some("arn:aws:sts::123456789012:assumed-role/Deployer/run-42".to_owned()),
            },
            since: jiff::Timestamp::UNIX_EPOCH,
            fence: 1,
            nonce: "n".to_owned(),
            renewals: 0,
            progress: None,
        }
    }

    #[test]
    fn the_lease_of_a_process_of_this_machine_that_is_gone_is_free_at_once() {
        let at = |text: &str| Started::At(text.to_owned());
        for (boot, host, started, expected) in [
            (Some("boot-1"), "vm", at("100"), Some(90)),
            (Some("boot-1"), "vm", Started::Never, None),
            // Its number has another process.
            (Some("boot-1"), "vm", at("200"), None),
            (Some("boot-1"), "vm", Started::Unknown, Some(90)),
            // Of another machine, of another container, of a taskctl that did not write it down.
            (Some("boot-1"), "other", Started::Never, Some(90)),
            (Some("boot-0"), "vm", Started::Never, Some(90)),
            (None, "vm", Started::Never, Some(90)),
        ] {
            let left = held_for(&record(boot), 10, &Here(host, started.clone()));
            assert_eq!(left, expected.map(Duration::from_secs), "{boot:?} {host} {started:?}");
        }
        assert_eq!(held_for(&record(None), 100, &Here("vm", at("100"))), None);
    }

    #[test]
    fn a_lease_says_whose_credentials_its_holder_has() {
        assert_eq!(
            record(None).described(12),
            "ann@vm as assumed-role/Deployer/run-42: taskctl deploy, for 12 s (process 7)"
        );
        let stored = r#"{"user":"ann","host":"vm","command":"taskctl deploy","pid":7}"#;
        let former: Holder = serde_json::from_str(stored).expect("a holder of the version before");
        assert_eq!((former.process, former.principal), (None, None));
    }
}
