//! The metrics of queues, in the namespace `AWS/SQS`.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>

use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use serde_json::Value;
use tokio::sync::watch;

use crate::keys::DEFAULT_ACCOUNT;
use crate::ports::{MetricDatum, MetricSink};
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::full;
use crate::services::rhythm::Rhythm;

/// How often queues are measured. SQS does it once a minute.
const INTERVAL: Duration = Duration::from_secs(5);
/// Where the emulator says how its queues are, since it was asked last.
const PATH: &str = "/_taskctl/queues";
/// Members of its answer, the metrics that they are, and their units.
const METRICS: [(&str, &str, &str); 8] = [
    ("visible", "ApproximateNumberOfMessagesVisible", "Count"),
    ("in_flight", "ApproximateNumberOfMessagesNotVisible", "Count"),
    ("delayed", "ApproximateNumberOfMessagesDelayed", "Count"),
    ("age", "ApproximateAgeOfOldestMessage", "Seconds"),
    ("sent", "NumberOfMessagesSent", "Count"),
    ("received", "NumberOfMessagesReceived", "Count"),
    ("deleted", "NumberOfMessagesDeleted", "Count"),
    ("empty", "NumberOfEmptyReceives", "Count"),
];

/// Measures queues until `stop`.
pub(crate) async fn run(emulator: EmulatorClient, sink: Arc<dyn MetricSink>, stop: watch::Receiver<bool>) {
    let mut rhythm = Rhythm::new(INTERVAL, stop);
    while rhythm.next().await {
        let Ok(request) = Request::get(PATH).header("host", "localhost").body(full("")) else {
            continue;
        };
        let Ok(answer) = emulator.call(request).await else {
            continue;
        };
        let queues: Vec<Value> = serde_json::from_slice(answer.body()).unwrap_or_default();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        // Metrics have the account of the operator.
        for queue in queues.iter().filter(|queue| queue["account"] == DEFAULT_ACCOUNT) {
            let region = queue["region"].as_str().unwrap_or_default();
            sink.put(region, "AWS/SQS", data(queue, now_ms));
        }
    }
}

fn data(queue: &Value, timestamp_ms: i64) -> Vec<MetricDatum> {
    let name = queue["name"].as_str().unwrap_or_default();
    let datum = |(member, metric, unit): &(&str, &str, &str)| {
        Some(MetricDatum {
            name: (*metric).to_owned(),
            dimensions: vec![("QueueName".to_owned(), name.to_owned())],
            timestamp_ms,
            value: queue[*member].as_f64()?,
            unit: (*unit).to_owned(),
        })
    };
    METRICS.iter().filter_map(datum).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_is_measured_under_its_name() {
        let data = data(&json!({"name": "jobs", "visible": 3, "age": 1.5}), 7);
        let shown: Vec<(&str, f64)> = data.iter().map(|datum| (datum.name.as_str(), datum.value)).collect();
        let expected = [
            ("ApproximateNumberOfMessagesVisible", 3.0),
            ("ApproximateAgeOfOldestMessage", 1.5),
        ];
        assert_eq!(shown, expected);
        assert_eq!(data[0].dimensions, [("QueueName".to_owned(), "jobs".to_owned())]);
    }
}
