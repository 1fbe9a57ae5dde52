//! What `logs` and `dev` show of log groups: which events, in which form, now and as they arrive.

mod follow;
pub mod template;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use clap::ValueEnum;
use jiff::Timestamp;
use regex_lite::Regex;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::Event;
use taskctl_stack::observe::logs::{API, CloudWatchLogs, Group, LogEvent};
use taskctl_stack::release::slots::ReleaseState;

pub use self::follow::{Following, Options as FollowOptions, follow_all};
use self::template::Piece;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_line::{self, Level, Line};
use crate::name_pattern::select;
use crate::session::Session;
use crate::ui::clock;
use crate::ui::style::{Style, Tone};
use crate::ui::text::{self, safe_json};

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, function, level, request, release, error
    Pretty,
    /// Time, function, request
    Short,
    /// One JSON object per line
    Json,
    /// As the function wrote it
    Raw,
    /// With --query: comma-separated values
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Slot {
    /// What users reach
    Live,
    /// What waits to be promoted
    Preview,
}

impl Slot {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Preview => "preview",
        }
    }
}

/// The log groups that are asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Logical names or patterns of them; all functions when empty.
    pub functions: Vec<String>,
    /// The API's access log; alone when no function is named.
    pub api: bool,
}

impl Selection {
    /// The groups that exist of them.
    pub async fn groups(&self, source: &CloudWatchLogs) -> Result<Vec<Group>, Failure> {
        self.of(source.groups().await.map_err(EngineError::from)?)
    }

    /// Those of all that are asked for.
    pub fn of(&self, all: Vec<Group>) -> Result<Vec<Group>, Failure> {
        let known = all
            .iter()
            .map(|group| group.source.as_str())
            .filter(|name| *name != API);
        let named = select(&self.functions, known)?;
        let is_wanted = |group: &Group| match (group.source == API, self.functions.is_empty()) {
            (true, _) => self.api,
            (false, true) => !self.api,
            (false, false) => named.contains(&group.source),
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }
}

/// What was shown.
#[derive(Debug, Default)]
pub struct Count {
    pub lines: u64,
    /// When the last event happened, shown or not.
    pub last: Option<Timestamp>,
    /// The day that was last named.
    day: Option<String>,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::count(self.lines, "line"))?;
        match self.last {
            Some(last) => write!(f, ", up to {}", clock::full(last)),
            None => Ok(()),
        }
    }
}

/// Notes how much was shown before the command was stopped.
pub fn ended(session: &Session, count: &Count) -> Exit {
    if !session.is_unread() {
        session.reporter.emit(Event::Note {
            message: format!("{count} shown"),
        });
    }
    Exit::Interrupted
}

/// The release whose lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// None while its slot is empty.
    pub number: Option<u64>,
    /// Version by function.
    pub versions: BTreeMap<String, String>,
}

impl Chosen {
    pub fn release(facts: &ReleaseState, number: u64) -> Result<Self, Failure> {
        let label = facts.releases.get(&number).ok_or_else(|| {
            let message = format!("release {number} is not kept");
            Failure::new(Exit::Error, message, "`taskctl releases` lists those that are kept")
        })?;
        Ok(Self {
            number: Some(number),
            versions: label.versions.clone(),
        })
    }

