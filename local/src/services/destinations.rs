//! Where results of asynchronous invocations and dead letters go: queues, topics and buses, as the function's role may.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use async_trait::async_trait;
use serde_json::{Value, json};

use super::iam::permissions;
use super::iam::policy::Verdict;
use super::iam::required::Actions;
use super::queues::Queue;
use crate::ports::{Destinations, FunctionAddress, Outgoing, OutgoingKind, Sent};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorClient};

/// Sends results by way of the emulator.
pub(crate) struct ResultDestinations {
    pub emulator: EmulatorClient,
}

/// The action that sending to a destination takes.
pub(super) fn action(arn: &str) -> Option<&'static str> {
    match arn.split(':').nth(2)? {
        "sqs" => Some("sqs:SendMessage"),
        "sns" => Some("sns:Publish"),
        "events" => Some("events:PutEvents"),
        "lambda" => Some("lambda:InvokeFunction"),
        _ => None,
    }
}

/// Whether a role may send to a destination.
pub(super) async fn may_send(emulator: &EmulatorClient, role: &str, arn: &str) -> bool {
    let Some(action) = action(arn) else {
        return false;
    };
    let (region, account) = place(arn);
    let call = Call::internal("lambda", region, account);
    let permissions = permissions::read(emulator, &Caller::of(&call), role).await;
    permissions.judge(&Actions { call: &call }.on(action, arn)) == Verdict::Allowed
}

fn place(arn: &str) -> (&str, &str) {
    let mut fields = arn.split(':').skip(3);
    (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
}

#[async_trait]
impl Destinations for ResultDestinations {
    async fn send(&self, outgoing: Outgoing) -> Result<Sent, String> {
        let Outgoing {
            role,
            destination: arn,
            body,
            kind,
        } = outgoing;
        if !may_send(&self.emulator, &role, &arn).await {
            return Err(format!("{role} may not send to {arn}"));
        }
        let (region, account) = place(&arn);
        let caller = Caller {
            account: account.to_owned(),
            region: region.to_owned(),
        };
        if FunctionAddress::parse(&arn).is_some() {
            return Ok(Sent::ToInvoke);
        }
        let said = |error: &dyn std::fmt::Display| error.to_string();
        if let Some(queue) = Queue::parse(&arn) {
            let mut message = json!({"MessageBody": body});
            if let OutgoingKind::DeadLetter { attributes } = &kind {
                message["MessageAttributes"] = text_attributes(attributes);
            }
            queue
                .send(&self.emulator, message)
                .await
                .map_err(|error| said(&error))?;
        } else if arn.contains(":sns:") {
            let parameters = [
                ("Action", "Publish"),
                ("Version", "2010-03-31"),
                ("TopicArn", &arn),
                ("Message", &body),
            ];
            let answer = self.emulator.query(&caller, "sns", &parameters).await;
            let answer = answer.map_err(|error| said(&error))?;
            if !answer.status().is_success() {
                return Err(format!("{arn} answered {}", answer.status()));
            }
        } else {
            let output = self
                .emulator
                .json(&caller, "events", "AWSEvents.PutEvents", &events(&arn, &body, &kind))
                .await
                .map_err(|error| said(&error))?;
            if output["FailedEntryCount"].as_u64().is_some_and(|count| count > 0) {
                return Err(output["Entries"].to_string());
            }
        }
        Ok(Sent::Delivered)
    }
}

fn text_attributes(attributes: &[(&'static str, String)]) -> Value {
    let attribute = |(name, value): &(&'static str, String)| {
        ((*name).to_owned(), json!({"DataType": "String", "StringValue": value}))
    };
    Value::Object(attributes.iter().map(attribute).collect())
}

fn events(bus: &str, body: &str, kind: &OutgoingKind) -> Value {
    let (result, function) = match kind {
        OutgoingKind::Success { function_arn } => ("Success", function_arn.as_str()),
        OutgoingKind::Failure { function_arn } => ("Failure", function_arn.as_str()),
        OutgoingKind::DeadLetter { .. } => ("Failure", ""),
    };
    json!({"Entries": [{
        "Source": "lambda",
        "DetailType": format!("Lambda Function Invocation Result - {result}"),
        "Resources": [bus, function],
        "Detail": body,
        "EventBusName": bus.rsplit('/').next(),
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_on_a_bus_names_function_and_outcome() {
        let bus = "arn:aws:events:eu-central-1:000000000000:event-bus/app";
        let kind = OutgoingKind::Failure {
            function_arn: "arn:f".to_owned(),
        };
        let entry = &events(bus, "{}", &kind)["Entries"][0];
        assert_eq!(entry["DetailType"], "Lambda Function Invocation Result - Failure");
        assert_eq!(
            (&entry["EventBusName"], &entry["Resources"]),
            (&json!("app"), &json!([bus, "arn:f"]))
        );
        assert_eq!(action(bus), Some("events:PutEvents"));
        assert_eq!(action("arn:aws:s3:::b"), None);
    }
}
