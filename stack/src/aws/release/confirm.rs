//! Asks preview before the switch and live after it, from outside.

use std::time::Duration;

use tokio::time::Instant;

use super::driver::Probe;
use crate::aws::client::context::Context;
use crate::aws::kinds::apigateway::stage::PREVIEW;
use crate::event::{Event, millis};
use crate::release::machine::Outcome;
use crate::release::transition::Transition;

/// Right answers in a row that confirm a switch.
const CONFIRMATIONS: u32 = 20;
/// How long the answers may take to become right. AWS gives no bound for the propagation of a stage's change.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// Pause after a wrong answer.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Asks preview: every function that can be reached without changing anything answers, and as this release.
pub(super) async fn check(context: &Context, transition: &Transition, outside: &dyn Probe) -> Outcome {
    if !transition.unreached.is_empty() {
        let names: Vec<&str> = transition.unreached.iter().map(String::as_str).collect();
        context.emit(Event::Note {
            message: format!(
                "not probed before the switch, since no route known to be read-only reaches them: {}",
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
pub(super) async fn confirm(context: &Context, transition: &Transition, outside: &dyn Probe) -> Outcome {
    if transition.probes.is_empty() {
        context.emit(Event::Note {
            message: "not confirmed from outside: the API has no route known to be read-only".to_owned(),
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
        tail_millis: millis(tail),
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
