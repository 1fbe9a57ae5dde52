//! The context of a run: who we are, the clients, and the one way in which AWS is called – paced, cancellable,
//! repeated where the error table says so, and told as events.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;

use crate::aws::client::batch::Batches;
use crate::aws::client::clients::Clients;
use crate::aws::client::error::{AwsError, ErrorKind, patience};
use crate::aws::client::pace::Pacer;
use crate::aws::client::service::{Rule, Service};
use crate::aws::kinds::lambda::staging::Staging;
use crate::aws::kinds::site::objects::Sites;
use crate::event::{Event, Events};
use crate::resource::{Outputs, ResourceId};

tokio::task_local! {
    /// The resource on whose behalf this task calls AWS, and what that has taken.
    static ON_BEHALF: (ResourceId, Arc<Mutex<Spent>>);
}

/// What a resource has taken so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Calls, repeated ones included.
    pub calls: u32,
    /// How long they took, one after the other.
    pub calling: Duration,
    /// How long it waited: for quotas, for AWS to get ready, before repeating a call.
    pub waiting: Duration,
}

/// Adds to what the resource of this task has taken.
fn spend(add: impl FnOnce(&mut Spent)) {
    let _ = ON_BEHALF.try_with(|(_, spent)| add(&mut spent.lock().unwrap_or_else(PoisonError::into_inner)));
}

fn on_whose_behalf() -> Option<ResourceId> {
    ON_BEHALF.try_with(|(id, _)| id.clone()).ok()
}

/// Who and where the stack is. App, stage and region never change; the account comes from STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Account id, 12 digits.
    pub account: String,
    /// ARN partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
}

impl Identity {
    /// `{app}-{stage}-`, the start of every derived name.
    pub fn prefix(&self) -> String {
        format!("{}-{}-", self.app, self.stage)
    }

    /// The ownership tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app".to_owned(), self.app.clone()),
            ("stage".to_owned(), self.stage.clone()),
            ("managed-by".to_owned(), "taskctl".to_owned()),
        ])
    }

    /// An ARN in this region and account.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }
}

/// A call to be made: its names, and whether repeating it can do harm.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    service: &'static str,
    name: &'static str,
    repeat: Repeat,
    limit: Duration,
    missing: Missing,
    guard: Guard,
}

/// Whether a call needs the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Lease,
    /// It brings back order: a stop does not keep it from being made.
    LeaseAlone,
    /// It is about the lease itself, or about its book-keeping.
    None,
}

/// Whether a call may be repeated when nobody knows if it was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Safe,
    /// It would make a second one: the caller looks first.
    Never,
}

/// What "not found" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// An answer.
    Answer,
    /// It was made a moment ago and is not known everywhere yet.
    NotYet,
}

/// A call that may be repeated.
pub const fn op(service: &'static str, name: &'static str) -> Op {
    Op {
        service,
        name,
        repeat: Repeat::Safe,
        limit: Duration::from_secs(30),
        missing: Missing::Answer,
        guard: Guard::Lease,
    }
}

impl Op {
    /// A call that makes another one each time: after an unknown outcome the caller must look before repeating.
    pub const fn once(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// A call that carries a package. It may take as long as a lease surely lasts between two renewals.
    pub const fn upload(mut self) -> Self {
        self.limit = Duration::from_secs(40);
        self
    }

    /// A call that is made although the operator has asked to stop: it ends something half done.
    pub const fn even_when_stopped(mut self) -> Self {
        self.guard = Guard::LeaseAlone;
        self
    }

    /// A call that is made with or without the lease.
    pub const fn unguarded(mut self) -> Self {
        self.guard = Guard::None;
        self
    }

    /// "Not found" means "not yet": what the call is about was made a moment ago.
    pub const fn just_made(mut self) -> Self {
        self.missing = Missing::NotYet;
        self
    }
}

/// Tells the time; injected so that tests need not wait.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> jiff::Timestamp;
    /// Time since some fixed moment, suspension included; never goes back.
    fn since_boot(&self) -> Duration;
}

/// Guards every call against a lost lease. The lease's own implementation lives in `release`.
pub trait LeaseGuard: Send + Sync {
    /// Whether the lease outlives an attempt of this length.
    fn outlives(&self, attempt: Duration) -> bool;
}

