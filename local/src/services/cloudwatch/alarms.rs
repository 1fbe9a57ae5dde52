//! Calls on alarms.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Alarm, AlarmState, Alarms, Metric, is_of, statistic};
use crate::protocol::emulator_client::Caller;
use crate::services::{Fault, now_seconds, page};

/// Members of `PutMetricAlarm` that are kept and read back as they are.
const KEPT: [&str; 21] = [
    "AlarmDescription",
    "ActionsEnabled",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
    "ThresholdMetricId",
    "EvaluationInterval",
];
const LARGEST_PAGE: u64 = 100;

impl Alarms {
    /// Answers one of the operations that [`super::owns`] names.
    pub(crate) fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Result<Value, Fault> {
        match operation {
            "PutMetricAlarm" => self.put(caller, input),
            "PutCompositeAlarm" => Err(invalid("Composite alarms are not served by the local target")),
            "DescribeAlarms" => self.describe(caller, input),
            "DescribeAlarmsForMetric" => Ok(self.describe_for_metric(caller, input)),
            "DescribeAlarmHistory" => self.describe_history(caller, input),
            "DeleteAlarms" => self.delete(caller, &names(input, "AlarmNames")),
            "SetAlarmState" => self.set_state(caller, input).map(|_| json!({})),
            "EnableAlarmActions" => self.set_actions(caller, &names(input, "AlarmNames"), true),
            "DisableAlarmActions" => self.set_actions(caller, &names(input, "AlarmNames"), false),
            "TagResource" => {
                let given = tags_of(&input["Tags"]);
                self.tags(text(input, "ResourceARN"), |tags| tags.extend(given))
                    .map(|_| json!({}))
            }
            "UntagResource" => {
                let keys = names(input, "TagKeys");
                self.tags(text(input, "ResourceARN"), |tags| {
                    tags.retain(|key, _| !keys.contains(key))
                })
                .map(|_| json!({}))
            }
            "ListTagsForResource" => {
                let tags = self.tags_of_any(text(input, "ResourceARN"));
                let tags: Vec<Value> = tags
                    .iter()
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                Ok(json!({"Tags": tags}))
            }
            other => Err(Fault::new(
                400,
                "InvalidAction",
                format!("The action {other} is not valid"),
            )),
        }
    }

    fn put(&self, caller: &Caller, input: &Value) -> Result<Value, Fault> {
        let name = text(input, "AlarmName").to_owned();
        if name.is_empty() || name.len() > 255 {
            return Err(invalid("AlarmName must be 1 to 255 characters long"));
        }
        let mut configuration: Map<String, Value> = KEPT
            .iter()
            .filter_map(|member| {
                Some((
                    (*member).to_owned(),
                    input.get(*member).filter(|value| !value.is_null())?.clone(),
                ))
            })
            .collect();
        check(&configuration)?;
        if let Some(threshold) = configuration.get("Threshold").and_then(Value::as_f64) {
            // A whole number reads back as a floating-point one: strict decoders distinguish them.
            configuration.insert("Threshold".to_owned(), json!(threshold));
        }
        configuration.entry("ActionsEnabled").or_insert(Value::Bool(true));
        for member in ["OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions"] {
            configuration.entry(member).or_insert_with(|| json!([]));
        }
        self.change(|state| {
            match state
                .alarms
                .iter_mut()
                .find(|alarm| is_of(alarm, caller) && alarm.name == name)
            {
                // State and tags stay: tags of an existing alarm are changed by TagResource only.
                Some(alarm) => {
                    alarm.configuration = configuration;
                    alarm.configured_at = now_seconds();
                    alarm.remember(
                        "ConfigurationUpdate",
                        format!("Alarm \"{name}\" updated"),
                        json!({"type": "Update"}),
                    );
                }
                None => {
                    let mut alarm = Alarm {
                        account: caller.account.clone(),
                        region: caller.region.clone(),
                        name: name.clone(),
                        configuration,
                        configured_at: now_seconds(),
                        state: AlarmState::InsufficientData,
                        reason: "Unchecked: Initial alarm creation".to_owned(),
                        reason_data: None,
                        state_updated_at: now_seconds(),
                        transitioned_at: now_seconds(),
                        tags: tags_of(&input["Tags"]),
                        history: Vec::new(),
                    };
                    alarm.remember(
                        "ConfigurationUpdate",
                        format!("Alarm \"{name}\" created"),
                        json!({"type": "Create"}),
                    );
                    state.alarms.push(alarm);
                    state.alarms.sort_by(|a, b| a.name.cmp(&b.name));
                }
            }
            Ok(json!({}))
        })
    }

