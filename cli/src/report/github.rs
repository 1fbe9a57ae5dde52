//! The reporter for GitHub Actions: lines in groups, errors and warnings as annotations, a summary of the job.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use taskctl_stack::event::{ErrorReport, Event, Outcome};
use taskctl_stack::plan::Plan;
use taskctl_stack::template::Severity;

use super::human::{Human, Talk, Trace};
use super::plan::{Details, render, summary};
use super::story::{Again, Memory, Purpose, endpoint_rows};
use super::text::plain;
use super::{Out, Renderer, write};
use crate::failure::{Failure, Told};
use crate::look::Look;

/// Writes for GitHub Actions.
pub struct Github {
    out: Out,
    human: Human,
    memory: Memory,
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
    pub fn new(outs: Outs<'_>, summary_path: Option<PathBuf>, again: Again, details: Details, trace: Trace) -> Self {
        let guarded = || -> Out { Box::new(Guarded(outs())) };
        let human = Human::new(
            (guarded(), Look::PLAIN),
            (Talk::Lines(guarded()), Look::PLAIN),
            Purpose::Change,
            again,
            details,
            trace,
        );
        Self {
            out: outs(),
            human,
            memory: Memory::default(),
            summary_path,
            summary: String::new(),
            group: Group::Closed,
        }
    }

    fn say(&mut self, line: &str) {
        write(&mut self.out, &format!("{line}\n"));
    }

    fn open(&mut self, title: &str) {
        self.close();
        self.say(&format!("::group::{}", data(title)));
        self.group = Group::Open;
    }

    fn close(&mut self) {
        if self.group == Group::Open {
            self.say("::endgroup::");
            self.group = Group::Closed;
        }
    }

    fn planned(&mut self, plan: &Plan) {
        self.close();
        let text = render(plan, &Look::PLAIN, Details::Changes);
        let short = summary(plan, &Look::PLAIN);
        if plan.has_changes() {
            self.open("Plan");
            write(&mut self.out, &harmless(&text));
            self.close();
        }
        self.say(&short);
        self.summary.push_str(&format!("**{short}**\n\n"));
        if plan.has_changes() {
            let fenced = text.replace("```", "'''");
            self.summary.push_str(&format!(
                "<details><summary>Plan</summary>\n\n```diff\n{fenced}```\n\n</details>\n\n"
            ));
        }
    }

    fn annotate(&mut self, title: &str, error: &ErrorReport) {
        self.close();
        let mut text = vec![plain(&error.message)];
        text.extend(error.causes.iter().map(|cause| format!("why: {}", plain(cause))));
        text.extend(error.hint.iter().map(|hint| format!("do: {}", plain(hint))));
        let text = text.join("\n");
        self.say(&format!("::error title={}::{}", property(title), data(&text)));
        self.summary.push_str(&format!(
            "❌ {}: {}\n\n",
            markdown(title),
            markdown(&plain(&error.message))
        ));
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
        self.memory.notice(event);
        match event {
            Event::Started {
                command,
                app,
                stage,
                region,
                ..
            } => {
                self.summary
                    .push_str(&format!("### taskctl {command}: {app}/{stage} in {region}\n\n"));
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
                self.annotate(&id.to_string(), error);
            }
            Event::Warning { message } => self.say(&format!("::warning::{}", data(message))),
            Event::Finished {
                outcome,
                millis,
                calls,
                endpoints,
            } => {
                self.close();
                let mark = match outcome {
                    Outcome::NoChanges | Outcome::Done => "✅",
                    Outcome::Changes => "📋",
                    Outcome::Failed | Outcome::Interrupted => "❌",
                };
                let ending = self.memory.ending(*outcome, *millis, *calls, &Look::PLAIN);
                self.summary.push_str(&format!("{mark} {ending}\n\n"));
                if matches!(outcome, Outcome::NoChanges | Outcome::Done) {
                    for (slot, url) in endpoint_rows(endpoints) {
                        self.summary.push_str(&format!("- {slot}: <{url}>\n"));
                    }
                }
                self.human.event(time, event);
                self.keep_summary();
            }
            _ => self.human.event(time, event),
        }
    }

    fn failure(&mut self, _: Timestamp, failure: &Failure) {
        match &failure.told {
            Told::Report(error) => self.annotate("taskctl", error),
            Told::Faults(faults) => {
                self.close();
                for fault in faults.list() {
                    let command = match fault.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    };
                    let place = faults.place(fault);
                    let mut parts = place.rsplitn(3, ':');
                    let where_at = match (parts.next(), parts.next(), parts.next()) {
                        (Some(column), Some(line), Some(file)) => {
                            format!(
                                "file={},line={},col={}",
                                property(file),
                                property(line),
                                property(column)
                            )
                        }
                        _ => format!("file={}", property(&place)),
                    };
                    let mut text = vec![fault.message.clone()];
                    text.extend(fault.help.iter().cloned());
                    self.say(&format!("::{command} {where_at}::{}", data(&text.join("\n"))));
                }
                self.summary
                    .push_str(&format!("❌ {}\n\n", markdown(&faults.to_string())));
            }
        }
        self.keep_summary();
    }

    fn data(&mut self, text: &str) {
        self.close();
        write(&mut self.out, &harmless(text));
    }

    fn rest(&mut self) {
        self.close();
        self.keep_summary();
    }
}

/// An output whose lines are never taken for workflow commands.
struct Guarded(Out);

impl std::io::Write for Guarded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(harmless(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Lines of which none begins a workflow command. Whole lines only.
fn harmless(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.trim_start().strip_prefix("::") {
            Some(rest) => format!(": :{rest}"),
            None => line.to_owned(),
        })
        .collect()
}

/// The value of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text in Markdown, without its marks.
fn markdown(text: &str) -> String {
    plain(text).replace('<', "&lt;").replace('|', "\\|").replace('`', "'")
}
