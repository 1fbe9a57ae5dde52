//! Packages of the functions: `cargo build` → checked executable → reproducible zip.
//!
//! Each built function's package is a zip with one file, `bootstrap`; code that is given is zipped as it is. The same executable always gives the same bytes, so
//! `CodeSha256` alone decides whether code has changed. What is not here: the upload (that is the function's kind) and
//! the choice of which functions a stack has (the template).

mod archive;
mod artifacts;
mod build;
mod builder;
mod cache;
mod cargo;
mod cargo_lambda;
mod elf;
mod error;
mod given;
mod messages;
mod project;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Events, millis};
use crate::template::model::{Architecture, FunctionCode, Stack};

use build::Built;
use builder::Builder;
use cache::Packed;

pub use archive::{DIRECT_UPLOAD_LIMIT, UNZIPPED_LIMIT};
pub use artifacts::{MANIFEST, read_artifacts, write_artifacts};
pub use builder::{Destination, HostPlatform};
pub use cargo::Cargo;
pub use cargo_lambda::{FoundFunction, FoundFunctions};
pub use elf::{Glibc, RUNTIME_GLIBC};
pub use error::PackageError;
pub use source::{SourceVersion, source_version};

/// What is to be packaged, from what, and where to.
#[derive(Debug, Clone)]
pub struct PackageRequest {
    /// The functions.
    pub functions: Vec<FunctionSource>,
    /// Where they will run.
    pub destination: Destination,
    /// The Cargo profile.
    pub profile: String,
    /// The template's directory, from which code that is not built here is named.
    pub template_dir: PathBuf,
    /// Features that are switched on, beside those that a binary requires.
    pub features: Vec<String>,
    /// Further arguments of `cargo build`.
    pub arguments: Vec<String>,
    /// Cargo's target directory; none leaves it to Cargo.
    pub target_dir: Option<PathBuf>,
    /// Where zips are kept. Made when missing.
    pub out_dir: PathBuf,
    /// Cargo, and the project that has their binaries.
    pub cargo: Cargo,
    /// Cargo's home, whose path must not end up in an executable; none leaves such paths alone.
    pub cargo_home: Option<PathBuf>,
}

impl PackageRequest {
    /// The same for the functions that are built.
    fn to_build(&self) -> Self {
        let mut request = self.clone();
        request.functions.retain(|source| source.code.is_none());
        request
    }
}

/// A function and the executable it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSource {
    /// Logical name of the function.
    pub function: String,
    /// Binary target of one of the project's packages.
    pub binary: String,
    /// CPU architecture of the function.
    pub architecture: Architecture,
    /// Code that is not built here, instead of the binary.
    pub code: Option<FunctionCode>,
}

/// The functions of a stack and what they are made of.
pub fn functions_of(stack: &Stack) -> Vec<FunctionSource> {
    stack
        .functions
        .iter()
        .map(|(name, function)| FunctionSource {
            function: name.clone(),
            binary: function.binary.clone(),
            architecture: function.architecture,
            code: function.code.clone(),
        })
        .collect()
}

/// A function's package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Logical name of the function.
    pub function: String,
    /// The zip.
    pub zip_path: PathBuf,
    /// Its size, bytes.
    pub zip_bytes: u64,
    /// base64 of the zip's SHA-256, the form of AWS's `CodeSha256`.
    pub code_sha256: String,
    /// SHA-256 of the executable, lower-case hex.
    pub binary_sha256: String,
    /// CPU architecture.
    pub architecture: Architecture,
    /// The newest glibc that the executable asks for; none when it is statically linked.
    pub glibc: Option<Glibc>,
}

impl Package {
    /// Whether the zip is small enough to be sent in the call itself; else it goes through a bucket.
    pub fn fits_direct_upload(&self) -> bool {
        self.zip_bytes <= DIRECT_UPLOAD_LIMIT
    }
}

/// Builds the functions and packages them, in the order of the request. Those whose code is given are only packaged.
pub async fn package(request: &PackageRequest, events: &Events) -> Result<Vec<Package>, PackageError> {
    let mut packages = given::pack_all(request, events).await?;
    packages.extend(package_built(&request.to_build(), events).await?);
    let place = |package: &Package| {
        let mut functions = request.functions.iter();
        functions.position(|source| source.function == package.function)
    };
    packages.sort_by_key(place);
    Ok(packages)
}