    fn describe(&self, caller: &Caller, input: &Value) -> Result<Value, Fault> {
        let wanted = names(input, "AlarmNames");
        let prefix = text(input, "AlarmNamePrefix");
        let in_state = text(input, "StateValue");
        let action = text(input, "ActionPrefix");
        let types = names(input, "AlarmTypes");
        let metric_alarms = types.is_empty() || types.iter().any(|kind| kind == "MetricAlarm");
        let state = self.state.lock();
        let found: Vec<Value> = state
            .alarms
            .iter()
            .filter(|alarm| is_of(alarm, caller) && metric_alarms)
            .filter(|alarm| wanted.is_empty() || wanted.contains(&alarm.name))
            .filter(|alarm| alarm.name.starts_with(prefix))
            .filter(|alarm| in_state.is_empty() || alarm.state.name() == in_state)
            .filter(|alarm| action.is_empty() || actions(alarm).any(|arn| arn.starts_with(action)))
            .map(view)
            .collect();
        let size = input["MaxRecords"]
            .as_u64()
            .unwrap_or(LARGEST_PAGE)
            .clamp(1, LARGEST_PAGE);
        paged(
            found,
            size,
            input,
            |alarms| json!({"MetricAlarms": alarms, "CompositeAlarms": []}),
        )
    }

    /// Alarms of exactly this metric, and of the statistic, period and unit where they are given.
    fn describe_for_metric(&self, caller: &Caller, input: &Value) -> Value {
        let metric = |members: &Value| {
            let namespace = members["Namespace"].as_str().unwrap_or_default();
            Metric::read(&caller.account, &caller.region, namespace, members)
        };
        let wanted = metric(input);
        let state = self.state.lock();
        let found = state.alarms.iter().filter(|alarm| is_of(alarm, caller));
        let found = found.filter(|alarm| {
            let members = Value::Object(alarm.configuration.clone());
            let narrowed = ["Statistic", "ExtendedStatistic", "Period", "Unit"];
            let narrowed = narrowed.iter().filter(|member| !input[**member].is_null());
            wanted.is_some()
                && metric(&members) == wanted
                && narrowed.into_iter().all(|member| members[*member] == input[*member])
        });
        json!({"MetricAlarms": found.map(view).collect::<Vec<_>>()})
    }

    fn describe_history(&self, caller: &Caller, input: &Value) -> Result<Value, Fault> {
        let name = text(input, "AlarmName");
        let kind = text(input, "HistoryItemType");
        let state = self.state.lock();
        let mut items: Vec<(f64, Value)> = state
            .alarms
            .iter()
            .filter(|alarm| is_of(alarm, caller) && (name.is_empty() || alarm.name == name))
            .flat_map(|alarm| {
                alarm
                    .history
                    .iter()
                    .filter(|item| kind.is_empty() || item.kind == kind)
                    .map(|item| {
                        let shown = json!({
                            "AlarmName": alarm.name,
                            "AlarmType": "MetricAlarm",
                            "Timestamp": item.at,
                            "HistoryItemType": item.kind,
                            "HistorySummary": item.summary,
                            "HistoryData": item.data,
                        });
                        (item.at, shown)
                    })
            })
            .collect();
        items.sort_by(|a, b| b.0.total_cmp(&a.0));
        if text(input, "ScanBy") == "TimestampAscending" {
            items.reverse();
        }
        let items = items.into_iter().map(|(_, item)| item).collect();
        let size = input["MaxRecords"]
            .as_u64()
            .unwrap_or(LARGEST_PAGE)
            .clamp(1, LARGEST_PAGE);
        paged(items, size, input, |items| json!({"AlarmHistoryItems": items}))
    }

