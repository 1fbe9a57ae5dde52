//! Watches the new versions while they take a share of live's traffic.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::RolloutOptions;
use super::traffic_shift;
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::event::{Event, millis};
use crate::release::canary::{Compared, Judgement, Metering, Sample, judge};
use crate::release::machine::Outcome;
use crate::release::transition::{Changed, Transition};

/// A share that is diverted.
pub(super) struct Share<'a> {
    /// Percent of live's traffic.
    pub percent: u8,
    /// Since when, Unix seconds by AWS's clock.
    pub since: i64,
    /// Alarms that were red before.
    pub red_before: &'a BTreeSet<String>,
    /// Functions that count their responses.
    pub counting: &'a BTreeSet<String>,
}

/// Watches a diverted share. What is bad ends it early; what cannot be judged yet is watched once more as long at most.
pub(super) async fn bake(
    context: &Context,
    transition: &Transition,
    options: &RolloutOptions,
    share: &Share<'_>,
) -> Outcome {
    let began = Instant::now();
    let every = Duration::from_secs(15)
        .min(options.rollout.bake / 4)
        .max(Duration::from_secs(1));
    let mut until = options.rollout.bake;
    let mut seen = Vec::new();
    loop {
        context.emit(baking(transition.to, share.percent, began.elapsed(), until, &seen));
        let left = until.saturating_sub(began.elapsed());
        tokio::select! {
            () = context.cancel().cancelled() => return Outcome::Interrupted,
            () = tokio::time::sleep(left.min(every)) => {}
        }
        let judgement = match look_at_share(context, &transition.changed, options.metering, share).await {
            Ok((judgement, samples)) => {
                seen = samples;
                judgement
            }
            Err(error) if error.kind == ErrorKind::Interrupted => return Outcome::Interrupted,
            // Without metrics nothing can be judged.
            Err(error) => Judgement::Bad(format!("metrics cannot be read: {error}")),
        };
        if let Judgement::Bad(why) = judgement {
            return Outcome::Bad(why);
        }
        if began.elapsed() < options.rollout.bake {
            continue;
        }
        let Some((so_far, refusal)) = unjudged(&judgement) else {
            break;
        };
        if began.elapsed() >= options.rollout.bake * 2 {
            return Outcome::Bad(refusal);
        }
        if until == options.rollout.bake {
            until += options.rollout.bake;
            context.emit(Event::Note {
                message: format!("{so_far}: extending the bake by at most one period"),
            });
        }
    }
    let (requests, errors) = counts(seen.iter().map(|one| &one.new));
    context.emit(Event::Judged {
        release: transition.to,
        requests,
        errors,
    });
    Outcome::Good
}

/// What keeps a share from being judged so far, and why it is refused if it stays so.
fn unjudged(judgement: &Judgement) -> Option<(String, String)> {
    match judgement {
        Judgement::Good | Judgement::Bad(_) => None,
        Judgement::TooFew(requests) => Some((
            format!("only {requests} requests so far"),
            format!("only {requests} requests reached the new versions, too few to judge them"),
        )),
        Judgement::Incomplete(late) => Some((
            format!("{late} so far"),
            format!(
                "{late}, too few to know how many failed; a release whose functions count nothing any more is promoted with \
                 --at-once"
            ),
        )),
    }
}

fn baking(release: u64, percent: u8, watched: Duration, until: Duration, seen: &[Compared]) -> Event {
    let (requests, errors) = counts(seen.iter().map(|one| &one.new));
    let (live_requests, live_errors) = counts(seen.iter().map(|one| &one.old));
    Event::Baking {
        release,
        percent,
        millis: millis(watched),
        of_millis: millis(until),
        requests,
        errors,
        live_requests,
        live_errors,
    }
}

/// Requests and errors of all samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of requests"
)]
fn counts<'a>(samples: impl Iterator<Item = &'a Sample>) -> (u64, u64) {
    let (requests, errors) = samples.fold((0.0, 0.0), |(requests, errors), sample| {
        (requests + sample.requests, errors + sample.errors)
    });
    (requests as u64, errors as u64)
}

/// What metrics and alarms say of a share now.
async fn look_at_share(
    context: &Context,
    changed: &[Changed],
    metering: Metering,
    share: &Share<'_>,
) -> Result<(Judgement, Vec<Compared>), AwsError> {
    let red_now = traffic_shift::red(context).await?;
    let samples = match metering.window(share.since, context.aws_now().as_second()) {
        Some((from, to)) => traffic_shift::compare(context, changed, share.counting, from, to).await?,
        None => Vec::new(),
    };
    Ok((judge(&samples, share.red_before, &red_now), samples))
}