    pub fn slot(facts: &ReleaseState, slot: Slot) -> Result<Self, Failure> {
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
pub struct Wanted {
    pub grep: Option<Regex>,
    pub level: Option<Level>,
    pub route: Option<String>,
    pub release: Option<Chosen>,
    /// The release before, up to when it was in the slot, ms since 1970: what it wrote until then may arrive later.
    pub former: Option<(Chosen, i64)>,
}

impl Wanted {
    pub fn is_of_release(&self, event: &LogEvent) -> bool {
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
pub enum Form {
    Known(Format),
    Template(Vec<Piece>),
    /// JSON of these fields only.
    Picked(Vec<String>),
}

impl Form {
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Known(Format::Json) | Self::Picked(_))
    }
}

/// How lines are shown.
pub struct Shown {
    pub form: Form,
    pub sources: BTreeSet<String>,
}

impl Shown {
    pub fn all(&self, events: &[LogEvent], wanted: &Wanted, session: &Session, count: &mut Count) -> String {
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
            if let Some(day) = self.new_day(event, count)
                && !self.is_folded(event, &line, style)
            {
                text.push_str(&format!("{}\n", style.paint(Tone::Faint, &day)));
                count.day = Some(day);
            }
            let head = text.len() - before;
            match &self.form {
                Form::Known(Format::Raw) => text.push_str(&format!("{}\n", event.message.trim_end())),
                Form::Known(Format::Json) => text.push_str(&safe_json(&format!("{}\n", log_line::json(event, &line)))),
                Form::Known(Format::Pretty | Format::Csv) => text.push_str(&line.pretty(event, &self.sources, style)),
                Form::Known(Format::Short) => text.push_str(&line.short(event, &self.sources, style)),
                Form::Template(pieces) => text.push_str(&template::filled(pieces, event, &line)),
                Form::Picked(fields) => text.push_str(&safe_json(&template::picked(fields, event, &line))),
            }
            // Some lines of the platform are folded into others.
            count.lines += u64::from(text.len() > before + head);
        }
        text
    }

    /// The day and the zone of lines that say the time alone: before the first line, and where the day changes.
    fn new_day(&self, event: &LogEvent, count: &Count) -> Option<String> {
        if !matches!(self.form, Form::Known(Format::Pretty | Format::Short)) {
            return None;
        }
        let day = clock::day(Timestamp::from_millisecond(event.timestamp).ok()?);
        (count.day.as_ref() != Some(&day)).then_some(day)
    }

    /// Whether an event has no line of its own in the forms for people.
    fn is_folded(&self, event: &LogEvent, line: &Line, style: &Style) -> bool {
        line.short(event, &self.sources, style).is_empty()
    }

    /// Events of which the last so many are kept that would be shown.
    pub fn last(&self, events: &mut VecDeque<LogEvent>, most: usize, wanted: &Wanted) {
        let is_for_people = matches!(self.form, Form::Known(Format::Pretty | Format::Short));
        events.retain(|event| {
            let line = Line::of(event);
            wanted.takes(event, &line) && !(is_for_people && self.is_folded(event, &line, &Style::PLAIN))
        });
        events.drain(..events.len().saturating_sub(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, message: &str) -> LogEvent {
        let at = at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        LogEvent {
            id: at.to_string(),
            source: "tasks".to_owned(),
            stream: "2026/03/01/[3]abc".to_owned(),
            timestamp: at.as_millisecond(),
            message: message.to_owned(),
        }
    }

    fn shown(form: Form) -> Shown {
        Shown {
            form,
            sources: BTreeSet::from(["tasks".to_owned()]),
        }
    }

    fn everything() -> Wanted {
        Wanted {
            grep: None,
            level: None,
            route: None,
            release: None,
            former: None,
        }
    }

    #[test]
    fn days_are_named_where_they_change() {
        let start = r#"{"type":"platform.start","record":{}}"#;
        let events = [
            event("2026-02-28T22:00:00.250Z", start),
            event("2026-02-28T22:59:59.250Z", "before midnight"),
            event("2026-02-28T23:00:00.250Z", "after"),
            event("2026-02-28T23:00:01.250Z", "a panic\nat line 3"),
        ];
        let text =
            |form, events: &[LogEvent]| shown(form).text(events, &everything(), &Style::PLAIN, &mut Count::default());
        assert_eq!(
            text(Form::Known(Format::Pretty), &events),
            "2026-02-28 CET\n23:59:59.250 tasks before midnight\n2026-03-01 CET\n00:00:00.250 tasks after\n\
             00:00:01.250 tasks a panic\n        at line 3\n"
        );
        assert_eq!(text(Form::Known(Format::Raw), &events[2..3]), "after\n");
        // Lines that have none of their own name no day.
        assert_eq!(text(Form::Known(Format::Pretty), &events[..1]), "");
        // A day is named once, however often events are shown.
        let mut count = Count::default();
        for event in &events[2..] {
            shown(Form::Known(Format::Short)).text(
                std::slice::from_ref(event),
                &everything(),
                &Style::PLAIN,
                &mut count,
            );
        }
        assert_eq!((count.lines, count.day.as_deref()), (2, Some("2026-03-01 CET")));
        assert_eq!(count.to_string(), "2 lines, up to 2026-03-01 00:00:01 CET");
    }

    #[test]
    fn the_last_lines_are_those_that_would_be_shown() {
        let report = r#"{"type":"platform.start","record":{}}"#;
        let mut events: VecDeque<LogEvent> = ["one", "two", report, "three"]
            .into_iter()
            .map(|message| event("2026-02-28T22:00:00Z", message))
            .collect();
        shown(Form::Known(Format::Pretty)).last(&mut events, 2, &everything());
        let messages: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
        assert_eq!(messages, ["two", "three"]);
    }

    #[test]
    fn functions_are_meant_by_name_or_by_pattern() {
        let group = |source: &str| Group {
            source: source.to_owned(),
            name: format!("/aws/lambda/{source}"),
        };
        let all = || vec![group(API), group("counter"), group("tasks"), group("tasks-old")];
        let of = |functions: &[&str], api: bool| {
            let selection = Selection {
                functions: functions.iter().map(|one| (*one).to_owned()).collect(),
                api,
            };
            let groups = selection.of(all()).map_err(|failure| failure.summary())?;
            Ok::<_, String>(
                groups
                    .into_iter()
                    .map(|group| group.source)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        assert_eq!(of(&[], false), Ok("counter tasks tasks-old".to_owned()));
        assert_eq!(of(&["task*"], false), Ok("tasks tasks-old".to_owned()));
        assert_eq!(of(&["counter"], true), Ok("api counter".to_owned()));
        assert_eq!(of(&[], true), Ok("api".to_owned()));
        assert_eq!(of(&["x*"], false), Err("no function matches x*".to_owned()));
    }

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
