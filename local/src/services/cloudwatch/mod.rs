//! CloudWatch alarms (metric and metric math) with their tags, state, history and evaluation, and the arithmetic of
//! `GetMetricData`. Kept here because the emulator loses `Metrics` and evaluates an alarm over every dimension at once.
//! The measured values themselves are the emulator's.

mod actions;
mod alarms;
mod call;
mod evaluate;
pub(crate) mod math;
pub(crate) mod metric_sink;
mod notification;
mod reason;
mod statistic;
pub(crate) mod values;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use self::alarms::tags_of;
use self::evaluate::Question;
pub(crate) use self::evaluate::run as evaluate_for_ever;
use super::{Fault, now_seconds};
use crate::error::LocalError;
use crate::files;
use crate::protocol::emulator_client::Caller;

/// Most tags of an alarm or dashboard.
const MOST_TAGS: usize = 50;
/// State changes that are remembered of each alarm.
const HISTORY: usize = 100;

/// All alarms.
pub(crate) struct Alarms {
    file: PathBuf,
    state: Mutex<State>,
    written: Mutex<Written>,
}

/// The state on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    alarms: Vec<Alarm>,
    /// Tags of dashboards by ARN; dashboards themselves are the emulator's.
    dashboard_tags: BTreeMap<String, BTreeMap<String, String>>,
}

/// The identity of a metric and its owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Metric {
    pub account: String,
    pub region: String,
    pub namespace: String,
    pub name: String,
    /// Sorted.
    pub dimensions: Vec<(String, String)>,
}

impl Metric {
    /// Reads `MetricName` and `Dimensions` of a `Metric` or `MetricDatum`.
    pub(crate) fn read(account: &str, region: &str, namespace: &str, metric: &Value) -> Option<Self> {
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let pair = |dimension: &Value| {
            Some((
                dimension["Name"].as_str()?.to_owned(),
                dimension["Value"].as_str()?.to_owned(),
            ))
        };
        let mut dimensions: Vec<(String, String)> = dimensions.filter_map(pair).collect();
        dimensions.sort();
        Some(Self {
            account: account.to_owned(),
            region: region.to_owned(),
            namespace: namespace.to_owned(),
            name: metric["MetricName"].as_str()?.to_owned(),
            dimensions,
        })
    }
}

/// Which metrics got values since alarms were judged last.
#[derive(Debug, Default)]
pub(crate) struct Written {
    metrics: HashSet<Metric>,
    /// Values came in a way that does not say which.
    any: bool,
}

impl Written {
    fn is_one_of(&self, mut metrics: impl Iterator<Item = Metric>) -> bool {
        self.any || (!self.metrics.is_empty() && metrics.any(|metric| self.metrics.contains(&metric)))
    }
}

/// One alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub account: String,
    pub region: String,
    pub name: String,
    /// The members of `PutMetricAlarm`, as given.
    pub configuration: Map<String, Value>,
    pub configured_at: f64,
    pub state: AlarmState,
    pub reason: String,
    pub reason_data: Option<String>,
    pub state_updated_at: f64,
    pub transitioned_at: f64,
    pub tags: BTreeMap<String, String>,
    /// Newest last.
    pub history: Vec<HistoryItem>,
}

#[cfg(test)]
impl Alarm {
    /// An alarm of unit tests, made and changed at the beginning of time.
    fn configured(configuration: &Value, state: AlarmState) -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
            name: "a".to_owned(),
            configuration: configuration.as_object().cloned().unwrap_or_default(),
            configured_at: 0.0,
            state,
            reason: String::new(),
            reason_data: None,
            state_updated_at: 0.0,
            transitioned_at: 0.0,
            tags: BTreeMap::new(),
            history: Vec::new(),
        }
    }
}

/// State of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

impl AlarmState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData]
            .into_iter()
            .find(|state| state.name() == text)
    }
}

/// An entry of an alarm's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HistoryItem {
    pub at: f64,
    pub kind: String,
    pub summary: String,
    pub data: String,
}

impl Alarm {
    pub(crate) fn arn(&self) -> String {
        format!(
            "arn:aws:cloudwatch:{}:{}:alarm:{}",
            self.region, self.account, self.name
        )
    }

    fn remember(&mut self, kind: &str, summary: String, data: Value) {
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(HistoryItem {
            at: now_seconds(),
            kind: kind.to_owned(),
            summary,
            data: data.to_string(),
        });
    }

