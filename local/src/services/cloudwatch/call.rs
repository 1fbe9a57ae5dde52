//! CloudWatch: alarms are answered here, metric math is computed here, the rest is the emulator's, which is always
//! spoken to in JSON.

use std::collections::BTreeMap;

use ::http::header::HeaderValue;
use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::protocol::cbor;
use crate::protocol::classify::{Call, header_text};
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::protocol::http::{Body, answer, collect};
use crate::services::Fault;
use crate::services::Services;
use crate::services::cloudwatch::evaluate::act;
use crate::services::cloudwatch::{AlarmState, Metric, owns, values};

const LARGEST_BODY: usize = 4 * 1024 * 1024;
const TARGET: &str = "GraniteServiceVersion20100801";

/// How the caller speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Cbor,
    Json,
}

impl Services {
    pub(in crate::services) async fn call_cloudwatch(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let (Some(operation), Some(protocol)) = (call.operation.as_deref(), protocol(&parts)) else {
            // The old query protocol: no SDK of today speaks it.
            let response = self.pass(Request::from_parts(parts, body)).await;
            self.alarms.wrote_any();
            return response;
        };
        let body = match collect(body, LARGEST_BODY).await {
            Ok(body) => body,
            Err(error) => {
                return refuse(
                    protocol,
                    &Fault::new(413, "RequestEntityTooLargeException", error.to_string()),
                );
            }
        };
        let input = match protocol {
            Protocol::Cbor => cbor::decode(&body).map_err(|error| error.to_string()),
            Protocol::Json if body.is_empty() => Ok(json!({})),
            Protocol::Json => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        };
        let result = match input {
            Ok(input) => self.cloudwatch(&Caller::of(call), operation, input).await,
            Err(message) => Err(Fault::new(400, "SerializationException", message)),
        };
        match result {
            Ok(output) => respond(protocol, StatusCode::OK, &output),
            Err(fault) => refuse(protocol, &fault),
        }
    }

