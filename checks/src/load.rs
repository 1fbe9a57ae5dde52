//! Load: the checks of a suite as the steps of many users at once.
//!
//! Two models. Closed: each user sends its next request when the answer is there; the rate follows from the answers.
//! Open: requests are due at a fixed rate, whatever the answers do, and their latency counts from when they were due. So a
//! server that stalls is charged with everything that had to wait meanwhile (no coordinated omission).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::assertion::Subject;
use crate::model::{Check, Suite};
use crate::run::{Client, Incoming, capture, prepare};
use crate::variables::{Variables, fill};

/// How load is generated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests in flight at the same time, at most.
    pub users: usize,
    /// When requests are sent.
    pub model: Model,
    /// How long is measured.
    pub duration: Duration,
    /// How long load is generated before anything is measured.
    pub warm_up: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// Each user sends the next request when the answer to the last one is there.
    Closed,
    /// So many requests a second are due.
    Open(f64),
}

/// Running totals, for a display.
#[derive(Debug, Default)]
pub struct Progress {
    /// Answers so far.
    pub requests: AtomicU64,
    /// Those that were wrong or did not come.
    pub errors: AtomicU64,
    /// Sum of their latencies, µs.
    pub micros: AtomicU64,
}

/// The result.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LoadReport {
    /// The URL.
    pub url: String,
    /// Requests in flight at the same time, at most.
    pub users: usize,
    /// Requests a second that were due; none in the closed model.
    pub rps_wanted: Option<f64>,
    /// Seconds measured.
    pub seconds: f64,
    /// Answers a second.
    pub rps: f64,
    /// Requests.
    pub requests: u64,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
    /// Latency of all answers.
    pub latency: Latency,
    /// Each step.
    pub steps: Vec<StepReport>,
    /// Each second in which requests were due.
    pub timeline: Vec<Second>,
}

/// Latency, ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Latency {
    /// Least.
    pub min: f64,
    /// Half of the answers came within.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// Most.
    pub max: f64,
}

/// The result of a step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StepReport {
    /// `GET /tasks`.
    pub request: String,
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Latency.
    pub latency: Latency,
}

/// A second of it.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Second {
    /// Answers in it.
    pub requests: u64,
    /// Errors in it.
    pub errors: u64,
    /// Half of its answers came within, ms.
    pub p50: f64,
    /// 99 % of its answers came within, ms.
    pub p99: f64,
}

impl LoadReport {
    /// Number of errors.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Latency is kept in µs, up to five minutes.
const LONGEST: u64 = 300_000_000;
/// Digits that are kept of all latencies: 160 KB a step.
const DIGITS: u8 = 3;
/// Digits that are kept of the latencies of a second: 20 KB, whatever the users.
const DIGITS_OF_SECOND: u8 = 2;

/// The results of all users.
#[derive(Default)]
struct Seen {
    steps: Vec<Tally>,
    seconds: Vec<Tally>,
    errors: BTreeMap<String, u64>,
}

impl Seen {
    fn of(suite: &Suite) -> Self {
        Self {
            steps: suite.checks.iter().map(|_| Tally::new(DIGITS)).collect(),
            ..Self::default()
        }
    }

    fn note(&mut self, step: usize, second: u64, micros: u64, outcome: Result<(), String>) {
        let second = usize::try_from(second).unwrap_or(0);
        while self.seconds.len() <= second {
            self.seconds.push(Tally::new(DIGITS_OF_SECOND));
        }
        for tally in [&mut self.steps[step], &mut self.seconds[second]] {
            tally.note(micros, outcome.is_ok());
        }
        if let Err(kind) = outcome {
            *self.errors.entry(kind).or_default() += 1;
        }
    }
}

struct Tally {
    latency: Option<Histogram<u64>>,
    errors: u64,
}

impl Tally {
    fn new(digits: u8) -> Self {
        Self {
            latency: Histogram::new_with_bounds(1, LONGEST, digits).ok(),
            errors: 0,
        }
    }

    fn note(&mut self, micros: u64, good: bool) {
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(micros.max(1));
        }
        self.errors += u64::from(!good);
    }

    fn add(&mut self, other: &Self) {
        if let (Some(all), Some(more)) = (&mut self.latency, &other.latency) {
            // Both have the same bounds.
            let _ = all.add(more);
        }
        self.errors += other.errors;
    }

