//! What is mended of services that are otherwise the emulator's: DynamoDB's recovery period and streams that are off,
//! rules with targets, saved queries and JSON filters of logs, e-mail subscriptions that nobody confirmed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ::http::header;
use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::classify::Call;
use super::emulator_client::Caller;
use super::http::{Body, answer, collect, full, remove_connection_headers};
use super::{Endpoint, log_pattern, unreachable_emulator};
use crate::error::LocalError;
use crate::files;

/// Largest body of a call that is mended.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// Days of point-in-time recovery unless told.
const RECOVERY_DAYS: u64 = 35;

/// What only the endpoint remembers of the emulator's services. Kept on disk.
pub(crate) struct Memory {
    file: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// Days of point-in-time recovery by account, region and table.
    recovery_days: BTreeMap<String, u64>,
    /// Saved Logs Insights queries by account, region and id.
    queries: BTreeMap<String, Value>,
    /// Accounts and regions that have rules.
    rules: Vec<(String, String)>,
}

impl Memory {
    /// Reads what is kept.
    pub(crate) fn open(file: PathBuf) -> Result<Self, LocalError> {
        let kept = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            kept: Mutex::new(kept),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut kept);
        if let Err(error) = files::write_json(&self.file, &*kept) {
            tracing::warn!(%error, "a setting could not be kept");
        }
        result
    }

    fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Accounts and regions that have rules.
    pub(crate) fn callers_with_rules(&self) -> Vec<Caller> {
        let caller = |(account, region): &(String, String)| Caller {
            account: account.clone(),
            region: region.clone(),
        };
        self.read(|kept| kept.rules.iter().map(caller).collect())
    }
}

fn key(caller: &Caller, name: &str) -> String {
    format!("{}/{}/{name}", caller.account, caller.region)
}

