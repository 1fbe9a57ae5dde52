//! What the background process leaves on disk for other processes: its identity, and why it failed to start.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::LocalError;
use crate::files;
use crate::options::{LocalOptions, Ports};

/// `daemon.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonRecord {
    /// Process id.
    pub pid: u32,
    /// Version of taskctl.
    pub version: String,
    /// Which build of it, so that a rebuilt taskctl replaces the old process.
    pub build: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// Port of the AWS endpoint.
    pub port: u16,
    /// Port of the websites.
    pub website_port: u16,
    /// First port for HTTP APIs.
    pub first_api_port: u16,
}

impl DaemonRecord {
    pub(crate) fn path(options: &LocalOptions) -> PathBuf {
        options.path("daemon.json")
    }

    /// Of this process.
    pub(crate) fn current(ports: &Ports) -> Self {
        Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build(),
            started: jiff::Timestamp::now().to_string(),
            port: ports.endpoint,
            website_port: ports.websites,
            first_api_port: ports.first_api,
        }
    }

    /// The record of the last background process of this root.
    pub(crate) fn read(options: &LocalOptions) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(options)).ok()?).ok()
    }

    /// Its ports.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            endpoint: self.port,
            websites: self.website_port,
            first_api: self.first_api_port,
        }
    }

    /// Whether a process with these options and of this build would be the same.
    pub(crate) fn serves(&self, options: &LocalOptions) -> bool {
        options.asked.are_met_by(&self.ports()) && self.build == build()
    }
}

/// Why the last start failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartFailure {
    /// What happened.
    pub reason: String,
    /// What to do.
    pub advice: Option<String>,
}

impl StartFailure {
    pub(crate) fn path(options: &LocalOptions) -> PathBuf {
        options.path("daemon-failure.json")
    }

    pub(crate) fn of(error: &LocalError) -> Self {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self {
            reason,
            advice: error.hint(),
        }
    }

    pub(crate) fn read(options: &LocalOptions) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(options)).ok()?).ok()
    }
}

/// Names the running build: the version, and when and how large the program was made.
fn build() -> String {
    let made = std::env::current_exe()
        .ok()
        .and_then(|program| program.metadata().ok())
        .map(|metadata| {
            let modified = metadata
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            format!("{:x}-{:x}", modified.unwrap_or_default().as_nanos(), metadata.len())
        });
    format!("{}+{}", env!("CARGO_PKG_VERSION"), made.unwrap_or_default())
}

/// The lock that the background process holds for life.
pub(crate) fn daemon_lock(options: &LocalOptions) -> PathBuf {
    options.path("daemon.lock")
}

/// Whether a background process holds its lock.
pub(crate) fn is_served(options: &LocalOptions) -> bool {
    let path = daemon_lock(options);
    path.exists() && matches!(files::try_lock(&path), Ok(None))
}