    /// Moves to a state, or gives the same one another reason; says from which when it is another.
    pub(crate) fn transition(
        &mut self,
        state: AlarmState,
        reason: String,
        reason_data: Option<String>,
    ) -> Option<AlarmState> {
        let before = self.state;
        let changes = before != state;
        if changes {
            let summary = format!("Alarm updated from {} to {}", before.name(), state.name());
            let described = |state: AlarmState, reason: &str, data: Option<&String>| {
                let mut described = json!({"stateValue": state.name(), "stateReason": reason});
                if let Some(data) = data {
                    // Data that is no JSON is kept as it was given.
                    described["stateReasonData"] = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
                }
                described
            };
            let data = json!({
                "version": "1.0",
                "oldState": described(before, &self.reason, self.reason_data.as_ref()),
                "newState": described(state, &reason, reason_data.as_ref()),
            });
            self.remember("StateUpdate", summary, data);
            self.transitioned_at = now_seconds();
        }
        self.state = state;
        self.reason = reason;
        self.reason_data = reason_data;
        self.state_updated_at = now_seconds();
        changes.then_some(before)
    }
}

/// Operations that are answered here; the rest is the emulator's.
pub(crate) fn owns(operation: &str) -> bool {
    matches!(
        operation,
        "PutMetricAlarm"
            | "PutCompositeAlarm"
            | "DescribeAlarms"
            | "DescribeAlarmsForMetric"
            | "DescribeAlarmHistory"
            | "DeleteAlarms"
            | "SetAlarmState"
            | "EnableAlarmActions"
            | "DisableAlarmActions"
            | "TagResource"
            | "UntagResource"
            | "ListTagsForResource"
    )
}

impl Alarms {
    /// Reads the state on disk.
    pub(crate) fn open(file: PathBuf) -> Result<Self, LocalError> {
        let state = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            state: Mutex::new(state),
            written: Mutex::default(),
        })
    }

    /// Metrics got values: their alarms are judged again.
    pub(crate) fn wrote(&self, metrics: impl IntoIterator<Item = Metric>) {
        self.written.lock().metrics.extend(metrics);
    }

    /// Some metric may have got values: all alarms are judged again.
    pub(crate) fn wrote_any(&self) {
        self.written.lock().any = true;
    }

    fn take_written(&self) -> Written {
        std::mem::take(&mut *self.written.lock())
    }

    /// Every alarm and its metrics.
    fn questions(&self) -> Vec<(Alarm, Question)> {
        let state = self.state.lock();
        let alarms = state.alarms.iter();
        alarms
            .filter_map(|alarm| Some((alarm.clone(), Question::of(alarm)?)))
            .collect()
    }

    /// Changes the state: on disk, then visible. Nothing changes when `change` or the disk fails.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        let result = change(&mut next)?;
        files::write_json(&self.file, &next)?;
        *state = next;
        Ok(result)
    }

    /// ARN and tags of every alarm of an account and region.
    pub(crate) fn tagged(&self, caller: &Caller) -> Vec<(String, BTreeMap<String, String>)> {
        let state = self.state.lock();
        let of_caller = state.alarms.iter().filter(|alarm| is_of(alarm, caller));
        let dashboards = state
            .dashboard_tags
            .iter()
            .map(|(arn, tags)| (arn.clone(), tags.clone()));
        of_caller
            .map(|alarm| (alarm.arn(), alarm.tags.clone()))
            .chain(dashboards)
            .collect()
    }

    /// The tags of an alarm or dashboard; of one that is gone, none.
    fn tags_of_any(&self, arn: &str) -> BTreeMap<String, String> {
        let state = self.state.lock();
        let alarm = state.alarms.iter().find(|alarm| alarm.arn() == arn);
        let tags = alarm.map(|alarm| &alarm.tags).or(state.dashboard_tags.get(arn));
        tags.cloned().unwrap_or_default()
    }

    /// Changes the tags of an alarm or dashboard, named by ARN, and returns them.
    pub(crate) fn tags(
        &self,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<BTreeMap<String, String>, Fault> {
        self.change(|state| {
            let tags = match state.alarms.iter_mut().find(|alarm| alarm.arn() == arn) {
                Some(alarm) => &mut alarm.tags,
                None if arn.contains(":dashboard/") => state.dashboard_tags.entry(arn.to_owned()).or_default(),
                None => {
                    return Err(Fault::new(
                        404,
                        "ResourceNotFoundException",
                        format!("Alarm resource {arn} not found"),
                    ));
                }
            };
            change(tags);
            let tags = tags.clone();
            if tags.len() > MOST_TAGS {
                return Err(Fault::new(
                    400,
                    "ValidationError",
                    format!("A resource has at most {MOST_TAGS} tags"),
                ));
            }
            state.dashboard_tags.retain(|_, tags| !tags.is_empty());
            Ok(tags)
        })
    }

    /// Dashboards that are gone have no tags.
    pub(crate) fn forget_dashboards(&self, names: &[String], account: &str) {
        let arns: Vec<String> = names
            .iter()
            .map(|name| format!("arn:aws:cloudwatch::{account}:dashboard/{name}"))
            .collect();
        let _ = self.change(|state| {
            state.dashboard_tags.retain(|arn, _| !arns.contains(arn));
            Ok(())
        });
    }
}

fn is_of(alarm: &Alarm, caller: &Caller) -> bool {
    alarm.account == caller.account && alarm.region == caller.region
}
