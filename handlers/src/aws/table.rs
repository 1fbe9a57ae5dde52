//! A DynamoDB table as a [`Store`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure,
    ThrottlingReason, TransactWriteItem, Update,
};

use super::attributes::{item as item_of, map, value};
use super::errors::{is_throttle, said, shown_code, store_error};
use crate::ports::{
    Attribute, Below, Commit, Condition, HotSpot, IndexQuery, Item, OWNER, Page, REVISION, Refusal, Store, StoreError,
    TTL, Write,
};
use crate::record::{Millis, RecordId};

/// Rounds of a batch read before what is left counts as throttled.
const BATCH_ROUNDS: u32 = 5;
/// Shortest and longest pause between them, ms.
const BATCH_PAUSE: (u64, u64) = (50, 400);

/// A pause that callers who are throttled together do not have in common.
fn batch_pause() -> Duration {
    let (shortest, longest) = BATCH_PAUSE;
    Duration::from_millis(shortest + RecordId::new().spread() % (longest - shortest + 1))
}

/// A table.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
    key: &'static str,
}

impl DynamoStore {
    /// The table of that name, whose partition key attribute is `key`.
    pub fn new(client: Client, table: String, key: &'static str) -> Self {
        Self { client, table, key }
    }

    fn key_map(&self, key: &str) -> HashMap<String, AttributeValue> {
        HashMap::from([(self.key.to_owned(), AttributeValue::S(key.to_owned()))])
    }

    /// One new item at half of a transaction's price. Its key is fresh, so an equal item found there is our own earlier attempt.
    async fn put_new(&self, item: &Item) -> Result<Commit, StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(map(item)));
        let put = put
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", self.key);
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else {
            return Ok(Commit::Done);
        };
        let reasons = match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                let existing = refused.item().cloned().map(item_of);
                if existing.as_ref() == Some(item) {
                    return Ok(Commit::Done);
                }
                return Ok(Commit::Refused(vec![Refusal { write: 0, existing }]));
            }
            Some(PutItemError::ThrottlingException(throttled)) => throttled.throttling_reasons(),
            Some(PutItemError::ProvisionedThroughputExceededException(throttled)) => throttled.throttling_reasons(),
            Some(_) | None => &[],
        };
        // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ThrottlingReason.html
        let hot = match reasons
            .iter()
            .filter_map(ThrottlingReason::reason)
            .any(|reason| reason == "IndexWriteKeyRangeThroughputExceeded")
        {
            true => HotSpot::IndexPartition,
            false => HotSpot::Elsewhere,
        };
        Err(store_error("PutItem", hot, error))
    }

    fn transact_item(&self, write: &Write) -> Result<TransactWriteItem, StoreError> {
        let built = match write {
            Write::Put { item, when } => {
                let guard = self.guard(when);
                Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(map(item)))
                    .set_condition_expression(guard.expression)
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .set_return_values_on_condition_check_failure(guard.returned)
                    .build()
                    .map(|put| TransactWriteItem::builder().put(put).build())
            }
            Write::Update { key, set, remove, when } => {
                let mut guard = self.guard(when);
                let expression = guard.update_expression(set, remove);
                Update::builder()
                    .table_name(&self.table)
                    .set_key(Some(self.key_map(key)))
                    .update_expression(expression)
                    .set_condition_expression(guard.expression)
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .set_return_values_on_condition_check_failure(guard.returned)
                    .build()
                    .map(|update| TransactWriteItem::builder().update(update).build())
            }
            Write::Delete { key, when } => {
                let guard = self.guard(when);
                Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(self.key_map(key)))
                    .set_condition_expression(guard.expression)
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .set_return_values_on_condition_check_failure(guard.returned)
                    .build()
                    .map(|delete| TransactWriteItem::builder().delete(delete).build())
            }
        };
        built.map_err(|_| StoreError::Failed {
            operation: "TransactWriteItems",
            source: said("the request could not be made"),
        })
    }

    fn guard(&self, when: &Condition) -> Guard {
        let seconds = |now: &Millis| AttributeValue::N(now.seconds().to_string());
        match when {
            Condition::Always => Guard::default(),
            Condition::Absent => Guard::of("attribute_not_exists(#key)").name("#key", self.key),
            Condition::AbsentOrExpired(now) => Guard::of("attribute_not_exists(#key) OR #ttl <= :now")
                .name("#key", self.key)
                .name("#ttl", TTL)
                .value(":now", seconds(now)),
            Condition::FreeFor { now, owner } => {
                Guard::of("attribute_not_exists(#key) OR #ttl <= :now OR #owner = :owner")
                    .name("#key", self.key)
                    .name("#ttl", TTL)
                    .name("#owner", OWNER)
                    .value(":now", seconds(now))
                    .value(":owner", AttributeValue::S(owner.clone()))
            }
            Condition::Revision(revision) => Guard::of("#revision = :revision")
                .name("#revision", REVISION)
                .value(":revision", AttributeValue::N(revision.to_string())),
        }
    }
}

