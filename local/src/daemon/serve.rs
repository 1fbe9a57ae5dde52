//! The background process: starts the parts, watches them, ends them.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::claim::{Claim, claim};
use super::data_plane::DataPlane;
use super::record::{DaemonRecord, StartFailure, daemon_lock};
use super::status::{ApiStatus, LocalState, LocalStatus, PartState, PartStatus, StatusBoard};
use crate::deps::Deps;
use crate::emulator::{self, Emulator, Installation};
use crate::endpoint::authenticate::Authenticator;
use crate::endpoint::authorize::Authorizer;
use crate::endpoint::{Endpoint, OwnPaths};
use crate::error::LocalError;
use crate::files;
use crate::gateway::{Gateway, GatewayPorts};
use crate::keys::Keys;
use crate::options::{LocalOptions, Ports, ServeSettings};
use crate::ports::{Invoker, MetricSink};
use crate::protocol::OWN_PATHS;
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::{Body, answer, full};
use crate::runtime::{RuntimeConfig, RuntimeHost, RuntimePorts};
use crate::services::Services;
use crate::services::apigateway::{ApiEvent, ApiSummary, Apis};
use crate::services::cloudwatch::metric_sink::MetricDelivery;
use crate::services::cloudwatch::{self, Alarms};
use crate::services::compat::{MEMORY_FILE, Memory};
use crate::services::destinations::ResultDestinations;
use crate::services::events::schedule::Rules;
use crate::services::fan_out::FanOut;
use crate::services::lambda::mappings::Mappings;
use crate::services::lambda::mappings::poller::Pollers;
use crate::services::lambda::{Downloads, Functions};
use crate::services::logs::insights::Queries;
use crate::services::logs::sink::LogDelivery;
use crate::services::s3::websites::{WebsiteServer, Websites};
use crate::services::scheduler::Schedules;
use crate::services::scheduler::clock::Clock;
use crate::services::sqs::metrics as queue_metrics;
use crate::services::sqs::move_tasks::MoveTasks;

/// How long the emulator may take to answer after its start.
const EMULATOR_START: Duration = Duration::from_secs(45);
/// Restarts of the emulator within [`RESTART_WINDOW`] after which it is given up.
const RESTARTS: usize = 5;
/// See [`RESTARTS`].
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Serves the local target of this root until a signal ends it (SIGTERM, SIGINT). Runs in the background process that
/// [`super::up`] starts; a failure to start is left on disk for it.
pub async fn serve(settings: ServeSettings) -> Result<(), LocalError> {
    let options = settings.options();
    // Fails where this is a session of its own already.
    let _ = rustix::process::setsid();
    hide_memory();
    raise_open_files();
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::new("warn,taskctl_local=info"))
        .try_init();
    let result = run(&options, &settings.venv).await;
    if let Err(error) = &result {
        tracing::error!(%error, "the local target failed");
        let _ = files::write_json(&StartFailure::path(&options), &StartFailure::of(error));
    }
    result
}

/// Functions run as the same user as this process: its memory and environment are hidden from them.
#[cfg(target_os = "linux")]
fn hide_memory() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(not(target_os = "linux"))]
fn hide_memory() {}

/// Many connections and functions at once need many descriptors.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Otherwise the current limit must do.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted);
}

