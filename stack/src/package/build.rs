//! Running the build: one Cargo invocation for all functions of an architecture.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::event::{Event, Events};
use crate::template::model::Architecture;

use super::builder::{self, Builder, Destination, HostPlatform, Missing};
use super::cargo::errors_of;
use super::error::{PackageError, Said, architecture_name};
use super::messages::Gathered;
use super::project::{Binary, Project};
use super::{FunctionSource, PackageRequest};

/// A function's executable.
#[derive(Debug, Clone)]
pub struct Built {
    /// The function.
    pub source: FunctionSource,
    /// What it was built from.
    pub binary: Binary,
    /// The setting for paths that it was built with.
    pub remap: Option<String>,
    /// The executable.
    pub path: PathBuf,
    /// What built it.
    pub builder: Builder,
}

/// Lines of Cargo's own that are kept for an error.
const KEPT_LINES: usize = 60;

/// Builds all functions of a request, in its order.
pub async fn build(request: &PackageRequest, events: &Events) -> Result<Vec<Built>, PackageError> {
    let host = HostPlatform::current();
    let project = Project::of(request).await?;
    let mut built: Vec<Option<Built>> = vec![None; request.functions.len()];
    for architecture in [Architecture::X86_64, Architecture::Arm64] {
        let (places, functions): (Vec<usize>, Vec<_>) = request
            .functions
            .iter()
            .zip(&project.binaries)
            .enumerate()
            .filter(|(_, (source, _))| source.architecture == architecture)
            .unzip();
        let Some((first, _)) = functions.first() else { continue };
        let builder = Builder::first(host, request.destination, architecture);
        check_destination(request, host, first)?;
        for (place, executable) in places
            .into_iter()
            .zip(run(request, builder, &functions, project.remap.as_deref(), events).await?)
        {
            built[place] = Some(executable);
        }
    }
    Ok(built.into_iter().flatten().collect())
}

/// Builds these functions with that builder.
pub async fn run(
    request: &PackageRequest,
    builder: Builder,
    functions: &[(&FunctionSource, &Binary)],
    remap: Option<&str>,
    events: &Events,
) -> Result<Vec<Built>, PackageError> {
    if let Some((first, _)) = functions.first() {
        check_builder(request, builder, first).await?;
    }
    let binaries: Vec<&Binary> = functions.iter().map(|(_, binary)| *binary).collect();
    let arguments = builder.arguments(request, &binaries, remap);
    let shown = command_line(&arguments);
    events.emit(Event::BuildStarted { command: shown.clone() });
    let mut child = request
        .cargo
        .command()
        .args(&arguments)
        .spawn()
        .map_err(|source| request.cargo.start_failure(source))?;
    let family = Family::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (gathered, said) = tokio::join!(gather(stdout, events), listen(stderr, events));
    let status = child
        .wait()
        .await
        .map_err(|source| PackageError::io("waiting for", &request.cargo.program, source))?;
    family.has_ended();
    if !status.success() {
        return Err(failure(request, status, gathered, said, shown));
    }
    let mut built = Vec::with_capacity(functions.len());
    for (source, binary) in functions {
        let built_from = (binary.manifest.clone(), binary.name.clone());
        let Some(path) = gathered.executables.get(&built_from) else {
            return Err(PackageError::Cargo {
                status: status.to_string(),
                said: Said(format!(
                    "it named no executable of {} in package {}",
                    binary.name, binary.package
                )),
                command: shown,
            });
        };
        built.push(Built {
            source: (*source).clone(),
            binary: (*binary).clone(),
            remap: remap.map(str::to_owned),
            path: path.clone(),
            builder,
        });
    }
    Ok(built)
}

/// Whether the builders of all functions are installed.
pub async fn check_builders(request: &PackageRequest) -> Result<(), PackageError> {
    let host = HostPlatform::current();
    for architecture in [Architecture::X86_64, Architecture::Arm64] {
        let mut functions = request
            .functions
            .iter()
            .filter(|source| source.architecture == architecture);
        if let Some(first) = functions.next() {
            check_destination(request, host, first)?;
            check_builder(request, Builder::first(host, request.destination, architecture), first).await?;
        }
    }
    Ok(())
}

fn check_destination(
    request: &PackageRequest,
    host: HostPlatform,
    source: &FunctionSource,
) -> Result<(), PackageError> {
    let builder = Builder::first(host, request.destination, source.architecture);
    if request.destination == Destination::ThisMachine && builder != Builder::Cargo {
        return Err(PackageError::CannotRunHere {
            function: source.function.clone(),
            architecture: source.architecture,
            host: host_name(host),
        });
    }
    Ok(())
}

