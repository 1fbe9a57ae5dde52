//! Why live did not move.

use super::presence::NotDeployed;
use super::traffic_shift::StillSet;
use crate::aws::client::error::AwsError;
use crate::release::grants::Refusal;
use crate::release::label::ReleaseLabel;
use crate::release::machine::Aim;
use crate::release::transition::TransitionError;

/// Why live did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// AWS refused or could not be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The stage is not there.
    #[error(transparent)]
    NotDeployed(#[from] NotDeployed),
    /// There is nothing to move to.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// A share of live's traffic still goes elsewhere.
    #[error(transparent)]
    StillSet(#[from] StillSet),
    /// What the release was allowed is not given back, since nothing proves it.
    #[error("{message}")]
    GrantsUnproven {
        /// Which record, and what it has.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Lambda refuses to run the release.
    #[error("{message}")]
    CutOff {
        /// Which functions, and why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The caller may not give back what the release was allowed.
    #[error(
        "release {release} needs grants that are not in place, and this caller may not write them; live was not moved"
    )]
    GrantsDenied {
        /// The release.
        release: u64,
        /// What IAM answered.
        source: AwsError,
    },
}

/// What clears weights that taskctl could not clear.
pub fn clear_by_hand(commands: &[String]) -> String {
    format!(
        "run `taskctl promote --abort`, or without taskctl:\n  {}",
        commands.join("\n  ")
    )
}

/// Where the code of a release is.
fn code_of(release: u64, label: Option<&ReleaseLabel>) -> String {
    label.and_then(|label| label.commit.as_ref()).map_or_else(
        || format!("the code and template of release {release}"),
        |commit| format!("`git checkout {}`", commit.trim_end_matches('+')),
    )
}

impl MoveError {
    /// A release's record in the control bucket is not believed.
    pub fn grants(label: &ReleaseLabel, record: &str, refusal: Refusal) -> Self {
        let release = label.number;
        let why = match refusal.differs {
            true => {
                format!("its record {record} has other grants than the release was made with, so somebody changed it")
            }
            false => format!(
                "it was made before labels carried a hash of its grants, so nothing proves what its record {record} says, and \
                 its functions do not have all of that now"
            ),
        };
        let mut message = format!("release {release} does not go live, and nothing was granted: {why}");
        if !refusal.beyond.is_empty() {
            message.push_str("\n  what the record grants and is not in place:");
        }
        for line in &refusal.beyond {
            message.push_str("\n    ");
            message.push_str(line);
        }
        let code = code_of(release, Some(label));
        let look = match refusal.differs {
            true => format!(
                "find out who wrote the record (`aws s3api head-object` shows when), then delete it with `aws s3 rm {record}`; "
            ),
            false => String::new(),
        };
        Self::GrantsUnproven {
            message,
            hint: format!(
                "{look}{code} and `taskctl deploy` make its content a new release with the grants of its template; \
                 `taskctl releases` lists the others"
            ),
        }
    }

    /// A release has functions that Lambda refuses to run.
    pub(super) fn cut_off(aim: Aim, release: u64, label: Option<&ReleaseLabel>, functions: &[String]) -> Self {
        let names = functions.join(", ");
        Self::CutOff {
            message: format!(
                "release {release} does not go live: the role of {names} was deleted since it was made, so Lambda refuses to run \
                 the versions in it, and users would get errors"
            ),
            hint: match aim {
                Aim::Promote => "`taskctl deploy` makes the release again".to_owned(),
                Aim::Rollback => {
                    let code = code_of(release, label);
                    format!(
                        "{code} and `taskctl deploy` make its content a new release; `taskctl releases` lists the others"
                    )
                }
            },
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::GrantsUnproven { hint, .. } | Self::CutOff { hint, .. } => Some(hint.clone()),
            Self::GrantsDenied { release, .. } => Some(format!(
                "a rollback to a release that was live before the last one can need the policy of `taskctl export policy --for \
                 deploy`: run `taskctl rollback --to {release}` with such credentials"
            )),
            Self::NotDeployed(absent) => Some(absent.hint()),
            Self::Transition(error) => Some(error.hint()),
            Self::StillSet(left) => Some(clear_by_hand(&left.commands())),
        }
    }
}
