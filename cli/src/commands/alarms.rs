//! `taskctl alarms`: which are red, since when, why, and what to do about it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use taskctl_stack::aws::read::reader::Reader;
use taskctl_stack::aws::release::{drift, ledger};
use taskctl_stack::engine::{Engine, EngineError, Wanted};
use taskctl_stack::observe::alarms::{self, Alarm, Watched};
use taskctl_stack::release::record::{Cause, MoveRecord, ReleaseRecord};
use taskctl_stack::resource::ResourceId;

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::plan::Details;
use crate::report::{CommandHint, Lines, Purpose, json_answer, where_to};
use crate::session::{self, Invocation, Session};
use crate::time_arg::moment;
use crate::ui::clock::{full, minute_with_zone, reason as local_reason};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{count, cut, fill, long_duration, plain, wrap};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Show only alarms whose name contains this text
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Show past state changes
    #[arg(long)]
    history: bool,
    /// Start of --history: an age such as 12h, 3d or 1w, or a time such as 19:00
    #[arg(long, value_name = "TIME", default_value = "3d", requires = "history")]
    since: String,
    /// Exit with 4 if an alarm is firing
    #[arg(long)]
    exit_code: bool,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        show(&session, &args).await
    })
}

async fn show(session: &Session, args: &Args) -> Result<Exit, Failure> {
    // What cannot be a time is said before anything is asked.
    moment(&args.since, Timestamp::now())?;
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let now = engine.context().aws_now();
    let since = args.history.then(|| moment(&args.since, now)).transpose()?;
    let mut found = session
        .unless_stopped(alarms::read(engine.context(), since))
        .await?
        .map_err(EngineError::from)?;
    if found.is_empty() {
        // No alarms is an answer about a stage; of a stage that is not there it would be a false one.
        session.unless_stopped(engine.require_deployed()).await??;
    }
    if !args.names.is_empty() {
        found.retain(|alarm| args.names.iter().any(|name| alarm.name.contains(name.as_str())));
        if found.is_empty() {
            return Err(Failure::usage(
                format!("no alarm name contains {}", args.names.join(" or ")),
                "`taskctl alarms` lists them",
            ));
        }
    }
    let text = match session.global.output {
        Output::Json => json_answer("the alarms", &found, Lines::Many)?,
        Output::Human | Output::Github => {
            let identity = engine.context().identity();
            let head = where_to(
                &identity.app,
                &identity.stage,
                &identity.region,
                Some(&identity.account),
            );
            let style = &session.env.out;
            let hint = session.command_hint();
            let background = match found.iter().any(|alarm| alarm.state == "ALARM") {
                true => session.unless_stopped(Background::read(&engine)).await??,
                false => Background::default(),
            };
            let head = style.paint(Tone::Strong, &head);
            format!("{head}\n{}", render(&found, &background, now, &hint, style))
        }
    };
    session.reporter.answer(text);
    let red = found.iter().any(|alarm| alarm.state == "ALARM");
    Ok(if args.exit_code && red {
        Exit::CheckFailed
    } else {
        Exit::Ok
    })
}

/// What may have to do with a red alarm.
#[derive(Debug, Clone, Default)]
struct Background {
    /// What went live last, if `rollback` leads away from it.
    suspect: Option<Suspect>,
    /// What was deployed and is gone.
    missing: BTreeSet<ResourceId>,
}

/// A release that went live, and the one before.
#[derive(Debug, Clone)]
struct Suspect {
    release: u64,
    at: Timestamp,
    /// Where `rollback` goes.
    back: u64,
}

impl Background {
    async fn read(engine: &Engine) -> Result<Self, Failure> {
        let reader = Reader::new(engine.context().clone());
        let missing = async {
            let missing = drift::missing(engine.context(), engine.control(), &reader).await;
            Ok::<_, EngineError>(missing?)
        };
        let latest = async { Ok::<_, EngineError>(ledger::latest(engine.context(), engine.control()).await?) };
        // Without an API, or with one release alone, there is no way back.
        let back = async { Ok(engine.transition(Wanted::Rollback { to: None }).await.ok().flatten()) };
        let (missing, latest, back) = futures::try_join!(missing, latest, back)?;
        // Since when an alarm fires is AWS's time.
        let (deployed, moved) = latest.dated();
        let suspect = back.and_then(|back| suspect(back.from?, back.to, deployed.as_ref(), moved.as_ref()));
        Ok(Self { suspect, missing })
    }
}

/// The live release, if it went live for the first time: a rollback to it was somebody's answer to another one.
fn suspect(live: u64, back: u64, deployed: Option<&ReleaseRecord>, moved: Option<&MoveRecord>) -> Option<Suspect> {
    let moved = moved.filter(|moved| moved.to == live);
    if live == back || moved.is_some_and(|moved| moved.cause == Cause::Rollback) {
        return None;
    }
    let deployed = deployed.filter(|deployed| deployed.release == live);
    let at = moved.map(|moved| moved.at).or(deployed.map(|deployed| deployed.at))?;
    Some(Suspect {
        release: live,
        at,
        back,
    })
}

