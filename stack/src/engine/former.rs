//! What former releases need of roles and tables: read from the ledger, kept in what is desired.

use std::collections::BTreeMap;

use super::{Engine, EngineError};
use crate::aws::policy::document::Document;
use crate::aws::release::ledger;
use crate::compile::former::{self, Recorded};
use crate::event::Event;
use crate::plan::Observations;
use crate::release::grants::{self, Proof};
use crate::release::slots::{ReleaseState, Slots};
use crate::resource::Resource;

/// What was kept for former releases.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What goes later; for people.
    pub(super) deferred: Vec<String>,
    /// Policies of former releases that no record confirms.
    pub(super) unrecorded: Vec<String>,
}

impl Engine {
    /// Adds to the desired roles and tables what former releases still need.
    pub(super) async fn keep_former(
        &self,
        resources: &mut [Resource],
        observed: &Observations,
        facts: &ReleaseState,
        slots: &Slots,
    ) -> Result<Kept, EngineError> {
        let losses = former::losses(resources, observed, facts, slots);
        let mut recorded = match losses.statements.is_empty() && !former::has_formers(observed) {
            true => Recorded::none_needed(),
            false => self.former_grants(facts, slots).await?,
        };
        if recorded.is_complete && former::has_unknown(observed, &recorded.reachable) {
            let records = ledger::records(&self.context, &self.control).await?;
            let believed = records
                .into_iter()
                .filter(|record| grants::is_believed(&facts.releases, record.release, &record.grants));
            recorded.older = believed.map(|record| record.grants).collect();
        }
        let (mut deferred, unrecorded) = former::keep(resources, observed, slots, &losses, &recorded);
        if former::loses_indexes(resources, observed) {
            let recorded = self.former_grants(facts, slots).await?;
            deferred.extend(former::keep_indexes(resources, observed, &recorded));
        }
        Ok(Kept { deferred, unrecorded })
    }

    /// The grants of the releases before this deploy's that stay reachable, as the ledger knows them.
    async fn former_grants(&self, facts: &ReleaseState, slots: &Slots) -> Result<Recorded, EngineError> {
        let mut known: Vec<BTreeMap<String, Document>> = Vec::new();
        let mut is_complete = true;
        for release in slots
            .reachable()
            .into_iter()
            .filter(|release| *release < slots.release && facts.releases.contains_key(release))
        {
            let record = ledger::of_release(&self.context, &self.control, release).await?;
            let grants = record.map(|record| record.grants).filter(|grants| !grants.is_empty());
            let label = facts.releases.get(&release);
            match (grants, label) {
                (Some(grants), Some(label)) => match grants::prove(label, &grants) {
                    // Releases made before labels carried a hash: the record says what may go, and gives nothing.
                    Proof::Proven | Proof::Unknown => known.push(grants),
                    Proof::Differs => {
                        is_complete = false;
                        self.context.emit(Event::Warning {
                            message: format!(
                                "the record of release {release} in the control bucket (s3://{}/{}) has other grants than the \
                                 release was made with: it was changed and is not believed",
                                self.control.name(),
                                ledger::key_of(&self.context, release)
                            ),
                        });
                    }
                },
                _ => is_complete = false,
            }
        }
        Ok(Recorded {
            reachable: known,
            older: Vec::new(),
            is_complete,
        })
    }
}
