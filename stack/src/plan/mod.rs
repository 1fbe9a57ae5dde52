//! The plan: desired × observed, as a value that leaves no choice to the executor. Pure: no async, no AWS types.

mod build;
mod diff;
mod lint;
mod orphan;
mod saved;
mod warning;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::{Observed, Pending, ResourceId};

pub use build::{KindRules, Observations, Replacement, Request, Rules, Scope, build};
pub use diff::{Change, Effect, Sensitivity, diff};
pub use lint::{LintError, lint};
pub use orphan::{
    Disposition, FoundResource, Holdings, Orphan, Reason, disposition_of_destroy, observation, orphans_of_deploy,
};
pub use saved::{SavedPlan, SavedPlanError};
pub use warning::{PlanWarning, WarningCode};

/// Everything a run will do, in display order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// One step per resource, changed or not.
    pub steps: Vec<Step>,
    /// What is as the template says and may hurt all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PlanWarning>,
}

/// What happens to one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Resource.
    pub id: ResourceId,
    /// What happens, and why.
    #[serde(flatten)]
    pub action: Action,
    /// Steps that must succeed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ResourceId>,
    /// Settings AWS is still catching up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// Whether `rollback` would bring the former state back.
    pub rollback: Rollback,
}

/// What happens to a resource. Each way of changing it is its own variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// It is as desired.
    NoOp {
        /// As observed.
        #[serde(skip)]
        observed: Option<Observed>,
    },
    /// It is made.
    Create {
        /// Desired model.
        #[serde(skip)]
        desired: Value,
        /// The model's fields, as changes from nothing, for display.
        changes: Vec<Change>,
    },
    /// It is changed in place.
    Update {
        /// Desired model.
        #[serde(skip)]
        desired: Value,
        /// As observed.
        #[serde(skip)]
        observed: Option<Observed>,
        /// Field by field.
        changes: Vec<Change>,
    },
    /// A new one is made, then the old one is deleted.
    CreateThenDelete {
        /// Desired model.
        #[serde(skip)]
        desired: Value,
        /// As observed.
        #[serde(skip)]
        observed: Option<Observed>,
        /// Field by field.
        changes: Vec<Change>,
        /// What becomes of data in the old one.
        #[serde(default, skip_serializing_if = "Data::is_none")]
        data: Data,
    },
    /// The old one is deleted, then a new one is made.
    DeleteThenCreate {
        /// Desired model.
        #[serde(skip)]
        desired: Value,
        /// As observed.
        #[serde(skip)]
        observed: Option<Observed>,
        /// Field by field.
        changes: Vec<Change>,
        /// What becomes of data in the old one.
        #[serde(default, skip_serializing_if = "Data::is_none")]
        data: Data,
    },
    /// It is deleted.
    Delete {
        /// As observed.
        #[serde(skip)]
        observed: Option<Observed>,
        /// Why.
        reason: Reason,
        /// What becomes of data in it.
        #[serde(default, skip_serializing_if = "Data::is_none")]
        data: Data,
    },
    /// It is left standing although the template no longer has it.
    Keep {
        /// Why.
        reason: Reason,
    },
}

/// What becomes of data in something that is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// It is no data store.
    #[default]
    None,
    /// The operator named it: its data goes, too.
    Named,
    /// Nobody named it: whether it is empty is looked at again right before, and one that is not stays.
    OnlyIfEmpty,
}

impl Data {
    /// Whether it is no data store.
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What is done to a resource, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Nothing.
    NoOp,
    /// Create.
    Create,
    /// Update in place.
    Update,
    /// Replace.
    Replace,
    /// Delete.
    Delete,
    /// Leave standing.
    Keep,
}

impl Action {
    /// The action in a word.
    pub fn verb(&self) -> Verb {
        match self {
            Self::NoOp { .. } => Verb::NoOp,
            Self::Create { .. } => Verb::Create,
            Self::Update { .. } => Verb::Update,
            Self::CreateThenDelete { .. } | Self::DeleteThenCreate { .. } => Verb::Replace,
            Self::Delete { .. } => Verb::Delete,
            Self::Keep { .. } => Verb::Keep,
        }
    }

    /// Field changes, where the action has any.
    pub fn changes(&self) -> &[Change] {
        match self {
            Self::Create { changes, .. }
            | Self::Update { changes, .. }
            | Self::CreateThenDelete { changes, .. }
            | Self::DeleteThenCreate { changes, .. } => changes,
            Self::NoOp { .. } | Self::Delete { .. } | Self::Keep { .. } => &[],
        }
    }

    /// What becomes of data in what it deletes.
    pub fn data(&self) -> Data {
        match self {
            Self::CreateThenDelete { data, .. } | Self::DeleteThenCreate { data, .. } | Self::Delete { data, .. } => {
                *data
            }
            Self::NoOp { .. } | Self::Create { .. } | Self::Update { .. } | Self::Keep { .. } => Data::None,
        }
    }

    /// Whether AWS is changed by it.
    pub fn is_change(&self) -> bool {
        match self.verb() {
            Verb::Create | Verb::Update | Verb::Replace | Verb::Delete => true,
            Verb::NoOp | Verb::Keep => false,
        }
    }
}

/// Whether `rollback` undoes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// Part of the release: goes back with it.
    WithRelease,
    /// Applied at once and not rolled back.
    Immediate,
}

/// How many steps of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Created.
    pub create: usize,
    /// Updated in place.
    pub update: usize,
    /// Replaced.
    pub replace: usize,
    /// Deleted.
    pub delete: usize,
    /// As desired.
    pub unchanged: usize,
    /// Left standing.
    pub kept: usize,
}

impl Plan {
    /// How many steps of each sort.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            match step.action.verb() {
                Verb::NoOp => counts.unchanged += 1,
                Verb::Create => counts.create += 1,
                Verb::Update => counts.update += 1,
                Verb::Replace => counts.replace += 1,
                Verb::Delete => counts.delete += 1,
                Verb::Keep => counts.kept += 1,
            }
        }
        counts
    }

    /// Whether anything would change.
    pub fn has_changes(&self) -> bool {
        self.steps.iter().any(|step| step.action.is_change())
    }

    /// The steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action.is_change())
    }
}