async fn check_builder(request: &PackageRequest, builder: Builder, first: &FunctionSource) -> Result<(), PackageError> {
    let Builder::Zigbuild(architecture) = builder else {
        return Ok(());
    };
    let missing = missing(request, architecture).await;
    if missing.is_empty() {
        return Ok(());
    }
    Err(PackageError::NoBuilder {
        function: first.function.clone(),
        architecture,
        reason: Missing::describe(&missing),
        install: builder::install_lines(&missing),
    })
}

/// Cargo and the compilers it runs, a process group of their own: a build that is dropped ends as a whole.
struct Family {
    group: Option<Pid>,
}

impl Family {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            group: id.and_then(Pid::from_raw),
        }
    }

    fn has_ended(mut self) {
        self.group = None;
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

async fn gather(stdout: Option<impl AsyncRead + Unpin>, events: &Events) -> Gathered {
    let mut gathered = Gathered::default();
    let Some(stdout) = stdout else { return gathered };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        for text in gathered.take(&line) {
            emit(&text, events);
        }
    }
    gathered
}

/// Passes on what Cargo says of its progress and keeps the end of it.
async fn listen(stderr: Option<impl AsyncRead + Unpin>, events: &Events) -> Vec<String> {
    let mut kept = VecDeque::new();
    let Some(stderr) = stderr else { return Vec::new() };
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // That nothing had to be built is no news, and an error is reported once, at the end.
        let trimmed = line.trim();
        let is_news = !["Finished ", "error", "warning: build failed"]
            .iter()
            .any(|head| trimmed.starts_with(head));
        if is_news && !trimmed.is_empty() {
            emit(trimmed, events);
        }
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    kept.into()
}

fn emit(text: &str, events: &Events) {
    for line in text.lines() {
        events.emit(Event::BuildOutput { line: line.to_owned() });
    }
}

fn failure(
    request: &PackageRequest,
    status: ExitStatus,
    gathered: Gathered,
    said: Vec<String>,
    command: String,
) -> PackageError {
    if status
        .signal()
        .is_some_and(|signal| [Signal::INT, Signal::TERM].iter().any(|known| known.as_raw() == signal))
    {
        return PackageError::Interrupted;
    }
    let errors = gathered.errors.join("\n\n");
    let own = errors_of(&said);
    if [&errors, &own]
        .iter()
        .any(|text| text.contains("No space left on device"))
    {
        let path = request
            .target_dir
            .clone()
            .unwrap_or_else(|| request.cargo.directory.join("target"));
        return PackageError::DiskFull { path };
    }
    if !gathered.errors.is_empty() {
        return PackageError::Compile {
            said: Said(errors),
            dir: request.cargo.directory.clone(),
            command,
        };
    }
    PackageError::Cargo {
        status: status.to_string(),
        said: Said(own),
        command,
    }
}

/// What a build across to an architecture lacks on this machine.
pub async fn missing(request: &PackageRequest, architecture: Architecture) -> Vec<Missing> {
    let dir = &request.cargo.directory;
    let mut missing = Vec::new();
    if !succeeds(dir, "cargo-zigbuild", &["--version"]).await {
        missing.push(Missing::Zigbuild);
    }
    if !succeeds(dir, "zig", &["version"]).await && !succeeds(dir, "python3", &["-m", "ziglang", "version"]).await {
        missing.push(Missing::Zig);
    }
    if !has_target(dir, architecture).await {
        missing.push(Missing::Target(architecture));
    }
    missing
}

async fn succeeds(dir: &Path, program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Whether Rust's standard library for an architecture is installed.
async fn has_target(dir: &Path, architecture: Architecture) -> bool {
    let mut command = Command::new("rustc");
    command
        .args(["--print", "target-libdir", "--target", builder::target(architecture)])
        .current_dir(dir);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(output) = command.output().await else {
        return false;
    };
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() && output.status.success()
}

/// `cargo …` as a person would type it, without what only a program wants.
fn command_line(arguments: &[OsString]) -> String {
    let mut words = vec!["cargo".to_owned()];
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("--message-format" | "--config") => {
                rest.next();
            }
            _ => words.push(argument.to_string_lossy().into_owned()),
        }
    }
    words.join(" ")
}

fn host_name(host: HostPlatform) -> String {
    match host {
        HostPlatform::Linux(architecture) => architecture_name(architecture).to_owned(),
        HostPlatform::Mac(architecture) => format!("{} on macOS", architecture_name(architecture)),
        HostPlatform::Other => format!("{} on {}", std::env::consts::ARCH, std::env::consts::OS),
    }
}
