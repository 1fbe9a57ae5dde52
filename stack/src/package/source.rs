//! Which commit the code comes from, by asking git. Releases carry it in their label.

use std::path::Path;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// A commit and whether the files are still its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceVersion {
    /// Full hash of the commit.
    pub commit: String,
    /// Whether a file that git tracks differs from the commit.
    pub dirty: bool,
}

impl SourceVersion {
    /// The first eight digits, with a `+` when files differ.
    pub fn short(&self) -> String {
        let commit = self.commit.get(..8).unwrap_or(&self.commit);
        format!("{commit}{}", if self.dirty { "+" } else { "" })
    }
}

/// The version of the work tree around a directory; none without git, outside of a repository, and before the first
/// commit.
pub async fn source_version(dir: &Path) -> Option<SourceVersion> {
    let output = Command::new("git")
        // A program that the repository's own configuration names is not run.
        .args(["-c", "core.fsmonitor=false"])
        .args(["status", "--porcelain=v2", "--branch", "--untracked-files=no"])
        .current_dir(dir)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    if !output.status.success() {
        return None;
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(status: &str) -> Option<SourceVersion> {
    let commit = status.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let is_hash = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dirty = status.lines().any(|line| !line.starts_with('#'));
    is_hash.then(|| SourceVersion {
        commit: commit.to_owned(),
        dirty,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const CLEAN: &str = "# branch.oid 0123456789abcdef0123456789abcdef01234567\n# branch.head main\n";

    #[test]
    fn the_commit_and_its_state_are_read() {
        assert_eq!(parse(CLEAN).unwrap().short(), "01234567");
        let dirty = format!("{CLEAN}1 .M N... 100644 100644 100644 aaa bbb Cargo.toml\n");
        assert_eq!(parse(&dirty).unwrap().short(), "01234567+");
        assert_eq!(parse("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(parse(""), None);
    }

    #[tokio::test]
    async fn outside_of_a_repository_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(source_version(dir.path()).await, None);
        assert_eq!(source_version(&dir.path().join("nowhere")).await, None);
    }
}
