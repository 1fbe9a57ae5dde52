//! Queues as deliveries use them: what is received from one, sent to one and deleted is the emulator's, named by its ARN.

use serde_json::{Value, json};

use crate::protocol::emulator_client::{Caller, EmulatorClient, EmulatorError};

/// Most messages of a call.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
pub(super) const MOST: usize = 10;

/// A queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub arn: String,
    caller: Caller,
    url: String,
}

impl Queue {
    /// The queue of an ARN; `None` where it is not that of a queue.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sqs", region, account, name] = fields.as_slice() else {
            return None;
        };
        let is_whole = [region, account, name].iter().all(|field| !field.is_empty());
        is_whole.then(|| Self {
            arn: arn.to_owned(),
            caller: Caller {
                account: (*account).to_owned(),
                region: (*region).to_owned(),
            },
            // The emulator looks at the path alone.
            url: format!("http://localhost/{account}/{name}"),
        })
    }

    pub(super) fn is_fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }

    pub(super) fn region(&self) -> &str {
        &self.caller.region
    }

    /// All attributes.
    pub(super) async fn attributes(&self, emulator: &EmulatorClient) -> Result<Value, EmulatorError> {
        let input = json!({"QueueUrl": self.url, "AttributeNames": ["All"]});
        let mut output = self.call(emulator, "GetQueueAttributes", &input).await?;
        Ok(output["Attributes"].take())
    }

    /// Messages with all that belongs to them, at most [`MOST`], after so many seconds at the latest.
    pub(super) async fn receive(
        &self,
        emulator: &EmulatorClient,
        most: usize,
        seconds: u64,
    ) -> Result<Vec<Value>, EmulatorError> {
        let input = json!({
            "QueueUrl": self.url,
            "MaxNumberOfMessages": most.min(MOST),
            "WaitTimeSeconds": seconds,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let mut output = self.call(emulator, "ReceiveMessage", &input).await?;
        Ok(match output["Messages"].take() {
            Value::Array(messages) => messages,
            _ => Vec::new(),
        })
    }

    /// Deletes received messages. Those that have become others' meanwhile stay.
    pub(super) async fn delete(&self, emulator: &EmulatorClient, messages: &[&Value]) -> Result<(), EmulatorError> {
        self.each(emulator, "DeleteMessageBatch", messages, |_| ()).await
    }

    /// Lets received messages be received again at once.
    pub(super) async fn give_back(&self, emulator: &EmulatorClient, messages: &[&Value]) -> Result<(), EmulatorError> {
        self.each(emulator, "ChangeMessageVisibilityBatch", messages, |entry| {
            entry["VisibilityTimeout"] = json!(0);
        })
        .await
    }

    /// Sends a message: the members of `SendMessage` but for the queue.
    pub(super) async fn send(&self, emulator: &EmulatorClient, mut message: Value) -> Result<Value, EmulatorError> {
        message["QueueUrl"] = json!(self.url);
        self.call(emulator, "SendMessage", &message).await
    }

    async fn each(
        &self,
        emulator: &EmulatorClient,
        operation: &str,
        messages: &[&Value],
        complete: impl Fn(&mut Value),
    ) -> Result<(), EmulatorError> {
        for part in messages.chunks(MOST) {
            let entry = |(place, message): (usize, &&Value)| {
                let mut entry = json!({"Id": place.to_string(), "ReceiptHandle": message["ReceiptHandle"]});
                complete(&mut entry);
                entry
            };
            let entries: Vec<Value> = part.iter().enumerate().map(entry).collect();
            let input = json!({"QueueUrl": self.url, "Entries": entries});
            self.call(emulator, operation, &input).await?;
        }
        Ok(())
    }

    async fn call(&self, emulator: &EmulatorClient, operation: &str, input: &Value) -> Result<Value, EmulatorError> {
        let target = format!("AmazonSQS.{operation}");
        emulator.json(&self.caller, "sqs", &target, input).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_by_their_arns() {
        let queue = Queue::parse("arn:aws:sqs:eu-central-1:000000000000:jobs.fifo");
        let queue = queue.map(|queue| (queue.url.clone(), queue.is_fifo()));
        assert_eq!(
            queue,
            Some(("http://localhost/000000000000/jobs.fifo".to_owned(), true))
        );
        for arn in [
            "arn:aws:sqs:eu-central-1:000000000000:",
            "arn:aws:sns:eu-central-1:000000000000:jobs",
            "jobs",
        ] {
            assert!(Queue::parse(arn).is_none(), "{arn}");
        }
    }
}
