//! The host: takes invocations, chooses the version, applies limits, hands over to the environments.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::sync::{Semaphore, oneshot, watch};

use super::background;
use super::code::CodeStore;
use super::concurrency::Concurrency;
use super::environment::{Answer, Job};
use super::measure::Measure;
use super::pool::{PoolKey, Pools};
use super::process::{Launcher, Spawner};
use super::process_registry::ProcessRegistry;
use super::weights;
use crate::deps::Deps;
use crate::keys::Keys;
use crate::ports::{
    Completed, Destinations, FunctionAddress, FunctionError, FunctionNotFound, FunctionSource, FunctionVersion,
    InvokeKind, InvokeOutcome, InvokeRequest, Invoker, LogSink, MetricSink,
};

/// Largest event of a synchronous invocation, bytes:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const SYNCHRONOUS_LIMIT: usize = 6 * 1024 * 1024;

/// Largest event of an asynchronous invocation, bytes.
const ASYNCHRONOUS_LIMIT: usize = 1024 * 1024;

/// Settings of a host.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Directory for unpacked code and notes about processes; made when missing. One host at a time.
    pub root: PathBuf,
    /// `AWS_ENDPOINT_URL` of the functions.
    pub endpoint_url: String,
    /// Credentials of the functions.
    pub keys: Keys,
    /// `PATH` of the functions.
    pub search_path: OsString,
    /// How processes are started.
    pub launcher: Launcher,
    /// Most environments of one function version. Further invocations wait for one of them.
    pub max_environments: usize,
    /// Concurrent invocations of all functions without reserved concurrency.
    pub account_concurrency: u32,
    /// How long an environment may take to start.
    pub init_timeout: Duration,
    /// How long an environment without work is kept.
    pub idle_timeout: Duration,
    /// How long an environment that has answered is expected to take until it asks for its next event. Within that time
    /// a waiting invocation does not make another environment start.
    pub settle_time: Duration,
    /// Delays before each retry of a failed asynchronous invocation; their number is the number of retries.
    pub retry_delays: Vec<Duration>,
}

impl RuntimeConfig {
    /// Lambda's own limits, at most 64 environments a version, idle ones kept for five minutes.
    pub fn new(root: PathBuf, endpoint_url: String, search_path: OsString, keys: Keys) -> Self {
        Self {
            root,
            endpoint_url,
            keys,
            launcher: Launcher::detect(&search_path),
            search_path,
            max_environments: 64,
            account_concurrency: 1_000,
            init_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(5 * 60),
            settle_time: Duration::from_millis(20),
            // Sixty times sooner than Lambda.
            retry_delays: vec![Duration::from_secs(1), Duration::from_secs(2)],
        }
    }
}

/// Where the host gets functions from and where logs and metrics go.
#[derive(Clone)]
pub struct RuntimePorts {
    /// The functions that exist.
    pub functions: Arc<dyn FunctionSource>,
    /// Where log lines go.
    pub logs: Arc<dyn LogSink>,
    /// Where metrics go.
    pub metrics: Arc<dyn MetricSink>,
    /// Where results of asynchronous invocations go.
    pub destinations: Arc<dyn Destinations>,
}

impl fmt::Debug for RuntimePorts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RuntimePorts")
    }
}

/// Environments of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EnvironmentCount {
    /// All of them.
    pub total: usize,
    /// Those that are starting.
    pub starting: usize,
    /// Those that have nothing to do.
    pub idle: usize,
}

/// The host could not start.
#[derive(Debug, thiserror::Error)]
#[error("start the runtime host in {}", root.display())]
pub struct RuntimeError {
    root: PathBuf,
    source: io::Error,
}

/// Runs functions in real processes. Dropping it ends them.
#[derive(Debug)]
pub struct RuntimeHost {
    host: Arc<Host>,
}

/// State that all parts of the host share.
pub(super) struct Host {
    pub(super) config: RuntimeConfig,
    pub(super) functions: Arc<dyn FunctionSource>,
    pub(super) logs: Arc<dyn LogSink>,
    pub(super) metrics: Arc<dyn MetricSink>,
    pub(super) destinations: Arc<dyn Destinations>,
    pub(super) deps: Deps,
    pub(super) spawner: Spawner,
    pub(super) registry: Arc<ProcessRegistry>,
    pub(super) code: CodeStore,
    pub(super) pools: Pools,
    pub(super) measure: Measure,
    /// Few environments start at once: on a small machine many at once only slow each other down.
    pub(super) start_turns: Semaphore,
    concurrency: Concurrency,
    stop: watch::Sender<bool>,
}

