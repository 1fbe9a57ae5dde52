//! Where the local target lives and which ports it takes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::LocalError;
use crate::files;
pub use crate::hosts::DEFAULT_WEBSITE_PORT;

/// Default port of the AWS endpoint.
pub const DEFAULT_PORT: u16 = 4580;
/// Default first port of HTTP APIs.
pub const DEFAULT_FIRST_API_PORT: u16 = 4600;

/// Settings of one local target. Two targets with different roots and ports do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalOptions {
    /// Directory of everything that is kept. Absolute.
    #[serde(skip)]
    pub root: PathBuf,
    /// Port of the AWS endpoint.
    pub port: u16,
    /// Port of the websites.
    pub website_port: u16,
    /// First port for HTTP APIs; each API takes the next free one and keeps it.
    pub first_api_port: u16,
    /// Python to make the virtual environment with; none looks on PATH. Never read from the disk: it is run.
    #[serde(skip)]
    pub python: Option<PathBuf>,
    /// Where the emulator is installed; several roots may share one. Default `ROOT/venv`. Never read from the disk: it is run.
    #[serde(skip)]
    pub venv: PathBuf,
}

impl LocalOptions {
    /// The default settings for a root. A relative root is taken from the current directory.
    pub fn new(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self {
            venv: root.join("venv"),
            root,
            port: DEFAULT_PORT,
            website_port: DEFAULT_WEBSITE_PORT,
            first_api_port: DEFAULT_FIRST_API_PORT,
            python: None,
        }
    }

    /// The ports that the last `up` of this root was given, or the defaults. Which programs are run is no setting that is kept.
    pub fn load(root: &Path) -> Self {
        let defaults = Self::new(root);
        let stored = fs::read(defaults.path("options.json")).ok();
        match stored.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok()) {
            Some(stored) => Self {
                root: defaults.root,
                venv: defaults.venv,
                ..stored
            },
            None => defaults,
        }
    }

    /// Keeps the settings for the background process.
    pub(crate) fn store(&self) -> Result<(), LocalError> {
        files::write_json(&self.path("options.json"), self)
    }

    /// A path under the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// URL of the AWS endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// How the background process is started. The program must end up in [`crate::serve`] with
/// [`LocalOptions::load`] of the same root.
#[derive(Debug, Clone)]
pub struct DaemonCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl DaemonCommand {
    /// The program that is running, with `local serve --root ROOT`.
    pub fn current(options: &LocalOptions) -> Result<Self, LocalError> {
        let program = std::env::current_exe()
            .map_err(|source| LocalError::io("finding the running program", Path::new("taskctl"), source))?;
        let arguments = vec![
            "local".into(),
            "serve".into(),
            "--root".into(),
            options.root.clone().into(),
        ];
        Ok(Self { program, arguments })
    }
}
