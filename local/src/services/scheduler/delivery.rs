//! One invocation of a schedule's target, with its retries and what becomes of it in the end.
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule.html>

use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::{Schedule, group_arn};
use crate::ports::{FunctionAddress, InvokeOutcome, InvokeRequest, MetricDatum};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::protocol::xml::Element;
use crate::services::iam::permissions;
use crate::services::iam::policy::Verdict;
use crate::services::iam::required::Actions;
use crate::services::iam::wildcard;
use crate::services::queues::Queue;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A target did not take its invocation.
#[derive(Debug)]
struct Refused {
    code: String,
    message: String,
}

impl Refused {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl Clock {
    /// Invokes the target of a schedule that was due at a moment, again and again as its retry policy says.
    pub(super) async fn deliver(&self, schedule: &Schedule, due: Timestamp) {
        let policy = &schedule.target()["RetryPolicy"];
        let retries = policy["MaximumRetryAttempts"].as_u64().unwrap_or_default();
        let longest = Duration::from_secs(policy["MaximumEventAgeInSeconds"].as_u64().unwrap_or_default());
        let execution = uuid::Uuid::new_v4().to_string();
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            let input = input(schedule, due, &execution, attempt);
            self.count(schedule, "InvocationAttemptCount");
            let Err(refused) = self.attempt(schedule, &input).await else {
                return;
            };
            self.count(schedule, "TargetErrorCount");
            let exhausted = match (attempt >= retries, begun.elapsed() + pause > longest) {
                (true, _) => "MaximumRetryAttempts",
                (false, true) => "MaximumEventAgeInSeconds",
                (false, false) => {
                    tracing::info!(schedule = schedule.arn(), ?refused, "tried again later");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    continue;
                }
            };
            tracing::warn!(
                schedule = schedule.arn(),
                ?refused,
                exhausted,
                "the invocation of a schedule was dropped"
            );
            self.count(schedule, "InvocationDroppedCount");
            let attributes = [
                ("ERROR_CODE", refused.code),
                ("ERROR_MESSAGE", refused.message),
                ("EXECUTION_ID", execution),
                ("EXHAUSTED_RETRY_CONDITION", exhausted.to_owned()),
                ("IS_PAYLOAD_TRUNCATED", "false".to_owned()),
                ("RETRY_ATTEMPTS", attempt.to_string()),
                ("SCHEDULE_ARN", schedule.arn()),
                ("SCHEDULED_TIME", shown(due)),
                (
                    "TARGET_ARN",
                    schedule.target()["Arn"].as_str().unwrap_or_default().to_owned(),
                ),
            ];
            self.dead_letter(schedule, input, &attributes).await;
            return;
        }
    }

    async fn attempt(&self, schedule: &Schedule, input: &str) -> Result<(), Refused> {
        let arn = schedule.target()["Arn"].as_str().unwrap_or_default();
        if let Some(queue) = Queue::parse(arn) {
            self.check(schedule, "sqs:SendMessage", arn).await?;
            let mut message = json!({"MessageBody": input});
            if let Some(group) = schedule.target()["SqsParameters"]["MessageGroupId"].as_str() {
                message["MessageGroupId"] = group.into();
            }
            let sent = queue.send(&self.emulator, message).await;
            return sent
                .map(drop)
                .map_err(|error| Refused::new("SqsException", error.to_string()));
        }
        let unknown = || Refused::new("ValidationException", format!("the local target does not invoke {arn}"));
        let address = FunctionAddress::parse(arn).ok_or_else(unknown)?;
        self.check(schedule, "lambda:InvokeFunction", arn).await?;
        let request = InvokeRequest::event(address, Bytes::from(input.to_owned()));
        match self.invoker.invoke(request).await {
            InvokeOutcome::Completed(_) | InvokeOutcome::Accepted { .. } => Ok(()),
            InvokeOutcome::NotFound(error) => Err(Refused::new("ResourceNotFoundException", error.to_string())),
            InvokeOutcome::Throttled { .. } => Err(Refused::new("TooManyRequestsException", "Rate Exceeded.")),
            InvokeOutcome::Refused { code, message, .. } => Err(Refused { code, message }),
        }
    }

