//! Judges alarms by their metrics, every few seconds. An alarm costs nothing while its metrics rest: it is judged again when
//! one of them was written, when a period ends that may take values out of its sight, and when it was changed itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::notification::{self, Notification};
use super::reason::{self, Point, breaches};
use super::values::{self, period};
use super::{Alarm, AlarmState, Alarms, Metric, Written};
use crate::protocol::emulator_client::Caller;
use crate::protocol::emulator_client::EmulatorClient;

/// How often alarms are judged. CloudWatch does it every minute; here the operator waits less.
const INTERVAL: Duration = Duration::from_secs(5);

/// The query of how many values a point of a single metric is made of.
const SAMPLES: &str = "taskctl_samples";

/// Judges all alarms until `stop`.
pub(crate) async fn run(alarms: Arc<Alarms>, emulator: EmulatorClient, mut stop: watch::Receiver<bool>) {
    let mut turns = tokio::time::interval(INTERVAL);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut judged = BTreeMap::new();
    loop {
        tokio::select! {
            _ = turns.tick() => (),
            _ = stop.changed() => return,
        }
        let written = alarms.take_written();
        let now = jiff::Timestamp::now().as_second();
        let mut known = BTreeMap::new();
        for (alarm, question) in alarms.questions() {
            let arn = alarm.arn();
            if let Some(before) = judged
                .remove(&arn)
                .filter(|before: &Judged| before.holds(&alarm, &question, &written, now))
            {
                known.insert(arn, before);
                continue;
            }
            let Some((verdict, judgement)) = judge(&emulator, &alarm, &question, now).await else {
                continue;
            };
            known.insert(arn, judgement);
            if verdict.state != alarm.state && alarms.settle(&alarm, &verdict) {
                act(&emulator, &alarm, verdict.state, &verdict.reason).await;
            }
        }
        judged = known;
    }
}

/// The metrics of an alarm.
pub(super) struct Question {
    queries: Vec<Value>,
    /// Which of them is judged.
    id: String,
    period: i64,
    periods: i64,
}

impl Question {
    pub(super) fn of(alarm: &Alarm) -> Option<Self> {
        let configuration = &alarm.configuration;
        let queries = match configuration.get("Metrics").and_then(Value::as_array) {
            Some(metrics) => metrics.clone(),
            None => {
                let of = |id: &str, statistic: Value| {
                    json!({
                        "Id": id,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": configuration.get("Namespace"),
                                "MetricName": configuration.get("MetricName"),
                                "Dimensions": configuration.get("Dimensions"),
                            },
                            "Period": configuration.get("Period"),
                            "Stat": statistic,
                        },
                        "ReturnData": id != SAMPLES,
                    })
                };
                let statistic = configuration
                    .get("Statistic")
                    .or(configuration.get("ExtendedStatistic"));
                vec![of("m", json!(statistic)), of(SAMPLES, json!("SampleCount"))]
            }
        };
        let returned = queries
            .iter()
            .find(|query| query["ReturnData"].as_bool().unwrap_or(true))?;
        let id = returned["Id"].as_str()?.to_owned();
        let period = period(returned)
            .or_else(|| queries.iter().filter_map(values::period).min())
            .unwrap_or(60);
        let periods = configuration
            .get("EvaluationPeriods")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        Some(Self {
            queries,
            id,
            period,
            periods,
        })
    }

    /// Begin of the period that runs.
    fn current(&self, now: i64) -> i64 {
        now.div_euclid(self.period) * self.period
    }

    fn metrics<'a>(&'a self, alarm: &'a Alarm) -> impl Iterator<Item = Metric> + 'a {
        let stats = self.queries.iter().map(|query| &query["MetricStat"]["Metric"]);
        stats.filter_map(|metric| {
            let namespace = metric["Namespace"].as_str()?;
            Metric::read(&alarm.account, &alarm.region, namespace, metric)
        })
    }
}

/// The basis of an evaluation, and so how long it holds.
struct Judged {
    configured_at: f64,
    state_updated_at: f64,
    current: i64,
    /// Without values in sight, time changes nothing.
    is_empty: bool,
}

impl Judged {
    fn holds(&self, alarm: &Alarm, question: &Question, written: &Written, now: i64) -> bool {
        self.configured_at == alarm.configured_at
            && self.state_updated_at == alarm.state_updated_at
            && (self.is_empty || self.current == question.current(now))
            && !written.is_one_of(question.metrics(alarm))
    }
}

