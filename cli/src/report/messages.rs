//! Events as sentences: what is worth a line, and its words. Shared by what is drawn on a terminal and what is written
//! to a file.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use taskctl_stack::event::{Endpoints, ErrorReport, Event, Outcome};
use taskctl_stack::plan::Verb;
use taskctl_stack::resource::ResourceId;

use super::plan::sign;
use crate::failure::{CANCELLED, Message};
use crate::ui::style::{Paint, Style, Tone};
use crate::ui::text::{count, duration, plain, plain_lines, wrap};

/// What the command is there for, which decides what of it is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To show a plan: the plan is the answer.
    Plan,
    /// To change a stack: where it answers afterwards is the answer.
    Change,
    /// To make packages.
    Package,
    /// To answer with data, and nothing but it.
    Answer,
}

/// Retries are reported only after this long.
const PATIENCE_MILLIS: i64 = 4_000;

/// What happened so far, as far as later messages depend on it.
#[derive(Debug, Default)]
pub struct RunSummary {
    retrying: BTreeMap<String, i64>,
    reported_retries: BTreeSet<String>,
    done: BTreeMap<Verb, usize>,
    failed: usize,
    kept: usize,
    skipped: usize,
    in_preview: Option<String>,
}

impl RunSummary {
    /// Takes notice of an event.
    pub fn notice(&mut self, event: &Event) {
        match event {
            // `dev` deploys again and again: each round counts its own.
            Event::Started { .. } => *self = Self::default(),
            Event::InPreview { release, color, live } => {
                self.in_preview = Some(in_preview(*release, color, *live));
            }
            Event::ActionFinished { verb, .. } => *self.done.entry(*verb).or_default() += 1,
            Event::ActionFailed { .. } => self.failed += 1,
            Event::ActionKept { .. } => self.kept += 1,
            Event::ActionSkipped { .. } => self.skipped += 1,
            _ => {}
        }
    }

    /// Whether a retry has lasted long enough to be reported, and was not reported before.
    pub fn is_worth_reporting(&mut self, time: Timestamp, id: Option<&ResourceId>, operation: &str) -> bool {
        let key = format!("{}/{operation}", id.map(ToString::to_string).unwrap_or_default());
        let now = time.as_millisecond();
        let since = *self.retrying.entry(key.clone()).or_insert(now);
        now - since >= PATIENCE_MILLIS && self.reported_retries.insert(key)
    }

    /// The sentence that ends a command.
    pub fn ending(&self, outcome: Outcome, millis: u64, calls: u64, style: &Style) -> String {
        let words: Vec<String> = [
            (Verb::Create, "created"),
            (Verb::Update, "changed"),
            (Verb::Replace, "replaced"),
            (Verb::Delete, "deleted"),
        ]
        .iter()
        .filter_map(|(verb, word)| self.done.get(verb).map(|number| format!("{number} {word}")))
        .chain((outcome == Outcome::Kept).then(|| format!("{} kept", self.kept)))
        .chain((self.failed > 0).then(|| format!("{} failed", self.failed)))
        .chain((self.skipped > 0).then(|| format!("{} skipped", self.skipped)))
        .collect();
        let (tone, word) = match outcome {
            Outcome::NoChanges | Outcome::Done => (Tone::Good, "Done"),
            Outcome::Changes => (Tone::Strong, "Planned"),
            Outcome::Kept => (Tone::Warn, "Incomplete"),
            Outcome::Failed => (Tone::Bad, "Failed"),
            Outcome::Interrupted => (Tone::Warn, "Stopped"),
        };
        let list = if words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(", "))
        };
        let calls = count(calls, "AWS call");
        format!("{}{list} in {}, {calls}", style.paint(tone, word), duration(millis))
    }

    /// Which release waits in preview, when the command did not make it live.
    pub fn in_preview(&self) -> Option<&str> {
        self.in_preview.as_deref()
    }
}

/// A release that waits, and what is live meanwhile.
pub fn in_preview(release: u64, color: &str, live: u64) -> String {
    let color = plain(color);
    format!("Release {release} ({color}) is in preview; live is still release {live}.")
}

