//! The local target under test: built, packaged and started once, taken down when the last test lets go of it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::Value;
use taskctl_local::LocalOptions;

/// How long functions of the tests are `Pending` and their updates `InProgress`, as they are for seconds on AWS.
const SETTLING_MS: u32 = 250;

/// A local target.
pub struct Local {
    root: PathBuf,
    port: u16,
    website_port: u16,
}

/// What a run of the binary gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A run that is not over. Its output must fit into a pipe. One that a failed test lets go of is killed: it would disturb the
/// next.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    pid: u32,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    /// Sends a signal: `INT`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        run_tool(Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()));
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lines of its standard output as they come, and when each came. For output that does not fit into a pipe.
    ///
    /// # Panics
    /// When they are taken twice.
    pub fn lines(&mut self) -> Receiver<(Instant, String)> {
        let Some(out) = self.child.as_mut().and_then(|child| child.stdout.take()) else {
            panic!("the output is taken already");
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        lines
    }

    /// Lines of its standard error as they come.
    ///
    /// # Panics
    /// When they are taken twice.
    pub fn messages(&mut self) -> Receiver<String> {
        let Some(err) = self.child.as_mut().and_then(|child| child.stderr.take()) else {
            panic!("the messages are taken already");
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        lines
    }

    /// Waits for its end. The exit code of a killed one is -1.
    ///
    /// # Panics
    /// When its output cannot be read.
    pub fn end(mut self) -> Run {
        match self.child.take().map(Child::wait_with_output) {
            Some(Ok(output)) => Run {
                code: output.status.code().unwrap_or(-1),
                out: String::from_utf8_lossy(&output.stdout).into_owned(),
                err: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            other => panic!("taskctl cannot be waited for: {other:?}"),
        }
    }
}

impl Run {
    /// Asserts the exit code, showing what was printed.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// The JSON events of a run with `--output json`.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.out.lines().map(parse).collect()
    }

    /// The steps of the plan in the events that change something, as `verb id field,field`.
    #[track_caller]
    pub fn changes(&self) -> Vec<String> {
        let events = self.events();
        let steps = events
            .iter()
            .find_map(|event| event.pointer("/plan/steps"))
            .and_then(Value::as_array);
        let Some(steps) = steps else {
            panic!("no plan among the events:\n{}\n{}", self.out, self.err)
        };
        steps
            .iter()
            .filter(|step| !matches!(step["action"].as_str(), Some("no-op" | "keep")))
            .map(|step| {
                let fields: Vec<&str> = step["changes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|change| change["field"].as_str())
                    .collect();
                let action = step["action"].as_str().unwrap_or_default();
                let id = step["id"].as_str().unwrap_or_default();
                if action == "update" {
                    format!("update {id} {}", fields.join(","))
                } else {
                    format!("{action} {id}")
                }
            })
            .collect()
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// The binary under test: Cargo builds it beside the test's own.
///
/// # Panics
/// When the test runs from elsewhere.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().unwrap_or_default();
        let found = own.ancestors().nth(2).map(|folder| folder.join("taskctl"));
        match found.filter(|path| path.exists()) {
            Some(path) => path,
            None => panic!("no taskctl beside {}", own.display()),
        }
    })
}

/// The functions' packages, made once, as an operator would make them. `TASKCTL_TEST_ARTIFACTS` names a directory of packages
/// made before.
pub fn artifacts() -> &'static Path {
    static ARTIFACTS: OnceLock<PathBuf> = OnceLock::new();
    ARTIFACTS.get_or_init(|| {
        if let Some(made) = std::env::var_os("TASKCTL_TEST_ARTIFACTS") {
            return PathBuf::from(made);
        }
        let dist = scratch().join("dist");
        let made = Command::new(binary())
            .args(["package", "--local", "-f", "platform", "--out"])
            .arg(&dist)
            .current_dir(repository())
            .output();
        match made {
            Ok(made) if made.status.success() => dist,
            Ok(made) => panic!("packaging failed:\n{}", String::from_utf8_lossy(&made.stderr)),
            Err(error) => panic!("packaging failed: {error}"),
        }
    })
}

/// Runs a tool to its end.
///
/// # Panics
/// When it fails.
pub(crate) fn run_tool(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{command:?} failed: {error}"),
    }
}

/// Where the tests keep what may be used again by the next run: the emulator's installation, packages.
pub(crate) fn scratch() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("end-to-end")
}

/// Where projects of the tests' own are built, whose dependencies are the same.
pub fn projects_target() -> PathBuf {
    scratch().join("projects")
}

/// The cache folder of the tests: the emulator is installed once for all their roots.
pub fn cache() -> PathBuf {
    scratch().join("cache")
}

static SHARED: Mutex<Weak<Local>> = Mutex::new(Weak::new());