impl RuntimeHost {
    /// Starts a host, after it has ended whatever an earlier one on the same root left running. Must be called within a
    /// tokio runtime.
    pub fn start(config: RuntimeConfig, ports: RuntimePorts, deps: Deps) -> Result<Self, RuntimeError> {
        let root = config.root.clone();
        let host = Host::open(config, ports, deps).map_err(|source| RuntimeError { root, source })?;
        let host = Arc::new(host);
        tokio::spawn(follow_changes(Arc::clone(&host)));
        Ok(Self { host })
    }

    /// The environments that a version has now.
    pub fn environments(&self, version: &FunctionVersion) -> EnvironmentCount {
        self.host.pools.environments(&PoolKey::of(version))
    }

    /// Kills every environment and waits until that is done. Invocations that run or wait are given up.
    pub async fn shut_down(&self) {
        self.host.end();
        self.host.pools.emptied().await;
    }
}

impl Drop for RuntimeHost {
    fn drop(&mut self) {
        self.host.end();
    }
}

#[async_trait]
impl Invoker for RuntimeHost {
    async fn invoke(&self, request: InvokeRequest) -> InvokeOutcome {
        let (limit, kind) = match request.kind {
            InvokeKind::RequestResponse => (SYNCHRONOUS_LIMIT, "RequestResponse"),
            InvokeKind::Event => (ASYNCHRONOUS_LIMIT, "Event"),
        };
        if let Some(refused) = check_payload(&request.payload, limit, kind) {
            return refused;
        }
        let request_id = self.host.deps.id().to_string();
        match request.kind {
            InvokeKind::RequestResponse => self.host.run(&request_id, &request).await,
            InvokeKind::Event => match self.host.functions.resolve(&request.address) {
                Ok(_) => {
                    tokio::spawn(background::run(Arc::clone(&self.host), request_id.clone(), request));
                    InvokeOutcome::Accepted { request_id }
                }
                Err(error) => InvokeOutcome::NotFound(error),
            },
        }
    }
}

fn check_payload(payload: &Bytes, limit: usize, kind: &str) -> Option<InvokeOutcome> {
    if payload.len() > limit {
        return Some(InvokeOutcome::Refused {
            status: 413,
            code: "RequestTooLargeException".to_owned(),
            message: format!(
                "{} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
                payload.len()
            ),
        });
    }
    if payload.is_empty() {
        return None;
    }
    serde_json::from_slice::<IgnoredAny>(payload)
        .err()
        .map(|error| InvokeOutcome::Refused {
            status: 400,
            code: "InvalidRequestContentException".to_owned(),
            message: format!("Could not parse request body into json: {error}"),
        })
}

