//! The stack's alarms: what they watch, how they are, and since when they were otherwise.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{ComparisonOperator, HistoryItemType, MetricAlarm, ScanBy};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::read::reader::Reader;

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Name.
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub state: String,
    /// Since when.
    #[serde(serialize_with = "crate::time::serialize_known")]
    #[schemars(with = "Option<jiff::Timestamp>")]
    pub since: Option<Timestamp>,
    /// Why, as CloudWatch says it.
    pub reason: Option<String>,
    /// What it watches.
    pub watches: Watched,
    /// When it turns red, such as `> 5 in 3 of 5 periods of 60 s`.
    pub condition: String,
    /// Who is told: ARNs of topics.
    pub notifies: Vec<String>,
    /// How its state changed, newest first; empty unless it was asked for.
    pub history: Vec<Turn>,
}

/// What an alarm watches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// Such as `AWS/Lambda`.
    pub namespace: Option<String>,
    /// Such as `Errors`.
    pub metric: Option<String>,
    /// Such as `Sum`.
    pub statistic: Option<String>,
    /// Metric math, where it watches an expression; the metric is then the first one in it.
    pub expression: Option<String>,
    /// Whose metric.
    pub dimensions: BTreeMap<String, String>,
    /// Logical name of the function, where it is one's.
    pub function: Option<String>,
    /// Logical name of the table, where it is one's.
    pub table: Option<String>,
}

/// A change of an alarm's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// When.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub at: Timestamp,
    /// What happened, as CloudWatch says it.
    pub summary: String,
}

/// The stack's alarms, by name: the red ones first. With their changes since a time, when one is given.
pub async fn read(context: &Context, since: Option<Timestamp>) -> Result<Vec<Alarm>, AwsError> {
    let reader = Reader::new(context.clone());
    let prefix = context.identity().prefix();
    let mut alarms: Vec<Alarm> = reader
        .alarms()
        .await?
        .iter()
        .map(|alarm| described(alarm, &prefix))
        .collect();
    alarms.sort_by(|a, b| (rank(&a.state), &a.name).cmp(&(rank(&b.state), &b.name)));
    let Some(since) = since else {
        return Ok(alarms);
    };
    // One whose state is older than that has none.
    let recent = alarms
        .iter_mut()
        .filter(|alarm| alarm.since.is_none_or(|at| at >= since));
    futures::future::try_join_all(recent.map(|alarm| async {
        alarm.history = turns(context, &alarm.name, since).await?;
        Ok::<_, AwsError>(())
    }))
    .await?;
    Ok(alarms)
}

fn rank(state: &str) -> u8 {
    match state {
        "ALARM" => 0,
        "INSUFFICIENT_DATA" => 1,
        _ => 2,
    }
}

fn time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

fn described(alarm: &MetricAlarm, prefix: &str) -> Alarm {
    // Of an expression: its text, and the first metric in it.
    let first = alarm.metrics().iter().find_map(|one| one.metric_stat());
    let expression = alarm.metrics().iter().find(|one| one.return_data().unwrap_or(true));
    let metric = first.and_then(|first| first.metric());
    let text = |value: Option<&str>| value.map(str::to_owned);
    let dimensions: BTreeMap<String, String> = metric
        .map_or(alarm.dimensions(), |metric| metric.dimensions())
        .iter()
        .filter_map(|one| Some((one.name()?.to_owned(), one.value()?.to_owned())))
        .collect();
    let logical = |dimension: &str| {
        let name = dimensions.get(dimension)?;
        Some(name.strip_prefix(prefix).unwrap_or(name).to_owned())
    };
    let period = alarm
        .period()
        .or_else(|| first.and_then(|first| first.period()))
        .unwrap_or(60);
    Alarm {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: alarm
            .state_value()
            .map_or("INSUFFICIENT_DATA", |state| state.as_str())
            .to_owned(),
        since: alarm.state_updated_timestamp().and_then(time),
        reason: text(alarm.state_reason()),
        condition: condition(alarm, period),
        notifies: alarm.alarm_actions().to_vec(),
        history: Vec::new(),
        watches: Watched {
            namespace: text(metric.map_or(alarm.namespace(), |metric| metric.namespace())),
            metric: text(metric.map_or(alarm.metric_name(), |metric| metric.metric_name())),
            statistic: match first {
                Some(first) => text(first.stat()),
                None => alarm
                    .statistic()
                    .map(|statistic| statistic.as_str().to_owned())
                    .or_else(|| text(alarm.extended_statistic())),
            },
            expression: expression.and_then(|one| text(one.expression())),
            function: logical("FunctionName"),
            table: logical("TableName"),
            dimensions,
        },
    }
}

