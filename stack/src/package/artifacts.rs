//! Packages in a directory, with a manifest: made by `package --out`, deployed by `deploy --artifacts`, so that every
//! stage gets the very same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::template::model::Architecture;

use super::elf::Glibc;
use super::error::PackageError;
use super::{FunctionSource, Package, SourceVersion, archive, make_dir, write_whole};

/// Name of the manifest.
pub const MANIFEST: &str = "packages.json";

/// Version of the manifest's format.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    format: u32,
    source: Option<SourceVersion>,
    packages: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    file: String,
    bytes: u64,
    code_sha256: String,
    binary_sha256: String,
    architecture: Architecture,
    glibc: Option<Glibc>,
}

/// Writes packages and their manifest into a directory. Their paths afterwards are those in the directory.
pub fn write_artifacts(
    dir: &Path,
    packages: &[Package],
    source: Option<SourceVersion>,
) -> Result<Vec<Package>, PackageError> {
    make_dir(dir)?;
    let mut manifest = Manifest {
        format: FORMAT,
        source,
        packages: BTreeMap::new(),
    };
    let mut written = Vec::with_capacity(packages.len());
    for package in packages {
        let file = format!("{}.zip", package.function);
        let path = dir.join(&file);
        let zip = fs::read(&package.zip_path).map_err(|error| PackageError::io("reading", &package.zip_path, error))?;
        write_whole(&path, &zip)?;
        let entry = Entry {
            file,
            bytes: package.zip_bytes,
            code_sha256: package.code_sha256.clone(),
            binary_sha256: package.binary_sha256.clone(),
            architecture: package.architecture,
            glibc: package.glibc,
        };
        manifest.packages.insert(package.function.clone(), entry);
        written.push(Package {
            zip_path: path,
            ..package.clone()
        });
    }
    let path = dir.join(MANIFEST);
    let mut text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| PackageError::io("writing", &path, std::io::Error::other(error)))?;
    text.push(b'\n');
    write_whole(&path, &text)?;
    Ok(written)
}

/// Reads the packages of these functions from a directory and makes sure that each zip is what the manifest says.
pub fn read_artifacts(
    dir: &Path,
    functions: &[FunctionSource],
) -> Result<(Vec<Package>, Option<SourceVersion>), PackageError> {
    let path = dir.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => PackageError::NoArtifacts { dir: dir.to_owned() },
        _ => PackageError::io("reading", &path, error),
    })?;
    let bad = |reason: String| PackageError::BadArtifacts {
        path: path.clone(),
        reason,
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(bad(format!(
            "its format is {}, and this taskctl reads format {FORMAT}",
            manifest.format
        )));
    }
    let mut packages = Vec::with_capacity(functions.len());
    for source in functions {
        let Some(entry) = manifest.packages.get(&source.function) else {
            return Err(PackageError::ArtifactMissing {
                dir: dir.to_owned(),
                function: source.function.clone(),
                available: manifest.packages.keys().cloned().collect(),
            });
        };
        if Path::new(&entry.file)
            .file_name()
            .is_none_or(|name| name != entry.file.as_str())
        {
            return Err(bad(format!("`{}` is not the name of a file beside it", entry.file)));
        }
        if entry.architecture != source.architecture {
            return Err(PackageError::ArtifactArchitecture {
                dir: dir.to_owned(),
                function: source.function.clone(),
                found: entry.architecture,
                wanted: source.architecture,
            });
        }
        packages.push(verified(&dir.join(&entry.file), &source.function, entry)?);
    }
    Ok((packages, manifest.source))
}

fn verified(path: &Path, function: &str, entry: &Entry) -> Result<Package, PackageError> {
    let zip = fs::read(path).map_err(|error| PackageError::io("reading", path, error))?;
    let found = archive::code_sha256(&zip);
    if found != entry.code_sha256 {
        return Err(PackageError::ArtifactHash {
            path: path.to_owned(),
            expected: entry.code_sha256.clone(),
            found,
        });
    }
    Ok(Package {
        function: function.to_owned(),
        zip_path: path.to_owned(),
        zip_bytes: zip.len().try_into().unwrap_or(u64::MAX),
        code_sha256: found,
        binary_sha256: entry.binary_sha256.clone(),
        architecture: entry.architecture,
        glibc: entry.glibc,
    })
}
