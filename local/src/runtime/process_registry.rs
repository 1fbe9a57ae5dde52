//! Processes that this host has started, on disk, so that a host that starts after a crash can end them.
//!
//! One file per process under `<root>/processes/`, named by process id. A process id alone may long belong to someone
//! else, so each entry also has the start time that the kernel gives and the id of the boot it counts from; only a process that matches
//! both is ended.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// The started processes on disk.
#[derive(Debug)]
pub(super) struct ProcessRegistry {
    directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Entry {
    boot: String,
    /// Clock ticks since boot, as `/proc/{pid}/stat` shows them.
    started: u64,
}

impl ProcessRegistry {
    /// Opens the registry below `root` and ends every process that an earlier host left running. Returns how many.
    pub(super) fn open(root: &Path) -> io::Result<(Self, usize)> {
        let directory = root.join("processes");
        fs::create_dir_all(&directory)?;
        let mut ended = 0;
        for file in fs::read_dir(&directory)? {
            let path = file?.path();
            if let Some(pid) = left_running(&path) {
                end(pid);
                ended += 1;
            }
            fs::remove_file(&path)?;
        }
        Ok((Self { directory }, ended))
    }

    /// Notes a process just started.
    pub(super) fn add(&self, pid: Pid) {
        let Some(entry) = entry(pid) else { return };
        let written = serde_json::to_vec(&entry)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(self.path(pid), text));
        if let Err(error) = written {
            tracing::warn!(%error, pid = pid.as_raw_nonzero().get(), "process could not be noted");
        }
    }

    /// Forgets a process that has ended.
    pub(super) fn remove(&self, pid: Pid) {
        if let Err(error) = fs::remove_file(self.path(pid))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, pid = pid.as_raw_nonzero().get(), "process could not be forgotten");
        }
    }

    fn path(&self, pid: Pid) -> PathBuf {
        self.directory.join(pid.as_raw_nonzero().to_string())
    }
}

/// The process of an entry, if it still is the one that was noted.
fn left_running(path: &Path) -> Option<Pid> {
    let pid = path.file_name()?.to_str()?.parse().ok().and_then(Pid::from_raw)?;
    let noted: Entry = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (entry(pid)? == noted).then_some(pid)
}

fn entry(pid: Pid) -> Option<Entry> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Some(Entry {
        boot: boot.trim().to_owned(),
        started: started(&stat)?,
    })
}

/// Field 22 of a stat line. The command in field 2 may hold spaces and parentheses; the fields after it do not.
fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Ends a process and its group at once. Each environment leads a group of its own.
pub(super) fn end(pid: Pid) {
    end_group(pid);
    // It may be gone by now, as wanted.
    let _ = kill_process(pid, Signal::KILL);
}

/// Ends the remaining processes of a group.
pub(super) fn end_group(leader: Pid) {
    // An empty group is no group: nothing to end.
    let _ = kill_process_group(leader, Signal::KILL);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> (Child, Pid) {
        let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn start_time_behind_an_odd_command() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1000 1";
        assert_eq!(started(stat), Some(4711));
    }

    #[test]
    fn left_over_process_is_ended() {
        let root = tempfile::tempdir().unwrap();
        let (mut child, pid) = sleeper();
        let (registry, ended) = ProcessRegistry::open(root.path()).unwrap();
        assert_eq!(ended, 0);
        registry.add(pid);
        let (_, ended) = ProcessRegistry::open(root.path()).unwrap();
        assert_eq!(ended, 1);
        assert!(!child.wait().unwrap().success());
        assert_eq!(ProcessRegistry::open(root.path()).unwrap().1, 0);
    }

    #[test]
    fn process_that_took_over_an_id_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (mut child, pid) = sleeper();
        let (registry, _) = ProcessRegistry::open(root.path()).unwrap();
        registry.add(pid);
        let path = registry.path(pid);
        let mut noted: Entry = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        noted.started += 1;
        fs::write(&path, serde_json::to_vec(&noted).unwrap()).unwrap();
        let (_, ended) = ProcessRegistry::open(root.path()).unwrap();
        assert_eq!(ended, 0);
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
