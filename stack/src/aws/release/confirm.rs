//! Asks preview before the switch and live after it, from outside.

use std::time::Duration;

use tokio::time::Instant;

use super::check_event::{self, CheckEvents};
use super::driver::{Checked, Probe, is_at_target};
use crate::aws::client::context::Context;
use crate::aws::client::op::op;
use crate::aws::kinds::apigateway::stage::PREVIEW;
use crate::event::{Event, Evidence, millis};
use crate::release::machine::Outcome;
use crate::release::slots::Carrier;
use crate::release::transition::Transition;

/// Right answers in a row that confirm a switch.
const CONFIRMATIONS: u32 = 20;
/// How long the answers may take to become right. AWS gives no bound for the propagation of a stage's change.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// How long answers of a new deployment may take to become right in preview, and how long one that may be the gateway's own
/// is taken for that of a deployment that is not served everywhere yet.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// How long a function may fail in preview: a permission of a moment ago may not be known everywhere.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
pub(super) const PERMITTED_WITHIN: Duration = Duration::from_secs(20);
/// How long a deploy waits for any answer: the API may not be reachable from where it runs.
const REACHED_WITHIN: Duration = Duration::from_secs(3);
/// Right answers in a row that each path in preview gives: what was made a moment ago is not known everywhere at once.
const PREVIEWED: u32 = 3;
/// Pause before the request checks run again.
const CHECK_AGAIN: Duration = Duration::from_secs(2);
/// Pause after a wrong answer.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// For whom live and preview are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A promotion or rollback, which is about nothing else: every step is said, and no answer is a bad one.
    Move,
    /// A deploy. What goes well is not said; where nothing answers, it goes on as it would without asking. A function may fail
    /// for so long.
    Deploy(Duration),
}

impl Asker {
    fn is_deploy(self) -> bool {
        matches!(self, Self::Deploy(_))
    }

