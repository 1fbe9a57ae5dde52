//! Measures a function on the runtime host, and the host and the gateway themselves: cold starts (start of the process
//! to its first `next`), memory, warm invocations one after another, and load through the gateway.
//!
//! `cargo run --release -p taskctl-local --example bench -- --bootstrap PATH --env TABLE=x --event-file event.json`.
//! Without `--bootstrap` it measures `noop`, the least function there can be. One JSON object on stdout.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Digest as _;
use taskctl_local::deps::Deps;
use taskctl_local::gateway::{Gateway, GatewayPorts};
use taskctl_local::ports::{
    ApiSnapshot, ApiSource, Architecture, Completed, DeploymentSnapshot, Destinations, ExecuteApiEndpoint,
    FunctionAddress, FunctionCode, FunctionNotFound, FunctionSource, FunctionVersion, IntegrationSnapshot, InvokeKind,
    InvokeOutcome, InvokeRequest, Invoker, LogEvent, LogFormat, LogSink, LogTail, MetricDatum, MetricSink,
    MissingGroup, Outgoing, Resolved, RouteSettings, RouteSnapshot, Sent, StageSnapshot, TracingMode, WeightedVersion,
};
use taskctl_local::runtime::{RuntimeConfig, RuntimeHost, RuntimePorts};
use taskctl_local::{Keys, LocalOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const API: &str = "bench";
const FUNCTION: &str = "arn:aws:lambda:eu-central-1:000000000000:function:bench";

type Fault = Box<dyn Error + Send + Sync>;

/// Measures a function on the local runtime host.
#[derive(Debug, Parser)]
struct Arguments {
    /// Executable to measure; `noop` next to this program when absent.
    #[arg(long)]
    bootstrap: Option<PathBuf>,
    /// Variable of the function's environment, NAME=VALUE.
    #[arg(long = "env")]
    environment: Vec<String>,
    /// `AWS_ENDPOINT_URL` of the function.
    #[arg(long, default_value = "http://127.0.0.1:4566")]
    endpoint_url: String,
    /// Root of the local target behind the endpoint, whose keys the function gets.
    #[arg(long)]
    local_root: Option<PathBuf>,
    /// Role that the function acts as; the endpoint may let it do only what its policies allow.
    #[arg(long, default_value = "arn:aws:iam::000000000000:role/bench")]
    role: String,
    /// File with the event of the direct invocations; `{}` when absent.
    #[arg(long)]
    event_file: Option<PathBuf>,
    /// Path, with query, of the requests through the gateway.
    #[arg(long, default_value = "/")]
    path: String,
    /// Memory of the function, MiB.
    #[arg(long, default_value_t = 512)]
    memory: u32,
    /// Number of cold starts.
    #[arg(long, default_value_t = 20)]
    cold: usize,
    /// Number of warm invocations, one after another.
    #[arg(long, default_value_t = 2_000)]
    warm: usize,
    /// Number of clients at once.
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// Seconds of load.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Most environments of the function.
    #[arg(long, default_value_t = 64)]
    environments: usize,
}

/// One function and one API, which lets anyone invoke. Logs and metrics go nowhere.
struct Fixed {
    version: Arc<FunctionVersion>,
    /// By alias: versions that only differ in their revision, so that each starts cold.
    cold: BTreeMap<String, Arc<FunctionVersion>>,
    api: Arc<ApiSnapshot>,
    changes: watch::Sender<u64>,
}

impl FunctionSource for Fixed {
    fn resolve(&self, address: &FunctionAddress) -> Result<Resolved, FunctionNotFound> {
        let cold = address.qualifier.as_ref().and_then(|alias| self.cold.get(alias));
        let version = Arc::clone(cold.unwrap_or(&self.version));
        Ok(Resolved {
            targets: vec![WeightedVersion { version, weight: 1.0 }],
            reserved_concurrency: None,
        })
    }

    fn may_invoke(&self, _address: &FunctionAddress, _principal: &str, _source_arn: &str) -> bool {
        true
    }

    fn versions(&self) -> Vec<Arc<FunctionVersion>> {
        vec![Arc::clone(&self.version)]
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl ApiSource for Fixed {
    fn api(&self, api_id: &str) -> Option<Arc<ApiSnapshot>> {
        (api_id == API).then(|| Arc::clone(&self.api))
    }
}

impl LogSink for Fixed {
    fn put(&self, _region: &str, _group: &str, _stream: &str, _events: Vec<LogEvent>, _missing: MissingGroup) {}
}

#[async_trait::async_trait]
impl Destinations for Fixed {
    async fn send(&self, _outgoing: Outgoing) -> Result<Sent, String> {
        Ok(Sent::Delivered)
    }
}

impl MetricSink for Fixed {
    fn put(&self, _region: &str, _namespace: &str, _data: Vec<MetricDatum>) {}
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    let root = tempfile::tempdir()?;
    let bootstrap = match &arguments.bootstrap {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("noop"),
    };
    let code = package(root.path(), &bootstrap)?;
    let zip_bytes = code.size;
    let version = version(&arguments, code)?;
    let cold = (0..arguments.cold)
        .map(|index| {
            let revision = format!("cold-{index}");
            (
                revision.clone(),
                Arc::new(FunctionVersion {
                    revision,
                    ..version.clone()
                }),
            )
        })
        .collect();
    let fixed = Arc::new(Fixed {
        version: Arc::new(version),
        cold,
        api: Arc::new(api()),
        changes: watch::Sender::new(0),
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut config = RuntimeConfig::new(
        root.path().join("runtime"),
        arguments.endpoint_url.clone(),
        path,
        keys(&arguments)?,
    );
    config.max_environments = arguments.environments;
    let ports = RuntimePorts {
        functions: Arc::clone(&fixed) as _,
        logs: Arc::clone(&fixed) as _,
        metrics: Arc::clone(&fixed) as _,
        destinations: Arc::clone(&fixed) as _,
    };
    let host = Arc::new(RuntimeHost::start(config, ports, Deps::system())?);
    let event = match &arguments.event_file {
        Some(path) => std::fs::read(path)?,
        None => b"{}".to_vec(),
    };

    let cold = measure_cold(&host, &fixed, &event).await?;
    let warm = measure_warm(&host, &event, arguments.warm).await?;
    let gateway = measure_gateway(&arguments, &host, &fixed).await?;
    let environments = host.environments(&fixed.version).total;
    let figures = json!({
        "bootstrap": bootstrap,
        "zipBytes": zip_bytes,
        "cold": cold,
        "warm": warm,
        "gateway": gateway,
        "environments": environments,
    });
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}

/// Start of the process to its first `next`, and memory after one invocation, from the platform's own reports.
/// The keys with which functions sign.
fn keys(arguments: &Arguments) -> Result<Keys, Fault> {
    let Some(root) = &arguments.local_root else {
        return Ok(Keys::random()?);
    };
    let keys = Keys::read(&LocalOptions::new(root, root))?;
    keys.ok_or_else(|| format!("{} is the root of no local target", root.display()).into())
}

async fn measure_cold(host: &RuntimeHost, fixed: &Fixed, event: &[u8]) -> Result<Value, Fault> {
    let (mut init, mut memory, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for alias in fixed.cold.keys() {
        let completed = invoke(host, Some(alias), event, LogTail::Include).await?;
        let tail = String::from_utf8_lossy(completed.log_tail.as_deref().unwrap_or_default()).into_owned();
        init.push(reported(&tail, "Init Duration: ")?);
        memory.push(reported(&tail, "Max Memory Used: ")?);
        first.push(reported(&tail, "\tDuration: ")?);
    }
    Ok(
        json!({"initMs": spread(&mut init), "maxMemoryMiB": spread(&mut memory), "firstInvocationMs": spread(&mut first)}),
    )
}

fn reported(tail: &str, name: &str) -> Result<f64, Fault> {
    let value = tail.rsplit(name).next().and_then(|rest| rest.split(' ').next());
    Ok(value.ok_or_else(|| format!("no {name:?} in {tail}"))?.parse()?)
}

/// One invocation after another: all of it, the part between event and answer, and what the host adds to that.
async fn measure_warm(host: &RuntimeHost, event: &[u8], count: usize) -> Result<Value, Fault> {
    let (mut total, mut function, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        let completed = invoke(host, None, event, LogTail::Omit).await?;
        let elapsed = begun.elapsed();
        total.push(milliseconds(elapsed));
        function.push(milliseconds(completed.duration));
        added.push(milliseconds(elapsed.saturating_sub(completed.duration)));
    }
    Ok(json!({"totalMs": spread(&mut total), "durationMs": spread(&mut function), "hostMs": spread(&mut added)}))
}

async fn invoke(host: &RuntimeHost, alias: Option<&str>, event: &[u8], log_tail: LogTail) -> Result<Completed, Fault> {
    let request = InvokeRequest {
        address: FunctionAddress {
            function_arn: FUNCTION.to_owned(),
            qualifier: alias.map(str::to_owned),
        },
        payload: Bytes::copy_from_slice(event),
        kind: InvokeKind::RequestResponse,
        log_tail,
        client_context: None,
        trace_id: None,
    };
    match host.invoke(request).await {
        InvokeOutcome::Completed(completed) if completed.function_error.is_none() => Ok(completed),
        other => Err(format!("invocation failed: {other:?}").into()),
    }
}

/// Requests over HTTP: one client alone, then many at once.
async fn measure_gateway(arguments: &Arguments, host: &Arc<RuntimeHost>, fixed: &Arc<Fixed>) -> Result<Value, Fault> {
    let ports = GatewayPorts {
        apis: Arc::clone(fixed) as _,
        functions: Arc::clone(fixed) as _,
        invoker: Arc::clone(host) as _,
        logs: Arc::clone(fixed) as _,
        metrics: Arc::clone(fixed) as _,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let gateway = Gateway::new(ports, Deps::system());
    let server = tokio::spawn(async move { gateway.serve(listener, API.to_owned(), std::future::pending()).await });
    let mut alone = client(address, &arguments.path, Stop::After(arguments.warm)).await?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let begun = Instant::now();
    let clients: Vec<_> = (0..arguments.clients)
        .map(|_| {
            let path = arguments.path.clone();
            tokio::spawn(async move { client(address, &path, Stop::At(end)).await })
        })
        .collect();
    let mut load = Seen::default();
    for client in clients {
        let seen = client.await??;
        load.latencies.extend(seen.latencies);
        load.errors += seen.errors;
        load.last_error = seen.last_error.or(load.last_error);
    }
    let seconds = begun.elapsed().as_secs_f64();
    server.abort();
    Ok(json!({
        "oneClientMs": spread(&mut alone.latencies),
        "clients": arguments.clients,
        "requests": load.latencies.len(),
        "errors": load.errors + alone.errors,
        "lastError": load.last_error.or(alone.last_error),
        "requestsPerSecond": (load.latencies.len() as f64 / seconds).round(),
        "latencyMs": spread(&mut load.latencies),
    }))
}

#[derive(Clone, Copy)]
enum Stop {
    After(usize),
    At(Instant),
}

/// What clients have seen. Anything but 2xx is an error.
#[derive(Debug, Default)]
struct Seen {
    /// Milliseconds.
    latencies: Vec<f64>,
    errors: usize,
    last_error: Option<String>,
}

/// One connection, one request after another.
async fn client(address: SocketAddr, path: &str, stop: Stop) -> Result<Seen, Fault> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut seen = Seen::default();
    loop {
        let go_on = match stop {
            Stop::After(count) => seen.latencies.len() < count,
            Stop::At(end) => Instant::now() < end,
        };
        if !go_on {
            return Ok(seen);
        }
        let request = http::Request::get(path)
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())?;
        let begun = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        seen.latencies.push(milliseconds(begun.elapsed()));
        if !status.is_success() {
            seen.errors += 1;
            seen.last_error = Some(format!("{status}: {}", String::from_utf8_lossy(&body)));
        }
        sender.ready().await?;
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn spread(values: &mut [f64]) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
        values.get(index).map(|value| (value * 1_000.0).round() / 1_000.0)
    };
    json!({"min": at(0.0), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)})
}

fn package(root: &Path, bootstrap: &Path) -> Result<FunctionCode, Fault> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(
        "bootstrap",
        zip::write::SimpleFileOptions::default().unix_permissions(0o755),
    )?;
    zip.write_all(&std::fs::read(bootstrap).map_err(|error| format!("read {}: {error}", bootstrap.display()))?)?;
    let bytes = zip.finish()?.into_inner();
    let path = root.join("code.zip");
    std::fs::write(&path, &bytes)?;
    let sha256 = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&bytes));
    Ok(FunctionCode {
        zip: path,
        sha256,
        size: bytes.len() as u64,
    })
}

fn version(arguments: &Arguments, code: FunctionCode) -> Result<FunctionVersion, Fault> {
    let mut environment = BTreeMap::new();
    for variable in &arguments.environment {
        let (name, value) = variable
            .split_once('=')
            .ok_or_else(|| format!("--env {variable}: not NAME=VALUE"))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(FunctionVersion {
        function_arn: FUNCTION.to_owned(),
        function_name: "bench".to_owned(),
        version: "1".to_owned(),
        revision: "warm".to_owned(),
        code,
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        role: arguments.role.clone(),
        architecture: if cfg!(target_arch = "aarch64") {
            Architecture::Arm64
        } else {
            Architecture::X86_64
        },
        memory_mb: arguments.memory,
        ephemeral_storage_mb: 512,
        timeout: Duration::from_secs(30),
        environment,
        log_group: "/aws/lambda/bench".to_owned(),
        log_format: LogFormat::Text,
        application_log_level: None,
        system_log_level: None,
        tracing: TracingMode::PassThrough,
    })
}

fn api() -> ApiSnapshot {
    let integration = IntegrationSnapshot {
        integration_id: "i".to_owned(),
        integration_type: "AWS_PROXY".to_owned(),
        integration_uri: FUNCTION.to_owned(),
        payload_format_version: "2.0".to_owned(),
        timeout: Duration::from_secs(30),
    };
    let route = RouteSnapshot {
        route_id: "r".to_owned(),
        route_key: "$default".to_owned(),
        integration_id: Some("i".to_owned()),
        authorization_type: "NONE".to_owned(),
        authorizer_id: None,
        authorization_scopes: Vec::new(),
    };
    let deployment = DeploymentSnapshot {
        deployment_id: "d".to_owned(),
        routes: vec![route],
        integrations: BTreeMap::from([("i".to_owned(), integration)]),
        authorizers: BTreeMap::new(),
        cors: None,
    };
    let unlimited = RouteSettings {
        throttling_rate_limit: Some(1_000_000.0),
        throttling_burst_limit: Some(1_000_000),
        detailed_metrics: false,
    };
    let stage = StageSnapshot {
        name: "$default".to_owned(),
        deployment: Some(Arc::new(deployment)),
        variables: BTreeMap::from([
            ("release".to_owned(), "1".to_owned()),
            ("color".to_owned(), "blue".to_owned()),
        ]),
        default_route_settings: unlimited,
        route_settings: BTreeMap::new(),
        access_log: None,
    };
    ApiSnapshot {
        api_id: API.to_owned(),
        region: "eu-central-1".to_owned(),
        account: "000000000000".to_owned(),
        endpoint: ExecuteApiEndpoint::Enabled,
        stages: BTreeMap::from([("$default".to_owned(), Arc::new(stage))]),
    }
}
