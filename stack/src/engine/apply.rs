//! Carries a plan out under a lease.

use std::sync::Arc;

use serde_json::Value;

use super::plan::release_id;
use super::{Engine, EngineError, Planned};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::lambda;
use crate::aws::release::going_live::{GoingLive, Outside};
use crate::aws::release::lease::Lease;
use crate::aws::release::ledger::{self, Inventory};
use crate::event::{Event, millis};
use crate::execute::{Execution, execute};
use crate::plan::{Action, Plan, Step};
use crate::release::record::{Cause, DONE, MoveRecord, ReleaseRecord};
use crate::release::slots::{Carrier, LIVE, Slot};

/// What came of a plan.
#[derive(Debug)]
pub struct Applied {
    /// What was done.
    pub execution: Execution,
    /// Why live, which has moved, was not confirmed from outside.
    pub unconfirmed: Option<String>,
}

impl Engine {
    /// Carries a plan out under a lease. What it is about to make is written down before the first of it is made, and
    /// the release it made afterwards. With `outside`, preview is asked before live moves, and live after it.
    pub async fn apply(
        &self,
        planned: &Planned,
        lease: &Lease,
        user: &str,
        outside: Option<Outside>,
    ) -> Result<Applied, EngineError> {
        let going_live = outside.map(|outside| GoingLive::begin(&self.context, outside));
        let execution = self.carry_out(planned, lease, user).await?;
        let unconfirmed = match (going_live, moved(planned, &execution)) {
            (Some(going_live), Some(_)) => going_live.confirm(&self.context).await?,
            _ => None,
        };
        Ok(Applied { execution, unconfirmed })
    }

    async fn carry_out(&self, planned: &Planned, lease: &Lease, user: &str) -> Result<Execution, EngineError> {
        if !planned.errors.is_empty() {
            return Err(EngineError::Lint(planned.errors.clone()));
        }
        let began = tokio::time::Instant::now();
        let mut inventory = inventory(&planned.plan);
        self.announce(planned, &inventory).await?;
        for (bucket, site) in &planned.sites {
            self.context.add_site(bucket, Arc::clone(site));
        }
        let forgetting = async {
            match is_first_release(planned) {
                true => ledger::forget(&self.context, &self.control).await,
                false => Ok(()),
            }
        };
        // Packages are on their way while roles and tables are made. One that cannot be sent now is sent again when it is needed; an
        // error is reported then.
        let sending = new_code(&planned.plan).map(|code_sha256| self.context.stage(code_sha256));
        let (execution, forgotten, _) = futures::join!(
            execute(&self.context, self.registry, &planned.plan),
            forgetting,
            futures::future::join_all(sending)
        );
        if let Err(error) = forgotten {
            self.context.emit(Event::Warning {
                message: format!("records of the stage's former releases could not be deleted: {error}"),
            });
        }
        let sweeping = async {
            match planned.slots {
                Some(_) => self.context.unstage().await,
                None => self.control.sweep_packages(&self.context).await,
            }
        };
        let release = planned
            .slots
            .as_ref()
            .filter(|slots| execution.done.contains(&release_id(slots.carrier)));
        let recording = async {
            let Some(slots) = release else { return Ok(()) };
            let made = ReleaseRecord {
                release: slots.release,
                color: slots.color.as_str().to_owned(),
                fingerprint: planned.fingerprint.clone().unwrap_or_default(),
                commit: planned.commit.clone(),
                user: user.to_owned(),
                principal: lease.principal(),
                at: self.context.now(),
                millis: millis(began.elapsed()),
                changes: planned.plan.counts(),
                versions: slots.versions.clone(),
                grants: planned.grants.clone(),
                fence: lease.fence(),
            };
            ledger::record(&self.context, &self.control, &made).await
        };
        inventory.completed = execution.is_complete().then(|| self.context.now());
        let listing = async {
            match inventory.completed {
                Some(_) if planned.plan.has_changes() => {
                    ledger::announce(&self.context, &self.control, &inventory).await
                }
                _ => Ok(()),
            }
        };
        let moved = moved(planned, &execution);
        let noting = async {
            if let Some(made) = planned.facts.unrecorded() {
                ledger::record_move(&self.context, &self.control, &made).await?;
            }
            let Some((from, live)) = moved else { return Ok(()) };
            let made = MoveRecord {
                from,
                to: live.release,
                cause: Cause::Deploy,
                end: DONE.to_owned(),
                user: user.to_owned(),
                principal: lease.principal(),
                at: self.context.now(),
                millis: millis(began.elapsed()),
                fence: lease.fence(),
            };
            ledger::record_move(&self.context, &self.control, &made).await
        };
        let (swept, recorded, noted, listed) = futures::join!(sweeping, recording, noting, listing);
        if let Err(error) = swept {
            self.context.emit(Event::Warning {
                message: format!("packages were left in the control bucket: {error}"),
            });
        }
        if let Some((previous, live)) = moved {
            let color = live.variables.color();
            self.context.emit(Event::Promoted {
                release: live.release,
                color: color.map(|color| color.as_str().to_owned()).unwrap_or_default(),
                previous,
            });
        }
        recorded.and(noted).and(listed)?;
        Ok(execution)
    }

