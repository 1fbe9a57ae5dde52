//! How a share of live's traffic is judged before all of it moves. Pure: policy, samples and alarms in, judgement out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::template::model::ReleasePolicy;

/// How a release goes live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Percentages, rising; empty = all at once.
    pub steps: Vec<u8>,
    /// How long each step is watched.
    pub bake: Duration,
}

impl Rollout {
    /// All at once.
    pub fn at_once() -> Self {
        Self {
            steps: Vec::new(),
            bake: Duration::ZERO,
        }
    }

    /// One share, watched for a time.
    pub fn canary(percent: u8, bake: Duration) -> Self {
        Self {
            steps: vec![percent.clamp(1, 99)],
            bake,
        }
    }

    /// Shares that rise by so many percent until all is moved.
    pub fn linear(percent: u8, interval: Duration) -> Self {
        let step = percent.clamp(1, 99);
        Self {
            steps: (1..)
                .map_while(|number: u8| step.checked_mul(number).filter(|share| *share < 100))
                .collect(),
            bake: interval,
        }
    }

    /// As a stage's policy says.
    pub fn of(policy: &ReleasePolicy) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        match policy {
            ReleasePolicy::Immediate | ReleasePolicy::Manual => Self::at_once(),
            ReleasePolicy::Canary { percent, bake_seconds } => Self::canary(*percent, seconds(*bake_seconds)),
            ReleasePolicy::Linear {
                percent,
                interval_seconds,
            } => Self::linear(*percent, seconds(*interval_seconds)),
        }
    }
}

/// When metrics can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metering {
    /// How long after the end of a period its metrics are complete.
    pub delay: Duration,
    /// Whether a period that has only begun may be judged.
    pub partial: bool,
    /// How long a change of a stage may take until it is served everywhere, usually.
    pub settling: Duration,
}

impl Metering {
    /// CloudWatch on AWS: a metric that is new can take two minutes to be readable.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/publishingMetrics.html>
    pub const AWS: Self = Self {
        delay: Duration::from_secs(120),
        partial: false,
        settling: Duration::from_secs(10),
    };
    /// The local target: seconds.
    pub const LOCAL: Self = Self {
        delay: Duration::from_secs(3),
        partial: true,
        settling: Duration::ZERO,
    };

    /// The shortest time after which anything can be judged.
    pub fn shortest_bake(self) -> Duration {
        if self.partial {
            self.delay
        } else {
            // Two closed periods, the one in which the share was diverted left out.
            PERIOD * 3 + self.delay
        }
    }

    /// The window that can be judged at `now`, Unix seconds, of a share that has been diverted since `since`. None while
    /// there is nothing to judge.
    pub fn window(self, since: i64, now: i64) -> Option<(i64, i64)> {
        let period = i64::try_from(PERIOD.as_secs()).unwrap_or(60);
        let delay = i64::try_from(self.delay.as_secs()).unwrap_or(0);
        let (from, to) = if self.partial {
            (since.div_euclid(period) * period, (now.div_euclid(period) + 1) * period)
        } else {
            let first = (since + period - 1).div_euclid(period) * period;
            (first, (now - delay).div_euclid(period) * period)
        };
        (to > from && now - since >= delay).then_some((from, to))
    }
}

/// Length of a metric's period.
pub const PERIOD: Duration = Duration::from_secs(60);

/// What a version did in the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Invocations, and those that were throttled.
    pub requests: f64,
    /// Failed and throttled invocations, and 5xx responses where the function counts them.
    pub errors: f64,
    /// Of these, what Lambda counts: failed and throttled invocations.
    pub failed: f64,
    /// What the version's own count has; none where it counts nothing.
    pub counted: Option<Counted>,
    /// So much percent of the invocations took at most so many ms, by [`PERCENTILES`].
    pub durations: BTreeMap<u8, f64>,
}

/// Percentiles of durations that can be judged, the highest first.
pub const PERCENTILES: [u8; 4] = [99, 95, 90, 75];
/// So many requests must lie above a percentile before it is judged: a few slow ones, such as the first of each execution
/// environment, are no slow release.
const ABOVE: f64 = 5.0;

/// A version's own count of its requests. It reaches CloudWatch through the function's log, and so after Lambda's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Requests that it has counted.
    pub requests: f64,
    /// Its invocations in the same periods, through whichever alias.
    pub invocations: f64,
}

/// Share of the invocations that a version must have counted before it is judged: its 5xx responses are known no sooner.
const COUNTED: f64 = 0.9;
/// Invocations that no version counts, such as pings that keep it warm: so many may be missing all the same.
const PINGS: f64 = 2.0;

impl Counted {
    fn is_complete(self) -> bool {
        let missing = self.invocations - self.requests;
        self.requests >= self.invocations * COUNTED || (missing <= PINGS && self.requests > missing)
    }
}

impl Sample {
    /// The highest percentile that so many requests say something about.
    fn percentile(&self) -> Option<u8> {
        let above = |percentile: u8| self.requests * f64::from(100 - percentile) / 100.0;
        PERCENTILES.into_iter().find(|percentile| above(*percentile) >= ABOVE)
    }
}

