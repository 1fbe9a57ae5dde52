//! What is ours but no longer wanted, and what becomes of it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Data, Observations};
use crate::resource::{Observed, Outputs, Ownership, Resource, ResourceId};

/// Something of ours that the template does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// Identity.
    pub id: ResourceId,
    /// What becomes of it.
    pub disposition: Disposition,
}

/// What becomes of an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Deleted.
    Delete {
        /// Why.
        reason: Reason,
        /// What becomes of data in it.
        data: Data,
    },
    /// Left in place.
    Keep {
        /// Why.
        reason: Reason,
    },
}

/// Why an orphan is deleted or kept. In JSON it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Reason {
    /// The template does not have it.
    NotInTemplate,
    /// The stage is destroyed.
    StageDestroyed,
    /// The operator named it.
    NamedForDeletion,
    /// A data store without data.
    Empty,
    /// A data store that a deploy leaves alone; its logical name.
    MayHoldData(String),
    /// A data store with data that `--delete-data` does not name; its logical name.
    HoldsData(String),
    /// A release that can be live needs it.
    NeededBy(u64),
    /// Read from a plan in a file: only its text is known.
    Text(String),
}

impl Reason {
    /// Whether it is one of `destroy`, after which there are no releases to roll back to.
    pub fn is_of_destroy(&self) -> bool {
        match self {
            Self::StageDestroyed | Self::NamedForDeletion | Self::Empty | Self::HoldsData(_) => true,
            Self::NotInTemplate | Self::MayHoldData(_) | Self::NeededBy(_) | Self::Text(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInTemplate => f.write_str("not in the template"),
            Self::StageDestroyed => f.write_str("the stage is destroyed"),
            Self::NamedForDeletion => f.write_str("it was named to be deleted with its data"),
            Self::Empty => f.write_str("it is empty now; it is kept if it is not when everything else is gone"),
            Self::MayHoldData(name) => {
                write!(f, "it may hold data; `taskctl destroy --delete-data {name}` deletes it")
            }
            Self::HoldsData(name) => write!(f, "it holds data; `taskctl destroy --delete-data {name}` deletes it"),
            Self::NeededBy(release) => {
                write!(
                    f,
                    "release {release} needs it; it is deleted when no release that can be live needs it"
                )
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.to_string()
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Something of ours that was found, with what decides over it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundResource {
    /// Identity.
    pub id: ResourceId,
    /// What is known of it.
    pub outputs: Outputs,
    /// Whether deleting it would lose people's data.
    pub holds_data: bool,
    /// A release that can be live and needs it.
    pub needed_by: Option<u64>,
}

/// What a deploy does with what was found and is not wanted.
pub fn orphans_of_deploy(wanted: &[Resource], found: Vec<FoundResource>, observed: &mut Observations) -> Vec<Orphan> {
    let wanted: BTreeSet<&ResourceId> = wanted.iter().map(|resource| &resource.id).collect();
    let taken: BTreeSet<String> = observed
        .values()
        .filter_map(|one| one.outputs.get("name").cloned())
        .collect();
    let mut orphans = Vec::new();
    for one in found {
        // A resource with a name of its own is found under its physical name.
        if wanted.contains(&one.id) || one.outputs.get("name").is_some_and(|name| taken.contains(name)) {
            continue;
        }
        let disposition = match (one.holds_data, one.needed_by) {
            (true, _) => Disposition::Keep {
                reason: Reason::MayHoldData(one.id.name.clone()),
            },
            (false, Some(release)) => Disposition::Keep {
                reason: Reason::NeededBy(release),
            },
            (false, None) => Disposition::Delete {
                reason: Reason::NotInTemplate,
                data: Data::None,
            },
        };
        observed.insert(one.id.clone(), observation(one.outputs));
        orphans.push(Orphan {
            id: one.id,
            disposition,
        });
    }
    orphans
}

/// What a resource of a stage that is destroyed holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holdings {
    /// It is no data store.
    NoStore,
    /// A store that the operator named: whether it is empty was not looked at.
    Named,
    /// A store without data.
    Empty,
    /// A store with data.
    Data,
}

/// What `destroy` does with a resource. A store with data goes only where it was named; an empty one only if it still is empty
/// when everything that could write to it is gone.
pub fn disposition_of_destroy(id: &ResourceId, holdings: Holdings) -> Disposition {
    let (reason, data) = match holdings {
        Holdings::Data => {
            return Disposition::Keep {
                reason: Reason::HoldsData(id.name.clone()),
            };
        }
        Holdings::Empty => (Reason::Empty, Data::OnlyIfEmpty),
        Holdings::Named => (Reason::NamedForDeletion, Data::Named),
        Holdings::NoStore => (Reason::StageDestroyed, Data::None),
    };
    Disposition::Delete { reason, data }
}

/// What a plan knows of something that was found and not read.
pub fn observation(outputs: Outputs) -> Observed {
    Observed {
        model: serde_json::Value::Null,
        outputs,
        ownership: Ownership::Ours,
        pending: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(name: &str, physical: &str) -> FoundResource {
        FoundResource {
            id: ResourceId::new("thing", name),
            outputs: Outputs::from([("name".to_owned(), physical.to_owned())]),
            holds_data: false,
            needed_by: None,
        }
    }

    #[test]
    fn a_deploy_deletes_what_is_neither_wanted_nor_needed_and_holds_no_data() {
        let wanted = [Resource {
            id: ResourceId::new("thing", "wanted"),
            desired: json!({}),
            depends_on: Vec::new(),
        }];
        let mut observed = Observations::from([(
            ResourceId::new("thing", "renamed"),
            observation(Outputs::from([("name".to_owned(), "own-name".to_owned())])),
        )]);
        let store = FoundResource {
            holds_data: true,
            ..found("store", "p-store")
        };
        let needed = FoundResource {
            needed_by: Some(3),
            ..found("needed", "p-needed")
        };
        let all = vec![
            found("wanted", "p-wanted"),
            found("p", "own-name"),
            store,
            needed,
            found("old", "p-old"),
        ];
        let orphans = orphans_of_deploy(&wanted, all, &mut observed);
        let told: Vec<(&str, &Disposition)> = orphans
            .iter()
            .map(|one| (one.id.name.as_str(), &one.disposition))
            .collect();
        let keep = |reason| Disposition::Keep { reason };
        let delete = Disposition::Delete {
            reason: Reason::NotInTemplate,
            data: Data::None,
        };
        assert_eq!(
            told,
            [
                ("store", &keep(Reason::MayHoldData("store".to_owned()))),
                ("needed", &keep(Reason::NeededBy(3))),
                ("old", &delete),
            ]
        );
        assert!(observed.contains_key(&ResourceId::new("thing", "old")));
        assert!(!observed.contains_key(&ResourceId::new("thing", "wanted")));
    }

    #[test]
    fn destroy_keeps_data_that_was_not_named() {
        let id = ResourceId::new("store", "tasks");
        let decided = |holdings| match disposition_of_destroy(&id, holdings) {
            Disposition::Keep { .. } => None,
            Disposition::Delete { data, .. } => Some(data),
        };
        assert_eq!(decided(Holdings::Data), None);
        assert_eq!(decided(Holdings::Empty), Some(Data::OnlyIfEmpty));
        assert_eq!(decided(Holdings::Named), Some(Data::Named));
        assert_eq!(decided(Holdings::NoStore), Some(Data::None));
    }

    #[test]
    fn a_reason_is_its_text_in_json() -> Result<(), serde_json::Error> {
        let text = serde_json::to_value(Reason::NeededBy(7))?;
        assert_eq!(
            text,
            json!("release 7 needs it; it is deleted when no release that can be live needs it")
        );
        let read: Reason = serde_json::from_value(text.clone())?;
        assert_eq!(serde_json::to_value(read)?, text);
        Ok(())
    }
}