/// `platform/dev in eu-central-1 (account 123456789012)`.
pub fn where_to(app: &str, stage: &str, region: &str, account: Option<&str>) -> String {
    let account = account
        .map(|account| format!(", account {account}"))
        .unwrap_or_default();
    plain(&format!("{app}/{stage} in {region}{account}"))
}

/// What was done to a resource.
pub fn finished_line(id: &ResourceId, verb: Verb, millis: u64, style: &Style) -> String {
    let (mark, _, tone) = sign(verb);
    let word = match verb {
        Verb::Create => "created",
        Verb::Update => "changed",
        Verb::Replace => "replaced",
        Verb::Delete => "deleted",
        Verb::NoOp | Verb::Keep => "kept",
    };
    let time = style.paint(Tone::Faint, &format!("({})", duration(millis)));
    format!(
        "  {} {word:<8} {} {time}",
        style.paint(tone, mark),
        plain(&id.to_string())
    )
}

/// A data store that was to be deleted, and stays.
pub fn kept_lines(id: &ResourceId, reason: &str, style: &Style) -> Vec<String> {
    let (mark, _, _) = sign(Verb::Keep);
    let head = format!("  {} kept     ", style.paint(Tone::Warn, mark));
    let text = format!("{id}: {reason}");
    let lines = wrap(&text, style.width.saturating_sub(13)).into_iter().enumerate();
    lines
        .map(|(index, part)| match index {
            0 => format!("{head}{part}"),
            _ => format!("{:13}{part}", ""),
        })
        .collect()
}

/// A failed action.
pub fn failed_lines(id: &ResourceId, verb: Verb, error: &ErrorReport, style: &Style) -> Vec<String> {
    let (_, word, _) = sign(verb);
    error_lines(
        &format!("{word} {id}: {}", error.message),
        &error.causes,
        error.hint.as_deref(),
        style,
    )
}

/// An error: what happened, why, what to do.
pub fn error_lines(message: &str, causes: &[String], hint: Option<&str>, style: &Style) -> Vec<String> {
    let width = style.width.saturating_sub(9).max(31);
    let mut lines = Vec::new();
    for (index, part) in wrap(message, width).into_iter().enumerate() {
        let head = if index == 0 {
            style.paint(Tone::Bad, "error:")
        } else {
            "      ".to_owned()
        };
        lines.push(format!("{head} {part}"));
    }
    for cause in causes {
        // What a compiler or another program said keeps its shape.
        if cause.contains('\n') {
            lines.extend(plain_lines(cause).map(|part| format!("    {part}")));
            continue;
        }
        for (index, part) in wrap(cause, width).into_iter().enumerate() {
            let head = if index == 0 {
                style.paint(Tone::Faint, "  why:")
            } else {
                "      ".to_owned()
            };
            lines.push(format!("{head} {part}"));
        }
    }
    for (index, part) in hint.into_iter().flat_map(|hint| wrap(hint, width)).enumerate() {
        let head = if index == 0 {
            style.paint(Tone::Good, " help:")
        } else {
            "      ".to_owned()
        };
        lines.push(format!("{head} {part}"));
    }
    lines
}

/// The error that ends a command.
pub fn failure_text(message: &Message, style: &Style) -> String {
    match message {
        Message::Report(report) | Message::At(report, _) => {
            let lines = error_lines(&report.message, &report.causes, report.hint.as_deref(), style);
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
        Message::Cancelled => format!("{CANCELLED}\n"),
        Message::Faults(faults) => {
            let color = match style.paint {
                Paint::Colored => taskctl_stack::template::Color::Ansi,
                Paint::Plain => taskctl_stack::template::Color::Plain,
            };
            format!(
                "{}\n{} {faults}\n",
                faults.render(color),
                style.paint(Tone::Bad, "error:")
            )
        }
    }
}

/// Where a stack answers, by slot.
pub fn endpoint_rows(endpoints: &Endpoints) -> Vec<(&'static str, &str)> {
    [
        ("live", endpoints.live.as_deref()),
        ("preview", endpoints.preview.as_deref()),
        ("site", endpoints.site.as_deref()),
    ]
    .into_iter()
    .filter_map(|(slot, url)| Some((slot, url?)))
    .collect()
}