    fn delete(&self, caller: &Caller, names: &[String]) -> Result<Value, Fault> {
        self.change(|state| {
            state
                .alarms
                .retain(|alarm| !(is_of(alarm, caller) && names.contains(&alarm.name)));
            Ok(json!({}))
        })
    }

    /// Moves an alarm. Returns it as it was when that changed its state.
    pub(super) fn set_state(&self, caller: &Caller, input: &Value) -> Result<Option<Alarm>, Fault> {
        let name = text(input, "AlarmName");
        let value = text(input, "StateValue");
        let wanted = AlarmState::parse(value).ok_or_else(|| {
            invalid(format!(
                "1 validation error detected: Value '{value}' at 'stateValue' failed to satisfy constraint: Member must satisfy enum \
                 value set: [INSUFFICIENT_DATA, ALARM, OK]"
            ))
        })?;
        self.change(|state| {
            let found = state
                .alarms
                .iter_mut()
                .find(|alarm| is_of(alarm, caller) && alarm.name == name);
            // The service says no more.
            let alarm = found.ok_or_else(|| Fault::new(404, "ResourceNotFound", ""))?;
            let before = alarm.clone();
            let data = input["StateReasonData"].as_str().map(str::to_owned);
            let changed = alarm.transition(wanted, text(input, "StateReason").to_owned(), data);
            Ok(changed.map(|_| before))
        })
    }

    fn set_actions(&self, caller: &Caller, names: &[String], enabled: bool) -> Result<Value, Fault> {
        self.change(|state| {
            let named = state
                .alarms
                .iter_mut()
                .filter(|alarm| is_of(alarm, caller) && names.contains(&alarm.name));
            for alarm in named {
                alarm
                    .configuration
                    .insert("ActionsEnabled".to_owned(), Value::Bool(enabled));
            }
            Ok(json!({}))
        })
    }
}

