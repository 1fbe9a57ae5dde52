//! Exit codes. They are part of the interface: scripts branch on them.

use std::process::ExitCode;

/// How taskctl ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `plan`: no changes.
    Ok = 0,
    /// Something failed.
    Error = 1,
    /// `plan` has changes.
    Changes = 2,
    /// Another taskctl holds the lock of the stage.
    LockHeld = 3,
    /// A check failed.
    CheckFailed = 4,
    /// Rolled back or stopped by a rule of the release.
    RolledBack = 5,
    /// The command line is wrong.
    Usage = 64,
    /// Stopped by the operator, or declined at a prompt.
    Interrupted = 130,
}

impl Exit {
    /// The table of `taskctl help exit-codes`.
    pub const TABLE: &str = "\
Exit codes:
    0  done (plan: no changes)
    1  something failed
    2  plan has changes
    3  another taskctl holds the lock of the stage
    4  a check failed
    5  rolled back or stopped
   64  wrong command line
  130  interrupted, or declined at a prompt";

    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_documented() {
        let all = [
            Exit::Ok,
            Exit::Error,
            Exit::Changes,
            Exit::LockHeld,
            Exit::CheckFailed,
            Exit::RolledBack,
            Exit::Usage,
            Exit::Interrupted,
        ];
        let codes: Vec<u8> = all.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 64, 130]);
        for exit in all {
            let line = format!("{:>5}  ", exit.code());
            assert!(Exit::TABLE.contains(&line), "{line}");
        }
    }
}
