//! Carries the release machine's effects out: asks preview and live from outside, moves live with one `UpdateStage`.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tokio::time::Instant;

use super::bake::bake;
use super::confirm;
use super::control_bucket::ControlBucket;
use super::error::MoveError;
use super::hooks::run_hooks;
use super::lease::{Lease, Progress};
use super::ledger;
use super::presence::{is_deployed, not_deployed};
use super::traffic_shift;
use super::{gateway, release_state};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::apigateway::stage::{LIVE, stage_of};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::events::warmup_rule;
use crate::aws::kinds::site;
use crate::event::{Event, millis};
use crate::release::canary::{Metering, Rollout};
use crate::release::machine::{Aim, Effect, End, Machine, Outcome};
use crate::release::record::{Cause, DONE, MoveRecord};
use crate::release::slots::{ReleaseState, SlotVariables};
use crate::release::transition::{self, Transition, TransitionError, back, forward};
use crate::template::model::{Hook, Hooks};

/// What an HTTP request from outside was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// `x-release`.
    pub release: Option<String>,
}

/// Asks URLs as a user would, each over a connection of its own.
#[async_trait]
pub trait Probe: Send + Sync {
    /// One GET. An error is a text for people.
    async fn get(&self, url: &str) -> Result<Answer, String>;
    /// Runs a shell command. An error is a text for people.
    async fn run(&self, command: &str, variables: &[(&str, String)]) -> Result<(), String>;
    /// Runs the stack's own request checks against a URL.
    async fn check(&self, url: &str) -> Checked;
}

/// What came of request checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Requests made.
    pub requests: usize,
    /// What was asserted.
    pub assertions: usize,
    /// One line for each check that failed.
    pub failures: Vec<String>,
}

/// How a transition went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The end.
    pub end: End,
    /// Release before.
    pub from: Option<u64>,
    /// Release aimed at.
    pub to: u64,
}

/// Reads where live is.
pub async fn look(context: &Context) -> Result<(ApiState, ReleaseState), MoveError> {
    let state = ApiState::read(context).await?;
    let Some(state) = state else {
        return Err(match is_deployed(context).await? {
            true => TransitionError::Nothing("the stack has no API, and so no releases".to_owned()).into(),
            false => not_deployed(context).await.into(),
        });
    };
    let facts = release_state::of(&state, BTreeMap::new());
    release_state::readable(&facts)?;
    Ok((state, facts))
}

/// How a transition is carried out.
#[derive(Debug, Clone)]
pub struct RolloutOptions {
    /// In which steps.
    pub rollout: Rollout,
    /// When metrics can be believed.
    pub metering: Metering,
    /// What is run before and after.
    pub hooks: Hooks,
    /// Releases that are kept afterwards.
    pub keep: usize,
}

/// Which functions of live send a share elsewhere, with the percentage.
pub async fn diverted(
    context: &Context,
    state: &ApiState,
    facts: &ReleaseState,
) -> Result<BTreeMap<String, u8>, MoveError> {
    let aliases = transition::live_aliases(&gateway::of(context.identity(), state), facts);
    Ok(traffic_shift::diverted(context, &aliases).await?)
}

/// Takes every share away that is diverted. Returns what was.
pub async fn abort(context: &Context) -> Result<BTreeMap<String, u8>, MoveError> {
    let (state, facts) = look(context).await?;
    let aliases = transition::aliases(&gateway::of(context.identity(), &state), &facts, None);
    let diverted = traffic_shift::diverted(context, &aliases).await?;
    traffic_shift::clear(context, &aliases).await?;
    Ok(diverted)
}

