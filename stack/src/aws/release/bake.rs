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
    let mut looked = None;
    loop {
        context.emit(baking(transition.to, share.percent, began.elapsed(), until, &seen));
        let left = until.saturating_sub(began.elapsed());
        tokio::select! {
            () = context.cancel().cancelled() => return Outcome::Interrupted,
            () = tokio::time::sleep(left.min(every)) => {}
        }
        // What decides is read, whatever was read before.
        if began.elapsed() >= options.rollout.bake {
            looked = None;
        }
        let looking = look_at_share(context, &transition.changed, options.metering, share, &mut looked);
        let judgement = match looking.await {
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

/// What was in a window of metrics.
type Looked = Option<((i64, i64), Vec<Compared>)>;

/// What metrics and alarms say of a share now. Every metric that is asked for costs: those of a window of whole minutes that
/// have passed are asked for once.
async fn look_at_share(
    context: &Context,
    changed: &[Changed],
    metering: Metering,
    share: &Share<'_>,
    looked: &mut Looked,
) -> Result<(Judgement, Vec<Compared>), AwsError> {
    let red_now = traffic_shift::red(context).await?;
    let window = metering.window(share.since, context.aws_now().as_second());
    let samples = match (window, looked.as_ref()) {
        (None, _) => Vec::new(),
        (Some(window), Some((known, samples))) if *known == window && !metering.partial => samples.clone(),
        (Some(window), _) => {
            let samples = traffic_shift::compare(context, changed, share.counting, window.0, window.1).await?;
            *looked = Some((window, samples.clone()));
            samples
        }
    };
    Ok((judge(&samples, share.red_before, &red_now), samples))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::{self, cbor};
    use crate::release::canary::Rollout;
    use crate::release::transition::{self, Gateway, promotion};
    use crate::template::model::Hooks;

    /// A bake of five minutes looks twenty times. Here no minute passes by AWS's clock, so there is nothing new to see.
    #[tokio::test(start_paused = true)]
    async fn metrics_of_the_same_minutes_are_asked_for_once_and_at_the_end() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let clients = fake::clients("eu-central-1", move |call| {
            let body = match call.operation.as_str() {
                "GetResources" => return (200, br#"{"ResourceTagMappingList":[]}"#.to_vec()),
                "GetMetricData" => {
                    count.fetch_add(1, Ordering::Relaxed);
                    let result =
                        |id: &str, value: f64| json!({"Id": id, "Timestamps": [{"$time": 0}], "Values": [value]});
                    json!({"MetricDataResults": [result("old_requests_0", 900.5), result("new_requests_0", 100.5)]})
                }
                _ => json!({"MetricAlarms": []}),
            };
            (200, cbor(&body))
        });
        let mut facts = transition::tests::facts(1, 2, None);
        for (number, version) in [(1, "1"), (2, "2")] {
            let label = facts.releases.get_mut(&number).expect("it is kept");
            label.versions = BTreeMap::from([("tasks".to_owned(), version.to_owned())]);
        }
        let transition = promotion(&Gateway::default(), &facts)
            .expect("it is possible")
            .expect("one waits");
        let options = RolloutOptions {
            rollout: Rollout::canary(10, Duration::from_secs(300)),
            metering: Metering::AWS,
            hooks: Hooks::default(),
            keep: 10,
            check_events: BTreeMap::new(),
        };
        let share = Share {
            percent: 10,
            since: -600,
            red_before: &BTreeSet::new(),
            counting: &BTreeSet::new(),
        };
        let outcome = bake(&context_over(identity(), clients), &transition, &options, &share).await;
        assert_eq!(outcome, Outcome::Good);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
