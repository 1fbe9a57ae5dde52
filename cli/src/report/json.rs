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
    purpose: Purpose,
    trace: Trace,
}

impl Json {
    /// A reporter to `out`.
    pub fn new(out: Out, purpose: Purpose, trace: Trace) -> Self {
        Self { out, purpose, trace }
    }

    fn line(&mut self, time: Timestamp, fields: Value) {
        let mut object = Map::new();
        object.insert("v".to_owned(), json!(SCHEMA_VERSION));
        object.insert("time".to_owned(), json!(format!("{time:.3}")));
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        write(&mut self.out, &safe_json(&format!("{}\n", Value::Object(object))));
    }
}

impl Renderer for Json {
    fn event(&mut self, time: Timestamp, event: &Event) {
        if matches!(event, Event::Call { .. }) && self.trace == Trace::Off {
            return;
        }
        // Who reads one object must not find another before it.
        if self.purpose == Purpose::Answer && matches!(event, Event::Retrying { .. } | Event::Waiting { .. }) {
            return;
        }
        if let Ok(fields) = serde_json::to_value(event) {
            self.line(time, fields);
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
        self.line(time, fields);
    }

    fn data(&mut self, text: &str) {
        write(&mut self.out, &safe_json(text));
    }

    fn rest(&mut self) {}
}
