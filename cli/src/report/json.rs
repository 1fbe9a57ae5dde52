//! The reporter for programs: one JSON object per event and line. The schema is in `docs/events.md`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use taskctl_stack::event::{ErrorReport, Event, SCHEMA_VERSION};

use super::human::Trace;
use super::messages::Purpose;
use super::{Renderer, write};
use crate::failure::{CANCELLED, Failure, Message, Place};
use crate::ui::guard::Out;
use crate::ui::text::safe_json;

/// In how many lines an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// One, as where many objects follow each other.
    One,
    /// Many, to be read.
    Many,
}

/// The answer of a command, with its line end. `what` it is, in the plural or with its article: `the alarms`.
pub fn answer(what: &str, value: &impl Serialize, lines: Lines) -> Result<String, Failure> {
    let text = match lines {
        Lines::One => serde_json::to_string(value),
        Lines::Many => serde_json::to_string_pretty(value),
    };
    let text = text.map_err(|error| Failure::caused(format!("{what} cannot be written as JSON"), &error, None))?;
    Ok(format!("{text}\n"))
}

/// Writes events as JSON lines.
pub struct Json {
    out: Out,
    err: Out,
    purpose: Purpose,
    trace: Trace,
    /// Whether a command that answers has done so.
    has_answered: bool,
}

/// A line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Line<'a> {
    /// Version of the schema: within one, fields and events are added, never renamed or removed.
    v: u32,
    /// When, with milliseconds, in UTC.
    #[schemars(with = "Timestamp")]
    time: String,
    /// What.
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum What<'a> {
    Event(&'a Event),
    Error(ErrorEvent),
}

/// The command could not do what it was asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct ErrorEvent {
    /// `error`.
    event: ErrorTag,
    /// The exit code.
    exit: u8,
    /// What happened, why, what to do.
    error: ErrorReport,
    /// Where in a file, such as one of request checks: `file`, `line`, `column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    /// Faults of the template: `file` and `faults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ErrorTag {
    Error,
}

impl Json {
    /// A reporter to `out`; of commands that answer, everything but the answer goes to `err`: who reads one value must not find
    /// another beside it. A failure goes to `out` where there is no answer.
    pub fn new(out: Out, err: Out, purpose: Purpose, trace: Trace) -> Self {
        Self {
            out,
            err,
            purpose,
            trace,
            has_answered: false,
        }
    }

    fn line(time: Timestamp, what: What<'_>) -> String {
        let line = Line {
            v: SCHEMA_VERSION,
            time: format!("{time:.3}"),
            what,
        };
        // Events are plain data.
        let text = serde_json::to_string(&line).unwrap_or_default();
        safe_json(&format!("{text}\n"))
    }
}

impl Renderer for Json {
    fn event(&mut self, time: Timestamp, event: &Event) {
        if matches!(event, Event::Call { .. }) && self.trace == Trace::Off {
            return;
        }
        let line = Self::line(time, What::Event(event));
        match (self.purpose, event) {
            (Purpose::Change | Purpose::Plan | Purpose::Package, _) => write(&mut self.out, &line),
            (Purpose::Answer, Event::Retrying { .. } | Event::Waiting { .. }) => {}
            (Purpose::Answer, _) => write(&mut self.err, &line),
        }
    }

    fn failure(&mut self, time: Timestamp, failure: &Failure) {
        let place = match &failure.message {
            Message::At(_, place) => Some(place.clone()),
            _ => None,
        };
        let (error, template) = match &failure.message {
            Message::Report(error) | Message::At(error, _) => (error.clone(), None),
            Message::Cancelled => {
                let error = ErrorReport {
                    message: CANCELLED.to_owned(),
                    causes: Vec::new(),
                    hint: None,
                };
                (error, None)
            }
            Message::Faults(faults) => {
                let error = ErrorReport {
                    message: faults.to_string(),
                    causes: Vec::new(),
                    hint: Some("fix the template; each fault says what is allowed".to_owned()),
                };
                (error, Some(faults.to_json()))
            }
        };
        let told = ErrorEvent {
            event: ErrorTag::Error,
            exit: failure.exit.code(),
            error,
            at: place,
            template,
        };
        let line = Self::line(time, What::Error(told));
        let out = if self.has_answered {
            &mut self.err
        } else {
            &mut self.out
        };
        write(out, &line);
    }

    fn data(&mut self, text: &str) {
        self.has_answered |= self.purpose == Purpose::Answer && !text.is_empty();
        write(&mut self.out, &safe_json(text));
    }

    fn rest(&mut self) {}
}