/// A function during a canary.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Logical name.
    pub function: String,
    /// The version that live serves.
    pub old: Sample,
    /// The version that takes the share.
    pub new: Sample,
}

/// What the samples say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The new versions do as well as the old ones.
    Good,
    /// Too few requests to say anything; how many there were.
    TooFew(u64),
    /// The functions' own counts are not complete.
    Incomplete(String),
    /// They do worse.
    Bad(String),
}

/// Fewest requests that say anything, all functions together.
pub const FEWEST: f64 = 20.0;
/// So many errors are no accident.
const ERRORS: f64 = 2.0;
/// How much larger the share of errors may be: one percentage point.
const MORE_ERRORS: f64 = 0.01;
/// How much slower the new version may be: twice, and at least by this many ms.
const SLOWER: (f64, f64) = (2.0, 100.0);

/// Judges the functions and alarms. An alarm that was red before says nothing about this release.
pub fn judge(functions: &[Compared], red_before: &BTreeSet<String>, red_now: &BTreeSet<String>) -> Judgement {
    let alarms: Vec<&str> = red_now.difference(red_before).map(String::as_str).collect();
    if !alarms.is_empty() {
        return Judgement::Bad(format!("alarm {} turned red", alarms.join(", ")));
    }
    let mut incomplete = None;
    for Compared { function, old, new } in functions {
        let mut counted = [new, old].into_iter().filter_map(|sample| sample.counted);
        let late = counted.find(|counted| !counted.is_complete());
        if let Some(late) = late {
            incomplete.get_or_insert(format!(
                "{function} has counted {:.0} of {:.0} requests",
                late.requests, late.invocations
            ));
        }
        // What Lambda counts needs no patience.
        let errors = |sample: &Sample| if late.is_some() { sample.failed } else { sample.errors };
        let share = |sample: &Sample| {
            if sample.requests > 0.0 {
                errors(sample) / sample.requests
            } else {
                0.0
            }
        };
        if errors(new) >= ERRORS && share(new) > share(old) + MORE_ERRORS {
            return Judgement::Bad(format!(
                "{function} fails {:.0} of {:.0} requests, before it was {:.0} of {:.0}",
                errors(new),
                new.requests,
                errors(old),
                old.requests
            ));
        }
        let durations = new.percentile().and_then(|percentile| {
            let of = |sample: &Sample| sample.durations.get(&percentile).copied();
            Some((percentile, of(old)?, of(new)?))
        });
        let Some((percentile, before, now)) = durations else {
            continue;
        };
        if now > before * SLOWER.0 && now > before + SLOWER.1 {
            return Judgement::Bad(format!(
                "p{percentile} of {function} is {now:.0} ms, {before:.0} ms before"
            ));
        }
    }
    let requests: f64 = functions.iter().map(|one| one.new.requests).sum();
    if requests < FEWEST {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20")]
        return Judgement::TooFew(requests as u64);
    }
    incomplete.map_or(Judgement::Good, Judgement::Incomplete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requests: f64, errors: f64, slowest: f64) -> Sample {
        Sample {
            requests,
            errors,
            failed: 0.0,
            counted: None,
            durations: PERCENTILES
                .into_iter()
                .filter(|_| requests > 0.0)
                .map(|percentile| (percentile, slowest))
                .collect(),
        }
    }

    fn judged(old: Sample, new: Sample) -> Judgement {
        let function = "tasks".to_owned();
        judge(&[Compared { function, old, new }], &BTreeSet::new(), &BTreeSet::new())
    }

    #[test]
    fn a_share_is_judged_against_what_was() {
        let old = || sample(900.0, 0.0, 40.0);
        assert_eq!(judged(old(), sample(100.0, 0.0, 45.0)), Judgement::Good);
        assert!(matches!(judged(old(), sample(100.0, 5.0, 45.0)), Judgement::Bad(why) if why.contains("5 of 100")));
        assert!(matches!(judged(old(), sample(100.0, 0.0, 400.0)), Judgement::Bad(why) if why.contains("400 ms")));
        // One failure is an accident; few requests are no proof, but many failures among few are.
        assert_eq!(judged(old(), sample(100.0, 1.0, 45.0)), Judgement::Good);
        assert_eq!(judged(old(), sample(7.0, 0.0, 45.0)), Judgement::TooFew(7));
        assert!(matches!(judged(old(), sample(7.0, 7.0, 45.0)), Judgement::Bad(_)));
        // What was bad before is not this release's fault, and a fix of it may pass.
        assert_eq!(
            judged(sample(900.0, 90.0, 40.0), sample(100.0, 9.0, 40.0)),
            Judgement::Good
        );
        // Fast things may become twice as slow.
        assert_eq!(
            judged(sample(900.0, 0.0, 4.0), sample(100.0, 0.0, 12.0)),
            Judgement::Good
        );
    }

    #[test]
    fn a_few_slow_requests_are_no_slow_release() {
        let slow_above = |requests: f64, percentile: u8| Sample {
            requests,
            errors: 0.0,
            failed: 0.0,
            counted: None,
            durations: PERCENTILES
                .into_iter()
                .map(|one| (one, if one >= percentile { 500.0 } else { 40.0 }))
                .collect(),
        };
        let old = || sample(9_000.0, 0.0, 40.0);
        assert_eq!(judged(old(), slow_above(400.0, 99)), Judgement::Good);
        assert!(matches!(judged(old(), slow_above(500.0, 99)), Judgement::Bad(why) if why.starts_with("p99 of tasks")));
        assert_eq!(judged(old(), slow_above(99.0, 95)), Judgement::Good);
        assert!(matches!(judged(old(), slow_above(100.0, 95)), Judgement::Bad(why) if why.starts_with("p95 of tasks")));
        assert!(matches!(judged(old(), slow_above(50.0, 90)), Judgement::Bad(why) if why.starts_with("p90 of tasks")));
        assert!(matches!(judged(old(), slow_above(20.0, 75)), Judgement::Bad(why) if why.starts_with("p75 of tasks")));
        assert_eq!(judged(old(), slow_above(19.0, 75)), Judgement::TooFew(19));
    }

    #[test]
    fn an_alarm_that_was_red_before_does_not_block() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let functions = [Compared {
            function: "tasks".to_owned(),
            old: Sample::default(),
            new: sample(50.0, 0.0, 1.0),
        }];
        assert_eq!(judge(&functions, &names(&["a"]), &names(&["a"])), Judgement::Good);
        assert!(
            matches!(judge(&functions, &names(&["a"]), &names(&["a", "b"])), Judgement::Bad(why) if why.contains("alarm b"))
        );
    }

    #[test]
    fn what_is_not_counted_yet_is_not_judged() {
        let counted = |requests: f64, errors: f64, own: f64| Sample {
            counted: Some(Counted {
                requests: own,
                invocations: requests,
            }),
            ..sample(requests, errors, 40.0)
        };
        let old = || counted(900.0, 0.0, 900.0);
        // All of the release's responses are 5xx, and the metrics that say so are on their way.
        assert!(
            matches!(judged(old(), counted(100.0, 0.0, 0.0)), Judgement::Incomplete(why) if why == "tasks has counted 0 of 100 requests")
        );
        assert!(matches!(
            judged(old(), counted(100.0, 80.0, 80.0)),
            Judgement::Incomplete(_)
        ));
        assert!(matches!(judged(old(), counted(100.0, 92.0, 92.0)), Judgement::Bad(_)));
        // Invocations that fail and slow ones are Lambda's own numbers: those are not waited for.
        let failing = Sample {
            failed: 9.0,
            ..counted(100.0, 9.0, 0.0)
        };
        assert!(matches!(judged(old(), failing), Judgement::Bad(_)));
        let slow = Sample {
            durations: sample(100.0, 0.0, 900.0).durations,
            ..counted(100.0, 0.0, 0.0)
        };
        assert!(matches!(judged(old(), slow), Judgement::Bad(_)));
        // Live fails as often, which is not known yet: no reason to refuse the release.
        let failing = |own: f64| counted(900.0, own / 10.0, own);
        assert!(matches!(
            judged(failing(300.0), counted(100.0, 10.0, 100.0)),
            Judgement::Incomplete(_)
        ));
        assert_eq!(judged(failing(900.0), counted(100.0, 10.0, 100.0)), Judgement::Good);
        // Pings are invocations that nobody counts.
        assert_eq!(judged(old(), counted(22.0, 0.0, 20.0)), Judgement::Good);
        assert!(matches!(
            judged(old(), counted(20.0, 0.0, 17.0)),
            Judgement::Incomplete(_)
        ));
        // A function that counts nothing is judged by Lambda's own numbers.
        assert_eq!(
            judged(sample(900.0, 0.0, 40.0), sample(100.0, 0.0, 40.0)),
            Judgement::Good
        );
    }

    #[test]
    fn only_closed_periods_are_judged_on_aws() {
        let aws = Metering::AWS;
        assert_eq!(aws.window(1_000, 1_160), None);
        assert_eq!(aws.window(1_000, 1_210), Some((1_020, 1_080)));
        assert_eq!(aws.window(1_020, 1_325), Some((1_020, 1_200)));
        assert_eq!(aws.shortest_bake(), Duration::from_secs(300));
        // The shortest bake ends with two whole periods, whenever it begins.
        for since in 1_020..1_080 {
            let (from, to) = aws.window(since, since + 300).unwrap_or_default();
            assert!(to - from >= 120, "{since}: {from} to {to}");
        }
        assert_eq!(Metering::LOCAL.window(1_000, 1_002), None);
        assert_eq!(Metering::LOCAL.window(1_000, 1_004), Some((960, 1_020)));
    }

    #[test]
    fn shares_rise_to_the_end() {
        assert_eq!(Rollout::linear(25, Duration::ZERO).steps, [25, 50, 75]);
        assert_eq!(Rollout::linear(40, Duration::ZERO).steps, [40, 80]);
        assert_eq!(Rollout::canary(10, Duration::ZERO).steps, [10]);
    }
}
