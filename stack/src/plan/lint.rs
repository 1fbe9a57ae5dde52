//! What a plan must not do, checked before the first call that changes anything.

use std::collections::BTreeSet;

use super::{Action, Data, Plan, Request, Rules};
use crate::graph::Graph;
use crate::plan::Observations;
use crate::resource::{Ownership, ResourceId};

/// Why a plan may not be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// Something of our name that is not ours is in the way.
    #[error("{id} exists but does not belong to this stack ({found})")]
    Foreign {
        /// Resource.
        id: ResourceId,
        /// What was found.
        found: String,
    },
    /// Its name is taken where nothing of it can be read or changed.
    #[error("{id} cannot be created: {by}")]
    NameTaken {
        /// Resource.
        id: ResourceId,
        /// Who has it.
        by: String,
    },
    /// A data store would be deleted or replaced without a flag that names it.
    #[error("{id} holds data and would be {what}: {fields}")]
    DataLoss {
        /// Resource.
        id: ResourceId,
        /// `deleted` or `replaced`.
        what: &'static str,
        /// The fields that force it.
        fields: String,
    },
    /// AWS would refuse to delete a data store.
    #[error("{0} would be deleted, but AWS refuses it: its deletion protection is on")]
    DeletionProtection(ResourceId),
    /// Steps wait for each other.
    #[error("{} wait for each other", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Cycle(Vec<ResourceId>),
    /// Two resources of one identity.
    #[error("{0} is declared twice")]
    Duplicate(ResourceId),
    /// What a release is called on AWS would not fit.
    #[error(
        "the API has too many functions: the label of a release names each with its version and would have {length} characters, of \
         which API Gateway takes {most}"
    )]
    LabelTooLong {
        /// Characters.
        length: usize,
        /// Characters that are taken.
        most: usize,
    },
    /// More invocations would be reserved than the account has.
    #[error(
        "the plan reserves {more} more invocations at once (`reserved_concurrency`), but of the {limit} that the account has here \
         {unreserved} are not reserved, of which {kept} must stay"
    )]
    ConcurrencyReserved {
        /// How many more.
        more: i32,
        /// What the account has.
        limit: i32,
        /// What is not reserved now.
        unreserved: i32,
        /// What AWS keeps unreserved.
        kept: i32,
    },
}

impl LintError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Foreign { .. } => {
                "set another `name:` for it in the template, or delete the existing resource".to_owned()
            }
            Self::NameTaken { id, .. } => format!("choose another name: set `name:` of {} in the template", id.name),
            Self::DataLoss { id, .. } => format!(
                "undo the change in the template, or declare the changed one under another name beside it; \
                 `taskctl destroy --delete-data {}` deletes the whole stage with this data",
                id.name
            ),
            Self::DeletionProtection(id) => format!(
                "set `deletion_protection: false` for {} in the template and run `taskctl deploy`, then destroy the stage",
                id.name
            ),
            Self::Cycle(_) => "remove one of the references in the template".to_owned(),
            Self::Duplicate(_) => "remove one of the two from the template".to_owned(),
            Self::ConcurrencyReserved { .. } => {
                "lower `reserved_concurrency` or leave it out, or raise \"Concurrent executions\" of AWS Lambda in Service Quotas"
                    .to_owned()
            }
            Self::LabelTooLong { .. } => {
                "give the functions shorter logical names, or move some to another stack".to_owned()
            }
        }
    }
}

/// Everything wrong with a plan.
pub fn lint(plan: &Plan, request: &Request, observed: &Observations, rules: &dyn Rules) -> Vec<LintError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for resource in &request.resources {
        if !seen.insert(&resource.id) {
            errors.push(LintError::Duplicate(resource.id.clone()));
        }
        let id = resource.id.clone();
        match observed.get(&id).map(|seen| &seen.ownership) {
            Some(Ownership::Foreign { found }) => errors.push(LintError::Foreign {
                id,
                found: found.clone(),
            }),
            Some(Ownership::Taken { by }) => errors.push(LintError::NameTaken { id, by: by.clone() }),
            Some(Ownership::Ours) | None => {}
        }
    }
    for step in &plan.steps {
        if !rules.of(&step.id.kind).holds_data() {
            continue;
        }
        match &step.action {
            // While a stage serves, a store may not stay empty.
            Action::CreateThenDelete { changes, data, .. } | Action::DeleteThenCreate { changes, data, .. }
                if *data != Data::Named =>
            {
                let fields: Vec<&str> = changes
                    .iter()
                    .filter(|change| change.effect == super::Effect::Replace)
                    .map(|change| change.field.as_str())
                    .collect();
                errors.push(LintError::DataLoss {
                    id: step.id.clone(),
                    what: "replaced",
                    fields: fields.join(", "),
                });
            }
            Action::Delete {
                reason,
                data: Data::None,
                ..
            } => {
                errors.push(LintError::DataLoss {
                    id: step.id.clone(),
                    what: "deleted",
                    fields: reason.to_string(),
                });
            }
            Action::NoOp { .. }
            | Action::Create { .. }
            | Action::Update { .. }
            | Action::CreateThenDelete { .. }
            | Action::DeleteThenCreate { .. }
            | Action::Delete { .. }
            | Action::Keep { .. } => {}
        }
    }
    if let Err(cycle) = Graph::new(plan.changes().map(|step| (step.id.clone(), step.after.clone()))) {
        errors.push(LintError::Cycle(cycle.members));
    }
    errors
}
