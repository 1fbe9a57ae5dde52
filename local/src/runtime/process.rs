//! Starting and ending the processes of execution environments.
//!
//! Each process leads a process group, so that its children end with it. That it ends with the host is ensured
//! three times: the kernel's parent-death signal where a launcher can set it, a kill when the host drops the process,
//! and the registry for survivors of both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::Pid;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::process_registry::{self, ProcessRegistry};

/// How a `bootstrap` is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launcher {
    /// Directly.
    Direct,
    /// By a program that arranges for the parent-death signal and then executes its last argument.
    Program {
        /// The program.
        program: PathBuf,
        /// Its arguments before the path of the `bootstrap`.
        arguments: Vec<OsString>,
    },
}

impl Launcher {
    /// `setpriv` of util-linux when it is on `search_path`, else direct.
    pub fn detect(search_path: &OsString) -> Self {
        let found = std::env::split_paths(search_path)
            .map(|directory| directory.join("setpriv"))
            .find(|path| path.is_file());
        match found {
            Some(program) if cfg!(target_os = "linux") => Self::Program {
                program,
                arguments: ["--pdeathsig", "KILL", "--"].map(OsString::from).to_vec(),
            },
            Some(_) | None => Self::Direct,
        }
    }

    fn command(&self, bootstrap: &Path) -> Command {
        match self {
            Self::Direct => Command::new(bootstrap),
            Self::Program { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments).arg(bootstrap);
                command
            }
        }
    }
}

/// The process to start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) bootstrap: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) variables: BTreeMap<OsString, OsString>,
}

/// Starts processes, all from one thread: the parent-death signal comes when the *thread* that forked ends, and a
/// thread of the async runtime may end early. Dropping the spawner ends the thread and so every process started
/// through a launcher.
#[derive(Debug)]
pub(super) struct Spawner {
    launcher: Launcher,
    requests: std::sync::mpsc::Sender<Request>,
}

type Request = (Command, oneshot::Sender<io::Result<Child>>);

impl Spawner {
    /// Starts the thread. Must be called within a tokio runtime.
    pub(super) fn start(launcher: Launcher) -> io::Result<Self> {
        let (requests, inbox) = std::sync::mpsc::channel::<Request>();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("environments".to_owned())
            .spawn(move || {
                let _context = runtime.enter();
                for (mut command, reply) in inbox {
                    // A caller that is gone drops the child, which kills it.
                    let _ = reply.send(command.spawn());
                }
            })?;
        Ok(Self { launcher, requests })
    }

    /// Starts a process. Its stdout and stderr are one pipe, so that their order is kept.
    pub(super) async fn spawn(
        &self,
        start: Start,
        registry: Arc<ProcessRegistry>,
    ) -> io::Result<(Process, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.launcher.command(&start.bootstrap);
        command
            .current_dir(&start.directory)
            .env_clear()
            .envs(start.variables)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the host is shutting down");
        self.requests.send((command, reply)).map_err(|_| gone())?;
        let child = child.await.map_err(|_| gone())??;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            registry.add(pid);
        }
        Ok((Process { child, pid, registry }, output))
    }
}

/// A running process of an environment. Dropping it ends the process and its group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// `None` once the process is reaped.
    pid: Option<Pid>,
    registry: Arc<ProcessRegistry>,
}

impl Process {
    /// Waits for the end. Can be called again and dropped at any time.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.reaped();
        status
    }

    /// Ends the process and its group and waits until it is gone.
    pub(super) async fn end(&mut self) {
        if let Some(pid) = self.pid {
            process_registry::end(pid);
            // A killed child can always be waited for; an error would mean that it is gone already.
            let _ = self.child.wait().await;
            self.reaped();
        }
    }

    /// Largest resident memory so far, MiB, where the system reports it.
    pub(super) fn max_memory_mib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?.as_raw_nonzero())).ok()?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()?;
        Some(kib.div_ceil(1024))
    }

    fn reaped(&mut self) {
        if let Some(pid) = self.pid.take() {
            // Children of the process may outlive it; its group does not.
            process_registry::end_group(pid);
            self.registry.remove(pid);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            process_registry::end(pid);
            self.registry.remove(pid);
        }
    }
}
