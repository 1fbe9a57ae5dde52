//! What can go wrong when functions are built and packaged, with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::template::model::Architecture;

use super::elf::Glibc;

/// A failure to build or package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Cargo is not installed.
    #[error("cargo was not found ({})", cargo.display())]
    CargoMissing {
        /// What was looked for.
        cargo: PathBuf,
    },
    /// No Cargo project around.
    #[error("{} is not inside a Cargo project", dir.display())]
    NotAProject {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("cargo cannot read the project in {}", dir.display())]
    Manifest {
        /// Where.
        dir: PathBuf,
        /// What Cargo said.
        #[source]
        said: Said,
    },
    /// No package of the project has a binary.
    #[error("the Cargo project in {} has no binary; a function is one", workspace.display())]
    NoBinaries {
        /// Root of the workspace.
        workspace: PathBuf,
        /// Its packages.
        packages: Vec<String>,
    },
    /// No package of the project has the binary of a function.
    #[error("function {function} is made of the binary `{binary}`, which the Cargo project does not have")]
    BinaryMissing {
        /// Logical name of the function.
        function: String,
        /// The binary.
        binary: String,
        /// The binaries there are.
        available: Vec<NamedBinary>,
    },
    /// Several packages have it.
    #[error("the binary of function {function} is in several packages: {}", named(found))]
    BinaryAmbiguous {
        /// Logical name of the function.
        function: String,
        /// The binaries of that name.
        found: Vec<NamedBinary>,
    },
    /// The code does not compile. The rendered diagnostics were reported during the build.
    #[error("the functions do not compile")]
    Compile {
        /// The compiler's errors, as it renders them.
        #[source]
        said: Said,
        /// The directory the build ran in.
        dir: PathBuf,
        /// The command line to repeat it.
        command: String,
    },
    /// Cargo failed otherwise.
    #[error("cargo failed ({status})")]
    Cargo {
        /// How it ended.
        status: String,
        /// What it said.
        #[source]
        said: Said,
        /// The command line to repeat it.
        command: String,
    },
    /// The build was stopped.
    #[error("the build was stopped")]
    Interrupted,
    /// Nothing installed can build for the function's architecture.
    #[error("function {function} is for {}, which cannot be built here: {reason}", architecture_name(*architecture))]
    NoBuilder {
        /// Logical name of the function.
        function: String,
        /// Its architecture.
        architecture: Architecture,
        /// Why not.
        reason: String,
        /// The command lines that install what is missing.
        install: Vec<String>,
    },
    /// This machine cannot run functions of that architecture.
    #[error("function {function} is for {}, and this machine is {host}", architecture_name(*architecture))]
    CannotRunHere {
        /// Logical name of the function.
        function: String,
        /// Its architecture.
        architecture: Architecture,
        /// This machine's.
        host: String,
    },
    /// Lambda has the runtime, and this machine has not.
    #[error("function {function} runs on {runtime}, which only Lambda has")]
    RuntimeNotHere {
        /// Logical name of the function.
        function: String,
        /// Its runtime.
        runtime: String,
    },
    /// Code that is given cannot be used.
    #[error("the code of function {function}, {}, cannot be used: {reason}", path.display())]
    BadCode {
        /// Logical name of the function.
        function: String,
        /// The zip file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The executable wants a newer glibc than the runtime's.
    #[error(
        "the binary of function {function} needs glibc {needed}, and the Lambda runtime has {}",
        super::RUNTIME_GLIBC
    )]
    GlibcTooNew {
        /// Logical name of the function.
        function: String,
        /// What it needs.
        needed: Glibc,
        /// The command lines that install a builder for the older one.
        install: Vec<String>,
    },
    /// Not an executable that Lambda can start.
    #[error("the binary of function {function} ({}) cannot run on Lambda: {reason}", path.display())]
    NotRunnable {
        /// Logical name of the function.
        function: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Larger than Lambda takes.
    #[error("the package of function {function} has {bytes} bytes {what}, and Lambda takes {limit}")]
    TooLarge {
        /// Logical name of the function.
        function: String,
        /// `zipped` or `unzipped`.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A directory of artifacts has no manifest.
    #[error("{} has no {}", dir.display(), super::MANIFEST)]
    NoArtifacts {
        /// The directory.
        dir: PathBuf,
    },
    /// The manifest of a directory of artifacts is not one.
    #[error("{} is not a manifest of packages: {reason}", path.display())]
    BadArtifacts {
        /// The manifest.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The artifacts lack a function.
    #[error("{} has no package for function {function}", dir.display())]
    ArtifactMissing {
        /// The directory.
        dir: PathBuf,
        /// Logical name of the function.
        function: String,
        /// The functions it has.
        available: Vec<String>,
    },
    /// An artifact is for another architecture than the template says.
    #[error(
        "the package of function {function} in {} is for {}, and the template says {}",
        dir.display(), architecture_name(*found), architecture_name(*wanted)
    )]
    ArtifactArchitecture {
        /// The directory.
        dir: PathBuf,
        /// Logical name of the function.
        function: String,
        /// The package's.
        found: Architecture,
        /// The template's.
        wanted: Architecture,
    },
    /// A zip is not the one the manifest speaks of.
    #[error("{} has another hash than its manifest says (CodeSha256 {found}, not {expected})", path.display())]
    ArtifactHash {
        /// The zip.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What it has.
        found: String,
    },
    /// No space left.
    #[error("no space left on the disk of {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{operation} {} failed", path.display())]
    Io {
        /// What was done, e.g. `writing`.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A binary and the package that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBinary {
    /// Its name.
    pub name: String,
    /// The package.
    pub package: String,
}

/// What another program said, as it said it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    // One with a NUL byte is no path.
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), std::borrow::Cow::into_owned)
}

