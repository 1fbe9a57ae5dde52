//! Brings metrics of functions and APIs into the emulator, off the path of requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Alarms, Metric};
use crate::keys::DEFAULT_ACCOUNT;
use crate::ports::{MetricDatum, MetricSink};
use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::services::rhythm::Rhythm;

/// How often metrics are brought over.
const METRIC_INTERVAL: Duration = Duration::from_secs(2);
/// Values of one datum of `PutMetricData`.
const VALUES: usize = 150;
/// Data of one `PutMetricData`.
const DATA: usize = 500;

/// A metric in a minute: region, namespace, name, dimensions, unit, minute.
type Series = (String, String, String, Vec<(String, String)>, String, i64);
/// How often each value was seen, by the bits of the value.
type Histogram = BTreeMap<u64, u64>;

/// Takes metrics and brings them over in the background.
#[derive(Default)]
pub(crate) struct MetricDelivery {
    metrics: Mutex<BTreeMap<Series, Histogram>>,
}

impl MetricSink for MetricDelivery {
    fn put(&self, region: &str, namespace: &str, data: Vec<MetricDatum>) {
        let mut metrics = self.metrics.lock();
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

impl MetricDelivery {
    /// Delivers metrics until `stop`, and then what is left. Alarms on them are evaluated.
    pub(crate) async fn run(
        self: Arc<Self>,
        emulator: EmulatorClient,
        alarms: Arc<Alarms>,
        stop: watch::Receiver<bool>,
    ) {
        let mut rhythm = Rhythm::new(METRIC_INTERVAL, stop);
        while rhythm.next().await {
            self.bring_metrics(&emulator, &alarms).await;
        }
        self.bring_metrics(&emulator, &alarms).await;
    }

    async fn bring_metrics(&self, emulator: &EmulatorClient, alarms: &Alarms) {
        let taken = std::mem::take(&mut *self.metrics.lock());
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
                    Err(error) => tracing::warn!(%error, namespace, "dropped metrics"),
                }
            }
        }
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
}
