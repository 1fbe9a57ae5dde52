//! The engine's front door: connect, plan, apply, destroy, status. It orchestrates and decides nothing by itself – what
//! should exist is `compile`'s, what happens is the plan's, how is the executor's.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::aws::Registry;
use crate::aws::client::clients::{Clients, Connection, is_in_the_clear};
use crate::aws::client::context::{Cancel, Clock, Context, Identity, op};
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::iam;
use crate::aws::kinds::kind::Discovered;
use crate::aws::kinds::lambda::version::VersionAlias;
use crate::aws::kinds::site;
use crate::aws::policy::deployer::{Commands, Standing, deployer_policy};
use crate::aws::policy::document::Document;
use crate::aws::read::reader::Reader;
use crate::aws::read::release_state;
use crate::aws::registry;
use crate::aws::release::control_bucket::ControlBucket;
use crate::compile::{self, Inputs};
use crate::event::{Endpoints, ErrorReport, Event, Events};
use crate::execute::{Execution, execute};
use crate::package::{Package, PackageError};
use crate::plan::{Action, Data, Disposition, LintError, Observations, Plan, Request, Stray, build, lint};
use crate::release::driver::{self, Moved, Probe, Way};
use crate::release::grants::{self, Grants, InPlace, Proof, Restoration};
use crate::release::history;
use crate::release::layout::{GoLive, Layout, ReleaseState};
use crate::release::lease::{self, Force, Holder, Lease, LeaseError, LeaseRecord};
use crate::release::ledger::{self, ReleaseRecord};
use crate::release::movement::{self, MoveError, Movement};
use crate::release::retention::{self, Kept};
use crate::resource::{Observed, Outputs, Ownership, Resource, ResourceId};
use crate::site::{Site, md5};
use crate::template::model::{ReleasePolicy, Stack};

/// Which stack, and where.
#[derive(Debug, Clone)]
pub struct Target {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// How AWS is reached.
    pub connection: Connection,
    /// Name of the control bucket; none = derived from account and region.
    pub control_bucket: Option<String>,
}

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// AWS refused or could not be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The functions could not be packaged.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The lease on the stage was not had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Live did not move.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The endpoint is elsewhere, and not of https.
    #[error("the endpoint {0} is not called: credentials and data would go over the network in the clear")]
    InTheClear(String),
    /// The plan must not be executed.
    #[error("the plan cannot be carried out: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<LintError>),
}

impl EngineError {
    /// For people and programs.
    pub fn report(&self) -> ErrorReport {
        let hint = match self {
            Self::Aws(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Lease(error) => error.hint(),
            Self::Move(error) => error.hint(),
            Self::InTheClear(_) => Some(
                "it comes from the environment or the profile (endpoint_url): use https://, or a port of this machine"
                    .to_owned(),
            ),
            Self::Lint(errors) => {
                let hints: BTreeSet<String> = errors.iter().map(LintError::hint).collect();
                Some(hints.into_iter().collect::<Vec<_>>().join("; "))
            }
        };
        ErrorReport::new(self, hint)
    }

    /// Whether somebody else holds the lease.
    pub fn is_lock_held(&self) -> bool {
        matches!(self, Self::Lease(LeaseError::Held { .. }))
    }

    /// Whether the operator asked for the stop.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Aws(error) | Self::Move(MoveError::Aws(error)) if error.kind == ErrorKind::Interrupted)
    }
}

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

/// Where live shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To what waits in preview.
    Promotion,
    /// To the release before, or to a kept one.
    Rollback {
        /// Its number.
        to: Option<u64>,
    },
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Releases that cannot be rolled back to any more.
    pub releases: BTreeSet<u64>,
    /// Function versions.
    pub versions: usize,
    /// Policies with grants of former releases.
    pub grants: usize,
    /// Files of web sites.
    pub files: usize,
}

impl Pruned {
    /// Whether nothing went.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

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

