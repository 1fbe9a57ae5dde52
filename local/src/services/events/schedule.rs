//! Fires rules with a `rate(…)` schedule at their function targets, as EventBridge does. `cron(…)` is not fired.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::{FunctionAddress, FunctionSource, InvokeRequest, Invoker};
use crate::protocol::emulator_client::Caller;
use crate::protocol::emulator_client::EmulatorClient;
use crate::services::compat::Memory;

/// How often rules are looked at.
const INTERVAL: Duration = Duration::from_secs(15);

/// Fires rules on schedule.
pub(crate) struct Rules {
    pub memory: Arc<Memory>,
    pub emulator: EmulatorClient,
    pub functions: Arc<dyn FunctionSource>,
    pub invoker: Arc<dyn Invoker>,
}

impl Rules {
    /// Fires due rules until `stop`. A rule fires first one interval after it was seen.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut due: HashMap<String, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => (),
                _ = stop.changed() => return,
            }
            let mut seen = HashMap::new();
            for caller in self.memory.callers_with_rules() {
                let rules = self
                    .emulator
                    .json(&caller, "events", "AWSEvents.ListRules", &json!({}))
                    .await;
                for rule in rules.unwrap_or_default()["Rules"].as_array().into_iter().flatten() {
                    let enabled = rule["State"] == "ENABLED";
                    let (Some(arn), Some(every)) = (
                        rule["Arn"].as_str(),
                        rate(rule["ScheduleExpression"].as_str().unwrap_or_default()),
                    ) else {
                        continue;
                    };
                    if !enabled {
                        continue;
                    }
                    let now = Instant::now();
                    let at = due.get(arn).copied().unwrap_or(now + every);
                    if at <= now {
                        self.fire(&caller, rule, arn).await;
                    }
                    seen.insert(arn.to_owned(), if at <= now { now + every } else { at });
                }
            }
            due = seen;
        }
    }

    async fn fire(&self, caller: &Caller, rule: &Value, arn: &str) {
        let of_rule = json!({"Rule": rule["Name"], "EventBusName": rule["EventBusName"].as_str().unwrap_or("default")});
        let targets = self
            .emulator
            .json(caller, "events", "AWSEvents.ListTargetsByRule", &of_rule)
            .await;
        for target in targets.unwrap_or_default()["Targets"].as_array().into_iter().flatten() {
            let Some(address) = target["Arn"].as_str().and_then(FunctionAddress::parse) else {
                continue;
            };
            if !self.functions.may_invoke(&address, "events.amazonaws.com", arn) {
                tracing::warn!(rule = arn, %address, "the function's policy does not allow the rule to invoke it");
                continue;
            }
            let payload = target["Input"]
                .as_str()
                .map_or_else(|| event(caller, arn).to_string(), str::to_owned);
            let request = InvokeRequest::event(address, Bytes::from(payload));
            self.invoker.invoke(request).await;
        }
    }
}

/// The event of a schedule whose target has no input of its own.
fn event(caller: &Caller, arn: &str) -> Value {
    json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": caller.account,
        "time": crate::services::now(),
        "region": caller.region,
        "resources": [arn],
        "detail": {},
    })
}

/// The interval of `rate(5 minutes)`.
fn rate(expression: &str) -> Option<Duration> {
    let inner = expression.strip_prefix("rate(")?.strip_suffix(')')?;
    let (count, unit) = inner.trim().split_once(' ')?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(rate("rate(5 minutes)"), Some(Duration::from_secs(300)));
        assert_eq!(rate("rate(1 hour)"), Some(Duration::from_secs(3_600)));
        assert_eq!(rate("rate(0 minutes)"), None);
        assert_eq!(rate("cron(0 12 * * ? *)"), None);
    }
}
