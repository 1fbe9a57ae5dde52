//! Failures of the local target, with what the operator can do.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the local target. `hint` says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// No Python to run the emulator with.
    #[error("python 3 was not found on PATH (looked for {looked_for})")]
    PythonMissing {
        /// Names that were tried.
        looked_for: String,
    },
    /// Python is older than the emulator needs.
    #[error("{python} is version {found}, but the emulator needs 3.10 or newer")]
    PythonTooOld {
        /// The interpreter.
        python: String,
        /// Its version.
        found: String,
    },
    /// Python cannot make virtual environments.
    #[error("{python} cannot create a virtual environment: {reason}")]
    VenvUnavailable {
        /// The interpreter.
        python: String,
        /// Its message.
        reason: String,
        /// The system package that brings it, e.g. `python3-venv`.
        package: String,
    },
    /// The packages could not be downloaded.
    #[error("the emulator could not be downloaded: {reason}")]
    Download {
        /// The message of pip.
        reason: String,
    },
    /// A downloaded package is not the one that was pinned.
    #[error("a downloaded package does not match its pinned hash: {reason}")]
    HashMismatch {
        /// The message of pip.
        reason: String,
    },
    /// Another failure of the install.
    #[error("the emulator could not be installed into {venv}: {reason}")]
    Install {
        /// Where to.
        venv: PathBuf,
        /// The message of pip.
        reason: String,
    },
    /// No space left.
    #[error("no space left on the disk that holds {path}")]
    DiskFull {
        /// The path that was written to.
        path: PathBuf,
    },
    /// A port is taken.
    #[error("port {port} for the {part} is taken{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        /// The port.
        port: u16,
        /// The part that needs it.
        part: &'static str,
        /// The process that has it, when that can be known.
        holder: Option<String>,
    },
    /// Every port that was tried is taken.
    #[error("no port is free for the {part}")]
    NoPort {
        /// The part that needs it.
        part: &'static str,
    },
    /// The emulator ended or does not answer.
    #[error("the emulator failed to start: {reason}")]
    Emulator {
        /// What is known.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// The background process ended or does not answer.
    #[error("the local target failed to start: {reason}")]
    Daemon {
        /// What is known.
        reason: String,
        /// What to do, as the background process itself said.
        advice: Option<String>,
        /// Its log.
        log: PathBuf,
    },
    /// The background process did not end.
    #[error("the local target (process {pid}) did not stop")]
    StillRunning {
        /// Its process id.
        pid: u32,
    },
    /// Something was asked of a local target that does not run.
    #[error("the local target is not running")]
    NotRunning,
    /// No schedule was fired.
    #[error("{reason}")]
    NotFired {
        /// Why not.
        reason: String,
    },
    /// Another process already serves this root.
    #[error("another process already serves {root}")]
    AlreadyServed {
        /// The root.
        root: PathBuf,
    },
    /// A file operation failed.
    #[error("{operation} {path} failed")]
    Io {
        /// The operation, e.g. `writing`.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl LocalError {
    /// Turns an I/O failure on `path` into an error; a full disk is its own.
    pub fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::Io {
                operation,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// What to do about it, one sentence, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PythonMissing { .. } => {
                Some("install Python 3.10 or newer (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python3)".to_owned())
            }
            Self::PythonTooOld { .. } => {
                Some("install Python 3.10 or newer, or set TASKCTL_LOCAL_PYTHON=/path/to/python3".to_owned())
            }
            Self::VenvUnavailable { package, .. } => Some(format!("Debian, Ubuntu: sudo apt install {package}")),
            Self::Download { .. } => Some(
                "the first `--local` needs the network once, to fetch the emulator from the Python package index; \
                 check the connection and proxy (HTTPS_PROXY, PIP_INDEX_URL) and run the command again"
                    .to_owned(),
            ),
            Self::HashMismatch { .. } => {
                Some("the package index, or a proxy, served a different file; try another network or index".to_owned())
            }
            Self::Install { .. } => Some("fix the problem that pip reports, then run the command again; it starts over".to_owned()),
            Self::DiskFull { .. } => Some("free some disk space (the emulator takes 150 MB) and run the command again".to_owned()),
            Self::PortTaken { part, .. } => Some(match *part {
                "AWS endpoint" => {
                    "end that process, or choose another port with --local-port PORT or TASKCTL_LOCAL_PORT=PORT".to_owned()
                }
                "websites" => {
                    "end that process, or choose another port with --local-website-port PORT or TASKCTL_LOCAL_WEBSITE_PORT=PORT".to_owned()
                }
                _ => "end that process and run `taskctl local up` again".to_owned(),
            }),
            Self::NoPort { .. } => Some("`taskctl local list` shows the local targets that run; stop one with `taskctl local down` in its project".to_owned()),
            Self::Emulator { log, .. } => Some(format!("see {}; `taskctl local reset` starts over with empty state", log.display())),
            Self::Daemon { advice, log, .. } => Some(advice.clone().unwrap_or_else(|| format!("see {}", log.display()))),
            Self::StillRunning { pid } => Some(format!("end it with: kill -9 {pid}")),
            Self::AlreadyServed { .. } => Some("see `taskctl local status`; stop it with `taskctl local down`".to_owned()),
            Self::NotRunning => Some("start it with `taskctl local up`".to_owned()),
            Self::NotFired { .. } => Some("`aws scheduler list-schedules` lists them, after eval \"$(taskctl local env)\"".to_owned()),
            Self::Io { .. } => None,
        }
    }
}
