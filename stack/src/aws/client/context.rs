//! The context of a run: identity, clients, events, time and lease, shared by everything that calls AWS.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::OwnedMutexGuard;

use crate::aws::client::batch::Batches;
use crate::aws::client::cancel::Cancel;
use crate::aws::client::clients::Clients;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::extensions::Extensions;
use crate::aws::client::identity::Identity;
use crate::aws::client::pace::Pacer;
use crate::aws::client::service::{Rule, Service};
use crate::event::{Event, Events};
use crate::resource::{Outputs, ResourceId};

/// Gives the time; injected so that tests need not wait.
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
    /// Pollers.
    polling: AtomicU32,
    /// Calls that AWS is not ready for.
    unready: AtomicU32,
    lease: RwLock<Option<Arc<dyn LeaseGuard>>>,
    outputs: RwLock<BTreeMap<ResourceId, Outputs>>,
    queues: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    batches: Batches,
    extensions: Extensions,
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
                extensions: Extensions::default(),
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

    /// The current time.
    pub fn now(&self) -> jiff::Timestamp {
        self.inner.clock.now()
    }

    /// The current time as AWS has it; by this machine's clock before its first answer.
    pub fn aws_now(&self) -> jiff::Timestamp {
        self.inner.clients.time.now().unwrap_or_else(|| self.now())
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The stop signal.
    pub fn cancel(&self) -> &Cancel {
        &self.inner.cancel
    }

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        self.inner.events.emit(event);
    }

    /// The sink of events.
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
        *self.inner.lease.write() = lease;
    }

    /// The outputs of a resource that are known so far.
    pub fn outputs(&self, id: &ResourceId) -> Outputs {
        let outputs = self.inner.outputs.read();
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
        let mut outputs = self.inner.outputs.write();
        outputs.remove(id);
    }

    /// Keeps outputs of a resource.
    pub fn learn(&self, id: &ResourceId, outputs: Outputs) {
        self.inner
            .outputs
            .write()
            .entry(id.clone())
            .or_default()
            .extend(outputs);
    }

    /// What a kind keeps for this run: one value of each type, made when it is first asked for.
    pub(in crate::aws) fn extension<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.inner.extensions.get()
    }

    /// What a service's errors mean there alone.
    pub(super) fn rules(&self, service: &str) -> &'static [Rule] {
        let service = self.inner.services.iter().find(|one| one.name == service);
        service.map_or(&[], |service| service.errors)
    }

    pub(super) fn pacer(&self) -> &Pacer {
        &self.inner.pacer
    }

    pub(super) fn lease(&self) -> Option<Arc<dyn LeaseGuard>> {
        self.inner.lease.read().clone()
    }

    pub(super) fn polling(&self) -> &AtomicU32 {
        &self.inner.polling
    }

    pub(super) fn unready(&self) -> &AtomicU32 {
        &self.inner.unready
    }

    /// Waits for its turn among calls that AWS does not take side by side (one queue per key).
    pub async fn serial(&self, key: impl Into<String>) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = self.inner.queues.lock();
            Arc::clone(queues.entry(key.into()).or_default())
        };
        queue.lock_owned().await
    }

    /// Names that wait for the next call of their batch.
    pub(in crate::aws) fn batches(&self) -> &Batches {
        &self.inner.batches
    }
}

#[cfg(test)]
pub(crate) mod tests {
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
        let clients = Clients::connect(&connection).await.expect("no profile is asked for");
        context_over(identity(), clients)
    }

    pub(crate) fn identity() -> Identity {
        Identity {
            app: "shop".into(),
            stage: "dev".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
        }
    }

    pub(crate) fn context_over(identity: Identity, clients: Clients) -> Context {
        recorded(identity, clients).0
    }

    /// With what keeps its events.
    pub(crate) fn recorded(identity: Identity, clients: Clients) -> (Context, Arc<Recorder>) {
        recorded_by(identity, clients, Arc::new(Stopped))
    }

    /// With a clock, too.
    pub(crate) fn recorded_by(identity: Identity, clients: Clients, clock: Arc<dyn Clock>) -> (Context, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let context = Context::new(
            identity,
            clients,
            crate::aws::kinds::registry::services(),
            Arc::clone(&recorder) as Events,
            clock,
            Cancel::default(),
        );
        (context, recorder)
    }
}
