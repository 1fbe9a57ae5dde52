//! Packs the projects that `taskctl init` writes: the source of the functions, their manifests and lock files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use miniz_oxide::deflate::compress_to_vec;

/// A file of a project: its path there, and its text.
type File = (String, String);

/// The best that the format can do: it is packed once and read rarely.
const LEVEL: u8 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let repository = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (name, files) in [("hello", hello(&repository)?), ("functions", functions(&repository)?)] {
        fs::write(out.join(name), compress_to_vec(&joined(&files), LEVEL))?;
    }
    Ok(())
}

/// Each file's path and length in a line, then its text.
fn joined(files: &[File]) -> Vec<u8> {
    let file = |(path, text): &File| format!("{path}\n{}\n{text}", text.len());
    files.iter().map(file).collect::<String>().into_bytes()
}

/// One package with one function.
fn hello(repository: &Path) -> Result<Vec<File>, Box<dyn Error>> {
    project(repository, "templates/hello")
}

/// A workspace with the shipped functions.
fn functions(repository: &Path) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = project(repository, "templates/functions")?;
    for (folder, prefix) in [("handlers", "functions/"), ("lambda", "lambda/")] {
        for (path, text) in folder_files(&repository.join(folder), prefix)? {
            files.push((path, own_names(&text)));
        }
    }
    files.push((
        "docs/openapi.yaml".to_owned(),
        read(&repository.join("docs/openapi.yaml"))?,
    ));
    Ok(files)
}

/// The files of a folder as a project of its own: its manifest gets the profiles, which in this repository are the workspace's.
fn project(repository: &Path, folder: &str) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = folder_files(&repository.join(folder), "")?;
    let profiles = read(&repository.join("templates/profiles.toml"))?;
    for (_, manifest) in files.iter_mut().filter(|(path, _)| path == "Cargo.toml") {
        *manifest = format!("{}\n{profiles}", own_names(manifest));
    }
    Ok(files)
}

/// What speaks of this repository, in words of the project; its licence is for its owner to choose.
fn own_names(text: &str) -> String {
    let is_foreign = |line: &&str| {
        !["license", "taskctl-features.workspace"]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let kept = text.split_inclusive('\n').filter(is_foreign).collect::<String>();
    kept.replace("taskctl-handlers", "functions")
        .replace("taskctl_handlers", "functions")
}

/// All files below a folder, by path.
fn folder_files(folder: &Path, prefix: &str) -> Result<Vec<File>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("{}: no UTF-8", name.display()))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            files.extend(folder_files(&entry.path(), &format!("{path}/"))?);
        } else {
            files.push((path, read(&entry.path())?));
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
