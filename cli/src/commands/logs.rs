//! `taskctl logs`: what functions and API say, merged by time.

mod first;
mod follow;
mod insights;
mod line;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clap::ValueEnum;
use futures::StreamExt as _;
use jiff::Timestamp;
use regex_lite::Regex;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::Event;
use taskctl_stack::observe::logs::{API, CloudWatchLogs, Group, LogEvent, Window, stream};
use taskctl_stack::release::driver::look;
use taskctl_stack::release::layout::ReleaseState;

use self::follow::Following;
pub use self::follow::follow_all;
pub use self::line::{Line, Record};
use self::template::Piece;
use crate::cli::{Global, Output};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Session};
use crate::time_arg::moment;
use crate::ui::style::Style;
use crate::ui::text::{self, safe_json};

/// Arguments of `logs`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Functions, by their logical names [default: all].
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
    /// Show the API's access log, too; alone when no function is named.
    #[arg(long)]
    api: bool,
    /// From when on: 5m, 2h, 3d ago, or a time such as 2026-01-30T10:15 (local) or …:00Z.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    since: String,
    /// Until when.
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Go on with what is new, until Ctrl-C.
    #[arg(long, short = 'F')]
    follow: bool,
    /// Follow, and let CloudWatch send new events at once (Live Tail, billed by the minute); what it cannot send is looked for.
    #[arg(long, conflicts_with = "until")]
    live: bool,
    /// CloudWatch filter pattern: only events that match are fetched.
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Regular expression: only lines that match are shown.
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Only lines at least as severe.
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Level>,
    /// Only lines of this request.
    #[arg(long, value_name = "ID", conflicts_with = "filter")]
    request_id: Option<String>,
    /// Only lines of this release's function versions.
    #[arg(long, value_name = "RELEASE", conflicts_with = "slot")]
    release: Option<u64>,
    /// Only lines of the release in this slot.
    #[arg(long, value_enum, value_name = "SLOT")]
    slot: Option<Slot>,
    /// Only requests of this route, such as 'GET /tasks'.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Ask Logs Insights instead: a query, or the name of one (errors, slowest, cold-starts, latency, or of the template's
    /// `queries`).
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["follow", "live", "filter", "grep", "level", "request_id", "release",
        "slot", "route", "fields", "template"])]
    query: Option<String>,
    /// Form of the lines [default: pretty, or json with --output json].
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Format>,
    /// Only these fields, with tabs between them: time, source, version, level, route, status, message, … A point goes
    /// into objects: record.metrics.durationMs.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', conflicts_with_all = ["format", "template"])]
    fields: Vec<String>,
    /// Form of each line, with fields in braces: '{time} {source} {route} {durationMs}'.
    #[arg(long, value_name = "TEXT", conflicts_with = "format")]
    template: Option<String>,
}

impl Args {
    /// All functions.
    fn all() -> Self {
        Self {
            functions: Vec::new(),
            api: false,
            since: String::new(),
            until: None,
            follow: true,
            live: false,
            filter: None,
            grep: None,
            level: None,
            request_id: None,
            release: None,
            slot: None,
            route: None,
            query: None,
            format: None,
            fields: Vec::new(),
            template: None,
        }
    }
}

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Time, function, level, request, release, error.
    Pretty,
    /// Time, function, request.
    Short,
    /// One JSON object a line.
    Json,
    /// As the function wrote it.
    Raw,
    /// With --query: comma-separated values.
    Csv,
}

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Everything.
    Trace,
    /// Details.
    Debug,
    /// What happened.
    Info,
    /// What looks wrong.
    Warn,
    /// What failed.
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Slot {
    /// What users reach.
    Live,
    /// What waits.
    Preview,
}

impl Slot {
    fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Preview => "preview",
        }
    }
}

/// Runs it.
pub fn run(global: &Global, args: Args) -> Exit {
    session::run(global, Purpose::Answer, Details::Changes, async |session| {
        logs(&session, &args).await
    })
}

