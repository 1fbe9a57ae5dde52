//! Brings the messages of queues to functions, one poller for each mapping.
//!
//! A poller waits for messages, invokes the function with them and deletes those that it dealt with. The others become
//! visible again when their time is up, and go to the dead-letter queue in the end, both by the queue itself.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::batch::{Failed, Item, failed, is_taken, parts};
use super::calls::may_poll;
use super::{Begin, Mappings, Turn};
use crate::ports::{
    FunctionAddress, FunctionSource, InvokeKind, InvokeOutcome, InvokeRequest, Invoker, LogTail, MetricSink,
};
use crate::protocol::emulator_client::{EmulatorClient, EmulatorError};
use crate::services::pattern::Pattern;
use crate::services::queues::Queue;

/// How long a poller waits for messages: so long at most a mapping that is disabled goes on.
const POLL_SECONDS: u64 = 1;
/// Batches of a mapping that are in the function at once. Lambda begins with five and goes on to a thousand.
const CONCURRENCY: usize = 5;
/// How long running batches may take when the local target stops. Their messages are visible again afterwards.
const GRACE: Duration = Duration::from_secs(1);
/// How often the permissions of a function's role are read.
const PERMISSIONS_KNOWN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after a batch that the function failed at.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after one that it did not even get.
const REFUSAL_PAUSE: Duration = Duration::from_secs(5);

/// Polls for all mappings.
pub(crate) struct Pollers {
    pub mappings: Arc<Mappings>,
    pub emulator: EmulatorClient,
    pub functions: Arc<dyn FunctionSource>,
    pub invoker: Arc<dyn Invoker>,
    pub metrics: Arc<dyn MetricSink>,
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Failed,
    /// The function did not get it.
    Refused,
}

