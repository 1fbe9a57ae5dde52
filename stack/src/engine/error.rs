//! Why the engine stopped, for people and programs.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::release::error::MoveError;
use crate::aws::release::lease::LeaseError;
use crate::aws::release::presence::NotDeployed;
use crate::event::{ErrorReport, joined_advice};
use crate::package::PackageError;
use crate::plan::LintError;

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// AWS refused or could not be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The functions could not be packaged.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The lease on the stage could not be acquired.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The stage is not there.
    #[error(transparent)]
    NotDeployed(#[from] NotDeployed),
    /// Live did not move.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The endpoint is elsewhere, and not of https.
    #[error("the endpoint {0} is not called: credentials and data would cross the network in the clear")]
    InTheClear(String),
    /// The credentials are those of another account than the template names for the stage.
    #[error("stage {stage} belongs to account {expected}, but the credentials are of account {account} ({principal})")]
    WrongAccount {
        /// Stage.
        stage: String,
        /// The template's account.
        expected: String,
        /// The credentials' account.
        account: String,
        /// ARN of the caller.
        principal: String,
    },
    /// The credentials may end while a share of live's traffic is diverted.
    #[error("the credentials may end before the bakes do, which take {} min in all: {}", .bakes.as_secs().div_ceil(60), ends(.end.as_ref()))]
    SessionEnds {
        /// When, where that is known.
        end: Option<Timestamp>,
        /// What the bakes take.
        bakes: Duration,
    },
    /// The plan must not be executed.
    #[error("the plan cannot be carried out: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<LintError>),
}

fn ends(end: Option<&Timestamp>) -> String {
    match end {
        Some(end) => format!("the session ends at {end:.0}"),
        None => "they are a session that does not say when it ends".to_owned(),
    }
}

impl EngineError {
    /// For people and programs.
    pub fn report(&self) -> ErrorReport {
        let hint = match self {
            Self::Aws(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Lease(error) => error.hint(),
            Self::NotDeployed(absent) => Some(absent.hint()),
            Self::Move(error) => error.hint(),
            Self::InTheClear(_) => Some(
                "it comes from the environment or the profile (endpoint_url): use https://, or a port of this machine"
                    .to_owned(),
            ),
            Self::WrongAccount { expected, .. } => Some(format!(
                "use credentials of account {expected}, such as with --profile NAME, or correct `account:` in the template"
            )),
            Self::SessionEnds { .. } => Some(
                "use a profile, whose sessions are renewed (--profile NAME), or a new session with AWS_CREDENTIAL_EXPIRATION set to its end \
                 (`aws configure export-credentials --format env` prints it), or shorter bakes"
                    .to_owned(),
            ),
            Self::Lint(errors) => {
                let hints: BTreeSet<String> = errors.iter().map(LintError::hint).collect();
                Some(joined_advice(hints))
            }
        };
        ErrorReport::new(self, hint)
    }

    /// Whether another taskctl holds the lease.
    pub fn is_lock_held(&self) -> bool {
        matches!(self, Self::Lease(LeaseError::Held { .. }))
    }

    /// Whether the operator asked for the stop.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Aws(error) | Self::Move(MoveError::Aws(error)) if error.kind == ErrorKind::Interrupted)
    }
}