    /// How long a function may fail in preview.
    fn permitted_within(self) -> Duration {
        match self {
            Self::Move => PERMITTED_WITHIN,
            Self::Deploy(within) => within,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// The release answered, or a function that does not name its release.
    Right { is_named: bool },
    /// Another release answered.
    Other(String),
    /// The function fails, or cannot be called.
    Failed(u16),
    /// The gateway throttles.
    Throttled,
    /// It may be the gateway's own; a function that answers like it cannot be told apart.
    Gateway(u16),
    /// There was no answer.
    Nothing(String),
}

impl Seen {
    fn why(&self) -> String {
        match self {
            Self::Right { .. } => "answered".to_owned(),
            Self::Other(release) => format!("release {release} answered"),
            Self::Failed(status) => format!("answered {status}"),
            Self::Throttled => "answered 429: the gateway throttles".to_owned(),
            Self::Gateway(status) => format!("answered {status} as the gateway itself does"),
            Self::Nothing(why) => why.clone(),
        }
    }
}

async fn ask(outside: &dyn Probe, url: &str, release: u64) -> Seen {
    let answer = match outside.get(url).await {
        Ok(answer) => answer,
        Err(why) => return Seen::Nothing(why),
    };
    match (answer.release(), answer.status, answer.may_be_the_gateways()) {
        (_, status @ 500.., _) => Seen::Failed(status),
        (Some(served), ..) if served != release.to_string() => Seen::Other(served.to_owned()),
        (_, 429, true) => Seen::Throttled,
        (_, status, true) => Seen::Gateway(status),
        (served, _, false) => Seen::Right {
            is_named: served.is_some(),
        },
    }
}

/// Asks preview: every function that can be reached without changing anything answers, and as this release.
pub(super) async fn check(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    events: &CheckEvents,
) -> Outcome {
    let asked = match ask_preview(context, transition, outside, events, Asker::Move).await {
        Ok(asked) => asked,
        Err(outcome) => return outcome,
    };
    let checked = match transition.carrier {
        Carrier::Api => run_checks(context, transition, outside).await,
        Carrier::Functions => Checked::default(),
    };
    if context.cancel().is_cancelled() {
        return Outcome::Interrupted;
    }
    if !checked.failures.is_empty() {
        return Outcome::Bad(checked.failures.join("; "));
    }
    context.emit(Event::Checked {
        release: transition.to,
        requests: asked + checked.requests,
        assertions: asked + checked.assertions,
    });
    Outcome::Good
}

/// Runs the request checks; those of a release that was deployed a moment ago again as long as one is answered with 5xx: what its
/// functions were given is not known everywhere yet, and the probes do not reach all of them.
async fn run_checks(context: &Context, transition: &Transition, outside: &dyn Probe) -> Checked {
    let began = Instant::now();
    let mut until = None;
    loop {
        let checked = outside.check(&transition.preview_url).await;
        if !checked.has_server_error || context.cancel().is_cancelled() {
            return checked;
        }
        let until = match until {
            Some(until) => until,
            None => *until.insert(began + young_for(context, transition).await),
        };
        if Instant::now() >= until {
            return checked;
        }
        context.emit(Event::Note {
            message: format!(
                "request checks are repeated: one was answered with 5xx, and release {} was deployed a moment ago",
                transition.to
            ),
        });
        tokio::time::sleep(CHECK_AGAIN).await;
    }
}

/// How long the functions of a release may still fail since it was deployed.
async fn young_for(context: &Context, transition: &Transition) -> Duration {
    let client = &context.clients().apigateway;
    let deployment = context
        .call(op("apigateway", "GetDeployment"), || {
            client
                .get_deployment()
                .api_id(&transition.api_id)
                .deployment_id(&transition.deployment)
                .send()
        })
        .await;
    let deployed = deployment
        .ok()
        .and_then(|deployment| deployment.created_date().map(|at| at.secs()));
    let age = deployed.map(|at| context.aws_now().as_second().saturating_sub(at));
    let age = age
        .and_then(|age| u64::try_from(age.max(0)).ok())
        .map(Duration::from_secs);
    age.map_or(Duration::ZERO, |age| PERMITTED_WITHIN.saturating_sub(age))
}

/// Asks preview, and calls the functions that no request reaches. Returns how many requests and calls were right.
pub(super) async fn ask_preview(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    events: &CheckEvents,
    asker: Asker,
) -> Result<usize, Outcome> {
    let asked = probe_preview(context, transition, outside, asker).await?;
    let called = check_event::check(context, transition, events, asker.permitted_within()).await?;
    Ok(asked + called)
}

/// Asks each path in preview until it is answered as it should be, a few times in a row. Returns how many were.
async fn probe_preview(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    asker: Asker,
) -> Result<usize, Outcome> {
    if !transition.unreached.is_empty() && asker == Asker::Move {
        let names: Vec<&str> = transition.unreached.iter().map(String::as_str).collect();
        context.emit(Event::Note {
            message: format!(
                "not probed before the switch, since no route known to be read-only reaches them: {}",
                names.join(", ")
            ),
        });
    }
    let mut asked = 0;
    for path in &transition.probes {
        match probe_path(context, transition, outside, asker, path).await? {
            Probed::Right => asked += 1,
            Probed::Unseen => {}
            Probed::Unreached => break,
        }
    }
    Ok(asked)
}

/// What came of a path in preview that is not refused.
enum Probed {
    Right,
    /// What answered cannot be seen.
    Unseen,
    /// Nothing answers here.
    Unreached,
}

async fn probe_path(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    asker: Asker,
    path: &str,
) -> Result<Probed, Outcome> {
    // A new stage, deployment or permission may take a moment to be served everywhere.
    let began = Instant::now();
    let mut row = 0;
    loop {
        if context.cancel().is_cancelled() {
            return Err(Outcome::Interrupted);
        }
        let seen = ask(outside, &format!("{}{path}", transition.preview_url), transition.to).await;
        let elapsed = began.elapsed();
        match &seen {
            Seen::Right { .. } => {
                row += 1;
                if row == PREVIEWED {
                    return Ok(Probed::Right);
                }
                continue;
            }
            // The route is there: what is still answered so is the function's, as far as anything shows.
            Seen::Gateway(_) if elapsed > SERVED_WITHIN => {
                if asker == Asker::Move {
                    emit_unseen(context, PREVIEW, path, &seen);
                }
                return Ok(Probed::Unseen);
            }
            Seen::Nothing(why) if asker.is_deploy() && elapsed > REACHED_WITHIN => {
                emit_unreached(context, why);
                return Ok(Probed::Unreached);
            }
            // A permission can take half a minute.
            Seen::Failed(_) if elapsed <= asker.permitted_within() => {}
            Seen::Failed(_) if asker.is_deploy() => {
                return Err(Outcome::Bad(format!("{PREVIEW} {path}: {}", seen.why())));
            }
            _ if elapsed > SERVED_WITHIN => {
                return Err(Outcome::Bad(format!("{PREVIEW} {path}: {}", seen.why())));
            }
            _ => {}
        }
        row = 0;
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn emit_unreached(context: &Context, why: &str) {
    context.emit(Event::Note {
        message: format!("not confirmed from outside: the API cannot be reached from here: {why}"),
    });
}

fn emit_unseen(context: &Context, slot: &str, path: &str, seen: &Seen) {
    context.emit(Event::Note {
        message: format!(
            "not counted: {slot} {path} {}, so the answer does not show whether a function made it",
            seen.why()
        ),
    });
}

/// Answers from live so far.
struct Row<'a> {
    /// Paths that are asked.
    paths: Vec<&'a str>,
    /// Right answers in a row.
    right: u32,
    /// One of them named its release.
    is_named: bool,
    asked: u32,
    /// Of these, answered in any way.
    answered: u32,
    /// When the last other answer came, since the beginning.
    tail: Duration,
    /// The last time that a function failed, and how.
    failed: Option<(Duration, String)>,
}

/// Asks live until enough answers in a row are right. Where they do not name their release, AWS's word that live serves it
/// counts with them, once `settling` is over.
pub(super) async fn confirm(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    settling: Duration,
    asker: Asker,
) -> Outcome {
    let began = Instant::now();
    let mut row = Row {
        paths: transition.probes.iter().map(String::as_str).collect(),
        right: 0,
        is_named: false,
        asked: 0,
        answered: 0,
        tail: Duration::ZERO,
        failed: None,
    };
    while !row.paths.is_empty() {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        if row.right >= CONFIRMATIONS && (row.is_named || began.elapsed() >= settling) {
            break;
        }
        if row.right >= CONFIRMATIONS {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        if let Some(outcome) = ask_live(context, transition, outside, &mut row, (began, asker)).await {
            return outcome;
        }
    }
    if !row.is_named {
        return confirm_by_status(context, transition, &row, asker).await;
    }
    if asker.is_deploy() {
        return Outcome::Good;
    }
    context.emit(Event::Confirmed {
        release: transition.to,
        requests: row.asked,
        tail_millis: millis(row.tail),
        by: Evidence::Answers,
    });
    Outcome::Good
}

/// One request more. Returns what it comes to when the time is over.
async fn ask_live(
    context: &Context,
    transition: &Transition,
    outside: &dyn Probe,
    row: &mut Row<'_>,
    (began, asker): (Instant, Asker),
) -> Option<Outcome> {
    let place = usize::try_from(row.asked).unwrap_or(0) % row.paths.len();
    let path = row.paths[place];
    let seen = ask(outside, &format!("{}{path}", transition.live_url), transition.to).await;
    let elapsed = began.elapsed();
    row.asked += 1;
    row.answered += u32::from(!matches!(seen, Seen::Nothing(_)));
    match &seen {
        Seen::Right { is_named } => {
            row.right += 1;
            row.is_named |= is_named;
            return None;
        }
        // The release may lack the route, as a former one does, or its function answers like the gateway.
        Seen::Gateway(_) if elapsed > SERVED_WITHIN => {
            row.paths.remove(place);
            if asker == Asker::Move {
                emit_unseen(context, "live", path, &seen);
            }
            return None;
        }
        Seen::Nothing(why) if asker.is_deploy() && row.answered == 0 && elapsed > REACHED_WITHIN => {
            emit_unreached(context, why);
            return Some(Outcome::Good);
        }
        Seen::Failed(_) if asker.is_deploy() && elapsed > asker.permitted_within() => {
            return Some(Outcome::Bad(format!("live {path}: {}", seen.why())));
        }
        Seen::Failed(_) => row.failed = Some((elapsed, format!("live {path}: {}", seen.why()))),
        Seen::Other(_) | Seen::Throttled | Seen::Gateway(_) | Seen::Nothing(_) => {}
    }
    (row.right, row.is_named, row.tail) = (0, false, elapsed);
    if elapsed <= CONFIRMED_WITHIN {
        tokio::time::sleep(ASK_AGAIN).await;
        return None;
    }
    let seconds = CONFIRMED_WITHIN.as_secs();
    Some(match &row.failed {
        Some((at, why)) if elapsed - *at <= SERVED_WITHIN => Outcome::Bad(why.clone()),
        // AWS is slow, or this machine's network: no fault of the release.
        _ => Outcome::Unsettled(format!("still moving after {seconds} s: live {path}: {}", seen.why())),
    })
}

/// Nothing in the answers says which release made them.
async fn confirm_by_status(context: &Context, transition: &Transition, row: &Row<'_>, asker: Asker) -> Outcome {
    let began = Instant::now();
    while !is_at_target(context, transition).await {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        if began.elapsed() > SERVED_WITHIN {
            return Outcome::Unsettled(format!("AWS does not show that live serves release {}", transition.to));
        }
        tokio::time::sleep(ASK_AGAIN * 10).await;
    }
    if asker.is_deploy() {
        return Outcome::Good;
    }
    if transition.carrier == Carrier::Functions {
        let functions = transition.followers.len();
        context.emit(Event::Note {
            message: format!(
                "confirmed by the alias live of {functions} {}",
                if functions == 1 { "function" } else { "functions" }
            ),
        });
        return Outcome::Good;
    }
    if transition.probes.is_empty() {
        context.emit(Event::Note {
            message: "not confirmed from outside: the API has no route known to be read-only".to_owned(),
        });
        return Outcome::Good;
    }
    context.emit(Event::Confirmed {
        release: transition.to,
        requests: row.right,
        tail_millis: millis(row.tail),
        by: Evidence::Status,
    });
    Outcome::Good
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::aws::client::context::tests::{identity, recorded};
    use crate::aws::client::fake;
    use crate::event::{Endpoints, Recorder};
    use crate::release::answer::Answer;
    use crate::release::answer::tests::answer;
    use crate::release::transition::tests::facts;
    use crate::release::transition::{Gateway, promotion};

    /// An API whose answers are given by URL and time.
    struct Outside<F>(F, Instant);

    #[async_trait]
    impl<F: Fn(&str, Duration) -> Result<Answer, String> + Send + Sync> Probe for Outside<F> {
        async fn get(&self, url: &str) -> Result<Answer, String> {
            (self.0)(url, self.1.elapsed())
        }

        async fn run(&self, _: &str, _: &[(&str, String)]) -> Result<(), String> {
            Ok(())
        }

        async fn check(&self, _: &str) -> Checked {
            Checked::default()
        }
    }

    /// A promotion of release 2, whose deployment is d2; what AWS shows on live is given.
    fn stage(shown: &'static str) -> (Context, Arc<Recorder>, Transition) {
        let clients = fake::clients("eu-central-1", move |call| {
            assert_eq!(call.operation, "GET /v2/apis/a1/stages/%24default");
            (
                200,
                format!(r#"{{"stageName":"$default","deploymentId":"{shown}"}}"#).into_bytes(),
            )
        });
        let (context, recorder) = recorded(identity(), clients);
        let gateway = Gateway {
            api_id: "a1".to_owned(),
            endpoints: Endpoints {
                live: Some("https://live".to_owned()),
                preview: Some("https://preview".to_owned()),
                site: None,
            },
            probes: vec!["/orders/0".to_owned(), "/health".to_owned()],
            ..Gateway::default()
        };
        let transition = promotion(&gateway, &facts(1, 2, None)).unwrap().unwrap();
        (context, recorder, transition)
    }

    fn outside<F: Fn(&str, Duration) -> Result<Answer, String> + Send + Sync>(answers: F) -> Outside<F> {
        Outside(answers, Instant::now())
    }

    fn notes(recorder: &Recorder) -> Vec<String> {
        let events = recorder.take().into_iter();
        let notes = events.filter_map(|event| match event {
            Event::Note { message } => Some(message),
            _ => None,
        });
        notes.collect()
    }

    fn confirmed(recorder: &Recorder) -> Option<(u32, u64, Evidence)> {
        recorder.take().into_iter().find_map(|event| match event {
            Event::Confirmed {
                requests,
                tail_millis,
                by,
                ..
            } => Some((requests, tail_millis, by)),
            _ => None,
        })
    }

    fn of_release(release: &str) -> Answer {
        answer(200, &[("x-release", release)], "{}")
    }

    const NO_ROUTE: &str = r#"{"message":"Not Found"}"#;

    #[tokio::test(start_paused = true)]
    async fn a_404_of_a_function_that_does_not_name_its_release_is_an_answer() {
        let (context, recorder, transition) = stage("d2");
        let began = Instant::now();
        let foreign = outside(|_, _| Ok(answer(404, &[], r#"{"message":"no such order"}"#)));
        assert_eq!(
            check(&context, &transition, &foreign, &CheckEvents::new()).await,
            Outcome::Good
        );
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(notes(&recorder), Vec::<String>::new());
        // What looks like the gateway's for ever is the function's: the route is there.
        let alike = outside(|_, _| Ok(answer(404, &[], NO_ROUTE)));
        assert_eq!(
            check(&context, &transition, &alike, &CheckEvents::new()).await,
            Outcome::Good
        );
        assert_eq!(
            notes(&recorder)[0],
            "not counted: preview /orders/0 answered 404 as the gateway itself does, so the answer does not show whether a \
             function made it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_in_preview_is_refused() {
        let (context, _, transition) = stage("d2");
        let throttled = outside(|_, _| Ok(answer(429, &[], r#"{"message":"Too Many Requests"}"#)));
        let refused = check(&context, &transition, &throttled, &CheckEvents::new()).await;
        assert_eq!(
            refused,
            Outcome::Bad("preview /orders/0: answered 429: the gateway throttles".to_owned())
        );
        let failing = outside(|_, _| Ok(answer(500, &[], r#"{"message":"Internal Server Error"}"#)));
        let refused = check(&context, &transition, &failing, &CheckEvents::new()).await;
        assert_eq!(refused, Outcome::Bad("preview /orders/0: answered 500".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_do_not_name_their_release_count_with_the_status() {
        let foreign = || outside(|_, _| Ok(answer(404, &[], r#"{"message":"no such order"}"#)));
        let (context, recorder, transition) = stage("d2");
        let began = Instant::now();
        let settling = Duration::from_secs(10);
        assert_eq!(
            confirm(&context, &transition, &foreign(), settling, Asker::Move).await,
            Outcome::Good
        );
        let (requests, _, by) = confirmed(&recorder).unwrap();
        assert_eq!(by, Evidence::Status);
        assert!(requests >= CONFIRMATIONS && began.elapsed() >= settling, "{requests}");
        // Live serves something else, and its functions answer well, too.
        let (context, _, transition) = stage("d1");
        let moving = confirm(&context, &transition, &foreign(), Duration::ZERO, Asker::Move).await;
        assert!(matches!(moving, Outcome::Unsettled(why) if why == "AWS does not show that live serves release 2"));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_of_the_gateway_confirm_nothing() {
        let (context, recorder, transition) = stage("d2");
        let late = outside(|_, at| match at.as_secs() {
            0..5 => Ok(answer(404, &[], NO_ROUTE)),
            _ => Ok(of_release("2")),
        });
        assert_eq!(
            confirm(&context, &transition, &late, Duration::ZERO, Asker::Move).await,
            Outcome::Good
        );
        let (_, tail, by) = confirmed(&recorder).unwrap();
        assert!(by == Evidence::Answers && (4_000..=5_000).contains(&tail), "{tail}");
        // A former release lacks a route that the API has now: the others confirm it.
        let lacking = outside(|url, _| match url.ends_with("/orders/0") {
            true => Ok(answer(404, &[], NO_ROUTE)),
            false => Ok(of_release("2")),
        });
        assert_eq!(
            confirm(&context, &transition, &lacking, Duration::ZERO, Asker::Move).await,
            Outcome::Good
        );
        assert_eq!(confirmed(&recorder).map(|(_, _, by)| by), Some(Evidence::Answers));
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_are_no_failure_and_5xx_are() {
        let (context, _, transition) = stage("d2");
        let check = async |answers: &(dyn Fn(Duration) -> Answer + Send + Sync)| {
            let outside = outside(|_, at| Ok(answers(at)));
            confirm(&context, &transition, &outside, Duration::ZERO, Asker::Move).await
        };
        let old = check(&|_| of_release("1")).await;
        let is_moving = |why: &str| why.starts_with("still moving after 60 s") && why.ends_with("release 1 answered");
        assert!(matches!(&old, Outcome::Unsettled(why) if is_moving(why)), "{old:?}");
        let failing = check(&|_| answer(502, &[("x-release", "2")], "")).await;
        assert!(matches!(failing, Outcome::Bad(why) if why.contains("answered 502")));
        // Some answers are of the former release, the others fail.
        let both = check(&|at| match at.as_millis() / 100 % 2 {
            0 => of_release("1"),
            _ => answer(500, &[], "{}"),
        });
        assert!(matches!(both.await, Outcome::Bad(why) if why.contains("answered 500")));
        // It failed while it started.
        let slow = check(&|at| match at.as_secs() {
            0..20 => answer(500, &[], "{}"),
            _ => of_release("1"),
        });
        assert!(matches!(slow.await, Outcome::Unsettled(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn preview_is_given_time_to_learn_of_permissions() {
        let (context, _, transition) = stage("d2");
        // Some answers are right before all are.
        let settling = outside(|_, at| match (at.as_secs(), at.as_millis() / 100 % 2) {
            (0..18, 0) => Ok(answer(500, &[], r#"{"message":"Internal Server Error"}"#)),
            _ => Ok(of_release("2")),
        });
        let began = Instant::now();
        let asked = probe_preview(&context, &transition, &settling, Asker::Deploy(PERMITTED_WITHIN)).await;
        assert_eq!(asked, Ok(2));
        assert!(began.elapsed() < Duration::from_secs(19));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deploy_whose_api_is_out_of_reach_goes_on() {
        let (context, recorder, transition) = stage("d2");
        let nothing = outside(|_, _| Err("connection refused".to_owned()));
        let began = Instant::now();
        let asked = probe_preview(&context, &transition, &nothing, Asker::Deploy(PERMITTED_WITHIN)).await;
        let live = confirm(
            &context,
            &transition,
            &nothing,
            Duration::ZERO,
            Asker::Deploy(PERMITTED_WITHIN),
        )
        .await;
        assert_eq!((asked, live), (Ok(0), Outcome::Good));
        assert!(began.elapsed() < Duration::from_secs(8));
        assert_eq!(notes(&recorder).len(), 2);
        let refused = probe_preview(&context, &transition, &nothing, Asker::Move).await;
        assert_eq!(
            refused,
            Err(Outcome::Bad("preview /orders/0: connection refused".to_owned()))
        );
    }

    /// A release whose checks are answered so, run by run; the last one stays.
    struct Checks(std::sync::Mutex<Vec<bool>>);

    #[async_trait]
    impl Probe for Checks {
        async fn get(&self, _: &str) -> Result<Answer, String> {
            Ok(of_release("2"))
        }

        async fn run(&self, _: &str, _: &[(&str, String)]) -> Result<(), String> {
            Ok(())
        }

        async fn check(&self, _: &str) -> Checked {
            let mut runs = self.0.lock().unwrap();
            let is_failing = if runs.len() > 1 { runs.remove(0) } else { runs[0] };
            Checked {
                failures: if is_failing {
                    vec!["orders (GET /orders): 500".to_owned()]
                } else {
                    Vec::new()
                },
                has_server_error: is_failing,
                ..Checked::default()
            }
        }
    }

    /// What comes of the checks of a release that was deployed so many seconds ago, how long they took, and the notes.
    async fn checked(deployed_ago: i64, runs: &[bool]) -> (Outcome, u64, usize) {
        let clients = fake::clients("eu-central-1", move |call| {
            assert_eq!(call.operation, "GET /v2/apis/a1/deployments/d2");
            let at = jiff::Timestamp::from_second(-deployed_ago).unwrap();
            (200, format!(r#"{{"createdDate":"{at}"}}"#).into_bytes())
        });
        let (context, recorder) = recorded(identity(), clients);
        let gateway = Gateway {
            api_id: "a1".to_owned(),
            ..Gateway::default()
        };
        let transition = promotion(&gateway, &facts(1, 2, None)).unwrap().unwrap();
        let outside = Checks(std::sync::Mutex::new(runs.to_vec()));
        let began = Instant::now();
        let outcome = check(&context, &transition, &outside, &CheckEvents::new()).await;
        (outcome, began.elapsed().as_secs(), notes(&recorder).len())
    }

    #[tokio::test(start_paused = true)]
    async fn checks_of_a_release_of_a_moment_ago_are_repeated_on_5xx() {
        let refused = Outcome::Bad("orders (GET /orders): 500".to_owned());
        assert_eq!(checked(3, &[true, true, false]).await, (Outcome::Good, 4, 2));
        let (outcome, took, _) = checked(3, &[true]).await;
        assert_eq!(outcome, refused);
        assert!((17..20).contains(&took), "{took}");
        assert_eq!(checked(60, &[true, false]).await, (refused, 0, 0));
    }
}
