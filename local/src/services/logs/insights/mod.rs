//! Logs Insights, over the log events that the emulator keeps. Unknown syntax is refused.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html>

mod evaluate;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use ::http::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::evaluate::Event;
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::protocol::http::{Body, answer};
use crate::services::Services;
use crate::services::compat::refuse;

/// Answers that are remembered.
const KEPT: usize = 100;
/// Maximum and default number of rows of an answer.
const ROWS: usize = 10_000;

/// Queries that were asked, newest last.
#[derive(Default)]
pub(crate) struct Queries {
    kept: Mutex<VecDeque<Asked>>,
}

struct Asked {
    id: String,
    text: String,
    group: String,
    at: i64,
    results: Value,
    statistics: Value,
}

impl Queries {
    fn keep(&self, asked: Asked) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(asked);
    }

    fn read<T>(&self, look: impl FnOnce(&VecDeque<Asked>) -> T) -> T {
        look(&self.kept.lock())
    }
}

impl Services {
    pub(super) async fn insights(&self, caller: &Caller, operation: &str, input: &Value) -> Response<Body> {
        let id = input["queryId"].as_str().unwrap_or_default();
        let output = match operation {
            "StartQuery" => match self.start_query(caller, input).await {
                Ok(id) => json!({"queryId": id}),
                Err((code, message)) => return refuse(400, &code, &message),
            },
            "DescribeQueries" => {
                let group = input["logGroupName"].as_str();
                // Answers are there at once, so that nothing runs or fails.
                let wanted = input["status"].as_str().is_none_or(|status| status == "Complete");
                self.queries.read(|kept| {
                    let of_group = |asked: &&Asked| wanted && group.is_none_or(|group| asked.group == group);
                    let shown = kept.iter().rev().filter(of_group).map(|asked| {
                        json!({"queryId": asked.id, "queryString": asked.text, "queryLanguage": "CWLI", "status": "Complete",
                            "createTime": asked.at, "logGroupName": asked.group})
                    });
                    json!({"queries": shown.collect::<Vec<_>>()})
                })
            }
            _ => {
                let found = self.queries.read(|kept| {
                    let asked = kept.iter().find(|asked| asked.id == id)?;
                    Some(
                        json!({"queryLanguage": "CWLI", "status": "Complete", "results": asked.results,
                        "statistics": asked.statistics}),
                    )
                });
                match (found, operation) {
                    (Some(_), "StopQuery") => {
                        return refuse(400, "InvalidParameterException", "The query has already ended.");
                    }
                    (Some(found), _) => found,
                    (None, _) => {
                        return refuse(400, "ResourceNotFoundException", "The specified query does not exist.");
                    }
                }
            }
        };
        answer(::http::StatusCode::OK, "application/x-amz-json-1.1", output.to_string())
    }

    /// Answers a query at once. The error is AWS's code and a message.
    async fn start_query(&self, caller: &Caller, input: &Value) -> Result<String, (String, String)> {
        let invalid = |message: &str| ("InvalidParameterException".to_owned(), message.to_owned());
        let text = input["queryString"].as_str().unwrap_or_default();
        let clauses = syntax::parse(text).map_err(|why| ("MalformedQueryException".to_owned(), why))?;
        let (Some(start), Some(end)) = (input["startTime"].as_i64(), input["endTime"].as_i64()) else {
            return Err(invalid("startTime and endTime are needed."));
        };
        if start > end {
            return Err((
                "MalformedQueryException".to_owned(),
                "The query ends before it begins.".to_owned(),
            ));
        }
        let listed = |member: &str| {
            let names = input[member].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut groups = [listed("logGroupNames"), listed("logGroupIdentifiers")].concat();
        groups.extend(input["logGroupName"].as_str().map(str::to_owned));
        if groups.is_empty() {
            return Err(invalid("A query needs a log group."));
        }
        let mut events = Vec::new();
        for group in &groups {
            // An ARN, or a name.
            let name = group.split_once(":log-group:").map_or(group.as_str(), |(_, name)| name);
            let name = name.trim_end_matches(":*");
            let found = self.events(caller, name, (start * 1000, end * 1000 + 1000)).await;
            events.extend(found.map_err(|error| match error {
                EmulatorError::Refused { code, .. } if code == "ResourceNotFoundException" => {
                    let message = no_group(name, &caller.account);
                    (code, message)
                }
                EmulatorError::Refused { code, message } => (code, message),
                EmulatorError::NoAnswer(error) => ("ServiceUnavailableException".to_owned(), error.to_string()),
            })?);
        }
        let scanned = events.len();
        let bytes: usize = events.iter().map(|event| event.message.len()).sum();
        let most = input["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let found = evaluate::run(&clauses, events, most.unwrap_or(ROWS).min(ROWS));
        let row = |row: &Vec<(String, String)>| -> Value {
            row.iter()
                .map(|(field, value)| json!({"field": field, "value": value}))
                .collect()
        };
        let id = uuid::Uuid::new_v4().to_string();
        self.queries.keep(Asked {
            id: id.clone(),
            text: text.to_owned(),
            group: groups.first().cloned().unwrap_or_default(),
            at: jiff::Timestamp::now().as_millisecond(),
            results: found.rows.iter().map(row).collect(),
            statistics: json!({"recordsMatched": found.matched, "recordsScanned": scanned, "bytesScanned": bytes}),
        });
        Ok(id)
    }

    /// The events of a group from one time to another.
    async fn events(&self, caller: &Caller, group: &str, (from, to): (i64, i64)) -> Result<Vec<Event>, EmulatorError> {
        let asked = json!({"logGroupName": group, "startTime": from, "endTime": to});
        let found = self
            .emulator
            .log_pages(caller, "FilterLogEvents", asked, "events")
            .await?;
        let text = |event: &Value, member: &str| event[member].as_str().unwrap_or_default().to_owned();
        let events = found.iter().map(|event| Event {
            timestamp: event["timestamp"].as_i64().unwrap_or_default(),
            ingested: event["ingestionTime"].as_i64().unwrap_or_default(),
            message: text(event, "message"),
            stream: text(event, "logStreamName"),
            log: format!("{}:{group}", caller.account),
            id: text(event, "eventId"),
        });
        Ok(events.collect())
    }
}

/// What the service says about a group that is not there, in the words of the one behind it.
fn no_group(name: &str, account: &str) -> String {
    let request = uuid::Uuid::new_v4();
    format!(
        "Log group '{name}' does not exist for account ID '{account}' (Service: AWSLogs; Status Code: 400; Error Code: \
         ResourceNotFoundException; Request ID: {request}; Proxy: null)"
    )
}
