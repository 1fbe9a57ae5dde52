//! Cargo, and the project that it is asked about.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;

use cargo_metadata::{Metadata, MetadataCommand};
use tokio::process::Command;

use super::error::{PackageError, Said};

/// What Cargo sets for the programs it runs, taskctl among them when started by `cargo run`. Build scripts that watch
/// these variables would otherwise run again each time.
/// <https://doc.rust-lang.org/cargo/reference/environment-variables.html#environment-variables-cargo-sets-for-crates>
const SET_BY_CARGO: [&str; 21] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// Cargo in a project.
#[derive(Debug, Clone)]
pub struct Cargo {
    /// The program.
    pub program: PathBuf,
    /// A directory inside the Cargo workspace.
    pub directory: PathBuf,
    /// Whether the project's own toolchain file counts before a toolchain that the environment names.
    pub own_toolchain: bool,
}

impl Cargo {
    /// A command of Cargo, with pipes.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.directory)
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for name in SET_BY_CARGO {
            command.env_remove(name);
        }
        if self.own_toolchain {
            command.env_remove("RUSTUP_TOOLCHAIN");
        }
        command
    }

    /// What Cargo says of the project: its packages, and with all that they depend on unless the arguments say `--no-deps`.
    pub async fn metadata(&self, arguments: &[&str]) -> Result<Metadata, PackageError> {
        let output = self
            .command()
            .args(["metadata", "--format-version", "1"])
            .args(arguments)
            .output()
            .await
            .map_err(|source| self.start_failure(source))?;
        let manifest = |said: String| PackageError::Manifest {
            dir: self.directory.clone(),
            said: Said(said),
        };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let said = errors_of(&text.lines().map(str::to_owned).collect::<Vec<_>>());
            return Err(if said.contains("could not find `Cargo.toml`") {
                PackageError::NotAProject {
                    dir: self.directory.clone(),
                }
            } else {
                manifest(said)
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        MetadataCommand::parse(text).map_err(|error| manifest(format!("cargo metadata: {error}")))
    }

    pub(super) fn start_failure(&self, source: std::io::Error) -> PackageError {
        match source.kind() {
            ErrorKind::NotFound if !self.directory.is_dir() => PackageError::NotAProject {
                dir: self.directory.clone(),
            },
            ErrorKind::NotFound => PackageError::CargoMissing {
                cargo: self.program.clone(),
            },
            _ => PackageError::io("starting", &self.program, source),
        }
    }
}

/// Cargo's own errors among its lines: from the first that says `error` on.
pub(super) fn errors_of(lines: &[String]) -> String {
    let first = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
    lines[first..].join("\n").trim().to_owned()
}
