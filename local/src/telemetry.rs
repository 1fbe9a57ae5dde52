//! Brings logs and metrics of functions and APIs into the emulator, off the path of requests.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::cloudwatch::{Alarms, Metric};
use crate::endpoint::emulator_client::Caller;
use crate::endpoint::http::EmulatorClient;
use crate::keys::DEFAULT_ACCOUNT;
use crate::ports::{LogEvent, LogSink, MetricDatum, MetricSink};

/// How often logs are brought over.
const LOG_INTERVAL: Duration = Duration::from_millis(250);
/// How often metrics are brought over.
const METRIC_INTERVAL: Duration = Duration::from_secs(2);
/// Events of one `PutLogEvents`, whose size is limited too.
const BATCH_EVENTS: usize = 5_000;
const BATCH_BYTES: usize = 1_000_000;
/// Bytes that an event counts beside its text.
const EVENT_OVERHEAD: usize = 26;
/// Events that wait at most; beyond it the oldest are lost, and that is logged.
const QUEUE: usize = 200_000;
/// Values of one datum of `PutMetricData`.
const VALUES: usize = 150;
/// Data of one `PutMetricData`.
const DATA: usize = 500;

/// A log stream: region, group, stream.
type Stream = (String, String, String);
/// A metric in a minute: region, namespace, name, dimensions, unit, minute.
type Series = (String, String, String, Vec<(String, String)>, String, i64);
/// How often each value was seen, by the bits of the value.
type Histogram = BTreeMap<u64, u64>;

/// Takes logs and metrics and brings them over in the background.
#[derive(Default)]
pub(crate) struct Telemetry {
    logs: Mutex<Logs>,
    metrics: Mutex<BTreeMap<Series, Histogram>>,
}

#[derive(Default)]
struct Logs {
    streams: BTreeMap<Stream, Vec<LogEvent>>,
    waiting: usize,
    lost: usize,
}

/// When to bring something over next. A turn that took long delays the next one: half of the time stays for others.
struct Rhythm {
    interval: Duration,
    began: Instant,
    stop: watch::Receiver<bool>,
}

impl Rhythm {
    fn new(interval: Duration, stop: watch::Receiver<bool>) -> Self {
        Self {
            interval,
            began: Instant::now(),
            stop,
        }
    }

    /// Waits for the next turn; false once it is time to stop.
    async fn next(&mut self) -> bool {
        let pause = self.began.elapsed().max(self.interval);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.stop.changed() => return false,
        }
        self.began = Instant::now();
        true
    }
}

impl LogSink for Telemetry {
    fn put(&self, region: &str, group: &str, stream: &str, mut events: Vec<LogEvent>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let room = QUEUE.saturating_sub(logs.waiting);
        if events.len() > room {
            logs.lost += events.len() - room;
            events.truncate(room);
        }
        logs.waiting += events.len();
        logs.streams
            .entry((region.to_owned(), group.to_owned(), stream.to_owned()))
            .or_default()
            .append(&mut events);
    }
}

impl MetricSink for Telemetry {
    fn put(&self, region: &str, namespace: &str, data: Vec<MetricDatum>) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        for datum in data {
            let minute = datum.timestamp_ms.div_euclid(60_000) * 60;
            let mut dimensions = datum.dimensions;
            dimensions.sort();
            let series = (
                region.to_owned(),
                namespace.to_owned(),
                datum.name,
                dimensions,
                datum.unit,
                minute,
            );
            *metrics
                .entry(series)
                .or_default()
                .entry(rounded(datum.value).to_bits())
                .or_default() += 1;
        }
    }
}

/// Three significant digits: thousands of durations become a few hundred values.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let magnitude = 10f64.powf(2.0 - value.abs().log10().floor());
    (value * magnitude).round() / magnitude
}

impl Telemetry {
    /// Brings everything over until `stop`, and then what is left. Logs and metrics do not wait for each other.
    /// The alarms on the metrics are told.
    pub(crate) async fn run(
        self: Arc<Self>,
        emulator: EmulatorClient,
        alarms: Arc<Alarms>,
        stop: watch::Receiver<bool>,
    ) {
        let logs = async {
            let mut known = HashSet::new();
            let mut rhythm = Rhythm::new(LOG_INTERVAL, stop.clone());
            while rhythm.next().await {
                self.bring_logs(&emulator, &mut known).await;
            }
            self.bring_logs(&emulator, &mut known).await;
        };
        let metrics = async {
            let mut rhythm = Rhythm::new(METRIC_INTERVAL, stop.clone());
            while rhythm.next().await {
                self.bring_metrics(&emulator, &alarms).await;
            }
            self.bring_metrics(&emulator, &alarms).await;
        };
        tokio::join!(logs, metrics);
    }

