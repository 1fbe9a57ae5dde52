//! What CloudWatch says about the state of an alarm: the reason in words, and in JSON. Pure.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html>

use serde_json::{Value, json};

use super::{Alarm, AlarmState};

/// A period that an alarm looked at: its begin in seconds since the epoch, and its value if it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub at: i64,
    pub value: Option<f64>,
    /// How many values it is made of, where that is known.
    pub samples: Option<f64>,
}

/// The reason for a state, by the points that it was judged by, newest first.
pub(super) fn words(alarm: &Alarm, state: AlarmState, points: &[Point]) -> String {
    let text = |member: &str| {
        alarm
            .configuration
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let known: Vec<(i64, f64)> = points
        .iter()
        .filter_map(|point| Some((point.at, point.value?)))
        .collect();
    if state == AlarmState::InsufficientData {
        let unknown = points.len() - known.len();
        return format!("Insufficient Data: {} unknown.", were(unknown, "datapoint"));
    }
    let is_alarm = state == AlarmState::Alarm;
    let shown: Vec<(i64, f64)> = known
        .iter()
        .copied()
        .filter(|(_, value)| breaches(alarm, *value) == is_alarm)
        .collect();
    if shown.is_empty() {
        let treated = if is_alarm { "Breaching" } else { "NonBreaching" };
        let missing = were(points.len() - known.len(), "missing datapoint");
        return match known.len() {
            0 => format!(
                "Threshold Crossed: no datapoints were received for {} and {missing} treated as [{treated}].",
                counted(points.len(), "period")
            ),
            _ => format!("Threshold Crossed: {missing} treated as [{treated}]."),
        };
    }
    let list: Vec<String> = shown
        .iter()
        .map(|(at, value)| format!("{value:?} ({})", moment(*at)))
        .collect();
    let list = list.join(", ");
    let verb = if shown.len() == 1 { "was" } else { "were" };
    let not = if is_alarm { "" } else { "not " };
    let comparison = match text("ComparisonOperator") {
        "GreaterThanOrEqualToThreshold" => "greater than or equal to",
        "LessThanThreshold" => "less than",
        "LessThanOrEqualToThreshold" => "less than or equal to",
        _ => "greater than",
    };
    let crossed = format!("{verb} {not}{comparison} the threshold ({:?})", threshold(alarm));
    let needed = alarm.configuration.get("DatapointsToAlarm").and_then(Value::as_u64);
    match needed.and_then(|needed| usize::try_from(needed).ok()) {
        Some(needed) if points.len() > 1 => {
            let (minimum, transition) = match is_alarm {
                true => (needed, "OK -> ALARM"),
                false => (points.len() + 1 - needed.min(points.len()), "ALARM -> OK"),
            };
            format!(
                "Threshold Crossed: {} out of the last {} [{list}] {crossed} (minimum {} for {transition} transition).",
                shown.len(),
                counted(points.len(), "datapoint"),
                counted(minimum, "datapoint"),
            )
        }
        _ => format!(
            "Threshold Crossed: {} [{list}] {crossed}.",
            counted(shown.len(), "datapoint")
        ),
    }
}

/// The same for programs, of an alarm that looks at `period` seconds each.
pub(super) fn data(alarm: &Alarm, period: i64, points: &[Point], now: i64) -> Value {
    let member = |name: &str| alarm.configuration.get(name).cloned();
    let recent: Vec<f64> = points.iter().rev().filter_map(|point| point.value).collect();
    let evaluated = points.iter().map(|point| {
        let mut shown = json!({"timestamp": timestamp(point.at)});
        if let Some(samples) = point.samples {
            shown["sampleCount"] = json!(samples);
        }
        if let Some(value) = point.value {
            shown["value"] = json!(value);
        }
        shown
    });
    let mut data = json!({
        "version": "1.0",
        "queryDate": timestamp(now),
        "period": period,
        "recentDatapoints": recent,
        "threshold": threshold(alarm),
        "evaluatedDatapoints": evaluated.collect::<Vec<_>>(),
    });
    let first = points
        .iter()
        .filter(|point| point.value.is_some())
        .map(|point| point.at)
        .min();
    if let Some(first) = first {
        data["startDate"] = json!(timestamp(first));
    }
    if let Some(unit) = member("Unit") {
        data["unit"] = unit;
    }
    if let Some(statistic) = member("Statistic").or(member("ExtendedStatistic")) {
        data["statistic"] = statistic;
    }
    data
}

/// Whether a value is on the wrong side of the threshold.
pub(super) fn breaches(alarm: &Alarm, value: f64) -> bool {
    let threshold = threshold(alarm);
    match alarm.configuration.get("ComparisonOperator").and_then(Value::as_str) {
        Some("GreaterThanOrEqualToThreshold") => value >= threshold,
        Some("GreaterThanThreshold") => value > threshold,
        Some("LessThanThreshold") => value < threshold,
        Some("LessThanOrEqualToThreshold") => value <= threshold,
        _ => false,
    }
}

fn threshold(alarm: &Alarm) -> f64 {
    let threshold = alarm.configuration.get("Threshold").and_then(Value::as_f64);
    threshold.unwrap_or_default()
}

/// `2026-03-01T11:59:00.000+0000`
pub(super) fn timestamp(seconds: i64) -> String {
    formatted(seconds, "%Y-%m-%dT%H:%M:%S.000+0000")
}

/// `01/03/26 11:59:00`, the day first.
fn moment(seconds: i64) -> String {
    formatted(seconds, "%d/%m/%y %H:%M:%S")
}

fn formatted(seconds: i64, format: &str) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime(format).to_string()
}

