//! A world for the host and the gateway to live in: functions, APIs, logs and metrics in memory, real processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use taskctl_local::Keys;
use taskctl_local::deps::Deps;
use taskctl_local::ports::{
    ApiSnapshot, ApiSource, Architecture, Asynchronous, Completed, Destinations, FunctionAddress, FunctionCode,
    FunctionNotFound, FunctionSource, FunctionVersion, InvokeKind, InvokeOutcome, InvokeRequest, Invoker as _,
    LogEvent, LogFormat, LogSink, LogTail, MetricDatum, MetricSink, MissingGroup, Outgoing, Resolved, Sent,
    TracingMode, WeightedVersion,
};
use taskctl_local::runtime::{RuntimeConfig, RuntimeHost, RuntimePorts};
use tempfile::TempDir;
use tokio::sync::watch;

pub const REGION: &str = "eu-central-1";
pub const ACCOUNT: &str = "000000000000";

/// Longest that a test waits for something that should happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Everything in one place. Implements all ports that the host and the gateway need.
#[derive(Default)]
pub struct Memory {
    /// By qualified ARN.
    functions: Mutex<BTreeMap<String, Resolved>>,
    policies: Mutex<Vec<(String, String, String)>>,
    apis: Mutex<BTreeMap<String, Arc<ApiSnapshot>>>,
    pub lines: Mutex<Vec<(String, String, LogEvent)>>,
    pub data: Mutex<Vec<(String, MetricDatum)>>,
    /// What becomes of events of all functions.
    pub asynchronous: Mutex<Asynchronous>,
    pub sent: Mutex<Vec<Outgoing>>,
    changes: watch::Sender<u64>,
}

impl FunctionSource for Memory {
    fn resolve(&self, address: &FunctionAddress) -> Result<Resolved, FunctionNotFound> {
        let address = address.qualified_arn();
        self.functions
            .lock()
            .unwrap()
            .get(&address)
            .cloned()
            .ok_or(FunctionNotFound { address })
    }

    fn may_invoke(&self, address: &FunctionAddress, principal: &str, source_arn: &str) -> bool {
        let address = address.qualified_arn();
        self.policies
            .lock()
            .unwrap()
            .iter()
            .any(|(own, who, prefix)| *own == address && who == principal && source_arn.starts_with(prefix.as_str()))
    }

    fn asynchronous(&self, _address: &FunctionAddress) -> Asynchronous {
        self.asynchronous.lock().unwrap().clone()
    }