async fn run(options: &LocalOptions, venv: &Path) -> Result<(), LocalError> {
    let started = Instant::now();
    let Some(_lock) = files::try_lock(&daemon_lock(options))? else {
        return Err(LocalError::AlreadyServed {
            root: options.root.clone(),
        });
    };
    let keys = Keys::open(options)?;
    let installation = Installation::open(venv, options)?;
    let claim = claim(options).await?;
    let ports = claim.ports;
    let record = DaemonRecord::current(&ports);
    files::write_json(&DaemonRecord::path(options), &record)?;

    let emulator = Emulator::bind(options, ports.endpoint, installation)?;
    let client = EmulatorClient::new(emulator.socket());
    let mut child = emulator.spawn()?;
    let board = Arc::new(StatusBoard::new(initial_status(options, &record)));
    board.set(emulator_part(&child, PartState::Starting));
    let running = Running::start(options, keys, &client, &board, claim)?;

    let mut terminate = on_signal(SignalKind::terminate(), options)?;
    let mut interrupt = on_signal(SignalKind::interrupt(), options)?;
    let mut supervisor = Supervisor {
        options,
        emulator: &emulator,
        board: &board,
        client: &client,
        restarts: Vec::new(),
    };
    let watched = async {
        supervisor.wait_until_ready(&mut child).await?;
        tracing::info!(milliseconds = started.elapsed().as_millis(), "ready");
        supervisor.watch(&mut child).await;
        Ok::<(), LocalError>(())
    };
    let outcome = tokio::select! {
        outcome = watched => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };

    tracing::info!("stopping");
    running.end().await;
    Emulator::end(&mut child).await;
    if outcome.is_ok() {
        files::remove(&DaemonRecord::path(options))?;
    }
    outcome
}

/// The state of the services, read from disk.
struct Stores {
    alarms: Arc<Alarms>,
    apis: Arc<Apis>,
    functions: Arc<Functions>,
    mappings: Arc<Mappings>,
    memory: Arc<Memory>,
    move_tasks: Arc<MoveTasks>,
    schedules: Arc<Schedules>,
    websites: Arc<Websites>,
}

impl Stores {
    /// Also returns the events of APIs from now on.
    fn open(
        options: &LocalOptions,
        ports: &Ports,
        keys: &Keys,
    ) -> Result<(Self, UnboundedReceiver<ApiEvent>), LocalError> {
        let state = options.path("state");
        let (events, api_events) = mpsc::unbounded_channel();
        let downloads = Downloads {
            endpoint_url: ports.endpoint_url(),
            keys: keys.clone(),
        };
        let ports = (ports.first_api, ports.websites);
        let stores = Self {
            alarms: Arc::new(Alarms::open(state.join("alarms.json"))?),
            apis: Arc::new(Apis::open(&state.join("apis"), ports, events)?),
            functions: Arc::new(Functions::open(
                &state.join("functions"),
                downloads,
                options.settling_ms,
            )?),
            mappings: Arc::new(Mappings::open(state.join("mappings.json"), options.settling_ms)?),
            memory: Arc::new(Memory::open(state.join(MEMORY_FILE))?),
            move_tasks: Arc::new(MoveTasks::open(state.join("move-tasks.json"))?),
            schedules: Arc::new(Schedules::open(state.join("schedules.json"), options.settling_ms)?),
            websites: Arc::new(Websites::open(state.join("websites.json"))?),
        };
        Ok((stores, api_events))
    }
}

/// Where logs and metrics of functions and APIs go.
#[derive(Default)]
struct Sinks {
    logs: Arc<LogDelivery>,
    metrics: Arc<MetricDelivery>,
}

/// The parts of the target that run in this process, and how each group of them is stopped.
struct Running {
    runtime: Arc<RuntimeHost>,
    requests: (JoinSet<()>, watch::Sender<bool>),
    endpoint: (JoinHandle<()>, watch::Sender<bool>),
    delivery: (JoinSet<()>, watch::Sender<bool>),
}

