//! The reporter for GitHub Actions: lines in groups, errors and warnings as annotations, a summary of the job.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use taskctl_stack::event::{ErrorReport, Event, Outcome};
use taskctl_stack::plan::Plan;
use taskctl_stack::template::Severity;

use super::Renderer;
use super::command_hint::CommandHint;
use super::human::{Human, StderrSink, Trace};
use super::messages::{Purpose, RunSummary, endpoint_rows};
use super::plan::{Details, render, summary};
use crate::failure::{CANCELLED, Failure, Message};
use crate::ui::guard::{Guard, Out, command};
use crate::ui::style::Style;
use crate::ui::text::plain;

/// Writes for GitHub Actions.
pub struct Github {
    out: Guard,
    human: Human,
    run: RunSummary,
    summary_path: Option<PathBuf>,
    summary: String,
    group: Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Open,
    Closed,
}

/// Makes an output of the same stream.
pub type Outs<'a> = &'a dyn Fn() -> Out;

impl Github {
    /// A reporter whose lines all go to one stream, with a summary appended to a file.
    pub fn new(
        outs: Outs<'_>,
        summary_path: Option<PathBuf>,
        command_hint: CommandHint,
        details: Details,
        trace: Trace,
    ) -> Self {
        let human = Human::new(
            (outs(), Style::RUNNER),
            (StderrSink::Lines(outs()), Style::RUNNER),
            Purpose::Change,
            command_hint,
            details,
            trace,
        );
        Self {
            out: Guard::new(outs(), &Style::RUNNER),
            human,
            run: RunSummary::default(),
            summary_path,
            summary: String::new(),
            group: Group::Closed,
        }
    }

    fn open(&mut self, title: &str) {
        self.close();
        self.out.command(&command("group", &[], title));
        self.group = Group::Open;
    }

    fn close(&mut self) {
        if self.group == Group::Open {
            self.out.command(&command("endgroup", &[], ""));
            self.group = Group::Closed;
        }
    }

    fn planned(&mut self, plan: &Plan) {
        self.close();
        let text = render(plan, &Style::PLAIN, Details::Changes);
        let short = summary(plan, &Style::PLAIN);
        if plan.has_changes() {
            self.open("Plan");
            self.out.text(&text);
            self.close();
        }
        self.out.text(&format!(
            "{short}
"
        ));
        for warning in &plan.warnings {
            self.out
                .command(&command("warning", &[("title", "plan")], &warning.message));
        }
        self.summary.push_str(&format!("**{short}**\n\n"));
        for warning in &plan.warnings {
            self.summary.push_str(&format!("⚠️ {}\n\n", markdown(&warning.message)));
        }
        if plan.has_changes() {
            let fenced = marked_in_front(&text).replace("```", "'''");
            self.summary.push_str(&format!(
                "<details><summary>Plan</summary>\n\n```diff\n{fenced}```\n\n</details>\n\n"
            ));
        }
    }

    fn annotate(&mut self, title: &str, error: &ErrorReport, place: &[(&'static str, &str)]) {
        let mut text = vec![plain(&error.message)];
        text.extend(error.causes.iter().map(|cause| format!("why: {}", plain(cause))));
        text.extend(error.hint.iter().map(|hint| format!("help: {}", plain(hint))));
        self.close();
        let properties = [place, &[("title", title)]].concat();
        self.out.command(&command("error", &properties, &text.join("\n")));
        self.summary
            .push_str(&format!("❌ {}: {}\n\n", markdown(title), markdown(&error.message)));
        for line in &text[1..] {
            self.summary.push_str(&format!("> {}\n>\n", markdown(line)));
        }
        self.summary.push('\n');
    }

    fn keep_summary(&mut self) {
        let Some(path) = &self.summary_path else { return };
        if self.summary.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.summary);
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
            let _ = file.write_all(text.as_bytes());
        }
    }
}