/// Checks a configuration as CloudWatch does.
fn check(configuration: &Map<String, Value>) -> Result<(), Fault> {
    let has = |member: &str| configuration.contains_key(member);
    let number = |member: &str| configuration.get(member).and_then(Value::as_u64);
    let Some(periods) = number("EvaluationPeriods").filter(|periods| *periods > 0) else {
        return Err(invalid(
            "The parameter EvaluationPeriods is required and must be greater than 0",
        ));
    };
    if !has("ComparisonOperator") {
        return Err(invalid("The parameter ComparisonOperator is required"));
    }
    if number("DatapointsToAlarm").is_some_and(|points| points == 0 || points > periods) {
        return Err(invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods"));
    }
    if !has("Threshold") && !has("ThresholdMetricId") {
        return Err(invalid("The parameter Threshold is required"));
    }
    if let Some(Value::Array(metrics)) = configuration.get("Metrics") {
        let single = [
            "MetricName",
            "Namespace",
            "Statistic",
            "ExtendedStatistic",
            "Period",
            "Dimensions",
            "Unit",
        ];
        if let Some(member) = single.iter().find(|member| has(member)) {
            return Err(invalid(format!(
                "The parameter {member} must not be set when Metrics is"
            )));
        }
        let returned = metrics
            .iter()
            .filter(|metric| metric["ReturnData"].as_bool().unwrap_or(true))
            .count();
        if returned != 1 || metrics.len() > 10 {
            return Err(invalid(
                "Exactly one element of the metrics list should return data, and it may have 10 elements",
            ));
        }
        let expressions = metrics.iter().filter_map(|metric| metric["Expression"].as_str());
        for expression in expressions {
            super::math::parse(expression)
                .map_err(|error| invalid(format!("Error in expression '{expression}': {error}")))?;
        }
        return Ok(());
    }
    if !has("MetricName") || !has("Namespace") {
        return Err(invalid(
            "The parameters MetricName and Namespace are required unless Metrics is set",
        ));
    }
    if has("Statistic") == has("ExtendedStatistic") {
        return Err(invalid("Exactly one of Statistic and ExtendedStatistic must be set"));
    }
    let given = |member: &str| configuration.get(member).and_then(Value::as_str);
    if given("Statistic").is_some_and(|name| !statistic::is_simple(name)) {
        return Err(invalid(
            "The parameter Statistic must be a value in the set [ SampleCount, Average, Sum, Minimum, Maximum ]",
        ));
    }
    if given("ExtendedStatistic").is_some_and(|name| !statistic::is_extended(name)) {
        return Err(invalid(
            "The parameter ExtendedStatistic is not a valid extended statistic",
        ));
    }
    match number("Period") {
        Some(period) if matches!(period, 10 | 20 | 30) || (period > 0 && period % 60 == 0) => {
            let limit = if period < 3600 { 86_400 } else { 604_800 };
            if period * periods > limit {
                return Err(invalid(format!(
                    "Metrics cannot be checked across more than {limit} seconds"
                )));
            }
            Ok(())
        }
        _ => Err(invalid("Period must be 10, 20, 30 or a multiple of 60")),
    }
}

/// `MetricAlarm`.
fn view(alarm: &Alarm) -> Value {
    let mut shown = alarm.configuration.clone();
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("AlarmName", json!(alarm.name));
    set("AlarmArn", json!(alarm.arn()));
    set("AlarmConfigurationUpdatedTimestamp", json!(alarm.configured_at));
    set("StateValue", json!(alarm.state.name()));
    set("StateReason", json!(alarm.reason));
    set("StateUpdatedTimestamp", json!(alarm.state_updated_at));
    set("StateTransitionedTimestamp", json!(alarm.transitioned_at));
    if let Some(data) = &alarm.reason_data {
        set("StateReasonData", json!(data));
    }
    Value::Object(shown)
}

fn actions(alarm: &Alarm) -> impl Iterator<Item = &str> {
    ["OKActions", "AlarmActions", "InsufficientDataActions"]
        .into_iter()
        .filter_map(|member| alarm.configuration.get(member)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
}

fn paged(items: Vec<Value>, size: u64, input: &Value, shown: impl FnOnce(Vec<Value>) -> Value) -> Result<Value, Fault> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let (items, next) = page(items, size, input["NextToken"].as_str())
        .map_err(|()| Fault::new(400, "InvalidNextToken", "The next token specified is invalid."))?;
    let mut output = shown(items);
    if let Some(next) = next {
        output["NextToken"] = next.into();
    }
    Ok(output)
}

fn text<'input>(input: &'input Value, member: &str) -> &'input str {
    input[member].as_str().unwrap_or_default()
}