/// The result of an evaluation.
struct Verdict {
    state: AlarmState,
    reason: String,
    reason_data: Option<String>,
}

impl Alarms {
    /// Moves an alarm to where it should be, unless it was changed meanwhile.
    fn settle(&self, judged: &Alarm, verdict: &Verdict) -> bool {
        let settled = self.change(|state| {
            let same = |alarm: &&mut Alarm| {
                alarm.arn() == judged.arn()
                    && alarm.configured_at == judged.configured_at
                    && alarm.state_updated_at == judged.state_updated_at
            };
            let alarm = state.alarms.iter_mut().find(same);
            Ok(alarm
                .and_then(|alarm| alarm.transition(verdict.state, verdict.reason.clone(), verdict.reason_data.clone()))
                .is_some())
        });
        settled.unwrap_or(false)
    }
}

async fn judge(emulator: &EmulatorClient, alarm: &Alarm, question: &Question, now: i64) -> Option<(Verdict, Judged)> {
    let period = question.period;
    let current = question.current(now);
    let start = current - question.periods * period;
    let caller = Caller {
        account: alarm.account.clone(),
        region: alarm.region.clone(),
    };
    let results = values::query(emulator, &caller, &question.queries, start, current + period)
        .await
        .ok()?;
    let judged = Judged {
        configured_at: alarm.configured_at,
        state_updated_at: alarm.state_updated_at,
        current,
        is_empty: results.values().flatten().all(BTreeMap::is_empty),
    };
    let series = match results.get(&question.id)? {
        Ok(series) => series,
        Err(reason) => {
            let state = AlarmState::InsufficientData;
            let reason = format!("Unchecked: {reason}");
            let reason_data = None;
            return Some((
                Verdict {
                    state,
                    reason,
                    reason_data,
                },
                judged,
            ));
        }
    };
    // The period that runs now counts as soon as it has a value.
    let last = if series.contains_key(&current) {
        current
    } else {
        current - period
    };
    let samples = results.get(SAMPLES).and_then(|samples| samples.as_ref().ok());
    let point = |index: i64| {
        let at = last - index * period;
        Point {
            at,
            value: series.get(&at).copied(),
            samples: samples.and_then(|samples| samples.get(&at).copied()),
        }
    };
    let points: Vec<Point> = (0..question.periods).map(point).collect();
    let state = verdict(alarm, &points);
    let verdict = Verdict {
        state,
        reason: reason::words(alarm, state, &points),
        reason_data: Some(reason::data(alarm, period, &points, now).to_string()),
    };
    Some((verdict, judged))
}

/// Judges the values of the last periods, newest first.
fn verdict(alarm: &Alarm, points: &[Point]) -> AlarmState {
    let configuration = &alarm.configuration;
    let text = |member: &str| configuration.get(member).and_then(Value::as_str).unwrap_or_default();
    let needed = configuration
        .get("DatapointsToAlarm")
        .and_then(Value::as_u64)
        .unwrap_or(points.len() as u64);
    let missing = if text("Namespace") == "AWS/DynamoDB" {
        "ignore"
    } else {
        text("TreatMissingData")
    };
    let known: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
    let absent = points.len() - known.len();
    let breaching =
        known.iter().filter(|value| breaches(alarm, **value)).count() + if missing == "breaching" { absent } else { 0 };
    if breaching as u64 >= needed {
        AlarmState::Alarm
    } else if !known.is_empty() || matches!(missing, "notBreaching" | "breaching") {
        AlarmState::Ok
    } else if missing == "ignore" {
        alarm.state
    } else {
        AlarmState::InsufficientData
    }
}