/// The alarms as text, the red ones with what to do.
fn render(alarms: &[Alarm], background: &Background, now: Timestamp, hint: &CommandHint, style: &Style) -> String {
    if alarms.is_empty() {
        return "\nno alarms\n".to_owned();
    }
    let red = alarms.iter().filter(|alarm| alarm.state == "ALARM").count();
    let total = count(u64::try_from(alarms.len()).unwrap_or(u64::MAX), "alarm");
    let mut out = match red {
        0 => format!("{}\n", style.paint(Tone::Good, &format!("{total}, none firing"))),
        red => format!("{}\n", style.paint(Tone::Bad, &format!("{total}, {red} firing"))),
    };
    let ago = |at: Timestamp| long_duration(u64::try_from(now.as_second() - at.as_second()).unwrap_or(0));
    for alarm in alarms {
        let (mark, tone) = match alarm.state.as_str() {
            "ALARM" => ("ALARM", Tone::Bad),
            "OK" => ("OK", Tone::Good),
            _ => ("no data", Tone::Faint),
        };
        let since = alarm
            .since
            .map(|since| format!("for {} (since {})", ago(since), minute_with_zone(since, now)))
            .unwrap_or_default();
        out.push_str(&format!(
            "\n{} {} {}\n",
            style.paint(tone, &format!("{mark:<7}")),
            style.paint(Tone::Strong, &plain(&alarm.name)),
            style.paint(Tone::Faint, &since)
        ));
        let mut below = |text: &str| {
            for line in fill(&plain(text), style.width.saturating_sub(8)) {
                out.push_str(&format!("        {line}\n"));
            }
        };
        below(&format!("{} {}", watched(&alarm.watches), alarm.condition));
        if alarm.state == "ALARM" {
            let reasons = alarm.reason.iter().map(|reason| local_reason(reason));
            for line in reasons.flat_map(|reason| wrap(&reason, style.width.saturating_sub(8))) {
                out.push_str(&format!("        {line}\n"));
            }
            for step in steps(alarm, background, hint) {
                out.push_str(&format!(
                    "        {} {}\n",
                    style.paint(Tone::Faint, "help:"),
                    style.paint(Tone::Copy, &step)
                ));
            }
        }
        for turn in &alarm.history {
            let text = format!("{}  {}", full(turn.at), plain(&turn.summary));
            out.push_str(&format!("        {}\n", cut(&text, style.width.saturating_sub(8))));
        }
    }
    out
}

/// Such as `Sum of Errors of tasks`.
fn watched(watched: &Watched) -> String {
    let Watched {
        metric,
        statistic,
        expression,
        dimensions,
        function,
        table,
        ..
    } = watched;
    let whose = match (function, table, dimensions.get("Stage")) {
        (Some(name), _, _) => format!(" of function {name}"),
        (_, Some(name), _) => format!(" of table {name}"),
        (_, _, Some(stage)) if stage == "$default" => " of the API, live".to_owned(),
        (_, _, Some(stage)) => format!(" of the API, {stage}"),
        _ => String::new(),
    };
    let what = match (expression, statistic, metric) {
        (Some(expression), _, _) => expression.clone(),
        (None, Some(statistic), Some(metric)) => format!("{statistic} of {metric}"),
        (None, _, metric) => metric.clone().unwrap_or_default(),
    };
    format!("{what}{whose}")
}

