//! CloudWatch Logs: events are the emulator's; saved queries, JSON filter patterns and Logs Insights are answered here.

mod actions;
mod filter_pattern;
pub(crate) mod insights;
pub(crate) mod sink;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Services;
use super::compat::{LARGEST_BODY, key, refuse, too_large};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, answer, collect, full};

impl Services {
    pub(super) async fn call_logs(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.as_deref().unwrap_or_default();
        let queries = matches!(
            operation,
            "PutQueryDefinition" | "DescribeQueryDefinitions" | "DeleteQueryDefinition"
        );
        if operation == "StartLiveTail" {
            return refuse(
                400,
                "InvalidOperationException",
                "The local target does not support Live Tail.",
            );
        }
        let asks = matches!(
            operation,
            "StartQuery" | "GetQueryResults" | "StopQuery" | "DescribeQueries"
        );
        if operation != "FilterLogEvents" && !queries && !asks {
            return self.pass(Request::from_parts(parts, body)).await;
        }
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let mut input: Value = serde_json::from_slice(&body).unwrap_or_default();
        if queries {
            return self.saved_queries(&Caller::of(call), operation, &input);
        }
        if asks {
            return self.insights(&Caller::of(call), operation, &input).await;
        }
        let Some(pattern) = input["filterPattern"].as_str().and_then(filter_pattern::parse) else {
            return self.pass(Request::from_parts(parts, full(body))).await;
        };
        if let Some(members) = input.as_object_mut() {
            members.remove("filterPattern");
        }
        self.corrected(parts, input.to_string().into(), |output| {
            if let Some(events) = output["events"].as_array_mut() {
                events.retain(|event| pattern.matches(event["message"].as_str().unwrap_or_default()));
            }
        })
        .await
    }

    fn saved_queries(&self, caller: &Caller, operation: &str, input: &Value) -> Response<Body> {
        let id = input["queryDefinitionId"].as_str().map(str::to_owned);
        let output = match operation {
            "PutQueryDefinition" => {
                let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
                let definition = json!({
                    "queryDefinitionId": id,
                    "name": input["name"],
                    "queryString": input["queryString"],
                    "logGroupNames": input["logGroupNames"].as_array().cloned().unwrap_or_default(),
                    "lastModified": jiff::Timestamp::now().as_millisecond(),
                });
                self.memory
                    .change(|kept| kept.queries.insert(key(caller, &id), definition));
                json!({"queryDefinitionId": id})
            }
            "DeleteQueryDefinition" => {
                let removed = self
                    .memory
                    .change(|kept| kept.queries.remove(&key(caller, &id.unwrap_or_default())));
                if removed.is_none() {
                    return refuse(
                        400,
                        "ResourceNotFoundException",
                        "The specified query definition does not exist.",
                    );
                }
                json!({"success": true})
            }
            _ => {
                let prefix = input["queryDefinitionNamePrefix"].as_str().unwrap_or_default();
                let of_caller = key(caller, "");
                let found: Vec<Value> = self.memory.read(|kept| {
                    let mine = kept.queries.iter().filter(|(key, _)| key.starts_with(&of_caller));
                    let named =
                        mine.filter(|(_, query)| query["name"].as_str().unwrap_or_default().starts_with(prefix));
                    named.map(|(_, query)| query.clone()).collect()
                });
                json!({"queryDefinitions": found})
            }
        };
        answer(StatusCode::OK, "application/x-amz-json-1.1", output.to_string())
    }
}
