//! The emulator as a child process: started on a socket that stays open here, watched, ended gracefully.
//!
//! The socket is one of the file system, in a directory that only the operator can enter: the emulator trusts its callers,
//! so only the endpoint can reach it.

use std::fs::{File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Installation;
use crate::error::LocalError;
use crate::files;
use crate::options::LocalOptions;

/// How long a graceful end (with saving) may take.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// The emulator's socket and how to run it. The socket outlives the child: while a crashed child is replaced, calls
/// wait in its queue instead of being refused.
pub(crate) struct Emulator {
    options: LocalOptions,
    /// Which the emulator believes to be its own.
    port: u16,
    installation: Installation,
    listener: UnixListener,
    socket: PathBuf,
    _directory: TempDir,
}

impl Emulator {
    /// Opens the socket, in a directory of its own: the path of a root may be longer than that of a socket can be.
    pub(crate) fn bind(options: &LocalOptions, port: u16, installation: Installation) -> Result<Self, LocalError> {
        let failed = |source| LocalError::io("opening a socket for", &options.path("emulator"), source);
        let own = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("taskctl-").permissions(own).tempdir();
        let directory = directory.map_err(failed)?;
        let socket = directory.path().join("emulator.sock");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        Ok(Self {
            options: options.clone(),
            port,
            installation,
            listener,
            socket,
            _directory: directory,
        })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts a child on the socket. It answers as soon as it can; connections made before that wait.
    pub(crate) fn spawn(&self) -> Result<Child, LocalError> {
        let log_path = self.options.path("emulator.log");
        let io = |source| LocalError::io("starting the emulator with", &self.installation.python, source);
        let log = open_log(&log_path)?;
        let socket: OwnedFd = self.listener.try_clone().map_err(io)?.into();
        let state = self.options.path("state");
        files::create_directory(&state)?;
        let mut command = Command::new(&self.installation.python);
        command
            .arg("-I")
            .arg(&self.installation.launcher)
            .current_dir(&state)
            // Nothing of the operator's environment: no credentials, no Docker, no AWS settings.
            .env_clear()
            .envs(
                ["PATH", "HOME", "TMPDIR", "LANG"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("GATEWAY_PORT", self.port.to_string())
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", state.join("services"))
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", state.join("objects"))
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("COGNITO_EMAIL_ENABLED", "false")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("AUTH", "false")
            .env("LOG_LEVEL", "WARNING")
            .stdin(Stdio::from(socket))
            .stdout(log.try_clone().map_err(io)?)
            .stderr(log)
            .kill_on_drop(true);
        command.spawn().map_err(io)
    }

    /// Ends a child gracefully: it saves its state first. Killed when that takes too long.
    pub(crate) async fn end(child: &mut Child) {
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(END_TIMEOUT, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

fn open_log(path: &Path) -> Result<File, LocalError> {
    const KEEP: u64 = 8 * 1024 * 1024;
    let large = path.metadata().is_ok_and(|metadata| metadata.len() > KEEP);
    if large {
        let _ = std::fs::rename(path, path.with_extension("log.1"));
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| LocalError::io("opening", path, source))
}
