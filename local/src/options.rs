//! Where the local target lives and which ports it takes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::LocalError;
use crate::files;
pub use crate::hosts::DEFAULT_WEBSITE_PORT;

/// The AWS endpoint's port, where nobody else has it.
pub const DEFAULT_PORT: u16 = 4580;
/// The first port of HTTP APIs, where no other local target has it.
pub const DEFAULT_FIRST_API_PORT: u16 = 4600;

/// Ports of a local target, on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ports {
    /// The AWS endpoint.
    #[serde(alias = "port")]
    pub endpoint: u16,
    /// The web sites.
    #[serde(alias = "website_port")]
    pub websites: u16,
    /// The first one for HTTP APIs; each API takes the next free one and keeps it.
    #[serde(alias = "first_api_port")]
    pub first_api: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            endpoint: DEFAULT_PORT,
            websites: DEFAULT_WEBSITE_PORT,
            first_api: DEFAULT_FIRST_API_PORT,
        }
    }
}

impl Ports {
    /// URL of the AWS endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.endpoint)
    }
}

/// Ports that are asked for, and taken or else refused. Others are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedPorts {
    /// The AWS endpoint.
    pub endpoint: Option<u16>,
    /// The web sites.
    pub websites: Option<u16>,
    /// The first one for HTTP APIs.
    pub first_api: Option<u16>,
}

impl AskedPorts {
    /// Whether these ports are those that are asked for.
    pub(crate) fn are_met_by(&self, ports: &Ports) -> bool {
        let is_met = |asked: Option<u16>, port| asked.is_none_or(|asked| asked == port);
        is_met(self.endpoint, ports.endpoint)
            && is_met(self.websites, ports.websites)
            && is_met(self.first_api, ports.first_api)
    }
}

/// Settings of one local target. Two targets with different roots do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOptions {
    /// Directory of everything that is kept. Absolute.
    pub root: PathBuf,
    /// Directory of what all local targets of the user share: the installed emulator, and a list of them. Absolute.
    pub cache: PathBuf,
    /// Ports that must be these.
    pub asked: AskedPorts,
    /// Python to make the virtual environment with; none looks on PATH. Never read from the disk: it is run.
    pub python: Option<PathBuf>,
    /// How long functions are `Pending` after they were made, and `InProgress` after a change, in milliseconds. AWS takes
    /// seconds; here it is none, unless the operator or a test wants to live through it.
    pub settling_ms: u64,
}

impl LocalOptions {
    /// The settings for a root, with whichever ports are free. Relative paths are taken from the current directory.
    pub fn new(root: &Path, cache: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            root: absolute(root),
            cache: absolute(cache),
            asked: AskedPorts::default(),
            python: None,
            settling_ms: 0,
        }
    }

    /// The ports as far as they are known: those that are asked for, else the last ones, else the defaults. The local target
    /// has them once it runs; before that others may have taken them.
    pub fn ports(&self) -> Ports {
        let last = self.last_ports().unwrap_or_default();
        Ports {
            endpoint: self.asked.endpoint.unwrap_or(last.endpoint),
            websites: self.asked.websites.unwrap_or(last.websites),
            first_api: self.asked.first_api.unwrap_or(last.first_api),
        }
    }

    /// The ports that this root had last.
    pub(crate) fn last_ports(&self) -> Option<Ports> {
        serde_json::from_slice(&fs::read(self.path("options.json")).ok()?).ok()
    }

    /// Keeps the ports for the next start.
    pub(crate) fn keep_ports(&self, ports: &Ports) -> Result<(), LocalError> {
        files::write_json(&self.path("options.json"), ports)
    }

    /// A path under the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// How the background process is started. The program must end up in [`crate::serve`] with the last of its arguments, a
/// [`ServeSettings`] in JSON, which [`crate::up`] adds.
#[derive(Debug, Clone)]
pub struct DaemonCommand {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

impl DaemonCommand {
    /// The program that is running, with `local serve`.
    pub fn current() -> Result<Self, LocalError> {
        let program = std::env::current_exe()
            .map_err(|source| LocalError::io("finding the running program", Path::new("taskctl"), source))?;
        Ok(Self {
            program,
            arguments: vec!["local".into(), "serve".into()],
        })
    }
}

/// What the background process is told. By its arguments, not by a file: it says which program is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServeSettings {
    pub(crate) root: PathBuf,
    pub(crate) cache: PathBuf,
    /// The installed emulator.
    pub(crate) venv: PathBuf,
    pub(crate) asked: AskedPorts,
    #[serde(default)]
    pub(crate) settling_ms: u64,
}

impl ServeSettings {
    pub(crate) fn options(&self) -> LocalOptions {
        LocalOptions {
            asked: self.asked,
            settling_ms: self.settling_ms,
            ..LocalOptions::new(&self.root, &self.cache)
        }
    }
}

impl std::str::FromStr for ServeSettings {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    #[test]
    fn ports_are_those_asked_for_else_the_last_ones() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = LocalOptions::new(directory.path(), directory.path());
        assert_eq!(options.ports(), Ports::default());
        // As versions wrote it that knew one local target only.
        let former = r#"{"port": 5000, "website_port": 5001, "first_api_port": 5002}"#;
        fs::write(options.path("options.json"), former).unwrap();
        let last = Ports {
            endpoint: 5000,
            websites: 5001,
            first_api: 5002,
        };
        assert_eq!(options.ports(), last);
        options.asked.websites = Some(6001);
        let expected = Ports { websites: 6001, ..last };
        assert_eq!(options.ports(), expected);
        options.keep_ports(&expected).unwrap();
        assert_eq!(options.last_ports(), Some(expected));
    }
}
