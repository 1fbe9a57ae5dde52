//! Carries the release machine's effects out: asks preview and live from outside, moves live with one `UpdateStage`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::layout::ReleaseFacts;
use super::lease::Lease;
use super::ledger::{self, Cause, MoveRecord};
use super::machine::{Aim, Effect, End, Machine, Outcome, Seen};
use super::movement::{MoveError, Movement, back, forward};
use crate::aws::api_stage::{LIVE, PREVIEW, stage_of};
use crate::aws::api_state::ApiState;
use crate::aws::context::{Context, Op, op};
use crate::aws::control_bucket::ControlBucket;
use crate::aws::error::{AwsError, Class};
use crate::aws::{release_facts, site};
use crate::event::Event;

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
pub trait Outside: Send + Sync {
    /// One GET. An error is a text for people.
    async fn get(&self, url: &str) -> Result<Answer, String>;
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

/// How a movement went.
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
pub async fn look(context: &Context) -> Result<(ApiState, ReleaseFacts), MoveError> {
    let state = ApiState::read(context).await?;
    let Some(state) = state else {
        let identity = context.identity();
        return Err(MoveError::Nothing(format!(
            "nothing of {}/{} stands in {}",
            identity.app, identity.stage, identity.region
        )));
    };
    let facts = release_facts::of(&state, BTreeMap::new());
    Ok((state, facts))
}

/// Carries a movement out under a lease.
pub async fn go(
    context: &Context,
    control: &ControlBucket,
    lease: &Lease,
    movement: &Movement,
    outside: &dyn Outside,
    user: &str,
) -> Result<Moved, MoveError> {
    let began = Instant::now();
    let seen = Seen {
        diverted: false,
        arrived: false,
    };
    let mut machine = Machine::begin(movement.aim, Vec::new(), seen);
    let end = loop {
        let outcome = match machine.effect() {
            Effect::End(end) => break end,
            Effect::Check => check(context, movement, outside).await,
            Effect::Switch => {
                let call = op("apigateway", "UpdateStage");
                switch(context, call, movement, &movement.deployment, &forward(movement)).await?;
                told(context, movement);
                show_pages(context, &movement.sites).await?;
                Outcome::Good
            }
            Effect::SwitchBack => {
                let call = op("apigateway", "UpdateStage").even_when_stopped();
                switch(context, call, movement, &movement.live.deployment, &back(movement)).await?;
                show_pages(context, &movement.former_sites).await?;
                Outcome::Good
            }
            Effect::Confirm => confirm(context, movement, outside).await,
            Effect::ClearWeights | Effect::Divert(_) | Effect::Bake(_) => Outcome::Good,
        };
        machine
            .step(outcome)
            .map_err(|illegal| AwsError::own("taskctl", "release", Class::Invalid, illegal.to_string()))?;
    };
    let record = MoveRecord {
        from: movement.from,
        to: movement.to,
        cause: match movement.aim {
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
        from: movement.from,
        to: movement.to,
    })
}

/// Shows contents to the users of web sites, by bucket.
pub async fn show_pages(context: &Context, contents: &BTreeMap<String, String>) -> Result<(), AwsError> {
    for (bucket, content) in contents {
        let changed = site::show(context, bucket, content).await?;
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

fn told(context: &Context, movement: &Movement) {
    let color = movement.color.as_str().to_owned();
    context.emit(match movement.aim {
        Aim::Promote => Event::Promoted {
            release: movement.to,
            color,
            previous: movement.from,
        },
        Aim::Rollback => Event::RolledBack {
            release: movement.to,
            color,
            from: movement.from,
        },
    });
}

/// The one call.
async fn switch(
    context: &Context,
    call: Op,
    movement: &Movement,
    deployment: &str,
    variables: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    context
        .call(call, || {
            client
                .update_stage()
                .api_id(&movement.api_id)
                .stage_name(stage_of(LIVE))
                .deployment_id(deployment)
                .set_stage_variables(Some(variables.clone().into_iter().collect()))
                .send()
        })
        .await
        .map(drop)
}

/// Asks preview: every function that can be reached without changing anything answers, and as this release.
async fn check(context: &Context, movement: &Movement, outside: &dyn Outside) -> Outcome {
    if !movement.unreached.is_empty() {
        let names: Vec<&str> = movement.unreached.iter().map(String::as_str).collect();
        context.emit(Event::Note {
            message: format!(
                "not asked before the switch, since none of their routes surely changes nothing: {}",
                names.join(", ")
            ),
        });
    }
    for path in &movement.probes {
        // A new stage or deployment may take a moment to be served everywhere.
        let began = Instant::now();
        loop {
            if context.cancel().is_cancelled() {
                return Outcome::Interrupted;
            }
            let why = match judged(outside, &format!("{}{path}", movement.preview_url), movement.to).await {
                Ok(()) => break,
                Err(why) => why,
            };
            if began.elapsed() > Duration::from_secs(10) {
                return Outcome::Bad(format!("{} {path}: {why}", PREVIEW));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    let checked = outside.check(&movement.preview_url).await;
    if context.cancel().is_cancelled() {
        return Outcome::Interrupted;
    }
    if !checked.failures.is_empty() {
        return Outcome::Bad(checked.failures.join("; "));
    }
    context.emit(Event::Checked {
        release: movement.to,
        requests: movement.probes.len() + checked.requests,
        assertions: movement.probes.len() + checked.assertions,
    });
    Outcome::Good
}

/// Asks live until enough answers in a row are right.
async fn confirm(context: &Context, movement: &Movement, outside: &dyn Outside) -> Outcome {
    if movement.probes.is_empty() {
        context.emit(Event::Note {
            message: "not confirmed from outside: the API has no route that surely changes nothing".to_owned(),
        });
        return Outcome::Good;
    }
    let began = Instant::now();
    let (mut row, mut tail, mut asked) = (0, Duration::ZERO, 0);
    for path in movement.probes.iter().cycle() {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        asked += 1;
        match judged(outside, &format!("{}{path}", movement.live_url), movement.to).await {
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
        release: movement.to,
        requests: asked,
        tail_millis: u64::try_from(tail.as_millis()).unwrap_or(u64::MAX),
    });
    Outcome::Good
}

/// Whether an answer is right: not the server's fault, and of this release where the function says which it is.
async fn judged(outside: &dyn Outside, url: &str, release: u64) -> Result<(), String> {
    let answer = outside.get(url).await?;
    match (&answer.release, answer.status) {
        (_, 500..) => Err(format!("answered {}", answer.status)),
        (Some(served), _) if *served != release.to_string() => Err(format!("release {served} answered")),
        (None, 403 | 404 | 429) => Err(format!("answered {} without having reached a function", answer.status)),
        _ => Ok(()),
    }
}