/// Carries a transition out under a lease.
pub async fn run(
    context: &Context,
    control: &ControlBucket,
    lease: &Lease,
    transition: &Transition,
    options: &RolloutOptions,
    probe: &dyn Probe,
    user: &str,
) -> Result<Moved, MoveError> {
    let began = Instant::now();
    let is_diverted = !traffic_shift::diverted(context, &transition.aliases).await?.is_empty();
    if is_diverted {
        note(context, "an abandoned canary is ended first");
    }
    let steps = steps(context, transition, options);
    let red_before = match steps.is_empty() {
        true => BTreeSet::new(),
        false => traffic_shift::red(context).await?,
    };
    let mut machine = Machine::begin(transition.aim, steps.clone(), is_diverted);
    let mut run = Run {
        context,
        lease,
        transition,
        options,
        probe,
        steps,
        red_before,
        since: 0,
    };
    let end = loop {
        let effect = machine.effect();
        if let Effect::End(end) = effect {
            break end;
        }
        let outcome = run.carry_out(effect).await?;
        machine
            .step(outcome)
            .map_err(|illegal| AwsError::own("taskctl", "release", ErrorKind::Invalid, illegal.to_string()))?;
    };
    let record = MoveRecord {
        from: transition.from,
        to: transition.to,
        cause: match transition.aim {
            Aim::Promote => Cause::Promote,
            Aim::Rollback => Cause::Rollback,
        },
        end: recorded(&end),
        user: user.to_owned(),
        at: context.now(),
        millis: millis(began.elapsed()),
        fence: lease.fence(),
    };
    // History, not truth: live has moved whether or not this is written.
    if let Err(error) = ledger::record_move(context, control, &record).await {
        context.emit(Event::Warning {
            message: format!("the move is not in the history: {error}"),
        });
    }
    Ok(Moved {
        end,
        from: transition.from,
        to: transition.to,
    })
}

/// The shares that live's traffic takes on the way; none where no function changes.
fn steps(context: &Context, transition: &Transition, options: &RolloutOptions) -> Vec<u8> {
    if transition.changed.iter().any(|one| one.new.is_some()) {
        return options.rollout.steps.clone();
    }
    if !options.rollout.steps.is_empty() {
        note(
            context,
            "no function changes: routes and pages move at once, without a canary",
        );
    }
    Vec::new()
}

/// The end, as the history has it.
fn recorded(end: &End) -> String {
    match end {
        End::Done => DONE.to_owned(),
        End::Refused(reason) => format!("refused: {reason}"),
        End::Stopped(reason) => format!("stopped: {reason}"),
        End::Returned(reason) => format!("returned: {reason}"),
        End::Unconfirmed(reason) => format!("unconfirmed: {reason}"),
    }
}

fn note(context: &Context, message: &str) {
    context.emit(Event::Note {
        message: message.to_owned(),
    });
}

/// A transition while it is carried out.
struct Run<'a> {
    context: &'a Context,
    lease: &'a Lease,
    transition: &'a Transition,
    options: &'a RolloutOptions,
    probe: &'a dyn Probe,
    steps: Vec<u8>,
    /// Alarms that were red before a share was diverted.
    red_before: BTreeSet<String>,
    /// When the present share was diverted, Unix seconds.
    since: i64,
}