/// Command lines that show the cause, or end it. What is said of one is a comment to a shell.
fn steps(alarm: &Alarm, background: &Background, hint: &CommandHint) -> Vec<String> {
    let Watched {
        namespace,
        metric,
        function,
        ..
    } = &alarm.watches;
    let name = function.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let mut steps = match (namespace.as_deref(), metric.as_deref()) {
        (Some("AWS/Lambda"), Some("Throttles")) => vec![
            hint.command(&format!("metrics{name}")),
            "raise the function's `reserved_concurrency` or the account's limit".to_owned(),
        ],
        (Some("AWS/Lambda"), Some("Duration")) | (Some("AWS/ApiGateway"), Some("Latency")) => {
            vec![hint.command(&format!("logs --query slowest{name}"))]
        }
        (Some("AWS/ApiGateway"), Some("4xx")) => vec![hint.command("logs --api --level warn --since 30m")],
        (Some("AWS/DynamoDB"), _) => vec![
            hint.command("metrics"),
            "look for a hot partition key, or traffic that more than doubled within half an hour".to_owned(),
        ],
        _ => vec![hint.command(&format!("logs{name} --level error --since 30m"))],
    };
    if !background.missing.is_empty() {
        let missing: Vec<String> = background.missing.iter().map(|id| plain(&id.to_string())).collect();
        steps.push(format!("{}   # gone: {}", hint.command("plan"), missing.join(", ")));
    }
    // What went live shortly before is the first suspect.
    if let (Some(Suspect { release, at, back }), Some(since)) = (&background.suspect, alarm.since) {
        let seconds = since.as_second() - at.as_second();
        if (0..1_800).contains(&seconds) {
            let before = long_duration(seconds.unsigned_abs());
            let rollback = hint.command("rollback");
            steps.push(format!("{rollback}   # to {back}; {release} went live {before} before"));
        }
    }
    steps
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use taskctl_stack::aws::kinds::dynamodb;
    use taskctl_stack::observe::alarms::Turn;

    use super::*;
    use crate::commands::tests::assert_same_stack;
    use crate::ui::style::screens;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn alarm(name: &str, state: &str, metric: &str, function: Option<&str>) -> Alarm {
        Alarm {
            name: format!("shop-prod-{name}"),
            state: state.to_owned(),
            since: Some(at("2026-03-01T12:00:00Z")),
            reason: Some(
                "Threshold Crossed: 1 datapoint [7.0 (01/03/26 11:59:00)] was greater than the threshold (5.0)."
                    .to_owned(),
            ),
            watches: Watched {
                namespace: Some(
                    if function.is_some() {
                        "AWS/Lambda"
                    } else {
                        "AWS/ApiGateway"
                    }
                    .to_owned(),
                ),
                metric: Some(metric.to_owned()),
                statistic: Some("Sum".to_owned()),
                expression: None,
                dimensions: BTreeMap::from([("Stage".to_owned(), "$default".to_owned())]),
                function: function.map(str::to_owned),
                table: None,
            },
            condition: "> 5 in 3 of 5 periods of 60 s".to_owned(),
            notifies: Vec::new(),
            history: vec![Turn {
                at: at("2026-03-01T12:00:00Z"),
                summary: "Alarm updated from OK to ALARM".to_owned(),
            }],
        }
    }

    fn background() -> Background {
        Background {
            suspect: Some(Suspect {
                release: 42,
                at: at("2026-03-01T11:55:00Z"),
                back: 41,
            }),
            missing: BTreeSet::from([ResourceId::new(dynamodb::table::KIND, "tasks")]),
        }
    }

    #[test]
    fn a_red_alarm_says_what_to_do() {
        let alarms = [
            alarm("tasks-errors", "ALARM", "Errors", Some("tasks")),
            alarm("tasks-throttles", "ALARM", "Throttles", Some("tasks")),
            alarm("api-5xx", "INSUFFICIENT_DATA", "5xx", None),
        ];
        let background = background();
        let hint = CommandHint {
            flags: " --stage prod".to_owned(),
            again: String::new(),
        };
        let now = at("2026-03-01T12:12:00Z");
        screens("alarms", |style| render(&alarms, &background, now, &hint, style));
    }

    #[test]
    fn advice_is_about_the_stage_whose_alarms_they_are() {
        let told = |first: &[&str], alarm: Alarm| {
            assert_same_stack(&[first, &["plan", "rollback"]].concat(), |hint| {
                let now = at("2026-03-01T12:12:00Z");
                render(std::slice::from_ref(&alarm), &background(), now, hint, &Style::PLAIN)
            });
        };
        told(&["logs"], alarm("a", "ALARM", "Errors", Some("tasks")));
        told(&["logs"], alarm("a", "ALARM", "Duration", Some("tasks")));
        told(&["metrics"], alarm("a", "ALARM", "Throttles", Some("tasks")));
        told(&["logs"], alarm("a", "ALARM", "4xx", None));
        told(&["logs"], alarm("a", "ALARM", "5xx", None));
        let mut table = alarm("a", "ALARM", "ThrottledRequests", None);
        table.watches.namespace = Some("AWS/DynamoDB".to_owned());
        told(&["metrics"], table);
    }

    #[test]
    fn a_rollback_is_advised_away_from_what_went_live_and_never_to_it() {
        let at = at("2026-03-01T11:55:00Z");
        let moved = |to: u64, cause: Cause| MoveRecord {
            from: Some(41),
            to,
            cause,
            end: "live".to_owned(),
            user: "ann".to_owned(),
            principal: None,
            at,
            millis: 900,
            fence: 7,
        };
        let promoted = suspect(42, 41, None, Some(&moved(42, Cause::Promote))).unwrap();
        assert_eq!((promoted.release, promoted.back, promoted.at), (42, 41, at));
        // It was gone back to.
        assert!(suspect(41, 42, None, Some(&moved(41, Cause::Rollback))).is_none());
        // The newest move was to another release than is live.
        assert!(suspect(43, 42, None, Some(&moved(42, Cause::Promote))).is_none());
        assert!(suspect(42, 42, None, Some(&moved(42, Cause::Promote))).is_none());
    }
}
