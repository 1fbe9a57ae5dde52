//! Log events behind the paging rules of `FilterLogEvents`: pages end after so many events or bytes, may be empty though more
//! follow, and leave out what is not visible yet; calls are refused now and then.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

/// A log event.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Name of its group.
    pub group: String,
    /// Name of its stream.
    pub stream: String,
    /// When it happened, ms since 1970.
    pub timestamp: i64,
    /// From when on it can be read, ms since 1970.
    pub visible: i64,
    /// Its text.
    pub message: String,
}

/// Where an event stands: time, ingestion, id.
type Place = (i64, i64, String);

/// Events by group.
#[derive(Debug)]
pub struct LogFixture {
    groups: BTreeMap<String, BTreeMap<Place, Entry>>,
    page: usize,
    random: Mutex<fastrand::Rng>,
    /// Calls that were refused.
    pub refused: AtomicUsize,
    /// Pages without events that more pages followed.
    pub empty: AtomicUsize,
    /// Pages with events.
    pub pages: AtomicUsize,
}

/// Bytes of a page.
const PAGE_BYTES: usize = 1024 * 1024;

impl LogFixture {
    /// Of these events, so many a page.
    pub fn of(entries: impl IntoIterator<Item = Entry>, page: usize) -> Self {
        let mut groups: BTreeMap<String, BTreeMap<Place, Entry>> = BTreeMap::new();
        for entry in entries {
            let place = (entry.timestamp, entry.visible, entry.id.clone());
            groups.entry(entry.group.clone()).or_default().insert(place, entry);
        }
        Self {
            groups,
            page,
            random: Mutex::new(fastrand::Rng::with_seed(0x2545_f491_4f6c_dd1d)),
            refused: AtomicUsize::new(0),
            empty: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
        }
    }

    /// Whether something happens that happens once in so many times.
    fn once_in(&self, times: u64) -> bool {
        self.random.lock().u64(..times) == 0
    }

    /// Answers a call: status and body.
    pub(crate) fn answer(&self, body: &[u8]) -> (u16, Value) {
        let refuse = |code: &str, message: &str| (400, json!({"__type": code, "message": message}));
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.once_in(6) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return refuse("ThrottlingException", "Rate exceeded");
        }
        let group = input["logGroupName"].as_str().unwrap_or_default();
        let (from, to) = (input["startTime"].as_i64(), input["endTime"].as_i64());
        let asked = json!([group, from, to, input["filterPattern"]]);
        let after: Option<Place> = match input["nextToken"].as_str() {
            None => None,
            Some(token) => {
                let token: Value = serde_json::from_str(token).unwrap_or_default();
                if token["asked"] != asked {
                    return refuse("InvalidParameterException", "The specified nextToken is invalid.");
                }
                serde_json::from_value(token["after"].clone()).ok()
            }
        };
        let token = |after: Option<&Place>| json!({"asked": asked, "after": after}).to_string();
        if self.once_in(3) {
            self.empty.fetch_add(1, Ordering::Relaxed);
            return (200, json!({"events": [], "nextToken": token(after.as_ref())}));
        }
        let now = jiff::Timestamp::now().as_millisecond();
        let known = BTreeMap::new();
        let entries = self.groups.get(group).unwrap_or(&known);
        let begin = (from.unwrap_or(0), 0, String::new());
        let mut rest = entries
            .range(after.clone().unwrap_or(begin)..)
            .filter(|(place, entry)| Some(*place) != after.as_ref() && entry.visible <= now)
            .take_while(|(place, _)| to.is_none_or(|to| place.0 < to))
            .peekable();
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, after.clone());
        while let Some((place, entry)) =
            rest.next_if(|(_, entry)| events.len() < self.page && bytes + entry.message.len() <= PAGE_BYTES)
        {
            bytes += entry.message.len();
            last = Some(place.clone());
            events.push(
                json!({"eventId": entry.id, "logStreamName": entry.stream, "timestamp": entry.timestamp,
                "ingestionTime": entry.visible, "message": entry.message}),
            );
        }
        let mut answer = json!({"events": events});
        if rest.peek().is_some() {
            answer["nextToken"] = json!(token(last.as_ref()));
        }
        self.pages.fetch_add(1, Ordering::Relaxed);
        (200, answer)
    }
}
