//! Carries the release machine's effects out: asks preview and live from outside, moves live with one `UpdateStage`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::bake::{Share, bake};
use super::check_event::CheckEvents;
use super::confirm::{self, Asker};
use super::control_bucket::ControlBucket;
use super::error::MoveError;
use super::followers;
use super::hooks::run_hooks;
use super::lease::{Lease, Progress};
use super::ledger;
use super::sight::Sight;
use super::traffic_shift::{self, Shares, StillSet};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::apigateway::stage::{LIVE, drop_settings_of_gone_routes, names_gone_route, stage_of};
use crate::aws::kinds::events::warmup_rule;
use crate::aws::kinds::site;
use crate::event::{Event, millis};
use crate::release::answer::Answer;
use crate::release::canary::{Metering, Rollout};
use crate::release::machine::{Aim, Effect, End, Machine, Outcome, Weights};
use crate::release::record::{Cause, DONE, MoveRecord};
use crate::release::slots::{Carrier, SlotVariables};
use crate::release::transition::{self, Transition, VersionAlias, back, forward};
use crate::template::model::{Hook, Hooks};

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
    /// Whether one of them was answered with 5xx.
    pub has_server_error: bool,
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
    /// Command lines that clear the weights that could not be cleared.
    pub clear_with: Vec<String>,
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
    /// What functions are called with that no request reaches.
    pub check_events: CheckEvents,
}

fn by_function(shares: BTreeMap<VersionAlias, u8>) -> BTreeMap<String, u8> {
    let shares = shares.into_iter();
    shares.map(|(alias, percent)| (alias.name, percent)).collect()
}

/// Takes every share away that is diverted. Returns what was.
pub async fn abort(context: &Context, lease: &Lease) -> Result<BTreeMap<String, u8>, MoveError> {
    let Sight { gateway, facts } = Sight::read(context).await?;
    let aliases = transition::aliases(&gateway, &facts, None);
    let diverted = traffic_shift::diverted(context, &aliases).await?;
    let weighted = match lease.is_after_canary() {
        true => aliases.iter().cloned().collect(),
        false => diverted.keys().cloned().collect(),
    };
    traffic_shift::clear(context, &aliases, &weighted).await?;
    Ok(by_function(diverted))
}

/// What may move live, and as whom.
#[derive(Clone, Copy)]
pub enum Hold<'a> {
    /// The holder of the stage's lease.
    Lease(&'a Lease),
    /// Somebody who cannot wait for the control bucket. The move stands in a stage variable of live until a holder writes it
    /// into the ledger.
    Unlocked,
}

impl Hold<'_> {
    fn is_after_canary(self) -> bool {
        matches!(self, Self::Lease(lease) if lease.is_after_canary())
    }

    fn report(self, progress: Option<Progress>) {
        if let Self::Lease(lease) = self {
            lease.report(progress);
        }
    }
}

/// A transition that is possible, and from what it was found.
#[derive(Debug)]
pub struct Proposal {
    /// The transition.
    pub transition: Transition,
    /// Where live was.
    pub sight: Sight,
    /// Aliases that divert, where they were read meanwhile.
    pub shares: Option<Result<Shares, AwsError>>,
}