impl PackageError {
    /// A package that was made cannot be read any more.
    pub fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::io("reading", path, source)
    }

    /// Turns an I/O failure on `path` into an error; a full disk is its own.
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::Io {
                operation,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::CargoMissing { .. } => Some(
                "install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh\n\
                 or deploy what was packaged elsewhere: `taskctl deploy --artifacts DIR`"
                    .to_owned(),
            ),
            Self::NotAProject { .. } => Some(
                "run it inside the project, name the project with --handlers DIR, or deploy what was packaged \
                 elsewhere with --artifacts DIR; `taskctl init DIR` creates a whole project"
                    .to_owned(),
            ),
            Self::Manifest { .. } => Some("fix what cargo reports".to_owned()),
            Self::NoBinaries { packages, .. } => Some(format!(
                "write one as src/main.rs or src/bin/NAME.rs; a library alone ({}) is not run; or name another project with --handlers DIR",
                list(packages)
            )),
            Self::BinaryMissing { binary, available, .. } => {
                let names: Vec<String> = available.iter().map(|one| one.name.clone()).collect();
                Some(match nearest(binary, &names) {
                    Some(near) => format!("did you mean `{near}`? There are {}", named(available)),
                    None => format!("set `binary:` of the function to one of {}", named(available)),
                })
            }
            Self::BinaryAmbiguous { .. } => {
                Some("rename one of them, or set `handlers:` to the folder of the package that is meant".to_owned())
            }
            Self::Compile { dir, command, .. } => Some(format!(
                "fix the errors; to see only the build: (cd {} && {command})",
                quoted(dir)
            )),
            Self::Cargo { said, .. } if said.0.contains("profile `") && said.0.contains("is not defined") => {
                Some("add the profile to the workspace's Cargo.toml, or set `handlers: {profile: release}`".to_owned())
            }
            Self::Cargo { said, .. } if said.0.contains("--locked") => Some(
                "update Cargo.lock with `cargo update --workspace` and commit it, or build without --locked".to_owned(),
            ),
            Self::Cargo { command, .. } => Some(format!("to see only the build: {command}")),
            Self::Interrupted => None,
            Self::NoBuilder { install, .. } => Some(format!("install what is missing:\n{}", commands(install))),
            Self::CannotRunHere { .. } => {
                Some("set `architecture:` of the function to this machine's for the stage you run locally".to_owned())
            }
            Self::RuntimeNotHere { .. } => Some(
                "--local runs `provided` runtimes, whose code brings a program `bootstrap`; for others, deploy the stage to AWS"
                    .to_owned(),
            ),
            Self::BadCode { .. } => Some("`code:` names a zip file or a folder, relative to the template".to_owned()),
            Self::GlibcTooNew { install, .. } => Some(format!(
                "install what builds for the older one, and run it again:\n{}",
                commands(install)
            )),
            Self::NotRunnable { .. } => Some("the function must be a Linux program built by Cargo".to_owned()),
            Self::TooLarge { .. } => Some("take out dependencies, or build with `strip = true` and `lto`".to_owned()),
            Self::NoArtifacts { dir } => Some(format!("make it: `taskctl package --out {}`", quoted(dir))),
            Self::BadArtifacts { path, .. } => Some(format!(
                "make it again: `taskctl package --out {}`",
                quoted(path.parent().unwrap_or(Path::new(".")))
            )),
            Self::ArtifactMissing {
                dir,
                function,
                available,
            } => Some(match nearest(function, available) {
                Some(near) => format!("did you mean `{near}`? Packages are there for {}", list(available)),
                None => format!(
                    "make it again with this template: `taskctl package --out {}`",
                    quoted(dir)
                ),
            }),
            Self::ArtifactArchitecture { dir, .. } => Some(format!(
                "make it again with this template: `taskctl package --out {}`",
                quoted(dir)
            )),
            Self::ArtifactHash { path, .. } => Some(format!(
                "the file was changed or cut off on its way; fetch it again, or make it again: `taskctl package --out {}`",
                quoted(path.parent().unwrap_or(Path::new(".")))
            )),
            Self::DiskFull { .. } => {
                Some("free some space and run it again; `cargo clean` frees old builds".to_owned())
            }
            Self::Io { .. } => None,
        }
    }
}

/// An architecture as AWS and the template spell it.
pub(super) fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Arm64 => "arm64",
        Architecture::X86_64 => "x86_64",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Binaries by name, with their packages where there is more than one.
fn named(binaries: &[NamedBinary]) -> String {
    let is_one = binaries
        .iter()
        .all(|one| Some(&one.package) == binaries.first().map(|first| &first.package));
    let names = binaries.iter().map(|one| match is_one {
        true => one.name.clone(),
        false => format!("{} (package {})", one.name, one.package),
    });
    list(&names.collect::<Vec<_>>())
}

fn commands(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn nearest<'names>(wanted: &str, names: &'names [String]) -> Option<&'names String> {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
