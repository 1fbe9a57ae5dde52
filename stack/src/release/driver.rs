//! Carries the release machine's effects out: reads where live is, asks preview and live from outside, moves live with one
//! `UpdateStage`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::layout::{Color, ReleaseFacts, SlotFacts, UNSET};
use super::lease::Lease;
use super::ledger::{self, Cause, MoveRecord};
use super::machine::{Aim, Effect, End, Machine, Outcome, Seen};
use crate::aws::api_stage::{LIVE, PREVIEW, stage_of};
use crate::aws::api_state::ApiState;
use crate::aws::context::{Context, Op, op};
use crate::aws::control_bucket::ControlBucket;
use crate::aws::error::{AwsError, Class};
use crate::aws::release_facts;
use crate::event::{Endpoints, Event};

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
}

/// Why live did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// AWS refused or could not be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// There is nothing here that could move.
    #[error("{0}")]
    Nothing(String),
    /// There is no release to go to.
    #[error("{message}")]
    NoTarget {
        /// What is missing.
        message: String,
        /// Releases that could be named.
        kept: BTreeSet<u64>,
    },
}

impl MoveError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::Nothing(_) => {
                Some("`taskctl deploy` makes the first release; check --stage, --region and --profile".to_owned())
            }
            Self::NoTarget { kept, .. } if kept.is_empty() => Some("`taskctl deploy` makes a release".to_owned()),
            Self::NoTarget { kept, .. } => {
                let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
                Some(format!(
                    "releases that are kept: {}; name one with --to",
                    kept.join(", ")
                ))
            }
        }
    }
}

/// A movement that is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    aim: Aim,
    api_id: String,
    /// Release that live serves now.
    pub from: Option<u64>,
    /// Release that it shall serve.
    pub to: u64,
    live: SlotFacts,
    deployment: String,
    color: Color,
    live_url: String,
    preview_url: String,
    probes: Vec<String>,
    unreached: BTreeSet<String>,
}

impl Movement {
    /// Where the slots answer.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            live: Some(self.live_url.clone()),
            preview: Some(self.preview_url.clone()),
            site: None,
        }
    }
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

/// The promotion that is possible; none when nothing waits.
pub fn promotion(state: &ApiState, facts: &ReleaseFacts) -> Result<Option<Movement>, MoveError> {
    let (live, preview) = slots(facts)?;
    let to = preview.release.ok_or_else(|| MoveError::NoTarget {
        message: "preview serves a deployment that is no release".to_owned(),
        kept: facts.releases.keys().copied().collect(),
    })?;
    if live.release == Some(to) {
        return Ok(None);
    }
    movement(Aim::Promote, state, facts, live, to).map(Some)
}

/// The rollback that is possible: to the release before, or to a kept one.
pub fn rollback(state: &ApiState, facts: &ReleaseFacts, to: Option<u64>) -> Result<Option<Movement>, MoveError> {
    let (live, _) = slots(facts)?;
    let kept: BTreeSet<u64> = facts
        .releases
        .keys()
        .copied()
        .filter(|number| Some(*number) != live.release)
        .collect();
    let previous = live.variables.get("previousRelease").and_then(|text| text.parse().ok());
    let to = match (to, previous) {
        (Some(to), _) | (None, Some(to)) => to,
        (None, None) => {
            let now = live.release.map_or_else(
                || "a deployment that is no release".to_owned(),
                |n| format!("release {n}"),
            );
            return Err(MoveError::NoTarget {
                message: format!("live serves {now}, and nothing says what was live before it"),
                kept,
            });
        }
    };
    if live.release == Some(to) {
        return Ok(None);
    }
    if !kept.contains(&to) {
        return Err(MoveError::NoTarget {
            message: format!("release {to} is not kept"),
            kept,
        });
    }
    movement(Aim::Rollback, state, facts, live, to).map(Some)
}

fn slots(facts: &ReleaseFacts) -> Result<(&SlotFacts, &SlotFacts), MoveError> {
    match (&facts.live, &facts.preview) {
        (Some(live), Some(preview)) => Ok((live, preview)),
        _ => Err(MoveError::Nothing("the API has no live and preview yet".to_owned())),
    }
}

fn movement(
    aim: Aim,
    state: &ApiState,
    facts: &ReleaseFacts,
    live: &SlotFacts,
    to: u64,
) -> Result<Movement, MoveError> {
    let deployment = facts.deployments.get(&to).cloned().ok_or_else(|| MoveError::NoTarget {
        message: format!("release {to} has no deployment any more"),
        kept: facts.releases.keys().copied().collect(),
    })?;
    let urls = crate::status::endpoints(state, None);
    let (probes, unreached) = probes(state);
    let color = match live.variables.get("color").map(String::as_str) {
        Some("blue") => Color::Green,
        _ => Color::Blue,
    };
    Ok(Movement {
        aim,
        api_id: state.id().to_owned(),
        from: live.release,
        to,
        live: live.clone(),
        deployment,
        color,
        live_url: urls.live.unwrap_or_default(),
        preview_url: urls.preview.unwrap_or_default(),
        probes,
        unreached,
    })
}

