//! How a command fails: its message and exit code. Every error ends up here and is reported once.

use schemars::JsonSchema;
use serde::Serialize;
use taskctl_checks::CheckError;
use taskctl_local::LocalError;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::{ErrorReport, joined_advice};
use taskctl_stack::package::PackageError;
use taskctl_stack::plan::SavedPlanError;
use taskctl_stack::template::Faults;

use crate::exit::Exit;

/// A command that did not do what it was asked for.
#[derive(Debug, Clone)]
pub struct Failure {
    pub exit: Exit,
    /// What is said.
    pub message: Message,
}

/// What is said of a failure.
#[derive(Debug, Clone)]
pub enum Message {
    /// What happened, why, what to do.
    Report(ErrorReport),
    /// What is wrong in a file, and where.
    At(ErrorReport, Place),
    /// The faults of a template, with its source.
    Faults(Box<Faults>),
    /// The operator declined: nothing went wrong.
    Cancelled,
}

/// A place in a file; line and column from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    pub file: String,
    pub line: u64,
    pub column: u64,
}

impl Failure {
    /// An error with what to do about it.
    pub fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let report = ErrorReport {
            message: message.into(),
            causes: Vec::new(),
            hint: Some(hint.into()),
        };
        Self {
            exit,
            message: Message::Report(report),
        }
    }

    /// What happened, in one line.
    pub fn summary(&self) -> String {
        match &self.message {
            Message::Report(report) | Message::At(report, _) => match report.causes.first() {
                Some(cause) => format!("{}: {cause}", report.message),
                None => report.message.clone(),
            },
            Message::Faults(_) => "the template is invalid".to_owned(),
            Message::Cancelled => CANCELLED.to_owned(),
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, hint)
    }

    /// An error of another library.
    pub fn caused(message: impl Into<String>, cause: &dyn std::error::Error, hint: Option<String>) -> Self {
        let below = ErrorReport::new(cause, hint);
        let causes = std::iter::once(below.message).chain(below.causes).collect();
        Self {
            exit: Exit::Error,
            message: Message::Report(ErrorReport {
                message: message.into(),
                causes,
                hint: below.hint,
            }),
        }
    }

    /// A failed file operation.
    pub fn io(operation: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::StorageFull => "free some disk space and run the command again".to_owned(),
            std::io::ErrorKind::PermissionDenied => "check the permissions of the path".to_owned(),
            _ => "check the path and run the command again".to_owned(),
        };
        Self::caused(format!("{operation} {} failed", path.display()), error, Some(hint))
    }

    /// Stopped by the operator.
    pub fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            message: Message::Report(ErrorReport {
                message: "stopped".to_owned(),
                causes: Vec::new(),
                hint: None,
            }),
        }
    }

    /// The operator declined.
    pub fn cancelled() -> Self {
        Self {
            exit: Exit::Interrupted,
            message: Message::Cancelled,
        }
    }
}

/// What is said when the operator declined.
pub const CANCELLED: &str = "Cancelled. Nothing was changed.";

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let failure = Self::caused("the request checks cannot run", &error, error.hint());
        match (error.place(), failure.message) {
            (Some((file, line, column)), Message::Report(report)) => {
                let place = Place {
                    file: file.to_owned(),
                    line,
                    column,
                };
                Self {
                    exit: failure.exit,
                    message: Message::At(report, place),
                }
            }
            (_, message) => Self {
                exit: failure.exit,
                message,
            },
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        if error.is_interrupt() || matches!(error, EngineError::Package(PackageError::Interrupted)) {
            return Self::interrupted();
        }
        let exit = match &error {
            EngineError::InTheClear(_) | EngineError::WrongAccount { .. } => Exit::Usage,
            error if error.is_lock_held() => Exit::LockHeld,
            _ => Exit::Error,
        };
        Self {
            exit,
            message: Message::Report(error.report()),
        }
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        Self::from(EngineError::from(error))
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self {
            exit: Exit::Error,
            message: Message::Report(ErrorReport::new(&error, error.hint())),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        if let Some(fault) = faults.of_flag() {
            return Self::usage(fault.message.clone(), joined_advice(&fault.help));
        }
        Self {
            exit: Exit::Error,
            message: Message::Faults(Box::new(faults)),
        }
    }
}

impl From<SavedPlanError> for Failure {
    fn from(error: SavedPlanError) -> Self {
        let hint = match &error {
            SavedPlanError::Format(_) => "give a file written by `taskctl plan --save FILE`",
            SavedPlanError::Version { .. } => "recreate it with this version: `taskctl plan --save FILE`",
            SavedPlanError::Target { .. } => "use the --stage, --region and --profile that the plan was made with",
            SavedPlanError::Moved => "review the current plan and save it: `taskctl plan --save FILE`",
        };
        Self {
            exit: Exit::Error,
            message: Message::Report(ErrorReport::new(&error, Some(hint.to_owned()))),
        }
    }
}
