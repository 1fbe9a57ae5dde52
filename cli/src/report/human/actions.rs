//! While resources are changed: what is being done, waits, is retried, and how it ended.

use jiff::Timestamp;
use taskctl_stack::event::ErrorReport;
use taskctl_stack::plan::Verb;
use taskctl_stack::resource::ResourceId;

use super::{Human, Trace};
use crate::report::messages::{failed_lines, finished_line, kept_lines};
use crate::ui::progress::doing;
use crate::ui::style::Tone;
use crate::ui::text::{cut, plain};

impl Human {
    pub(super) fn execution_started(&mut self, actions: usize) {
        if let Some(live) = self.live() {
            live.execution(actions);
        }
    }

    pub(super) fn action_started(&mut self, id: &ResourceId, verb: Verb) {
        if let Some(live) = self.live() {
            live.begin(id, verb);
        }
    }

    pub(super) fn waiting(&mut self, id: &ResourceId, reason: &str) {
        match self.live() {
            Some(live) => live.because(id, &format!("waiting for the {reason}")),
            None => {
                let id = plain(&id.to_string());
                self.say(&format!("  · waiting  {id}: for the {}", plain(reason)));
            }
        }
    }

    pub(super) fn retrying(&mut self, time: Timestamp, id: Option<&ResourceId>, operation: &str, reason: &str) {
        if !self.run.is_worth_reporting(time, id, operation) {
            return;
        }
        let text = format!("retrying {operation}: {reason}");
        match (self.live(), id) {
            (Some(live), Some(id)) => live.because(id, &text),
            _ => {
                let who = id.map(|id| format!("{id}: ")).unwrap_or_default();
                let width = self.style.width.saturating_sub(13);
                let text = cut(&plain(&format!("{who}{operation}: {reason}")), width);
                self.say(&format!("  · retry    {text}"));
            }
        }
    }

    pub(super) fn action_finished(&mut self, id: &ResourceId, verb: Verb, millis: u64) {
        match self.live() {
            Some(live) => live.end(id),
            None => {
                let line = finished_line(id, verb, millis, &self.style);
                self.say(&line);
            }
        }
    }

    pub(super) fn action_failed(&mut self, id: &ResourceId, verb: Verb, error: &ErrorReport) {
        if let Some(live) = self.live() {
            live.end(id);
        }
        let lines = failed_lines(id, verb, error, &self.style);
        self.say_all(&lines);
    }

    pub(super) fn action_kept(&mut self, id: &ResourceId, reason: &str) {
        if let Some(live) = self.live() {
            live.end(id);
        }
        let lines = kept_lines(id, reason, &self.style);
        self.say_all(&lines);
    }

    pub(super) fn action_skipped(&mut self, id: &ResourceId, verb: Verb, reason: &str) {
        match self.live() {
            Some(live) => live.end(id),
            None => {
                let id = plain(&id.to_string());
                self.say(&format!("  · {} {id} skipped: {}", doing(verb), plain(reason)));
            }
        }
    }

    pub(super) fn call(&mut self, operation: &str, millis: u64, outcome: &str) {
        if self.trace == Trace::Calls {
            let line = format!("  {} {millis} ms {}", plain(operation), plain(outcome));
            let line = self.style.paint(Tone::Faint, &line);
            self.say(&line);
        }
    }
}