impl Pollers {
    /// Brings messages until `stop`.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let pollers = Arc::new(self);
        let mut changes = pollers.mappings.changes.subscribe();
        let mut running = JoinSet::new();
        let mut known = HashSet::new();
        loop {
            for uuid in pollers.mappings.ids() {
                if known.insert(uuid.clone()) {
                    running.spawn(Arc::clone(&pollers).poll(uuid, stop.clone()));
                }
            }
            tokio::select! {
                _ = changes.changed() => {}
                Some(Ok(gone)) = running.join_next() => drop(known.remove(&gone)),
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Polls for a mapping until it is gone, and returns its id.
    async fn poll(self: Arc<Self>, uuid: String, mut stop: watch::Receiver<bool>) -> String {
        if self.mappings.is_of_stream(&uuid) {
            self.poll_stream(&uuid, stop).await;
            return uuid;
        }
        let mut changes = self.mappings.changes.subscribe();
        let mut running: JoinSet<Ended> = JoinSet::new();
        let mut pauses = Pauses::default();
        let mut permission = Permission::default();
        while !*stop.borrow() {
            while let Some(ended) = running.try_join_next() {
                pauses.note(ended.unwrap_or(Ended::Failed));
            }
            changes.borrow_and_update();
            let turn = match self.mappings.begin(&uuid) {
                Begin::Gone => break,
                Begin::Later => {
                    changed_or_later(&mut changes, &mut stop).await;
                    continue;
                }
                Begin::Turn(turn) => turn,
            };
            let most = turn.mapping.settings.maximum_concurrency.unwrap_or(CONCURRENCY);
            if running.len() >= most {
                drop(turn);
                tokio::select! {
                    Some(ended) = running.join_next() => pauses.note(ended.unwrap_or(Ended::Failed)),
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                continue;
            }
            match self.next_batch(&turn, &mut permission, &stop).await {
                Ok(Some(batch)) => drop(running.spawn(Arc::clone(&self).bring(turn, batch, stop.clone()))),
                Ok(None) => pauses.note(Ended::Well),
                Err(error) => {
                    tracing::debug!(%error, uuid, "no messages could be received");
                    pauses.note(Ended::Refused);
                }
            }
            if let Some(pause) = pauses.next() {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
        }
        while running.join_next().await.is_some() {}
        uuid
    }

    /// The next messages; `None` while there are none.
    async fn next_batch(
        &self,
        turn: &Turn,
        permission: &mut Permission,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Batch>, NoBatch> {
        let mapping = &turn.mapping;
        let address = FunctionAddress::parse(&mapping.function_arn).ok_or(NoBatch::NoFunction)?;
        let queue = Queue::parse(&mapping.source_arn).ok_or(NoBatch::NoFunction)?;
        let resolved = self.functions.resolve(&address).map_err(|_| NoBatch::NoFunction)?;
        let role = resolved.targets.first().map(|target| target.version.role.clone());
        let role = role.unwrap_or_default();
        let ask = async { may_poll(&self.emulator, &queue, &role).await.is_ok() };
        if !permission.holds(&role, &queue.arn, ask).await {
            return Err(NoBatch::NotAllowed);
        }
        let messages = self.collect(turn, &queue, stop).await?;
        if messages.is_empty() {
            return Ok(None);
        }
        if *stop.borrow() {
            let all: Vec<&Value> = messages.iter().collect();
            queue.give_back(&self.emulator, &all).await?;
            return Ok(None);
        }
        let patterns: Vec<Pattern> = mapping
            .settings
            .filters
            .iter()
            .filter_map(|text| Pattern::parse(text))
            .collect();
        let items = messages.into_iter();
        let items = items.map(|message| Item::new(message, &mapping.source_arn, &mapping.region));
        let (taken, others): (Vec<Item>, Vec<Item>) = items.partition(|item| is_taken(&item.record, &patterns));
        // What no filter takes is deleted: <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html>.
        let others: Vec<&Value> = others.iter().map(|item| &item.message).collect();
        queue.delete(&self.emulator, &others).await?;
        Ok((!taken.is_empty()).then_some(Batch {
            queue,
            address,
            items: taken,
        }))
    }

    /// Messages for a batch: those of one call, or as many as come within the window.
    async fn collect(
        &self,
        turn: &Turn,
        queue: &Queue,
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<Value>, EmulatorError> {
        let settings = &turn.mapping.settings;
        let mut messages = queue.receive(&self.emulator, settings.batch_size, POLL_SECONDS).await?;
        let until = Instant::now() + Duration::from_secs(settings.window_seconds);
        while !messages.is_empty()
            && messages.len() < settings.batch_size
            && Instant::now() < until
            && self.mappings.is_enabled(&turn.mapping.uuid)
            && !*stop.borrow()
        {
            let most = settings.batch_size - messages.len();
            match queue.receive(&self.emulator, most, POLL_SECONDS).await {
                Ok(more) => messages.extend(more),
                // What is there is brought.
                Err(_) => break,
            }
        }
        Ok(messages)
    }

    /// Invokes the function with a batch, and deletes what it dealt with.
    async fn bring(self: Arc<Self>, turn: Box<Turn>, batch: Batch, stop: watch::Receiver<bool>) -> Ended {
        let Batch { queue, address, items } = batch;
        let mut all = Ended::Well;
        for part in parts(items) {
            let records: Vec<&Value> = part.iter().map(|item| &item.record).collect();
            let request = InvokeRequest {
                address: address.clone(),
                payload: Bytes::from(json!({"Records": records}).to_string()),
                kind: InvokeKind::RequestResponse,
                log_tail: LogTail::Omit,
                client_context: None,
                trace_id: None,
            };
            let outcome = tokio::select! {
                outcome = self.invoker.invoke(request) => outcome,
                () = out_of_time(stop.clone()) => {
                    let messages: Vec<&Value> = part.iter().map(|item| &item.message).collect();
                    let _ = queue.give_back(&self.emulator, &messages).await;
                    return Ended::Failed;
                }
            };
            let reports_items = turn.mapping.settings.reports_items();
            let (ended, done) = judged(&outcome, &part, reports_items);
            if let Err(error) = queue.delete(&self.emulator, &done).await {
                tracing::warn!(%error, queue = queue.arn, "messages that were dealt with could not be deleted");
            }
            if ended != Ended::Well {
                all = ended;
                // What comes after a failure in its group waits for it.
                if queue.is_fifo() {
                    break;
                }
            }
        }
        all
    }
}

/// A batch for a function.
struct Batch {
    queue: Queue,
    address: FunctionAddress,
    items: Vec<Item>,
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
enum NoBatch {
    #[error("the function is not there")]
    NoFunction,
    #[error("the role of the function may not receive from the queue")]
    NotAllowed,
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
}

/// How an invocation ended for its batch, and the messages that are dealt with.
fn judged<'part>(outcome: &InvokeOutcome, part: &'part [Item], reports_items: bool) -> (Ended, Vec<&'part Value>) {
    let completed = match outcome {
        InvokeOutcome::Completed(completed) if completed.function_error.is_none() => completed,
        InvokeOutcome::Completed(_) => return (Ended::Failed, Vec::new()),
        _ => return (Ended::Refused, Vec::new()),
    };
    let given: Vec<&str> = part.iter().map(Item::id).collect();
    let failed = match reports_items {
        true => failed(&completed.payload, &given),
        false => Failed::Nothing,
    };
    let all = || part.iter().map(|item| &item.message);
    match failed {
        Failed::Nothing => (Ended::Well, all().collect()),
        Failed::Everything => (Ended::Failed, Vec::new()),
        Failed::Some(ids) => {
            let done = part.iter().filter(|item| !ids.contains(item.id()));
            (Ended::Failed, done.map(|item| &item.message).collect())
        }
    }
}

/// Waits until a mapping has changed, for a moment at most, or until the stop.
pub(super) async fn changed_or_later(changes: &mut watch::Receiver<u64>, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        _ = changes.changed() => {}
        () = sleep(FIRST_PAUSE) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Returns when the local target has been stopping for too long.
async fn out_of_time(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    sleep(GRACE).await;
}

/// Whether the role of the function may poll, as it was a moment ago.
#[derive(Default)]
pub(super) struct Permission {
    known: Option<(String, Instant, bool)>,
}

impl Permission {
    pub(super) async fn holds(&mut self, role: &str, source: &str, ask: impl Future<Output = bool>) -> bool {
        if let Some((known, at, holds)) = &self.known
            && known == role
            && at.elapsed() < PERMISSIONS_KNOWN
        {
            return *holds;
        }
        let holds = ask.await;
        if !holds {
            tracing::warn!(role, source, "not allowed to receive events");
        }
        self.known = Some((role.to_owned(), Instant::now(), holds));
        holds
    }
}

/// The pauses between batches: longer and longer while they fail.
#[derive(Default)]
struct Pauses {
    failures: u32,
    longest: Duration,
}

impl Pauses {
    fn note(&mut self, ended: Ended) {
        self.longest = match ended {
            Ended::Well => {
                self.failures = 0;
                return;
            }
            Ended::Failed => FAILURE_PAUSE,
            Ended::Refused => REFUSAL_PAUSE,
        };
        self.failures = self.failures.saturating_add(1);
    }

    fn next(&self) -> Option<Duration> {
        let doubled = 2_u32.saturating_pow(self.failures.checked_sub(1)?);
        Some(FIRST_PAUSE.saturating_mul(doubled).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Completed, FunctionError, ThrottleReason};

    fn item(id: &str) -> Item {
        Item::new(json!({"MessageId": id, "ReceiptHandle": id}), "arn:q", "eu-central-1")
    }

    fn completed(answer: &'static str, function_error: Option<FunctionError>) -> InvokeOutcome {
        InvokeOutcome::Completed(Completed {
            request_id: String::new(),
            payload: Bytes::from_static(answer.as_bytes()),
            function_error,
            executed_version: "1".to_owned(),
            log_tail: None,
            duration: Duration::ZERO,
        })
    }

    fn check(outcome: &InvokeOutcome, reports_items: bool, expected: Ended, done: &[&str]) {
        let part = [item("a"), item("b")];
        let (ended, messages) = judged(outcome, &part, reports_items);
        let ids: Vec<&str> = messages.iter().filter_map(|one| one["MessageId"].as_str()).collect();
        assert_eq!((ended, ids.as_slice()), (expected, done), "{outcome:?}");
    }

    #[test]
    fn only_what_was_dealt_with_is_deleted() {
        let half = r#"{"batchItemFailures": [{"itemIdentifier": "a"}]}"#;
        check(&completed("null", None), false, Ended::Well, &["a", "b"]);
        check(&completed(half, None), false, Ended::Well, &["a", "b"]);
        check(&completed(half, None), true, Ended::Failed, &["b"]);
        check(&completed("1", None), true, Ended::Failed, &[]);
        check(
            &completed("{}", Some(FunctionError::Unhandled)),
            true,
            Ended::Failed,
            &[],
        );
        let throttled = InvokeOutcome::Throttled {
            request_id: String::new(),
            reason: ThrottleReason::ConcurrentInvocationLimitExceeded,
        };
        check(&throttled, false, Ended::Refused, &[]);
    }

    #[test]
    fn pauses_grow_with_failures_and_end_with_success() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.next(), None);
        pauses.note(Ended::Refused);
        assert_eq!(pauses.next(), Some(FIRST_PAUSE));
        for _ in 0..40 {
            pauses.note(Ended::Refused);
        }
        assert_eq!(pauses.next(), Some(REFUSAL_PAUSE));
        pauses.note(Ended::Failed);
        assert_eq!(pauses.next(), Some(FAILURE_PAUSE));
        pauses.note(Ended::Well);
        assert_eq!(pauses.next(), None);
    }
}