    fn covers(&self, id: &ResourceId) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&id.name),
        }
    }
}

/// A plan with what it was made from.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Where releases stand after it.
    pub layout: Option<Layout>,
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
    grants: Grants,
    packages: Vec<Package>,
    sites: BTreeMap<String, Arc<Site>>,
}

/// The engine, connected.
pub struct Engine {
    context: Context,
    control: ControlBucket,
    registry: &'static Registry,
}

/// Reads that run side by side.
const READS: usize = 64;

impl Engine {
    /// Connects: who we are decides names and ARNs.
    pub async fn connect(
        target: &Target,
        events: Events,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Result<Self, EngineError> {
        let clients = Clients::connect(&target.connection).await;
        if let Some(url) = clients.endpoint_url.as_ref().filter(|url| is_in_the_clear(url)) {
            return Err(EngineError::InTheClear(url.clone()));
        }
        let unknown = Identity {
            app: target.app.clone(),
            stage: target.stage.clone(),
            region: target.connection.region.clone(),
            account: String::new(),
            partition: "aws".to_owned(),
        };
        let anonymous = Context::new(
            unknown.clone(),
            clients.clone(),
            events.clone(),
            clock.clone(),
            cancel.clone(),
        );
        let sts = &clients.sts;
        let caller = anonymous
            .call(op("sts", "GetCallerIdentity"), || sts.get_caller_identity().send())
            .await?;
        let partition = caller
            .arn()
            .and_then(|arn| arn.split(':').nth(1))
            .unwrap_or("aws")
            .to_owned();
        let account = caller.account().unwrap_or_default().to_owned();
        let context = Context::new(
            Identity {
                account,
                partition,
                ..unknown
            },
            clients,
            events,
            clock,
            cancel,
        );
        context.count_calls(anonymous.calls());
        let control = ControlBucket::new(&context, target.control_bucket.as_deref());
        Ok(Self {
            context,
            control,
            registry: registry(),
        })
    }

    /// The context, for what runs beside the engine.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Takes the lease on the stage: from here on nobody else changes it, and no call is made without it.
    pub async fn lock(&self, holder: Holder, nonce: String) -> Result<Lease, EngineError> {
        Ok(Lease::acquire(&self.context, &self.control, holder, nonce).await?)
    }

    /// The control bucket.
    pub fn control(&self) -> &ControlBucket {
        &self.control
    }

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
            .filter(|one| !self.registry.kind(&one.id.kind).reads_by_content())
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
        let (released, layout) = compile::released(&inputs, &facts);
        resources.extend(released);
        let late: Vec<Resource> = resources
            .iter()
            .filter(|one| !observed.read.contains(&one.id))
            .cloned()
            .collect();
        let late = self.read(&reader, late).await?;
        observed.found.extend(late.found);
        self.context.emit(Event::ReadFinished {
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            calls: self.context.calls(),
        });
        let grants = compile::all_grants(&inputs);
        let mut deferred = Vec::new();
        let mut unrecorded = Vec::new();
        if let Some(layout) = &layout {
            let losses = retention::losses(&resources, &observed.found, &facts, layout);
            let (known, is_complete) = match losses.statements.is_empty() && !retention::has_formers(&observed.found) {
                true => (Vec::new(), true),
                false => self.former_grants(&facts, layout).await?,
            };
            let mut history = known.clone();
            if is_complete && retention::has_unknown(&observed.found, &known) {
                let records = ledger::records(&self.context, &self.control).await?;
                let believed = records
                    .into_iter()
                    .filter(|record| grants::is_believed(&facts.releases, record.release, &record.grants));
                history.extend(believed.map(|record| record.grants));
            }
            let (told, unknown) = retention::keep(
                &mut resources,
                &observed.found,
                layout,
                &losses,
                &known,
                &history,
                is_complete,
            );
            deferred = told;
            unrecorded = unknown;
            if retention::loses_indexes(&resources, &observed.found) {
                let (known, is_complete) = self.former_grants(&facts, layout).await?;
                let kept = retention::keep_indexes(&mut resources, &observed.found, &known, is_complete);
                deferred.extend(kept);
            }
        }
        let sites = inputs
            .sites
            .iter()
            .map(|(logical, site)| (inputs.bucket(logical), Arc::clone(site)))
            .collect();
        let request = Request {
            strays: self.strays(&resources, found, &facts, &mut observed.found),
            resources,
        };
        let mut plan = build(&request, &observed.found, self.registry);
        plan.warnings = compile::warnings(&inputs);
        plan.warnings.extend(compile::unrecorded_grants(&unrecorded));
        let errors = lint(&plan, &request, &observed.found, self.registry);
        let fingerprint = layout.as_ref().map(|layout| layout.fingerprint.clone());
        Ok(Planned {
            plan,
            layout,
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
    async fn former_grants(
        &self,
        facts: &ReleaseState,
        layout: &Layout,
    ) -> Result<(Vec<BTreeMap<String, Document>>, bool), EngineError> {
        let mut known = Vec::new();
        let mut is_complete = true;
        for release in layout
            .reachable()
            .into_iter()
            .filter(|release| *release < layout.release && facts.releases.contains_key(release))
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

    fn inputs<'a>(&'a self, inputs: &'a PlanInputs<'a>, packages: &'a BTreeMap<String, String>) -> Inputs<'a> {
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

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, EngineError> {
        let found: Vec<Vec<Discovered>> = stream::iter(self.registry.kinds())
            .map(|kind| kind.enumerate(reader))
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What is ours but not wanted, and what becomes of it.
    fn strays(
        &self,
        wanted: &[Resource],
        found: Vec<Discovered>,
        facts: &ReleaseState,
        observed: &mut Observations,
    ) -> Vec<Stray> {
        let wanted: BTreeSet<&ResourceId> = wanted.iter().map(|resource| &resource.id).collect();
        let taken: BTreeSet<String> = observed
            .values()
            .filter_map(|one| one.outputs.get("name").cloned())
            .collect();
        let needed = needed_functions(facts);
        let mut strays = Vec::new();
        for Discovered { id, outputs } in found {
            // A resource with a name of its own is found under its physical name.
            if wanted.contains(&id) || outputs.get("name").is_some_and(|name| taken.contains(name)) {
                continue;
            }
            let kind = self.registry.kind(&id.kind);
            let disposition = if kind.holds_data() {
                Disposition::Keep {
                    reason: format!(
                        "it may hold data; `taskctl destroy --delete-data {}` deletes it",
                        id.name
                    ),
                }
            } else if let Some(release) = needed.get(&id.name).filter(|_| kind.serves_function()) {
                Disposition::Keep {
                    reason: format!("release {release} needs it; it goes when no release that can be live does"),
                }
            } else {
                Disposition::Delete {
                    reason: "not in the template".to_owned(),
                    data: Data::None,
                }
            };
            observed.insert(id.clone(), stray_observation(outputs));
            strays.push(Stray { id, disposition });
        }
        strays
    }

    /// Carries a plan out under a lease. What it is about to make is written down before the first of it is made, and
    /// the release it made afterwards.
    pub async fn apply(&self, planned: &Planned, lease: &Lease, user: &str) -> Result<Execution, EngineError> {
        if !planned.errors.is_empty() {
            return Err(EngineError::Lint(planned.errors.clone()));
        }
        let began = tokio::time::Instant::now();
        let created: Vec<ResourceId> = planned.plan.steps.iter().map(|step| step.id.clone()).collect();
        for package in &planned.packages {
            self.context
                .add_package(self.control.name(), &package.code_sha256, &package.zip_path);
        }
        let announcing = async {
            match planned.plan.counts().create {
                0 => Ok(()),
                _ => futures::try_join!(
                    ledger::announce(&self.context, &self.control, &created),
                    self.control.keep_policy(&self.context)
                )
                .map(drop),
            }
        };
        // What could not be sent now is sent when it is needed, and the error told then.
        let sending = new_code(&planned.plan).map(|code_sha256| self.context.stage(code_sha256));
        let (announced, _) = futures::join!(announcing, futures::future::join_all(sending));
        announced?;
        for (bucket, site) in &planned.sites {
            self.context.add_site(bucket, Arc::clone(site));
        }
        let execution = execute(&self.context, self.registry, &planned.plan).await;
        let sweeping = async {
            match planned.layout {
                Some(_) => self.context.unstage().await,
                None => self.context.sweep_packages(&self.control).await,
            }
        };
        let recording = async {
            let Some(layout) = planned
                .layout
                .as_ref()
                .filter(|_| execution.done.contains(&apigateway::deployment::id()))
            else {
                return Ok(());
            };
            let made = ReleaseRecord {
                release: layout.release,
                color: layout.color.as_str().to_owned(),
                fingerprint: planned.fingerprint.clone().unwrap_or_default(),
                commit: planned.commit.clone(),
                user: user.to_owned(),
                at: self.context.now(),
                millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                changes: planned.plan.counts(),
                versions: layout.versions.clone(),
                grants: planned.grants.clone(),
                fence: lease.fence(),
            };
            ledger::record(&self.context, &self.control, &made).await
        };
        let (swept, recorded) = futures::join!(sweeping, recording);
        if let Err(error) = swept {
            self.context.emit(Event::Warning {
                message: format!("packages were left in the control bucket: {error}"),
            });
        }
        recorded?;
        if let Some(layout) = &planned.layout {
            let before = planned.facts.live.as_ref().and_then(|live| live.release);
            if execution.done.contains(&apigateway::stage::id(apigateway::stage::LIVE))
                && before != Some(layout.live.release)
            {
                self.context.emit(Event::Promoted {
                    release: layout.live.release,
                    color: layout.live.variables.get("color").cloned().unwrap_or_default(),
                    previous: before,
                });
            }
        }
        Ok(execution)
    }

    /// The policy that somebody needs who runs these commands on this stack, as it stands now.
    pub async fn policy(
        &self,
        commands: &BTreeSet<Commands>,
        inputs: &PlanInputs<'_>,
    ) -> Result<Document, EngineError> {
        let nothing = BTreeMap::new();
        let inputs = self.inputs(inputs, &nothing);
        let mut resources = compile::standing(&inputs);
        resources.extend(compile::released(&inputs, &ReleaseState::default()).0);
        let mut kinds: BTreeSet<String> = resources.into_iter().map(|one| one.id.kind).collect();
        // Their content is not needed to know that they come.
        if inputs.stack.buckets.values().any(|bucket| bucket.website.is_some()) {
            kinds.extend(["site_content".to_owned(), "site_pages".to_owned()]);
        }
        Ok(deployer_policy(
            commands,
            &kinds,
            inputs.stack,
            self.context.identity(),
            self.control.name(),
            &self.standing().await?,
        ))
    }

    /// What stands of a stack and is named in policies one by one.
    async fn standing(&self) -> Result<Standing, EngineError> {
        let reader = Reader::new(self.context.clone());
        let names = async |kind: &str| {
            let found = self.registry.kind(kind).enumerate(&reader).await?;
            let names = found.into_iter().filter_map(|mut one| one.outputs.remove("name"));
            Ok::<BTreeSet<String>, AwsError>(names.collect())
        };
        let (apis, tables, buckets, dashboards) = futures::try_join!(
            apigateway::state::find(&self.context),
            names("dynamodb_table"),
            names("s3_bucket"),
            names("cloudwatch_dashboard"),
        )?;
        Ok(Standing {
            apis: apis.into_iter().filter_map(|api| api.api_id).collect(),
            tables,
            buckets,
            dashboards,
        })
    }

    /// Plans the end of a stage: everything of it, data stores only where named or empty.
    pub async fn plan_destroy(&self, delete_data: &DeleteData) -> Result<Planned, EngineError> {
        let reader = Reader::new(self.context.clone());
        self.context.emit(Event::ReadStarted { resources: 0 });
        let began = tokio::time::Instant::now();
        let found = self.enumerate(&reader).await?;
        let kinds: BTreeSet<String> = found.iter().map(|one| one.id.kind.clone()).collect();
        let mut observed = Observations::new();
        let mut strays = Vec::new();
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
            if kind.contained_in().is_some_and(|container| kinds.contains(container)) {
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
            observed.insert(id.clone(), stray_observation(outputs));
            strays.push(Stray { id, disposition });
        }
        self.context.emit(Event::ReadFinished {
            millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            calls: self.context.calls(),
        });
        let request = Request {
            resources: Vec::new(),
            strays,
        };
        let plan = build(&request, &observed, self.registry);
        let errors = lint(&plan, &request, &observed, self.registry);
        Ok(Planned {
            plan,
            layout: None,
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

    /// The releases there are: what AWS keeps, with what the ledger remembers of it. Newest first.
    pub async fn releases(&self) -> Result<Vec<history::Release>, EngineError> {
        let looking = async { Ok(driver::look(&self.context).await?) };
        let records = async { Ok::<_, EngineError>(ledger::records(&self.context, &self.control).await?) };
        let moves = async { Ok::<_, EngineError>(ledger::moves(&self.context, &self.control).await?) };
        let ((_, facts), records, moves) = futures::try_join!(looking, records, moves)?;
        Ok(history::releases(&facts, &records, &moves))
    }

    /// What could move now: the promotion of what waits, or a rollback.
    pub async fn movement(&self, wanted: Wanted) -> Result<Option<Movement>, EngineError> {
        let identity = self.context.identity();
        let (state, facts) = driver::look(&self.context).await?;
        Ok(match wanted {
            Wanted::Promotion => movement::promotion(identity, &state, &facts)?,
            Wanted::Rollback { to } => movement::rollback(identity, &state, &facts, to)?,
        })
    }

    /// Ends a canary: no share of live's traffic goes elsewhere any more. Returns what did, in percent by function.
    pub async fn abort(&self) -> Result<BTreeMap<String, u8>, EngineError> {
        Ok(driver::abort(&self.context).await?)
    }

    /// Moves live.
    pub async fn go(
        &self,
        movement: &Movement,
        lease: &Lease,
        way: &Way,
        outside: &dyn Probe,
        user: &str,
    ) -> Result<Moved, EngineError> {
        Ok(driver::go(&self.context, &self.control, lease, movement, way, outside, user).await?)
    }

    /// Web sites whose users do not see the pages of the live release: somebody was cut off between the switch and the
    /// pages. Content by bucket.
    pub async fn late_pages(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let (state, facts) = driver::look(&self.context).await?;
        let live = facts.live.as_ref().and_then(|live| live.release);
        let label = live.and_then(|live| facts.releases.get(&live));
        let config = site::objects::config(&apigateway::api::endpoint(&state));
        let mut late = BTreeMap::new();
        for (bucket, content) in label.into_iter().flat_map(|label| &label.sites) {
            let objects = site::objects::list(&self.context, bucket).await?.unwrap_or_default();
            if site::objects::seen(&objects, content, Some(&md5(&config))).as_ref() != Some(content) {
                late.insert(bucket.clone(), content.clone());
            }
        }
        Ok(late)
    }

    /// Shows contents to the users of web sites, by bucket.
    pub async fn show_pages(&self, contents: &BTreeMap<String, String>) -> Result<(), EngineError> {
        Ok(driver::show_pages(&self.context, contents).await?)
    }

    /// Takes away what no kept release needs: grants of former releases, function versions, deployments, web site content.
    pub async fn prune(&self, keep: usize) -> Result<Pruned, EngineError> {
        let context = &self.context;
        let (_, facts) = driver::look(context).await?;
        let kept = Kept::of(&facts, keep);
        let mut pruned = Pruned::default();
        let reader = Reader::new(context.clone());
        if let Some(oldest) = kept.oldest_reachable {
            let roles = self.registry.kind("iam_role").enumerate(&reader).await?;
            let names = roles.iter().filter_map(|role| role.outputs.get("name"));
            let dropped = names.map(|name| iam::role::drop_former(context, name, oldest));
            pruned.grants = futures::future::try_join_all(dropped).await?.into_iter().sum();
        }
        if facts.releases.keys().all(|release| kept.releases.contains(release)) {
            return Ok(pruned);
        }
        let api = reader.api().await?.map(|api| api.id().to_owned()).unwrap_or_default();
        for (number, deployment) in facts
            .deployments
            .iter()
            .filter(|(number, _)| !kept.releases.contains(number))
        {
            let outputs = Outputs::from([
                ("api_id".to_owned(), api.clone()),
                ("deployment_id".to_owned(), deployment.clone()),
            ]);
            let kind = self.registry.kind("api_deployment");
            kind.delete(context, &apigateway::deployment::id(), &outputs).await?;
            pruned.releases.insert(*number);
        }
        let versions = self.registry.kind("lambda_version");
        for function in self.registry.kind("lambda_function").enumerate(&reader).await? {
            let Some(physical) = function.outputs.get("name") else {
                continue;
            };
            let aliases = reader.aliases(physical).await?;
            let known: Vec<u64> = aliases
                .iter()
                .filter_map(VersionAlias::parse)
                .map(|alias| alias.version)
                .collect();
            let stay = kept.versions(&facts, &function.id.name, &known, keep);
            for version in known.into_iter().filter(|version| !stay.contains(version)) {
                let outputs = Outputs::from([
                    ("function".to_owned(), physical.clone()),
                    ("version".to_owned(), version.to_string()),
                ]);
                versions.delete(context, &function.id, &outputs).await?;
                pruned.versions += 1;
            }
        }
        let labels = facts
            .releases
            .iter()
            .filter(|(number, _)| kept.releases.contains(number));
        let mut needed: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
        for (bucket, content) in labels.flat_map(|(_, label)| &label.sites) {
            needed.entry(bucket).or_default().insert(content.clone());
        }
        for (bucket, contents) in needed {
            pruned.files += site::objects::prune(context, bucket, &contents).await?;
        }
        Ok(pruned)
    }

    /// What the functions' roles get back before live goes to a kept release that is neither live, in preview nor the one
    /// before live. Its record in the ledger says what it needs, its label on AWS whether that is true.
    pub async fn restoration(&self, movement: &Movement) -> Result<Restoration, EngineError> {
        let context = &self.context;
        let (_, facts) = driver::look(context).await?;
        let release = movement.to;
        let nothing = Restoration {
            release,
            ..Restoration::default()
        };
        let Some(label) = facts.releases.get(&release) else {
            return Ok(nothing);
        };
        if facts.reachable().first().is_none_or(|oldest| *oldest <= release) {
            return Ok(nothing);
        }
        let reader = Reader::new(context.clone());
        let roles = self.registry.kind("iam_role").enumerate(&reader);
        let record = ledger::of_release(context, &self.control, release);
        let (roles, record) = futures::try_join!(roles, record)?;
        let roles = roles
            .into_iter()
            .filter_map(|mut role| Some((role.id.name, role.outputs.remove("name")?)));
        let in_place: Vec<Option<(String, InPlace)>> = stream::iter(roles)
            .map(|(function, role)| async move {
                let now = iam::role::in_place(context, &role, release).await?;
                Ok::<_, AwsError>(now.map(|now| (function, now)))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        let in_place = in_place.into_iter().flatten().collect();
        let record = record.map(|record| record.grants);
        grants::restoration(label, record.as_ref(), &in_place).map_err(|refusal| {
            let record = format!("s3://{}/{}", self.control.name(), ledger::key_of(context, release));
            MoveError::grants(label, &record, refusal).into()
        })
    }

    /// Gives it back.
    pub async fn restore(&self, restoration: &Restoration) -> Result<(), EngineError> {
        for one in restoration.roles.values() {
            iam::role::put_former(&self.context, &one.role, restoration.release, &one.needed)
                .await
                .map_err(|error| match error.kind {
                    ErrorKind::Denied => EngineError::Move(MoveError::GrantsDenied {
                        release: restoration.release,
                        source: error,
                    }),
                    _ => error.into(),
                })?;
        }
        Ok(())
    }

    /// Who holds the stage, and for how many seconds that lease has been silent.
    pub async fn holder(&self) -> Result<Option<(LeaseRecord, i64)>, EngineError> {
        Ok(lease::holder(&self.context, &self.control).await?)
    }

    /// Takes the lease away from whoever holds it.
    pub async fn unlock(&self, force: Force) -> Result<Option<LeaseRecord>, EngineError> {
        Ok(lease::take_away(&self.context, &self.control, force).await?)
    }

    /// Where the stack answers.
    pub async fn endpoints(&self, site: Option<String>) -> Result<Endpoints, EngineError> {
        if let Some(known) = self.known_endpoints(&site) {
            return Ok(known);
        }
        let reader = Reader::new(self.context.clone());
        Ok(match reader.api().await? {
            Some(state) => crate::status::endpoints(state, site),
            None => Endpoints {
                site,
                ..Endpoints::default()
            },
        })
    }
}

impl Engine {
    /// The same, from what this run has read or made.
    fn known_endpoints(&self, site: &Option<String>) -> Option<Endpoints> {
        let base = self.context.output(&apigateway::api::id(), "endpoint").ok()?;
        let stands = |slot: &str| !self.context.outputs(&apigateway::stage::id(slot)).is_empty();
        (stands(apigateway::stage::LIVE) && stands(apigateway::stage::PREVIEW) && !base.is_empty()).then(|| Endpoints {
            live: Some(base.clone()),
            preview: Some(format!("{base}/{}", apigateway::stage::PREVIEW)),
            site: site.clone(),
        })
    }
}

/// Why a store stays.
fn holds_data(id: &ResourceId) -> String {
    format!("it holds data; `--delete-data {}` deletes it", id.name)
}

struct ReadResult {
    read: BTreeSet<ResourceId>,
    found: Observations,
}

fn stray_observation(outputs: Outputs) -> Observed {
    Observed {
        model: serde_json::Value::Null,
        outputs,
        ownership: Ownership::Ours,
        pending: Vec::new(),
    }
}

/// The packages that a plan needs, by their hashes.
fn new_code(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.steps
        .iter()
        .filter(|step| step.id.kind == "lambda_function")
        .filter_map(|step| match &step.action {
            Action::Create { desired, .. } => Some(desired),
            Action::Update { desired, changes, .. } => changes
                .iter()
                .any(|change| change.field == "code_sha256")
                .then_some(desired),
            _ => None,
        })
        .filter_map(|desired| desired.get("code_sha256")?.as_str())
}

/// Functions that live, preview or the release before live need, with one such release.
fn needed_functions(facts: &ReleaseState) -> BTreeMap<String, u64> {
    let slots = [&facts.live, &facts.preview];
    let releases = slots.into_iter().flatten().flat_map(|slot| {
        let previous = slot.variables.get("previousRelease").and_then(|text| text.parse().ok());
        [slot.release, previous].into_iter().flatten()
    });
    let mut needed = BTreeMap::new();
    for number in releases {
        if let Some(label) = facts.releases.get(&number) {
            for function in label.versions.keys() {
                needed.entry(function.clone()).or_insert(number);
            }
        }
    }
    needed
}