impl Local {
    /// The target that the tests running now share.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        if let Some(local) = shared.upgrade() {
            return local;
        }
        let local = Arc::new(Self::start());
        *shared = Arc::downgrade(&local);
        local
    }

    /// One that another version of taskctl made, in a directory of the caller's: the archive of `options.json`, `secret` and `state`.
    ///
    /// # Panics
    /// When it cannot be unpacked, or does not start.
    pub fn recorded(archive: &Path, root: &Path, website_port: u16) -> Self {
        run_tool(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(root));
        let local = Self {
            root: root.to_owned(),
            port: free_port(),
            website_port,
        };
        local.run(&["local", "up"], &repository()).expect(0);
        local
    }

    /// Starts with nothing of an earlier run.
    fn start() -> Self {
        let local = Self {
            root: scratch().join("local"),
            port: free_port(),
            website_port: free_port(),
        };
        local.run(&["local", "reset", "--yes"], &repository()).expect(0);
        local.run(&["local", "up"], &repository()).expect(0);
        local
    }

    /// Runs the binary against this target in a directory.
    pub fn run(&self, arguments: &[&str], directory: &Path) -> Run {
        self.run_with(arguments, directory, &[])
    }

    /// Runs the binary with environment variables of its own.
    pub fn run_with(&self, arguments: &[&str], directory: &Path, environment: &[(&str, &str)]) -> Run {
        self.start_with(arguments, directory, environment).end()
    }

    /// Starts the binary and does not wait for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(&self, arguments: &[&str], directory: &Path, environment: &[(&str, &str)]) -> Running {
        let child = self
            .command(arguments, directory, environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Running {
                pid: child.id(),
                child: Some(child),
            },
            Err(error) => panic!("taskctl did not start: {error}"),
        }
    }

    /// Starts the binary with a standard output of the caller's.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_into(&self, arguments: &[&str], directory: &Path, out: Stdio) -> Running {
        let child = self
            .command(arguments, directory, &[])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Running {
                pid: child.id(),
                child: Some(child),
            },
            Err(error) => panic!("taskctl did not start: {error}"),
        }
    }

    /// What names this target to taskctl.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("TASKCTL_CACHE", cache().to_string_lossy().into_owned()),
            ("TASKCTL_LOCAL_ROOT", self.root.to_string_lossy().into_owned()),
            ("TASKCTL_LOCAL_PORT", self.port.to_string()),
            ("TASKCTL_LOCAL_WEBSITE_PORT", self.website_port.to_string()),
            ("TASKCTL_LOCAL_SETTLING_MS", SETTLING_MS.to_string()),
        ]
    }

    /// Directory of what it holds.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts the binary at a terminal of its own, of so many columns.
    pub fn start_at_terminal(
        &self,
        columns: u16,
        arguments: &[&str],
        directory: &Path,
        environment: &[(&str, &str)],
    ) -> crate::Terminal {
        crate::Terminal::run(&mut self.command(arguments, directory, environment), columns)
    }

    fn command(&self, arguments: &[&str], directory: &Path, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(directory)
            .envs(self.variables())
            .env("NO_COLOR", "1")
            // Output is taken for what a program reads, wherever the tests run.
            .env_remove("GITHUB_ACTIONS")
            .env_remove("TASKCTL_STAGE")
            .env_remove("TASKCTL_APP")
            .env_remove("TASKCTL_PROFILE")
            .env_remove("TASKCTL_REGION")
            .env_remove("TASKCTL_OUTPUT")
            // A project's own setting holds, however the tests themselves are built.
            .env_remove("CARGO_TARGET_DIR")
            .envs(environment.iter().copied());
        command
    }

    /// The Python that runs the emulator, with the packages that come with it.
    ///
    /// # Panics
    /// When the emulator does not run.
    pub fn emulator_python(&self) -> PathBuf {
        let status = self
            .run(&["local", "status", "--output", "json"], &repository())
            .expect(0);
        let status: Value = must(serde_json::from_str(&status.out));
        let parts = status["parts"].as_array().into_iter().flatten();
        let pid = parts
            .filter(|part| part["name"] == "emulator")
            .find_map(|part| part["pid"].as_u64());
        let Some(pid) = pid else {
            panic!("no emulator in {status}")
        };
        let line = must(std::fs::read_to_string(format!("/proc/{pid}/cmdline")));
        PathBuf::from(line.split('\0').next().unwrap_or_default())
    }

    /// Access key and secret of the operator of this target.
    pub fn credentials(&self) -> (String, String) {
        let options = LocalOptions::new(&self.root, &cache());
        match taskctl_local::credentials(&options, taskctl_local::DEFAULT_ACCOUNT, None) {
            Ok(key) => (key.access_key_id, key.secret_access_key),
            Err(error) => panic!("no credentials of the local target: {error}"),
        }
    }

    /// URL of the AWS endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // The next one starts after the end of this one: they have the same root.
        let shared = SHARED.lock();
        let another = shared.strong_count() > 0 && self.root == scratch().join("local");
        if !another {
            let _ = self.run(&["local", "down"], &repository());
        }
    }
}

/// A port that is free now, below those that the system gives to connections: nobody takes it while what listened on it starts
/// again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 900).unwrap_or_default() * 10;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The result of a call that has to succeed.
#[track_caller]
pub(crate) fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