    async fn cloudwatch(&self, caller: &Caller, operation: &str, mut input: Value) -> Result<Value, Fault> {
        if operation == "SetAlarmState" {
            if let Some(before) = self.alarms.set_state(caller, &input)? {
                let state = AlarmState::parse(input["StateValue"].as_str().unwrap_or_default());
                let reason = input["StateReason"].as_str().unwrap_or_default();
                act(&self.emulator, &before, state.unwrap_or(before.state), reason).await;
            }
            return Ok(json!({}));
        }
        if owns(operation) {
            return self.alarms.call(caller, operation, &input);
        }
        match operation {
            "GetMetricData" => return self.metric_data(caller, &input).await,
            "PutMetricData" => {
                let output = self.of_emulator(caller, operation, &input).await?;
                let namespace = input["Namespace"].as_str().unwrap_or_default();
                let data = input["MetricData"].as_array().into_iter().flatten();
                let metric = |datum| Metric::read(&caller.account, &caller.region, namespace, datum);
                self.alarms.wrote(data.filter_map(metric));
                return Ok(output);
            }
            "PutDashboard" => {
                check_dashboard(&input)?;
                let tags = crate::services::cloudwatch::tags_of(&input["Tags"]);
                if let Some(members) = input.as_object_mut() {
                    members.remove("Tags");
                }
                let output = self.of_emulator(caller, operation, &input).await?;
                if !tags.is_empty() {
                    let name = input["DashboardName"].as_str().unwrap_or_default();
                    let arn = format!("arn:aws:cloudwatch::{}:dashboard/{name}", caller.account);
                    self.alarms.tags(&arn, |kept| kept.extend(tags))?;
                }
                return Ok(output);
            }
            "DeleteDashboards" => {
                let names = input["DashboardNames"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                self.alarms
                    .forget_dashboards(&names.map(str::to_owned).collect::<Vec<_>>(), &caller.account);
            }
            _ => (),
        }
        self.of_emulator(caller, operation, &input).await
    }

    async fn of_emulator(&self, caller: &Caller, operation: &str, input: &Value) -> Result<Value, Fault> {
        let result = self
            .emulator
            .json(caller, "monitoring", &format!("{TARGET}.{operation}"), input)
            .await;
        result.map_err(|error| match error {
            EmulatorError::Refused { code, message } => {
                let status = if code.contains("NotFound") { 404 } else { 400 };
                Fault::new(status, known_code(&code), message)
            }
            EmulatorError::NoAnswer(error) => Fault::new(503, "ServiceUnavailable", error.to_string()),
        })
    }

    /// `GetMetricData` with expressions, newest first unless asked otherwise.
    async fn metric_data(&self, caller: &Caller, input: &Value) -> Result<Value, Fault> {
        let queries = input["MetricDataQueries"].as_array().cloned().unwrap_or_default();
        let (Some(start), Some(end)) = (values::seconds(&input["StartTime"]), values::seconds(&input["EndTime"]))
        else {
            return Err(Fault::new(400, "ValidationError", "StartTime and EndTime are required"));
        };
        if start >= end {
            return Err(Fault::new(
                400,
                "ValidationError",
                "The parameter StartTime must be less than the parameter EndTime.",
            ));
        }
        let results = values::query(&self.emulator, caller, &queries, start, end).await;
        let mut results = results.map_err(|error| Fault::new(503, "ServiceUnavailable", error.to_string()))?;
        let ascending = input["ScanBy"] == "TimestampAscending";
        let labels = labels(&queries);
        let shown = queries
            .iter()
            .filter(|query| query["ReturnData"].as_bool().unwrap_or(true));
        let shown = shown.map(|query| {
            let id = query["Id"].as_str().unwrap_or_default();
            let label = labels.get(id).map_or(id, String::as_str);
            match results.remove(id).unwrap_or_else(|| Ok(Default::default())) {
                Ok(series) => {
                    let mut points: Vec<(i64, f64)> = series.into_iter().collect();
                    if !ascending {
                        points.reverse();
                    }
                    let (times, values): (Vec<i64>, Vec<f64>) = points.into_iter().unzip();
                    json!({"Id": id, "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete"})
                }
                Err(message) => json!({
                    "Id": id, "Label": label, "Timestamps": [], "Values": [], "StatusCode": "InternalError",
                    "Messages": [{"Code": "Error", "Value": message}],
                }),
            }
        });
        page_of_data(shown.collect(), input)
    }
}

/// What results without a label are called: by their metric, and where others have the same one, by their statistic, too.
fn labels(queries: &[Value]) -> BTreeMap<String, String> {
    let metric = |query: &Value| query["MetricStat"]["Metric"]["MetricName"].as_str().map(str::to_owned);
    let is_shown = |query: &&Value| query["ReturnData"].as_bool().unwrap_or(true) && query["Label"].is_null();
    let names: Vec<String> = queries.iter().filter(is_shown).filter_map(metric).collect();
    let label = |query: &Value| {
        let id = query["Id"].as_str()?.to_owned();
        let given = query["Label"].as_str().map(str::to_owned);
        let by_metric = || {
            let name = metric(query)?;
            let is_shared = names.iter().filter(|other| **other == name).count() > 1;
            let statistic = query["MetricStat"]["Stat"].as_str().filter(|_| is_shared);
            Some(statistic.map_or(name.clone(), |statistic| format!("{name} {statistic}")))
        };
        let label = given.or_else(by_metric)?;
        Some((id, label))
    };
    queries.iter().filter_map(label).collect()
}

/// Points of an answer, unless asked otherwise.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
const MOST_POINTS: usize = 100_800;

/// As many points as one answer may have, result by result, and where the next one goes on.
fn page_of_data(results: Vec<Value>, input: &Value) -> Result<Value, Fault> {
    let most = match &input["MaxDatapoints"] {
        Value::Null => MOST_POINTS,
        given => {
            let given = given.as_u64().and_then(|given| usize::try_from(given).ok());
            given.filter(|most| (1..=MOST_POINTS).contains(most)).ok_or_else(|| {
                let message = format!("The parameter MaxDatapoints must be between 1 and {MOST_POINTS}.");
                Fault::new(400, "InvalidParameterValue", message)
            })?
        }
    };
    let first: usize = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| Fault::new(400, "InvalidNextToken", "The next token specified is invalid."))?,
    };
    let (mut skipped, mut room) = (first, most);
    let mut rest = false;
    let mut shown = Vec::new();
    for mut result in results {
        let length = result["Values"].as_array().map_or(0, Vec::len);
        let start = skipped.min(length);
        skipped -= start;
        let end = length.min(start + room);
        room -= end - start;
        let is_whole = end == length;
        for member in ["Timestamps", "Values"] {
            if let Some(points) = result[member].as_array_mut() {
                *points = points[start..end].to_vec();
            }
        }
        if !is_whole {
            result["StatusCode"] = json!("PartialData");
            rest = true;
        }
        // What went on a page before does not come again.
        if first == 0 || start < length {
            shown.push(result);
        }
    }
    let mut output = json!({"MetricDataResults": shown, "Messages": []});
    if rest {
        output["NextToken"] = json!((first + most).to_string());
    }
    Ok(output)
}