    async fn bring_logs(&self, emulator: &EmulatorClient, known: &mut HashSet<Stream>) {
        let Logs {
            streams,
            waiting: _,
            lost,
        } = std::mem::take(&mut *self.logs.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            tracing::warn!(lost, "log events were lost: more than {QUEUE} were waiting");
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
                    tracing::warn!(%error, group = stream.1, "log events were lost");
                }
            }
        }
    }

    async fn bring_metrics(&self, emulator: &EmulatorClient, alarms: &Alarms) {
        let taken = std::mem::take(&mut *self.metrics.lock().unwrap_or_else(PoisonError::into_inner));
        let mut calls: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for ((region, namespace, name, dimensions, unit, minute), histogram) in taken {
            let dimensions: Vec<Value> = dimensions
                .iter()
                .map(|(name, value)| json!({"Name": name, "Value": value}))
                .collect();
            let values: Vec<(f64, u64)> = histogram
                .into_iter()
                .map(|(bits, count)| (f64::from_bits(bits), count))
                .collect();
            let data = calls.entry((region, namespace)).or_default();
            for part in values.chunks(VALUES) {
                data.push(json!({
                    "MetricName": name,
                    "Dimensions": dimensions,
                    "Timestamp": minute,
                    "Unit": unit,
                    "Values": part.iter().map(|(value, _)| *value).collect::<Vec<_>>(),
                    "Counts": part.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
                }));
            }
        }
        for ((region, namespace), data) in calls {
            let caller = Caller {
                account: DEFAULT_ACCOUNT.to_owned(),
                region,
            };
            for part in data.chunks(DATA) {
                let input = json!({"Namespace": namespace, "MetricData": part});
                let target = "GraniteServiceVersion20100801.PutMetricData";
                match emulator.json(&caller, "monitoring", target, &input).await {
                    Ok(_) => {
                        let metric = |datum| Metric::read(&caller.account, &caller.region, &namespace, datum);
                        alarms.wrote(part.iter().filter_map(metric));
                    }
                    Err(error) => tracing::warn!(%error, namespace, "metrics were lost"),
                }
            }
        }
    }
}

fn event_json(event: &LogEvent) -> Value {
    json!({"timestamp": event.timestamp_ms, "message": event.message})
}

/// Cuts events into what one call may carry.
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

/// Puts events; makes the stream on its first use, and the group when it is missing, as Lambda does.
async fn put_events(
    emulator: &EmulatorClient,
    caller: &Caller,
    stream: &Stream,
    input: &Value,
    known: &mut HashSet<Stream>,
) -> Result<(), crate::endpoint::emulator_client::EmulatorError> {
    let call = |operation: &'static str, input: Value| async move {
        emulator
            .json(caller, "logs", &format!("Logs_20140328.{operation}"), &input)
            .await
    };
    let (_, group, name) = stream;
    if !known.contains(stream) {
        let of_stream = json!({"logGroupName": group, "logStreamName": name});
        let mut made = call("CreateLogStream", of_stream.clone()).await;
        if made.as_ref().is_err_and(|error| error.is("ResourceNotFoundException")) {
            ignore_existing(call("CreateLogGroup", json!({"logGroupName": group})).await)?;
            made = call("CreateLogStream", of_stream).await;
        }
        ignore_existing(made)?;
        known.insert(stream.clone());
    }
    match call("PutLogEvents", input.clone()).await {
        // The group was deleted meanwhile: make it anew next time.
        Err(error) => {
            known.remove(stream);
            Err(error)
        }
        Ok(_) => Ok(()),
    }
}

fn ignore_existing(
    result: Result<Value, crate::endpoint::emulator_client::EmulatorError>,
) -> Result<(), crate::endpoint::emulator_client::EmulatorError> {
    match result {
        Err(error) if !error.is("ResourceAlreadyExistsException") => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_three_digits() {
        for (value, expected) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (1234.0, 1230.0),
            (0.012_345, 0.0123),
            (-987.6, -988.0),
        ] {
            assert!(
                (rounded(value) - expected).abs() < 1e-9,
                "{value} became {}",
                rounded(value)
            );
        }
    }

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
