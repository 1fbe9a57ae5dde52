//! What an alarm publishes to its topics when its state changes. Pure.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html>

use serde_json::{Map, Value, json};

use super::reason::timestamp;
use super::{Alarm, AlarmState};

/// Subject and message.
pub(super) struct Notification {
    pub subject: String,
    pub message: String,
}

/// The notification of an alarm that left its state for another, now, in seconds since the epoch.
pub(super) fn of(alarm: &Alarm, state: AlarmState, reason: &str, now: i64) -> Notification {
    let member = |name: &str| alarm.configuration.get(name).cloned().unwrap_or(Value::Null);
    let message = json!({
        "AlarmName": alarm.name,
        "AlarmDescription": member("AlarmDescription"),
        "AWSAccountId": alarm.account,
        "AlarmConfigurationUpdatedTimestamp": timestamp(alarm.configured_at as i64),
        "NewStateValue": state.name(),
        "NewStateReason": reason,
        "StateChangeTime": timestamp(now),
        "Region": place(&alarm.region),
        "AlarmArn": alarm.arn(),
        "OldStateValue": alarm.state.name(),
        "OKActions": member("OKActions"),
        "AlarmActions": member("AlarmActions"),
        "InsufficientDataActions": member("InsufficientDataActions"),
        "Trigger": trigger(&alarm.configuration),
    });
    Notification {
        subject: format!("{}: \"{}\" in {}", state.name(), alarm.name, place(&alarm.region)),
        message: message.to_string(),
    }
}

/// What is looked at, with dimensions in lower case, as only here.
fn trigger(configuration: &Map<String, Value>) -> Value {
    let member = |name: &str| configuration.get(name).cloned().unwrap_or(Value::Null);
    let mut trigger = json!({
        "Period": member("Period"),
        "EvaluationPeriods": member("EvaluationPeriods"),
        "ComparisonOperator": member("ComparisonOperator"),
        "Threshold": member("Threshold"),
        "TreatMissingData": configuration.get("TreatMissingData").cloned().unwrap_or_else(|| json!("missing")),
        "EvaluateLowSampleCountPercentile":
            configuration.get("EvaluateLowSampleCountPercentile").cloned().unwrap_or_else(|| json!("")),
    });
    if let Some(points) = configuration.get("DatapointsToAlarm") {
        trigger["DatapointsToAlarm"] = points.clone();
    }
    if let Some(Value::Array(metrics)) = configuration.get("Metrics") {
        let shown = metrics.iter().map(|metric| {
            let mut shown = metric.clone();
            if let Some(measured) = shown.pointer_mut("/MetricStat/Metric") {
                measured["Dimensions"] = dimensions(&measured["Dimensions"]);
            }
            shown
        });
        trigger["Metrics"] = shown.collect();
        return trigger;
    }
    trigger["MetricName"] = member("MetricName");
    trigger["Namespace"] = member("Namespace");
    trigger["Unit"] = member("Unit");
    trigger["Dimensions"] = dimensions(&member("Dimensions"));
    match configuration.get("ExtendedStatistic") {
        Some(statistic) => {
            trigger["StatisticType"] = json!("ExtendedStatistic");
            trigger["ExtendedStatistic"] = statistic.clone();
        }
        None => {
            let statistic = member("Statistic");
            trigger["StatisticType"] = json!("Statistic");
            trigger["Statistic"] = json!(screaming(statistic.as_str().unwrap_or_default()));
        }
    }
    trigger
}

/// `SAMPLE_COUNT` of `SampleCount`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for (place, letter) in name.chars().enumerate() {
        if place > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

fn dimensions(given: &Value) -> Value {
    let given = given.as_array().into_iter().flatten();
    given
        .map(|one| json!({"value": one["Value"], "name": one["Name"]}))
        .collect()
}

/// The name of a region as messages have it.
/// <https://docs.aws.amazon.com/general/latest/gr/cw_region.html>
fn place(region: &str) -> &str {
    const NAMES: [(&str, &str); 12] = [
        ("us-east-1", "US East (N. Virginia)"),
        ("us-east-2", "US East (Ohio)"),
        ("us-west-1", "US West (N. California)"),
        ("us-west-2", "US West (Oregon)"),
        ("ca-central-1", "Canada (Central)"),
        ("eu-central-1", "EU (Frankfurt)"),
        ("eu-west-1", "EU (Ireland)"),
        ("eu-west-2", "EU (London)"),
        ("eu-west-3", "EU (Paris)"),
        ("eu-north-1", "EU (Stockholm)"),
        ("ap-southeast-1", "Asia Pacific (Singapore)"),
        ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ];
    let found = NAMES.iter().find(|(id, _)| *id == region);
    found.map_or(region, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(configuration: &Value) -> Value {
        let alarm = Alarm::configured(configuration, AlarmState::Ok);
        let notification = of(&alarm, AlarmState::Alarm, "why", 60);
        assert_eq!(notification.subject, "ALARM: \"a\" in EU (Frankfurt)");
        serde_json::from_str(&notification.message).unwrap_or_default()
    }

    #[test]
    fn a_message_names_what_is_looked_at() {
        let single = message(&json!({
            "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "SampleCount", "Period": 60, "EvaluationPeriods": 1,
            "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": ["arn:t"],
            "Dimensions": [{"Name": "FunctionName", "Value": "f"}],
        }));
        assert_eq!(single["OldStateValue"], "OK");
        assert_eq!(single["StateChangeTime"], "1970-01-01T00:01:00.000+0000");
        assert_eq!(single["AlarmActions"], json!(["arn:t"]));
        let trigger = json!({
            "MetricName": "Errors", "Namespace": "AWS/Lambda", "StatisticType": "Statistic", "Statistic": "SAMPLE_COUNT", "Unit": null,
            "Dimensions": [{"name": "FunctionName", "value": "f"}], "Period": 60, "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold", "Threshold": 5.0, "TreatMissingData": "missing",
            "EvaluateLowSampleCountPercentile": "",
        });
        assert_eq!(single["Trigger"], trigger);
    }

    #[test]
    fn metric_math_is_shown_as_it_is() {
        let stat = json!({"Metric": {"MetricName": "E", "Namespace": "N", "Dimensions": [{"Name": "D", "Value": "d"}]}, "Period": 60, "Stat": "Sum"});
        let math = message(
            &json!({"EvaluationPeriods": 1, "Metrics": [{"Id": "m", "MetricStat": stat}, {"Id": "e", "Expression": "m * 2"}]}),
        );
        let metrics = &math["Trigger"]["Metrics"];
        assert_eq!(
            metrics[0]["MetricStat"]["Metric"]["Dimensions"],
            json!([{"name": "D", "value": "d"}])
        );
        assert_eq!(metrics[1]["Expression"], "m * 2");
    }
}