impl Endpoint {
    pub(super) async fn call_dynamodb(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.as_deref().unwrap_or_default();
        match operation {
            "DescribeTable"
            | "UpdateTable"
            | "UpdateContinuousBackups"
            | "DescribeContinuousBackups"
            | "DeleteTable" => (),
            // The data plane: nothing to mend, nothing to wait for.
            _ => return self.pass(Request::from_parts(parts, body)).await,
        }
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let input: Value = serde_json::from_slice(&body).unwrap_or_default();
        let table = input["TableName"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let key = key(&Caller::of(call), &table);
        self.mend(parts, body, |output| match operation {
            "UpdateContinuousBackups" => {
                let wanted = &input["PointInTimeRecoverySpecification"];
                let days = wanted["RecoveryPeriodInDays"].as_u64();
                let days = self.memory.change(|kept| {
                    if wanted["PointInTimeRecoveryEnabled"] == false {
                        kept.recovery_days.remove(&key);
                        return RECOVERY_DAYS;
                    }
                    *kept
                        .recovery_days
                        .entry(key.clone())
                        .and_modify(|known| *known = days.unwrap_or(*known))
                        .or_insert(days.unwrap_or(RECOVERY_DAYS))
                });
                show_recovery_days(output, days);
            }
            "DescribeContinuousBackups" => {
                let days = self.memory.read(|kept| kept.recovery_days.get(&key).copied());
                show_recovery_days(output, days.unwrap_or(RECOVERY_DAYS));
            }
            "DeleteTable" => {
                self.memory.change(|kept| kept.recovery_days.remove(&key));
            }
            _ => {
                for member in ["Table", "TableDescription"] {
                    // A stream that is off does not show.
                    if output[member]["StreamSpecification"]["StreamEnabled"] == false
                        && let Some(table) = output[member].as_object_mut()
                    {
                        table.remove("StreamSpecification");
                    }
                }
            }
        })
        .await
    }

    pub(super) async fn call_events(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let caller = Caller::of(call);
        match call.operation.as_deref() {
            Some("PutRule") => {
                self.memory.change(|kept| {
                    let pair = (caller.account.clone(), caller.region.clone());
                    if !kept.rules.contains(&pair) {
                        kept.rules.push(pair);
                    }
                });
                self.pass(Request::from_parts(parts, body)).await
            }
            Some("DeleteRule") => {
                let Ok(body) = collect(body, LARGEST_BODY).await else {
                    return too_large();
                };
                let input: Value = serde_json::from_slice(&body).unwrap_or_default();
                let of_rule =
                    json!({"Rule": input["Name"], "EventBusName": input["EventBusName"].as_str().unwrap_or("default")});
                let targets = self
                    .emulator
                    .json(&caller, "events", "AWSEvents.ListTargetsByRule", &of_rule)
                    .await;
                if targets.is_ok_and(|output| output["Targets"].as_array().is_some_and(|targets| !targets.is_empty())) {
                    return refuse(
                        400,
                        "ValidationException",
                        "Rule can't be deleted since it has targets.",
                    );
                }
                self.pass(Request::from_parts(parts, full(body))).await
            }
            _ => self.pass(Request::from_parts(parts, body)).await,
        }
    }

    pub(super) async fn call_logs(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.as_deref().unwrap_or_default();
        let queries = matches!(
            operation,
            "PutQueryDefinition" | "DescribeQueryDefinitions" | "DeleteQueryDefinition"
        );
        if operation == "StartLiveTail" {
            return refuse(400, "InvalidOperationException", "The local target has no Live Tail.");
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
        let Some(pattern) = input["filterPattern"].as_str().and_then(log_pattern::parse) else {
            return self.pass(Request::from_parts(parts, full(body))).await;
        };
        if let Some(members) = input.as_object_mut() {
            members.remove("filterPattern");
        }
        self.mend(parts, input.to_string().into(), |output| {
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

    pub(super) async fn call_sns(&self, parts: Parts, body: Body) -> Response<Body> {
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let parameter = |name: &str| {
            url::form_urlencoded::parse(&body)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let action = parameter("Action").unwrap_or_default();
        let by_mail = parameter("Protocol").is_some_and(|protocol| protocol.starts_with("email"));
        let asked_for_arn = parameter("ReturnSubscriptionArn").as_deref() == Some("true");
        let edit: fn(String) -> String = match action.as_str() {
            "Subscribe" if by_mail && !asked_for_arn => {
                |xml| replace_element(&xml, "SubscriptionArn", "pending confirmation")
            }
            "ListSubscriptions" | "ListSubscriptionsByTopic" => unconfirmed_mail,
            _ => return self.pass(Request::from_parts(parts, full(body))).await,
        };
        match self.emulator.call(Request::from_parts(parts, full(body))).await {
            Ok(response) => {
                let (parts, bytes) = response.into_parts();
                edited(parts, edit(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(error) => unreachable_emulator(&error),
        }
    }

    /// Hands a JSON call over and edits its answer when it succeeded.
    async fn mend(&self, parts: Parts, body: Bytes, edit: impl FnOnce(&mut Value)) -> Response<Body> {
        let mut request = Request::from_parts(parts, full(body));
        request.headers_mut().remove(header::CONTENT_LENGTH);
        match self.emulator.call(request).await {
            Ok(response) => {
                let (parts, bytes) = response.into_parts();
                let parsed = serde_json::from_slice::<Value>(&bytes)
                    .ok()
                    .filter(|_| parts.status.is_success());
                match parsed {
                    Some(mut output) => {
                        edit(&mut output);
                        edited(parts, output.to_string())
                    }
                    None => edited(parts, bytes),
                }
            }
            Err(error) => unreachable_emulator(&error),
        }
    }
}

/// An answer whose body was changed: length and checksum are not the old ones.
fn edited(mut parts: ::http::response::Parts, body: impl Into<Bytes>) -> Response<Body> {
    remove_connection_headers(&mut parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove("x-amz-crc32");
    Response::from_parts(parts, full(body))
}

fn show_recovery_days(output: &mut Value, days: u64) {
    let recovery = &mut output["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    if recovery["PointInTimeRecoveryStatus"] == "ENABLED" {
        recovery["RecoveryPeriodInDays"] = days.into();
    }
}

/// Replaces the content of the first element of a name.
fn replace_element(xml: &str, name: &str, content: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml
        .split_once(&open)
        .and_then(|(before, rest)| Some((before, rest.split_once(&close)?.1)));
    parts.map_or_else(
        || xml.to_owned(),
        |(before, after)| format!("{before}{open}{content}{close}{after}"),
    )
}

/// Nobody answers the mail that asks for a confirmation, so such a subscription stays pending.
fn unconfirmed_mail(xml: String) -> String {
    let members = xml.split("<member>").enumerate().map(|(index, member)| {
        if index > 0 && member.contains("<Protocol>email") {
            replace_element(member, "SubscriptionArn", "PendingConfirmation")
        } else {
            member.to_owned()
        }
    });
    members.collect::<Vec<_>>().join("<member>")
}

fn too_large() -> Response<Body> {
    refuse(413, "RequestEntityTooLargeException", "the request is too large")
}

pub(super) fn refuse(status: u16, code: &str, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(
        status,
        "application/x-amz-json-1.1",
        json!({"__type": code, "message": message}).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_never_confirmed() {
        let xml = "<Subscriptions><member><SubscriptionArn>arn:1</SubscriptionArn><Protocol>email</Protocol></member>\
                   <member><SubscriptionArn>arn:2</SubscriptionArn><Protocol>sqs</Protocol></member></Subscriptions>";
        let mended = unconfirmed_mail(xml.to_owned());
        assert!(
            mended.contains("<SubscriptionArn>PendingConfirmation</SubscriptionArn><Protocol>email"),
            "{mended}"
        );
        assert!(mended.contains("arn:2"), "{mended}");
    }

    #[test]
    fn recovery_days_show_only_while_it_is_on() {
        let mut on = json!({"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}});
        show_recovery_days(&mut on, 7);
        assert_eq!(
            on["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"],
            7
        );
        let mut off = json!({"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"}}});
        let before = off.clone();
        show_recovery_days(&mut off, 7);
        assert_eq!(off, before);
    }
}