fn names(input: &Value, member: &str) -> Vec<String> {
    input[member]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(crate) fn tags_of(tags: &Value) -> BTreeMap<String, String> {
    let pair = |tag: &Value| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned()));
    tags.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationError", message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn alarms() -> (tempfile::TempDir, Alarms, Caller) {
        let directory = tempfile::tempdir().unwrap();
        let alarms = Alarms::open(directory.path().join("alarms.json")).unwrap();
        let caller = Caller {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
        };
        (directory, alarms, caller)
    }

    fn single() -> Value {
        json!({
            "AlarmName": "a", "MetricName": "Errors", "Namespace": "AWS/Lambda", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
            "Tags": [{"Key": "app", "Value": "x"}],
        })
    }

    #[test]
    fn update_keeps_state_and_tags() {
        let (_directory, alarms, caller) = alarms();
        alarms.call(&caller, "PutMetricAlarm", &single()).unwrap();
        let set = json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "test"});
        alarms.call(&caller, "SetAlarmState", &set).unwrap();
        let mut changed = single();
        changed["Threshold"] = json!(6.0);
        changed["Tags"] = json!([{"Key": "other", "Value": "y"}]);
        alarms.call(&caller, "PutMetricAlarm", &changed).unwrap();
        let found = alarms.call(&caller, "DescribeAlarms", &json!({})).unwrap();
        assert_eq!(found["MetricAlarms"][0]["StateValue"], "ALARM");
        assert_eq!(found["MetricAlarms"][0]["Threshold"], 6.0);
        let arn = found["MetricAlarms"][0]["AlarmArn"].clone();
        let tags = alarms
            .call(&caller, "ListTagsForResource", &json!({"ResourceARN": arn}))
            .unwrap();
        assert_eq!(tags, json!({"Tags": [{"Key": "app", "Value": "x"}]}));
    }

    #[test]
    fn the_history_has_both_states_and_why() {
        let (_directory, alarms, caller) = alarms();
        alarms.call(&caller, "PutMetricAlarm", &single()).unwrap();
        let set = |reason: &str| json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": reason});
        assert!(alarms.set_state(&caller, &set("one")).unwrap().is_some());
        assert!(
            alarms.set_state(&caller, &set("two")).unwrap().is_none(),
            "the same state again"
        );
        let found = alarms.call(&caller, "DescribeAlarms", &json!({})).unwrap();
        assert_eq!(found["MetricAlarms"][0]["StateReason"], "two");
        let asked = json!({"AlarmName": "a", "HistoryItemType": "StateUpdate"});
        let history = alarms.call(&caller, "DescribeAlarmHistory", &asked).unwrap();
        let items = history["AlarmHistoryItems"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        let data: Value = serde_json::from_str(items[0]["HistoryData"].as_str().unwrap()).unwrap();
        let expected = json!({
            "version": "1.0",
            "oldState": {"stateValue": "INSUFFICIENT_DATA", "stateReason": "Unchecked: Initial alarm creation"},
            "newState": {"stateValue": "ALARM", "stateReason": "one"},
        });
        assert_eq!(data, expected);
        let gone = json!({"ResourceARN": "arn:aws:cloudwatch:eu-central-1:000000000000:alarm:gone"});
        let tags = alarms.call(&caller, "ListTagsForResource", &gone).unwrap();
        assert_eq!(tags, json!({"Tags": []}));
    }

    #[test]
    fn alarms_of_a_metric_are_those_of_its_dimensions() {
        let (_directory, alarms, caller) = alarms();
        let mut of_function = single();
        of_function["Dimensions"] = json!([{"Name": "FunctionName", "Value": "f"}]);
        alarms.call(&caller, "PutMetricAlarm", &of_function).unwrap();
        let count = |more: Value| {
            let mut asked = json!({"Namespace": "AWS/Lambda", "MetricName": "Errors"});
            asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let found = alarms.call(&caller, "DescribeAlarmsForMetric", &asked).unwrap();
            found["MetricAlarms"].as_array().unwrap().len()
        };
        assert_eq!(count(json!({})), 0);
        assert_eq!(
            count(json!({"Dimensions": [{"Name": "FunctionName", "Value": "f"}]})),
            1
        );
        assert_eq!(
            count(json!({"Dimensions": [{"Name": "FunctionName", "Value": "f"}], "Period": 300})),
            0
        );
    }

    #[test]
    fn members_that_exclude_each_other() {
        let (_directory, alarms, caller) = alarms();
        let mut both = single();
        both["Metrics"] = json!([{"Id": "e", "Expression": "1", "ReturnData": true}]);
        assert!(alarms.call(&caller, "PutMetricAlarm", &both).is_err());
        let mut statistics = single();
        statistics["ExtendedStatistic"] = json!("p99");
        assert!(alarms.call(&caller, "PutMetricAlarm", &statistics).is_err());
        let mut period = single();
        period["Period"] = json!(45);
        assert!(alarms.call(&caller, "PutMetricAlarm", &period).is_err());
    }

    #[test]
    fn alarms_survive_a_restart_and_stay_in_their_region() {
        let (directory, alarms, caller) = alarms();
        alarms.call(&caller, "PutMetricAlarm", &single()).unwrap();
        let again = Alarms::open(directory.path().join("alarms.json")).unwrap();
        let count = |caller: &Caller| {
            again.call(caller, "DescribeAlarms", &json!({})).unwrap()["MetricAlarms"]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(count(&caller), 1);
        assert_eq!(
            count(&Caller {
                region: "us-east-1".to_owned(),
                ..caller
            }),
            0
        );
    }
}
