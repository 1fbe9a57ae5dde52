//! `taskctl load`: many users at once, and how long they waited.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use taskctl_checks::{Latency, Load, LoadReport, Model, Progress, Suite, load as make_load, parse};
use taskctl_stack::event::Endpoints;

use crate::cli::Output;
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::http_probe::CheckClient;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::time_arg::duration;
use crate::ui::chart;
use crate::ui::confirm::{Confirmation, Expected, Unattended};
use crate::ui::style::{Motion, Style, Tone};
use crate::ui::table::table;
use crate::ui::text::{count, plain};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Number of concurrent requests
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=2000))]
    users: u16,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// How long to warm up before measuring
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    warm_up: Duration,
    /// Requests per second, independent of responses; without it, each user waits for a response before the next request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rps: Option<u32>,
    /// Request to send, such as 'GET /tasks?limit=20'; may be repeated to send several in turn
    #[arg(
        long,
        value_name = "REQUEST",
        default_value = "GET /health",
        conflicts_with = "scenario"
    )]
    request: Vec<String>,
    /// File of request checks; each user sends its requests in turn
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Load preview instead of live
    #[arg(long, conflicts_with = "url")]
    preview: bool,
    /// Load this URL; one that is not the stack's own needs confirmation
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Exit with 4 if the 99th percentile of latency is above this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    p99: Option<Duration>,
    /// Exit with 4 if there are more errors than this
    #[arg(long, value_name = "N")]
    errors: Option<u64>,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        load(&session, &args).await
    })
}

async fn load(session: &Arc<Session>, args: &Args) -> Result<Exit, Failure> {
    let suite = scenario(args)?;
    let url = target(session, args).await?;
    let client = Arc::new(CheckClient::new(session.cancel.clone())?);
    let plan = Load {
        users: args.users.into(),
        model: args.rps.map_or(Model::Closed, |rps| Model::Open(rps.into())),
        duration: args.duration,
        warm_up: args.warm_up,
    };
    let progress = Arc::new(Progress::default());
    let watcher = tokio::spawn(watch(Arc::clone(&progress), plan, session.env.err));
    let report = make_load(&suite, &url, &plan, client, progress).await;
    watcher.abort();
    clear(session.env.err);
    let text = match session.global.output {
        Output::Json => json_answer("the report", &report, Lines::Many)?,
        Output::Human | Output::Github => render(&report, &session.env.out),
    };
    session.reporter.answer(text);
    if session.cancel.is_cancelled() {
        return Ok(Exit::Interrupted);
    }
    let missed = missed(&report, args.p99, args.errors);
    if missed.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(
        Exit::CheckFailed,
        missed.join("; "),
        "see `taskctl logs` and `taskctl status`",
    ))
}

/// What the thresholds do not allow.
fn missed(report: &LoadReport, p99: Option<Duration>, errors: Option<u64>) -> Vec<String> {
    let mut missed = Vec::new();
    if let Some(limit) = p99.map(|limit| limit.as_secs_f64() * 1_000.0)
        && report.latency.p99 > limit
    {
        missed.push(format!("p99 is {:.0} ms, limit {limit:.0} ms", report.latency.p99));
    }
    if let Some(allowed) = errors
        && report.failed() > allowed
    {
        missed.push(format!(
            "{} failed, more than the {allowed} allowed",
            count(report.failed(), "request")
        ));
    }
    missed
}

fn scenario(args: &Args) -> Result<Suite, Failure> {
    if let Some(path) = &args.scenario {
        let path = absolute(path);
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("reading", &path, &error))?;
        return Ok(parse(&path.display().to_string(), &text)?);
    }
    let checks: Vec<serde_json::Value> = args
        .request
        .iter()
        .map(|request| {
            let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
            serde_json::json!({
                "name": request, "folder": "performance", "request": {"method": method, "path": path},
                "expect": {"status": [200, 201, 202, 204]},
            })
        })
        .collect();
    let text = serde_json::json!({ "checks": checks }).to_string();
    Ok(parse("--request", &text)?)
}

/// The URL. The stack's own needs no consent; another one may belong to somebody else.
async fn target(session: &Session, args: &Args) -> Result<String, Failure> {
    if let Some(url) = &args.url {
        if !session.global.yes && !own(session, url).await {
            let confirmation = Confirmation {
                question: format!("{url} is not an endpoint of this stack. Generate load on it anyway?"),
                expected: Expected::Yes,
                unattended: Unattended::Refuse(format!(
                    "{url} is not an endpoint of this stack: loading it needs confirmation, and there is no terminal to ask on"
                )),
            };
            session.confirm(confirmation).await?;
        }
        return Ok(url.clone());
    }
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let endpoints = session.unless_stopped(engine.endpoints(None)).await??;
    if endpoints == Endpoints::default() {
        session.unless_stopped(engine.require_deployed()).await??;
    }
    let url = if args.preview {
        endpoints.preview
    } else {
        endpoints.live
    };
    url.ok_or_else(|| {
        Failure::new(
            Exit::Error,
            format!("{}/{} has no API to load", stack_ref.app, session.global.target.stage),
            "`api:` in the template and `taskctl deploy` create one; --url URL loads another",
        )
    })
}

