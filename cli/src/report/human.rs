//! The reporter for people: progress on standard error, live on a terminal and in lines elsewhere; the answer on standard
//! output.

mod actions;
mod preparation;
mod release;

use jiff::Timestamp;
use taskctl_stack::event::{Endpoints, Event, Outcome};

use super::command_hint::CommandHint;
use super::messages::{Purpose, RunSummary, endpoint_rows, failure_text, in_preview, where_to};
use super::plan::Details;
use super::{Renderer, Screen};
use crate::exit::Exit;
use crate::failure::{Failure, Message};
use crate::ui::guard::{Guard, Out};
use crate::ui::progress::Live;
use crate::ui::style::{Style, Tone};
use crate::ui::text::{plain, wrap};

/// Whether every AWS call is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    Off,
    Calls,
}

/// Shows events to a person.
pub struct Human {
    out: Guard,
    out_style: Style,
    stderr: GuardedSink,
    style: Style,
    purpose: Purpose,
    command_hint: CommandHint,
    details: Details,
    trace: Trace,
    run: RunSummary,
}

/// Where progress and messages go.
pub enum StderrSink {
    /// Lines, each written once.
    Lines(Out),
    Live(Box<Live>),
}

/// The same, guarded.
enum GuardedSink {
    Lines(Guard),
    Live(Box<Live>),
}

impl Human {
    /// A reporter with answers to `out`, and progress and messages to `stderr`.
    pub fn new(
        out: (Out, Style),
        stderr: (StderrSink, Style),
        purpose: Purpose,
        command_hint: CommandHint,
        details: Details,
        trace: Trace,
    ) -> Self {
        Self {
            out: Guard::new(out.0, &out.1),
            out_style: out.1,
            stderr: match stderr.0 {
                StderrSink::Lines(out) => GuardedSink::Lines(Guard::new(out, &stderr.1)),
                StderrSink::Live(live) => GuardedSink::Live(live),
            },
            style: stderr.1,
            purpose,
            command_hint,
            details,
            trace,
            run: RunSummary::default(),
        }
    }

    /// Takes notice of an event that another renderer shows.
    pub fn notice(&mut self, event: &Event) {
        self.run.notice(event);
    }

    fn say(&mut self, line: &str) {
        match &mut self.stderr {
            GuardedSink::Lines(out) => out.text(&format!("{line}\n")),
            GuardedSink::Live(live) => live.line(line),
        }
    }

    fn say_all(&mut self, lines: &[String]) {
        for line in lines {
            self.say(line);
        }
    }

    fn live(&mut self) -> Option<&mut Live> {
        match &mut self.stderr {
            GuardedSink::Live(live) => Some(live),
            GuardedSink::Lines(_) => None,
        }
    }

    fn finished(&mut self, outcome: Outcome, millis: u64, calls: u64, endpoints: &Endpoints, next: &[String]) {
        self.rest();
        let ending = self.run.ending(outcome, millis, calls, &self.style);
        self.say(&ending);
        if self.purpose == Purpose::Change && matches!(outcome, Outcome::Done | Outcome::NoChanges) {
            for (slot, url) in endpoint_rows(endpoints) {
                let line = format!("{slot:<8} {}\n", self.out_style.paint(Tone::Copy, &plain(url)));
                self.out.text(&line);
            }
        }
        for (index, command) in next.iter().enumerate() {
            self.command_line(if index == 0 { "next: " } else { "      " }, command);
        }
        if outcome == Outcome::Interrupted {
            self.resume();
        }
    }

    /// A command line to copy.
    fn command_line(&mut self, head: &str, command: &str) {
        let (head, command) = (
            self.style.paint(Tone::Faint, head),
            self.style.paint(Tone::Copy, &plain(command)),
        );
        self.say(&format!("{head} {command}"));
    }

    /// What was stopped before its end is resumed by the same command line.
    fn resume(&mut self) {
        let again = self.command_hint.again.clone();
        if self.purpose == Purpose::Change && !again.is_empty() {
            self.command_line("to resume:", &again);
        }
    }

    fn labelled(&mut self, head: &str, tone: Tone, message: &str) {
        let width = self.style.width.saturating_sub(head.len() + 1);
        let lines: Vec<String> = wrap(message, width)
            .into_iter()
            .enumerate()
            .map(|(index, part)| match index {
                0 => format!("{} {part}", self.style.paint(tone, head)),
                _ => format!("{:width$} {part}", "", width = head.len()),
            })
            .collect();
        self.say_all(&lines);
    }
}