async fn logs(session: &Session, args: &Args) -> Result<Exit, Failure> {
    session.end_when_unread();
    let now = Timestamp::now();
    let since = moment(&args.since, now)?;
    let until = args.until.as_deref().map(|text| moment(text, now)).transpose()?;
    if let Some(until) = until
        && until <= since
    {
        return Err(Failure::usage(
            format!("--until {until} is not after --since {since}"),
            "e.g. --since 2h --until 1h",
        ));
    }
    let grep = args
        .grep
        .as_deref()
        .map(|text| {
            Regex::new(text).map_err(|error| {
                Failure::usage(
                    format!("`{text}` is no regular expression: {error}"),
                    "quote it for the shell, and escape what is meant as it stands",
                )
            })
        })
        .transpose()?;
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let source = CloudWatchLogs::new(engine.context().clone());
    let groups = session.unless_stopped(groups(&source, args)).await??;
    if let Some(query) = &args.query {
        let window = (since, until.unwrap_or(now));
        let asked = insights::Asked {
            query,
            format: args.format,
            all: args.functions.is_empty() && !args.api,
        };
        return insights::ask(session, engine.context(), &groups, &asked, window).await;
    }
    if args.format == Some(Format::Csv) {
        return Err(Failure::usage(
            "--format csv is for --query",
            "--fields time,source,message prints lines with tabs between fields",
        ));
    }
    let release = match (args.release, args.slot) {
        (None, None) => None,
        (release, slot) => {
            let looking = look(engine.context());
            let (_, facts) = session.unless_stopped(looking).await?.map_err(EngineError::from)?;
            Some(match (release, slot) {
                (Some(release), _) => Chosen::release(&facts, release)?,
                (None, slot) => Chosen::slot(&facts, slot.unwrap_or(Slot::Live))?,
            })
        }
    };
    let wanted = Wanted {
        grep,
        level: args.level,
        route: args.route.clone(),
        release,
        former: None,
    };
    // A quoted term matches wherever it stands.
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    let pattern = match &args.request_id {
        Some(id) => Some(format!("\"{}\"", id.replace('"', ""))),
        None => args.filter.clone(),
    };
    let form = match (args.format, &args.template, session.global.output) {
        (None, Some(template), _) => Form::Template(template::parse(template)?),
        (None, None, Output::Json) if !args.fields.is_empty() => Form::Picked(args.fields.clone()),
        (None, None, _) if !args.fields.is_empty() => Form::Template(template::tabs(&args.fields)),
        (None, None, Output::Json) => Form::Known(Format::Json),
        (None, None, Output::Human | Output::Github) => Form::Known(Format::Pretty),
        (Some(format), _, _) => Form::Known(format),
    };
    let is_json = matches!(form, Form::Known(Format::Json) | Form::Picked(_));
    let shown = Shown {
        form,
        sources: groups.iter().map(|group| group.source.clone()).collect(),
    };
    let window = Window {
        from: since.as_millisecond(),
        to: until.map(|until| until.as_millisecond()),
        pattern,
    };
    if args.follow || args.live {
        let following = Following::new(session, &source, args, (groups, window), (wanted, shown));
        return following.run().await;
    }
    let mut count = Count::default();
    let mut events = std::pin::pin!(stream(&source, &groups, &window));
    loop {
        let Ok(next) = session.unless_stopped(events.next()).await else {
            return Ok(ended(session, &count));
        };
        let Some(events) = next else { break };
        let events = events.map_err(EngineError::from)?;
        session
            .reporter
            .answer(shown.all(&events, &wanted, session, &mut count));
        // What is not shown yet is not piled up.
        session.reporter.rest();
    }
    if count.lines == 0 && !is_json {
        session.reporter.tell(Event::Note {
            message: format!("nothing between {since} and {}", until.unwrap_or(now)),
        });
    }
    Ok(Exit::Ok)
}

/// What was shown.
#[derive(Debug, Default)]
struct Count {
    lines: u64,
    /// When the last event happened, shown or not.
    last: Option<Timestamp>,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::count(self.lines, "line"))?;
        match self.last {
            Some(last) => write!(f, ", up to {last:.3}"),
            None => Ok(()),
        }
    }
}