impl Running {
    fn start(
        options: &LocalOptions,
        keys: Keys,
        client: &EmulatorClient,
        board: &Arc<StatusBoard>,
        claim: Claim,
    ) -> Result<Self, LocalError> {
        let ports = claim.ports;
        let (stores, api_events) = Stores::open(options, &ports, &keys)?;
        let sinks = Sinks::default();
        let destinations = ResultDestinations {
            emulator: client.clone(),
        };
        let runtime = start_runtime(options, &ports, &keys, &stores.functions, &sinks, destinations)?;
        let runtime = Arc::new(runtime);
        board.set(part("functions", None));

        let (stop_delivery, stopped) = watch::channel(false);
        let mut delivery = JoinSet::new();
        delivery.spawn(Arc::clone(&sinks.logs).run(client.clone(), stopped.clone()));
        delivery.spawn(Arc::clone(&sinks.metrics).run(client.clone(), Arc::clone(&stores.alarms), stopped));

        let (stop_requests, stopped) = watch::channel(false);
        let mut requests = JoinSet::new();
        let queue_metrics_sink: Arc<dyn MetricSink> = Arc::clone(&sinks.metrics) as _;
        let gateway_ports = GatewayPorts {
            apis: Arc::clone(&stores.apis) as _,
            functions: Arc::clone(&stores.functions) as _,
            invoker: Arc::clone(&runtime) as _,
            logs: sinks.logs,
            metrics: sinks.metrics,
        };
        let gateway = Gateway::new(gateway_ports, Deps::system());
        let data_plane = DataPlane::new(gateway, Arc::clone(&stores.apis), Arc::clone(board));
        requests.spawn(data_plane.run(api_events, stopped.clone()));
        requests.spawn(cloudwatch::evaluate_for_ever(
            Arc::clone(&stores.alarms),
            client.clone(),
            stopped.clone(),
        ));
        let rules = Rules {
            memory: Arc::clone(&stores.memory),
            emulator: client.clone(),
            functions: Arc::clone(&stores.functions) as _,
            invoker: Arc::clone(&runtime) as _,
        };
        requests.spawn(rules.run(stopped.clone()));
        let clock = Clock {
            schedules: Arc::clone(&stores.schedules),
            emulator: client.clone(),
            invoker: Arc::clone(&runtime) as _,
            metrics: Arc::clone(&queue_metrics_sink),
        };
        requests.spawn(clock.run(stopped.clone()));
        let pollers = Pollers {
            mappings: Arc::clone(&stores.mappings),
            emulator: client.clone(),
            functions: Arc::clone(&stores.functions) as _,
            invoker: Arc::clone(&runtime) as _,
            metrics: Arc::clone(&queue_metrics_sink),
        };
        requests.spawn(pollers.run(stopped.clone()));
        let fan_out = FanOut {
            emulator: client.clone(),
            functions: Arc::clone(&stores.functions) as _,
            invoker: Arc::clone(&runtime) as _,
        };
        requests.spawn(fan_out.run(stopped.clone()));
        requests.spawn(queue_metrics::run(client.clone(), queue_metrics_sink, stopped.clone()));
        let move_tasks = Arc::clone(&stores.move_tasks);
        let (of_tasks, stop_tasks) = (client.clone(), stopped.clone());
        requests.spawn(async move { move_tasks.run(of_tasks, stop_tasks).await });
        let website_server = Arc::new(WebsiteServer {
            websites: Arc::clone(&stores.websites),
            emulator: client.clone(),
            port: ports.websites,
        });
        requests.spawn(website_server.serve(claim.websites, stopped));
        board.set(part("websites", Some(ports.websites)));

        let (stop_endpoint, stopped) = watch::channel(false);
        let invoker = Arc::clone(&runtime) as _;
        let endpoint = Arc::new(endpoint(&ports, keys, client, board, stores, invoker));
        let endpoint = tokio::spawn(endpoint.serve(claim.endpoint, stopped));
        board.set(part("endpoint", Some(ports.endpoint)));
        Ok(Self {
            runtime,
            requests: (requests, stop_requests),
            endpoint: (endpoint, stop_endpoint),
            delivery: (delivery, stop_delivery),
        })
    }

    /// Requests end first, then the functions that they ran, then the endpoint that functions call, last what brings over
    /// their logs and metrics.
    async fn end(self) {
        let (mut requests, stop) = self.requests;
        let _ = stop.send(true);
        while requests.join_next().await.is_some() {}
        self.runtime.shut_down().await;
        let (endpoint, stop) = self.endpoint;
        let _ = stop.send(true);
        let _ = endpoint.await;
        let (mut delivery, stop) = self.delivery;
        let _ = stop.send(true);
        while delivery.join_next().await.is_some() {}
    }
}

