//! The counter's item in DynamoDB: raised by one atomic `ADD`, or only read.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use aws_smithy_types::retry::RetryConfig;

use super::errors::{said, store_error};
use crate::counter::{COUNT, COUNTER_ID, COUNTER_KEY, KEPT_SECONDS};
use crate::ports::{Counter, HotSpot, Probe, StoreError};
use crate::record::{Millis, RecordId};

/// Attempts while throttled.
const ATTEMPTS: u32 = 5;

/// The counter.
#[derive(Debug, Clone)]
pub struct DynamoCounter {
    client: Client,
    table: String,
}

impl DynamoCounter {
    /// The counter in that table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn attempt(&self, now: Millis) -> Result<i64, StoreError> {
        let time = now.rfc3339();
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(COUNTER_KEY, AttributeValue::S(COUNTER_ID.to_owned()))
            .update_expression(
                "SET #updated = :now, #created = if_not_exists(#created, :now), #expires = :expires ADD #count :one",
            )
            .expression_attribute_names("#count", COUNT)
            .expression_attribute_names("#updated", "last_updated")
            .expression_attribute_names("#created", "created_date")
            .expression_attribute_names("#expires", "ItemExpireTTL")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":now", AttributeValue::S(time))
            .expression_attribute_values(
                ":expires",
                AttributeValue::N(now.plus_seconds(KEPT_SECONDS).seconds().to_string()),
            )
            .return_values(ReturnValue::UpdatedNew)
            .customize()
            // The SDK would repeat it after a timeout too, and count twice.
            .config_override(aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled()));
        let output = update
            .send()
            .await
            .map_err(|error| store_error("UpdateItem", HotSpot::Elsewhere, error))?;
        let count = output.attributes.as_ref().and_then(|attributes| attributes.get(COUNT));
        let count = count
            .and_then(|count| count.as_n().ok())
            .and_then(|count| count.parse().ok());
        count.ok_or_else(|| StoreError::Failed {
            operation: "UpdateItem",
            source: said("the answer has no count"),
        })
    }
}

impl Counter for DynamoCounter {
    async fn raise(&self, now: Millis) -> Result<i64, StoreError> {
        let mut longest = 25_000;
        for _ in 1..ATTEMPTS {
            match self.attempt(now).await {
                // Throttled means not counted, so only then is repeating it safe.
                Err(StoreError::Throttled { .. }) => {
                    tokio::time::sleep(Duration::from_micros(RecordId::new().spread() % longest)).await;
                    longest *= 2;
                }
                outcome => return outcome,
            }
        }
        self.attempt(now).await
    }
}

/// A read of one item.
#[derive(Debug, Clone)]
pub struct DynamoProbe {
    client: Client,
    table: String,
    key: &'static str,
    value: &'static str,
}

impl DynamoProbe {
    /// Reads the item `value` of the table, whose partition key attribute is `key`.
    pub fn new(client: Client, table: String, key: &'static str, value: &'static str) -> Self {
        Self {
            client,
            table,
            key,
            value,
        }
    }
}

impl Probe for DynamoProbe {
    async fn read(&self) -> Result<Option<i64>, StoreError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(self.key, AttributeValue::S(self.value.to_owned()));
        let output = get
            .send()
            .await
            .map_err(|error| store_error("GetItem", HotSpot::Elsewhere, error))?;
        let count = output
            .item
            .as_ref()
            .and_then(|item| item.get(COUNT)?.as_n().ok()?.parse().ok());
        Ok(count)
    }
}
