//! Starting, asking and ending the background process, from any other process.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::port::{ENDPOINT, WEBSITES, holder, listen};
use super::record::{DaemonRecord, StartFailure, is_served};
use super::serve::FIRE;
use super::status::{LocalState, LocalStatus, PartState};
use crate::emulator;
use crate::error::LocalError;
use crate::files;
use crate::keys::{self, DEFAULT_ACCOUNT, Keys};
use crate::options::{DaemonCommand, LocalOptions, ServeSettings};
use crate::protocol::OWN_PATHS;
use crate::signing::{self, Payload, Signable};
use crate::targets;

/// How long a start may take once everything is installed.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one that is starting already, or does not answer, is waited for.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a graceful end may take.
const END_TIMEOUT: Duration = Duration::from_secs(25);
/// How long an answer about the status may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Variables of the operator's environment that the background process has.
const KEPT: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ"];

/// Progress of [`up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpProgress {
    /// The emulator is downloaded and installed (first use: 10–60 s).
    InstallingEmulator {
        /// Its version.
        version: &'static str,
    },
    /// Another process is starting the same local target.
    WaitingForAnother,
    /// The background process does not answer: it may be busy, and is given time before it is replaced.
    WaitingForAnswer,
    /// A background process of another build or on other ports is replaced.
    Replacing,
    /// The background process is started.
    Starting,
    /// A port that it would have had by right is not free, so it has another.
    OtherPort {
        /// The part that listens on it.
        part: &'static str,
        /// Which it would have had.
        wanted: u16,
        /// Who has that, as far as it is known.
        holder: Option<String>,
        /// Which it has.
        port: u16,
    },
    /// It is ready.
    Ready,
}

/// Makes sure that the local target of these options runs. Safe to call from several processes at once; when it runs
/// already this takes a few milliseconds.
pub async fn up(
    options: &LocalOptions,
    daemon: &DaemonCommand,
    mut progress: impl FnMut(UpProgress),
) -> Result<LocalStatus, LocalError> {
    if let Some(status) = running(options).await {
        return Ok(status);
    }
    let _alone = alone(options, &mut progress).await?;
    if is_served(options)
        && let Some(status) = settled(options, &mut progress).await
    {
        return Ok(status);
    }
    // Failures that can be foreseen are found before the running process is ended.
    let venv = prepare(options, &mut progress).await?;
    if is_served(options) {
        progress(UpProgress::Replacing);
        end(options).await?;
    }
    progress(UpProgress::Starting);
    let wanted = options.ports();
    let status = start(options, daemon, venv).await?;
    for (part, wanted, port) in [
        (ENDPOINT, wanted.endpoint, status.ports.endpoint),
        (WEBSITES, wanted.websites, status.ports.websites),
    ] {
        if wanted != port {
            progress(UpProgress::OtherPort {
                part,
                wanted,
                holder: holder_of(options, wanted),
                port,
            });
        }
    }
    progress(UpProgress::Ready);
    Ok(status)
}

/// Installs the emulator, and looks whether the ports that are asked for are free, unless a running background process has them
/// already. Returns where the emulator is.
async fn prepare(options: &LocalOptions, progress: &mut impl FnMut(UpProgress)) -> Result<PathBuf, LocalError> {
    let running = DaemonRecord::read(options).filter(|_| is_served(options));
    let is_own = |port| {
        running
            .as_ref()
            .is_some_and(|one| one.port == port || one.website_port == port)
    };
    for (port, part) in [(options.asked.endpoint, ENDPOINT), (options.asked.websites, WEBSITES)] {
        let Some(port) = port.filter(|port| !is_own(*port)) else {
            continue;
        };
        listen(port, part).await.map_err(|error| match error {
            LocalError::PortTaken { port, part, holder } => LocalError::PortTaken {
                port,
                part,
                holder: holder_of(options, port).or(holder),
            },
            other => other,
        })?;
    }
    Keys::open(options)?;
    if let Some(venv) = emulator::installed(options)? {
        return Ok(venv);
    }
    progress(UpProgress::InstallingEmulator {
        version: emulator::VERSION,
    });
    let for_install = options.clone();
    let installed = tokio::task::spawn_blocking(move || emulator::ensure_installed(&for_install));
    installed.await.unwrap_or_else(|failed| {
        Err(LocalError::io(
            "installing",
            &options.cache,
            std::io::Error::other(failed),
        ))
    })
}

/// Who has a port: another local target of the user, or any process.
fn holder_of(options: &LocalOptions, port: u16) -> Option<String> {
    let targets = targets::all(&options.cache).unwrap_or_default();
    let target = targets
        .iter()
        .find(|target| target.root != options.root && target.has(port));
    match target {
        Some(target) => Some(format!("the local target in {}", target.root.display())),
        None => holder(port),
    }
}