/// Tells what was seen.
fn ended(session: &Session, count: &Count) -> Exit {
    if !session.is_unread() {
        session.reporter.tell(Event::Note {
            message: format!("{count} shown"),
        });
    }
    Exit::Interrupted
}

/// The groups that are asked for.
async fn groups(source: &CloudWatchLogs, args: &Args) -> Result<Vec<Group>, Failure> {
    let all = source.groups().await.map_err(EngineError::from)?;
    let known: BTreeSet<&str> = all.iter().map(|group| group.source.as_str()).collect();
    for function in &args.functions {
        if !known.contains(function.as_str()) {
            let known: Vec<&str> = known.iter().copied().filter(|name| *name != API).collect();
            return Err(Failure::usage(
                format!("there is no function {function}"),
                match known.as_slice() {
                    [] => "nothing stands here; check --stage, --region and --profile".to_owned(),
                    known => format!("functions: {}", known.join(", ")),
                },
            ));
        }
    }
    let is_wanted = |group: &Group| match (group.source == API, args.functions.is_empty()) {
        (true, _) => args.api,
        (false, true) => !args.api,
        (false, false) => args.functions.contains(&group.source),
    };
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// The release whose lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chosen {
    /// None while its slot is empty.
    number: Option<u64>,
    /// Version by function.
    versions: BTreeMap<String, String>,
}

impl Chosen {
    fn release(facts: &ReleaseState, number: u64) -> Result<Self, Failure> {
        let label = facts.releases.get(&number).ok_or_else(|| {
            let message = format!("release {number} is not kept");
            Failure::new(Exit::Error, message, "`taskctl releases` lists those that are")
        })?;
        Ok(Self {
            number: Some(number),
            versions: label.versions.clone(),
        })
    }

    fn slot(facts: &ReleaseState, slot: Slot) -> Result<Self, Failure> {
        let (facts_of, empty) = match slot {
            Slot::Live => (&facts.live, "live serves no release"),
            Slot::Preview => (&facts.preview, "no release waits in preview"),
        };
        match facts_of.as_ref().and_then(|slot| slot.release) {
            Some(number) => Self::release(facts, number),
            None => Err(Failure::new(
                Exit::Error,
                empty,
                "`taskctl releases` lists those that are kept",
            )),
        }
    }

    /// Whether an event is of it, by the name of its stream.
    fn wrote(&self, event: &LogEvent) -> bool {
        event
            .version()
            .is_some_and(|version| self.versions.get(&event.source).is_some_and(|wanted| wanted == version))
    }
}

/// Which lines are shown.
struct Wanted {
    grep: Option<Regex>,
    level: Option<Level>,
    route: Option<String>,
    release: Option<Chosen>,
    /// The release before, up to when it was in the slot, ms since 1970: what it wrote until then may arrive later.
    former: Option<(Chosen, i64)>,
}

impl Wanted {
    fn is_of_release(&self, event: &LogEvent) -> bool {
        let of_former = |(former, until): &(Chosen, i64)| event.timestamp <= *until && former.wrote(event);
        self.release.as_ref().is_none_or(|release| release.wrote(event)) || self.former.as_ref().is_some_and(of_former)
    }

    fn takes(&self, event: &LogEvent, line: &Line) -> bool {
        self.is_of_release(event)
            && self
                .level
                .is_none_or(|least| line.level().is_some_and(|level| level >= least))
            && self.route.as_ref().is_none_or(|route| line.route() == Some(route))
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(&event.message))
    }
}

/// Form of the lines, ready to be used.
enum Form {
    Known(Format),
    Template(Vec<Piece>),
    /// JSON of these fields only.
    Picked(Vec<String>),
}

/// How lines are shown.
struct Shown {
    form: Form,
    sources: BTreeSet<String>,
}

impl Shown {
    fn all(&self, events: &[LogEvent], wanted: &Wanted, session: &Session, count: &mut Count) -> String {
        self.text(events, wanted, &session.env.out, count)
    }