fn condition(alarm: &MetricAlarm, period: i32) -> String {
    let sign = match alarm.comparison_operator() {
        Some(ComparisonOperator::GreaterThanOrEqualToThreshold) => ">=",
        Some(ComparisonOperator::LessThanThreshold) => "<",
        Some(ComparisonOperator::LessThanOrEqualToThreshold) => "<=",
        _ => ">",
    };
    let periods = alarm.evaluation_periods().unwrap_or(1);
    let needed = alarm.datapoints_to_alarm().unwrap_or(periods);
    let threshold = alarm.threshold().unwrap_or_default();
    match (needed, periods) {
        (1, 1) => format!("{sign} {threshold} in {period} s"),
        (needed, periods) => format!("{sign} {threshold} in {needed} of {periods} periods of {period} s"),
    }
}

/// How an alarm's state changed, newest first.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html>
async fn turns(context: &Context, alarm: &str, since: Timestamp) -> Result<Vec<Turn>, AwsError> {
    let client = &context.clients().cloudwatch;
    let turns = context.pages(|token| async move {
        let page = context
            .call(op("cloudwatch", "DescribeAlarmHistory"), || {
                client
                    .describe_alarm_history()
                    .alarm_name(alarm)
                    .history_item_type(HistoryItemType::StateUpdate)
                    .start_date(DateTime::from_secs(since.as_second()))
                    .end_date(DateTime::from_secs(context.aws_now().as_second() + 1))
                    .scan_by(ScanBy::TimestampDescending)
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        let items = page.alarm_history_items.unwrap_or_default().into_iter();
        let turns = items.filter_map(|item| {
            Some(Turn {
                at: time(item.timestamp()?)?,
                summary: item.history_summary.unwrap_or_default(),
            })
        });
        Ok((turns.collect(), page.next_token))
    });
    turns.await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, StateValue, Statistic};

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::error::ErrorKind;
    use crate::aws::client::fake::{cbor, clients};

    #[tokio::test(start_paused = true)]
    async fn a_history_whose_pages_do_not_end_is_an_error() {
        let answer = cbor(&serde_json::json!({"AlarmHistoryItems": [], "NextToken": "again"}));
        let clients = clients("eu-central-1", move |_| (200, answer.clone()));
        let context = context_over(identity(), clients);
        let error = turns(&context, "errors", Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert_eq!((error.kind, context.calls()), (ErrorKind::Invalid, 2));
    }

    #[test]
    fn an_alarm_says_what_it_watches() {
        let dimension = Dimension::builder()
            .name("FunctionName")
            .value("shop-prod-tasks")
            .build();
        let plain = MetricAlarm::builder()
            .alarm_name("shop-prod-tasks-throttles")
            .state_value(StateValue::Alarm)
            .namespace("AWS/Lambda")
            .metric_name("Throttles")
            .statistic(Statistic::Sum)
            .dimensions(dimension.clone())
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .threshold(0.0)
            .period(60)
            .evaluation_periods(1)
            .build();
        let plain = described(&plain, "shop-prod-");
        assert_eq!(plain.watches.function.as_deref(), Some("tasks"));
        assert_eq!(plain.watches.metric.as_deref(), Some("Throttles"));
        assert_eq!(plain.condition, "> 0 in 60 s");

        let metric = Metric::builder()
            .namespace("AWS/Lambda")
            .metric_name("Errors")
            .dimensions(dimension)
            .build();
        let statistic = MetricStat::builder().metric(metric).period(300).stat("Sum").build();
        let share = MetricAlarm::builder()
            .metrics(
                MetricDataQuery::builder()
                    .id("errors")
                    .metric_stat(statistic)
                    .return_data(false)
                    .build(),
            )
            .metrics(
                MetricDataQuery::builder()
                    .id("share")
                    .expression("100 * errors / calls")
                    .return_data(true)
                    .build(),
            )
            .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
            .threshold(1.5)
            .evaluation_periods(5)
            .datapoints_to_alarm(3)
            .build();
        let share = described(&share, "shop-prod-");
        assert_eq!(share.watches.expression.as_deref(), Some("100 * errors / calls"));
        assert_eq!(share.watches.statistic.as_deref(), Some("Sum"));
        assert_eq!(share.condition, ">= 1.5 in 3 of 5 periods of 300 s");
    }
}