async fn start(options: &LocalOptions, daemon: &DaemonCommand, venv: PathBuf) -> Result<LocalStatus, LocalError> {
    files::remove(&StartFailure::path(options))?;
    let mut child = spawn(options, daemon, venv)?;
    wait_until_ready(options, &mut child).await
}

/// Waits until no other process is starting or ending this local target.
async fn alone(options: &LocalOptions, progress: &mut impl FnMut(UpProgress)) -> Result<File, LocalError> {
    let path = options.path("up.lock");
    let mut told = false;
    loop {
        if let Some(lock) = files::try_lock(&path)? {
            return Ok(lock);
        }
        if !std::mem::replace(&mut told, true) {
            progress(UpProgress::WaitingForAnother);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The status of the local target; `Stopped` when it does not run.
pub async fn status(options: &LocalOptions) -> LocalStatus {
    let record = DaemonRecord::read(options);
    let served = is_served(options);
    let record = record.filter(|_| served);
    if let Some(record) = &record
        && let Some(status) = ask(options, record.port).await
    {
        return status;
    }
    let ports = record.as_ref().map_or_else(|| options.ports(), DaemonRecord::ports);
    LocalStatus {
        state: if served {
            LocalState::NotAnswering
        } else {
            LocalState::Stopped
        },
        endpoint_url: ports.endpoint_url(),
        ports,
        root: options.root.clone(),
        pid: record.as_ref().map(|record| record.pid),
        version: record.map(|record| record.version),
        started: None,
        parts: Vec::new(),
        apis: Vec::new(),
        websites: Default::default(),
        incidents: Vec::new(),
    }
}

/// The status of each local target of the user, by root.
///
/// # Errors
/// When the list cannot be read.
pub async fn list(cache: &Path) -> Result<Vec<LocalStatus>, LocalError> {
    let targets = targets::all(cache)?;
    let options = targets
        .into_iter()
        .map(|target| LocalOptions::new(&target.root, cache))
        .collect::<Vec<_>>();
    Ok(futures::future::join_all(options.iter().map(status)).await)
}

/// Ends the background process and everything it started; state on disk stays. Fine when nothing runs.
pub async fn down(options: &LocalOptions) -> Result<Ended, LocalError> {
    if !options.root.exists() {
        return Ok(Ended::WasStopped);
    }
    let _alone = alone(options, &mut |_| ()).await?;
    end(options).await
}

async fn end(options: &LocalOptions) -> Result<Ended, LocalError> {
    if !is_served(options) {
        return Ok(Ended::WasStopped);
    }
    // The holder of the lock writes the record; right after its start it may not have yet.
    let Some(record) = wait_for(END_TIMEOUT, || DaemonRecord::read(options)).await else {
        return Ok(Ended::WasStopped);
    };
    let Some(pid) = Pid::from_raw(record.pid.cast_signed()) else {
        return Ok(Ended::WasStopped);
    };
    if !is_served(options) {
        return Ok(Ended::WasStopped);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = kill_process(pid, signal);
        if wait_for(END_TIMEOUT, || (!is_served(options)).then_some(()))
            .await
            .is_some()
        {
            files::remove(&DaemonRecord::path(options))?;
            return Ok(Ended::Stopped);
        }
    }
    Err(LocalError::StillRunning { pid: record.pid })
}

/// The result of `down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ran and was ended.
    Stopped,
    /// It did not run.
    WasStopped,
}

/// Ends everything and removes the state: tables, objects, functions, APIs, logs. The installed emulator stays.
pub async fn reset(options: &LocalOptions) -> Result<(), LocalError> {
    down(options).await?;
    for name in [
        "state",
        "runtime",
        keys::FILE,
        "daemon.json",
        "daemon-failure.json",
        "daemon.log",
        "emulator.log",
        "emulator.log.1",
    ] {
        files::remove(&options.path(name))?;
    }
    Ok(())
}

/// The status, when a process of this build and these options runs and needs no repair.
async fn running(options: &LocalOptions) -> Option<LocalStatus> {
    let record = DaemonRecord::read(options)?;
    if !record.serves(options) {
        return None;
    }
    ask(options, record.port).await.filter(is_usable)
}

/// Running, or degraded by something that another start would not repair.
fn is_usable(status: &LocalStatus) -> bool {
    let emulator_failed = status
        .parts
        .iter()
        .any(|part| part.name == "emulator" && part.state == PartState::Failed);
    match status.state {
        LocalState::Running => true,
        LocalState::Degraded => !emulator_failed,
        LocalState::Stopped | LocalState::Starting | LocalState::NotAnswering => false,
    }
}

/// The same, for one that may be on its way or busy: it starts, replaces a crashed emulator, or has much to do. Others may be
/// in the middle of their calls to it, so that it counts as hanging only after [`SETTLE_TIMEOUT`]. `None` when it must be
/// replaced.
async fn settled(options: &LocalOptions, progress: &mut impl FnMut(UpProgress)) -> Option<LocalStatus> {
    let mut said = false;
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let record = DaemonRecord::read(options).filter(|record| record.serves(options))?;
        match ask(options, record.port).await {
            Some(status) if is_usable(&status) => return Some(status),
            Some(status) if status.state != LocalState::Starting => return None,
            Some(_) => {}
            None if said => {}
            None => {
                said = true;
                progress(UpProgress::WaitingForAnswer);
            }
        }
        if Instant::now() > deadline || !is_served(options) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Has a schedule fired now, named as AWS names it, or by the end of that. Returns its ARN.
pub async fn fire(options: &LocalOptions, schedule: &str) -> Result<String, LocalError> {
    let status = running(options).await.ok_or(LocalError::NotRunning)?;
    let name = utf8_percent_encode(schedule, NON_ALPHANUMERIC);
    let path = format!("{OWN_PATHS}{FIRE}{name}");
    let answer = exchange(options, status.ports.endpoint, Method::POST, &path).await;
    let (status, body) = answer.ok_or(LocalError::NotRunning)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    match status.is_success() {
        true => Ok(text),
        false => Err(LocalError::NotFired { reason: text }),
    }
}

/// Asks the process that listens on the endpoint's port. `None` when none answers, or one of another root.
async fn ask(options: &LocalOptions, port: u16) -> Option<LocalStatus> {
    let (_, body) = exchange(options, port, Method::GET, &format!("{OWN_PATHS}status")).await?;
    let status: LocalStatus = serde_json::from_slice(&body).ok()?;
    (status.root == options.root).then_some(status)
}

/// A request of the operator on an own path of the process that listens on the endpoint's port.
async fn exchange(options: &LocalOptions, port: u16, method: Method, path: &str) -> Option<(StatusCode, bytes::Bytes)> {
    let keys = Keys::read(options).ok().flatten()?;
    let url = format!("http://127.0.0.1:{port}{path}");
    let signable = Signable {
        method: method.as_str(),
        url: &url,
        headers: &[],
        body: Payload::Bytes(b""),
    };
    let signed = signing::signed_headers(&keys.of_account(DEFAULT_ACCOUNT), signing::own_scope(), signable).ok()?;
    let exchange = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(&method).uri(path);
        request = request.header("host", format!("127.0.0.1:{port}"));
        for (name, value) in &signed {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).ok()?;
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        Some((parts.status, body))
    };
    tokio::time::timeout(ASK_TIMEOUT, exchange).await.ok()?
}

fn spawn(options: &LocalOptions, daemon: &DaemonCommand, venv: PathBuf) -> Result<Child, LocalError> {
    let settings = ServeSettings {
        root: options.root.clone(),
        cache: options.cache.clone(),
        venv,
        asked: options.asked,
        settling_ms: options.settling_ms,
    };
    let settings = serde_json::to_string(&settings)
        .map_err(|source| LocalError::io("starting", &daemon.program, std::io::Error::other(source)))?;
    let path = options.path("daemon.log");
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|source| LocalError::io("opening", &path, source))?;
    let copy = log
        .try_clone()
        .map_err(|source| LocalError::io("opening", &path, source))?;
    Command::new(&daemon.program)
        .args(&daemon.arguments)
        .arg(settings)
        .current_dir(&options.root)
        // Nothing of the operator's environment: functions are this process's children, and its start is open to them.
        .env_clear()
        .envs(
            KEPT.into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::null())
        .stdout(copy)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .map_err(|source| LocalError::io("starting", &daemon.program, source))
}

async fn wait_until_ready(options: &LocalOptions, child: &mut Child) -> Result<LocalStatus, LocalError> {
    let failed = |reason: String, advice| LocalError::Daemon {
        reason,
        advice,
        log: options.path("daemon.log"),
    };
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = running(options).await {
            return Ok(status);
        }
        if let Ok(Some(exit)) = child.try_wait() {
            return Err(match StartFailure::read(options) {
                Some(failure) => failed(failure.reason, failure.advice),
                None => failed(
                    format!(
                        "its process ended ({exit})\n{}",
                        files::tail(&options.path("daemon.log"), 5)
                    ),
                    None,
                ),
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _ = child.start_kill();
    Err(failed(
        format!("it was not ready after {} s", START_TIMEOUT.as_secs()),
        None,
    ))
}

async fn wait_for<T>(limit: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = found() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}
