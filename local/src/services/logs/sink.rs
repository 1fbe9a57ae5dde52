//! Brings log lines of functions and APIs into the emulator, off the path of requests.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::keys::DEFAULT_ACCOUNT;
use crate::ports::{LogEvent, LogSink, MissingGroup};
use crate::protocol::emulator_client::{Caller, EmulatorClient, EmulatorError};
use crate::services::iam::permissions::read;
use crate::services::iam::policy::Verdict;
use crate::services::iam::required::Required;
use crate::services::rhythm::Rhythm;

/// How often logs are brought over.
const LOG_INTERVAL: Duration = Duration::from_millis(250);
/// Events of one `PutLogEvents`, whose size is limited too.
const BATCH_EVENTS: usize = 5_000;
const BATCH_BYTES: usize = 1_000_000;
/// Bytes that an event counts beside its text.
const EVENT_OVERHEAD: usize = 26;
/// Events that wait at most; beyond it the oldest are lost, and that is logged.
const QUEUE: usize = 200_000;

/// A log stream: region, group, stream; and what becomes of its lines without the group.
type Stream = (String, String, String, MissingGroup);

/// Takes log lines and brings them over in the background.
#[derive(Default)]
pub(crate) struct LogDelivery {
    logs: Mutex<Logs>,
}

#[derive(Default)]
struct Logs {
    streams: BTreeMap<Stream, Vec<LogEvent>>,
    waiting: usize,
    lost: usize,
}

impl LogSink for LogDelivery {
    fn put(&self, region: &str, group: &str, stream: &str, mut events: Vec<LogEvent>, missing: MissingGroup) {
        let mut logs = self.logs.lock();
        let room = QUEUE.saturating_sub(logs.waiting);
        if events.len() > room {
            logs.lost += events.len() - room;
            events.truncate(room);
        }
        logs.waiting += events.len();
        logs.streams
            .entry((region.to_owned(), group.to_owned(), stream.to_owned(), missing))
            .or_default()
            .append(&mut events);
    }
}

impl LogDelivery {
    /// Delivers events until `stop`, and then the rest.
    pub(crate) async fn run(self: Arc<Self>, emulator: EmulatorClient, stop: watch::Receiver<bool>) {
        let mut known = HashSet::new();
        let mut rhythm = Rhythm::new(LOG_INTERVAL, stop);
        while rhythm.next().await {
            self.bring_logs(&emulator, &mut known).await;
        }
        self.bring_logs(&emulator, &mut known).await;
    }

    async fn bring_logs(&self, emulator: &EmulatorClient, known: &mut HashSet<Stream>) {
        let Logs {
            streams,
            waiting: _,
            lost,
        } = std::mem::take(&mut *self.logs.lock());
        if lost > 0 {
            tracing::warn!(lost, "dropped log events: more than {QUEUE} were queued");
        }
        for (stream, mut events) in streams {
            // Stable, so that lines of the same millisecond stay in order.
            events.sort_by_key(|event| event.timestamp_ms);
            let caller = Caller {
                account: DEFAULT_ACCOUNT.to_owned(),
                region: stream.0.clone(),
            };
            for batch in batches(&events) {
                let input = json!({
                    "logGroupName": stream.1,
                    "logStreamName": stream.2,
                    "logEvents": batch.iter().map(event_json).collect::<Vec<_>>(),
                });
                if let Err(error) = put_events(emulator, &caller, &stream, &input, known).await {
                    tracing::warn!(%error, group = stream.1, "dropped log events");
                }
            }
        }
    }
}

fn event_json(event: &LogEvent) -> Value {
    json!({"timestamp": event.timestamp_ms, "message": event.message})
}

/// Cuts events into batches that one call may carry.
fn batches(events: &[LogEvent]) -> Vec<&[LogEvent]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let size = event.message.len() + EVENT_OVERHEAD;
        if index > start && (bytes + size > BATCH_BYTES || index - start == BATCH_EVENTS) {
            batches.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < events.len() {
        batches.push(&events[start..]);
    }
    batches
}

/// Puts events; makes the stream on its first use, and a missing group where its writer may.
async fn put_events(
    emulator: &EmulatorClient,
    caller: &Caller,
    stream: &Stream,
    input: &Value,
    known: &mut HashSet<Stream>,
) -> Result<(), EmulatorError> {
    let call = |operation: &'static str, input: Value| async move {
        emulator
            .json(caller, "logs", &format!("Logs_20140328.{operation}"), &input)
            .await
    };
    let (_, group, name, missing) = stream;
    if !known.contains(stream) {
        let of_stream = json!({"logGroupName": group, "logStreamName": name});
        let mut made = call("CreateLogStream", of_stream.clone()).await;
        if made.as_ref().is_err_and(|error| error.is("ResourceNotFoundException")) {
            if !may_make_group(emulator, caller, group, missing).await {
                return Ok(());
            }
            ignore_existing(call("CreateLogGroup", json!({"logGroupName": group})).await)?;
            made = call("CreateLogStream", of_stream).await;
        }
        ignore_existing(made)?;
        known.insert(stream.clone());
    }
    match call("PutLogEvents", input.clone()).await {
        // The group was deleted meanwhile: the next lines find out whether there may be another.
        Err(error) => {
            known.remove(stream);
            Err(error)
        }
        Ok(_) => Ok(()),
    }
}

async fn may_make_group(emulator: &EmulatorClient, caller: &Caller, group: &str, missing: &MissingGroup) -> bool {
    let MissingGroup::MadeAs(role) = missing else {
        return false;
    };
    let wanted = Required {
        action: "logs:CreateLogGroup".to_owned(),
        resource: format!("arn:aws:logs:{}:{}:log-group:{group}", caller.region, caller.account),
        context: BTreeMap::new(),
    };
    read(emulator, caller, role).await.judge(&wanted) == Verdict::Allowed
}

fn ignore_existing(result: Result<Value, EmulatorError>) -> Result<(), EmulatorError> {
    match result {
        Err(error) if !error.is("ResourceAlreadyExistsException") => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_limits_and_order() {
        let event = |size: usize| LogEvent {
            timestamp_ms: 0,
            message: "x".repeat(size),
        };
        let events: Vec<LogEvent> = (0..5).map(|_| event(400_000)).collect();
        assert_eq!(
            batches(&events).iter().map(|batch| batch.len()).collect::<Vec<_>>(),
            vec![2, 2, 1]
        );
        let many: Vec<LogEvent> = (0..BATCH_EVENTS + 1).map(|_| event(1)).collect();
        assert_eq!(
            batches(&many).iter().map(|batch| batch.len()).collect::<Vec<_>>(),
            vec![BATCH_EVENTS, 1]
        );
        assert!(batches(&[]).is_empty());
    }
}
