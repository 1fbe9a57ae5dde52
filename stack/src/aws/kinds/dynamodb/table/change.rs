//! Making and changing a table. One concern per `UpdateTable`, and the table ready again before the next: AWS takes one
//! index at a time and refuses the rest while it works.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html>

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_table::builders::UpdateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    BillingMode, CreateGlobalSecondaryIndexAction, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, OnDemandThroughput, PointInTimeRecoverySpecification, TableClass, TableDescription,
    TimeToLiveSpecification,
};

use super::observe::{self, Expiry, is_ready};
use super::request::{Attributes, encrypted, fits, labels, projected, schema, some, streaming};
use super::{Model, TABLE_LIMIT, other};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::kinds::kind::Fields;
use crate::template::model::{Index, StreamView, TableSettings};

/// How long an index may take to be built: minutes for small tables, hours for large ones. Past it the operator is told
/// to come back; AWS goes on by itself.
const INDEX_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Makes the table with everything that `CreateTable` takes.
pub(super) async fn create(context: &Context, desired: &Model) -> Result<Option<TableDescription>, AwsError> {
    let Model {
        name,
        settings,
        tags,
        others: _,
    } = desired;
    let TableSettings {
        partition_key,
        sort_key,
        indexes,
        ttl_attribute: _,
        point_in_time_recovery_days: _,
        deletion_protection,
        kms_key,
        stream,
    } = settings;
    let mut attributes = Attributes::default();
    attributes.add(partition_key, sort_key.as_ref());
    let mut secondary = Vec::new();
    for (index_name, index) in indexes {
        let Index {
            partition_key,
            sort_key,
            projection,
        } = index;
        attributes.add(partition_key, sort_key.as_ref());
        secondary.push(fits(
            GlobalSecondaryIndex::builder()
                .index_name(index_name)
                .set_key_schema(Some(schema(partition_key, sort_key.as_ref())?))
                .projection(projected(projection))
                .build(),
        )?);
    }
    let definitions = attributes.definitions()?;
    let keys = schema(partition_key, sort_key.as_ref())?;
    let stream = stream.map(|view| streaming(Some(view))).transpose()?;
    let tags = labels(tags)?;
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "CreateTable"), || {
            client
                .create_table()
                .table_name(name)
                .billing_mode(BillingMode::PayPerRequest)
                .set_attribute_definitions(Some(definitions.clone()))
                .set_key_schema(Some(keys.clone()))
                .set_global_secondary_indexes(some(&secondary))
                .deletion_protection_enabled(*deletion_protection)
                .set_sse_specification(kms_key.as_ref().map(|key| encrypted(Some(key))))
                .set_stream_specification(stream.clone())
                .set_tags(some(&tags))
                .send()
        })
        .await?;
    Ok(answer.table_description)
}

/// Changes what `UpdateTable` changes.
pub(super) async fn table(
    context: &Context,
    before: &Model,
    desired: &Model,
    changes: &Fields,
) -> Result<(), AwsError> {
    if !changes.touch_any(&["deletion_protection", "stream", "kms_key", "indexes", "others"]) {
        return Ok(());
    }
    let name = desired.name.as_str();
    observe::ready(context, name, "table to become active", TABLE_LIMIT).await?;
    if changes.touch("deletion_protection") {
        protect(context, name, desired.settings.deletion_protection).await?;
    }
    if changes.touch("kms_key") {
        encrypt(context, name, desired.settings.kms_key.as_deref()).await?;
    }
    if changes.touch("stream") {
        replace_stream(context, name, before.settings.stream, desired.settings.stream).await?;
    }
    if changes.touch("others") {
        reset_others(context, name, &before.others).await?;
    }
    if changes.touch("indexes") {
        replace_indexes(context, before, desired).await?;
    }
    Ok(())
}

/// Sets back what taskctl never sets. On-demand first: the rest is about it.
async fn reset_others(context: &Context, name: &str, others: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if others.contains_key(other::BILLING) {
        update(
            context,
            name,
            "table to be on-demand",
            TABLE_LIMIT,
            |call| call.billing_mode(BillingMode::PayPerRequest),
            |table| !observe::others(table).contains_key(other::BILLING),
        )
        .await?;
    }
    if others.contains_key(other::THROUGHPUT) {
        // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_OnDemandThroughput.html
        let unlimited = OnDemandThroughput::builder()
            .max_read_request_units(-1)
            .max_write_request_units(-1)
            .build();
        update(
            context,
            name,
            "throughput to have no limit",
            TABLE_LIMIT,
            |call| call.on_demand_throughput(unlimited.clone()),
            |table| !observe::others(table).contains_key(other::THROUGHPUT),
        )
        .await?;
    }
    if others.contains_key(other::CLASS) {
        update(
            context,
            name,
            "table class to change",
            TABLE_LIMIT,
            |call| call.table_class(TableClass::Standard),
            |table| !observe::others(table).contains_key(other::CLASS),
        )
        .await?;
    }
    Ok(())
}