/// Carries a transition out.
pub async fn run(
    context: &Context,
    control: &ControlBucket,
    hold: Hold<'_>,
    proposal: Proposal,
    options: &RolloutOptions,
    probe: &dyn Probe,
    user: &str,
) -> Result<Moved, MoveError> {
    let began = Instant::now();
    let Proposal { transition, shares, .. } = proposal;
    let transition = &transition;
    let (weights, weighted) = abandoned(context, hold, transition, shares).await?;
    let steps = steps(context, transition, options);
    let (red_before, counting) = match steps.is_empty() {
        true => (BTreeSet::new(), BTreeSet::new()),
        false => (traffic_shift::red(context).await?, counting(context, transition).await?),
    };
    let mut machine = Machine::begin(transition.aim, steps.clone(), weights);
    let mut run = Run {
        context,
        hold,
        transition,
        options,
        probe,
        user,
        began,
        steps,
        red_before,
        counting,
        since: 0,
        weighted,
        still_set: None,
        failure: None,
    };
    let end = loop {
        let effect = machine.effect();
        if let Effect::End(end) = effect {
            break end;
        }
        let outcome = run.carry_out(effect).await;
        machine
            .step(outcome)
            .map_err(|illegal| AwsError::own("taskctl", "release", ErrorKind::Invalid, illegal.to_string()))?;
    };
    let record = run.record(recorded(&end));
    let Run { still_set, failure, .. } = run;
    if let Hold::Lease(_) = hold {
        let unrecorded = transition.live.variables.unrecorded();
        for made in unrecorded.iter().chain([&record]) {
            // History, not truth: live has moved whether or not this is written.
            if let Err(error) = ledger::record_move(context, control, made).await {
                context.emit(Event::Warning {
                    message: format!("the move is not in the history: {error}"),
                });
            }
        }
    }
    let clear_with = still_set.map(|left| left.commands()).unwrap_or_default();
    match (failure, &end) {
        // The stage is another's, who sees to it.
        (Some(error), End::StillDiverted { .. }) if error.kind == ErrorKind::LeaseLost => Err(error.into()),
        // What is wrong with live comes before why a call failed.
        (Some(error), End::Done | End::Refused(_) | End::Stopped(_)) => Err(error.into()),
        (failure, _) => {
            if let Some(error) = failure {
                let message = error.to_string();
                context.emit(Event::Warning { message });
            }
            Ok(Moved {
                end,
                from: transition.from,
                to: transition.to,
                clear_with,
            })
        }
    }
}

/// The weights that a canary has left that was cut off, and the aliases that surely have some.
async fn abandoned(
    context: &Context,
    hold: Hold<'_>,
    transition: &Transition,
    shares: Option<Result<Shares, AwsError>>,
) -> Result<(Weights, BTreeSet<VersionAlias>), MoveError> {
    // Reads of aliases lag behind: a canary on record has left weights whatever they show.
    if hold.is_after_canary() {
        note(context, "an abandoned canary is ended first");
        let weighted = transition.aliases.iter().cloned().collect();
        return Ok((Weights::OnTarget, weighted));
    }
    let shares = match (shares, transition.aim) {
        (Some(shares), _) => shares,
        (None, Aim::Rollback) => traffic_shift::diverted_now(context, &transition.aliases).await,
        (None, Aim::Promote) => traffic_shift::diverted(context, &transition.aliases).await,
    };
    let weighted: BTreeSet<VersionAlias> = match shares {
        Ok(shares) => shares.into_keys().collect(),
        // The way back needs one call to API Gateway, and none to Lambda.
        Err(error) if transition.aim == Aim::Rollback && error.kind != ErrorKind::Interrupted => {
            note(
                context,
                &format!("live moves first: the weights of a canary cannot be read: {error}"),
            );
            return Ok((Weights::OnFormer, BTreeSet::new()));
        }
        Err(error) => return Err(error.into()),
    };
    let is_target = |alias: &VersionAlias| transition.versions.get(&alias.name) == Some(&alias.version.to_string());
    let weights = match (weighted.is_empty(), weighted.iter().any(is_target)) {
        (true, _) => return Ok((Weights::Unset, weighted)),
        (false, true) => Weights::OnTarget,
        (false, false) => Weights::OnFormer,
    };
    let order = match (transition.aim, weights) {
        (Aim::Rollback, Weights::OnFormer) => "an abandoned canary is ended once live has moved",
        _ => "an abandoned canary is ended first",
    };
    note(context, order);
    Ok((weights, weighted))
}

