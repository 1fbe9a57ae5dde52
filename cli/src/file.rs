//! Files that commands write: whole or not at all. A full disk leaves what was there before.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    Owner,
    /// As the umask says.
    Usual,
}

/// Writes a file, in place of one that is there.
pub fn write(path: &Path, contents: &[u8], readers: Readers) -> Result<(), Failure> {
    // What is no plain file, such as /dev/stdout or a pipe, cannot be put in place of another.
    let is_special = fs::metadata(path).is_ok_and(|found| !found.is_file());
    let written = match is_special {
        true => fs::write(path, contents),
        false => replace(path, contents, readers),
    };
    written.map_err(|error| Failure::io("writing", path, &error))
}

/// Writes a file that is not there yet; an error of the kind `AlreadyExists` if it is.
pub fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let made = fill(&temporary, contents, Readers::Usual)
        // Unlike a rename, a link does not take the place of another file.
        .and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    made
}

fn replace(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    // A link stays a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary(&path);
    let kept = fs::metadata(&path).ok().filter(|_| readers == Readers::Usual);
    let written = fill(&temporary, contents, readers)
        .and_then(|()| match kept {
            Some(found) => fs::set_permissions(&temporary, Permissions::from_mode(found.permissions().mode())),
            None => Ok(()),
        })
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Usual => 0o666,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// A name beside the file, which no other process takes.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        write(&path, b"one", Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write(&path, b"two", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(write(&folder.path().join("missing/x"), b"", Readers::Usual).is_err());
        assert_eq!(names(folder.path()), ["plan.json"]);
    }

    #[test]
    fn what_is_there_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taskctl.yaml");
        create(&path, b"one").unwrap();
        let error = create(&path, b"two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["taskctl.yaml"]);
    }

    /// `/dev/full` fails as a full disk does.
    #[test]
    fn a_full_disk_leaves_nothing() {
        let full = Path::new("/dev/full");
        if full.exists() {
            assert!(write(full, b"one", Readers::Usual).is_err());
        }
    }
}
