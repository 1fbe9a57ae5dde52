//! CloudWatch: alarms are answered here, metric math is computed here, the rest is the emulator's, which is always
//! spoken to in JSON.

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
use crate::services::cloudwatch::{Metric, owns, values};

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
        let shown = queries.iter().filter(|query| query["ReturnData"].as_bool().unwrap_or(true)).map(|query| {
            let id = query["Id"].as_str().unwrap_or_default();
            let metric = query["MetricStat"]["Metric"]["MetricName"].as_str();
            let label = query["Label"].as_str().or(metric).unwrap_or(id);
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
        Ok(json!({"MetricDataResults": shown.collect::<Vec<_>>(), "Messages": []}))
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