impl Host {
    fn open(config: RuntimeConfig, ports: RuntimePorts, deps: Deps) -> io::Result<Self> {
        std::fs::create_dir_all(&config.root)?;
        let (registry, ended) = ProcessRegistry::open(&config.root)?;
        if ended > 0 {
            tracing::info!(ended, "ended function processes that an earlier host left running");
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let RuntimePorts {
            functions,
            logs,
            metrics,
            destinations,
        } = ports;
        Ok(Self {
            code: CodeStore::open(&config.root)?,
            spawner: Spawner::start(config.launcher.clone())?,
            registry: Arc::new(registry),
            pools: Pools::default(),
            measure: Measure::new(Arc::clone(&metrics)),
            start_turns: Semaphore::new(2 * cores),
            concurrency: Concurrency::new(config.account_concurrency),
            stop: watch::Sender::new(false),
            config,
            functions,
            logs,
            metrics,
            destinations,
            deps,
        })
    }

    /// Changes to `true` when the host ends.
    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    fn end(&self) {
        self.stop.send_replace(true);
        self.pools.abandon();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Runs an invocation once and waits for it.
    pub(super) async fn run(self: &Arc<Self>, request_id: &str, request: &InvokeRequest) -> InvokeOutcome {
        let resolved = match self.functions.resolve(&request.address) {
            Ok(resolved) => resolved,
            Err(error) => return InvokeOutcome::NotFound(error),
        };
        let Some(version) = weights::choose(&resolved.targets, self.deps.chance()) else {
            let address = request.address.qualified_arn();
            return InvokeOutcome::NotFound(FunctionNotFound { address });
        };
        let begun_ms = self.deps.now_ms();
        let request_id = request_id.to_owned();
        let slot = match self
            .concurrency
            .enter(&request.address.function_arn, resolved.reserved_concurrency)
        {
            Ok(slot) => slot,
            Err(reason) => {
                self.measure.throttle(&request.address, &version.version, begun_ms);
                return InvokeOutcome::Throttled { request_id, reason };
            }
        };
        self.measure.concurrency(&request.address, begun_ms, slot.at_entry());
        let (answer, answered) = oneshot::channel();
        let job = Job {
            request_id: request_id.clone(),
            address: request.address.clone(),
            trace_id: request.trace_id.clone().unwrap_or_else(|| self.trace_id(begun_ms)),
            client_context: request.client_context.clone(),
            payload: if request.payload.is_empty() {
                Bytes::from_static(b"{}")
            } else {
                request.payload.clone()
            },
            log_tail: request.log_tail,
            begun_ms,
            slot,
            answer,
        };
        self.pools.admit(self, version, Box::new(job));
        match answered.await {
            Ok(answer) => completed(request_id, version, answer),
            Err(_) => InvokeOutcome::Refused {
                status: 500,
                code: "ServiceException".to_owned(),
                message: "the runtime host is shutting down".to_owned(),
            },
        }
    }

    /// Notes that something happened to an event.
    pub(super) fn count(&self, request: &InvokeRequest, metric: &'static str) {
        self.measure.event(&request.address, metric, self.deps.now_ms());
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.deps.now_ms()).unwrap_or_default()
    }

    /// Invokes another function with a result.
    pub(super) fn pass_on(self: &Arc<Self>, destination: &str, payload: Bytes) -> Result<(), String> {
        let address = FunctionAddress::parse(destination).ok_or_else(|| format!("{destination} is no function"))?;
        self.functions.resolve(&address).map_err(|error| error.to_string())?;
        let request = InvokeRequest::event(address, payload);
        let request_id = self.deps.id().to_string();
        tokio::spawn(background::run(Arc::clone(self), request_id, request));
        Ok(())
    }

    fn trace_id(&self, now_ms: i64) -> String {
        let id = self.deps.id().simple().to_string();
        let parent = self.deps.id().simple().to_string();
        format!(
            "Root=1-{:08x}-{};Parent={};Sampled=0",
            now_ms / 1_000,
            &id[..24],
            &parent[..16]
        )
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Host")
            .field("config", &self.config)
            .field("pools", &self.pools)
            .finish_non_exhaustive()
    }
}

fn completed(request_id: String, version: &FunctionVersion, answer: Answer) -> InvokeOutcome {
    let Answer {
        result,
        duration,
        log_tail,
    } = answer;
    let (payload, function_error) = match result {
        Ok(payload) => (payload, None),
        Err(failure) => (failure.payload(&request_id), Some(FunctionError::Unhandled)),
    };
    let executed_version = version.version.clone();
    InvokeOutcome::Completed(Completed {
        request_id,
        payload,
        function_error,
        executed_version,
        log_tail,
        duration,
    })
}

/// Ends environments of versions that are gone and removes their code, whenever functions change.
async fn follow_changes(host: Arc<Host>) {
    let mut stop = host.stopped();
    let mut changes = host.functions.changes();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        let versions = host.functions.versions();
        let current: HashSet<PoolKey> = versions.iter().map(|version| PoolKey::of(version)).collect();
        let code: BTreeSet<String> = versions.iter().map(|version| version.code.sha256.clone()).collect();
        host.pools.retain(&current);
        let cleaner = Arc::clone(&host);
        let cleaned = tokio::task::spawn_blocking(move || cleaner.code.retain(&code)).await;
        if let Ok(Err(error)) = cleaned {
            tracing::warn!(%error, "unused code could not be removed");
        }
    }
}