/// A condition expression with its names and values.
#[derive(Default)]
struct Guard {
    expression: Option<String>,
    /// What the refusal is to carry, where there is something to refuse.
    returned: Option<ReturnValuesOnConditionCheckFailure>,
    names: Option<HashMap<String, String>>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Guard {
    fn of(expression: &str) -> Self {
        Self {
            expression: Some(expression.to_owned()),
            returned: Some(ReturnValuesOnConditionCheckFailure::AllOld),
            ..Self::default()
        }
    }

    fn name(mut self, placeholder: &str, name: &str) -> Self {
        self.names
            .get_or_insert_default()
            .insert(placeholder.to_owned(), name.to_owned());
        self
    }

    fn value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values
            .get_or_insert_default()
            .insert(placeholder.to_owned(), value);
        self
    }

    /// `SET … REMOVE …`, its names and values added to the condition's.
    fn update_expression(&mut self, set: &Item, remove: &[String]) -> String {
        let names = self.names.get_or_insert_default();
        let mut assignments = Vec::new();
        for (number, (name, attribute)) in set.0.iter().enumerate() {
            names.insert(format!("#s{number}"), name.clone());
            self.values
                .get_or_insert_default()
                .insert(format!(":s{number}"), value(attribute));
            assignments.push(format!("#s{number} = :s{number}"));
        }
        let mut removals = Vec::new();
        for (number, name) in remove.iter().enumerate() {
            names.insert(format!("#r{number}"), name.clone());
            removals.push(format!("#r{number}"));
        }
        let mut expression = String::new();
        if !assignments.is_empty() {
            expression.push_str("SET ");
            expression.push_str(&assignments.join(", "));
        }
        if !removals.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&removals.join(", "));
        }
        expression
    }
}