/// Which functions count their responses. What the canary cannot see of the others is said before it begins.
async fn counting(context: &Context, transition: &Transition) -> Result<BTreeSet<String>, MoveError> {
    let counting = traffic_shift::counting(context, &transition.changed).await?;
    let taking = transition.changed.iter().filter(|one| one.new.is_some());
    let blind: Vec<&str> = taking
        .map(|one| one.name.as_str())
        .filter(|name| !counting.contains(*name))
        .collect();
    if !blind.is_empty() {
        note(
            context,
            &format!(
                "the canary sees invocations of {} that fail, are throttled or slow, but no responses with a status of 5xx: the \
                 live version has not counted any request in the last 24 hours",
                blind.join(", ")
            ),
        );
    }
    Ok(counting)
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
        End::StillDiverted { at_target: true, why } => format!("live, still diverted: {why}"),
        End::StillDiverted { at_target: false, why } => format!("stopped, still diverted: {why}"),
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
    hold: Hold<'a>,
    transition: &'a Transition,
    options: &'a RolloutOptions,
    probe: &'a dyn Probe,
    user: &'a str,
    began: Instant,
    steps: Vec<u8>,
    /// Alarms that were red before a share was diverted.
    red_before: BTreeSet<String>,
    /// Functions that count their responses.
    counting: BTreeSet<String>,
    /// When the present share was diverted, Unix seconds.
    since: i64,
    /// Aliases that surely have weights.
    weighted: BTreeSet<VersionAlias>,
    /// Weights that could not be cleared.
    still_set: Option<StillSet>,
    /// A call that failed, of which the end says nothing.
    failure: Option<AwsError>,
}

