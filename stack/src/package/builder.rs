//! Which program builds for which architecture, and its command line. Pure.

use std::ffi::OsString;
use std::path::Path;

use crate::template::model::Architecture;

use super::elf::RUNTIME_GLIBC;
use super::{FunctionSource, PackageRequest};

/// Where functions will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// On Lambda's `provided.al2023`: what they need must be there.
    Lambda,
    /// On this machine: whatever it has is there.
    ThisMachine,
}

/// What this machine is, as far as it decides how to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPlatform {
    /// Linux of this architecture: it builds for itself.
    Linux(Architecture),
    /// Another system: everything is built across.
    Other,
}

impl HostPlatform {
    /// The platform this program was compiled for.
    pub const fn current() -> Self {
        if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) {
            Self::Linux(Architecture::X86_64)
        } else if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "aarch64")) {
            Self::Linux(Architecture::Arm64)
        } else {
            Self::Other
        }
    }
}

/// The program that builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// `cargo build`, for this machine's own architecture.
    Cargo,
    /// `cargo zigbuild`, which links against any glibc of any architecture.
    Zigbuild(Architecture),
}

impl Builder {
    /// The first builder to try.
    pub fn first(host: HostPlatform, architecture: Architecture) -> Self {
        match host {
            HostPlatform::Linux(own) if own == architecture => Self::Cargo,
            HostPlatform::Linux(_) | HostPlatform::Other => Self::Zigbuild(architecture),
        }
    }

    /// The arguments after `cargo`, for these functions of a request.
    pub fn arguments(self, request: &PackageRequest, functions: &[&FunctionSource]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = match self {
            Self::Cargo => vec!["build".into()],
            Self::Zigbuild(architecture) => {
                vec![
                    "zigbuild".into(),
                    "--target".into(),
                    format!("{}.{RUNTIME_GLIBC}", target(architecture)).into(),
                ]
            }
        };
        arguments.extend(["--package".into(), request.cargo_package.clone().into()]);
        arguments.extend(["--profile".into(), request.profile.clone().into()]);
        let mut binaries: Vec<&str> = functions.iter().map(|function| function.binary.as_str()).collect();
        binaries.sort_unstable();
        binaries.dedup();
        for binary in binaries {
            arguments.extend(["--bin".into(), binary.into()]);
        }
        if let Some(directory) = &request.target_dir {
            arguments.extend(["--target-dir".into(), directory.into()]);
        }
        if let Some(remap) = request.cargo_home.as_deref().and_then(remap) {
            arguments.extend(["--config".into(), remap.into()]);
        }
        arguments.extend(["--message-format".into(), "json".into()]);
        arguments
    }
}

/// Panic messages hold the paths of dependencies' sources, which lie in Cargo's home. This setting gives them a fixed
/// beginning. Cargo appends it to the user's own `build.rustflags`; where flags are set elsewhere (RUSTFLAGS,
/// `target.*.rustflags`) Cargo leaves it out, and nothing of the user's is lost.
fn remap(cargo_home: &Path) -> Option<String> {
    let home = cargo_home.to_str().filter(|home| !home.contains(['\'', '\n', '=']))?;
    Some(format!("build.rustflags=['--remap-path-prefix={home}=/cargo']"))
}

/// Rust's name for Lambda on an architecture.
pub const fn target(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Arm64 => "aarch64-unknown-linux-gnu",
        Architecture::X86_64 => "x86_64-unknown-linux-gnu",
    }
}

/// The command lines that install a builder, in order.
pub fn install_lines(missing: &[Missing]) -> Vec<String> {
    missing
        .iter()
        .map(|missing| match missing {
            Missing::Zigbuild => "cargo install --locked cargo-zigbuild".to_owned(),
            Missing::Zig => "pip install ziglang".to_owned(),
            Missing::Target(architecture) => format!("rustup target add {}", target(*architecture)),
        })
        .collect()
}

/// What a cross build lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `cargo-zigbuild`.
    Zigbuild,
    /// Zig itself.
    Zig,
    /// Rust's standard library for the architecture.
    Target(Architecture),
}

impl Missing {
    /// In words.
    pub fn describe(missing: &[Self]) -> String {
        let words: Vec<String> = missing
            .iter()
            .map(|missing| match missing {
                Self::Zigbuild => "cargo-zigbuild".to_owned(),
                Self::Zig => "zig".to_owned(),
                Self::Target(architecture) => format!("Rust's library for {}", target(*architecture)),
            })
            .collect();
        format!("missing: {}", words.join(", "))
    }
}
