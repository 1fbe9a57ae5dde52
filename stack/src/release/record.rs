//! What the ledger remembers of releases and moves: who, when and why. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::grants::Grants;
use crate::plan::Counts;

/// What is known of a release, written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Number.
    pub release: u64,
    /// Colour it was given.
    pub color: String,
    /// Fingerprint of its content.
    pub fingerprint: String,
    /// Commit of the code, with `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Who deployed it.
    pub user: String,
    /// When the deploy ended.
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// What changed with it.
    pub changes: Counts,
    /// Function versions in it.
    pub versions: BTreeMap<String, u64>,
    /// What the functions' roles allow, by logical name.
    #[serde(default)]
    pub grants: Grants,
    /// Fencing number of the lease it was written under.
    pub fence: u64,
}

/// Why live moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// `promote`.
    Promote,
    /// `rollback`.
    Rollback,
    /// `unlock --force`.
    Unlock,
}

impl Cause {
    /// As in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Unlock => "unlock",
        }
    }
}

/// A movement of live, written once it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoveRecord {
    /// Release before.
    pub from: Option<u64>,
    /// Release aimed at.
    pub to: u64,
    /// Why.
    pub cause: Cause,
    /// How it ended.
    pub end: String,
    /// Who.
    pub user: String,
    /// When it ended.
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// Fencing number of the lease it was made under.
    pub fence: u64,
}