async fn package_built(request: &PackageRequest, events: &Events) -> Result<Vec<Package>, PackageError> {
    if request.functions.is_empty() {
        return Ok(Vec::new());
    }
    let began = Instant::now();
    let built = build::build(request, events).await?;
    events.emit(Event::BuildFinished {
        millis: millis(began.elapsed()),
    });
    let mut packages = Vec::with_capacity(built.len());
    for (executable, packed) in built.iter().zip(pack_all(&built, request).await?) {
        let packed = match packed {
            Err(PackageError::GlibcTooNew { function, needed, .. }) if executable.builder == Builder::Cargo => {
                older_glibc(executable, function, needed, request, events).await?
            }
            other => other?,
        };
        for library in &packed.unknown_libraries {
            let function = &packed.package.function;
            events.emit(Event::Warning {
                message: format!("function {function} needs {library}, which the Lambda runtime may not have"),
            });
        }
        events.emit(Event::Packaged {
            function: packed.package.function.clone(),
            zip_bytes: packed.package.zip_bytes,
            code_sha256: packed.package.code_sha256.clone(),
        });
        packages.push(packed.package);
    }
    Ok(packages)
}

/// Whether functions can run where they are to run: only Lambda has its managed runtimes.
///
/// # Errors
/// Of the first one that cannot.
pub fn check_runtimes(functions: &[FunctionSource], destination: Destination) -> Result<(), PackageError> {
    if destination == Destination::Lambda {
        return Ok(());
    }
    let given = functions
        .iter()
        .filter_map(|source| Some((source, source.code.as_ref()?)));
    match given.into_iter().find(|(_, code)| !code.brings_runtime()) {
        Some((source, code)) => Err(PackageError::RuntimeNotHere {
            function: source.function.clone(),
            runtime: code.runtime.clone(),
        }),
        None => Ok(()),
    }
}

/// Whether these functions could be built here: the project is there, has their binaries, and what builds for their
/// architectures is installed. Nothing is built. Gives the names of the packages that have the binaries.
pub async fn preflight(request: &PackageRequest) -> Result<Vec<String>, PackageError> {
    given::check_all(request)?;
    let request = &request.to_build();
    if request.functions.is_empty() {
        return Ok(Vec::new());
    }
    let project = project::Project::of(request).await?;
    build::check_builders(request).await?;
    let packages: BTreeSet<String> = project.binaries.into_iter().map(|binary| binary.package).collect();
    Ok(packages.into_iter().collect())
}

/// Packs side by side.
async fn pack_all(
    built: &[Built],
    request: &PackageRequest,
) -> Result<Vec<Result<Packed, PackageError>>, PackageError> {
    let tasks: Vec<_> = built
        .iter()
        .cloned()
        .map(|executable| {
            let (out_dir, destination) = (request.out_dir.clone(), request.destination);
            tokio::task::spawn_blocking(move || cache::pack(&executable, &out_dir, destination))
        })
        .collect();
    let mut packed = Vec::with_capacity(tasks.len());
    for task in tasks {
        let result = task.await;
        packed.push(
            result.map_err(|failed| PackageError::io("packaging", &request.out_dir, std::io::Error::other(failed)))?,
        );
    }
    Ok(packed)
}

/// Builds a function once more, against the runtime's glibc.
async fn older_glibc(
    executable: &Built,
    function: String,
    needed: Glibc,
    request: &PackageRequest,
    events: &Events,
) -> Result<Packed, PackageError> {
    let architecture = executable.source.architecture;
    let missing = build::missing(request, architecture).await;
    if !missing.is_empty() {
        return Err(PackageError::GlibcTooNew {
            function,
            needed,
            install: builder::install_lines(&missing),
        });
    }
    let again = [(&executable.source, &executable.binary)];
    let remap = executable.remap.as_deref();
    let built = build::run(request, Builder::Zigbuild(architecture), &again, remap, events).await?;
    match pack_all(&built, request).await?.pop() {
        Some(packed) => packed,
        None => Err(PackageError::GlibcTooNew {
            function,
            needed,
            install: Vec::new(),
        }),
    }
}

/// Makes a directory and those above it.
fn make_dir(path: &Path) -> Result<(), PackageError> {
    std::fs::create_dir_all(path).map_err(|source| PackageError::io("making", path, source))
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    use std::io::Write as _;

    let directory = path.parent().unwrap_or(Path::new("."));
    let failed = |source| PackageError::io("writing", path, source);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path)
        .map_err(|error| PackageError::io("writing", path, error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
