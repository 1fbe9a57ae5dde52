//! `logs --follow`: what is new, until the command is stopped.

use std::convert::Infallible;
use std::time::Duration;

use taskctl_stack::aws::client::error::{AwsError, ErrorKind};
use taskctl_stack::aws::release::sight::Sight;
use taskctl_stack::engine::{Engine, EngineError};
use taskctl_stack::event::Event;
use taskctl_stack::observe::live_tail::{LiveTail, Sent};
use taskctl_stack::observe::logs::{CloudWatchLogs, Group, LogEvent, Tail, Window, read};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Chosen, Count, Form, Format, Selection, Shown, Slot, Wanted, ended};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Interval of polling.
const EVERY: Duration = Duration::from_secs(1);
/// Interval of polling during Live Tail.
const LIVE_EVERY: Duration = Duration::from_secs(5);
/// Interval of polling for new functions.
const GROUPS_EVERY: Duration = Duration::from_secs(30);
/// Interval of polling for the release in a slot: six calls of the ten a second that API Gateway's control plane allows an account.
const SLOT_EVERY: Duration = Duration::from_secs(10);
/// A session of Live Tail that lasted so long may be begun again.
const LIVE_AT_LEAST: Duration = Duration::from_secs(60);

/// Events being read.
type Reading = JoinHandle<Result<Vec<LogEvent>, AwsError>>;

/// A session of Live Tail.
struct Live {
    tail: LiveTail,
    began: Instant,
}

/// What is followed, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub selection: Selection,
    /// Only the release in this slot, whichever that is.
    pub slot: Option<Slot>,
    /// By Live Tail, as far as that is possible.
    pub live: bool,
    /// Lines of what is there already; all when none.
    pub lines: Option<usize>,
}

/// What is followed and shown.
pub struct Following<'a> {
    session: &'a Session,
    source: &'a CloudWatchLogs,
    options: Options,
    groups: Vec<Group>,
    pattern: Option<String>,
    wanted: Wanted,
    shown: Shown,
    tail: Tail,
    count: Count,
    live: Option<Live>,
    /// A read that reaches further back, beside the others, and when it began.
    deep: Option<(i64, Reading)>,
    has_read: bool,
    /// Whether the last read failed.
    is_failing: bool,
    groups_read: Instant,
    /// When the slot was last seen with the release that is shown: for the pace, and as the time of events.
    slot_read: (Instant, i64),
}

impl<'a> Following<'a> {
    pub fn new(
        session: &'a Session,
        source: &'a CloudWatchLogs,
        options: Options,
        (groups, window): (Vec<Group>, Window),
        (wanted, shown): (Wanted, Shown),
    ) -> Self {
        Self {
            session,
            source,
            options,
            groups,
            tail: Tail::from(window.from, window.pattern.clone()),
            pattern: window.pattern,
            wanted,
            shown,
            count: Count::default(),
            live: None,
            deep: None,
            has_read: false,
            is_failing: false,
            groups_read: Instant::now(),
            slot_read: (Instant::now(), now(source)),
        }
    }

    /// Until the command is stopped.
    pub async fn run(mut self) -> Result<Exit, Failure> {
        let Err(end) = self.go_on().await;
        match self.session.cancel.is_cancelled() {
            true => Ok(ended(self.session, &self.count)),
            false => Err(end),
        }
    }

    async fn go_on(&mut self) -> Result<Infallible, Failure> {
        if self.options.live {
            self.live = self.start_live().await?;
        }
        loop {
            let begun = Instant::now();
            self.look_deep().await;
            self.look().await?;
            self.look_at_slot().await?;
            self.look_for_groups().await?;
            self.receive_until(begun).await?;
        }
    }

    fn show(&mut self, events: &[LogEvent]) {
        let text = self.shown.all(events, &self.wanted, self.session, &mut self.count);
        self.session.reporter.answer(text);
    }

    fn note(&self, message: String) {
        self.session.reporter.emit(Event::Note { message });
    }

    /// Shows what the last deep read found, and starts the next one when it is due.
    async fn look_deep(&mut self) {
        if let Some((began, reading)) = self.deep.take_if(|(_, reading)| reading.is_finished()) {
            // One that failed is due again.
            if let Ok(Ok(events)) = reading.await {
                let late = self.tail.looked_deep(began, events);
                self.show(&late);
            }
        }
        let now = now(self.source);
        if self.deep.is_none()
            && let Some(window) = self.tail.deep_window(now)
        {
            let (source, groups) = (CloudWatchLogs::new(self.source.context().clone()), self.groups.clone());
            let reading = tokio::spawn(async move { read(&source, &groups, &window).await });
            self.deep = Some((now, reading));
        }
    }