    fn versions(&self) -> Vec<Arc<FunctionVersion>> {
        let functions = self.functions.lock().unwrap();
        functions
            .values()
            .flat_map(|resolved| &resolved.targets)
            .map(|target| Arc::clone(&target.version))
            .collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl ApiSource for Memory {
    fn api(&self, api_id: &str) -> Option<Arc<ApiSnapshot>> {
        self.apis.lock().unwrap().get(api_id).cloned()
    }
}

impl LogSink for Memory {
    fn put(&self, _region: &str, group: &str, stream: &str, events: Vec<LogEvent>, _missing: MissingGroup) {
        let mut lines = self.lines.lock().unwrap();
        lines.extend(
            events
                .into_iter()
                .map(|event| (group.to_owned(), stream.to_owned(), event)),
        );
    }
}

impl MetricSink for Memory {
    fn put(&self, _region: &str, namespace: &str, data: Vec<MetricDatum>) {
        self.data
            .lock()
            .unwrap()
            .extend(data.into_iter().map(|datum| (namespace.to_owned(), datum)));
    }
}

#[async_trait::async_trait]
impl Destinations for Memory {
    async fn send(&self, outgoing: Outgoing) -> Result<Sent, String> {
        self.sent.lock().unwrap().push(outgoing);
        Ok(Sent::Delivered)
    }
}

impl Memory {
    pub fn set(&self, address: &FunctionAddress, targets: &[(&Arc<FunctionVersion>, f64)], reserved: Option<u32>) {
        let targets = targets
            .iter()
            .map(|(version, weight)| WeightedVersion {
                version: Arc::clone(version),
                weight: *weight,
            })
            .collect();
        let resolved = Resolved {
            targets,
            reserved_concurrency: reserved,
        };
        self.functions.lock().unwrap().insert(address.qualified_arn(), resolved);
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn remove(&self, address: &FunctionAddress) {
        self.functions.lock().unwrap().remove(&address.qualified_arn());
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn allow(&self, address: &FunctionAddress, source_prefix: &str) {
        let entry = (
            address.qualified_arn(),
            "apigateway.amazonaws.com".to_owned(),
            source_prefix.to_owned(),
        );
        self.policies.lock().unwrap().push(entry);
    }

    pub fn set_api(&self, api: ApiSnapshot) {
        self.apis.lock().unwrap().insert(api.api_id.clone(), Arc::new(api));
    }

    /// All lines of a log group so far.
    pub fn log(&self, group: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|(own, _, _)| own == group)
            .map(|(_, _, event)| event.message.clone())
            .collect()
    }

    /// Sum of a metric over the given dimension values.
    pub fn sum(&self, namespace: &str, name: &str, dimensions: &[&str]) -> Option<f64> {
        let data = self.data.lock().unwrap();
        let values: Vec<f64> = data
            .iter()
            .filter(|(own, datum)| own == namespace && datum.name == name)
            .filter(|(_, datum)| {
                datum
                    .dimensions
                    .iter()
                    .map(|(_, value)| value.as_str())
                    .eq(dimensions.iter().copied())
            })
            .map(|(_, datum)| datum.value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

/// Where a world keeps its files.
pub enum Root {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Root {
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }
}

/// A host over a world.
pub struct World {
    pub root: Root,
    pub memory: Arc<Memory>,
    pub host: Arc<RuntimeHost>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {}, Deps::system())
    }

    pub fn with(adjust: impl FnOnce(&mut RuntimeConfig), deps: Deps) -> Self {
        Self::on(Root::Temporary(tempfile::tempdir().unwrap()), adjust, deps)
    }

    /// In a directory that someone else cleans up.
    pub fn at(root: PathBuf, adjust: impl FnOnce(&mut RuntimeConfig)) -> Self {
        Self::on(Root::Given(root), adjust, Deps::system())
    }

    fn on(root: Root, adjust: impl FnOnce(&mut RuntimeConfig), deps: Deps) -> Self {
        let memory = Arc::new(Memory::default());
        let host = Arc::new(host(root.path(), &memory, adjust, deps));
        Self { root, memory, host }
    }

    /// A version `1` of a function `name`, invoked by its alias `v1`.
    pub fn function(
        &self,
        name: &str,
        adjust: impl FnOnce(&mut FunctionVersion),
    ) -> (FunctionAddress, Arc<FunctionVersion>) {
        let version = self.version(name, "1", adjust);
        let address = address(name, Some("v1"));
        self.memory.set(&address, &[(&version, 1.0)], None);
        (address, version)
    }

    pub fn version(
        &self,
        name: &str,
        version: &str,
        adjust: impl FnOnce(&mut FunctionVersion),
    ) -> Arc<FunctionVersion> {
        let code = package(self.root.path(), include_bytes!("bootstrap.py"), 0o755);
        let mut version = FunctionVersion {
            function_arn: address(name, None).function_arn,
            function_name: name.to_owned(),
            version: version.to_owned(),
            revision: format!("{name}-{version}"),
            code,
            runtime: "provided.al2023".to_owned(),
            handler: "bootstrap".to_owned(),
            role: format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
            architecture: Architecture::X86_64,
            memory_mb: 128,
            ephemeral_storage_mb: 512,
            timeout: Duration::from_secs(60),
            environment: BTreeMap::new(),
            log_group: format!("/aws/lambda/{name}"),
            log_format: LogFormat::Text,
            application_log_level: None,
            system_log_level: None,
            tracing: TracingMode::PassThrough,
        };
        adjust(&mut version);
        Arc::new(version)
    }

    pub async fn invoke(&self, address: &FunctionAddress, event: Value) -> Completed {
        completed(self.host.invoke(request(address, event)).await)
    }

    /// Invokes and reads the answer.
    pub async fn describe(&self, address: &FunctionAddress) -> Value {
        let completed = self.invoke(address, json!({})).await;
        assert_eq!(completed.function_error, None, "{:?}", completed.payload);
        serde_json::from_slice(&completed.payload).unwrap()
    }
}

/// What the credentials of functions are derived from.
pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::random().unwrap())
}

pub fn host(root: &Path, memory: &Arc<Memory>, adjust: impl FnOnce(&mut RuntimeConfig), deps: Deps) -> RuntimeHost {
    let path = search_path();
    let mut config = RuntimeConfig::new(
        root.join("runtime"),
        "http://127.0.0.1:4566".to_owned(),
        path,
        keys().clone(),
    );
    adjust(&mut config);
    let ports = RuntimePorts {
        functions: Arc::clone(memory) as Arc<dyn FunctionSource>,
        logs: Arc::clone(memory) as Arc<dyn LogSink>,
        metrics: Arc::clone(memory) as Arc<dyn MetricSink>,
        destinations: Arc::clone(memory) as Arc<dyn Destinations>,
    };
    RuntimeHost::start(config, ports, deps).unwrap()
}

/// Where the interpreter of the test runtime really is: what stands first on the path may be a wrapper, slow and with
/// an environment of its own.
fn search_path() -> OsString {
    static FOUND: OnceLock<OsString> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let found = Command::new("python3")
                .args(["-c", "import sys; print(sys.executable)"])
                .output()
                .unwrap();
            let interpreter = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
            let directories = [interpreter.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")];
            std::env::join_paths(directories).unwrap()
        })
        .clone()
}

pub fn address(name: &str, qualifier: Option<&str>) -> FunctionAddress {
    FunctionAddress {
        function_arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"),
        qualifier: qualifier.map(str::to_owned),
    }
}

pub fn request(address: &FunctionAddress, event: Value) -> InvokeRequest {
    InvokeRequest {
        address: address.clone(),
        payload: Bytes::from(event.to_string()),
        kind: InvokeKind::RequestResponse,
        log_tail: LogTail::Omit,
        client_context: None,
        trace_id: None,
    }
}

pub fn completed(outcome: InvokeOutcome) -> Completed {
    match outcome {
        InvokeOutcome::Completed(completed) => completed,
        other => panic!("not completed: {other:?}"),
    }
}

/// A package with one `bootstrap`.
pub fn package(root: &Path, bootstrap: &[u8], mode: u32) -> FunctionCode {
    package_of(root, "bootstrap", bootstrap, mode)
}

pub fn package_of(root: &Path, name: &str, content: &[u8], mode: u32) -> FunctionCode {
    use sha2::Digest as _;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
    zip.start_file(name, options).unwrap();
    zip.write_all(content).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    let sha256 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sha2::Sha256::digest(&bytes));
    let path: PathBuf = root.join(format!("{}.zip", sha256.replace('/', "_")));
    std::fs::write(&path, &bytes).unwrap();
    FunctionCode {
        zip: path,
        sha256,
        size: bytes.len() as u64,
    }
}

/// Waits until something holds, looking every few milliseconds.
pub async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process runs (a zombie does not).
pub fn is_running(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]),
            Some(b'Z' | b'X')
        )
    })
}
