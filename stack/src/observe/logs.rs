//! Log events of several groups as one sequence. Nothing is lost and nothing is shown twice: windows overlap, and what was seen
//! is known by its event id.
//!
//! CloudWatch Logs pages by time of the event, may answer an empty page with a token, and may make an event visible after
//! later ones: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::found;
use crate::aws::client::op::op;
use crate::aws::client::pages::Cursor;
use crate::aws::kinds::logs;
use crate::aws::read::reader::Reader;
use crate::aws::registry;

/// A group and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Logical name of the function, or `api` for the access log.
    pub source: String,
    /// Name of the group.
    pub name: String,
}

/// Source of the access log's events.
pub const API: &str = "api";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEvent {
    /// Its id.
    pub id: String,
    /// Logical name of the function, or `api`.
    pub source: String,
    /// Stream.
    pub stream: String,
    /// When it happened, ms since 1970.
    pub timestamp: i64,
    /// The text.
    pub message: String,
}

impl LogEvent {
    /// The function version that wrote it, from the stream's name: `2026/11/21/[17]…`.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html>
    pub fn version(&self) -> Option<&str> {
        let (_, rest) = self.stream.split_once('[')?;
        rest.split_once(']').map(|(version, _)| version)
    }

    /// By time; of one millisecond the lines of a stream stay together, such as those of a panic. Sorting keeps the order in which
    /// CloudWatch returned them, that of ingestion: an id says nothing about it.
    fn order(&self) -> (i64, &str, &str) {
        (self.timestamp, &self.source, &self.stream)
    }
}

/// A page of a group.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Its events.
    pub events: Vec<LogEvent>,
    /// Where the next one begins; none after the last.
    pub next: Option<String>,
}

/// What is asked of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Begin, ms since 1970.
    pub from: i64,
    /// End, ms since 1970; none = now.
    pub to: Option<i64>,
    /// CloudWatch filter pattern.
    pub pattern: Option<String>,
}

/// Where events come from.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// One page of a group. A group that does not exist has no events.
    async fn page(&self, group: &Group, window: &Window, token: Option<String>) -> Result<Page, AwsError>;
}

/// CloudWatch Logs.
pub struct CloudWatchLogs {
    context: Context,
}