impl Store for DynamoStore {
    fn key_attribute(&self) -> &'static str {
        self.key
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(self.key_map(key)))
            .consistent_read(true);
        let output = get
            .send()
            .await
            .map_err(|error| store_error("GetItem", HotSpot::Elsewhere, error))?;
        Ok(output.item.map(item_of))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        let mut wanted: Vec<_> = keys.iter().map(|key| self.key_map(key)).collect();
        for round in 0..BATCH_ROUNDS {
            if wanted.is_empty() {
                return Ok(items);
            }
            // Asked at once, a table that is short of throughput leaves them again.
            if round > 0 {
                tokio::time::sleep(batch_pause()).await;
            }
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build();
            let request = request.map_err(|_| StoreError::Failed {
                operation: "BatchGetItem",
                source: said("the request could not be made"),
            })?;
            let output = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await;
            let output = output.map_err(|error| store_error("BatchGetItem", HotSpot::Elsewhere, error))?;
            for found in output.responses.into_iter().flat_map(HashMap::into_values) {
                items.extend(found.into_iter().map(item_of));
            }
            wanted = output
                .unprocessed_keys
                .into_iter()
                .flat_map(HashMap::into_values)
                .flat_map(|left| left.keys)
                .collect();
        }
        let source = said(format!("{} keys were left unprocessed", wanted.len()));
        Err(StoreError::Throttled {
            operation: "BatchGetItem",
            hot: HotSpot::Elsewhere,
            source,
        })
    }

    async fn query(&self, query: &IndexQuery) -> Result<Page, StoreError> {
        let IndexQuery {
            index,
            partition_attribute,
            partition,
            below,
            limit,
            start,
        } = query;
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(*index)
            .expression_attribute_names("#p", *partition_attribute)
            .expression_attribute_values(":p", AttributeValue::S(partition.clone()))
            .scan_index_forward(false)
            .limit(i32::try_from(*limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start.as_ref().map(map));
        request = match below {
            Below::Open => request.key_condition_expression("#p = :p"),
            Below::Text { attribute, less_than } => request
                .key_condition_expression("#p = :p AND #s < :s")
                .expression_attribute_names("#s", *attribute)
                .expression_attribute_values(":s", AttributeValue::S(less_than.clone())),
            Below::Number { attribute, at_most } => request
                .key_condition_expression("#p = :p AND #s <= :s")
                .expression_attribute_names("#s", *attribute)
                .expression_attribute_values(":s", AttributeValue::N(at_most.to_string())),
        };
        let output = request
            .send()
            .await
            .map_err(|error| store_error("Query", HotSpot::Elsewhere, error))?;
        let items = output.items.unwrap_or_default().into_iter().map(item_of).collect();
        Ok(Page {
            items,
            next: output.last_evaluated_key.map(item_of),
        })
    }

    async fn commit(&self, writes: &[Write]) -> Result<Commit, StoreError> {
        if let [
            Write::Put {
                item,
                when: Condition::Absent,
            },
        ] = writes
        {
            return self.put_new(item).await;
        }
        let items = writes
            .iter()
            .map(|write| self.transact_item(write))
            .collect::<Result<Vec<_>, _>>()?;
        let Err(error) = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        else {
            return Ok(Commit::Done);
        };
        cancelled(error)
    }

    async fn extend_set(
        &self,
        key: &str,
        attribute: &'static str,
        members: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(self.key_map(key)));
        let update = update
            .update_expression("ADD #set :members")
            .expression_attribute_names("#set", attribute);
        let update = update.expression_attribute_values(":members", value(&Attribute::Set(members)));
        update
            .send()
            .await
            .map(|_| ())
            .map_err(|error| store_error("UpdateItem", HotSpot::Elsewhere, error))
    }
}

/// Why a transaction did not commit: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>.
fn cancelled(error: SdkError<TransactWriteItemsError, HttpResponse>) -> Result<Commit, StoreError> {
    const OPERATION: &str = "TransactWriteItems";
    let reasons: &[CancellationReason] = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => return Ok(Commit::Contended),
        Some(_) | None => return Err(store_error(OPERATION, HotSpot::IndexPartition, error)),
    };
    let refusals: Vec<Refusal> = reasons
        .iter()
        .enumerate()
        .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(write, reason)| Refusal {
            write,
            existing: reason.item().cloned().map(item_of),
        })
        .collect();
    if !refusals.is_empty() {
        return Ok(Commit::Refused(refusals));
    }
    if reasons
        .iter()
        .any(|reason| reason.code() == Some("TransactionConflict"))
    {
        return Ok(Commit::Contended);
    }
    // Their codes only: messages and items hold what was sent.
    let told: Vec<&str> = reasons
        .iter()
        .map(CancellationReason::code)
        .filter(|code| *code != Some("None"))
        .map(shown_code)
        .collect();
    if reasons.iter().filter_map(CancellationReason::code).any(is_throttle) {
        // The reasons of a transaction do not say whether the table or an index is too hot.
        return Err(StoreError::Throttled {
            operation: OPERATION,
            hot: HotSpot::IndexPartition,
            source: said(told.join("; ")),
        });
    }
    match told.is_empty() {
        true => Err(store_error(OPERATION, HotSpot::IndexPartition, error)),
        false => Err(StoreError::Failed {
            operation: OPERATION,
            source: said(told.join("; ")),
        }),
    }
}