/// Paths that reach functions and change nothing: reads of one item that cannot exist, and the health check. Which
/// functions none of them reaches.
fn probes(state: &ApiState) -> (Vec<String>, BTreeSet<String>) {
    /// No generated id looks like this one.
    const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
    let mut by_target: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for route in &state.routes {
        let (Some(key), Some(target)) = (route.route_key(), route.target()) else {
            continue;
        };
        let probe = match key.split_once(' ') {
            Some(("GET", path)) if path == "/health" => Some(path.to_owned()),
            Some(("GET", path)) if path.contains('{') => Some(
                path.split('/')
                    .map(|part| if part.starts_with('{') { NOBODY } else { part })
                    .collect::<Vec<_>>()
                    .join("/"),
            ),
            _ => None,
        };
        let known = by_target.entry(target).or_default();
        if let Some(probe) = probe
            && known.as_ref().is_none_or(|known| probe.len() < known.len())
        {
            *known = Some(probe);
        }
    }
    let name = |target: &str| {
        let id = target.strip_prefix("integrations/").unwrap_or(target);
        let integration = state.integrations.iter().find(|one| one.integration_id() == Some(id));
        let uri = integration.and_then(|one| one.integration_uri()).unwrap_or(id);
        uri.split(":function:")
            .nth(1)
            .and_then(|rest| rest.split([':', '/']).next())
            .unwrap_or(uri)
            .to_owned()
    };
    let unreached = by_target
        .iter()
        .filter(|(_, probe)| probe.is_none())
        .map(|(target, _)| name(target))
        .collect();
    (by_target.into_values().flatten().collect(), unreached)
}

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
                Outcome::Good
            }
            Effect::SwitchBack => {
                let call = op("apigateway", "UpdateStage").even_when_stopped();
                switch(context, call, movement, &movement.live.deployment, &back(movement)).await?;
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

/// Stage variables of live once it serves the target. After a rollback nothing says what was live before: a second
/// rollback must not land on what the first one left.
fn forward(movement: &Movement) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("release".to_owned(), movement.to.to_string()),
        ("color".to_owned(), movement.color.as_str().to_owned()),
    ]);
    if let (Aim::Promote, Some(from)) = (movement.aim, movement.from) {
        variables.insert("previousRelease".to_owned(), from.to_string());
        variables.insert("previousDeployment".to_owned(), movement.live.deployment.clone());
    }
    for key in movement.live.variables.keys() {
        variables.entry(key.clone()).or_insert_with(|| UNSET.to_owned());
    }
    variables
}

/// Stage variables of live as they were.
fn back(movement: &Movement) -> BTreeMap<String, String> {
    let mut variables = movement.live.variables.clone();
    for key in forward(movement).into_keys() {
        variables.entry(key).or_insert_with(|| UNSET.to_owned());
    }
    variables
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
    context.emit(Event::Checked {
        release: movement.to,
        requests: movement.probes.len(),
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn facts(live: u64, preview: u64, previous: Option<u64>) -> ReleaseFacts {
        let slot = |release: u64, variables: &[(&str, String)]| SlotFacts {
            release: Some(release),
            deployment: format!("d{release}"),
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        };
        let mut variables = vec![("release", live.to_string()), ("color", "blue".to_owned())];
        if let Some(previous) = previous {
            variables.push(("previousRelease", previous.to_string()));
            variables.push(("previousDeployment", format!("d{previous}")));
        }
        let label = |number| super::super::label::ReleaseLabel {
            number,
            fingerprint: "0".repeat(16),
            versions: BTreeMap::new(),
            commit: None,
        };
        ReleaseFacts {
            releases: (1..=3).map(|number| (number, label(number))).collect(),
            deployments: (1..=3).map(|number| (number, format!("d{number}"))).collect(),
            live: Some(slot(live, &variables)),
            preview: Some(slot(preview, &[])),
            versions: BTreeMap::new(),
        }
    }

    fn state() -> ApiState {
        ApiState {
            api: aws_sdk_apigatewayv2::types::Api::builder().api_id("a1").build(),
            routes: ["GET /health", "GET /tasks", "GET /tasks/{taskId}", "GET /counter"]
                .into_iter()
                .map(|key| {
                    let target = match key {
                        "GET /health" => "integrations/h",
                        "GET /counter" => "integrations/c",
                        _ => "integrations/t",
                    };
                    aws_sdk_apigatewayv2::types::Route::builder()
                        .route_key(key)
                        .target(target)
                        .build()
                })
                .collect(),
            integrations: Vec::new(),
            stages: Vec::new(),
            deployments: Vec::new(),
            duplicates: Vec::new(),
        }
    }

    #[test]
    fn what_waits_goes_live_and_remembers_what_was() {
        let movement = promotion(&state(), &facts(1, 2, None)).unwrap().unwrap();
        assert_eq!(
            (movement.from, movement.to, movement.deployment.as_str()),
            (Some(1), 2, "d2")
        );
        let variables = forward(&movement);
        assert_eq!(
            (variables["previousRelease"].as_str(), variables["color"].as_str()),
            ("1", "green")
        );
        assert_eq!(back(&movement)["previousRelease"], UNSET);
        assert!(promotion(&state(), &facts(2, 2, Some(1))).unwrap().is_none());
    }

    #[test]
    fn a_rollback_goes_to_what_was_live_also_while_another_waits_and_not_twice() {
        let movement = rollback(&state(), &facts(2, 3, Some(1)), None).unwrap().unwrap();
        assert_eq!((movement.from, movement.to), (Some(2), 1));
        assert_eq!(forward(&movement)["previousRelease"], UNSET);
        let refused = rollback(&state(), &facts(1, 3, None), None).unwrap_err();
        assert!(refused.hint().unwrap().contains("2, 3"), "{refused}");
        assert!(rollback(&state(), &facts(2, 3, Some(1)), Some(9)).is_err());
    }

    #[test]
    fn functions_are_asked_by_what_changes_nothing() {
        let (paths, unreached) = probes(&state());
        assert_eq!(paths, ["/health", "/tasks/00000000-0000-7000-8000-000000000000"]);
        assert_eq!(unreached.into_iter().collect::<Vec<_>>(), ["c"]);
    }
}