    /// Whether the role can be taken on and may do something with the target.
    async fn check(&self, schedule: &Schedule, action: &str, target: &str) -> Result<(), Refused> {
        let role = schedule.target()["RoleArn"].as_str().unwrap_or_default();
        let caller = Caller {
            account: schedule.account.clone(),
            region: schedule.region.clone(),
        };
        let source = group_arn(&schedule.account, &schedule.region, &schedule.group);
        if !assumes(&self.emulator, &caller, role, &source).await {
            let message = format!("The role {role} cannot be assumed by EventBridge Scheduler.");
            return Err(Refused::new("AccessDeniedException", message));
        }
        let permissions = permissions::read(&self.emulator, &caller, role).await;
        let call = Call::internal("scheduler", &caller.region, &caller.account);
        match permissions.judge(&Actions { call: &call }.on(action, target)) {
            Verdict::Allowed => Ok(()),
            _ => {
                let message = format!("{role} is not authorized to perform: {action} on resource: {target}");
                Err(Refused::new("AccessDeniedException", message))
            }
        }
    }

    async fn dead_letter(&self, schedule: &Schedule, input: String, attributes: &[(&str, String)]) {
        let arn = schedule.target()["DeadLetterConfig"]["Arn"].as_str();
        let Some((arn, queue)) = arn.and_then(|arn| Some((arn, Queue::parse(arn)?))) else {
            return;
        };
        let attribute = |(name, value): &(&str, String)| {
            let value = if value.is_empty() { "-" } else { value };
            ((*name).to_owned(), json!({"DataType": "String", "StringValue": value}))
        };
        let attributes: serde_json::Map<_, _> = attributes.iter().map(attribute).collect();
        let message = json!({"MessageBody": input, "MessageAttributes": attributes});
        let sent = match self.check(schedule, "sqs:SendMessage", arn).await {
            Ok(()) => queue
                .send(&self.emulator, message)
                .await
                .map_err(|error| error.to_string()),
            Err(refused) => Err(refused.message),
        };
        match sent {
            Ok(_) => self.count(schedule, "InvocationsSentToDeadLetterCount"),
            Err(error) => {
                tracing::warn!(error, queue = arn, "a dead letter could not be sent");
                self.count(schedule, "InvocationsFailedToBeSentToDeadLetterCount");
            }
        }
    }

    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html>
    fn count(&self, schedule: &Schedule, metric: &str) {
        let datum = MetricDatum {
            name: metric.to_owned(),
            dimensions: vec![("ScheduleGroup".to_owned(), schedule.group.clone())],
            timestamp_ms: crate::services::now_ms(),
            value: 1.0,
            unit: "Count".to_owned(),
        };
        self.metrics.put(&schedule.region, "AWS/Scheduler", vec![datum]);
    }
}

