//! A plan kept in a file, to be applied only if nothing has moved since. The file holds what the plan shows, not the
//! models behind it: applying plans again and compares, so a secret in a template never reaches the file.

use serde::{Deserialize, Serialize};

use crate::digest::sha256;

use super::Plan;

/// Version of the file's format.
const FORMAT: u32 = 1;

/// A plan in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Format of the file.
    pub format: u32,
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Hash over everything that the plan shows.
    pub digest: String,
    /// The plan as it was shown.
    pub plan: Plan,
}

/// Why a saved plan is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedPlanError {
    /// Not a plan file.
    #[error("not a saved plan")]
    Format(#[source] std::sync::Arc<SourceError>),
    /// Made by another version.
    #[error("the saved plan has format {found}; this taskctl reads format {FORMAT}")]
    Version {
        /// Format found.
        found: u32,
    },
    /// For something else.
    #[error("the saved plan is for {saved}, not for {wanted}")]
    Target {
        /// What the file is for.
        saved: String,
        /// What this run is for.
        wanted: String,
    },
    /// Something changed.
    #[error("the template, the code or AWS has changed since the plan was saved")]
    Moved,
}

/// A JSON error that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(String);

impl SavedPlan {
    /// Keeps a plan.
    pub fn new(app: &str, stage: &str, region: &str, account: &str, plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            app: app.to_owned(),
            stage: stage.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            digest: digest(plan),
            plan: plan.clone(),
        }
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, SavedPlanError> {
        let saved: Self = serde_json::from_str(text)
            .map_err(|error| SavedPlanError::Format(std::sync::Arc::new(SourceError(error.to_string()))))?;
        if saved.format == FORMAT {
            Ok(saved)
        } else {
            Err(SavedPlanError::Version { found: saved.format })
        }
    }

    /// Whether a fresh plan is still this one.
    pub fn check(
        &self,
        app: &str,
        stage: &str,
        region: &str,
        account: &str,
        fresh: &Plan,
    ) -> Result<(), SavedPlanError> {
        let saved = format!("{}/{} in {} ({})", self.app, self.stage, self.region, self.account);
        let wanted = format!("{app}/{stage} in {region} ({account})");
        if saved != wanted {
            return Err(SavedPlanError::Target { saved, wanted });
        }
        if self.digest == digest(fresh) {
            Ok(())
        } else {
            Err(SavedPlanError::Moved)
        }
    }
}

/// Hash over the plan's visible part. Hidden values take no part: the file may lie beside a build's artifacts, and a hash
/// over them would let its readers try guesses. That one changes is visible, and so takes part.
fn digest(plan: &Plan) -> String {
    let text = serde_json::to_string(&plan.changes().collect::<Vec<_>>()).unwrap_or_default();
    sha256(text)
}
