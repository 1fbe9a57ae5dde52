//! The reporter for programs: one JSON object per event and line. The schema is in `docs/events.md`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use taskctl_stack::event::{Event, SCHEMA_VERSION};

use super::human::Trace;
use super::story::Purpose;
use super::text::safe_json;
use super::{Out, Renderer, write};
use crate::failure::{Failure, Told};

/// Writes events as JSON lines.
pub struct Json {
    out: Out,
    err: Out,
    purpose: Purpose,
    trace: Trace,
}

impl Json {
    /// A reporter to `out`; of commands that answer, everything but the answer and the failure goes to `err`.
    pub fn new(out: Out, err: Out, purpose: Purpose, trace: Trace) -> Self {
        Self {
            out,
            err,
            purpose,
            trace,
        }
    }

    fn line(time: Timestamp, fields: Value) -> String {
        let mut object = Map::new();
        object.insert("v".to_owned(), json!(SCHEMA_VERSION));
        object.insert("time".to_owned(), json!(format!("{time:.3}")));
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        safe_json(&format!("{}\n", Value::Object(object)))
    }
}

impl Renderer for Json {
    fn event(&mut self, time: Timestamp, event: &Event) {
        if matches!(event, Event::Call { .. }) && self.trace == Trace::Off {
            return;
        }
        let Ok(fields) = serde_json::to_value(event) else {
            return;
        };
        let line = Self::line(time, fields);
        match (self.purpose, event) {
            (Purpose::Change | Purpose::Plan | Purpose::Package, _) => write(&mut self.out, &line),
            // Who reads one object must not find another before it.
            (Purpose::Answer, Event::Retrying { .. } | Event::Waiting { .. }) => {}
            (Purpose::Answer, _) => write(&mut self.err, &line),
        }
    }

    fn failure(&mut self, time: Timestamp, failure: &Failure) {
        let exit = failure.exit.code();
        let fields = match &failure.told {
            Told::Report(error) => json!({"event": "error", "exit": exit, "error": error}),
            Told::Faults(faults) => {
                let hint = "mend the template; each fault says what is allowed";
                let error = json!({"message": faults.to_string(), "hint": hint});
                json!({"event": "error", "exit": exit, "error": error, "template": faults.to_json()})
            }
        };
        let line = Self::line(time, fields);
        write(&mut self.out, &line);
    }

    fn data(&mut self, text: &str) {
        write(&mut self.out, &safe_json(text));
    }

    fn rest(&mut self) {}
}