async fn own(session: &Session, url: &str) -> bool {
    let looking = async {
        let stack_ref = session.stack_ref()?;
        let engine = session.connect_quietly(&stack_ref).await?;
        Ok::<_, Failure>(engine.endpoints(None).await?)
    };
    let Ok(endpoints) = looking.await else { return false };
    endpoints.live.is_some_and(|live| {
        let rest = url.strip_prefix(&live);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// One line that changes, on a terminal.
async fn watch(progress: Arc<Progress>, plan: Load, style: Style) {
    if style.motion != Motion::Live {
        return;
    }
    let began = tokio::time::Instant::now();
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let requests = progress.requests.load(Ordering::Relaxed);
        let errors = progress.errors.load(Ordering::Relaxed);
        let micros = progress.micros.load(Ordering::Relaxed);
        let elapsed = began.elapsed();
        let phase = match elapsed < plan.warm_up {
            true => "warming up".to_owned(),
            false => format!(
                "{} of {} s",
                (elapsed - plan.warm_up).as_secs(),
                plan.duration.as_secs()
            ),
        };
        let mean = micros.checked_div(requests).unwrap_or(0) / 1_000;
        let line = format!(
            "{phase}  {} requests/s  {}  mean {mean} ms",
            (requests - before) * 2,
            count(errors, "error"),
        );
        before = requests;
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

fn clear(style: Style) {
    if style.motion == Motion::Live {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

/// The report as text.
pub fn render(report: &LoadReport, style: &Style) -> String {
    let model = match report.rps_wanted {
        Some(rps) => format!("target {rps} requests/s, at most {} in flight", report.users),
        None => count(u64::try_from(report.users).unwrap_or(u64::MAX), "user"),
    };
    let mut out = format!(
        "{}\n{model}, {:.0} s: {}, {:.0}/s\n\n",
        style.paint(Tone::Strong, &plain(&report.url)),
        report.seconds,
        count(report.requests, "request"),
        report.rps
    );
    let heads = ["", "requests", "errors", "min", "p50", "p90", "p99", "p99.9", "max ms"];
    let mut rows = table(style, &heads).with_right(1..heads.len());
    let ms = |value: f64| {
        if value < 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    let mut row = |name: String, requests: u64, errors: u64, latency: &Latency| {
        let Latency {
            min,
            p50,
            p90,
            p99,
            p999,
            max,
        } = *latency;
        let mut cells = vec![name, requests.to_string(), errors.to_string()];
        cells.extend([min, p50, p90, p99, p999, max].map(ms));
        rows.add_row(cells);
    };
    for step in &report.steps {
        row(plain(&step.request), step.requests, step.errors, &step.latency);
    }
    if report.steps.len() > 1 {
        row("all".to_owned(), report.requests, report.failed(), &report.latency);
    }
    out.push_str(&rows.to_string());
    out.push_str(&chart(report, style));
    for (kind, number) in &report.errors {
        out.push_str(&format!(
            "{} {}\n",
            style.paint(Tone::Bad, &format!("{number:>7}")),
            plain(kind)
        ));
    }
    out
}

/// What is drawn of a second.
type Value = fn(&taskctl_checks::Second) -> f64;

/// p50 and p99 of each second, as bars of eight heights; long runs are gathered to the width.
fn chart(report: &LoadReport, style: &Style) -> String {
    let seconds = &report.timeline;
    if seconds.len() < 2 {
        return String::new();
    }
    let mut out = String::from("\n");
    let rows: [(&str, Value, &str); 3] = [
        ("p50", |second| second.p50, "ms"),
        ("p99", |second| second.p99, "ms"),
        #[expect(clippy::cast_precision_loss, reason = "counts of requests fit")]
        ("rate", |second| second.requests as f64, "/s"),
    ];
    for (name, value, unit) in rows {
        let values: Vec<Option<f64>> = seconds.iter().map(|second| Some(value(second))).collect();
        let (drawn, most) = (
            chart::line(&values, style.width.saturating_sub(24)),
            chart::highest(&values),
        );
        out.push_str(&format!("{name:<5} {drawn}  max {most:.0} {unit}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::style::screens;
    use std::collections::BTreeMap;
    use taskctl_checks::{Second, StepReport};

    #[test]
    fn a_report_shows_what_users_waited() {
        let latency = Latency {
            min: 0.8,
            p50: 3.2,
            p90: 11.0,
            p99: 48.0,
            p999: 180.0,
            max: 320.0,
        };
        let step = |request: &str, errors| StepReport {
            request: request.to_owned(),
            requests: 6_000,
            errors,
            latency,
        };
        let second = |p99: f64| Second {
            requests: 400,
            errors: 0,
            p50: 3.0,
            p99,
        };
        let report = LoadReport {
            url: "http://127.0.0.1:4600".to_owned(),
            users: 100,
            rps_wanted: None,
            seconds: 30.0,
            rps: 400.0,
            requests: 12_000,
            errors: BTreeMap::from([("status 503".to_owned(), 2)]),
            latency,
            steps: vec![step("GET /counter", 0), step("POST /tasks", 2)],
            timeline: vec![second(20.0), second(48.0), second(12.0)],
        };
        screens("load", |style| render(&report, style));
        assert_eq!(
            missed(&report, Some(Duration::from_millis(48)), Some(2)),
            Vec::<String>::new()
        );
        assert_eq!(missed(&report, Some(Duration::from_millis(40)), Some(0)).len(), 2);
    }
}
