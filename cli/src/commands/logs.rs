//! `taskctl logs`: what functions and API say, merged by time.

mod errors;
mod insights;

use std::collections::VecDeque;

use clap_complete::ArgValueCandidates;
use futures::StreamExt as _;
use jiff::Timestamp;
use regex_lite::Regex;
use taskctl_stack::aws::release::sight::Sight;
use taskctl_stack::engine::{Engine, EngineError};
use taskctl_stack::event::Event;
use taskctl_stack::observe::logs::{CloudWatchLogs, Group, Window, stream};

use crate::cli::{Output, file_without_short};
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_line::Level;
use crate::log_view::{
    Chosen, Count, FollowOptions, Following, Form, Format, Selection, Shown, Slot, Wanted, ended, template,
};
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::time_arg::moment;
use crate::ui::clock;

const EXAMPLES: &str = "\
Examples:
  taskctl logs --stage prod --since 1h --level error
  taskctl logs tasks users -f
  taskctl logs 'task*' -n 20
  taskctl logs --api --route 'GET /tasks'
  taskctl logs --query slowest --since 1d";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES, arg = file_without_short())]
pub struct Args {
    /// Logical names of functions, or patterns such as 'task*' [default: all]
    #[arg(value_name = "FUNCTION", add = ArgValueCandidates::new(complete::functions))]
    functions: Vec<String>,
    /// Include the API's access log; without function names, show only that
    #[arg(long)]
    api: bool,
    /// Start: an age such as 5m, 1h30m, 3d or 1w, or a time such as 19:00, 2026-01-30T10:15 (local) or 2026-01-30T09:15:00Z
    #[arg(long, value_name = "TIME", default_value = "10m")]
    since: String,
    /// End: an age or a time [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Keep showing new lines until Ctrl-C
    #[arg(long, short, short_alias = 'F')]
    pub(super) follow: bool,
    /// Show only the last N lines; with --follow, begin with them
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    lines: Option<u32>,
    /// Follow by CloudWatch Live Tail (immediate, billed by the minute); poll for what it misses
    #[arg(long, conflicts_with = "until")]
    live: bool,
    /// Fetch only events that match this CloudWatch filter pattern
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Show only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Show only lines of this severity or higher
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Level>,
    /// Show only lines of this request
    #[arg(long, value_name = "ID", conflicts_with = "filter")]
    request_id: Option<String>,
    /// Show only lines of this release's function versions
    #[arg(long, value_name = "RELEASE", conflicts_with = "slot")]
    release: Option<u64>,
    /// Show only lines of the release in this slot
    #[arg(long, value_enum, value_name = "SLOT")]
    slot: Option<Slot>,
    /// Show only requests of this route, such as 'GET /tasks'
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Run a Logs Insights query instead: its text, or the name of one (errors, slowest, cold-starts, latency, or one of
    /// the template's `queries`)
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["follow", "live", "filter", "grep", "level", "request_id", "release",
        "slot", "route", "fields", "template", "lines"])]
    query: Option<String>,
    /// Line format [default: pretty, or json with --output json]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Format>,
    /// Show only these fields, tab-separated: time, source, version, level, route, status, message, …; a dot reaches into
    /// objects: record.metrics.durationMs
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', conflicts_with_all = ["format", "template"])]
    fields: Vec<String>,
    /// Line template, with fields in braces: '{time} {source} {route} {durationMs}'
    #[arg(long, value_name = "TEXT", conflicts_with = "format")]
    template: Option<String>,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        logs(&session, &args).await
    })
}

async fn logs(session: &Session, args: &Args) -> Result<Exit, Failure> {
    session.end_when_unread();
    // What cannot be a period is said before anything is asked.
    period(args, Timestamp::now())?;
    let grep = args.grep.as_deref().map(regular_expression).transpose()?;
    let engine = session.connect_quietly(&session.stack_ref()?).await?;
    let source = CloudWatchLogs::new(engine.context().clone());
    let selection = Selection {
        functions: args.functions.clone(),
        api: args.api,
    };
    let all = session
        .unless_stopped(source.groups())
        .await?
        .map_err(EngineError::from)?;
    if all.is_empty() {
        session.unless_stopped(engine.require_deployed()).await??;
    }
    let groups = selection.of(all)?;
    // By AWS's clock, as the times of events are.
    let now = engine.context().aws_now();
    let (since, until) = period(args, now)?;
    if let Some(query) = &args.query {
        let asked = insights::Asked {
            query,
            format: args.format,
            all: args.functions.is_empty() && !args.api,
            since: &args.since,
        };
        let window = (since, until.unwrap_or(now));
        return insights::ask(session, engine.context(), &groups, &asked, window).await;
    }
    let form = form(args, session.global.output)?;
    let wanted = Wanted {
        grep,
        level: args.level,
        route: args.route.clone(),
        release: release(session, args, &engine).await?,
        former: None,
    };
    let shown = Shown {
        form,
        sources: groups.iter().map(|group| group.source.clone()).collect(),
    };
    let window = Window {
        from: since.as_millisecond(),
        to: until.map(Timestamp::as_millisecond),
        pattern: pattern(args),
    };
    let lines = args.lines.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    if args.follow || args.live {
        let options = FollowOptions {
            lines,
            selection,
            slot: args.slot,
            live: args.live,
        };
        let following = Following::new(session, &source, options, (groups, window), (wanted, shown));
        return following.run().await;
    }
    let Some(count) = show(session, &source, (&groups, &window), (&wanted, &shown), lines).await? else {
        return Ok(Exit::Interrupted);
    };
    if count.lines == 0 && !shown.form.is_json() {
        session.reporter.emit(Event::Note {
            message: format!(
                "no log lines between {} and {}",
                clock::second(since, now),
                clock::minute_with_zone(until.unwrap_or(now), now)
            ),
        });
    }
    Ok(Exit::Ok)
}

