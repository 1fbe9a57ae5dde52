//! The reporter for people: talk on standard error, live on a terminal and in lines elsewhere; the answer on standard
//! output.

use jiff::Timestamp;
use taskctl_stack::event::{Endpoints, Event, Outcome};

use super::messages::{
    CommandHint, Purpose, RunSummary, endpoint_rows, failed_lines, failure_text, finished_line, kept_lines, where_to,
};
use super::plan::{Details, render, summary, warnings};
use super::{Renderer, Screen};
use crate::failure::Failure;
use crate::ui::guard::{Guard, Out};
use crate::ui::progress::{Live, doing};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{count, duration, plain, wrap};

/// Whether every AWS call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// No.
    Off,
    /// Yes.
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

/// Where talk goes.
pub enum StderrSink {
    /// Lines, each written once.
    Lines(Out),
    /// A terminal.
    Live(Box<Live>),
}

/// The same, guarded.
enum GuardedSink {
    Lines(Guard),
    Live(Box<Live>),
}

impl Human {
    /// A reporter with answers to `out` and talk to `talk`.
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

    /// Takes notice of an event that somebody else shows.
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

    fn build_output(&mut self, line: &str) {
        let is_progress = PROGRESS_WORDS.iter().any(|word| line.starts_with(word));
        match self.live() {
            Some(live) if is_progress => live.building(line),
            Some(_) | None => self.say(&plain(line)),
        }
    }