async fn protect(context: &Context, name: &str, on: bool) -> Result<(), AwsError> {
    update(
        context,
        name,
        "deletion protection to be set",
        TABLE_LIMIT,
        |call| call.deletion_protection_enabled(on),
        |table| table.deletion_protection_enabled().unwrap_or(false) == on,
    )
    .await
}

async fn encrypt(context: &Context, name: &str, kms_key: Option<&str>) -> Result<(), AwsError> {
    let specification = encrypted(kms_key);
    update(
        context,
        name,
        "encryption to change",
        TABLE_LIMIT,
        |call| call.sse_specification(specification.clone()),
        |_| true,
    )
    .await
}

/// A stream's view cannot change: the old stream ends, a new one begins.
async fn replace_stream(
    context: &Context,
    name: &str,
    before: Option<StreamView>,
    after: Option<StreamView>,
) -> Result<(), AwsError> {
    let steps = [before.and(Some(None)), after.map(Some)];
    for view in steps.into_iter().flatten() {
        let specification = streaming(view)?;
        let on = view.is_some();
        update(
            context,
            name,
            "stream to change",
            TABLE_LIMIT,
            |call| call.stream_specification(specification.clone()),
            |table| {
                table
                    .stream_specification()
                    .is_some_and(|stream| stream.stream_enabled())
                    == on
            },
        )
        .await?;
    }
    Ok(())
}

/// New indexes are built first, while the old ones still serve; then changed ones are deleted and built again (AWS changes neither
/// keys nor projection of an index); those no longer wanted go last.
async fn replace_indexes(context: &Context, before: &Model, desired: &Model) -> Result<(), AwsError> {
    let name = desired.name.as_str();
    let (was, wanted) = (&before.settings.indexes, &desired.settings.indexes);
    let (new, kept): (Vec<_>, Vec<_>) = wanted.iter().partition(|(index, _)| !was.contains_key(*index));
    for (index, model) in new {
        build_index(context, desired, index, model).await?;
    }
    for (index, model) in kept.into_iter().filter(|(index, model)| was.get(*index) != Some(model)) {
        drop_index(context, name, index).await?;
        build_index(context, desired, index, model).await?;
    }
    for index in was.keys().filter(|index| !wanted.contains_key(*index)) {
        drop_index(context, name, index).await?;
    }
    Ok(())
}

async fn build_index(context: &Context, table: &Model, name: &str, index: &Index) -> Result<(), AwsError> {
    let Index {
        partition_key,
        sort_key,
        projection,
    } = index;
    let mut attributes = Attributes::default();
    attributes.add(&table.settings.partition_key, table.settings.sort_key.as_ref());
    attributes.add(partition_key, sort_key.as_ref());
    let definitions = attributes.definitions()?;
    let action = fits(
        CreateGlobalSecondaryIndexAction::builder()
            .index_name(name)
            .set_key_schema(Some(schema(partition_key, sort_key.as_ref())?))
            .projection(projected(projection))
            .build(),
    )?;
    let change = GlobalSecondaryIndexUpdate::builder().create(action).build();
    update(
        context,
        &table.name,
        &format!("index {name} to be built"),
        INDEX_LIMIT,
        |call| {
            call.set_attribute_definitions(Some(definitions.clone()))
                .global_secondary_index_updates(change.clone())
        },
        |table| has_index(table, name),
    )
    .await
}

async fn drop_index(context: &Context, table: &str, name: &str) -> Result<(), AwsError> {
    let action = fits(DeleteGlobalSecondaryIndexAction::builder().index_name(name).build())?;
    let change = GlobalSecondaryIndexUpdate::builder().delete(action).build();
    update(
        context,
        table,
        &format!("index {name} to be gone"),
        INDEX_LIMIT,
        |call| call.global_secondary_index_updates(change.clone()),
        |table| !has_index(table, name),
    )
    .await
}

fn has_index(table: &TableDescription, name: &str) -> bool {
    table
        .global_secondary_indexes()
        .iter()
        .any(|index| index.index_name() == Some(name))
}

/// One `UpdateTable`, and the wait until the table is ready and shows it.
async fn update(
    context: &Context,
    name: &str,
    reason: &str,
    limit: Duration,
    with: impl Fn(UpdateTableFluentBuilder) -> UpdateTableFluentBuilder,
    shows: impl Fn(&TableDescription) -> bool + Sync,
) -> Result<(), AwsError> {
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "UpdateTable"), || {
            with(client.update_table().table_name(name)).send()
        })
        .await?;
    if answer
        .table_description()
        .is_some_and(|table| is_ready(table) && shows(table))
    {
        return Ok(());
    }
    observe::ready_and(context, name, reason, limit, shows).await.map(drop)
}