/// A dashboard has a name of plain characters, and a body that is an object of JSON.
fn check_dashboard(input: &Value) -> Result<(), Fault> {
    let text = |member: &str| input[member].as_str().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text("DashboardName").is_empty() || !text("DashboardName").chars().all(is_plain) {
        let message = "The value for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and \
                       underscore (_).\n";
        return Err(Fault::new(400, "InvalidParameterValue", message));
    }
    match serde_json::from_str::<Value>(text("DashboardBody")) {
        Ok(Value::Object(_)) => Ok(()),
        _ => {
            let message = "The field DashboardBody must be a valid JSON object";
            Err(Fault::new(400, "InvalidParameterInput", message))
        }
    }
}

fn protocol(parts: &Parts) -> Option<Protocol> {
    if header_text(&parts.headers, "smithy-protocol") == Some("rpc-v2-cbor") {
        Some(Protocol::Cbor)
    } else if parts.headers.contains_key("x-amz-target") {
        Some(Protocol::Json)
    } else {
        None
    }
}

/// Error codes of the emulator that are known; another one is a plain client error.
fn known_code(code: &str) -> &'static str {
    const CODES: [&str; 9] = [
        "ResourceNotFound",
        "ResourceNotFoundException",
        "DashboardNotFoundError",
        "InvalidParameterInput",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "MissingParameter",
        "LimitExceeded",
        "InvalidAction",
    ];
    CODES
        .into_iter()
        .find(|known| *known == code)
        .unwrap_or("ValidationError")
}

fn respond(protocol: Protocol, status: StatusCode, output: &Value) -> Response<Body> {
    let mut response = match protocol {
        Protocol::Cbor => {
            let mut response = answer(status, "application/cbor", cbor::encode(output));
            response
                .headers_mut()
                .insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
            response
        }
        Protocol::Json => answer(status, "application/x-amz-json-1.0", output.to_string()),
    };
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn refuse(protocol: Protocol, fault: &Fault) -> Response<Body> {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_REQUEST);
    let kind = format!("com.amazonaws.cloudwatch#{}", fault.code);
    let mut response = respond(protocol, status, &json!({"__type": kind, "message": fault.message}));
    // SDKs read the code of the query protocol that errors had once.
    if let Ok(value) = HeaderValue::from_str(&format!("{};Sender", fault.code)) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    #[test]
    fn results_of_one_metric_are_told_apart() {
        let query = |id: &str, statistic: &str| json!({"Id": id, "MetricStat": {"Metric": {"MetricName": "M"}, "Stat": statistic}});
        let one = labels(&[query("a", "Sum")]);
        assert_eq!(one["a"], "M");
        let two = labels(&[query("a", "Sum"), query("b", "Average")]);
        assert_eq!((two["a"].as_str(), two["b"].as_str()), ("M Sum", "M Average"));
    }

    #[test]
    fn an_answer_has_as_many_points_as_it_may() {
        let result =
            |id: &str| json!({"Id": id, "Timestamps": [3, 2, 1], "Values": [3.0, 2.0, 1.0], "StatusCode": "Complete"});
        let results = || vec![result("a"), result("b")];
        let whole = page_of_data(results(), &json!({})).unwrap();
        assert_eq!(
            (
                &whole["NextToken"],
                whole["MetricDataResults"].as_array().unwrap().len()
            ),
            (&Value::Null, 2)
        );
        let first = page_of_data(results(), &json!({"MaxDatapoints": 4})).unwrap();
        assert_eq!(first["MetricDataResults"][1]["Values"], json!([3.0]));
        assert_eq!(first["MetricDataResults"][1]["StatusCode"], "PartialData");
        let next = json!({"MaxDatapoints": 4, "NextToken": first["NextToken"]});
        let second = page_of_data(results(), &next).unwrap();
        assert_eq!(second["MetricDataResults"].as_array().unwrap().len(), 1);
        assert_eq!(second["MetricDataResults"][0]["Values"], json!([2.0, 1.0]));
        assert_eq!(second["NextToken"], Value::Null);
        assert!(page_of_data(results(), &json!({"MaxDatapoints": 0})).is_err());
    }

    #[test]
    fn dashboards_are_json_under_plain_names() {
        let check = |name: &str, body: &str| {
            let checked = check_dashboard(&json!({"DashboardName": name, "DashboardBody": body}));
            checked.err().map(|fault| fault.code)
        };
        assert_eq!(check("a-b_1", "{\"widgets\": []}"), None);
        assert_eq!(check("a b", "{}"), Some("InvalidParameterValue"));
        for body in ["", "{nope", "[]"] {
            assert_eq!(check("a", body), Some("InvalidParameterInput"), "{body}");
        }
    }
}
