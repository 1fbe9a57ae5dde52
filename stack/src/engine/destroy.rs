//! Plans the end of a stage.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::plan::orphan_observation;
use super::{Engine, EngineError, Planned, READS};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::kind::Discovered;
use crate::aws::read::reader::Reader;
use crate::event::Event;
use crate::plan::{Data, Disposition, Observations, Orphan, Request, build, lint};
use crate::release::grants::Grants;
use crate::release::slots::ReleaseState;
use crate::resource::ResourceId;

/// Which data stores may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteData {
    /// Those of these logical names.
    Named(BTreeSet<String>),
    /// All.
    All,
}

impl DeleteData {
    /// None at all.
    pub fn none() -> Self {
        Self::Named(BTreeSet::new())
    }

    pub(super) fn covers(&self, id: &ResourceId) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&id.name),
        }
    }
}

impl Engine {
    /// Plans the end of a stage: everything of it, data stores only where named or empty.
    pub async fn plan_destroy(&self, delete_data: &DeleteData) -> Result<Planned, EngineError> {
        let reader = Reader::new(self.context.clone());
        self.context.emit(Event::ReadStarted { resources: 0 });
        let began = tokio::time::Instant::now();
        let found = self.enumerate(&reader).await?;
        let kinds: BTreeSet<String> = found.iter().map(|one| one.id.kind.clone()).collect();
        let mut observed = Observations::new();
        let mut orphans = Vec::new();
        let judged: Vec<(Discovered, bool)> = stream::iter(found)
            .map(|one| async move {
                let kind = self.registry.kind(&one.id.kind);
                let empty = kind.holds_data()
                    && !delete_data.covers(&one.id)
                    && kind.is_empty(&self.context, &one.outputs).await?;
                Ok::<_, AwsError>((one, empty))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        for (Discovered { id, outputs }, empty) in judged {
            let kind = self.registry.kind(&id.kind);
            if kind
                .spec()
                .contained_in
                .is_some_and(|container| kinds.contains(container))
            {
                continue;
            }
            let disposition = match (kind.holds_data(), delete_data.covers(&id), empty) {
                (true, false, false) => Disposition::Keep {
                    reason: holds_data(&id),
                },
                (true, false, true) => Disposition::Delete {
                    reason: "it is empty now; should it not be when everything else is gone, it stays".to_owned(),
                    data: Data::OnlyIfEmpty,
                },
                (true, true, _) => Disposition::Delete {
                    reason: "it was named to be deleted with its data".to_owned(),
                    data: Data::Named,
                },
                (false, ..) => Disposition::Delete {
                    reason: "the stage is destroyed".to_owned(),
                    data: Data::None,
                },
            };
            observed.insert(id.clone(), orphan_observation(outputs));
            orphans.push(Orphan { id, disposition });
        }
        self.context.emit(Event::ReadFinished {
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            calls: self.context.calls(),
        });
        let request = Request {
            resources: Vec::new(),
            orphans,
        };
        let plan = build(&request, &observed, self.registry);
        let errors = lint(&plan, &request, &observed, self.registry);
        Ok(Planned {
            plan,
            slots: None,
            facts: ReleaseState::default(),
            errors,
            commit: None,
            fingerprint: None,
            packages: Vec::new(),
            sites: BTreeMap::new(),
            deferred: Vec::new(),
            grants: Grants::new(),
        })
    }
}

/// Why a store stays.
fn holds_data(id: &ResourceId) -> String {
    format!("it holds data; `taskctl destroy --delete-data {}` deletes it", id.name)
}