impl Run<'_> {
    /// One effect of the machine, by a function for each phase.
    async fn carry_out(&mut self, effect: Effect) -> Result<Outcome, MoveError> {
        match effect {
            Effect::ClearWeights => self.clear_weights().await,
            Effect::Check => Ok(self.check().await),
            Effect::Divert(percent) => Ok(self.divert(percent).await),
            Effect::Bake(step) => {
                let percent = self.steps.get(step).copied().unwrap_or_default();
                let Self {
                    context,
                    transition,
                    options,
                    ..
                } = self;
                Ok(bake(context, transition, options, percent, self.since, &self.red_before).await)
            }
            Effect::Switch => self.switch().await,
            Effect::SwitchBack => self.switch_back().await,
            Effect::Confirm => Ok(self.confirm().await),
            Effect::End(_) => Ok(Outcome::Good),
        }
    }

    async fn clear_weights(&self) -> Result<Outcome, MoveError> {
        traffic_shift::clear(self.context, &self.transition.aliases).await?;
        self.lease.report(None);
        Ok(Outcome::Good)
    }

    async fn check(&self) -> Outcome {
        match confirm::check(self.context, self.transition, self.probe).await {
            Outcome::Good => {
                self.hooks(&self.options.hooks.before, &self.transition.preview_url)
                    .await
            }
            other => other,
        }
    }

    async fn confirm(&self) -> Outcome {
        match confirm::confirm(self.context, self.transition, self.probe).await {
            Outcome::Good if self.transition.aim == Aim::Promote => {
                self.hooks(&self.options.hooks.after, &self.transition.live_url).await
            }
            other => other,
        }
    }

    async fn hooks(&self, hooks: &[Hook], url: &str) -> Outcome {
        run_hooks(self.context, self.transition, hooks, url, self.probe).await
    }

    async fn divert(&mut self, percent: u8) -> Outcome {
        let Self {
            context, transition, ..
        } = self;
        match traffic_shift::divert(context, &transition.changed, percent).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::Interrupted => return Outcome::Interrupted,
            // Some functions may have their share already: what is diverted is taken back.
            Err(error) => return Outcome::Bad(format!("diverting {percent} % failed: {error}")),
        }
        self.since = context.now().as_second();
        let place = self.steps.iter().position(|step| *step == percent);
        self.lease.report(place.map(|place| Progress {
            release: transition.to,
            percent,
            step: place + 1,
            steps: self.steps.len(),
            since: context.now(),
            seconds: self.options.rollout.bake.as_secs(),
        }));
        let taking = transition.changed.iter().filter(|one| one.new.is_some());
        context.emit(Event::Diverted {
            release: transition.to,
            percent,
            functions: taking.map(|one| one.name.clone()).collect(),
        });
        Outcome::Good
    }

    async fn switch(&self) -> Result<Outcome, MoveError> {
        let Self {
            context, transition, ..
        } = self;
        let call = op("apigateway", "UpdateStage");
        switch(context, call, transition, &transition.deployment, forward(transition)).await?;
        emit_moved(context, transition);
        show_pages(context, &transition.sites).await?;
        retarget_warmup(context, &transition.versions).await;
        Ok(Outcome::Good)
    }

    async fn switch_back(&self) -> Result<Outcome, MoveError> {
        let Self {
            context, transition, ..
        } = self;
        let call = op("apigateway", "UpdateStage").even_when_stopped();
        switch(context, call, transition, &transition.live.deployment, back(transition)).await?;
        show_pages(context, &transition.former_sites).await?;
        retarget_warmup(context, &transition.former_versions).await;
        Ok(Outcome::Good)
    }
}

/// Live has moved whether or not the warm-up rules follow: the next deploy finds what is left.
async fn retarget_warmup(context: &Context, versions: &BTreeMap<String, String>) {
    if let Err(error) = warmup_rule::retarget(context, versions).await {
        context.emit(Event::Warning {
            message: format!(
                "the warm-up schedule still pings the former release; the next deploy changes that: {error}"
            ),
        });
    }
}

/// Shows contents to the users of web sites, by bucket.
pub async fn show_pages(context: &Context, contents: &BTreeMap<String, String>) -> Result<(), AwsError> {
    for (bucket, content) in contents {
        let changed = site::objects::show(context, bucket, content).await?;
        if changed > 0 {
            context.emit(Event::Note {
                message: format!(
                    "web site {bucket}: {changed} {} of this release in place",
                    if changed == 1 { "page" } else { "pages" }
                ),
            });
        }
    }
    Ok(())
}

fn emit_moved(context: &Context, transition: &Transition) {
    let color = transition.color.as_str().to_owned();
    context.emit(match transition.aim {
        Aim::Promote => Event::Promoted {
            release: transition.to,
            color,
            previous: transition.from,
        },
        Aim::Rollback => Event::RolledBack {
            release: transition.to,
            color,
            from: transition.from,
        },
    });
}

/// The one call.
async fn switch(
    context: &Context,
    call: Op,
    transition: &Transition,
    deployment: &str,
    variables: SlotVariables,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    context
        .call(call, || {
            client
                .update_stage()
                .api_id(&transition.api_id)
                .stage_name(stage_of(LIVE))
                .deployment_id(deployment)
                .set_stage_variables(Some(variables.as_map().clone().into_iter().collect()))
                .send()
        })
        .await
        .map(drop)
}