    fn text(&self, events: &[LogEvent], wanted: &Wanted, style: &Style, count: &mut Count) -> String {
        let mut text = String::new();
        for event in events {
            let line = Line::of(event);
            count.last = Timestamp::from_millisecond(event.timestamp).ok().max(count.last);
            if !wanted.takes(event, &line) {
                continue;
            }
            let before = text.len();
            match &self.form {
                Form::Known(Format::Raw) => text.push_str(&format!("{}\n", event.message.trim_end())),
                Form::Known(Format::Json) => text.push_str(&safe_json(&format!("{}\n", line::json(event, &line)))),
                Form::Known(Format::Pretty | Format::Csv) => text.push_str(&line.pretty(event, &self.sources, style)),
                Form::Known(Format::Short) => text.push_str(&line.short(event, &self.sources, style)),
                Form::Template(pieces) => text.push_str(&template::filled(pieces, event, &line)),
                Form::Picked(fields) => text.push_str(&safe_json(&template::picked(fields, event, &line))),
            }
            // Some lines of the platform are folded into others.
            count.lines += u64::from(text.len() > before);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    mod fuzz {
        use proptest::prelude::*;

        use super::super::*;
        use crate::ui::guard::guarded;
        use crate::ui::hostile::{commands, hostile, obeyed};
        use crate::ui::style::{Paint, Reader};

        fn messages(text: &str) -> Vec<String> {
            let line = |value: serde_json::Value| value.to_string();
            let access = |name: &str| {
                let mut value = serde_json::json!({"route": "GET /a", "status": "500", "latencyMs": "1", "sourceIp": "::1",
                    "integrationLatencyMs": "1", "integrationError": "e"});
                value[name] = text.into();
                value
            };
            vec![
                text.to_owned(),
                line(
                    serde_json::json!({"level": "ERROR", "message": text, "error": text, "requestId": text, text: text}),
                ),
                line(serde_json::json!({"level": text, "route": text, "status": text, "release": text})),
                line(access("route")),
                line(access("status")),
                line(access("sourceIp")),
                line(access("integrationError")),
                line(
                    serde_json::json!({"type": "platform.report", "record": {"status": text, "requestId": text,
                    "metrics": {"maxMemoryUsedMB": text}}}),
                ),
            ]
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn no_form_lets_a_log_line_speak(text in hostile()) {
                let event = |message: String| LogEvent {
                    id: text.clone(),
                    source: text.clone(),
                    stream: format!("2026/11/21/[{text}]abc"),
                    timestamp: 0,
                    message,
                };
                let events: Vec<LogEvent> = messages(&text).into_iter().map(event).collect();
                let fields = ["time", "source", "version", "message", "error", "record.status"];
                let forms = [
                    Form::Known(Format::Pretty),
                    Form::Known(Format::Short),
                    Form::Known(Format::Json),
                    Form::Known(Format::Raw),
                    Form::Template(template::tabs(&fields.map(str::to_owned))),
                    Form::Template(template::parse("{message} {route}").unwrap_or_default()),
                    Form::Picked(fields.map(str::to_owned).to_vec()),
                ];
                let wanted = Wanted { grep: None, level: None, route: None, release: None, former: None };
                for form in forms {
                    let is_json = matches!(form, Form::Known(Format::Json) | Form::Picked(_));
                    let is_raw = matches!(form, Form::Known(Format::Raw));
                    let shown = Shown { form, sources: BTreeSet::from([text.clone()]) };
                    for paint in [Paint::Plain, Paint::Colored] {
                        let style = Style { paint, reader: Reader::Terminal, ..Style::PLAIN };
                        let out = shown.text(&events, &wanted, &style, &mut Count::default());
                        let seen = guarded(&out, Reader::Terminal, paint);
                        prop_assert!(obeyed(&seen, paint).is_empty(), "{}", seen.escape_debug());
                        let record = guarded(&out, Reader::Runner, Paint::Plain);
                        prop_assert!(commands(&record).is_empty(), "{}", record.escape_debug());
                        // What is raw is for programs; everything else is clean wherever it goes.
                        if !is_raw && paint == Paint::Plain {
                            prop_assert!(obeyed(&out, paint).is_empty(), "{}", out.escape_debug());
                        }
                        if is_json {
                            prop_assert_eq!(&*record, &*out);
                            prop_assert!(out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{}", out);
                        }
                    }
                }
            }
        }
    }
}