impl Renderer for Github {
    fn event(&mut self, time: Timestamp, event: &Event) {
        self.run.notice(event);
        match event {
            Event::Started {
                command,
                app,
                stage,
                region,
                ..
            } => {
                self.summary.push_str("### ");
                self.summary
                    .push_str(&markdown(&format!("taskctl {command}: {app}/{stage} in {region}")));
                self.summary.push_str("\n\n");
                self.human.event(time, event);
            }
            Event::BuildStarted { .. } => {
                self.open("Build");
                self.human.event(time, event);
            }
            Event::BuildFinished { .. } => {
                self.human.event(time, event);
                self.close();
            }
            Event::Planned { plan } => self.planned(plan),
            Event::ExecutionStarted { .. } => self.open("Changes"),
            Event::ActionFailed { id, error, .. } => {
                self.human.notice(event);
                self.annotate(&id.to_string(), error, &[]);
            }
            Event::ActionKept { id, reason, .. } => {
                self.human.notice(event);
                self.out
                    .command(&command("warning", &[("title", &format!("{id} kept"))], reason));
            }
            Event::Warning { message } => self.out.command(&command("warning", &[], message)),
            Event::Finished {
                outcome,
                millis,
                calls,
                endpoints,
                next,
            } => {
                self.close();
                let mark = match (outcome, self.run.in_preview()) {
                    (Outcome::NoChanges | Outcome::Done, Some(waits)) => format!("⏸️ **{}**\n\n", markdown(waits)),
                    (Outcome::NoChanges | Outcome::Done, None) => "✅ ".to_owned(),
                    (Outcome::Changes, _) => "📋 ".to_owned(),
                    (Outcome::Kept, _) => "⚠️ ".to_owned(),
                    (Outcome::Failed | Outcome::Interrupted, _) => "❌ ".to_owned(),
                };
                let ending = self.run.ending(*outcome, *millis, *calls, &Style::PLAIN);
                self.summary.push_str(&format!("{mark}{ending}\n\n"));
                if matches!(outcome, Outcome::NoChanges | Outcome::Done) {
                    for (slot, url) in endpoint_rows(endpoints) {
                        self.summary.push_str(&format!("- {slot}: <{}>\n", link(url)));
                    }
                }
                for command in next {
                    self.summary
                        .push_str(&format!("- next: `{}`\n", plain(command).replace('`', "'")));
                }
                self.human.event(time, event);
                self.keep_summary();
            }
            _ => self.human.event(time, event),
        }
    }

    fn failure(&mut self, _: Timestamp, failure: &Failure) {
        match &failure.message {
            Message::Report(error) => self.annotate("taskctl", error, &[]),
            Message::At(error, place) => {
                let (line, column) = (place.line.to_string(), place.column.to_string());
                let place = [("file", place.file.as_str()), ("line", &line), ("col", &column)];
                self.annotate("taskctl", error, &place);
            }
            Message::Cancelled => self.out.text(&format!("{CANCELLED}\n")),
            Message::Faults(faults) => {
                self.close();
                for fault in faults.list() {
                    let name = match fault.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    };
                    let place = faults.place(fault);
                    let mut parts = place.rsplitn(3, ':');
                    let where_at = match (parts.next(), parts.next(), parts.next()) {
                        (Some(column), Some(line), Some(file)) => vec![("file", file), ("line", line), ("col", column)],
                        _ => vec![("file", place.as_str())],
                    };
                    let mut text = vec![fault.message.clone()];
                    text.extend(fault.help.iter().cloned());
                    self.out.command(&command(name, &where_at, &text.join("\n")));
                }
                self.summary
                    .push_str(&format!("❌ {}\n\n", markdown(&faults.to_string())));
            }
        }
        self.keep_summary();
    }

    fn data(&mut self, text: &str) {
        self.close();
        self.out.text(text);
    }

    fn annotation(&mut self, title: &str, message: &str) {
        self.close();
        self.out.command(&command("error", &[("title", title)], message));
    }

    fn rest(&mut self) {
        self.close();
        self.keep_summary();
    }
}

/// A plan whose marks are the first characters of their lines, where GitHub colors them: `+`, `-`, and `!` for a change.
fn marked_in_front(plan: &str) -> String {
    let line = |line: &str| {
        let rest = line.trim_start_matches(' ');
        let indent = &line[..line.len() - rest.len()];
        let mark = match rest.split_once(' ') {
            Some(("+", _)) => "+",
            Some(("-", _)) => "-",
            Some(("~" | "±", _)) => "!",
            Some(_) | None => return format!("{line}\n"),
        };
        let rest = rest.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
        format!("{mark}{indent} {rest}\n")
    };
    plan.lines().map(line).collect()
}

/// Text in Markdown, on one line and without its marks. <https://spec.commonmark.org/0.31.2/#backslash-escapes>
fn markdown(text: &str) -> String {
    let mut out = String::new();
    for character in plain(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            // A mention would notify.
            '@' => out.push_str("@\u{2060}"),
            '`' => out.push('\''),
            '\\' | '[' | ']' | '!' | '|' | '>' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

/// A URL between angle brackets.
fn link(url: &str) -> String {
    plain(url).replace(['<', '>', ' '], "")
}