/// `1 datapoint`, `2 datapoints`
fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// `1 datapoint was`, `2 datapoints were`
fn were(number: usize, what: &str) -> String {
    let verb = if number == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(number, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_772_366_340;

    fn check(more: &Value, state: AlarmState, values: &[Option<f64>], expected: &str) {
        let mut configuration =
            json!({"Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "Statistic": "Sum"});
        if let (Some(kept), Some(more)) = (configuration.as_object_mut(), more.as_object()) {
            kept.extend(more.clone());
        }
        let alarm = Alarm::configured(&configuration, state);
        let point = |(place, value): (i64, &Option<f64>)| Point {
            at: AT - place * 60,
            value: *value,
            samples: None,
        };
        let points: Vec<Point> = (0..).zip(values).map(point).collect();
        assert_eq!(words(&alarm, state, &points), expected);
    }

    #[test]
    fn reasons_are_those_of_cloudwatch() {
        let plain = json!({});
        let one = "Threshold Crossed: 1 datapoint [7.0 (01/03/26 11:59:00)] was greater than the threshold (5.0).";
        check(&plain, AlarmState::Alarm, &[Some(7.0)], one);
        let fine = "Threshold Crossed: 1 datapoint [0.0 (01/03/26 11:59:00)] was not greater than the threshold (5.0).";
        check(&plain, AlarmState::Ok, &[Some(0.0)], fine);
        check(
            &plain,
            AlarmState::InsufficientData,
            &[None],
            "Insufficient Data: 1 datapoint was unknown.",
        );
        let none = "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching].";
        check(
            &json!({"TreatMissingData": "breaching"}),
            AlarmState::Alarm,
            &[None, None],
            none,
        );
        let some = "Threshold Crossed: 2 out of the last 3 datapoints [9.0 (01/03/26 11:59:00), 8.0 (01/03/26 11:57:00)] were greater \
                    than the threshold (5.0) (minimum 2 datapoints for OK -> ALARM transition).";
        check(
            &json!({"DatapointsToAlarm": 2}),
            AlarmState::Alarm,
            &[Some(9.0), Some(1.0), Some(8.0)],
            some,
        );
    }
}