impl CloudWatchLogs {
    /// Of a context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// The groups of a stack's functions and of its API's access log.
    pub async fn groups(&self) -> Result<Vec<Group>, AwsError> {
        let reader = Reader::new(self.context.clone());
        let found = registry().kind(logs::group::KIND).enumerate(&reader).await?;
        let prefix = self.context.identity().names().access_log_prefix();
        let groups = found.into_iter().filter_map(|one| {
            let name = one.outputs.get("name")?.clone();
            let source = if name.starts_with(&prefix) {
                API.to_owned()
            } else {
                one.id.name
            };
            Some(Group { source, name })
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort();
        Ok(groups)
    }

    /// How AWS is called.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

#[async_trait]
impl LogSource for CloudWatchLogs {
    async fn page(&self, group: &Group, window: &Window, token: Option<String>) -> Result<Page, AwsError> {
        let client = &self.context.clients().logs;
        let answer = self
            .context
            .call(op("logs", "FilterLogEvents"), || {
                client
                    .filter_log_events()
                    .log_group_name(&group.name)
                    .start_time(window.from)
                    .set_end_time(window.to)
                    .set_filter_pattern(window.pattern.clone())
                    .set_next_token(token.clone())
                    .send()
            })
            .await;
        let Some(answer) = found(answer)? else {
            return Ok(Page::default());
        };
        let events = answer.events.unwrap_or_default().into_iter().map(|event| LogEvent {
            id: event.event_id.unwrap_or_default(),
            source: group.source.clone(),
            stream: event.log_stream_name.unwrap_or_default(),
            timestamp: event.timestamp.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        });
        Ok(Page {
            events: events.collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }
}

/// Groups read at the same time; CloudWatch allows five `FilterLogEvents` a second, which pacing keeps.
const SIDE_BY_SIDE: usize = 8;

/// Most pages in a row that have no event: AWS gives up searching for a moment and answers an empty page, with the same token or
/// another, which over a large group it may do for minutes. At five pages a second these are more than half an hour.
const EMPTY_PAGES: usize = 10_000;

/// A group that is being read.
struct Lane {
    group: Group,
    /// What is read and not handed on, in order.
    events: VecDeque<LogEvent>,
    /// Where the next page begins.
    cursor: Cursor<Option<String>>,
    has_ended: bool,
    /// Ids of the last page: what ends one page may begin the next.
    last: HashSet<String>,
    /// Events of the largest page.
    page: usize,
}

impl Lane {
    fn of(group: &Group) -> Self {
        Self {
            group: group.clone(),
            events: VecDeque::new(),
            cursor: Cursor::first(EMPTY_PAGES),
            has_ended: false,
            last: HashSet::new(),
            page: 0,
        }
    }

    /// Reads until there is an event, or none is left. Pages may be empty.
    async fn fill(mut self, source: &dyn LogSource, window: &Window) -> Result<Self, AwsError> {
        let before = self.events.len();
        while !self.has_ended && self.events.len() == before {
            let page = source.page(&self.group, window, self.cursor.token().clone()).await?;
            match page.next {
                Some(next) => self.cursor.follow(Some(next))?,
                None => self.has_ended = true,
            }
            let ids = page.events.iter().map(|event| event.id.clone()).collect();
            let mut new = page.events;
            new.retain(|event| !self.last.contains(&event.id));
            new.sort_by(|a, b| a.order().cmp(&b.order()));
            if !new.is_empty() {
                self.last = ids;
                self.cursor.was_fruitful();
            }
            self.page = self.page.max(new.len());
            self.events.extend(new);
        }
        Ok(self)
    }
}

/// The events of groups in a window, merged by time and handed on as they are read; each once. What is kept in memory are two
/// pages a group.
pub fn stream<'a>(
    source: &'a dyn LogSource,
    groups: &[Group],
    window: &'a Window,
) -> impl Stream<Item = Result<Vec<LogEvent>, AwsError>> + Send + 'a {
    let lanes: Vec<Lane> = groups.iter().map(Lane::of).collect();
    stream::try_unfold(lanes, move |lanes| async move {
        // When one lane is empty, all that are not full are read on, so that none waits for another.
        let (short, mut lanes): (Vec<Lane>, Vec<Lane>) = lanes
            .into_iter()
            .partition(|lane| !lane.has_ended && (lane.events.is_empty() || lane.events.len() < lane.page));
        let filled: Vec<Lane> = stream::iter(short)
            .map(|lane| lane.fill(source, window))
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        lanes.extend(filled);
        let mut merged = Vec::new();
        // What the next page of a lane holds is not known before it is read.
        while lanes.iter().all(|lane| lane.has_ended || !lane.events.is_empty()) {
            let heads = lanes.iter_mut().filter(|lane| !lane.events.is_empty());
            let first = heads.min_by(|a, b| {
                a.events
                    .front()
                    .map(LogEvent::order)
                    .cmp(&b.events.front().map(LogEvent::order))
            });
            match first.and_then(|lane| lane.events.pop_front()) {
                Some(event) => merged.push(event),
                None => break,
            }
        }
        Ok((!merged.is_empty()).then_some((merged, lanes)))
    })
}

/// All events of groups in a window, in the order of their time; each once.
pub async fn read(source: &dyn LogSource, groups: &[Group], window: &Window) -> Result<Vec<LogEvent>, AwsError> {
    let pages: Vec<Vec<LogEvent>> = stream(source, groups, window).try_collect().await?;
    let mut events: Vec<LogEvent> = pages.into_iter().flatten().collect();
    events.sort_by(|a, b| a.order().cmp(&b.order()));
    let mut ids = HashSet::new();
    events.retain(|event| ids.insert(event.id.clone()));
    Ok(events)
}

/// Follows groups. Each look reaches back over the last seconds again, some farther, and a deep one now and then over minutes,
/// for what became visible late; a look that fails is made up for by the next one, which begins where the last good one did.
/// Where many events come, looks reach back as far as events have been late, and the others are rarer: the same events would be
/// read two dozen times.
#[derive(Debug)]
pub struct Tail {
    pattern: Option<String>,
    /// When the last good look was, ms.
    good: i64,
    /// When the last good wide look was, ms.
    wide: i64,
    /// When the last good deep look was, ms.
    deep: i64,
    begin: i64,
    /// Ids of what was shown, with their times.
    seen: BTreeMap<(i64, String), ()>,
    /// Of each text of a stream: how much more often it came early than by looking. Empty unless something comes early.
    early: BTreeMap<(i64, String, String), i64>,
    /// Whether events come early, too.
    has_early: bool,
    /// New events a second, of late.
    rate: i64,
    /// How long after a look that should have found them events have become visible, ms; forgotten bit by bit.
    late: i64,
}

/// New events a second from which on reading them again and again takes too many pages.
const BUSY: i64 = 100;

/// How far each look reaches back.
const OVERLAP: Duration = Duration::from_secs(8);
/// How far a wide look reaches back.
const WIDE_OVERLAP: Duration = Duration::from_secs(30);
/// Shortest that it is where many events come.
const SHORTEST_OVERLAP: Duration = Duration::from_secs(2);
/// Time between wide looks.
const WIDE_EVERY: Duration = Duration::from_secs(5);
/// The same, where many events come.
const WIDE_EVERY_BUSY: Duration = Duration::from_secs(30);
/// How far a deep look reaches back.
const DEEP_OVERLAP: Duration = Duration::from_secs(300);
/// Time between deep looks.
const DEEP_EVERY: Duration = Duration::from_secs(30);
/// The same, where many events come.
const DEEP_EVERY_BUSY: Duration = Duration::from_secs(300);

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Tail {
    /// Follows from a time on, ms since 1970.
    pub fn from(begin: i64, pattern: Option<String>) -> Self {
        Self {
            pattern,
            good: begin,
            wide: begin,
            deep: begin,
            begin,
            seen: BTreeMap::new(),
            early: BTreeMap::new(),
            has_early: false,
            rate: 0,
            late: 0,
        }
    }

    fn is_busy(&self) -> bool {
        self.rate >= BUSY
    }

    /// How far a look reaches back.
    fn overlap(&self) -> Duration {
        if !self.is_busy() {
            return OVERLAP;
        }
        let enough = u64::try_from(self.late + self.late / 4 + 1_000).unwrap_or_default();
        Duration::from_millis(enough).clamp(SHORTEST_OVERLAP, OVERLAP)
    }

    /// Learns how many events come and how late, from the new ones of a look at `now` that followed one at `before`.
    fn learn(&mut self, before: i64, now: i64, new: &[LogEvent]) {
        let seconds = ((now - before) / 1_000).max(1);
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        self.rate = (self.rate * 3 + count / seconds) / 4;
        let oldest = new.iter().map(|event| event.timestamp).min();
        let late = oldest.map_or(0, |oldest| (before - oldest).clamp(0, millis(OVERLAP)));
        self.late = late.max(self.late - self.late / 16);
    }

    /// Events that came early, without ids: those that have not been shown. The looks that find them later leave them out.
    pub fn early(&mut self, events: Vec<LogEvent>) -> Vec<LogEvent> {
        self.has_early = true;
        let mut new = events;
        new.retain(|event| {
            let more = self.early.entry(text_of(event)).or_default();
            *more += 1;
            *more > 0
        });
        new
    }

    /// What a look at `now` reads.
    pub fn window(&self, now: i64) -> Window {
        match self.is_wide(now) {
            true => self.back(self.wide, WIDE_OVERLAP, None),
            false => self.back(self.good, self.overlap(), None),
        }
    }

    fn is_wide(&self, now: i64) -> bool {
        let every = if self.is_busy() { WIDE_EVERY_BUSY } else { WIDE_EVERY };
        now - self.wide >= millis(every)
    }

    /// What a deep look at `now` reads beside, when one is due. It takes longer than a look, so it runs beside the looks.
    pub fn deep_window(&self, now: i64) -> Option<Window> {
        let every = if self.is_busy() { DEEP_EVERY_BUSY } else { DEEP_EVERY };
        let is_due = now - self.deep >= millis(every);
        is_due.then(|| self.back(self.deep, DEEP_OVERLAP, Some(now - millis(WIDE_OVERLAP))))
    }

    fn back(&self, good: i64, overlap: Duration, to: Option<i64>) -> Window {
        let from = (good - millis(overlap)).max(self.begin);
        Window {
            from,
            to: to.map(|to| to.max(from + 1)),
            pattern: self.pattern.clone(),
        }
    }

    /// What a look that began at `now`, ms since 1970, found and has not been shown.
    pub fn looked(&mut self, now: i64, events: Vec<LogEvent>) -> Vec<LogEvent> {
        if self.is_wide(now) {
            self.wide = now;
        }
        let before = std::mem::replace(&mut self.good, now);
        let new = self.new_of(events);
        self.learn(before, now, &new);
        // What no look reaches any more need not be known.
        let oldest = (self.deep.min(now) - 2 * millis(DEEP_OVERLAP)).max(self.begin);
        self.seen = self.seen.split_off(&(oldest, String::new()));
        self.early = self.early.split_off(&(oldest, String::new(), String::new()));
        new
    }

    /// What a deep look that began at `now` found and has not been shown.
    pub fn looked_deep(&mut self, now: i64, events: Vec<LogEvent>) -> Vec<LogEvent> {
        self.deep = now;
        self.new_of(events)
    }

    /// Events that were found in another way, and are shown whether or not a look has found them: no later one does.
    pub fn found(&mut self, events: &[LogEvent]) {
        let known = events.iter().map(|event| ((event.timestamp, event.id.clone()), ()));
        self.seen.extend(known);
    }

    fn new_of(&mut self, events: Vec<LogEvent>) -> Vec<LogEvent> {
        let mut new = events;
        new.retain(|event| self.seen.insert((event.timestamp, event.id.clone()), ()).is_none());
        if self.has_early {
            new.retain(|event| {
                let more = self.early.entry(text_of(event)).or_default();
                *more -= 1;
                *more < 0
            });
        }
        new
    }
}

/// What identifies an event without an id.
fn text_of(event: &LogEvent) -> (i64, String, String) {
    (
        event.timestamp,
        event.stream.clone(),
        event.message.trim_end().to_owned(),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::aws::client::error::ErrorKind;

    /// CloudWatch's rules: pages of so many events, empty pages in between, events that show late, and refusals.
    struct Fake {
        /// Event and when it becomes visible.
        events: Vec<(LogEvent, i64)>,
        now: Mutex<i64>,
        page: usize,
        refuses: bool,
    }

    #[async_trait]
    impl LogSource for Fake {
        async fn page(&self, group: &Group, window: &Window, token: Option<String>) -> Result<Page, AwsError> {
            let now = *self.now.lock().unwrap();
            if self.refuses && (now / 10_000) % 4 == 1 {
                return Err(AwsError::own(
                    "logs",
                    "FilterLogEvents",
                    ErrorKind::Throttled,
                    "Rate exceeded".to_owned(),
                ));
            }
            let visible: Vec<&LogEvent> = self
                .events
                .iter()
                .filter(|(event, shows)| event.source == group.source && *shows <= now)
                .map(|(event, _)| event)
                .filter(|event| event.timestamp >= window.from && window.to.is_none_or(|to| event.timestamp < to))
                .collect();
            let (at, emptied): (usize, bool) = match token.as_deref() {
                None => (0, false),
                Some(token) => {
                    let (at, emptied) = token.split_once(' ').unwrap();
                    (at.parse().unwrap(), emptied == "empty")
                }
            };
            // Each page is preceded by an empty one, as when AWS gives up searching for a moment.
            if !emptied && at < visible.len() {
                return Ok(Page {
                    events: Vec::new(),
                    next: Some(format!("{at} empty")),
                });
            }
            let end = (at + self.page).min(visible.len());
            Ok(Page {
                events: visible[at.min(end)..end].iter().map(|event| (*event).clone()).collect(),
                next: (end < visible.len()).then(|| format!("{end} next")),
            })
        }
    }

    /// Answers pages without events for ever.
    struct Endless(fn(usize) -> String, Mutex<usize>);

    #[async_trait]
    impl LogSource for Endless {
        async fn page(&self, _: &Group, _: &Window, _: Option<String>) -> Result<Page, AwsError> {
            let mut read = self.1.lock().unwrap();
            *read += 1;
            Ok(Page {
                events: Vec::new(),
                next: Some((self.0)(*read)),
            })
        }
    }

    #[tokio::test]
    async fn a_group_whose_pages_do_not_end_is_an_error() {
        let window = Window {
            from: 0,
            to: None,
            pattern: None,
        };
        let refused = async |token: fn(usize) -> String| {
            let source = Endless(token, Mutex::new(0));
            let error = read(&source, &groups()[..1], &window).await.unwrap_err();
            error.message
        };
        let expected = "a listing did not end after 10000 pages";
        assert_eq!(refused(|_| "again".to_owned()).await, expected);
        assert_eq!(refused(|read| read.to_string()).await, expected);
    }

    fn groups() -> Vec<Group> {
        ["tasks", "users", "counter"]
            .map(|name| Group {
                source: name.to_owned(),
                name: format!("/aws/lambda/{name}"),
            })
            .to_vec()
    }

    /// 20,000 events over five minutes; each hundredth shows 90 s late, the others up to 2 s late.
    fn fake(refuses: bool) -> Fake {
        let events = (0..20_000_i64).map(|number| {
            let groups = groups();
            let timestamp = number * 15;
            let late = if number % 100 == 0 {
                90_000
            } else {
                (number * 7919) % 2_000
            };
            let event = LogEvent {
                id: format!("e{number}"),
                source: groups[usize::try_from(number % 3).unwrap()].source.clone(),
                stream: format!("2026/11/21/[{}]{}", number % 2 + 1, number % 5),
                timestamp,
                message: String::new(),
            };
            (event, timestamp + late)
        });
        Fake {
            events: events.collect(),
            now: Mutex::new(i64::MAX),
            page: 97,
            refuses,
        }
    }

    async fn look(tail: &mut Tail, fake: &Fake, now: i64) -> Result<Vec<LogEvent>, AwsError> {
        let found = read(fake, &groups(), &tail.window(now)).await?;
        let mut new = tail.looked(now, found);
        if let Some(window) = tail.deep_window(now) {
            let found = read(fake, &groups(), &window).await?;
            new.extend(tail.looked_deep(now, found));
        }
        Ok(new)
    }

    #[tokio::test]
    async fn a_window_is_read_whole_and_in_order() {
        let fake = fake(false);
        let window = Window {
            from: 30_000,
            to: Some(60_000),
            pattern: None,
        };
        let events = read(&fake, &groups(), &window).await.unwrap();
        assert_eq!(events.len(), 2_000);
        assert!(events.is_sorted_by_key(|event| event.timestamp));
        assert_eq!(events[0].version(), Some("1"));
        let handed: Vec<Vec<LogEvent>> = stream(&fake, &groups(), &window).try_collect().await.unwrap();
        assert!(handed.len() > 5, "events are handed on as they are read");
        assert_eq!(handed.concat(), events);
    }

    /// Lines of one millisecond, with ids that say nothing: two panics at once, and pages that end amid them.
    #[tokio::test]
    async fn lines_of_one_millisecond_keep_their_order_and_stay_together() {
        let line = |number: usize| {
            let stream = number % 2;
            let event = LogEvent {
                id: format!("{}", (number * 7919) % 1_009),
                source: "tasks".to_owned(),
                stream: format!("2026/11/21/[1]{stream}"),
                timestamp: 1_000,
                message: format!("stream {stream} row {:02}", number / 2),
            };
            (event, 0)
        };
        let fake = Fake {
            events: (0..40).map(line).collect(),
            now: Mutex::new(i64::MAX),
            page: 100,
            refuses: false,
        };
        let window = Window {
            from: 0,
            to: None,
            pattern: None,
        };
        let rows = |events: &[LogEvent]| -> Vec<String> { events.iter().map(|event| event.message.clone()).collect() };
        let read = read(&fake, &groups(), &window).await.unwrap();
        let expected: Vec<String> = (0..2)
            .flat_map(|stream| (0..20).map(move |row| format!("stream {stream} row {row:02}")))
            .collect();
        assert_eq!(rows(&read), expected);
        let handed: Vec<Vec<LogEvent>> = stream(&fake, &groups(), &window).try_collect().await.unwrap();
        assert_eq!(rows(&handed.concat()), expected);
    }

    #[tokio::test]
    async fn following_shows_each_event_once_however_late_and_refused() {
        let fake = fake(true);
        let mut tail = Tail::from(0, None);
        let mut shown = Vec::new();
        let mut failed = 0;
        for now in (0..=500_000).step_by(2_000) {
            *fake.now.lock().unwrap() = now;
            match look(&mut tail, &fake, now).await {
                Ok(events) => shown.extend(events),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Throttled);
                    failed += 1;
                }
            }
        }
        assert!(failed > 10, "{failed} looks were refused");
        let ids: BTreeSet<&str> = shown.iter().map(|event| event.id.as_str()).collect();
        assert_eq!((shown.len(), ids.len()), (20_000, 20_000));
    }

    /// A group that gets an event every so many ms for ever, up to 2 s late; each thousandth shows 20 s late.
    struct Steady {
        every: i64,
        now: Mutex<i64>,
        read: Mutex<usize>,
    }

    #[async_trait]
    impl LogSource for Steady {
        async fn page(&self, group: &Group, window: &Window, _: Option<String>) -> Result<Page, AwsError> {
            let now = *self.now.lock().unwrap();
            let to = window.to.unwrap_or(i64::MAX).min(now + 1);
            let shows = |number: i64| {
                let late = if number % 1_000 == 0 {
                    20_000
                } else {
                    (number * 7919) % 2_000
                };
                number * self.every + late
            };
            let first = (window.from + self.every - 1) / self.every;
            let numbers = (first..).take_while(|number| number * self.every < to);
            let events = numbers.filter(|number| shows(*number) <= now).map(|number| LogEvent {
                id: format!("e{number}"),
                source: group.source.clone(),
                stream: "s".to_owned(),
                timestamp: number * self.every,
                message: String::new(),
            });
            let events: Vec<LogEvent> = events.collect();
            *self.read.lock().unwrap() += events.len();
            Ok(Page { events, next: None })
        }
    }

    /// How many events are read for each that is shown, over a quarter of an hour.
    async fn read_for_each(every: i64) -> usize {
        let source = Steady {
            every,
            now: Mutex::default(),
            read: Mutex::default(),
        };
        let groups = &groups()[..1];
        let mut tail = Tail::from(0, None);
        let mut shown = HashSet::new();
        for now in (0..900_000).step_by(1_000) {
            *source.now.lock().unwrap() = now;
            let found = read(&source, groups, &tail.window(now)).await.unwrap();
            let mut new = tail.looked(now, found);
            if let Some(window) = tail.deep_window(now) {
                let found = read(&source, groups, &window).await.unwrap();
                new.extend(tail.looked_deep(now, found));
            }
            for event in new {
                assert!(shown.insert(event.id.clone()), "{} is shown twice", event.id);
                let seen_after = now - event.timestamp;
                assert!(seen_after < 60_000, "{} is shown after {seen_after} ms", event.id);
            }
        }
        let due = usize::try_from(840_000 / every).unwrap();
        assert!((0..due).all(|number| shown.contains(&format!("e{number}"))));
        let read = *source.read.lock().unwrap();
        read / shown.len()
    }

    #[tokio::test]
    async fn at_volume_events_are_read_a_few_times_and_not_two_dozen() {
        let (few, many) = (read_for_each(100).await, read_for_each(4).await);
        assert!((20..28).contains(&few), "{few}");
        assert!(many <= 9, "{many}");
    }

    #[tokio::test]
    async fn what_came_early_is_not_shown_again() {
        let mut fake = fake(false);
        // Each event has a text of its own, but for every tenth, which comes twice in the same moment.
        for (number, (event, _)) in fake.events.iter_mut().enumerate() {
            event.message = format!("text {}", number / 10);
        }
        fake.events.truncate(4_000);
        let twins: Vec<(LogEvent, i64)> = fake.events.iter().step_by(10).cloned().collect();
        for (mut event, shows) in twins {
            event.id.push_str(" again");
            fake.events.push((event, shows));
        }
        let mut tail = Tail::from(0, None);
        let mut shown = Vec::new();
        for now in (0..=500_000).step_by(2_000) {
            *fake.now.lock().unwrap() = now;
            // Three of four events come early, and without their ids; some after a look has found them.
            let early: Vec<LogEvent> = fake
                .events
                .iter()
                .enumerate()
                .filter(|(number, (_, shows))| number % 4 != 0 && *shows > now - 3_000 && *shows <= now - 1_000)
                .map(|(_, (event, _))| LogEvent {
                    id: String::new(),
                    ..event.clone()
                })
                .collect();
            shown.extend(tail.early(early));
            shown.extend(look(&mut tail, &fake, now).await.unwrap());
        }
        let mut texts: Vec<_> = shown.iter().map(text_of).collect();
        let mut all: Vec<_> = fake.events.iter().map(|(event, _)| text_of(event)).collect();
        texts.sort();
        all.sort();
        assert_eq!(texts, all);
    }
}
