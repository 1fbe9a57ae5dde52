//! Batches of messages: the event that a function gets, which messages a filter takes, which of them failed. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::services::pattern::Pattern;

/// Largest event of a synchronous invocation, bytes; a batch that would be larger goes in parts.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LARGEST_EVENT: usize = 6 * 1024 * 1024;

/// A received message and what the function sees of it.
pub(super) struct Item {
    /// As `ReceiveMessage` gave it.
    pub message: Value,
    pub record: Value,
}

impl Item {
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>
    pub(super) fn new(message: Value, source_arn: &str, region: &str) -> Self {
        let mut record = json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes").cloned().unwrap_or_else(|| json!({})),
            "messageAttributes": attributes(&message["MessageAttributes"]),
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": source_arn,
            "awsRegion": region,
        });
        if let Some(hash) = message.get("MD5OfMessageAttributes").filter(|hash| !hash.is_null()) {
            record["md5OfMessageAttributes"] = hash.clone();
        }
        Self { message, record }
    }

    pub(super) fn id(&self) -> &str {
        self.record["messageId"].as_str().unwrap_or_default()
    }
}

fn attributes(given: &Value) -> Value {
    let given = given.as_object().into_iter().flatten();
    let shown = given.map(|(name, attribute)| {
        let mut shown = json!({
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": attribute["DataType"],
        });
        for (from, to) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
            if let Some(value) = attribute.get(from).filter(|value| !value.is_null()) {
                shown[to] = value.clone();
            }
        }
        (name.clone(), shown)
    });
    Value::Object(shown.collect::<Map<_, _>>())
}

/// Whether one of the patterns takes a message; without any, all do. A pattern of a body that is JSON takes no plain text, and
/// the other way round. <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html>
pub(super) fn is_taken(record: &Value, patterns: &[Pattern]) -> bool {
    let text = record["body"].as_str().unwrap_or_default();
    let parsed = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let seen = |pattern: &Pattern| {
        let mut seen = record.clone();
        match (pattern.of("body"), &parsed) {
            (Some(Value::Object(_)), None) | (Some(Value::Array(_)), Some(_)) => return None,
            (Some(Value::Object(_)), Some(body)) => seen["body"] = body.clone(),
            _ => {}
        }
        Some(seen)
    };
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| seen(pattern).is_some_and(|seen| pattern.matches(&seen)))
}

/// The events of a batch, each small enough for an invocation.
pub(super) fn parts(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut parts: Vec<Vec<Item>> = Vec::new();
    let mut size = usize::MAX;
    for item in items {
        let more = item.record.to_string().len() + 1;
        if size.saturating_add(more) > LARGEST_EVENT - 64 {
            parts.push(Vec::new());
            size = 0;
        }
        size += more;
        if let Some(part) = parts.last_mut() {
            part.push(item);
        }
    }
    parts
}

/// Which items of a batch failed.
#[derive(Debug, PartialEq)]
pub(super) enum Failed {
    Nothing,
    Everything,
    Some(BTreeSet<String>),
}

/// What the answer of a function that reports items says about those it was given.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>
pub(super) fn failed(answer: &[u8], given: &[&str]) -> Failed {
    if answer.is_empty() {
        return Failed::Nothing;
    }
    let items = match serde_json::from_slice(answer) {
        Ok(Value::Null) => return Failed::Nothing,
        Ok(Value::Object(mut answer)) => match answer.remove("batchItemFailures") {
            None | Some(Value::Null) => return Failed::Nothing,
            Some(Value::Array(items)) => items,
            Some(_) => return Failed::Everything,
        },
        _ => return Failed::Everything,
    };
    let known = |item: &Value| {
        let id = item["itemIdentifier"].as_str()?;
        given.contains(&id).then(|| id.to_owned())
    };
    match items.iter().map(known).collect::<Option<BTreeSet<String>>>() {
        Some(failed) if failed.is_empty() => Failed::Nothing,
        Some(failed) => Failed::Some(failed),
        None => Failed::Everything,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn item(body: &str) -> Item {
        let message = json!({
            "MessageId": "m", "ReceiptHandle": "h", "Body": body, "MD5OfBody": "5",
            "Attributes": {"ApproximateReceiveCount": "1"}, "MD5OfMessageAttributes": "6",
            "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}},
        });
        Item::new(message, "arn:q", "eu-central-1")
    }

    #[test]
    fn a_record_has_what_lambda_shows() {
        let expected = json!({
            "messageId": "m", "receiptHandle": "h", "body": "hello", "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {"kind": {"stringListValues": [], "binaryListValues": [], "dataType": "String", "stringValue": "x"}},
            "md5OfBody": "5", "eventSource": "aws:sqs", "eventSourceARN": "arn:q", "awsRegion": "eu-central-1",
            "md5OfMessageAttributes": "6",
        });
        assert_eq!(item("hello").record, expected);
    }

    #[test]
    fn filters_look_into_bodies_of_their_own_format() {
        let check = |pattern: Value, body: &str, expected: bool| {
            let pattern = Pattern::parse(&pattern.to_string()).unwrap();
            assert_eq!(is_taken(&item(body).record, &[pattern]), expected, "{body}");
        };
        check(json!({"body": {"n": [{"numeric": [">", 1]}]}}), r#"{"n": 2}"#, true);
        check(json!({"body": {"n": [{"numeric": [">", 1]}]}}), r#"{"n": 1}"#, false);
        check(json!({"body": {"n": [1]}}), "text", false);
        check(json!({"body": ["text"]}), "text", true);
        check(json!({"body": [{"exists": true}]}), r#"{"n": 2}"#, false);
        assert!(is_taken(&item("text").record, &[]));
    }

    #[test]
    fn what_failed() {
        let check = |answer: &str, expected: Failed| {
            assert_eq!(failed(answer.as_bytes(), &["a", "b"]), expected, "{answer}");
        };
        for answer in [
            "",
            "null",
            "{}",
            r#"{"batchItemFailures": null}"#,
            r#"{"batchItemFailures": []}"#,
        ] {
            check(answer, Failed::Nothing);
        }
        check(
            r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#,
            Failed::Some(["b".to_owned()].into()),
        );
        for answer in [
            "no JSON",
            r#""text""#,
            r#"{"batchItemFailures": "a"}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
            r#"{"batchItemFailures": [{"id": "a"}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "other"}]}"#,
        ] {
            check(answer, Failed::Everything);
        }
    }

    #[test]
    fn a_large_batch_goes_in_parts() {
        let large = "x".repeat(1024 * 1024);
        let sizes = |count: usize| -> Vec<usize> {
            let items = (0..count).map(|_| item(&large)).collect();
            parts(items).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(10), [5, 5]);
        assert_eq!(sizes(0), [0_usize; 0]);
    }
}
