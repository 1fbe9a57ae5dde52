//! Carries the release machine's effects out: asks preview and live from outside, moves live with one `UpdateStage`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::control_bucket::ControlBucket;
use super::lease::{Lease, Progress};
use super::ledger;
use super::traffic_shift::{self, Changed};
use crate::aws::client::context::{Context, Op, op};
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::apigateway::stage::{LIVE, PREVIEW, stage_of};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::site;
use crate::aws::read::release_state;
use crate::event::Event;
use crate::release::canary::{Judgement, Metering, Rollout, judge};
use crate::release::machine::{Aim, Effect, End, Machine, Outcome, Seen};
use crate::release::record::{Cause, MoveRecord};
use crate::release::slots::ReleaseState;
use crate::release::transition::{self, MoveError, Transition, back, forward};
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

/// Right answers in a row that confirm a switch.
const CONFIRMATIONS: u32 = 20;
/// How long the answers may take to become right. AWS gives no bound for the propagation of a stage's change.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// Pause after a wrong answer.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Reads where live is.
pub async fn look(context: &Context) -> Result<(ApiState, ReleaseState), MoveError> {
    let state = ApiState::read(context).await?;
    let Some(state) = state else {
        let identity = context.identity();
        return Err(MoveError::Nothing(format!(
            "nothing of {}/{} stands in {}",
            identity.app, identity.stage, identity.region
        )));
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
    let functions = transition::changed(context.identity(), state, facts, None);
    Ok(traffic_shift::diverted(context, &functions).await?)
}

/// Takes every share away that is diverted. Returns what was.
pub async fn abort(context: &Context) -> Result<BTreeMap<String, u8>, MoveError> {
    let (state, facts) = look(context).await?;
    let functions = transition::changed(context.identity(), &state, &facts, None);
    let diverted = traffic_shift::diverted(context, &functions).await?;
    traffic_shift::clear(context, &functions).await?;
    Ok(diverted)
}

/// Carries a transition out under a lease.
pub async fn run(
    context: &Context,
    control: &ControlBucket,
    lease: &Lease,
    transition: &Transition,
    options: &RolloutOptions,
    outside: &dyn Probe,
    user: &str,
) -> Result<Moved, MoveError> {
    let began = Instant::now();
    let seen = Seen {
        diverted: !traffic_shift::diverted(context, &transition.changed).await?.is_empty(),
        arrived: false,
    };
    if seen.diverted {
        context.emit(Event::Note {
            message: "a canary that nobody attends is ended first".to_owned(),
        });
    }
    let takes_shares = transition.changed.iter().any(|one| one.new.is_some());
    let steps = match takes_shares {
        true => options.rollout.steps.clone(),
        false => Vec::new(),
    };
    if !takes_shares && !options.rollout.steps.is_empty() {
        context.emit(Event::Note {
            message: "no function changes: routes and pages move at once, without a canary".to_owned(),
        });
    }
    let red_before = match steps.is_empty() {
        true => BTreeSet::new(),
        false => traffic_shift::red(context).await?,
    };
    let mut machine = Machine::begin(transition.aim, steps.clone(), seen);
    let mut since = 0;
    let end = loop {
        let outcome = match machine.effect() {
            Effect::End(end) => break end,
            Effect::Check => match check(context, transition, outside).await {
                Outcome::Good => {
                    hooks(
                        context,
                        transition,
                        &options.hooks.before,
                        &transition.preview_url,
                        outside,
                    )
                    .await
                }
                other => other,
            },
            Effect::Switch => {
                let call = op("apigateway", "UpdateStage");
                switch(context, call, transition, &transition.deployment, &forward(transition)).await?;
                told(context, transition);
                show_pages(context, &transition.sites).await?;
                Outcome::Good
            }
            Effect::SwitchBack => {
                let call = op("apigateway", "UpdateStage").even_when_stopped();
                switch(
                    context,
                    call,
                    transition,
                    &transition.live.deployment,
                    &back(transition),
                )
                .await?;
                show_pages(context, &transition.former_sites).await?;
                Outcome::Good
            }
            Effect::Confirm => match confirm(context, transition, outside).await {
                Outcome::Good if transition.aim == Aim::Promote => {
                    hooks(context, transition, &options.hooks.after, &transition.live_url, outside).await
                }
                other => other,
            },
            Effect::ClearWeights => {
                traffic_shift::clear(context, &transition.changed).await?;
                lease.tell(None);
                Outcome::Good
            }
            Effect::Divert(percent) => match traffic_shift::divert(context, &transition.changed, percent).await {
                Ok(()) => {
                    since = context.now().as_second();
                    let place = steps.iter().position(|step| *step == percent);
                    lease.tell(place.map(|place| Progress {
                        release: transition.to,
                        percent,
                        step: place + 1,
                        steps: steps.len(),
                        since: context.now(),
                        seconds: options.rollout.bake.as_secs(),
                    }));
                    let taking = transition.changed.iter().filter(|one| one.new.is_some());
                    context.emit(Event::Diverted {
                        release: transition.to,
                        percent,
                        functions: taking.map(|one| one.name.clone()).collect(),
                    });
                    Outcome::Good
                }
                Err(error) if error.kind == ErrorKind::Interrupted => Outcome::Interrupted,
                // Some functions may have their share already: what is diverted is taken back.
                Err(error) => Outcome::Bad(format!("diverting {percent} % failed: {error}")),
            },
            Effect::Bake(_) => bake(context, transition, options, since, &red_before).await,
        };
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
        end: match &end {
            End::Done => "done".to_owned(),
            End::Refused(reason) => format!("refused: {reason}"),
            End::Stopped(reason) => format!("stopped: {reason}"),
            End::Returned(reason) => format!("returned: {reason}"),
            End::Unconfirmed(reason) => format!("unconfirmed: {reason}"),
        },
        user: user.to_owned(),
        at: context.now(),
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        fence: lease.fence(),
    };
    // History, not truth: live has moved whether or not this is written.
    if let Err(error) = ledger::record_move(context, control, &record).await {
        context.emit(Event::Warning {
            message: format!("the movement is not in the history: {error}"),
        });
    }
    Ok(Moved {
        end,
        from: transition.from,
        to: transition.to,
    })
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

fn told(context: &Context, transition: &Transition) {
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
    variables: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    context
        .call(call, || {
            client
                .update_stage()
                .api_id(&transition.api_id)
                .stage_name(stage_of(LIVE))
                .deployment_id(deployment)
                .set_stage_variables(Some(variables.clone().into_iter().collect()))
                .send()
        })
        .await
        .map(drop)
}

/// Runs hooks one after another; the first failure is the judgement.
async fn hooks(context: &Context, transition: &Transition, hooks: &[Hook], url: &str, outside: &dyn Probe) -> Outcome {
    for hook in hooks {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        let identity = context.identity();
        let ran = match hook {
            Hook::Run(command) => {
                let variables = [
                    ("TASKCTL_URL", url.to_owned()),
                    ("TASKCTL_RELEASE", transition.to.to_string()),
                    ("TASKCTL_APP", identity.app.clone()),
                    ("TASKCTL_STAGE", identity.stage.clone()),
                ];
                let ran = tokio::select! {
                    ran = outside.run(command, &variables) => ran,
                    () = context.cancel().cancelled() => return Outcome::Interrupted,
                };
                ran.map_err(|why| format!("hook `{command}` {why}"))
            }
            Hook::Function(name) => call_function(context, transition, name, url).await,
        };
        if let Err(why) = ran {
            return Outcome::Bad(why);
        }
    }
    if !hooks.is_empty() {
        context.emit(Event::Note {
            message: format!("{} hook{} passed", hooks.len(), if hooks.len() == 1 { "" } else { "s" }),
        });
    }
    Outcome::Good
}

/// Calls a function in the version of the target.
async fn call_function(context: &Context, transition: &Transition, name: &str, url: &str) -> Result<(), String> {
    let Some(one) = transition.changed.iter().find(|one| one.name == name) else {
        return Err(format!("hook function {name} is not behind live"));
    };
    let version = one.new.unwrap_or(one.old);
    let payload = serde_json::json!({"taskctl": "hook", "release": transition.to, "url": url}).to_string();
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "Invoke").upload(), || {
            client
                .invoke()
                .function_name(&one.function)
                .qualifier(format!("v{version}"))
                .payload(payload.clone().into_bytes().into())
                .send()
        })
        .await
        .map_err(|error| format!("hook function {name} cannot be called: {error}"))?;
    match answer.function_error() {
        None => Ok(()),
        Some(kind) => {
            let payload = answer
                .payload()
                .map(|payload| String::from_utf8_lossy(payload.as_ref()).into_owned());
            Err(format!(
                "hook function {name} failed ({kind}): {}",
                payload.unwrap_or_default()
            ))
        }
    }
}

