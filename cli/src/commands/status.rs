//! `taskctl status`: one screen about a stage.

use std::time::Duration;

use jiff::Timestamp;
use taskctl_stack::engine::{Engine, EngineError};
use taskctl_stack::event::Event;
use taskctl_stack::release::record::who;
use taskctl_stack::status::{self, ABANDONED, FunctionStatus, Inventory, LockStatus, Recent, SlotStatus, Status};

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::refresh::refresh;
use crate::report::plan::Details;
use crate::report::{CommandHint, Lines, Purpose, json_answer, where_to};
use crate::session::{self, Invocation, Session};
use crate::stack_ref::StackRef;
use crate::ui::clock::{minute_with_zone, reason as local_reason};
use crate::ui::style::{Style, Tone};
use crate::ui::table::{Cell, table};
use crate::ui::text::{fill, long_duration, plain, plain_lines, wrap};

const EXAMPLES: &str = "\
Examples:
  taskctl status --stage prod
  taskctl status --stage prod --watch
  taskctl status --stage prod --exit-code
  taskctl status --stage prod --runbook > runbook.txt";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Refresh until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Exit with 4 if the stage is unhealthy: an alarm is firing, a function is not active, live serves no release, or a
    /// canary was abandoned
    #[arg(long, conflicts_with = "watch")]
    exit_code: bool,
    /// Print the AWS CLI command lines that roll back without taskctl
    #[arg(long, conflicts_with_all = ["watch", "exit_code"])]
    runbook: bool,
}

/// Interval of refreshing. What is missing is listed less often.
const EVERY: Duration = Duration::from_secs(5);

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        show(&session, &args).await
    })
}

async fn show(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let hint = session.command_hint();
    let mut inventory = Inventory::default();
    let text = |status: &Status, lines| match session.global.output {
        Output::Json => json_answer("the status", status, lines),
        Output::Human | Output::Github if args.runbook => Ok(runbook(status)),
        Output::Human | Output::Github => Ok(render(status, &hint, &session.env.out, Timestamp::now())),
    };
    if args.watch {
        let fetch = async || {
            let status = fetch(session, &engine, &stack_ref, Some(&mut inventory)).await?;
            text(&status, Lines::One)
        };
        return refresh(session, EVERY, fetch).await;
    }
    let status = session
        .unless_stopped(fetch(session, &engine, &stack_ref, None))
        .await??;
    let text = text(&status, Lines::Many)?;
    session.reporter.answer(text);
    let complaints = status.complaints();
    if !args.exit_code || complaints.is_empty() {
        return Ok(Exit::Ok);
    }
    for complaint in complaints {
        session.reporter.emit(Event::Warning { message: complaint });
    }
    Ok(Exit::CheckFailed)
}

async fn fetch(
    session: &Session,
    engine: &Engine,
    stack_ref: &StackRef,
    inventory: Option<&mut Inventory>,
) -> Result<Status, Failure> {
    let site = |bucket: &str| session.target.website_url(bucket, &stack_ref.region);
    let (context, control) = (engine.context(), engine.control());
    let reading = match inventory {
        Some(inventory) => status::read_again(context, control, site, inventory).await,
        None => status::read(context, control, site).await,
    };
    let status = reading.map_err(EngineError::from)?;
    match status {
        Some(status) => Ok(status),
        None => Err(engine.not_deployed().await.into()),
    }
}

/// What somebody does who has credentials and no taskctl. Command lines are not wrapped: they are copied.
fn runbook(status: &Status) -> String {
    let place = where_to(&status.app, &status.stage, &status.region, Some(&status.account));
    let Some(by_hand) = &status.by_hand else {
        return format!("{place}\n\nThere is no release to roll back to.\n");
    };
    let live = status.live.as_ref().and_then(|live| live.release);
    let live = live.map_or("a deployment that is no release".to_owned(), |live| {
        format!("release {live}")
    });
    let sections = [
        (
            format!("Live serves {live}. Roll it back to release {}:", by_hand.release),
            by_hand.rollback.clone(),
        ),
        (
            "If a canary was running, end it then:".to_owned(),
            by_hand.end_canary.join("\n"),
        ),
        ("See what live serves:".to_owned(), by_hand.show.clone()),
    ];
    let sections = sections.map(|(head, lines)| {
        let lines: Vec<String> = plain_lines(&lines).collect();
        format!("{head}\n\n{}\n", lines.join("\n"))
    });
    let pages =
        "Pages of web sites do not move with it. Once taskctl works again, `taskctl status` shows where live is.\n";
    format!("{place}\n\n{}\n{pages}", sections.join("\n"))
}

