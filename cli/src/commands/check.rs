//! `taskctl check`: the request checks against live, preview or a URL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use taskctl_checks::{Folder, Outcome as Checked, Report, State, Verdict, junit, run as run_checks};
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::{Endpoints, millis};
use taskctl_stack::observe::security;

use crate::cli::{CheckArgs, Output};
use crate::env::absolute;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::{self, Readers};
use crate::http_probe::{CheckClient, allowed_origin};
use crate::promotion_gate::PromotionGate;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{columns, count, cut, duration, fill, plain};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Check preview instead of live
    #[arg(long, conflicts_with = "url")]
    preview: bool,
    /// Check live (the default)
    #[arg(long, conflicts_with_all = ["url", "preview"])]
    live: bool,
    /// Check this URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Also check isolation: permissions of functions, who may invoke them, foreign origins, buckets
    #[arg(long, conflicts_with = "url")]
    security: bool,
    /// Run only checks of this category; may be repeated
    #[arg(long, value_enum, value_name = "FOLDER")]
    folder: Vec<FolderName>,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    checks: CheckArgs,
}

/// Sorts of checks.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FolderName {
    /// Each route behaves as documented
    Functional,
    /// Responses arrive in time
    Performance,
    /// Forbidden requests are rejected
    Security,
    /// Sequences of requests
    Integration,
}

impl From<FolderName> for Folder {
    fn from(name: FolderName) -> Self {
        match name {
            FolderName::Functional => Self::Functional,
            FolderName::Performance => Self::Performance,
            FolderName::Security => Self::Security,
            FolderName::Integration => Self::Integration,
        }
    }
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        check(&session, args).await
    })
}

async fn check(session: &Session, args: Args) -> Result<Exit, Failure> {
    let mut gate = PromotionGate::open(session, &args.checks)?;
    if gate.suites.is_empty() {
        return Err(Failure::new(
            Exit::Error,
            "no request checks found",
            "add --checks DIR; docs/checks.md describes how to write them",
        ));
    }
    gate.options.folders = args.folder.iter().copied().map(Folder::from).collect();
    let url = match &args.url {
        Some(url) => url.clone(),
        None => endpoint(session, args.preview).await?,
    };
    let client = Arc::new(CheckClient::new(session.cancel.clone())?);
    let began = Instant::now();
    let mut report = run_checks(&gate.suites, &url, &gate.options, client).await;
    if args.security && !session.cancel.is_cancelled() {
        report.checks.extend(security(session, &url).await?);
    }
    let took = millis(began.elapsed());
    if let Some(path) = &args.junit {
        let path = absolute(path);
        let xml = junit(&report).map_err(|error| Failure::io("writing", &path, &error))?;
        file::write(&path, xml.as_bytes(), Readers::Usual)?;
    }
    for failure in report.failures() {
        session.reporter.annotate("request check", failure);
    }
    let text = match session.global.output {
        Output::Json => json_answer("the report", &report, Lines::Many)?,
        Output::Human => render(&report, took, &session.env.out),
        Output::Github => render(&report, took, &Style::PLAIN),
    };
    session.reporter.answer(text);
    Ok(match (session.cancel.is_cancelled(), report.is_good()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::CheckFailed,
    })
}

/// What must not be possible, as checks of their own.
async fn security(session: &Session, url: &str) -> Result<Vec<Checked>, Failure> {
    let project = session.project()?;
    let stack = &project.template.stack;
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let examining = security::examine(engine.context(), engine.control(), stack);
    let findings = session.unless_stopped(examining).await?.map_err(EngineError::from)?;
    let mut checks: Vec<Checked> = findings
        .into_iter()
        .map(|finding| held(finding.about, finding.holds, finding.asked, finding.wrong))
        .collect();
    let origins = stack
        .api
        .iter()
        .flat_map(|api| &api.cors)
        .flat_map(|cors| &cors.allow_origins);
    if !origins.into_iter().any(|origin| origin == "*") {
        for origin in ["https://attacker.example", "null"] {
            let asked = format!("OPTIONS {url}/health, origin {origin}");
            let answered = session
                .unless_stopped(allowed_origin(&format!("{url}/health"), origin, "POST"))
                .await?;
            let wrong = match answered {
                Ok(None) => None,
                Ok(Some(allowed)) => (allowed == "*" || allowed == origin).then(|| format!("the API allows {allowed}")),
                Err(error) => Some(error),
            };
            checks.push(held(
                "origins",
                format!("requests from {origin} are not allowed"),
                asked,
                wrong,
            ));
        }
    }
    Ok(checks)
}

fn held(about: &str, holds: String, asked: String, wrong: Option<String>) -> Checked {
    Checked {
        suite: about.to_owned(),
        folder: Folder::Security,
        name: holds,
        request: asked.clone(),
        state: if wrong.is_none() { State::Passed } else { State::Failed },
        status: None,
        millis: None,
        request_id: None,
        assertions: vec![Verdict {
            assertion: asked,
            failure: wrong,
        }],
    }
}

async fn endpoint(session: &Session, preview: bool) -> Result<String, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let endpoints = session.unless_stopped(engine.endpoints(None)).await??;
    if endpoints == Endpoints::default() {
        session.unless_stopped(engine.require_deployed()).await??;
    }
    let url = if preview { endpoints.preview } else { endpoints.live };
    url.ok_or_else(|| {
        Failure::new(
            Exit::Error,
            format!("{}/{} has no API to check", stack_ref.app, session.global.target.stage),
            "`api:` in the template and `taskctl deploy` create one; --url URL checks another",
        )
    })
}

