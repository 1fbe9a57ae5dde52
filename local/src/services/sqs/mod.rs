//! SQS: queues and messages are the emulator's; message move tasks, the sources of dead-letter queues and the metrics are here.

pub(crate) mod metrics;
pub(crate) mod move_tasks;

use ::http::header::HeaderValue;
use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use self::move_tasks::Start;
use super::Services;
use super::compat::{LARGEST_BODY, refuse, too_large};
use super::queues::Queue;
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::protocol::http::{Body, answer, collect};

/// Refused: status, error code of the JSON protocol, that of the query protocol where it is another, message.
#[derive(Debug, PartialEq)]
struct Refusal {
    status: u16,
    code: &'static str,
    query_code: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "InvalidParameterValueException",
            query_code: "InvalidParameterValue",
            message: message.into(),
        }
    }

    fn missing(message: impl Into<String>) -> Self {
        Self {
            status: 404,
            code: "ResourceNotFoundException",
            query_code: "ResourceNotFoundException",
            message: message.into(),
        }
    }

    fn answer(&self) -> Response<Body> {
        let mut response = refuse(self.status, self.code, &self.message);
        // SDKs know errors of the former protocol by it.
        if let Ok(value) = HeaderValue::from_str(&format!("{};Sender", self.query_code)) {
            response.headers_mut().insert("x-amzn-query-error", value);
        }
        response
    }
}

impl Services {
    pub(super) async fn call_sqs(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.as_deref().unwrap_or_default();
        match operation {
            "StartMessageMoveTask"
            | "ListMessageMoveTasks"
            | "CancelMessageMoveTask"
            | "ListDeadLetterSourceQueues" => {}
            _ => return self.pass(Request::from_parts(parts, body)).await,
        }
        let Ok(body) = collect(body, LARGEST_BODY).await else {
            return too_large();
        };
        let input: Value = serde_json::from_slice(&body).unwrap_or_default();
        let result = match operation {
            "StartMessageMoveTask" => self.start_move(&Caller::of(call), &input).await,
            "ListMessageMoveTasks" => self.list_moves(&input).await,
            "CancelMessageMoveTask" => self.move_tasks.cancel(input["TaskHandle"].as_str().unwrap_or_default()),
            _ => self.dead_letter_sources(call, parts, &input).await,
        };
        match result {
            Ok(output) => answer(StatusCode::OK, "application/x-amz-json-1.0", output.to_string()),
            Err(refusal) => refusal.answer(),
        }
    }

    async fn start_move(&self, caller: &Caller, input: &Value) -> Result<Value, Refusal> {
        let source = self.existing(input, "SourceArn").await?;
        let destination = match input["DestinationArn"].as_str() {
            None => None,
            Some(_) => Some(self.existing(input, "DestinationArn").await?.arn),
        };
        let per_second = input["MaxNumberOfMessagesPerSecond"].as_u64();
        if per_second.is_some_and(|rate| !(1..=500).contains(&rate)) {
            return Err(Refusal::invalid(
                "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.",
            ));
        }
        let sources = self.sources_of(caller, &source.arn).await;
        if sources.map_err(|error| unavailable(&error))?.is_empty() {
            return Err(Refusal::invalid(
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        let attributes = source.attributes(&self.emulator).await;
        let attributes = attributes.map_err(|error| unavailable(&error))?;
        let there = attributes["ApproximateNumberOfMessages"].as_str();
        self.move_tasks.start(Start {
            source: source.arn,
            destination,
            per_second,
            to_move: there.and_then(|text| text.parse().ok()).unwrap_or_default(),
        })
    }

    async fn list_moves(&self, input: &Value) -> Result<Value, Refusal> {
        let source = self.existing(input, "SourceArn").await?;
        let most = input["MaxResults"].as_u64().unwrap_or(1).clamp(1, 10);
        Ok(self.move_tasks.list(&source.arn, most.try_into().unwrap_or(1)))
    }

    /// URLs of the queues whose dead letters go to a queue.
    async fn dead_letter_sources(&self, call: &Call, parts: Parts, input: &Value) -> Result<Value, Refusal> {
        let url = input["QueueUrl"].as_str().unwrap_or_else(|| parts.uri.path());
        let mut of_url = url.trim_end_matches('/').rsplit('/');
        let (name, account) = (
            of_url.next().unwrap_or_default(),
            of_url.next().unwrap_or(&call.account),
        );
        let arn = format!("arn:aws:sqs:{}:{account}:{name}", call.region);
        let sources = self.sources_of(&Caller::of(call), &arn).await;
        let sources = sources.map_err(|error| unavailable(&error))?;
        // As the caller reaches the local target.
        let base = url.rsplitn(3, '/').nth(2).unwrap_or_default();
        let urls: Vec<String> = sources
            .iter()
            .map(|arn| format!("{base}/{account}/{}", arn.rsplit(':').next().unwrap_or_default()))
            .collect();
        Ok(json!({"queueUrls": urls}))
    }

    /// A queue that a member names and that is there.
    async fn existing(&self, input: &Value, member: &str) -> Result<Queue, Refusal> {
        let missing = || {
            Refusal::missing(format!(
                "The resource that you specified for the {member} parameter doesn't exist."
            ))
        };
        let queue = input[member].as_str().and_then(Queue::parse).ok_or_else(missing)?;
        match queue.attributes(&self.emulator).await {
            Ok(_) => Ok(queue),
            Err(EmulatorError::Refused { .. }) => Err(missing()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// ARNs of the queues whose dead letters go to a queue.
    async fn sources_of(&self, caller: &Caller, arn: &str) -> Result<Vec<String>, EmulatorError> {
        let input = json!({});
        let list = self.emulator.json(caller, "sqs", "AmazonSQS.ListQueues", &input);
        let mut found = Vec::new();
        let list = list.await?;
        for url in list["QueueUrls"].as_array().into_iter().flatten() {
            let input = json!({"QueueUrl": url, "AttributeNames": ["RedrivePolicy", "QueueArn"]});
            // One that was deleted meanwhile is none.
            let attributes = self
                .emulator
                .json(caller, "sqs", "AmazonSQS.GetQueueAttributes", &input);
            let attributes = attributes.await.unwrap_or_default();
            let policy = attributes["Attributes"]["RedrivePolicy"].as_str().unwrap_or_default();
            let policy: Value = serde_json::from_str(policy).unwrap_or_default();
            if policy["deadLetterTargetArn"] == arn {
                found.extend(attributes["Attributes"]["QueueArn"].as_str().map(str::to_owned));
            }
        }
        Ok(found)
    }
}

fn unavailable(error: &EmulatorError) -> Refusal {
    Refusal {
        status: 503,
        code: "ServiceUnavailable",
        query_code: "ServiceUnavailable",
        message: error.to_string(),
    }
}
