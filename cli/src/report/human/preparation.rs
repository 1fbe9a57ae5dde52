//! Before anything is changed: the build, reading AWS, the plan.

use taskctl_stack::plan::Plan;

use super::Human;
use crate::report::Renderer as _;
use crate::report::messages::Purpose;
use crate::report::plan::{render, summary, warnings};
use crate::ui::style::Tone;
use crate::ui::text::{count, duration, plain};

/// How Cargo's lines of progress begin.
const PROGRESS_WORDS: [&str; 9] = [
    "Compiling ",
    "Checking ",
    "Downloading ",
    "Downloaded ",
    "Updating ",
    "Locking ",
    "Adding ",
    "Blocking ",
    "Building ",
];

impl Human {
    pub(super) fn started(&mut self, command: &str, place: &str) {
        let line = format!("{} {place}", self.style.paint(Tone::Strong, &plain(command)));
        self.say(&line);
    }

    pub(super) fn build_started(&mut self, command: &str) {
        match self.live() {
            Some(live) => live.building(command),
            None => self.say(&format!("building: {}", plain(command))),
        }
    }

    pub(super) fn build_output(&mut self, line: &str) {
        let is_progress = PROGRESS_WORDS.iter().any(|word| line.starts_with(word));
        match self.live() {
            Some(live) if is_progress => live.building(line),
            Some(_) | None => self.say(&plain(line)),
        }
    }

    pub(super) fn build_finished(&mut self, millis: u64) {
        match self.live() {
            Some(live) => live.built(),
            None => self.say(&format!("built in {}", duration(millis))),
        }
    }

    pub(super) fn read_started(&mut self) {
        if let Some(live) = self.live() {
            live.reading();
        }
    }

    pub(super) fn read_finished(&mut self, millis: u64, calls: u64) {
        match self.live() {
            Some(live) => live.was_read(),
            None => self.say(&format!("read in {}, {}", duration(millis), count(calls, "AWS call"))),
        }
    }

    pub(super) fn planned(&mut self, plan: &Plan) {
        self.rest();
        match self.purpose {
            Purpose::Plan | Purpose::Answer => {
                let text = render(plan, &self.out_style, self.details);
                self.out.text(&text);
            }
            Purpose::Change | Purpose::Package => {
                let text = if plan.has_changes() {
                    render(plan, &self.style, self.details)
                } else {
                    let mut lines = warnings(plan, &self.style);
                    lines.push(summary(plan, &self.style));
                    lines.join("\n")
                };
                for line in text.lines() {
                    self.say(line);
                }
            }
        }
    }
}