impl Renderer for Human {
    fn event(&mut self, time: Timestamp, event: &Event) {
        self.run.notice(event);
        match event {
            Event::Started {
                command,
                app,
                stage,
                region,
                account,
            } => self.started(command, &where_to(app, stage, region, account.as_deref())),
            Event::BuildStarted { command } => self.build_started(command),
            Event::BuildOutput { line } => self.build_output(line),
            Event::BuildFinished { millis } => self.build_finished(*millis),
            Event::Packaged { .. } => {}
            Event::ReadStarted { .. } => self.read_started(),
            Event::ReadFinished { millis, calls } => self.read_finished(*millis, *calls),
            Event::Planned { plan } => self.planned(plan),
            Event::ExecutionStarted { actions } => self.execution_started(*actions),
            Event::ActionStarted { id, verb } => self.action_started(id, *verb),
            Event::Waiting { id, reason } => self.waiting(id, reason),
            Event::Retrying {
                id, operation, reason, ..
            } => self.retrying(time, id.as_ref(), operation, reason),
            Event::ActionFinished { id, verb, millis, .. } => self.action_finished(id, *verb, *millis),
            Event::ActionFailed { id, verb, error } => self.action_failed(id, *verb, error),
            Event::ActionKept { id, reason, .. } => self.action_kept(id, reason),
            Event::ActionSkipped { id, verb, reason } => self.action_skipped(id, *verb, reason),
            Event::Call {
                operation,
                millis,
                outcome,
            } => self.call(operation, *millis, outcome),
            Event::Promoted {
                release,
                color,
                previous,
            } => self.promoted(*release, color, *previous),
            Event::RolledBack { release, color, from } => self.rolled_back(*release, color, *from),
            Event::InPreview { release, color, live } => {
                let text = in_preview(*release, color, *live);
                let text = self.style.paint(Tone::Strong, &text);
                self.say(&text);
            }
            Event::Checked {
                requests, assertions, ..
            } => self.checked(*requests, *assertions),
            Event::Diverted {
                release,
                percent,
                functions,
            } => self.diverted(*release, *percent, functions),
            Event::Baking {
                percent,
                millis,
                of_millis,
                requests,
                errors,
                live_requests,
                live_errors,
                ..
            } => self.baking(
                *percent,
                (*millis, *of_millis),
                (*requests, *errors),
                (*live_requests, *live_errors),
            ),
            Event::Judged {
                release,
                requests,
                errors,
            } => self.judged(*release, *requests, *errors),
            Event::Confirmed {
                release,
                requests,
                tail_millis,
                by,
            } => self.confirmed(*release, *requests, *tail_millis, *by),
            Event::Stopping => self.labelled(
                "stopping:",
                Tone::Warn,
                "waiting for calls in flight; press Ctrl-C again to stop at once",
            ),
            Event::Note { message } => self.labelled("note:", Tone::Faint, message),
            Event::Warning { message } => self.labelled("warning:", Tone::Warn, message),
            Event::Finished {
                outcome,
                millis,
                calls,
                endpoints,
                next,
            } => self.finished(*outcome, *millis, *calls, endpoints, next),
        }
    }

    fn failure(&mut self, _: Timestamp, failure: &Failure) {
        self.rest();
        let text = failure_text(&failure.message, &self.style);
        for line in text.lines() {
            self.say(line);
        }
        if failure.exit == Exit::Interrupted && !matches!(failure.message, Message::Cancelled) {
            self.resume();
        }
    }

    fn data(&mut self, text: &str) {
        if let Some(live) = self.live() {
            live.step_aside();
        }
        self.out.text(text);
    }

    fn screen(&mut self, screen: &Screen) {
        self.rest();
        match screen {
            Screen::Enter => self.out.control("\x1b[?1049h\x1b[?25l"),
            Screen::Show(lines) => {
                self.out.control("\x1b[H");
                for line in lines {
                    self.out.text(line);
                    self.out.control("\x1b[K\r\n");
                }
                self.out.control("\x1b[J");
            }
            Screen::Leave => self.out.control("\x1b[?25h\x1b[?1049l"),
        }
    }

    fn rest(&mut self) {
        if let Some(live) = self.live() {
            live.clear();
        }
    }

    fn tick(&mut self) {
        if let Some(live) = self.live() {
            live.tick();
        }
    }

    fn moves(&self) -> bool {
        matches!(&self.stderr, GuardedSink::Live(live) if live.is_drawing())
    }
}