    /// A failed read is made up for by the next; what can never be read is an error.
    async fn look(&mut self) -> Result<(), Failure> {
        let now = now(self.source);
        let window = self.tail.window(now);
        let reading = read(self.source, &self.groups, &window);
        match self.session.unless_stopped(reading).await? {
            Ok(events) => {
                self.has_read = true;
                if std::mem::take(&mut self.is_failing) {
                    self.note("reading logs works again; no lines were lost".to_owned());
                }
                let mut new = self.tail.looked(now, events);
                if let Some(lines) = self.options.lines.take() {
                    let mut last = new.into();
                    self.shown.last(&mut last, lines, &self.wanted);
                    new = last.into();
                }
                self.show(&new);
            }
            Err(error) if !self.has_read && is_final(error.kind) => return Err(EngineError::from(error).into()),
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    self.session.reporter.emit(Event::Warning {
                        message: format!("reading logs failed: {error}; retrying"),
                    });
                }
            }
        }
        Ok(())
    }

    /// Goes over to the release that is in the slot now, with what it has written since the last look at the slot.
    async fn look_at_slot(&mut self) -> Result<(), Failure> {
        let Some(slot) = self.options.slot else { return Ok(()) };
        if self.slot_read.0.elapsed() < SLOT_EVERY {
            return Ok(());
        }
        let read_at = (Instant::now(), now(self.source));
        let looking = Sight::read(self.source.context());
        // A failure is retried with the next poll.
        let Ok(Sight { facts, .. }) = self.session.unless_stopped(looking).await? else {
            return Ok(());
        };
        let chosen = Chosen::slot(&facts, slot).unwrap_or_default();
        if self.wanted.release.as_ref() != Some(&chosen) {
            let window = Window {
                from: self.slot_read.1,
                to: None,
                pattern: self.pattern.clone(),
            };
            let reading = read(self.source, &self.groups, &window);
            let Ok(mut events) = self.session.unless_stopped(reading).await? else {
                return Ok(());
            };
            let slot = slot.as_str();
            self.note(match chosen.number {
                Some(number) => format!("release {number} is now in {slot}; showing its lines"),
                None => format!("{slot} no longer serves a release"),
            });
            // The others are shown by polling.
            events.retain(|event| !self.wanted.is_of_release(event));
            let before = self.wanted.release.replace(chosen);
            self.wanted.former = before.map(|before| (before, read_at.1));
            self.tail.found(&events);
            self.show(&events);
        }
        self.slot_read = read_at;
        Ok(())
    }

    async fn look_for_groups(&mut self) -> Result<(), Failure> {
        if self.groups_read.elapsed() < GROUPS_EVERY {
            return Ok(());
        }
        self.groups_read = Instant::now();
        let Ok(found) = self
            .session
            .unless_stopped(self.options.selection.groups(self.source))
            .await?
        else {
            return Ok(());
        };
        if found != self.groups {
            self.groups = found;
            if self.live.is_some() {
                self.live = self.start_live().await?;
            }
        }
        Ok(())
    }

    /// Shows what CloudWatch sends until the next poll is due.
    async fn receive_until(&mut self, begun: Instant) -> Result<(), Failure> {
        let next = begun + if self.live.is_some() { LIVE_EVERY } else { EVERY };
        let session = self.session;
        while let Some(live) = &mut self.live {
            let sent = tokio::select! {
                sent = live.tail.next() => sent,
                () = sleep_until(next) => return Ok(()),
                () = session.cancel.cancelled() => return Err(Failure::interrupted()),
            };
            match sent {
                Sent::Events(mut events) => {
                    // What is left out now may be wanted once the slot has another release: polling finds it then.
                    events.retain(|event| self.wanted.is_of_release(event));
                    let new = self.tail.early(events);
                    self.show(&new);
                }
                // It ends after three hours; one that ends at once would end again.
                Sent::Ended(_) if live.began.elapsed() > LIVE_AT_LEAST => self.live = self.start_live().await?,
                Sent::Ended(why) => {
                    self.live = None;
                    self.note(format!("Live Tail ended ({why}); polling every second instead"));
                }
            }
        }
        session.unless_stopped(sleep_until(next)).await
    }

    /// Starts a session of Live Tail, or notes why it is not available.
    async fn start_live(&self) -> Result<Option<Live>, Failure> {
        let starting = LiveTail::start(self.source.context(), &self.groups, self.pattern.as_deref());
        match self.session.unless_stopped(starting).await? {
            Ok(tail) => Ok(Some(Live {
                tail,
                began: Instant::now(),
            })),
            Err(error) => {
                self.note(format!(
                    "Live Tail is not available: {error}; polling every second instead"
                ));
                Ok(None)
            }
        }
    }
}

/// Milliseconds since 1970, as AWS has it: events carry its time.
fn now(source: &CloudWatchLogs) -> i64 {
    source.context().aws_now().as_millisecond()
}

/// Whether a call that ends so ends so again.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::Credentials | ErrorKind::Invalid)
}

/// Shows what all functions log from now on, until the session is stopped.
pub async fn follow_all(session: &Session, engine: &Engine) {
    let source = CloudWatchLogs::new(engine.context().clone());
    let options = Options::default();
    let wanted = Wanted {
        grep: None,
        level: None,
        route: None,
        release: None,
        former: None,
    };
    let groups = options.selection.groups(&source).await.unwrap_or_default();
    let shown = Shown {
        form: Form::Known(Format::Pretty),
        sources: groups.iter().map(|group| group.source.clone()).collect(),
    };
    let window = Window {
        from: now(&source),
        to: None,
        pattern: None,
    };
    let following = Following::new(session, &source, options, (groups, window), (wanted, shown));
    // It ends with the session, and reports itself what it cannot read.
    let _ = following.run().await;
}
