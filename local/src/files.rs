//! Small files that are written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LocalError;

/// Writes `value` as JSON to `path` by way of a temporary file, so that a reader sees the old or the new content.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LocalError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| LocalError::io("writing", path, std::io::Error::other(source)))?;
    write(path, &bytes)
}

/// Writes `bytes` to `path` by way of a temporary file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), LocalError> {
    let error = |source| LocalError::io("writing", path, source);
    let parent = path.parent().unwrap_or(Path::new("."));
    create_directory(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.persist(path).map_err(|failed| error(failed.error))?;
    Ok(())
}

/// Makes a directory and those above it, for their owner alone: state holds the environment variables of functions.
pub(crate) fn create_directory(path: &Path) -> Result<(), LocalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| LocalError::io("creating", path, source))
}

/// Removes a file or directory tree; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), LocalError> {
    let result = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LocalError::io("removing", path, source)),
        _ => Ok(()),
    }
}

/// The last `lines` lines of a file, or nothing when it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let content = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&content[content.len().saturating_sub(64 * 1024)..]).into_owned();
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Takes a lock that lives as long as the returned file is open; `None` when another process has it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>, LocalError> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(LocalError::io("locking", path, source)),
    }
}

/// Waits for a lock that lives as long as the returned file is open.
pub(crate) fn lock(path: &Path) -> Result<File, LocalError> {
    let file = open_lock(path)?;
    file.lock().map_err(|source| LocalError::io("locking", path, source))?;
    Ok(file)
}

/// Shares a lock that lives as long as the returned file is open: [`try_lock`] fails meanwhile.
pub(crate) fn lock_shared(path: &Path) -> Result<File, LocalError> {
    let file = open_lock(path)?;
    file.lock_shared()
        .map_err(|source| LocalError::io("locking", path, source))?;
    Ok(file)
}

fn open_lock(path: &Path) -> Result<File, LocalError> {
    if let Some(parent) = path.parent() {
        create_directory(parent)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path);
    file.map_err(|source| LocalError::io("opening", path, source))
}

/// Reads JSON; `None` when the file is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LocalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LocalError::io("reading", path, source)),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed
        .map(Some)
        .map_err(|source| LocalError::io("reading", path, std::io::Error::other(source)))
}

/// The entries of a directory, sorted; none when it does not exist.
pub(crate) fn children(directory: &Path) -> Result<Vec<PathBuf>, LocalError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LocalError::io("reading", directory, source)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}
