//! Plans the end of a stage.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Engine, EngineError, Planned, READS};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::kind::Discovered;
use crate::aws::read::reader::Reader;
use crate::event::{Event, millis};
use crate::plan::{
    Holdings, LintError, Observations, Orphan, Request, build, disposition_of_destroy, lint, observation,
};
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
        let judged: Vec<(Discovered, Holdings, bool)> = stream::iter(found)
            .map(|one| async move {
                let holdings = self.holdings(&one, delete_data).await?;
                let is_protected = self.is_protected(&one, holdings).await?;
                Ok::<_, AwsError>((one, holdings, is_protected))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        let mut orphans = Vec::new();
        let mut protected = Vec::new();
        for (Discovered { id, outputs }, holdings, is_protected) in judged {
            let container = self.registry.kind(&id.kind).spec().contained_in;
            if container.is_some_and(|container| kinds.contains(container)) {
                continue;
            }
            if is_protected {
                protected.push(LintError::DeletionProtection(id.clone()));
            }
            observed.insert(id.clone(), observation(outputs));
            let disposition = disposition_of_destroy(&id, holdings);
            orphans.push(Orphan { id, disposition });
        }
        self.context.emit(Event::ReadFinished {
            millis: millis(began.elapsed()),
            calls: self.context.calls(),
        });
        let request = Request {
            resources: Vec::new(),
            orphans,
        };
        let plan = build(&request, &observed, self.registry);
        let mut errors = lint(&plan, &request, &observed, self.registry);
        errors.extend(protected);
        Ok(Planned {
            plan,
            slots: None,
            facts: ReleaseState::default(),
            errors,
            commit: None,
            fingerprint: None,
            packages: Vec::new(),
            sites: BTreeMap::new(),
            notes: Vec::new(),
            site_url: None,
            grants: Grants::new(),
        })
    }

    /// What something holds; whether a store is empty is asked only where that decides.
    async fn holdings(&self, one: &Discovered, delete_data: &DeleteData) -> Result<Holdings, AwsError> {
        let kind = self.registry.kind(&one.id.kind);
        if !kind.holds_data() {
            return Ok(Holdings::NoStore);
        }
        if delete_data.covers(&one.id) {
            return Ok(Holdings::Named);
        }
        Ok(match kind.is_empty(&self.context, &one.outputs).await? {
            true => Holdings::Empty,
            false => Holdings::Data,
        })
    }

    /// Whether AWS would refuse the deletion of something that would be deleted.
    async fn is_protected(&self, one: &Discovered, holdings: Holdings) -> Result<bool, AwsError> {
        match holdings {
            Holdings::NoStore | Holdings::Data => Ok(false),
            Holdings::Named | Holdings::Empty => {
                let kind = self.registry.kind(&one.id.kind);
                kind.is_protected(&self.context, &one.outputs).await
            }
        }
    }
}