/// The status as text.
fn render(status: &Status, hint: &CommandHint, style: &Style, now: Timestamp) -> String {
    let Status {
        app,
        stage,
        region,
        account,
        endpoints,
        live,
        preview,
        functions,
        alarms,
        ..
    } = status;
    let mut out = format!(
        "{}\n\n",
        style.paint(Tone::Strong, &where_to(app, stage, region, Some(account)))
    );
    let slots = [
        ("live", live, &endpoints.live),
        ("preview", preview, &endpoints.preview),
    ];
    for (name, slot, url) in slots {
        let text = slot_text(slot.as_ref(), now);
        let url = url.as_deref().map(|url| style.paint(Tone::Copy, &plain(url)));
        out.push_str(&match (url, slot) {
            // Without an API a release has no URL.
            (None, Some(_)) => format!("{name:<8} {text}\n"),
            (url, _) => format!("{name:<8} {}\n{:9}{text}\n", url.unwrap_or_else(|| "-".to_owned()), ""),
        });
    }
    if let Some(site) = &endpoints.site {
        out.push_str(&format!("{:<8} {}\n", "site", style.paint(Tone::Copy, &plain(site))));
    }
    out.push_str(&history(status, hint, style, now));
    let failing = functions
        .iter()
        .any(|function| function.recent.is_some_and(|recent| recent.errors > 0.0));
    if !functions.is_empty() {
        let heads = ["function", "live", "preview", "state", "memory", "arch", "last 15 min"];
        let mut table = table(style, &heads);
        for function in functions {
            let version =
                |version: &Option<String>| version.as_ref().map_or("-".to_owned(), |version| format!("v{version}"));
            let state = plain(&function.state);
            let tone = if state == "Active" { Tone::Plain } else { Tone::Bad };
            let memory = function
                .memory_mb
                .map_or("-".to_owned(), |memory| format!("{memory} MB"));
            table.add_row([
                Cell::from(plain(&function.name)),
                Cell::from(version(&function.live_version)),
                Cell::from(version(&function.preview_version)),
                Cell::toned(tone, state),
                Cell::from(memory),
                Cell::from(function.architecture.clone().unwrap_or_else(|| "-".to_owned())),
                recent(function),
            ]);
        }
        out.push_str(&format!("\n{table}"));
    }
    out.push_str(&alarms_text(alarms, style, now));
    let is_wrong = failing || !status.complaints().is_empty();
    if is_wrong {
        let help = "help: `taskctl doctor` names the causes and what to do";
        let alarms = if alarms.iter().any(|alarm| alarm.state == "ALARM") {
            "; `taskctl alarms` says what they watch"
        } else {
            ""
        };
        out.push('\n');
        for line in fill(&hint.complete(&format!("{help}{alarms}")), style.width) {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

/// Requests of the last minutes, and how many of them failed.
fn recent(function: &FunctionStatus) -> Cell {
    match function.recent {
        None => Cell::from("no requests"),
        Some(Recent { requests, errors }) if errors > 0.0 => {
            let share = errors * 100.0 / requests;
            Cell::toned(Tone::Bad, format!("{requests:.0}, {errors:.0} failed ({share:.1}%)"))
        }
        Some(Recent { requests, .. }) => Cell::from(format!("{requests:.0}, none failed")),
    }
}

/// A row of the history: its name, tone and text.
type Row = (&'static str, Tone, String);

/// What changed last, who works here now, what of live's traffic is diverted, and what changed behind taskctl's back.
fn history(status: &Status, hint: &CommandHint, style: &Style, now: Timestamp) -> String {
    let mut rows = last_rows(status, now);
    rows.extend(status.lock.as_ref().map(|lock| lock_row(lock, now)));
    rows.extend(canary_row(status, hint, now));
    let changed: Vec<String> = status
        .functions
        .iter()
        .filter(|function| function.changed_since)
        .map(|function| plain(&function.name))
        .collect();
    if !changed.is_empty() {
        let shows = hint.complete("`taskctl plan` shows how");
        let text = format!("{} since the last deploy; {shows}", changed.join(", "));
        rows.push(("changed", Tone::Warn, text));
    }
    if !status.missing.is_empty() {
        let missing: Vec<String> = status.missing.iter().map(|id| plain(&id.to_string())).collect();
        let shows = hint.complete("`taskctl plan` shows it, `taskctl deploy` recreates it");
        let text = format!("{}: deployed before, now gone; {shows}", missing.join(", "));
        rows.push(("missing", Tone::Bad, text));
    }
    let mut out = String::new();
    for (name, tone, text) in rows {
        for (index, line) in fill(&text, style.width.saturating_sub(9)).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            out.push_str(&format!("{name:<8} {}\n", style.paint(tone, line)));
        }
    }
    out
}

/// Such as `5 min`.
fn seconds_since(at: Timestamp, now: Timestamp) -> String {
    long_duration(u64::try_from(now.as_second() - at.as_second()).unwrap_or(0))
}

/// The last deploy and the last move of live.
fn last_rows(status: &Status, now: Timestamp) -> Vec<Row> {
    let deployed = status.last_release.as_ref().map(|last| {
        let ago = seconds_since(last.at, now);
        let who = plain(who(&last.user, last.principal.as_deref()));
        format!("release {} deployed {ago} ago by {who}", last.release)
    });
    let moved = status.last_move.as_ref().map(|moved| {
        let end = plain(moved.end.split(':').next().unwrap_or_default());
        let ago = seconds_since(moved.at, now);
        format!("{} to release {} {ago} ago: {end}", moved.cause.as_str(), moved.to)
    });
    let texts = deployed.into_iter().chain(moved).enumerate();
    texts
        .map(|(index, text)| (if index == 0 { "last" } else { "" }, Tone::Plain, text))
        .collect()
}

fn lock_row(lock: &LockStatus, now: Timestamp) -> Row {
    let (tone, state) = match lock.is_attended() {
        true => (Tone::Warn, format!("started {} ago", seconds_since(lock.since, now))),
        false => {
            let silent = long_duration(u64::try_from(lock.silent_seconds).unwrap_or(0));
            (Tone::Bad, format!("no heartbeat for {silent}"))
        }
    };
    let text = format!(
        "{} on {} runs `{}`, {state}",
        plain(who(&lock.user, lock.principal.as_deref())),
        plain(&lock.host),
        plain(&lock.command)
    );
    ("lock", tone, text)
}

/// The share of live's traffic that another release gets, how far the canary is, and who monitors it.
fn canary_row(status: &Status, hint: &CommandHint, now: Timestamp) -> Option<Row> {
    let diverted: Vec<String> = status
        .functions
        .iter()
        .filter_map(|function| Some((function.diverted?, plain(&function.name))))
        .map(|(percent, name)| format!("{percent}% of {name}"))
        .collect();
    if diverted.is_empty() {
        return None;
    }
    let (tone, state) = match &status.lock {
        Some(lock) if lock.is_attended() => {
            let who = plain(who(&lock.user, lock.principal.as_deref()));
            (Tone::Warn, format!("monitored by {who}"))
        }
        Some(_) | None => (
            Tone::Bad,
            format!("{ABANDONED}: {}", hint.complete(status.canary_advice())),
        ),
    };
    let progress = status.lock.as_ref().and_then(|lock| lock.progress.as_ref());
    let progress = progress.map_or(String::new(), |progress| {
        format!(
            " to release {}, step {} of {}, {} of {}",
            progress.release,
            progress.step,
            progress.steps,
            seconds_since(progress.since, now),
            long_duration(progress.seconds)
        )
    });
    Some(("canary", tone, format!("{}{progress}; {state}", diverted.join(", "))))
}

fn slot_text(slot: Option<&SlotStatus>, now: Timestamp) -> String {
    let Some(slot) = slot else {
        return "no release".to_owned();
    };
    let release = slot
        .release
        .map_or("not a taskctl release".to_owned(), |number| format!("release {number}"));
    let color = slot
        .color
        .as_ref()
        .map(|color| format!(" ({})", plain(color)))
        .unwrap_or_default();
    let commit = slot
        .commit
        .as_ref()
        .map(|commit| format!(" {}", plain(commit)))
        .unwrap_or_default();
    let since = slot.since.map_or(String::new(), |since| {
        format!(
            ", for {} (since {})",
            seconds_since(since, now),
            minute_with_zone(since, now)
        )
    });
    format!("{release}{color}{commit}{since}")
}

/// Alarms that are red with their reason; of the others how many there are.
fn alarms_text(alarms: &[taskctl_stack::status::AlarmStatus], style: &Style, now: Timestamp) -> String {
    if alarms.is_empty() {
        return String::new();
    }
    let (red, calm): (Vec<_>, Vec<_>) = alarms.iter().partition(|alarm| alarm.state == "ALARM");
    let unknown = calm.iter().filter(|alarm| alarm.state != "OK").count();
    let mut out = match (red.len(), unknown) {
        (0, 0) => format!(
            "\nalarms   {}\n",
            style.paint(Tone::Good, &format!("all {} OK", alarms.len()))
        ),
        (0, unknown) => format!("\nalarms   {} OK, {unknown} without data yet\n", calm.len() - unknown),
        (red, _) => format!(
            "\nalarms   {}\n",
            style.paint(Tone::Bad, &format!("{red} of {} firing", alarms.len()))
        ),
    };
    for alarm in red {
        let since = alarm.since.map_or(String::new(), |since| {
            format!(
                " for {} (since {})",
                seconds_since(since, now),
                minute_with_zone(since, now)
            )
        });
        out.push_str(&format!("  {}{since}\n", style.paint(Tone::Bad, &plain(&alarm.name))));
        for reason in alarm.reason.iter() {
            for line in wrap(&local_reason(reason), style.width.saturating_sub(4)) {
                out.push_str(&format!("    {line}\n"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::assert_same_stack;
    use crate::ui::style::screens;
    use serde_json::json;

    /// A stage with a canary, and these alarms.
    fn stage(alarms: Vec<serde_json::Value>) -> Status {
        let slot = |release: u64, color: &str| json!({"color": color, "release": release, "commit": "1a2b3c4d", "previous_release": release - 1, "since": (color == "blue").then_some("2026-02-27T12:01:00Z")});
        let function = |name: &str, live: &str, preview: &str| {
            json!({
                "name": name, "function": format!("shop-prod-{name}"), "live_version": live, "preview_version": preview,
                "state": "Active", "memory_mb": 512, "architecture": "arm64", "diverted": (name == "tasks").then_some(10),
                "changed_since": name == "health",
                "recent": (name == "tasks").then(|| json!({"requests": 1204.0, "errors": 3.0})),
            })
        };
        let alarms_fire = alarms.iter().any(|alarm| alarm["state"] == "ALARM");
        let url = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
        let status = json!({
            "app": "shop", "stage": "prod", "region": "eu-central-1", "account": "123456789012",
            "endpoints": {"live": url, "preview": format!("{url}/preview"), "site": null},
            "live": slot(41, "blue"), "preview": slot(42, "green"),
            "functions": [function("health", "3", "3"), function("tasks", "17", "18")],
            "alarms": alarms,
            "missing": if alarms_fire { vec!["dynamodb_table.tasks"] } else { Vec::new() },
            "lock": {
                "user": "ada", "host": "build-7", "command": "taskctl promote --stage prod",
                "since": "2026-03-01T12:03:00Z", "silent_seconds": 4,
                "progress": {
                    "release": 42, "percent": 10, "step": 1, "steps": 2, "since": "2026-03-01T12:03:02Z", "seconds": 300,
                },
            },
            "last_release": {
                "release": 42, "commit": "1a2b3c4d", "user": "ada", "at": "2026-03-01T12:01:00Z",
                "changes": {"create": 0, "update": 1, "replace": 0, "delete": 0, "unchanged": 76, "kept": 0},
            },
            "last_move": {
                "from": 40, "to": 41, "cause": "promote", "end": "live", "user": "ada",
                "at": "2026-02-27T12:01:00Z", "millis": 1200, "fence": 7,
            },
        });
        serde_json::from_value::<Status>(status).unwrap_or_else(|error| panic!("{error}"))
    }

    fn alarm(name: &str, state: &str) -> serde_json::Value {
        json!({"name": name, "state": state, "since": "2026-03-01T12:00:00Z", "reason": "Threshold Crossed: 1 datapoint [7.0 (01/03/26 11:59:00)] was greater than the threshold (5.0)."})
    }

    #[test]
    fn a_stage_fits_on_a_screen() {
        let now: Timestamp = "2026-03-01T12:04:05Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let hint = CommandHint::default();
        let text = |alarms| render(&stage(alarms), &hint, &Style::PLAIN, now);
        let alarms = || vec![alarm("shop-prod-errors", "ALARM"), alarm("shop-prod-throttles", "OK")];
        screens("status", |style| render(&stage(alarms()), &hint, style, now));
        let help = "\nhelp: `taskctl doctor` names the causes and what to do\n";
        assert!(text(vec![alarm("a", "OK"), alarm("b", "OK")]).ends_with(&format!("\nalarms   all 2 OK\n{help}")));
        assert!(
            text(vec![alarm("a", "OK"), alarm("b", "INSUFFICIENT_DATA")])
                .ends_with(&format!("\nalarms   1 OK, 1 without data yet\n{help}"))
        );
    }

    #[test]
    fn advice_is_about_the_stage_that_is_shown() {
        let now: Timestamp = "2026-03-01T12:04:05Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let draw = |silent: Option<i64>| {
            move |hint: &CommandHint| {
                let mut status = stage(vec![alarm("shop-prod-errors", "ALARM")]);
                match (&mut status.lock, silent) {
                    (Some(lock), Some(silent)) => {
                        lock.silent_seconds = silent;
                        // What its holder runs is no advice.
                        "a deploy".clone_into(&mut lock.command);
                    }
                    (lock, _) => *lock = None,
                }
                render(&status, hint, &Style::PLAIN, now)
            }
        };
        let rest = ["plan", "plan", "deploy", "doctor", "alarms"];
        assert_same_stack(&rest, draw(Some(4)));
        // The lock of who left a canary is not free at once.
        assert_same_stack(&[&["unlock", "promote"], &rest[..]].concat(), draw(Some(60)));
        assert_same_stack(&[&["unlock", "promote"], &rest[..]].concat(), draw(Some(99)));
        assert_same_stack(&[&["promote"], &rest[..]].concat(), draw(Some(100)));
        assert_same_stack(&[&["promote"], &rest[..]].concat(), draw(None));
        let hint = CommandHint {
            flags: " --stage prod".to_owned(),
            again: String::new(),
        };
        screens("status_abandoned", |style| {
            let mut status = stage(vec![alarm("shop-prod-errors", "OK")]);
            if let Some(lock) = &mut status.lock {
                lock.silent_seconds = 72;
            }
            render(&status, &hint, style, now)
        });
    }

    #[test]
    fn readme_shows_a_stage_after_its_first_deploy() {
        let slot = |since: Option<&str>| json!({"color": "blue", "release": 1, "commit": "e0dbcc28", "previous_release": null, "since": since});
        let function = |name: &str| {
            json!({
                "name": name, "function": format!("platform-dev-{name}"), "live_version": "1", "preview_version": "1",
                "state": "Active", "memory_mb": 512, "architecture": "x86_64", "diverted": null, "changed_since": false,
                "recent": matches!(name, "counter" | "health").then(|| json!({"requests": 1.0, "errors": 0.0})),
            })
        };
        let alarm = |number: usize| json!({"name": format!("platform-dev-{number}"), "state": "OK", "since": null, "reason": null});
        let functions = ["assets", "counter", "health", "tasks", "users"].map(function);
        let alarms: Vec<serde_json::Value> = (0..16).map(alarm).collect();
        let status = json!({
            "app": "platform", "stage": "dev", "region": "eu-central-1", "account": "000000000000",
            "endpoints": {
                "live": "http://127.0.0.1:4600", "preview": "http://127.0.0.1:4600/preview",
                "site": "http://platform-dev-site-000000000000-eu-central-1.localhost:1580",
            },
            "live": slot(Some("2026-03-01T12:01:00Z")), "preview": slot(None),
            "functions": functions,
            "alarms": alarms,
            "lock": null,
            "last_release": {
                "release": 1, "commit": "e0dbcc28", "user": "ada", "at": "2026-03-01T12:01:00Z",
                "changes": {"create": 79, "update": 0, "replace": 0, "delete": 0, "unchanged": 0, "kept": 0},
            },
            "last_move": null,
        });
        let status: Status = serde_json::from_value(status).unwrap_or_else(|error| panic!("{error}"));
        let now: Timestamp = "2026-03-01T12:04:05Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let screen = render(&status, &CommandHint::default(), &Style::PLAIN, now);
        insta::assert_snapshot!("status_after_first_deploy", screen);
        crate::readme::check("taskctl status --local -f platform", &screen);
    }
}
