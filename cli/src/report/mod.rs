//! Reporters: what happened, shown to people, programs and CI. Events come in from any thread and never wait; one thread
//! of their own renders them in order.

mod change;
pub mod command_hint;
pub mod direct;
mod github;
mod human;
mod json;
mod messages;
pub mod plan;
mod statement;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use parking_lot::Mutex;
use taskctl_stack::aws::client::cancel::Cancel;
use taskctl_stack::event::{Event, EventSink, Events};
use taskctl_stack::plan::Action;

use crate::failure::{Failure, Message as Said};
use crate::ui::guard::Out;
use crate::ui::progress::TICK;

pub use command_hint::CommandHint;
pub use github::Github;
pub use human::{Human, StderrSink, Trace};
pub use json::{Json, Line, Lines, answer as json_answer};
pub use messages::{Purpose, failure_text, where_to};

/// Renders events, one after the other.
pub trait Renderer: Send {
    fn event(&mut self, time: Timestamp, event: &Event);
    /// The error that ends the command.
    fn failure(&mut self, time: Timestamp, failure: &Failure);
    /// Data that the command answers with, whole lines.
    fn data(&mut self, text: &str);
    /// A screen that is drawn over the one before.
    fn screen(&mut self, _: &Screen) {}
    /// A message shown beside a change in its review.
    fn annotation(&mut self, _title: &str, _message: &str) {}
    /// Nothing more comes for now: what is drawn is taken away, what is kept is written.
    fn rest(&mut self);
    /// Time has passed: what moves by itself is drawn anew.
    fn tick(&mut self) {}
    /// Whether something moves by itself.
    fn moves(&self) -> bool {
        false
    }
}

/// A screen of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Screen {
    /// What was there before is put away.
    Enter,
    /// These lines, from the top.
    Show(Vec<String>),
    /// What was there before comes back.
    Leave,
}

enum Message {
    Event(Timestamp, Box<Event>),
    Failure(Timestamp, Box<Failure>),
    Data(String),
    Screen(Screen),
    Annotation(String, String),
    Rest(SyncSender<()>),
}

/// Takes events from all sides and has them rendered.
pub struct Reporter {
    sink: Arc<Sink>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Sink {
    sender: Mutex<Option<Sender<Message>>>,
    command_hint: CommandHint,
}

impl Sink {
    fn send(&self, message: Message) {
        let sender = self.sender.lock();
        if let Some(sender) = sender.as_ref() {
            let _ = sender.send(message);
        }
    }
}

impl EventSink for Sink {
    fn emit(&self, event: Event) {
        let event = completed(event, &self.command_hint);
        self.send(Message::Event(Timestamp::now(), Box::new(event)));
    }
}

impl Reporter {
    /// Starts a renderer. Command lines in messages are about the stack of this run.
    pub fn start(renderer: Box<dyn Renderer>, command_hint: CommandHint) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || render(renderer, &receiver));
        let sink = Arc::new(Sink {
            sender: Mutex::new(Some(sender)),
            command_hint,
        });
        Self {
            sink,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Where the engine's events go.
    pub fn events(&self) -> Events {
        self.sink.clone()
    }

    /// Reports an event.
    pub fn emit(&self, event: Event) {
        self.sink.emit(event);
    }

    /// Reports the error that ends the command.
    pub fn fail(&self, failure: Failure) {
        let failure = completed_failure(failure, &self.sink.command_hint);
        self.sink.send(Message::Failure(Timestamp::now(), Box::new(failure)));
    }

    /// Answers with data.
    pub fn answer(&self, text: impl Into<String>) {
        self.sink.send(Message::Data(text.into()));
    }

    /// Draws a screen.
    pub fn draw(&self, screen: Screen) {
        self.sink.send(Message::Screen(screen));
    }

    /// Annotates, where the output knows annotations.
    pub fn annotate(&self, title: impl Into<String>, message: impl Into<String>) {
        self.sink.send(Message::Annotation(title.into(), message.into()));
    }

    /// Waits until everything reported so far is shown and nothing is being drawn.
    pub fn rest(&self) {
        let (done, wait) = sync_channel(1);
        self.sink.send(Message::Rest(done));
        let _ = wait.recv();
    }

    /// Shows what is left and ends.
    pub fn finish(&self) {
        self.rest();
        self.sink.sender.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// A failure whose advice names the stack of this run.
fn completed_failure(mut failure: Failure, command_hint: &CommandHint) -> Failure {
    if let Said::Report(report) | Said::At(report, _) = &mut failure.message {
        report.hint = report.hint.as_deref().map(|hint| command_hint.complete(hint));
    }
    failure
}

/// An event whose advice names the stack of this run: the engine knows commands, and not how it was reached.
fn completed(mut event: Event, command_hint: &CommandHint) -> Event {
    match &mut event {
        Event::ActionFailed { error, .. } => {
            error.hint = error.hint.as_deref().map(|hint| command_hint.complete(hint));
        }
        Event::ActionKept { reason, .. } => *reason = command_hint.complete(reason),
        Event::Note { message } | Event::Warning { message } => *message = command_hint.complete(message),
        Event::Planned { plan } => {
            for step in &mut plan.steps {
                if let Action::Keep { reason } = &mut step.action {
                    *reason = command_hint.complete(&reason.to_string()).into();
                }
            }
        }
        _ => {}
    }
    event
}

fn render(mut renderer: Box<dyn Renderer>, messages: &Receiver<Message>) {
    loop {
        let message = match renderer.moves() {
            true => messages.recv_timeout(TICK),
            false => messages.recv().map_err(RecvTimeoutError::from),
        };
        let message = match message {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                renderer.tick();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match message {
            Message::Event(time, event) => renderer.event(time, &event),
            Message::Failure(time, failure) => renderer.failure(time, &failure),
            Message::Data(text) => renderer.data(&text),
            Message::Screen(screen) => renderer.screen(&screen),
            Message::Annotation(title, message) => renderer.annotation(&title, &message),
            Message::Rest(done) => {
                renderer.rest();
                let _ = done.send(());
            }
        }
    }
    renderer.rest();
}

/// Standard output that remembers when something could not be written: a full disk is an error, a reader that went away is
/// not. Work that is done for the reader alone ends with either.
#[derive(Clone, Default)]
pub struct PipeAwareStdout {
    lost: Arc<Mutex<Option<String>>>,
    is_unread: Arc<AtomicBool>,
    ends: Arc<Mutex<Option<Cancel>>>,
}

impl PipeAwareStdout {
    /// Why something was not written.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().clone()
    }

    /// Whether the reader went away.
    pub fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Ends the work when nothing can be written any more.
    pub fn end_when_unread(&self, cancel: Cancel) {
        *self.ends.lock() = Some(cancel);
    }

    fn keep<T>(&self, result: std::io::Result<T>) -> std::io::Result<T> {
        let Err(error) = &result else { return result };
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            self.is_unread.store(true, Ordering::Relaxed);
        } else {
            let mut lost = self.lost.lock();
            lost.get_or_insert_with(|| error.to_string());
        }
        if let Some(cancel) = &*self.ends.lock() {
            cancel.cancel();
        }
        result
    }
}

impl Write for PipeAwareStdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = std::io::stdout().lock().write(bytes);
        self.keep(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = std::io::stdout().lock().flush();
        self.keep(flushed)
    }
}

/// Writes JSON. A reader that went away is no error: the work goes on, unseen.
fn write(out: &mut Out, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests;
