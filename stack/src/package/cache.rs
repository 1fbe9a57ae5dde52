//! From an executable to its zip, once: what has been read, checked and zipped is remembered by the file's identity,
//! so that a run in which nothing was built reads no executable.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::template::model::Architecture;

use super::archive::{self, Effort, UNZIPPED_LIMIT};
use super::build::Built;
use super::builder::Destination;
use super::elf::{self, Glibc, RUNTIME_GLIBC};
use super::error::{PackageError, architecture_name};
use super::{Package, make_dir, write_whole};

/// Zips of earlier builds kept beside the newest, per function: another run may be reading one.
const KEPT_ZIPS: usize = 4;

/// A package, with what its maker noticed.
#[derive(Debug)]
pub struct Packed {
    /// The package.
    pub package: Package,
    /// Libraries that Lambda's runtime may lack.
    pub unknown_libraries: Vec<String>,
}

/// What is remembered of an executable, in `FUNCTION.json` beside the zip.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    format: u32,
    effort: Effort,
    executable: PathBuf,
    bytes: u64,
    modified_nanos: u128,
    binary_sha256: String,
    architecture: Architecture,
    interpreter: Option<String>,
    glibc: Option<Glibc>,
    unknown_libraries: Vec<String>,
    zip: String,
    zip_bytes: u64,
    code_sha256: String,
}

/// Checks an executable and makes its zip, or finds it made.
pub fn pack(built: &Built, out_dir: &Path, destination: Destination) -> Result<Packed, PackageError> {
    make_dir(out_dir)?;
    let function = &built.source.function;
    let reading = |source| PackageError::io("reading", &built.path, source);
    let metadata = fs::metadata(&built.path).map_err(reading)?;
    let modified_nanos = metadata.modified().map_err(reading).map(nanos)?;
    let effort = match destination {
        Destination::Lambda => Effort::Small,
        Destination::ThisMachine => Effort::Quick,
    };
    let known = recall(out_dir, function).filter(|record| {
        record.effort == effort
            && record.executable == built.path
            && record.bytes == metadata.len()
            && record.modified_nanos == modified_nanos
    });
    let record = match known {
        Some(record) => record,
        None => {
            if metadata.len() > UNZIPPED_LIMIT {
                return Err(PackageError::TooLarge {
                    function: function.clone(),
                    what: "unzipped",
                    bytes: metadata.len(),
                    limit: UNZIPPED_LIMIT,
                });
            }
            let record = make(built, out_dir, (metadata.len(), modified_nanos), effort)?;
            remember(out_dir, function, &record)?;
            record
        }
    };
    check(built, &record, destination)?;
    Ok(Packed {
        package: Package {
            function: function.clone(),
            zip_path: out_dir.join(&record.zip),
            zip_bytes: record.zip_bytes,
            code_sha256: record.code_sha256,
            binary_sha256: record.binary_sha256,
            architecture: record.architecture,
            glibc: record.glibc,
        },
        unknown_libraries: match destination {
            Destination::Lambda => record.unknown_libraries,
            Destination::ThisMachine => Vec::new(),
        },
    })
}

/// Whether it can run where it will.
fn check(built: &Built, record: &Record, destination: Destination) -> Result<(), PackageError> {
    let function = &built.source.function;
    let refuse = |reason| PackageError::NotRunnable {
        function: function.clone(),
        path: built.path.clone(),
        reason,
    };
    if record.architecture != built.source.architecture {
        return Err(refuse(format!(
            "it is for {}, and the function is for {}",
            architecture_name(record.architecture),
            architecture_name(built.source.architecture)
        )));
    }
    if destination == Destination::ThisMachine {
        return Ok(());
    }
    elf::check_interpreter(record.architecture, record.interpreter.as_deref()).map_err(refuse)?;
    match record.glibc {
        Some(needed) if needed > RUNTIME_GLIBC => Err(PackageError::GlibcTooNew {
            function: function.clone(),
            needed,
            install: Vec::new(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn make(
    built: &Built,
    out_dir: &Path,
    (bytes, modified_nanos): (u64, u128),
    effort: Effort,
) -> Result<Record, PackageError> {
    let function = &built.source.function;
    let executable = fs::read(&built.path).map_err(|source| PackageError::io("reading", &built.path, source))?;
    let facts = elf::inspect(&executable).map_err(|reason| PackageError::NotRunnable {
        function: function.clone(),
        path: built.path.clone(),
        reason,
    })?;
    let binary_sha256 = sha256(&executable);
    let hash = binary_sha256.get(..16).unwrap_or(&binary_sha256);
    let name = match effort {
        Effort::Small => format!("{function}-{hash}.zip"),
        Effort::Quick => format!("{function}-{hash}-quick.zip"),
    };
    let path = out_dir.join(&name);
    let zip = archive::zip(&executable, effort)
        .map_err(|error| PackageError::io("zipping", &built.path, std::io::Error::other(error)))?;
    write_whole(&path, &zip)?;
    forget_old(out_dir, function, &name);
    Ok(Record {
        format: archive::FORMAT,
        effort,
        executable: built.path.clone(),
        bytes,
        modified_nanos,
        binary_sha256,
        architecture: facts.architecture,
        interpreter: facts.interpreter,
        glibc: facts.glibc,
        unknown_libraries: facts.unknown_libraries,
        zip_bytes: zip.len().try_into().unwrap_or(u64::MAX),
        code_sha256: archive::code_sha256(&zip),
        zip: name,
    })
}

/// The record of a function whose zip is still there, whole.
fn recall(out_dir: &Path, function: &str) -> Option<Record> {
    let bytes = fs::read(record_path(out_dir, function)).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    let zip = fs::metadata(out_dir.join(&record.zip)).ok()?;
    (record.format == archive::FORMAT && zip.len() == record.zip_bytes).then_some(record)
}

fn remember(out_dir: &Path, function: &str, record: &Record) -> Result<(), PackageError> {
    let path = record_path(out_dir, function);
    let text = serde_json::to_vec_pretty(record)
        .map_err(|error| PackageError::io("writing", &path, std::io::Error::other(error)))?;
    write_whole(&path, &text)
}

fn record_path(out_dir: &Path, function: &str) -> PathBuf {
    out_dir.join(format!("{function}.json"))
}

/// Removes the oldest zips of a function. A failure leaves a file too many and is nothing to stop for.
fn forget_old(out_dir: &Path, function: &str, newest: &str) {
    let prefix = format!("{function}-");
    let is_old_zip = |name: &str| {
        let hash = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".zip"));
        let hash = hash.map(|hash| hash.strip_suffix("-quick").unwrap_or(hash));
        name != newest && hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut old: Vec<(SystemTime, PathBuf)> = fs::read_dir(out_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_old_zip))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(KEPT_ZIPS);
    for (_, path) in old.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}