/// Watches a diverted share. What is bad ends it early; too few requests extend it once.
async fn bake(
    context: &Context,
    transition: &Transition,
    options: &RolloutOptions,
    since: i64,
    red_before: &BTreeSet<String>,
) -> Outcome {
    let began = Instant::now();
    let every = Duration::from_secs(15)
        .min(options.rollout.bake / 4)
        .max(Duration::from_secs(1));
    let mut until = options.rollout.bake;
    let mut seen = Vec::new();
    loop {
        let left = until.saturating_sub(began.elapsed());
        tokio::select! {
            () = context.cancel().cancelled() => return Outcome::Interrupted,
            () = tokio::time::sleep(left.min(every)) => {}
        }
        let judgement = match look_at_share(context, &transition.changed, options.metering, since, red_before).await {
            Ok((judgement, samples)) => {
                seen = samples;
                judgement
            }
            Err(error) if error.kind == ErrorKind::Interrupted => return Outcome::Interrupted,
            // Who cannot see must not go on.
            Err(error) => Judgement::Bad(format!("metrics cannot be read: {error}")),
        };
        if let Judgement::Bad(why) = judgement {
            return Outcome::Bad(why);
        }
        if began.elapsed() < until {
            continue;
        }
        match judgement {
            Judgement::TooFew(requests) if until == options.rollout.bake => {
                until += options.rollout.bake;
                context.emit(Event::Note {
                    message: format!("only {requests} requests so far: watching once more as long"),
                });
            }
            Judgement::TooFew(requests) => {
                return Outcome::Bad(format!(
                    "only {requests} requests reached the new versions, too few to judge them"
                ));
            }
            Judgement::Good | Judgement::Bad(_) => break,
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of requests"
    )]
    let sum =
        |value: fn(&crate::release::canary::Sample) -> f64| seen.iter().map(|one| value(&one.new)).sum::<f64>() as u64;
    context.emit(Event::Judged {
        release: transition.to,
        requests: sum(|sample| sample.requests),
        errors: sum(|sample| sample.errors),
    });
    Outcome::Good
}