    fn planned(&mut self, plan: &taskctl_stack::plan::Plan) {
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

    fn finished(&mut self, outcome: Outcome, millis: u64, calls: u64, endpoints: &Endpoints) {
        self.rest();
        let ending = self.run.ending(outcome, millis, calls, &self.style);
        self.say(&ending);
        if self.purpose == Purpose::Change && matches!(outcome, Outcome::Done | Outcome::NoChanges) {
            for (slot, url) in endpoint_rows(endpoints) {
                let line = format!("{slot:<8} {}\n", self.out_style.paint(Tone::Copy, &plain(url)));
                self.out.text(&line);
            }
        }
        let next = self.run.next_steps(outcome, endpoints, &self.command_hint);
        for (index, command) in next.iter().enumerate() {
            let head = match (index, outcome) {
                (0, Outcome::Failed | Outcome::Interrupted) => "go on: ",
                (0, _) => "next:  ",
                _ => "       ",
            };
            let line = format!(
                "{}{}",
                self.style.paint(Tone::Faint, head),
                self.style.paint(Tone::Copy, &plain(command))
            );
            self.say(&line);
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
            } => {
                let place = where_to(app, stage, region, account.as_deref());
                let line = format!("{} {place}", self.style.paint(Tone::Strong, &plain(command)));
                self.say(&line);
            }
            Event::BuildStarted { command } => match self.live() {
                Some(live) => live.building(command),
                None => self.say(&format!("building: {}", plain(command))),
            },
            Event::BuildOutput { line } => self.build_output(line),
            Event::BuildFinished { millis } => match self.live() {
                Some(live) => live.built(),
                None => self.say(&format!("built in {}", duration(*millis))),
            },
            Event::Packaged { .. } => {}
            Event::ReadStarted { .. } => {
                if let Some(live) = self.live() {
                    live.reading();
                }
            }
            Event::ReadFinished { millis, calls } => match self.live() {
                Some(live) => live.was_read(),
                None => self.say(&format!("read in {}, {}", duration(*millis), count(*calls, "AWS call"))),
            },
            Event::Planned { plan } => self.planned(plan),
            Event::ExecutionStarted { actions } => {
                if let Some(live) = self.live() {
                    live.execution(*actions);
                }
            }
            Event::ActionStarted { id, verb } => {
                if let Some(live) = self.live() {
                    live.begin(id, *verb);
                }
            }
            Event::Waiting { id, reason } => match self.live() {
                Some(live) => live.because(id, &format!("waiting for the {reason}")),
                None => self.say(&format!(
                    "  · waiting  {}: for the {}",
                    plain(&id.to_string()),
                    plain(reason)
                )),
            },
            Event::Retrying {
                id, operation, reason, ..
            } => {
                if self.run.is_worth_telling(time, id.as_ref(), operation) {
                    let text = format!("{operation} again: {reason}");
                    match (self.live(), id) {
                        (Some(live), Some(id)) => live.because(id, &text),
                        _ => {
                            let who = id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
                            let width = self.style.width.saturating_sub(13);
                            self.say(&format!(
                                "  · trying   {}",
                                crate::ui::text::cut(&plain(&format!("{who}{text}")), width)
                            ));
                        }
                    }
                }
            }
            Event::ActionFinished { id, verb, millis, .. } => match self.live() {
                Some(live) => live.end(id),
                None => {
                    let line = finished_line(id, *verb, *millis, &self.style);
                    self.say(&line);
                }
            },
            Event::ActionFailed { id, verb, error } => {
                if let Some(live) = self.live() {
                    live.end(id);
                }
                let lines = failed_lines(id, *verb, error, &self.style);
                self.say_all(&lines);
            }
            Event::ActionKept { id, reason, .. } => {
                if let Some(live) = self.live() {
                    live.end(id);
                }
                let lines = kept_lines(id, reason, &self.style);
                self.say_all(&lines);
            }
            Event::ActionSkipped { id, verb, reason } => match self.live() {
                Some(live) => live.end(id),
                None => self.say(&format!(
                    "  · {} {} not tried: {}",
                    doing(*verb),
                    plain(&id.to_string()),
                    plain(reason)
                )),
            },
            Event::Call {
                operation,
                millis,
                outcome,
            } => {
                if self.trace == Trace::Calls {
                    let line = format!("  {} {} ms {}", plain(operation), millis, plain(outcome));
                    let line = self.style.paint(Tone::Faint, &line);
                    self.say(&line);
                }
            }
            Event::Promoted {
                release,
                color,
                previous,
            } => {
                let before = previous
                    .map(|number| format!(" (before it: release {number})"))
                    .unwrap_or_default();
                self.labelled("live:", Tone::Good, &format!("release {release}, {color}{before}"));
            }
            Event::RolledBack { release, color, from } => {
                let before = from
                    .map(|number| format!(" (it was release {number})"))
                    .unwrap_or_default();
                self.labelled(
                    "live:",
                    Tone::Good,
                    &format!("back to release {release}, {color}{before}"),
                );
            }
            Event::Checked {
                release,
                requests,
                assertions,
            } => {
                let asked = count(u64::try_from(*requests).unwrap_or(u64::MAX), "request");
                self.labelled(
                    "checked:",
                    Tone::Good,
                    &format!(
                        "release {release} answers in preview as it should ({asked}, {})",
                        count(u64::try_from(*assertions).unwrap_or(u64::MAX), "assertion")
                    ),
                );
            }
            Event::Diverted {
                release,
                percent,
                functions,
            } => {
                self.labelled(
                    "canary:",
                    Tone::Good,
                    &format!("release {release} takes {percent} % of {}", functions.join(", ")),
                );
            }
            Event::Judged {
                release,
                requests,
                errors,
            } => {
                self.labelled(
                    "judged:",
                    Tone::Good,
                    &format!(
                        "release {release} does as well as what was: {}, {}",
                        count(*requests, "request"),
                        count(*errors, "error")
                    ),
                );
            }
            Event::Confirmed {
                release,
                requests,
                tail_millis,
            } => {
                let asked = count(u64::from(*requests), "request");
                let tail = match tail_millis {
                    0 => String::new(),
                    millis => format!(", the last other answer {} after the switch", duration(*millis)),
                };
                self.labelled(
                    "confirmed:",
                    Tone::Good,
                    &format!("live answers as release {release} ({asked}{tail})"),
                );
            }
            Event::Stopping => self.labelled(
                "stopping:",
                Tone::Warn,
                "calls in flight are finished first; Ctrl-C once more stops at once",
            ),
            Event::Note { message } => self.labelled("note:", Tone::Faint, message),
            Event::Warning { message } => self.labelled("warning:", Tone::Warn, message),
            Event::Finished {
                outcome,
                millis,
                calls,
                endpoints,
            } => self.finished(*outcome, *millis, *calls, endpoints),
        }
    }

    fn failure(&mut self, _: Timestamp, failure: &Failure) {
        self.rest();
        let text = failure_text(&failure.message, &self.style);
        for line in text.lines() {
            self.say(line);
        }
    }

    fn data(&mut self, text: &str) {
        self.rest();
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
}