/// From when and until when.
fn period(args: &Args, now: Timestamp) -> Result<(Timestamp, Option<Timestamp>), Failure> {
    let since = moment(&args.since, now)?;
    let until = args.until.as_deref().map(|text| moment(text, now)).transpose()?;
    match until {
        Some(until) if until <= since => Err(Failure::usage(
            format!(
                "--until {} is not after --since {}",
                clock::full(until),
                clock::full(since)
            ),
            "for example: --since 2h --until 1h",
        )),
        until => Ok((since, until)),
    }
}

fn regular_expression(text: &str) -> Result<Regex, Failure> {
    Regex::new(text).map_err(|error| {
        Failure::usage(
            format!("`{text}` is not a regular expression: {error}"),
            "quote it for the shell, and escape what is meant literally",
        )
    })
}

/// The release whose lines are wanted; none when those of all are.
async fn release(session: &Session, args: &Args, engine: &Engine) -> Result<Option<Chosen>, Failure> {
    if args.release.is_none() && args.slot.is_none() {
        return Ok(None);
    }
    let looking = Sight::read(engine.context());
    let Sight { facts, .. } = session.unless_stopped(looking).await?.map_err(EngineError::from)?;
    Ok(Some(match args.release {
        Some(release) => Chosen::release(&facts, release)?,
        None => Chosen::slot(&facts, args.slot.unwrap_or(Slot::Live))?,
    }))
}

/// A quoted term matches wherever it is.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
fn pattern(args: &Args) -> Option<String> {
    match &args.request_id {
        Some(id) => Some(format!("\"{}\"", id.replace('"', ""))),
        None => args.filter.clone(),
    }
}

fn form(args: &Args, output: Output) -> Result<Form, Failure> {
    Ok(match (args.format, &args.template, output) {
        (Some(Format::Csv), _, _) => {
            return Err(Failure::usage(
                "--format csv needs --query",
                "--fields time,source,message prints tab-separated lines",
            ));
        }
        (None, Some(template), _) => Form::Template(template::parse(template)?),
        (None, None, Output::Json) if !args.fields.is_empty() => Form::Picked(args.fields.clone()),
        (None, None, _) if !args.fields.is_empty() => Form::Template(template::tabs(&args.fields)),
        (None, None, Output::Json) => Form::Known(Format::Json),
        (None, None, Output::Human | Output::Github) => Form::Known(Format::Pretty),
        (Some(format), _, _) => Form::Known(format),
    })
}

/// Shows the events of a window, all or the last lines; none when it was stopped.
async fn show(
    session: &Session,
    source: &CloudWatchLogs,
    (groups, window): (&[Group], &Window),
    (wanted, shown): (&Wanted, &Shown),
    lines: Option<usize>,
) -> Result<Option<Count>, Failure> {
    let mut count = Count::default();
    let mut last = VecDeque::new();
    let mut events = std::pin::pin!(stream(source, groups, window));
    loop {
        let Ok(next) = session.unless_stopped(events.next()).await else {
            ended(session, &count);
            return Ok(None);
        };
        let Some(events) = next else { break };
        let events = events.map_err(EngineError::from)?;
        if let Some(lines) = lines {
            last.extend(events);
            shown.last(&mut last, lines, wanted);
            continue;
        }
        session.reporter.answer(shown.all(&events, wanted, session, &mut count));
        // Reading must not run ahead of what is shown.
        session.reporter.rest();
    }
    let text = shown.all(last.make_contiguous(), wanted, session, &mut count);
    session.reporter.answer(text);
    Ok(Some(count))
}