/// What metrics and alarms say of a share now.
async fn look_at_share(
    context: &Context,
    changed: &[Changed],
    metering: Metering,
    since: i64,
    red_before: &BTreeSet<String>,
) -> Result<(Judgement, Vec<crate::release::canary::Compared>), AwsError> {
    let red_now = traffic_shift::red(context).await?;
    let samples = match metering.window(since, context.now().as_second()) {
        Some((from, to)) => traffic_shift::compare(context, changed, from, to).await?,
        None => Vec::new(),
    };
    Ok((judge(&samples, red_before, &red_now), samples))
}

/// Asks preview: every function that can be reached without changing anything answers, and as this release.
async fn check(context: &Context, transition: &Transition, outside: &dyn Probe) -> Outcome {
    if !transition.unreached.is_empty() {
        let names: Vec<&str> = transition.unreached.iter().map(String::as_str).collect();
        context.emit(Event::Note {
            message: format!(
                "not asked before the switch, since none of their routes surely changes nothing: {}",
                names.join(", ")
            ),
        });
    }
    for path in &transition.probes {
        // A new stage or deployment may take a moment to be served everywhere.
        let began = Instant::now();
        loop {
            if context.cancel().is_cancelled() {
                return Outcome::Interrupted;
            }
            let why = match judged(outside, &format!("{}{path}", transition.preview_url), transition.to).await {
                Ok(()) => break,
                Err(why) => why,
            };
            if began.elapsed() > Duration::from_secs(10) {
                return Outcome::Bad(format!("{} {path}: {why}", PREVIEW));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    let checked = outside.check(&transition.preview_url).await;
    if context.cancel().is_cancelled() {
        return Outcome::Interrupted;
    }
    if !checked.failures.is_empty() {
        return Outcome::Bad(checked.failures.join("; "));
    }
    context.emit(Event::Checked {
        release: transition.to,
        requests: transition.probes.len() + checked.requests,
        assertions: transition.probes.len() + checked.assertions,
    });
    Outcome::Good
}

/// Asks live until enough answers in a row are right.
async fn confirm(context: &Context, transition: &Transition, outside: &dyn Probe) -> Outcome {
    if transition.probes.is_empty() {
        context.emit(Event::Note {
            message: "not confirmed from outside: the API has no route that surely changes nothing".to_owned(),
        });
        return Outcome::Good;
    }
    let began = Instant::now();
    let (mut row, mut tail, mut asked) = (0, Duration::ZERO, 0);
    for path in transition.probes.iter().cycle() {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        asked += 1;
        match judged(outside, &format!("{}{path}", transition.live_url), transition.to).await {
            Ok(()) => row += 1,
            Err(why) => {
                row = 0;
                tail = began.elapsed();
                if tail > CONFIRMED_WITHIN {
                    return Outcome::Bad(format!("live {path}: {why}"));
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
        if row == CONFIRMATIONS {
            break;
        }
    }
    context.emit(Event::Confirmed {
        release: transition.to,
        requests: asked,
        tail_millis: u64::try_from(tail.as_millis()).unwrap_or(u64::MAX),
    });
    Outcome::Good
}

/// Whether an answer is right: not the server's fault, and of this release where the function says which it is.
async fn judged(outside: &dyn Probe, url: &str, release: u64) -> Result<(), String> {
    let answer = outside.get(url).await?;
    match (&answer.release, answer.status) {
        (_, 500..) => Err(format!("answered {}", answer.status)),
        (Some(served), _) if *served != release.to_string() => Err(format!("release {served} answered")),
        (None, 403 | 404 | 429) => Err(format!("answered {} without having reached a function", answer.status)),
        _ => Ok(()),
    }
}
