//! A plan: what exists is read while the functions are packaged, and both are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::{Engine, EngineError, READS};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::kind::Discovered;
use crate::aws::policy::document::Document;
use crate::aws::read::reader::Reader;
use crate::aws::release::ledger;
use crate::aws::release::release_state;
use crate::compile::{self, Inputs, former};
use crate::event::{Event, millis};
use crate::package::{Package, PackageError};
use crate::plan::{FoundResource, LintError, Observations, Plan, Request, build, lint, orphans_of_deploy};
use crate::release::grants::{self, Grants, Proof};
use crate::release::slots::{GoLive, ReleaseState, Slots};
use crate::resource::{Observed, Resource, ResourceId};
use crate::site::Site;
use crate::template::model::{ReleasePolicy, Stack};

/// What a plan is made from, beside AWS.
pub struct PlanInputs<'a> {
    /// The template.
    pub stack: &'a Stack,
    /// URL at which a bucket's web site is served, by the bucket's physical name.
    pub website_url: &'a (dyn Fn(&str) -> String + Sync),
    /// Commit of the code.
    pub commit: Option<String>,
    /// Whether a new release goes live; none = as the stage's policy says.
    pub go_live: Option<GoLive>,
    /// Content of the web sites, by the bucket's logical name.
    pub sites: BTreeMap<String, Arc<Site>>,
}

/// A plan with what it was made from.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Where releases stand after it.
    pub slots: Option<Slots>,
    /// Where they stand now.
    pub facts: ReleaseState,
    /// Everything wrong with it.
    pub errors: Vec<LintError>,
    /// Commit of the code.
    pub commit: Option<String>,
    /// Fingerprint of the release's content.
    pub fingerprint: Option<String>,
    /// What goes later, because former releases need it; for people.
    pub deferred: Vec<String>,
    pub(super) grants: Grants,
    pub(super) packages: Vec<Package>,
    pub(super) sites: BTreeMap<String, Arc<Site>>,
}

impl Engine {
    /// Plans: reads what exists while the functions are packaged, and compares.
    pub async fn plan(
        &self,
        inputs: &PlanInputs<'_>,
        packages: impl Future<Output = Result<Vec<Package>, PackageError>>,
    ) -> Result<Planned, EngineError> {
        let nothing = BTreeMap::new();
        let early_inputs = self.inputs(inputs, &nothing);
        let functions = early_inputs.functions();
        let standing = compile::standing(&early_inputs);
        let names = standing
            .iter()
            .filter_map(|one| one.desired["name"].as_str())
            .map(str::to_owned)
            .collect();
        let reader = Reader::new(self.context.clone()).expecting(names);
        // What pages are told is written into them, so comparing takes their text.
        for (logical, site) in early_inputs.sites {
            self.context.add_site(&early_inputs.bucket(logical), Arc::clone(site));
        }
        let early: Vec<Resource> = standing
            .into_iter()
            .filter(|one| !self.registry.kind(&one.id.kind).spec().reads_by_content)
            .collect();
        self.context.emit(Event::ReadStarted { resources: early.len() });
        let began = tokio::time::Instant::now();
        let reads = async {
            let joined = futures::try_join!(
                self.read(&reader, early),
                async {
                    release_state::read(&reader, &functions)
                        .await
                        .map_err(EngineError::from)
                },
                self.enumerate(&reader)
            )?;
            Ok::<_, EngineError>(joined)
        };
        let packages = async { packages.await.map_err(EngineError::from) };
        let (packages, (mut observed, facts, found)) = futures::try_join!(packages, reads)?;
        let hashes: BTreeMap<String, String> = packages
            .iter()
            .map(|package| (package.function.clone(), package.code_sha256.clone()))
            .collect();
        let inputs = self.inputs(inputs, &hashes);
        let mut resources = compile::standing(&inputs);
        let (released, slots) = compile::released(&inputs, &facts);
        resources.extend(released);
        let late: Vec<Resource> = resources
            .iter()
            .filter(|one| !observed.read.contains(&one.id))
            .cloned()
            .collect();
        let late = self.read(&reader, late).await?;
        observed.found.extend(late.found);
        self.context.emit(Event::ReadFinished {
            millis: millis(began.elapsed()),
            calls: self.context.calls(),
        });
        let grants = compile::all_grants(&inputs);
        let mut deferred = Vec::new();
        let mut unrecorded = Vec::new();
        if let Some(slots) = &slots {
            let losses = former::losses(&resources, &observed.found, &facts, slots);
            let (known, is_complete) = match losses.statements.is_empty() && !former::has_formers(&observed.found) {
                true => (Vec::new(), true),
                false => self.former_grants(&facts, slots).await?,
            };
            let mut history = known.clone();
            if is_complete && former::has_unknown(&observed.found, &known) {
                let records = ledger::records(&self.context, &self.control).await?;
                let believed = records
                    .into_iter()
                    .filter(|record| grants::is_believed(&facts.releases, record.release, &record.grants));
                history.extend(believed.map(|record| record.grants));
            }
            let (told, unknown) = former::keep(
                &mut resources,
                &observed.found,
                slots,
                &losses,
                &known,
                &history,
                is_complete,
            );
            deferred = told;
            unrecorded = unknown;
            if former::loses_indexes(&resources, &observed.found) {
                let (known, is_complete) = self.former_grants(&facts, slots).await?;
                let kept = former::keep_indexes(&mut resources, &observed.found, &known, is_complete);
                deferred.extend(kept);
            }
        }
        let sites = inputs
            .sites
            .iter()
            .map(|(logical, site)| (inputs.bucket(logical), Arc::clone(site)))
            .collect();
        let request = Request {
            orphans: orphans_of_deploy(&resources, self.judged(found, &facts), &mut observed.found),
            resources,
        };
        let mut plan = build(&request, &observed.found, self.registry);
        plan.warnings = compile::warnings(&inputs);
        plan.warnings.extend(compile::unrecorded_grants(&unrecorded));
        let errors = lint(&plan, &request, &observed.found, self.registry);
        let fingerprint = slots.as_ref().map(|slots| slots.fingerprint.clone());
        Ok(Planned {
            plan,
            slots,
            facts,
            errors,
            commit: inputs.commit.clone(),
            fingerprint,
            packages,
            sites,
            deferred,
            grants,
        })
    }