fn endpoint(
    ports: &Ports,
    keys: Keys,
    client: &EmulatorClient,
    board: &Arc<StatusBoard>,
    stores: Stores,
    invoker: Arc<dyn Invoker>,
) -> Endpoint {
    Endpoint {
        authenticator: Authenticator {
            keys: keys.clone(),
            websites: Arc::clone(&stores.websites),
            website_port: ports.websites,
        },
        authorizer: Authorizer::default(),
        own: Arc::new(Own {
            board: Arc::clone(board),
            websites: Arc::clone(&stores.websites),
            website_port: ports.websites,
            apis: Arc::clone(&stores.apis),
            functions: Arc::clone(&stores.functions),
            schedules: Arc::clone(&stores.schedules),
        }),
        services: Services {
            emulator: client.clone(),
            apis: stores.apis,
            functions: stores.functions,
            mappings: stores.mappings,
            invoker,
            alarms: stores.alarms,
            memory: stores.memory,
            move_tasks: stores.move_tasks,
            schedules: stores.schedules,
            queries: Queries::default(),
            websites: stores.websites,
            keys,
        },
    }
}

fn start_runtime(
    options: &LocalOptions,
    ports: &Ports,
    keys: &Keys,
    functions: &Arc<Functions>,
    sinks: &Sinks,
    destinations: ResultDestinations,
) -> Result<RuntimeHost, LocalError> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let config = RuntimeConfig::new(options.path("runtime"), ports.endpoint_url(), search_path, keys.clone());
    let ports = RuntimePorts {
        functions: Arc::clone(functions) as _,
        logs: Arc::clone(&sinks.logs) as _,
        metrics: Arc::clone(&sinks.metrics) as _,
        destinations: Arc::new(destinations),
    };
    RuntimeHost::start(config, ports, Deps::system()).map_err(|source| {
        LocalError::io(
            "starting functions in",
            &options.path("runtime"),
            std::io::Error::other(source),
        )
    })
}

fn on_signal(kind: SignalKind, options: &LocalOptions) -> Result<tokio::signal::unix::Signal, LocalError> {
    signal(kind).map_err(|source| LocalError::io("listening for signals in", &options.root, source))
}

fn initial_status(options: &LocalOptions, record: &DaemonRecord) -> LocalStatus {
    LocalStatus {
        state: LocalState::Starting,
        endpoint_url: record.ports().endpoint_url(),
        ports: record.ports(),
        root: options.root.clone(),
        pid: Some(record.pid),
        version: Some(record.version.clone()),
        started: Some(record.started.clone()),
        parts: Vec::new(),
        apis: Vec::new(),
        websites: Default::default(),
        incidents: Vec::new(),
    }
}

fn part(name: &str, port: Option<u16>) -> PartStatus {
    PartStatus {
        name: name.to_owned(),
        pid: None,
        port,
        state: PartState::Running,
        message: None,
    }
}

fn emulator_part(child: &Child, state: PartState) -> PartStatus {
    PartStatus {
        name: "emulator".to_owned(),
        pid: child.id(),
        port: None,
        state,
        message: Some(format!("ministack {}", emulator::VERSION)),
    }
}

/// Keeps the emulator running.
struct Supervisor<'daemon> {
    options: &'daemon LocalOptions,
    emulator: &'daemon Emulator,
    board: &'daemon StatusBoard,
    client: &'daemon EmulatorClient,
    restarts: Vec<Instant>,
}