/// Asks running work to stop after the calls in flight.
#[derive(Debug, Clone)]
pub struct Cancel {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until somebody asks.
    pub async fn cancelled(&self) {
        let mut receiver = self.sender.subscribe();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The context of a run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    clients: Clients,
    events: Events,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    services: &'static [&'static Service],
    pacer: Pacer,
    calls: AtomicU64,
    /// How many ask for something that takes a while.
    polling: AtomicU32,
    /// Calls that AWS is not ready for.
    unready: AtomicU32,
    lease: RwLock<Option<Arc<dyn LeaseGuard>>>,
    outputs: RwLock<BTreeMap<ResourceId, Outputs>>,
    queues: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    batches: Batches,
    staging: Staging,
    sites: Sites,
}

impl Context {
    /// Makes a context. `services` are those whose quotas and errors are known.
    pub fn new(
        identity: Identity,
        clients: Clients,
        services: &'static [&'static Service],
        events: Events,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                identity,
                clients,
                events,
                clock,
                cancel,
                services,
                pacer: Pacer::new(services),
                calls: AtomicU64::new(0),
                polling: AtomicU32::new(0),
                unready: AtomicU32::new(0),
                lease: RwLock::new(None),
                outputs: RwLock::default(),
                queues: Mutex::default(),
                batches: Batches::default(),
                staging: Staging::default(),
                sites: Sites::default(),
            }),
        }
    }

    /// Who and where.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The clients.
    pub fn clients(&self) -> &Clients {
        &self.inner.clients
    }

    /// The time.
    pub fn now(&self) -> jiff::Timestamp {
        self.inner.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The stop signal.
    pub fn cancel(&self) -> &Cancel {
        &self.inner.cancel
    }

    /// Tells.
    pub fn emit(&self, event: Event) {
        self.inner.events.emit(event);
    }

    /// The sink.
    pub fn events(&self) -> &Events {
        &self.inner.events
    }

    /// AWS calls made so far.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// Counts calls that were made before this context existed.
    pub fn count_calls(&self, calls: u64) {
        self.inner.calls.fetch_add(calls, Ordering::Relaxed);
    }

    /// From now on every call is guarded by this lease.
    pub fn guard(&self, lease: Option<Arc<dyn LeaseGuard>>) {
        *self.inner.lease.write().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    /// What a resource has told so far.
    pub fn outputs(&self, id: &ResourceId) -> Outputs {
        let outputs = self.inner.outputs.read().unwrap_or_else(PoisonError::into_inner);
        outputs.get(id).cloned().unwrap_or_default()
    }

    /// One output of a resource that must exist by now.
    pub fn output(&self, id: &ResourceId, key: &str) -> Result<String, AwsError> {
        self.outputs(id).get(key).cloned().ok_or_else(|| {
            AwsError::own(
                "taskctl",
                "resolve",
                ErrorKind::Invalid,
                format!("{id} has no {key} yet, although something refers to it"),
            )
        })
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, id: &ResourceId) {
        let mut outputs = self.inner.outputs.write().unwrap_or_else(PoisonError::into_inner);
        outputs.remove(id);
    }

    /// Keeps what a resource tells.
    pub fn learn(&self, id: &ResourceId, outputs: Outputs) {
        self.inner
            .outputs
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id.clone())
            .or_default()
            .extend(outputs);
    }

    /// The packages of this run.
    pub(in crate::aws) fn sites(&self) -> &Sites {
        &self.inner.sites
    }

    pub(in crate::aws) fn staging(&self) -> &Staging {
        &self.inner.staging
    }

    /// Runs work on behalf of a resource, so that its retries are told with its name; tells what it took.
    pub async fn on_behalf<T>(id: ResourceId, work: impl Future<Output = T>) -> (T, Spent) {
        let spent = Arc::new(Mutex::new(Spent::default()));
        let done = ON_BEHALF.scope((id, Arc::clone(&spent)), work).await;
        let spent = *spent.lock().unwrap_or_else(PoisonError::into_inner);
        (done, spent)
    }

    /// Waits for its turn among calls that AWS does not take side by side (one queue per key).
    pub async fn serial(&self, key: impl Into<String>) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(key.into()).or_default())
        };
        queue.lock_owned().await
    }

    /// Who waits to be taken along by another's call.
    pub(in crate::aws) fn batches(&self) -> &Batches {
        &self.inner.batches
    }

    /// Calls AWS.
    pub async fn call<T, E, F>(&self, op: Op, request: impl Fn() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut began: Option<(ErrorKind, Instant)> = None;
        let mut unready: Option<Polling<'_>> = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.may_call(op)?;
            self.turn(op).await?;
            let error = match self.attempt(op, &request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let kind = match (error.kind, op.missing) {
                (ErrorKind::NotFound, Missing::NotYet) => ErrorKind::Settling,
                (ErrorKind::Transient, _) if op.repeat == Repeat::Never => return Err(error),
                (kind, _) => kind,
            };
            let Some(patience) = patience(kind) else {
                return Err(error);
            };
            let since = match began {
                Some((before, since)) if before == kind => since,
                Some(_) | None => {
                    began = Some((kind, Instant::now()));
                    Instant::now()
                }
            };
            if since.elapsed() >= patience.total {
                return Err(error);
            }
            let longest = match kind {
                ErrorKind::Settling | ErrorKind::Busy => {
                    let unready = unready.get_or_insert_with(|| Polling::begin(&self.inner.unready));
                    longest_pause(unready.count(), patience.longest)
                }
                _ => patience.longest,
            };
            let grown = patience.first.saturating_mul(1 << (attempt - 1).min(10)).min(longest);
            let delay = jittered(grown, self.calls(), kind);
            self.emit(Event::Retrying {
                id: on_whose_behalf(),
                operation: format!("{}:{}", op.service, op.name),
                attempt,
                reason: error.message.clone(),
                delay_millis: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            });
            self.pause(op, delay).await?;
        }
    }

    async fn attempt<T, E, F>(&self, op: Op, request: &impl Fn() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.inner.calls.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let answer = match tokio::time::timeout(op.limit, request()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(AwsError::from_sdk(op.service, op.name, self.rules(op.service), &error)),
            Err(_) => Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::Transient,
                format!("no answer within {} s", op.limit.as_secs()),
            )),
        };
        let took = start.elapsed();
        spend(|spent| {
            spent.calls += 1;
            spent.calling += took;
        });
        self.emit(Event::Call {
            operation: format!("{}:{}", op.service, op.name),
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            outcome: match &answer {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.code.clone().unwrap_or_else(|| format!("{:?}", error.kind)),
            },
        });
        answer
    }

    /// What a service's errors mean there alone.
    fn rules(&self, service: &str) -> &'static [Rule] {
        let service = self.inner.services.iter().find(|one| one.name == service);
        service.map_or(&[], |service| service.errors)
    }

    /// Whether another call may start.
    fn may_call(&self, op: Op) -> Result<(), AwsError> {
        if op.guard == Guard::None {
            return Ok(());
        }
        if op.guard == Guard::Lease && self.inner.cancel.is_cancelled() {
            return Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::Interrupted,
                "stopped before the call was made",
            ));
        }
        let lease = self.inner.lease.read().unwrap_or_else(PoisonError::into_inner);
        match lease.as_ref() {
            Some(lease) if !lease.outlives(op.limit) => Err(AwsError::own(
                op.service,
                op.name,
                ErrorKind::LeaseLost,
                "the lease on this stage was lost before the call was made",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for the call's turn under its quota.
    async fn turn(&self, op: Op) -> Result<(), AwsError> {
        let turn = async {
            let began = Instant::now();
            self.inner.pacer.pace(op.service, op.name).await;
            spend(|spent| spent.waiting += began.elapsed());
        };
        if op.guard != Guard::Lease {
            turn.await;
            return self.may_call(op);
        }
        tokio::select! {
            () = turn => self.may_call(op),
            () = self.inner.cancel.cancelled() => self.may_call(op),
        }
    }

    async fn pause(&self, op: Op, delay: Duration) -> Result<(), AwsError> {
        spend(|spent| spent.waiting += delay);
        if op.guard != Guard::Lease {
            tokio::time::sleep(delay).await;
            return self.may_call(op);
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.inner.cancel.cancelled() => self.may_call(op),
        }
    }

    /// Asks until the answer is there: often at first, since most things take a few seconds, every 2 s later. Who waits alone
    /// asks ten times a second; several share what quotas allow.
    pub async fn poll<T, F>(&self, reason: &str, limit: Duration, ask: impl Fn() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<Option<T>, AwsError>>,
    {
        let began = Instant::now();
        let mut told = false;
        let mut delay = OFTEN;
        let polling = Polling::begin(&self.inner.polling);
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if began.elapsed() > limit {
                return Err(AwsError::own(
                    "taskctl",
                    "wait",
                    ErrorKind::Busy,
                    format!("waited {} s for the {reason}", limit.as_secs()),
                ));
            }
            if !told {
                told = true;
                if let Some(id) = on_whose_behalf() {
                    self.emit(Event::Waiting {
                        id,
                        reason: reason.to_owned(),
                    });
                }
            }
            if began.elapsed() > OFTEN_FOR {
                delay = delay.mul_f64(1.3).min(SELDOM);
            } else {
                delay = (ALONE * polling.count()).min(OFTEN);
            }
            self.pause(op("taskctl", "wait"), delay).await?;
        }
    }
}

/// One of those who ask.
struct Polling<'a>(&'a AtomicU32);

impl<'a> Polling<'a> {
    fn begin(all: &'a AtomicU32) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Longest pause before a call is tried again that AWS is not ready for, for each such call: what they ask together stays
/// below quotas, and few of them learn soon that they can go on.
const UNREADY_SHARE: Duration = Duration::from_millis(125);
/// The same, at least.
const UNREADY_PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks, for each who looks, at something that has just begun.
const ALONE: Duration = Duration::from_millis(100);
/// The same, at most.
const OFTEN: Duration = Duration::from_millis(250);
/// How long it has just begun.
const OFTEN_FOR: Duration = Duration::from_secs(5);
/// Time between two looks at something that takes long.
const SELDOM: Duration = Duration::from_secs(2);

/// Longest pause before one of `unready` calls is tried again.
fn longest_pause(unready: u32, longest: Duration) -> Duration {
    (UNREADY_SHARE * unready).max(UNREADY_PAUSE).min(longest)
}

/// A pause somewhere in the upper part of what backing off allows: throttled calls are spread over all of it.
fn jittered(grown: Duration, seed: u64, kind: ErrorKind) -> Duration {
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    #[expect(clippy::cast_precision_loss, reason = "24 bits")]
    let share = spread as f64 / f64::from(1u32 << 24);
    match kind {
        ErrorKind::Throttled => grown.mul_f64(0.3 + 0.7 * share),
        _ => grown.mul_f64(0.8 + 0.2 * share),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use futures::future::join_all;

    use super::*;
    use crate::aws::client::clients::Connection;
    use crate::event::Recorder;

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        fn since_boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    pub(crate) async fn context() -> Context {
        let connection = Connection {
            region: "eu-central-1".into(),
            credentials: Some(("test".into(), "test".into())),
            ..Connection::default()
        };
        let identity = Identity {
            app: "shop".into(),
            stage: "dev".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
        };
        let clients = Clients::connect(&connection).await;
        Context::new(
            identity,
            clients,
            crate::aws::kinds::registry::services(),
            Arc::new(Recorder::default()),
            Arc::new(Stopped),
            Cancel::default(),
        )
    }

    /// As many tables as given, made at once, whose backups can be switched on after `ready`: how long each call waited
    /// longer than that at most, and how many calls there were.
    async fn unready(tables: usize, ready: Duration) -> (Duration, u64) {
        let context = context().await;
        let began = Instant::now();
        let calls = (0..tables).map(|_| {
            context.call(op("dynamodb", "UpdateContinuousBackups"), || async {
                if began.elapsed() >= ready {
                    return Ok(());
                }
                let error = ErrorMetadata::builder()
                    .code("ContinuousBackupsUnavailableException")
                    .build();
                let answer = HttpResponse::new(400.try_into().expect("a status"), SdkBody::empty());
                Err(SdkError::service_error(error, answer))
            })
        });
        let taken = join_all(calls).await;
        assert!(taken.iter().all(Result::is_ok));
        (began.elapsed().saturating_sub(ready), context.calls())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_what_is_not_ready_learns_soon_and_asks_little() {
        let (late, calls) = unready(4, Duration::from_secs(6)).await;
        assert!(late <= UNREADY_PAUSE, "{late:?}");
        assert!(calls <= 4 * 16, "{calls}");
        // Many together have ten calls a second, and so a turn every four seconds.
        let (late, calls) = unready(40, Duration::from_secs(60)).await;
        assert!(late <= Duration::from_secs(6), "{late:?}");
        assert!(calls <= 700, "{calls}");
    }
}
