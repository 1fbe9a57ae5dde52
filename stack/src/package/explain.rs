//! Why a build failed although nothing failed to compile: Cargo is asked what the project has, and the answer becomes
//! an error that says what to change.

use std::path::PathBuf;
use std::process::ExitStatus;

use serde::Deserialize;

use super::build;
use super::error::{PackageError, Said};
use super::{FunctionSource, PackageRequest};

/// The part of `cargo metadata` that is of use here.
/// <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html>
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<CargoPackage>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct CargoPackage {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Why Cargo ended without success.
pub async fn failure(request: &PackageRequest, status: ExitStatus, said: String, command: String) -> PackageError {
    match check_project(request).await {
        Err(error) => error,
        Ok(()) => PackageError::Cargo {
            status: status.to_string(),
            said: Said(said),
            command,
        },
    }
}

/// Whether the project is there and has the package and the binaries.
pub async fn check_project(request: &PackageRequest) -> Result<(), PackageError> {
    let metadata = metadata(request).await?;
    let Some(package) = metadata
        .packages
        .iter()
        .find(|package| package.name == request.cargo_package)
    else {
        return Err(PackageError::PackageMissing {
            package: request.cargo_package.clone(),
            workspace: metadata.workspace_root,
            available: metadata.packages.into_iter().map(|package| package.name).collect(),
        });
    };
    let binaries = binaries(package);
    match request
        .functions
        .iter()
        .find(|source| !binaries.contains(&source.binary))
    {
        Some(source) => Err(PackageError::BinaryMissing {
            function: source.function.clone(),
            binary: source.binary.clone(),
            package: package.name.clone(),
            available: binaries,
        }),
        None => Ok(()),
    }
}

/// A build that succeeded without an executable that was asked for.
pub async fn missing_binary(request: &PackageRequest, source: &FunctionSource) -> PackageError {
    let available = match metadata(request).await {
        Ok(metadata) => {
            let package = metadata
                .packages
                .iter()
                .find(|package| package.name == request.cargo_package);
            package.map(binaries).unwrap_or_default()
        }
        Err(error) => return error,
    };
    PackageError::BinaryMissing {
        function: source.function.clone(),
        binary: source.binary.clone(),
        package: request.cargo_package.clone(),
        available,
    }
}

/// Cargo's own errors among its lines: from the first that says `error` on.
pub fn errors_of(lines: &[String]) -> String {
    let first = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
    lines[first..].join("\n").trim().to_owned()
}

async fn metadata(request: &PackageRequest) -> Result<Metadata, PackageError> {
    let output = build::cargo(request)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .await
        .map_err(|source| build::start_failure(request, source))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let said = errors_of(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        return Err(if said.contains("could not find `Cargo.toml`") {
            PackageError::NotAProject {
                dir: request.manifest_dir.clone(),
            }
        } else {
            PackageError::Manifest {
                dir: request.manifest_dir.clone(),
                said: Said(said),
            }
        });
    }
    serde_json::from_slice(&output.stdout).map_err(|error| PackageError::Manifest {
        dir: request.manifest_dir.clone(),
        said: Said(format!("cargo metadata: {error}")),
    })
}

fn binaries(package: &CargoPackage) -> Vec<String> {
    let of_kind_bin = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
    package
        .targets
        .iter()
        .filter(of_kind_bin)
        .map(|target| target.name.clone())
        .collect()
}