    fn count(&self) -> u64 {
        self.latency.as_ref().map_or(0, Histogram::len)
    }

    fn at(&self, quantile: f64) -> f64 {
        let micros = self
            .latency
            .as_ref()
            .map_or(0, |latency| latency.value_at_quantile(quantile));
        millis(micros)
    }

    fn latency(&self) -> Latency {
        let Some(latency) = self.latency.as_ref().filter(|latency| !latency.is_empty()) else {
            return Latency::default();
        };
        Latency {
            min: millis(latency.min()),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: millis(latency.max()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes fit")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Generates load until its time is over or the client is stopped.
pub async fn load(
    suite: &Suite,
    url: &str,
    load: &Load,
    client: Arc<dyn Client>,
    progress: Arc<Progress>,
) -> LoadReport {
    let url = url.trim_end_matches('/');
    let began = Instant::now();
    let tickets = AtomicU64::new(0);
    // All users are one task: none waits for the other here.
    let seen = Mutex::new(Seen::of(suite));
    let users = (0..load.users.max(1)).map(|_| {
        let user = User {
            suite,
            url,
            load,
            client: client.as_ref(),
            progress: &progress,
            began,
            tickets: &tickets,
            seen: &seen,
        };
        user.run()
    });
    join_all(users).await;
    let measured = began.elapsed().saturating_sub(load.warm_up).min(load.duration);
    let seen = seen.into_inner();
    report(suite, url, load, measured, seen)
}

/// A simulated user.
struct User<'a> {
    suite: &'a Suite,
    url: &'a str,
    load: &'a Load,
    client: &'a dyn Client,
    progress: &'a Progress,
    began: Instant,
    tickets: &'a AtomicU64,
    seen: &'a Mutex<Seen>,
}

impl User<'_> {
    async fn run(self) {
        let Self {
            suite,
            url,
            load,
            client,
            progress,
            began,
            tickets,
            seen,
        } = self;
        let end = began + load.warm_up + load.duration;
        while !client.is_stopped() {
            let mut variables = Variables::new();
            for (name, value) in &suite.variables {
                variables.insert(name.clone(), fill(value, &variables).unwrap_or_else(|_| value.clone()));
            }
            for (index, check) in suite.checks.iter().enumerate() {
                let due = match load.model {
                    Model::Closed => Instant::now(),
                    Model::Open(rps) => {
                        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                        began + after(ticket, rps)
                    }
                };
                if due >= end {
                    return;
                }
                tokio::select! {
                    biased;
                    () = client.stopped() => return,
                    () = sleep_until(due) => {}
                }
                let outcome = step(check, url, client, &mut variables).await;
                let done = Instant::now();
                let micros = u64::try_from(done.duration_since(due).as_micros()).unwrap_or(u64::MAX);
                progress.requests.fetch_add(1, Ordering::Relaxed);
                progress.micros.fetch_add(micros, Ordering::Relaxed);
                progress
                    .errors
                    .fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
                if due < began + load.warm_up {
                    continue;
                }
                let second = due.duration_since(began + load.warm_up).as_secs();
                seen.lock().note(index, second, micros, outcome);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "so many requests take years")]
fn after(ticket: u64, rps: f64) -> Duration {
    Duration::try_from_secs_f64(ticket as f64 / rps).unwrap_or(Duration::MAX)
}

/// Sends one request. An error is its kind.
async fn step(check: &Check, url: &str, client: &dyn Client, variables: &mut Variables) -> Result<(), String> {
    let request = prepare(check, url, variables).map_err(|missing| format!("`{missing}` was not captured"))?;
    let answer = client.send(request).await?;
    judge(check, &answer)?;
    capture(check, &answer, variables);
    Ok(())
}

/// The status as the check says; without a word about it, anything below 400.
fn judge(check: &Check, answer: &Incoming) -> Result<(), String> {
    let mut about_status = check
        .assertions
        .iter()
        .filter(|assertion| assertion.subject == Subject::Status)
        .peekable();
    let right = match about_status.peek() {
        Some(_) => about_status.all(|assertion| assertion.judge(answer).is_ok()),
        None => answer.status < 400,
    };
    if right {
        Ok(())
    } else {
        Err(format!("status {}", answer.status))
    }
}

fn report(suite: &Suite, url: &str, load: &Load, measured: Duration, seen: Seen) -> LoadReport {
    let mut all = Tally::new(DIGITS);
    seen.steps.iter().for_each(|tally| all.add(tally));
    let timeline = seen.seconds.iter().map(|tally| Second {
        requests: tally.count(),
        errors: tally.errors,
        p50: tally.at(0.5),
        p99: tally.at(0.99),
    });
    let timeline = timeline.collect();
    let seconds = measured.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts of requests fit")]
    let rps = if seconds > 0.0 {
        all.count() as f64 / seconds
    } else {
        0.0
    };
    LoadReport {
        url: url.to_owned(),
        users: load.users,
        rps_wanted: match load.model {
            Model::Closed => None,
            Model::Open(rps) => Some(rps),
        },
        seconds,
        rps,
        requests: all.count(),
        errors: seen.errors,
        latency: all.latency(),
        steps: suite
            .checks
            .iter()
            .zip(&seen.steps)
            .map(|(check, tally)| StepReport {
                request: check.line(),
                requests: tally.count(),
                errors: tally.errors,
                latency: tally.latency(),
            })
            .collect(),
        timeline,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::model::parse;
    use crate::run::Outgoing;

    /// A server that answers in 10 ms, but stalls for a second once.
    struct Stalling {
        began: Instant,
        /// When it is to stop.
        stops: Option<Instant>,
    }

    #[async_trait]
    impl Client for Stalling {
        async fn send(&self, request: Outgoing) -> Result<Incoming, String> {
            let stall_ends = self.began + Duration::from_secs(3);
            let now = Instant::now();
            if now > self.began + Duration::from_secs(2) && now < stall_ends {
                sleep_until(stall_ends).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if request.url.ends_with("/bad") {
                return Err("connection refused".to_owned());
            }
            Ok(Incoming {
                status: 200,
                ..Incoming::default()
            })
        }

        fn is_stopped(&self) -> bool {
            self.stops.is_some_and(|stops| Instant::now() >= stops)
        }

        async fn stopped(&self) {
            match self.stops {
                Some(stops) => sleep_until(stops).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn made(path: &str, model: Model) -> LoadReport {
        let text = format!(
            "checks:\n  - {{name: a, folder: performance, request: {{path: {path}}}, expect: {{status: 200}}}}"
        );
        let suite = parse("load.yaml", &text).unwrap();
        let client = Arc::new(Stalling {
            began: Instant::now(),
            stops: None,
        });
        let wanted = Load {
            users: 10,
            model,
            duration: Duration::from_secs(5),
            warm_up: Duration::from_secs(1),
        };
        load(&suite, "http://x", &wanted, client, Arc::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_counts_for_all_who_had_to_wait() {
        let open = made("/", Model::Open(100.0)).await;
        // One second of five was stalled: a fifth of the requests waited, half a second on average.
        assert_eq!(open.requests, 500);
        assert!(
            open.latency.p90 > 450.0 && open.latency.p50 < 12.0,
            "{:?}",
            open.latency
        );
        // In the closed model ten users waited once.
        let closed = made("/", Model::Closed).await;
        assert!(
            closed.latency.p99 < 12.0 && closed.latency.max > 900.0,
            "{:?}",
            closed.latency
        );
        assert_eq!(open.timeline.len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_what_is_due() {
        let began = Instant::now();
        let client = Arc::new(Stalling {
            began,
            stops: Some(began + Duration::from_secs(4)),
        });
        let wanted = Load {
            users: 10,
            model: Model::Open(0.5),
            duration: Duration::from_secs(60),
            warm_up: Duration::ZERO,
        };
        let suite = parse(
            "load.yaml",
            "checks:\n  - {name: a, folder: performance, request: {path: /}, expect: {status: 200}}",
        )
        .unwrap();
        let report = load(&suite, "http://x", &wanted, client, Arc::default()).await;
        assert_eq!(report.requests, 2);
        assert!(began.elapsed() < Duration::from_millis(4_200), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_told_by_kind() {
        let report = made("/bad", Model::Open(10.0)).await;
        assert_eq!(report.errors, BTreeMap::from([("connection refused".to_owned(), 50)]));
        assert_eq!(report.failed(), 50);
    }
}