/// Publishes the new state of an alarm, as it was before, to its topics.
pub(super) async fn act(emulator: &EmulatorClient, alarm: &Alarm, state: AlarmState, reason: &str) {
    let enabled = alarm
        .configuration
        .get("ActionsEnabled")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let member = match state {
        AlarmState::Ok => "OKActions",
        AlarmState::Alarm => "AlarmActions",
        AlarmState::InsufficientData => "InsufficientDataActions",
    };
    let targets = alarm
        .configuration
        .get(member)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let topics = targets
        .iter()
        .filter_map(Value::as_str)
        .filter(|arn| enabled && arn.contains(":sns:"));
    let caller = Caller {
        account: alarm.account.clone(),
        region: alarm.region.clone(),
    };
    let Notification { subject, message } = notification::of(alarm, state, reason, jiff::Timestamp::now().as_second());
    for topic in topics {
        let parameters = [
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", topic),
            ("Subject", &subject),
            ("Message", &message),
        ];
        if let Err(error) = emulator.query(&caller, "sns", &parameters).await {
            tracing::warn!(%error, topic, "the state of an alarm could not be published");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn alarm(state: AlarmState) -> Alarm {
        let configuration = json!({
            "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2,
            "Dimensions": [{"Name": "Resource", "Value": "r"}, {"Name": "FunctionName", "Value": "f"}],
            "Threshold": 5.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        });
        Alarm {
            account: "1".to_owned(),
            region: "eu-central-1".to_owned(),
            name: "a".to_owned(),
            configuration: configuration.as_object().cloned().unwrap_or_default(),
            configured_at: 1.0,
            state,
            reason: String::new(),
            reason_data: None,
            state_updated_at: 2.0,
            transitioned_at: 2.0,
            tags: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    fn check(missing: &str, needed: u64, points: &[Option<f64>], expected: AlarmState) {
        let configuration = json!({
            "Namespace": "AWS/Lambda", "Threshold": 5.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "DatapointsToAlarm": needed, "TreatMissingData": missing,
        });
        let alarm = Alarm {
            configuration: configuration.as_object().cloned().unwrap_or_default(),
            ..alarm(AlarmState::Alarm)
        };
        let point = |value: &Option<f64>| Point {
            at: 0,
            value: *value,
            samples: None,
        };
        let shown: Vec<Point> = points.iter().map(point).collect();
        assert_eq!(verdict(&alarm, &shown), expected, "{missing} {needed} {points:?}");
    }

    #[test]
    fn verdicts() {
        check("notBreaching", 1, &[Some(5.0)], AlarmState::Alarm);
        check("notBreaching", 1, &[Some(4.9)], AlarmState::Ok);
        check("notBreaching", 2, &[Some(9.0), None, Some(9.0)], AlarmState::Alarm);
        check("notBreaching", 2, &[Some(9.0), None, None], AlarmState::Ok);
        check("notBreaching", 1, &[None], AlarmState::Ok);
        check("breaching", 1, &[None], AlarmState::Alarm);
        check("missing", 1, &[None, None], AlarmState::InsufficientData);
        check("ignore", 1, &[None, None], AlarmState::Alarm);
        check("", 1, &[None, Some(1.0)], AlarmState::Ok);
    }

    #[test]
    fn a_judgement_holds_while_nothing_can_change_it() {
        let alarm = alarm(AlarmState::Ok);
        let question = Question::of(&alarm).expect("it looks at a metric");
        let judged = |is_empty| Judged {
            configured_at: 1.0,
            state_updated_at: 2.0,
            current: 600,
            is_empty,
        };
        let rest = Written::default();
        assert!(judged(false).holds(&alarm, &question, &rest, 659));
        assert!(
            !judged(false).holds(&alarm, &question, &rest, 660),
            "values go out of sight"
        );
        assert!(judged(true).holds(&alarm, &question, &rest, 6_000));

        let written = |function: &str| {
            let datum = json!({"MetricName": "Errors", "Dimensions": [
                {"Name": "FunctionName", "Value": function}, {"Name": "Resource", "Value": "r"},
            ]});
            let metric = Metric::read("1", "eu-central-1", "AWS/Lambda", &datum);
            Written {
                metrics: metric.into_iter().collect(),
                any: false,
            }
        };
        assert!(!judged(true).holds(&alarm, &question, &written("f"), 600));
        assert!(judged(true).holds(&alarm, &question, &written("g"), 600));
        let any = Written {
            any: true,
            ..Written::default()
        };
        assert!(!judged(true).holds(&alarm, &question, &any, 600));

        let configured = Alarm {
            configured_at: 3.0,
            ..alarm.clone()
        };
        assert!(!judged(true).holds(&configured, &question, &rest, 600));
        let set = Alarm {
            state_updated_at: 3.0,
            ..alarm
        };
        assert!(!judged(true).holds(&set, &question, &rest, 600));
    }
}
