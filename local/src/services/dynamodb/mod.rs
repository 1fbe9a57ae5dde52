//! DynamoDB: the emulator's, but for the recovery period of backups and streams that are off.

mod actions;

use ::http::request::Parts;
use ::http::{Request, Response};
use serde_json::Value;

use super::Services;
use super::compat::{LARGEST_BODY, key, too_large};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, collect};

/// Default days of point-in-time recovery.
const RECOVERY_DAYS: u64 = 35;

impl Services {
    pub(super) async fn call_dynamodb(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.as_deref().unwrap_or_default();
        match operation {
            "DescribeTable"
            | "UpdateTable"
            | "UpdateContinuousBackups"
            | "DescribeContinuousBackups"
            | "DeleteTable" => (),
            // The data plane: nothing to correct, nothing to wait for.
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
        self.corrected(parts, body, |output| match operation {
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
}

fn show_recovery_days(output: &mut Value, days: u64) {
    let recovery = &mut output["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    if recovery["PointInTimeRecoveryStatus"] == "ENABLED" {
        recovery["RecoveryPeriodInDays"] = days.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