    /// The grants of the releases before this deploy's that stay reachable, as the ledger knows them; whether it knows all.
    pub(super) async fn former_grants(
        &self,
        facts: &ReleaseState,
        slots: &Slots,
    ) -> Result<(Vec<BTreeMap<String, Document>>, bool), EngineError> {
        let mut known = Vec::new();
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
                    // What was made before labels carried a hash only tells what may go; it gives nothing.
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
        Ok((known, is_complete))
    }

    pub(super) fn inputs<'a>(
        &'a self,
        inputs: &'a PlanInputs<'a>,
        packages: &'a BTreeMap<String, String>,
    ) -> Inputs<'a> {
        let by_policy = match inputs.stack.release_policy {
            ReleasePolicy::Immediate => GoLive::AtOnce,
            ReleasePolicy::Manual | ReleasePolicy::Canary { .. } | ReleasePolicy::Linear { .. } => GoLive::Wait,
        };
        Inputs {
            stack: inputs.stack,
            identity: self.context.identity(),
            packages,
            website_url: inputs.website_url,
            commit: inputs.commit.clone(),
            go_live: inputs.go_live.unwrap_or(by_policy),
            sites: &inputs.sites,
        }
    }

    async fn read(&self, reader: &Reader, resources: Vec<Resource>) -> Result<ReadResult, EngineError> {
        let read = resources.iter().map(|resource| resource.id.clone()).collect();
        let found: Vec<(ResourceId, Option<Observed>)> = stream::iter(resources)
            .map(|resource| async move {
                let kind = self.registry.kind(&resource.id.kind);
                let observed = kind.read(reader, &resource.id, &resource.desired).await?;
                Ok::<_, AwsError>((resource.id, observed))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        let found = found
            .into_iter()
            .filter_map(|(id, observed)| Some((id, observed?)))
            .collect();
        Ok(ReadResult { read, found })
    }

    pub(super) async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, EngineError> {
        let found: Vec<Vec<Discovered>> = stream::iter(self.registry.kinds())
            .map(|kind| kind.enumerate(reader))
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What was found, with what decides over it.
    fn judged(&self, found: Vec<Discovered>, facts: &ReleaseState) -> Vec<FoundResource> {
        let needed = facts.needed_functions();
        let found = found.into_iter().map(|Discovered { id, outputs }| {
            let kind = self.registry.kind(&id.kind);
            FoundResource {
                holds_data: kind.holds_data(),
                needed_by: needed.get(&id.name).copied().filter(|_| kind.spec().serves_function),
                id,
                outputs,
            }
        });
        found.collect()
    }
}

struct ReadResult {
    read: BTreeSet<ResourceId>,
    found: Observations,
}
