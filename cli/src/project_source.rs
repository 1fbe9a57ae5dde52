//! The projects in the binary: the source of functions, as `build.rs` packed it.

use miniz_oxide::inflate::decompress_to_vec;

/// The Cargo project that a built-in template's functions are in: path and text of each file.
pub fn files(template: &str) -> Vec<(String, String)> {
    let packed: &[u8] = match template {
        "hello" => include_bytes!(concat!(env!("OUT_DIR"), "/hello")),
        _ => include_bytes!(concat!(env!("OUT_DIR"), "/functions")),
    };
    // It was made with this binary; the tests read all of it.
    let text = decompress_to_vec(packed).unwrap_or_default();
    let mut rest = std::str::from_utf8(&text).unwrap_or_default();
    let mut files = Vec::new();
    while let Some((path, text, after)) = first(rest) {
        files.push((path.to_owned(), text.to_owned()));
        rest = after;
    }
    files
}

/// The first file, and what comes after it.
fn first(text: &str) -> Option<(&str, &str, &str)> {
    let (path, text) = text.split_once('\n')?;
    let (length, text) = text.split_once('\n')?;
    let (text, rest) = text.split_at_checked(length.parse().ok()?)?;
    Some((path, text, rest))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// Writes a project without its lock file.
    fn write(project: &str, folder: &Path) {
        for (path, text) in files(project) {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn metadata(folder: &Path, arguments: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "metadata",
                "--offline",
                "--format-version",
                "1",
                "--filter-platform",
                "x86_64-unknown-linux-gnu",
            ])
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Each has the dependencies of this repository in the same versions, so that what is tested here is what is built there.
    /// `TASKCTL_UPDATE_DOCS=1` writes the lock files.
    #[test]
    fn projects_have_the_lock_files_that_cargo_would_write() {
        for project in ["hello", "functions"] {
            let folder = tempfile::tempdir().unwrap();
            let kept = repository().join("templates").join(project).join("Cargo.lock");
            write(project, folder.path());
            if std::env::var_os("TASKCTL_UPDATE_DOCS").is_some() {
                fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
                metadata(folder.path(), &[]).unwrap();
                fs::copy(folder.path().join("Cargo.lock"), &kept).unwrap();
            }
            metadata(folder.path(), &["--locked"]).unwrap();
            let own = fs::read_to_string(kept).unwrap();
            let all = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
            let checksums = |text: &str| {
                text.lines()
                    .filter(|line| line.starts_with("checksum"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let all = checksums(&all);
            let own = checksums(&own);
            assert!(own.len() > 50, "{project}: {}", own.len());
            for checksum in own {
                assert!(
                    all.contains(&checksum),
                    "{project}: {checksum} is of another version than here"
                );
            }
        }
    }

    #[test]
    fn nothing_in_them_speaks_of_this_repository() {
        for project in ["hello", "functions"] {
            let files = files(project);
            assert!(
                files
                    .iter()
                    .any(|(path, _)| path.ends_with("main.rs") || path.ends_with("tasks.rs")),
                "{project}"
            );
            for (path, text) in files {
                for word in ["taskctl_handlers", "taskctl-handlers", "taskctl-features"] {
                    assert!(!text.contains(word), "{path}: {word}");
                }
            }
        }
    }
}
