//! This machine and its processes: whether the holder of a lease is still there.

use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use taskctl_stack::aws::release::lease::{Machine, Process, Started};

/// The machine that this runs on.
pub struct ThisMachine {
    pub host: String,
}

impl ThisMachine {
    /// This process, for others to see whether it is still there.
    pub fn this_process(&self) -> Option<Process> {
        match (self.boot(), self.started(std::process::id())) {
            (Some(boot), Started::At(started)) => Some(Process { boot, started }),
            _ => None,
        }
    }
}

impl Machine for ThisMachine {
    fn host(&self) -> &str {
        &self.host
    }

    fn boot(&self) -> Option<String> {
        match cfg!(target_os = "macos") {
            true => said_by("sysctl", &["-n", "kern.bootsessionuuid"]),
            false => {
                let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
                // Containers of one boot have processes of their own with the same numbers.
                let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
                Some(format!("{} {}", boot.trim(), processes.display()))
            }
        }
    }

    fn started(&self, pid: u32) -> Started {
        let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Started::Unknown;
        };
        // Another user's process may be hidden, and is there all the same.
        if test_kill_process(known) == Err(Errno::SRCH) {
            return Started::Never;
        }
        let started = match cfg!(target_os = "macos") {
            true => said_by("ps", &["-o", "lstart=", "-p", &pid.to_string()]),
            false => {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                return stat.ok().and_then(|stat| read_stat(&stat)).unwrap_or(Started::Unknown);
            }
        };
        started.map_or(Started::Unknown, Started::At)
    }
}

/// When a process started, in ticks since the boot. One that has ended and that nobody has waited for is none any more.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn read_stat(stat: &str) -> Option<Started> {
    // Its name comes second, in brackets, and may have any character.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    match fields.next()? {
        "Z" | "X" => Some(Started::Never),
        _ => fields.nth(18).map(|at| Started::At(at.to_owned())),
    }
}

/// What a program of the system says, in no language.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .ok()?;
    let said = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    (!said.is_empty()).then_some(said)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_there_until_it_has_ended() {
        let machine = ThisMachine { host: "vm".to_owned() };
        let this = machine.this_process().unwrap();
        assert_eq!(machine.boot().as_ref(), Some(&this.boot));
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let started = machine.started(other.id());
        assert!(
            matches!(&started, Started::At(at) if *at >= this.started),
            "{started:?}"
        );
        assert_eq!(machine.started(other.id()), started);
        other.kill().unwrap();
        while machine.started(other.id()) == started {
            std::thread::yield_now();
        }
        assert_eq!(machine.started(other.id()), Started::Never, "nobody has waited for it");
        other.wait().unwrap();
        assert_eq!(machine.started(other.id()), Started::Never);
        assert_eq!(machine.started(0), Started::Unknown);
    }
}