    /// Writes down what is about to be made.
    async fn announce(&self, planned: &Planned, inventory: &Inventory) -> Result<(), EngineError> {
        for package in &planned.packages {
            self.context
                .add_package(self.control.name(), &package.code_sha256, &package.zip_path);
        }
        let counts = planned.plan.counts();
        if counts.create + counts.replace + counts.delete == 0 {
            return Ok(());
        }
        let announcing = ledger::announce(&self.context, &self.control, inventory);
        futures::try_join!(announcing, self.control.keep_policy(&self.context))?;
        Ok(())
    }
}

/// Whether the plan begins the stage: no release stands, and whatever the ledger says is of one that was destroyed.
fn is_first_release(planned: &Planned) -> bool {
    let Some(slots) = &planned.slots else { return false };
    let id = release_id(slots.carrier);
    let begins = |step: &Step| step.id == id && matches!(step.action, Action::Create { .. });
    slots.release == 1 && planned.plan.steps.iter().any(begins)
}

/// What live serves now and did not before, with the release that it served.
fn moved<'a>(planned: &'a Planned, execution: &Execution) -> Option<(Option<u64>, &'a Slot)> {
    let slots = planned.slots.as_ref()?;
    let live = &slots.live;
    let before = planned.facts.live.as_ref().and_then(|live| live.release);
    let has_moved = match slots.carrier {
        Carrier::Api => execution.done.contains(&apigateway::stage::id(LIVE)),
        Carrier::Functions => {
            let live_of = |name: &String| lambda::alias::id(name, LIVE);
            slots
                .versions
                .keys()
                .all(|name| execution.done.contains(&live_of(name)))
        }
    };
    (has_moved && before != Some(live.release)).then_some((before, live))
}

/// What exists once a plan is carried out. What is kept beside the template is not asked for again: it may go.
fn inventory(plan: &Plan) -> Inventory {
    let named = |step: &Step| {
        let of_model = |model: &Value| Some(model.get("name")?.as_str()?.to_owned());
        let name = match &step.action {
            Action::Create { desired, .. }
            | Action::Update { desired, .. }
            | Action::CreateThenDelete { desired, .. }
            | Action::DeleteThenCreate { desired, .. } => of_model(desired),
            Action::NoOp { observed } => of_model(&observed.as_ref()?.model),
            Action::Delete { .. } | Action::Keep { .. } => None,
        };
        Some((step.id.clone(), name?))
    };
    Inventory {
        resources: plan.steps.iter().filter_map(named).collect(),
        completed: None,
    }
}

/// The packages that a plan needs, by their hashes.
fn new_code(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.steps
        .iter()
        .filter(|step| step.id.kind == lambda::function::KIND)
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