/// The report as text: a line for each check, what failed below it, the sum at the end.
pub fn render(report: &Report, millis: u64, style: &Style) -> String {
    let mut out = format!("{}\n", style.paint(Tone::Strong, &plain(&report.url)));
    let mut suite = "";
    let name_width = report
        .checks
        .iter()
        .map(|check| columns(&check.name))
        .max()
        .unwrap_or(0);
    // Mark, status, time and the gaps between them take 24 columns.
    let name_width = name_width.min(style.width.saturating_sub(24)).max(10);
    for check in &report.checks {
        if check.suite != suite {
            suite = &check.suite;
            out.push_str(&format!("\n{}\n", style.paint(Tone::Strong, &plain(suite))));
        }
        out.push_str(&line(check, name_width, style));
    }
    out.push_str(&format!("\n{}\n", sum(report, millis, style)));
    out
}

fn line(check: &Checked, name_width: usize, style: &Style) -> String {
    let (tone, mark) = match check.state {
        State::Passed => (Tone::Good, "ok"),
        State::Failed | State::Unanswered { .. } => (Tone::Bad, "FAIL"),
        State::Skipped { .. } => (Tone::Faint, "skip"),
    };
    let name = cut(&plain(&check.name), name_width);
    let gap = " ".repeat(name_width.saturating_sub(columns(&name)));
    let seen = match (check.status, check.millis) {
        (Some(status), Some(millis)) => format!("  {status}  {millis:>5} ms"),
        _ => String::new(),
    };
    let mut out = format!(
        "  {}{} {name}{gap}{seen}",
        style.paint(tone, mark),
        " ".repeat(4 - mark.len())
    );
    out.truncate(out.trim_end().len());
    out.push('\n');
    let mut below = Vec::new();
    match &check.state {
        State::Passed => {}
        State::Skipped { reason } => below.push(reason.clone()),
        State::Unanswered { reason } => below.push(format!("{}: {reason}", check.request)),
        State::Failed => {
            below.push(check.request.clone());
            below.extend(check.assertions.iter().filter_map(|one| one.failure.clone()));
            below.extend(check.request_id.as_ref().map(|id| format!("request {id}")));
        }
    }
    for text in below {
        for line in fill(&plain(&text), style.width.saturating_sub(7)) {
            out.push_str(&format!("       {line}\n"));
        }
    }
    out
}

fn sum(report: &Report, millis: u64, style: &Style) -> String {
    let number = |is: fn(&State) -> bool| report.checks.iter().filter(|check| is(&check.state)).count();
    let failed = number(|state| matches!(state, State::Failed | State::Unanswered { .. }));
    let skipped = number(|state| matches!(state, State::Skipped { .. }));
    let large = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut parts = vec![
        count(large(report.checks.len() - skipped), "check"),
        count(large(report.asserted()), "assertion"),
    ];
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    let (tone, end) = match failed {
        0 => (Tone::Good, "all passed".to_owned()),
        1 => (Tone::Bad, "1 check failed".to_owned()),
        failed => (Tone::Bad, format!("{failed} checks failed")),
    };
    format!(
        "{}: {} in {}",
        style.paint(tone, &end),
        parts.join(", "),
        duration(millis)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::style::screens;

    fn outcome(name: &str, state: State, failure: Option<&str>) -> Checked {
        Checked {
            suite: "tasks".to_owned(),
            folder: Folder::Functional,
            name: name.to_owned(),
            request: "POST /tasks".to_owned(),
            state,
            status: Some(500),
            millis: Some(12),
            request_id: failure.map(|_| "8d7f6a".to_owned()),
            assertions: vec![Verdict {
                assertion: "status is 201".to_owned(),
                failure: failure.map(str::to_owned),
            }],
        }
    }

    #[test]
    fn a_report_says_what_failed_and_how_to_find_it() {
        let skipped = State::Skipped {
            reason: "it changes data; --allow-writes runs it".to_owned(),
        };
        let skipped = Checked {
            status: None,
            millis: None,
            assertions: Vec::new(),
            ..outcome("delete the task", skipped, None)
        };
        let report = Report {
            url: "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/preview".to_owned(),
            checks: vec![
                outcome("list tasks", State::Passed, None),
                outcome("create a task", State::Failed, Some("status: expected 201, got 500")),
                skipped,
            ],
        };
        screens("check", |style| render(&report, 421, style));
    }

    #[test]
    fn readme_shows_the_sum_of_a_report() {
        // As many as the shipped checks of a task tracker.
        let checks = (0..21).map(|number| {
            let mut check = outcome("x", State::Passed, None);
            let one = check.assertions.remove(0);
            check.assertions = vec![one; if number < 15 { 3 } else { 2 }];
            check
        });
        let report = Report {
            url: String::new(),
            checks: checks.collect(),
        };
        crate::readme::check(
            "taskctl check --local",
            &format!("…\n{}\n", sum(&report, 400, &Style::PLAIN)),
        );
    }

    proptest::proptest! {
        #[test]
        fn a_report_is_told_without_controls(value in crate::ui::hostile::hostile()) {
            let report = Report {
                url: value.clone(),
                checks: vec![Checked {
                    suite: value.clone(),
                    request: value.clone(),
                    ..outcome(&value, State::Failed, Some(&value))
                }],
            };
            let out = render(&report, 1, &Style::PLAIN);
            proptest::prop_assert!(crate::ui::hostile::obeyed(&out, crate::ui::style::Paint::Plain).is_empty());
        }
    }
}
