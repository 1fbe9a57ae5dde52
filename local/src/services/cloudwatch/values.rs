//! Measured values from the emulator, and the expressions over them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::math::{self, Operand, Series};
use super::statistic::is_computed;
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::emulator_client::{Caller, EmulatorError};

/// Fetches the metrics among `queries` (`MetricDataQuery`) and computes the expressions among them. An expression that
/// cannot be computed has its error as result.
pub(crate) async fn query(
    emulator: &EmulatorClient,
    caller: &Caller,
    queries: &[Value],
    start: i64,
    end: i64,
) -> Result<BTreeMap<String, Result<Series, String>>, EmulatorError> {
    let id = |query: &Value| query["Id"].as_str().unwrap_or_default().to_owned();
    let statistic = |query: &Value| query["MetricStat"]["Stat"].as_str().unwrap_or("Average").to_owned();
    let all = queries.iter().filter(|query| query["MetricStat"].is_object());
    // The emulator would answer with the average.
    let (computed, others): (Vec<&Value>, Vec<&Value>) = all.partition(|query| is_computed(&statistic(query)));
    let measured: Vec<Value> = computed
        .into_iter()
        .map(|query| json!({"Id": query["Id"], "MetricStat": query["MetricStat"], "ReturnData": true}))
        .collect();
    let mut known: BTreeMap<String, Series> = BTreeMap::new();
    if !measured.is_empty() {
        let input = json!({"MetricDataQueries": measured, "StartTime": start, "EndTime": end});
        let output = emulator
            .json(
                caller,
                "monitoring",
                "GraniteServiceVersion20100801.GetMetricData",
                &input,
            )
            .await?;
        for result in output["MetricDataResults"].as_array().into_iter().flatten() {
            known.insert(id(result), series(result));
        }
    }
    let mut results: BTreeMap<String, Result<Series, String>> = known
        .iter()
        .map(|(id, series)| (id.clone(), Ok(series.clone())))
        .collect();
    for query in others {
        let message = format!("the local target does not compute the statistic {}", statistic(query));
        results.insert(id(query), Err(message));
    }
    let period = queries.iter().filter_map(period).min().unwrap_or(60);
    let mut waiting: Vec<&Value> = queries.iter().filter(|query| query["Expression"].is_string()).collect();
    // An expression may name another one: as long as one can be computed, go round.
    loop {
        let before = waiting.len();
        waiting.retain(|query| {
            let text = query["Expression"].as_str().unwrap_or_default();
            let computed = math::parse(text).and_then(|parsed| math::evaluate(&parsed, &known));
            let result = match computed {
                Ok(Operand::Series(series)) => Ok(series),
                Ok(Operand::Scalar(value)) => Ok(constant(value, start, end, period)),
                Err(math::MathError::UnknownMetric(_)) => return true,
                Err(error) => Err(error.to_string()),
            };
            known.insert(id(query), result.clone().unwrap_or_default());
            results.insert(id(query), result);
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    for query in waiting {
        let text = query["Expression"].as_str().unwrap_or_default();
        let computed = math::parse(text).and_then(|parsed| math::evaluate(&parsed, &known));
        results.insert(
            id(query),
            Err(computed.err().map(|error| error.to_string()).unwrap_or_default()),
        );
    }
    Ok(results)
}

/// Period of a query, seconds.
pub(crate) fn period(query: &Value) -> Option<i64> {
    query["MetricStat"]["Period"]
        .as_i64()
        .or(query["Period"].as_i64())
        .filter(|period| *period > 0)
}

fn series(result: &Value) -> Series {
    let times = result["Timestamps"].as_array().into_iter().flatten();
    let values = result["Values"].as_array().into_iter().flatten();
    times
        .zip(values)
        .filter_map(|(time, value)| Some((seconds(time)?, value.as_f64()?)))
        .collect()
}

/// A timestamp as seconds since the epoch: a number or RFC 3339.
pub(crate) fn seconds(value: &Value) -> Option<i64> {
    match value {
        // Fractions of a second do not matter here.
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64)),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
        _ => None,
    }
}

fn constant(value: f64, start: i64, end: i64, period: i64) -> Series {
    let first = start.div_euclid(period) * period;
    let count = ((end - first) / period).clamp(0, 1440);
    (0..count).map(|index| (first + index * period, value)).collect()
}
