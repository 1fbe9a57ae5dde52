//! Which program builds for which architecture, and its command line. Pure.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use crate::template::model::Architecture;

use super::PackageRequest;
use super::elf::RUNTIME_GLIBC;
use super::project::Binary;

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
    /// Linux of this architecture, with glibc or musl: what it builds for itself runs on Lambda, too, unless its headers say otherwise.
    Linux(Architecture),
    /// macOS of this architecture: it builds for itself what runs here, and across what runs on Lambda.
    Mac(Architecture),
    /// Another system: everything is built across.
    Other,
}

impl HostPlatform {
    /// The platform this program runs on. Which C library it is itself linked with says nothing about the functions': they are built by
    /// the Cargo of the machine.
    pub fn current() -> Self {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// By Rust's names of system and architecture.
    pub fn of(system: &str, architecture: &str) -> Self {
        let architecture = match architecture {
            "x86_64" => Architecture::X86_64,
            "aarch64" => Architecture::Arm64,
            _ => return Self::Other,
        };
        match system {
            "linux" => Self::Linux(architecture),
            "macos" => Self::Mac(architecture),
            _ => Self::Other,
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
    pub fn first(host: HostPlatform, destination: Destination, architecture: Architecture) -> Self {
        match (host, destination) {
            (HostPlatform::Linux(own), _) | (HostPlatform::Mac(own), Destination::ThisMachine)
                if own == architecture =>
            {
                Self::Cargo
            }
            (HostPlatform::Linux(_) | HostPlatform::Mac(_) | HostPlatform::Other, _) => Self::Zigbuild(architecture),
        }
    }

    /// The arguments after `cargo`, for these binaries of a request.
    pub fn arguments(self, request: &PackageRequest, binaries: &[&Binary], remap: Option<&str>) -> Vec<OsString> {
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
        let each = |option: &'static str, values: BTreeSet<String>| {
            values
                .into_iter()
                .flat_map(move |value| [option.into(), OsString::from(value)])
        };
        let of_all = |value: fn(&&Binary) -> String| binaries.iter().map(value).collect();
        arguments.extend(each("--package", of_all(|binary| binary.package.clone())));
        arguments.extend(["--profile".into(), request.profile.clone().into()]);
        arguments.extend(each("--bin", of_all(|binary| binary.name.clone())));
        let required = binaries.iter().flat_map(|binary| {
            let qualified = |feature: &String| format!("{}/{feature}", binary.package);
            binary.required_features.iter().map(qualified)
        });
        arguments.extend(each(
            "--features",
            request.features.iter().cloned().chain(required).collect(),
        ));
        arguments.extend(request.arguments.iter().map(OsString::from));
        if let Some(directory) = &request.target_dir {
            arguments.extend(["--target-dir".into(), directory.into()]);
        }
        if let Some(remap) = remap {
            arguments.extend(["--config".into(), remap.into()]);
        }
        arguments.extend(["--message-format".into(), "json".into()]);
        arguments
    }
}

/// Panic messages hold the paths of dependencies' sources, which lie in Cargo's home. This setting gives them a fixed
/// beginning. Cargo appends it to the user's own `build.rustflags`; where flags are set elsewhere (RUSTFLAGS,
/// `target.*.rustflags`) Cargo leaves it out, and nothing of the user's is lost.
pub fn remap(cargo_home: &Path) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_builds_for_itself_what_runs_there() {
        use Architecture::{Arm64, X86_64};
        use Destination::{Lambda, ThisMachine};
        let check = |system: &str, machine: &str, destination, architecture, expected: Builder| {
            let host = HostPlatform::of(system, machine);
            let found = Builder::first(host, destination, architecture);
            assert_eq!(found, expected, "{system} {machine} {destination:?} {architecture:?}");
        };
        for destination in [Lambda, ThisMachine] {
            check("linux", "x86_64", destination, X86_64, Builder::Cargo);
            check("linux", "aarch64", destination, Arm64, Builder::Cargo);
            check("linux", "x86_64", destination, Arm64, Builder::Zigbuild(Arm64));
            check("macos", "aarch64", destination, X86_64, Builder::Zigbuild(X86_64));
            check("freebsd", "x86_64", destination, X86_64, Builder::Zigbuild(X86_64));
            check("linux", "riscv64", destination, Arm64, Builder::Zigbuild(Arm64));
        }
        check("macos", "aarch64", ThisMachine, Arm64, Builder::Cargo);
        check("macos", "x86_64", ThisMachine, X86_64, Builder::Cargo);
        check("macos", "aarch64", Lambda, Arm64, Builder::Zigbuild(Arm64));
    }
}