impl Run<'_> {
    /// What the history says of it.
    fn record(&self, end: String) -> MoveRecord {
        MoveRecord {
            from: self.transition.from,
            to: self.transition.to,
            cause: match self.transition.aim {
                Aim::Promote => Cause::Promote,
                Aim::Rollback => Cause::Rollback,
            },
            end,
            user: self.user.to_owned(),
            principal: match self.hold {
                Hold::Lease(lease) => lease.principal(),
                Hold::Unlocked => None,
            },
            at: self.context.now(),
            millis: millis(self.began.elapsed()),
            fence: match self.hold {
                Hold::Lease(lease) => lease.fence(),
                Hold::Unlocked => 0,
            },
        }
    }

    /// Stage variables of live at the target.
    fn variables(&self) -> SlotVariables {
        let variables = forward(self.transition);
        match self.hold {
            Hold::Lease(_) => variables,
            Hold::Unlocked => variables.with_unrecorded(&self.record(DONE.to_owned())),
        }
    }

    /// One effect of the machine, by a function for each phase.
    async fn carry_out(&mut self, effect: Effect) -> Outcome {
        match effect {
            Effect::ClearWeights => self.clear_weights().await,
            Effect::Check => self.check().await,
            Effect::Divert(percent) => self.divert(percent).await,
            Effect::Bake(step) => {
                let share = Share {
                    percent: self.steps.get(step).copied().unwrap_or_default(),
                    since: self.since,
                    red_before: &self.red_before,
                    counting: &self.counting,
                };
                bake(self.context, self.transition, self.options, &share).await
            }
            Effect::Switch => self.switch().await,
            Effect::SwitchBack => self.switch_back().await,
            Effect::Confirm => self.confirm().await,
            Effect::End(_) => Outcome::Good,
        }
    }

    async fn clear_weights(&mut self) -> Outcome {
        let cleared = traffic_shift::clear(self.context, &self.transition.aliases, &self.weighted).await;
        if let Err(left) = cleared {
            if let Some(lost) = left.lease_lost() {
                self.failure = Some(lost.clone());
                return Outcome::Bad(lost.message.clone());
            }
            self.context.emit(Event::Warning {
                message: format!("{left}; clear them with\n  {}", left.commands().join("\n  ")),
            });
            let why = left.to_string();
            self.still_set = Some(left);
            return Outcome::Bad(why);
        }
        self.hold.report(None);
        if !self.weighted.is_empty() && !self.options.metering.partial {
            note(self.context, LATE_SHARES);
        }
        self.weighted.clear();
        self.still_set = None;
        Outcome::Good
    }

    async fn check(&self) -> Outcome {
        let events = &self.options.check_events;
        match confirm::check(self.context, self.transition, self.probe, events).await {
            Outcome::Good => {
                self.hooks(&self.options.hooks.before, &self.transition.preview_url)
                    .await
            }
            other => other,
        }
    }

    async fn confirm(&self) -> Outcome {
        let settling = self.options.metering.settling;
        match confirm::confirm(self.context, self.transition, self.probe, settling, Asker::Move).await {
            Outcome::Good if self.transition.aim == Aim::Promote => {
                self.hooks(&self.options.hooks.after, &self.transition.live_url).await
            }
            Outcome::Unsettled(why) if !self.options.hooks.after.is_empty() && self.transition.aim == Aim::Promote => {
                Outcome::Unsettled(format!("{why}; the hooks after the switch were not run"))
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
        let taking = transition.changed.iter().filter(|one| one.new.is_some());
        self.weighted.extend(taking.flat_map(|one| one.live_aliases()));
        match traffic_shift::divert(context, &transition.changed, percent).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::Interrupted => return Outcome::Interrupted,
            // Some functions may have their share already: what is diverted is taken back.
            Err(error) => return Outcome::Bad(format!("diverting {percent} % failed: {error}")),
        }
        self.since = context.aws_now().as_second();
        let place = self.steps.iter().position(|step| *step == percent);
        self.hold.report(place.map(|place| Progress {
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

    async fn switch(&mut self) -> Outcome {
        let (context, transition) = (self.context, self.transition);
        let moved = match (transition.carrier, transition.aim) {
            (Carrier::Functions, _) => self.move_aliases().await,
            // What live's functions hand to others is read by those of the same release.
            (Carrier::Api, Aim::Promote) => match self.move_aliases().await {
                Ok(()) => self.move_stage().await,
                Err(error) => Err(error),
            },
            (Carrier::Api, Aim::Rollback) => match self.move_stage().await {
                Ok(()) => {
                    // Live has moved; what could not follow is said, and the next run brings it there.
                    if let Err(error) = self.move_aliases().await {
                        self.failure = Some(error);
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = moved {
            self.return_aliases().await;
            let why = format!("live was not moved: {error}");
            self.failure = Some(error);
            return Outcome::Bad(why);
        }
        emit_moved(context, transition);
        let (shown, ()) = futures::join!(
            show_pages(context, &transition.sites),
            retarget_warmup(context, &transition.versions)
        );
        if let Err(error) = shown {
            self.failure = Some(error);
        }
        Outcome::Good
    }

    /// The one call; a call whose answer was lost may have moved it.
    async fn move_stage(&self) -> Result<(), AwsError> {
        let (context, transition) = (self.context, self.transition);
        let call = op("apigateway", "UpdateStage");
        match switch(context, call, transition, &transition.deployment, self.variables()).await {
            Err(error) if error.kind == ErrorKind::Transient && is_at_target(context, transition).await => Ok(()),
            moved => moved,
        }
    }

    /// Moves the functions' aliases `live` to the target, all at once.
    async fn move_aliases(&self) -> Result<(), AwsError> {
        let text = followers::text(self.transition, self.variables(), 1);
        let places = followers::at_target(self.transition, &text);
        followers::put(self.context, &places, op("lambda", "UpdateAlias")).await
    }

    /// Moves them back where they were. What cannot is said with the command lines that do it.
    async fn return_aliases(&self) {
        let text = followers::text(self.transition, self.transition.live.variables.clone(), 2);
        let places = followers::at_former(self.transition, &text);
        let call = op("lambda", "UpdateAlias").even_when_stopped();
        if let Err(error) = followers::put(self.context, &places, call).await {
            let commands = followers::by_hand(self.context, &places).join("\n  ");
            self.context.emit(Event::Warning {
                message: format!("aliases of functions were not moved back: {error}; move them with\n  {commands}"),
            });
        }
    }

    async fn switch_back(&self) -> Outcome {
        let (context, transition) = (self.context, self.transition);
        if transition.carrier == Carrier::Api {
            let call = op("apigateway", "UpdateStage").even_when_stopped();
            let moved = switch(context, call, transition, &transition.live.deployment, back(transition)).await;
            if let Err(error) = moved {
                return Outcome::Bad(error.to_string());
            }
        }
        self.return_aliases().await;
        if let Err(error) = show_pages(context, &transition.former_sites).await {
            context.emit(Event::Warning {
                message: format!("pages of release {} are still shown: {error}", transition.to),
            });
        }
        retarget_warmup(context, &transition.former_versions).await;
        Outcome::Good
    }
}

/// What a canary that has ended may still show.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>
pub const LATE_SHARES: &str = "weights cleared; AWS may send a share to the other versions for a few more seconds";

/// Whether live serves the target, as AWS shows it.
pub(super) async fn is_at_target(context: &Context, transition: &Transition) -> bool {
    if transition.carrier == Carrier::Functions {
        return followers::are_at_target(context, transition).await;
    }
    let client = &context.clients().apigateway;
    let stage = context
        .call(op("apigateway", "GetStage").even_when_stopped(), || {
            client
                .get_stage()
                .api_id(&transition.api_id)
                .stage_name(stage_of(LIVE))
                .send()
        })
        .await;
    stage.is_ok_and(|stage| stage.deployment_id() == Some(&transition.deployment))
}

/// Live has moved whether or not the warm-up rules follow: the next deploy finds what is left.
async fn retarget_warmup(context: &Context, versions: &BTreeMap<String, String>) {
    let retargeting = tokio::time::timeout(WARMUP_WITHIN, warmup_rule::retarget(context, versions));
    let why = match retargeting.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("EventBridge did not take it within {} s", WARMUP_WITHIN.as_secs()),
    };
    context.emit(Event::Warning {
        message: format!("the warm-up schedule still pings the former release; the next deploy changes that: {why}"),
    });
}

/// How long the warm-up rules may keep the confirmation of live waiting.
const WARMUP_WITHIN: Duration = Duration::from_secs(5);

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

/// The one call. Settings of a route that is gone, which an interrupted deploy has left, are no reason not to move: they go.
async fn switch(
    context: &Context,
    call: Op,
    transition: &Transition,
    deployment: &str,
    variables: SlotVariables,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let (api_id, live) = (&transition.api_id, stage_of(LIVE));
    let move_live = || {
        context.call(call, || {
            client
                .update_stage()
                .api_id(api_id)
                .stage_name(live)
                .deployment_id(deployment)
                .set_stage_variables(Some(variables.as_map().clone().into_iter().collect()))
                .send()
        })
    };
    let moved = match move_live().await {
        Err(error) if names_gone_route(&error) => {
            drop_settings_of_gone_routes(context, api_id, live).await?;
            move_live().await
        }
        other => other,
    };
    moved.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;
    use crate::release::transition::{Gateway, promotion};

    /// A deploy was interrupted between a route's deletion and its settings' on live.
    #[tokio::test(start_paused = true)]
    async fn settings_of_a_route_that_is_gone_do_not_keep_live_from_moving() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&made);
        let clients = fake::clients("eu-central-1", move |call| {
            let mut seen = seen.lock();
            let is_clean = seen.iter().any(|made: &String| made.starts_with("DELETE"));
            let (status, body) = match call.operation.as_str() {
                "PATCH /v2/apis/a1/stages/%24default" if !is_clean => (
                    404,
                    r#"{"message":"Unable to find Route by key GET /old within the provided RouteSettings"}"#,
                ),
                "GET /v2/apis/a1/stages/%24default" => (
                    200,
                    r#"{"stageName":"$default","routeSettings":{"GET /old":{},"GET /kept":{}}}"#,
                ),
                "GET /v2/apis/a1/routes" => (200, r#"{"items":[{"routeKey":"GET /kept"}]}"#),
                _ => (200, "{}"),
            };
            seen.push(call.operation);
            (status, body.as_bytes().to_vec())
        });
        let gateway = Gateway {
            api_id: "a1".to_owned(),
            ..Gateway::default()
        };
        let facts = transition::tests::facts(1, 2, None);
        let transition = promotion(&gateway, &facts).expect("it is possible").expect("one waits");
        let context = context_over(identity(), clients);
        let call = op("apigateway", "UpdateStage");
        let moved = switch(
            &context,
            call,
            &transition,
            &transition.deployment,
            forward(&transition),
        )
        .await;
        assert_eq!(moved, Ok(()));
        let made = made.lock();
        let changes: Vec<&str> = made
            .iter()
            .map(String::as_str)
            .filter(|one| !one.starts_with("GET"))
            .collect();
        assert_eq!(
            changes,
            [
                "PATCH /v2/apis/a1/stages/%24default",
                "DELETE /v2/apis/a1/stages/%24default/routesettings/GET%20%2Fold",
                "PATCH /v2/apis/a1/stages/%24default"
            ]
        );
    }
}