/// Switches expiry from one attribute to another. AWS takes one such change an hour, so the second half of a change
/// from attribute to attribute is tried, and otherwise left to a later run (reading shows it as pending).
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
pub(super) async fn expire_by(
    context: &Context,
    name: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> Result<(), AwsError> {
    if let Some(old) = before.filter(|old| after != Some(*old))
        && let Switch::Refused(error) = switch_expiry(context, name, old, false).await?
    {
        return Err(error);
    }
    let Some(new) = after.filter(|new| before != Some(*new)) else {
        return Ok(());
    };
    match switch_expiry(context, name, new, true).await? {
        Switch::Refused(error) if before.is_none() => Err(error),
        Switch::Refused(_) | Switch::Done => Ok(()),
    }
}

/// How a change of expiry went.
enum Switch {
    Done,
    /// The last change was less than an hour ago.
    Refused(AwsError),
}

async fn switch_expiry(context: &Context, name: &str, attribute: &str, on: bool) -> Result<Switch, AwsError> {
    let specification = fits(
        TimeToLiveSpecification::builder()
            .attribute_name(attribute)
            .enabled(on)
            .build(),
    )?;
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "UpdateTimeToLive").just_made(), || {
            client
                .update_time_to_live()
                .table_name(name)
                .time_to_live_specification(specification.clone())
                .send()
        })
        .await;
    let error = match answer {
        Ok(_) => return Ok(Switch::Done),
        Err(error) if error.kind == ErrorKind::Invalid => error,
        Err(error) => return Err(error),
    };
    // An earlier attempt whose answer was lost is refused as "already": what stands decides.
    let done = match observe::expiry(context, name).await? {
        Expiry::On(now) | Expiry::SwitchingOn(now) => on && now == attribute,
        Expiry::Off | Expiry::SwitchingOff(_) => !on,
    };
    if done {
        return Ok(Switch::Done);
    }
    if !error.message.to_lowercase().contains("fixed interval") {
        return Err(error);
    }
    let again = context
        .now()
        .saturating_add(jiff::SignedDuration::from_hours(1))
        .unwrap_or(jiff::Timestamp::MAX);
    Ok(Switch::Refused(AwsError {
        message: format!(
            "expiry of table {name} was changed less than an hour ago, and AWS takes one such change an hour; \
             run the same command again after {} UTC",
            again.strftime("%H:%M")
        ),
        ..error
    }))
}

/// Switches point-in-time recovery. For a while after a table's creation AWS is still preparing backups: the call
/// repeats until it is taken.
pub(super) async fn recover(context: &Context, name: &str, days: Option<u8>) -> Result<(), AwsError> {
    let specification = fits(
        PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(days.is_some())
            .set_recovery_period_in_days(days.map(i32::from))
            .build(),
    )?;
    let client = &context.clients().dynamodb;
    context
        .call(op("dynamodb", "UpdateContinuousBackups").just_made(), || {
            client
                .update_continuous_backups()
                .table_name(name)
                .point_in_time_recovery_specification(specification.clone())
                .send()
        })
        .await
        .map(drop)
}

/// Sets the tags.
pub(super) async fn tag(context: &Context, arn: &str, before: &Tags, after: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().dynamodb;
    let Difference { set, remove } = tags::diff(before, after);
    if !set.is_empty() {
        let labels = labels(&set)?;
        context
            .call(op("dynamodb", "TagResource"), || {
                client
                    .tag_resource()
                    .resource_arn(arn)
                    .set_tags(Some(labels.clone()))
                    .send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("dynamodb", "UntagResource"), || {
                client
                    .untag_resource()
                    .resource_arn(arn)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;

    /// A table as AWS keeps it: it takes no change while one is under way, and none of the view of a stream that is on.
    #[derive(Default)]
    struct Table {
        stream: Value,
        is_updating: bool,
        asked: Vec<Value>,
    }

    impl Table {
        fn answer(&mut self, operation: &str, body: &Value) -> (u16, Value) {
            let refused = |code: &str| (400, json!({"__type": code, "message": "refused"}));
            if operation == "UpdateTable" {
                let wanted = body["StreamSpecification"].clone();
                self.asked.push(wanted.clone());
                if self.is_updating {
                    return refused("ResourceInUseException");
                }
                if self.stream["StreamEnabled"] == wanted["StreamEnabled"] {
                    return refused("ValidationException");
                }
                self.stream = wanted;
                self.is_updating = true;
                let table = json!({"TableStatus": "UPDATING", "StreamSpecification": self.stream});
                return (200, json!({"TableDescription": table}));
            }
            self.is_updating = false;
            let table = json!({"TableStatus": "ACTIVE", "StreamSpecification": self.stream});
            (200, json!({"Table": table}))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_another_view_ends_before_the_next_one_begins() {
        let table = Arc::new(Mutex::new(Table {
            stream: json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}),
            ..Table::default()
        }));
        let state = Arc::clone(&table);
        let clients = clients("eu-central-1", move |call| {
            let body = serde_json::from_slice(&call.body).unwrap();
            let (status, answer) = state.lock().unwrap().answer(&call.operation, &body);
            (status, answer.to_string().into_bytes())
        });
        let context = context_over(identity(), clients);
        let (before, after) = (Some(StreamView::NewImage), Some(StreamView::KeysOnly));
        replace_stream(&context, "shop-dev-tasks", before, after).await.unwrap();
        let asked = table.lock().unwrap().asked.clone();
        assert_eq!(
            asked,
            [
                json!({"StreamEnabled": false}),
                json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"})
            ]
        );
    }
}