/// What the target gets.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>
fn input(schedule: &Schedule, due: Timestamp, execution: &str, attempt: u64) -> String {
    let Some(given) = schedule.target()["Input"].as_str() else {
        let event = json!({
            "version": "0",
            "id": execution,
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": schedule.account,
            "time": shown(due),
            "region": schedule.region,
            "resources": [schedule.arn()],
            "detail": "{}",
        });
        return event.to_string();
    };
    given
        .replace("<aws.scheduler.schedule-arn>", &schedule.arn())
        .replace("<aws.scheduler.scheduled-time>", &shown(due))
        .replace("<aws.scheduler.execution-id>", execution)
        .replace("<aws.scheduler.attempt-number>", &(attempt + 1).to_string())
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether the scheduler may take on a role for the schedules of a group.
pub(super) async fn assumes(emulator: &EmulatorClient, caller: &Caller, role: &str, group: &str) -> bool {
    let name = role.rsplit('/').next().unwrap_or_default();
    let parameters = [("Action", "GetRole"), ("Version", "2010-05-08"), ("RoleName", name)];
    let Ok(answer) = emulator.query(caller, "iam", &parameters).await else {
        return false;
    };
    let found = Element::parse(answer.body()).filter(|_| answer.status() == StatusCode::OK);
    let Some(found) = found.filter(|found| found.text_of("Arn").as_deref() == Some(role)) else {
        return false;
    };
    let document = found.text_of("AssumeRolePolicyDocument").unwrap_or_default();
    let document = percent_decode_str(&document).decode_utf8_lossy();
    trusts(
        &serde_json::from_str(&document).unwrap_or_default(),
        &caller.account,
        group,
    )
}

/// Whether a trust policy lets the scheduler in. Conditions may bound account and group.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html>
fn trusts(document: &Value, account: &str, group: &str) -> bool {
    let has = |value: &Value, wanted: &dyn Fn(&str) -> bool| match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(wanted),
        one => one.as_str().is_some_and(wanted),
    };
    let statements = document["Statement"].as_array().cloned();
    let statements = statements.unwrap_or_else(|| vec![document["Statement"].clone()]);
    let applies = |statement: &Value| {
        let conditions = statement["Condition"].as_object().into_iter().flatten();
        let keys = conditions.flat_map(|(_, keys)| keys.as_object().into_iter().flatten());
        let holds = |(key, value): (&String, &Value)| match key.to_ascii_lowercase().as_str() {
            "aws:sourceaccount" => has(value, &|wanted| wanted == account),
            "aws:sourcearn" => has(value, &|pattern| wildcard::matches(pattern, group)),
            _ => false,
        };
        let who = &statement["Principal"];
        has(&statement["Action"], &|action| {
            matches!(action, "sts:AssumeRole" | "sts:*" | "*")
        }) && (has(who, &|who| who == "*") || has(&who["Service"], &|service| service == "scheduler.amazonaws.com"))
            && keys.into_iter().all(holds)
    };
    let is = |effect: &str| statements.iter().any(|one| one["Effect"] == effect && applies(one));
    is("Allow") && !is("Deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_take_on_a_role() {
        let group = "arn:aws:scheduler:eu-central-1:000000000000:schedule-group/app-dev";
        let check = |principal: Value, condition: Value, expected: bool| {
            let statement =
                json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, "Condition": condition});
            assert_eq!(
                trusts(&json!({"Statement": [statement]}), "000000000000", group),
                expected,
                "{statement}"
            );
        };
        let scheduler = json!({"Service": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]});
        check(scheduler.clone(), json!(null), true);
        check(json!({"Service": "lambda.amazonaws.com"}), json!(null), false);
        let bound = |key: &str, value: &str| json!({"StringEquals": {key: value}});
        check(scheduler.clone(), bound("aws:SourceAccount", "000000000000"), true);
        check(scheduler.clone(), bound("aws:SourceAccount", "111122223333"), false);
        check(scheduler.clone(), bound("aws:SourceArn", group), true);
        check(
            scheduler,
            bound(
                "aws:SourceArn",
                "arn:aws:scheduler:eu-central-1:000000000000:schedule/app-dev/tick",
            ),
            false,
        );
    }

    #[test]
    fn placeholders_of_an_input() {
        let settings = json!({"Target": {"Input": "<aws.scheduler.scheduled-time> <aws.scheduler.attempt-number>"}});
        let schedule = Schedule {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
            group: "g".to_owned(),
            name: "tick".to_owned(),
            settings: settings.as_object().cloned().unwrap_or_default(),
            created: 0.0,
            modified: 0.0,
            since: 0.0,
            token: None,
            fired: None,
            asked: false,
        };
        assert_eq!(
            input(&schedule, Timestamp::UNIX_EPOCH, "e", 0),
            "1970-01-01T00:00:00Z 1"
        );
    }
}