impl Supervisor<'_> {
    /// Waits for the first answer, or for the child to end without one.
    async fn wait_until_ready(&self, child: &mut Child) -> Result<(), LocalError> {
        let failed = |reason: String| LocalError::Emulator {
            reason,
            log: self.options.path("emulator.log"),
        };
        let request = Request::get("/_ministack/health")
            .header("host", "localhost")
            .body(full(""));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let reason = tokio::select! {
            answered = tokio::time::timeout(EMULATOR_START, self.client.call(request)) => match answered {
                Ok(Ok(_)) => {
                    self.board.set(emulator_part(child, PartState::Running));
                    return Ok(());
                }
                Ok(Err(error)) => format!("its connection failed ({error})"),
                Err(_) => format!("no answer after {} s", EMULATOR_START.as_secs()),
            },
            status = child.wait() => format!("it exited ({})", exit_text(status.ok())),
        };
        let log = files::tail(&self.options.path("emulator.log"), 3);
        Err(failed(format!("{reason}\n{log}")))
    }

    /// Replaces the child whenever it ends; returns never, or when it ends too often.
    async fn watch(&mut self, child: &mut Child) {
        loop {
            let ended = exit_text(child.wait().await.ok());
            self.restarts.retain(|at| at.elapsed() < RESTART_WINDOW);
            self.restarts.push(Instant::now());
            if self.restarts.len() > RESTARTS {
                let mut part = emulator_part(child, PartState::Failed);
                part.message = Some(format!(
                    "exited {} times within a minute, last with {ended}",
                    self.restarts.len()
                ));
                self.board.set(part);
                std::future::pending::<()>().await;
            }
            self.board.set(emulator_part(child, PartState::Starting));
            self.board
                .incident("emulator", format!("exited ({ended}) and was restarted"));
            match self.emulator.spawn() {
                Ok(next) => *child = next,
                Err(error) => {
                    self.board
                        .incident("emulator", format!("could not be restarted: {error}"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
            if let Err(error) = self.wait_until_ready(child).await {
                self.board.incident("emulator", error.to_string());
                let _ = child.start_kill();
            }
        }
    }
}

fn exit_text(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string())
}

/// The own path that fires the schedule whose name follows.
pub(super) const FIRE: &str = "fire/";

/// The local target's own paths: status, code, and firing schedules.
struct Own {
    board: Arc<StatusBoard>,
    websites: Arc<Websites>,
    website_port: u16,
    apis: Arc<Apis>,
    functions: Arc<Functions>,
    schedules: Arc<Schedules>,
}

impl Own {
    fn status(&self) -> LocalStatus {
        let api = |api: ApiSummary| ApiStatus {
            url: format!("http://127.0.0.1:{}", api.port),
            id: api.api_id,
            name: api.name,
            region: api.region,
        };
        LocalStatus {
            apis: self.apis.summaries().into_iter().map(api).collect(),
            websites: self
                .websites
                .buckets()
                .into_iter()
                .map(|bucket| {
                    let url = format!("http://{bucket}.localhost:{}/", self.website_port);
                    (bucket, url)
                })
                .collect(),
            ..self.board.read()
        }
    }
}

impl OwnPaths for Own {
    fn answer(&self, parts: &Parts, by_operator: bool) -> Response<Body> {
        let path = parts.uri.path().strip_prefix(OWN_PATHS).unwrap_or_default();
        if path == "status" {
            return answer(
                StatusCode::OK,
                "application/json",
                serde_json::to_vec(&self.status()).unwrap_or_default(),
            );
        }
        if let Some(name) = path
            .strip_prefix(FIRE)
            .filter(|_| parts.method == Method::POST && by_operator)
        {
            let name = percent_decode_str(name).decode_utf8_lossy();
            let fired = self.schedules.ask(&name);
            let (status, text) = fired.map_or_else(|fault| (fault.status, fault.message), |arn| (200, arn));
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return answer(status, "text/plain", text);
        }
        let code = path.strip_prefix("code/").and_then(|hash| self.functions.code(hash));
        match code {
            Some(zip) => answer(StatusCode::OK, "application/zip", zip),
            None => answer(StatusCode::NOT_FOUND, "text/plain", "not found\n"),
        }
    }
}
