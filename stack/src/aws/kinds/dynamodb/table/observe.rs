//! What AWS says of a table, as the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus,
    ProjectionType, ScalarAttributeType, SseStatus, StreamViewType, TableClass, TableDescription, TableStatus,
    TimeToLiveStatus,
};

use super::{Model, other, sorted};
use crate::aws::client::context::Context;
use crate::aws::client::error::found;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::client::tags::Tags;
use crate::resource::Pending;
use crate::template::model::{AttributeType, Index, KeyAttribute, Projection, StreamView, TableSettings};

/// Where the expiry of items stands. Switching takes up to an hour.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TimeToLiveDescription.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expiry {
    Off,
    On(String),
    SwitchingOn(String),
    SwitchingOff(String),
}

/// A table with everything that is read of it.
pub(super) struct Snapshot {
    pub table: TableDescription,
    pub expiry: Expiry,
    pub recovery: Option<u8>,
    pub tags: Tags,
}

/// Describes a table; none when there is none.
pub(super) async fn describe(context: &Context, name: &str) -> Result<Option<TableDescription>, AwsError> {
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "DescribeTable"), || {
            client.describe_table().table_name(name).send()
        })
        .await;
    Ok(found(answer)?.and_then(|answer| answer.table))
}

/// Names of all tables. AWS lists by page, not by prefix.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTables.html>
pub(super) async fn names(context: &Context) -> Result<BTreeSet<String>, AwsError> {
    let client = &context.clients().dynamodb;
    let names = context.pages(|start| async move {
        let page = context
            .call(op("dynamodb", "ListTables"), || {
                client
                    .list_tables()
                    .set_exclusive_start_table_name(start.clone())
                    .send()
            })
            .await?;
        Ok((page.table_names.unwrap_or_default(), page.last_evaluated_table_name))
    });
    Ok(names.await?.into_iter().collect())
}

/// Reads the expiry.
pub(super) async fn expiry(context: &Context, name: &str) -> Result<Expiry, AwsError> {
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "DescribeTimeToLive"), || {
            client.describe_time_to_live().table_name(name).send()
        })
        .await;
    let Some(description) = found(answer)?.and_then(|answer| answer.time_to_live_description) else {
        return Ok(Expiry::Off);
    };
    let attribute = description.attribute_name.unwrap_or_default();
    Ok(match description.time_to_live_status {
        Some(TimeToLiveStatus::Enabled) => Expiry::On(attribute),
        Some(TimeToLiveStatus::Enabling) => Expiry::SwitchingOn(attribute),
        Some(TimeToLiveStatus::Disabling) => Expiry::SwitchingOff(attribute),
        _ => Expiry::Off,
    })
}

/// What AWS keeps when nobody says how long.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PointInTimeRecoverySpecification.html>
const DEFAULT_RECOVERY_DAYS: u8 = 35;

/// Reads for how many days the table can be restored; none = point-in-time recovery is off.
pub(super) async fn recovery_days(context: &Context, name: &str) -> Result<Option<u8>, AwsError> {
    let client = &context.clients().dynamodb;
    let answer = context
        .call(op("dynamodb", "DescribeContinuousBackups"), || {
            client.describe_continuous_backups().table_name(name).send()
        })
        .await;
    let description = found(answer)?
        .and_then(|answer| answer.continuous_backups_description)
        .and_then(|description| description.point_in_time_recovery_description);
    Ok(description
        .filter(|recovery| recovery.point_in_time_recovery_status == Some(PointInTimeRecoveryStatus::Enabled))
        .map(|recovery| {
            let days = recovery
                .recovery_period_in_days
                .and_then(|days| u8::try_from(days).ok());
            days.unwrap_or(DEFAULT_RECOVERY_DAYS)
        }))
}

/// Reads the tags from the service itself.
pub(super) async fn tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().dynamodb;
    let tags = context.pages(|token| async move {
        let page = context
            .call(op("dynamodb", "ListTagsOfResource"), || {
                client
                    .list_tags_of_resource()
                    .resource_arn(arn)
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.tags.unwrap_or_default(), page.next_token))
    });
    Ok(tags.await?.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// Whether a table and all its indexes can be used and changed.
pub(super) fn is_ready(table: &TableDescription) -> bool {
    let encryption = table.sse_description().and_then(|sse| sse.status());
    table.table_status() == Some(&TableStatus::Active)
        && table
            .global_secondary_indexes()
            .iter()
            .all(|index| index.index_status() == Some(&IndexStatus::Active))
        && !matches!(
            encryption,
            Some(SseStatus::Updating | SseStatus::Enabling | SseStatus::Disabling)
        )
}

/// Waits until a table can be used and changed. Right after its creation AWS may not find it yet.
pub(super) async fn ready(
    context: &Context,
    name: &str,
    reason: &str,
    limit: Duration,
) -> Result<TableDescription, AwsError> {
    ready_and(context, name, reason, limit, |_| true).await
}

/// Waits until a table can be used and changed, and shows what was done to it: descriptions lag behind changes.
pub(super) async fn ready_and(
    context: &Context,
    name: &str,
    reason: &str,
    limit: Duration,
    shows: impl Fn(&TableDescription) -> bool + Sync,
) -> Result<TableDescription, AwsError> {
    context
        .poll(reason, limit, || async {
            let Some(table) = describe(context, name).await? else { return Ok(None) };
            match table.table_status() {
                Some(
                    status @ (TableStatus::InaccessibleEncryptionCredentials
                    | TableStatus::Archiving
                    | TableStatus::Archived
                    | TableStatus::ReplicationNotAuthorized),
                ) => Err(AwsError::own(
                    "dynamodb",
                    "DescribeTable",
                    ErrorKind::Invalid,
                    format!("table {name} is {status} and cannot be used; give it back its KMS key, then run the same command again"),
                )),
                _ => Ok((is_ready(&table) && shows(&table)).then_some(table)),
            }
        })
        .await
}

impl Snapshot {
    /// The model, and what of it is on its way. Something on its way that is not what is desired counts as a
    /// difference where AWS takes the change (after a wait), and as pending where only time helps (expiry).
    pub(super) fn against(self, desired: &Model) -> (Model, Vec<Pending>) {
        let Self {
            table,
            expiry,
            recovery,
            tags,
        } = self;
        let types: BTreeMap<&str, AttributeType> = table
            .attribute_definitions()
            .iter()
            .map(|a| (a.attribute_name(), attribute_type(a.attribute_type())))
            .collect();
        let (partition_key, sort_key) = keys(table.key_schema(), &types);
        let mut pending = Vec::new();
        match table.table_status() {
            Some(TableStatus::Active) | None => {}
            Some(status) => pending.push(waits(
                "status",
                format!("the table is {}", status.as_str().to_lowercase()),
            )),
        }
        let (indexes, being_built) = indexes(&table, &types, desired);
        pending.extend(being_built);
        let (ttl_attribute, being_switched) = expiring_by(expiry, desired);
        pending.extend(being_switched);
        let model = Model {
            name: desired.name.clone(),
            settings: TableSettings {
                partition_key,
                sort_key,
                indexes,
                ttl_attribute,
                point_in_time_recovery_days: recovery,
                deletion_protection: table.deletion_protection_enabled().unwrap_or(false),
                kms_key: kms_key(&table, desired),
                stream: stream(&table),
            },
            tags,
            others: others(&table),
        };
        (model, pending)
    }
}

fn waits(field: &str, doing: String) -> Pending {
    Pending {
        field: field.to_owned(),
        doing,
    }
}

/// The indexes of a table, and what AWS is still doing to them. One that AWS is removing is no index any more.
fn indexes(
    table: &TableDescription,
    types: &BTreeMap<&str, AttributeType>,
    desired: &Model,
) -> (BTreeMap<String, Index>, Vec<Pending>) {
    let mut indexes = BTreeMap::new();
    let mut pending = Vec::new();
    for index in table.global_secondary_indexes() {
        let name = index.index_name().unwrap_or_default();
        let path = format!("indexes.{name}");
        let wanted = desired.settings.indexes.get(name);
        if index.index_status() == Some(&IndexStatus::Deleting) {
            if wanted.is_none() {
                pending.push(waits(&path, "AWS is removing the index".to_owned()));
            }
            continue;
        }
        let model = index_model(index, types);
        if index.index_status() != Some(&IndexStatus::Active) && wanted == Some(&model) {
            let filling = if index.backfilling() == Some(true) {
                " from the items of the table"
            } else {
                ""
            };
            pending.push(waits(&path, format!("AWS is building the index{filling}")));
        }
        indexes.insert(name.to_owned(), model);
    }
    (indexes, pending)
}

/// The attribute by which items expire, and the switch that AWS is still making.
fn expiring_by(expiry: Expiry, desired: &Model) -> (Option<String>, Option<Pending>) {
    match expiry {
        Expiry::Off => (None, None),
        Expiry::On(attribute) => (Some(attribute), None),
        Expiry::SwitchingOn(attribute) => {
            let doing = format!("AWS is switching expiry by `{attribute}` on (up to 1 h)");
            (Some(attribute), Some(waits("ttl_attribute", doing)))
        }
        Expiry::SwitchingOff(attribute) => {
            let then = desired
                .settings
                .ttl_attribute
                .as_ref()
                .map_or(String::new(), |next| format!("; `{next}` can follow after it"));
            let doing = format!("AWS is switching expiry by `{attribute}` off (up to 1 h){then}");
            (None, Some(waits("ttl_attribute", doing)))
        }
    }
}

fn kms_key(table: &TableDescription, desired: &Model) -> Option<String> {
    table
        .sse_description()
        .filter(|sse| !matches!(sse.status(), Some(SseStatus::Disabled | SseStatus::Disabling)))
        .and_then(|sse| sse.kms_master_key_arn())
        .map(|key| as_spelled(key, desired.settings.kms_key.as_deref()))
}

/// Settings that taskctl leaves at AWS's defaults and that are not so. A table that never was on-demand has no billing mode.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BillingModeSummary.html>
pub(super) fn others(table: &TableDescription) -> BTreeMap<String, String> {
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    let units = table.provisioned_throughput().map(|units| {
        (
            units.read_capacity_units.unwrap_or(0),
            units.write_capacity_units.unwrap_or(0),
        )
    });
    let billing = match (billing, units) {
        (Some(BillingMode::PayPerRequest), _) | (None, None | Some((0, _))) => None,
        (_, units) => {
            let (reads, writes) = units.unwrap_or_default();
            Some(format!("provisioned: {reads} reads and {writes} writes a second"))
        }
    };
    let most = table.on_demand_throughput().and_then(|most| {
        let unit = |units: Option<i64>| units.filter(|units| *units >= 0);
        let (reads, writes) = (unit(most.max_read_request_units), unit(most.max_write_request_units));
        let text = |units: Option<i64>| units.map_or("any number".to_owned(), |units| units.to_string());
        let is_limited = reads.is_some() || writes.is_some();
        is_limited.then(|| format!("{} of reads and {} of writes a second", text(reads), text(writes)))
    });
    let class = table
        .table_class_summary()
        .and_then(|summary| summary.table_class())
        .filter(|class| **class != TableClass::Standard);
    [
        (other::BILLING, billing),
        (other::THROUGHPUT, most),
        (other::CLASS, class.map(|class| class.as_str().to_owned())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

fn stream(table: &TableDescription) -> Option<StreamView> {
    table
        .stream_specification()
        .filter(|stream| stream.stream_enabled())
        .and_then(|stream| stream.stream_view_type())
        .and_then(stream_view)
}

/// The key's ARN as the template spells it: whole, by id, or by an alias (which only KMS could resolve).
fn as_spelled(arn: &str, desired: Option<&str>) -> String {
    match desired {
        Some(wanted) if arn.ends_with(&format!(":key/{wanted}")) || wanted.contains("alias/") => wanted.to_owned(),
        Some(_) | None => arn.to_owned(),
    }
}

fn index_model(index: &GlobalSecondaryIndexDescription, types: &BTreeMap<&str, AttributeType>) -> Index {
    let (partition_key, sort_key) = keys(index.key_schema(), types);
    let projection = index.projection();
    sorted(Index {
        partition_key,
        sort_key,
        projection: match projection.and_then(|projection| projection.projection_type()) {
            Some(ProjectionType::KeysOnly) => Projection::KeysOnly,
            Some(ProjectionType::Include) => Projection::Include(
                projection
                    .map(|projection| projection.non_key_attributes().to_vec())
                    .unwrap_or_default(),
            ),
            _ => Projection::All,
        },
    })
}

/// The partition and the sort key of a schema.
fn keys(schema: &[KeySchemaElement], types: &BTreeMap<&str, AttributeType>) -> (KeyAttribute, Option<KeyAttribute>) {
    let of = |wanted: &KeyType| {
        let element = schema.iter().find(|element| element.key_type() == wanted)?;
        let kind = types
            .get(element.attribute_name())
            .copied()
            .unwrap_or(AttributeType::String);
        Some(KeyAttribute {
            name: element.attribute_name().to_owned(),
            kind,
        })
    };
    let nameless = || KeyAttribute {
        name: String::new(),
        kind: AttributeType::String,
    };
    (of(&KeyType::Hash).unwrap_or_else(nameless), of(&KeyType::Range))
}

fn attribute_type(scalar: &ScalarAttributeType) -> AttributeType {
    match scalar {
        ScalarAttributeType::N => AttributeType::Number,
        ScalarAttributeType::B => AttributeType::Binary,
        _ => AttributeType::String,
    }
}

fn stream_view(view: &StreamViewType) -> Option<StreamView> {
    match view {
        StreamViewType::KeysOnly => Some(StreamView::KeysOnly),
        StreamViewType::NewImage => Some(StreamView::NewImage),
        StreamViewType::OldImage => Some(StreamView::OldImage),
        StreamViewType::NewAndOldImages => Some(StreamView::NewAndOldImages),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::kinds::dynamodb::table::DynamodbTable;
    use crate::aws::kinds::kind::Kind;
    use aws_sdk_dynamodb::types::{AttributeDefinition, Projection as AwsProjection};

    /// A table of the example's key with one index `email-index` on `email`, as AWS describes it.
    fn described(status: IndexStatus) -> TableDescription {
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap()
        };
        let key = |name: &str| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(KeyType::Hash)
                .build()
                .unwrap()
        };
        let index = GlobalSecondaryIndexDescription::builder()
            .index_name("email-index")
            .key_schema(key("email"))
            .projection(
                AwsProjection::builder()
                    .projection_type(ProjectionType::KeysOnly)
                    .build(),
            )
            .index_status(status)
            .backfilling(true);
        TableDescription::builder()
            .table_status(TableStatus::Active)
            .attribute_definitions(attribute("userId"))
            .attribute_definitions(attribute("email"))
            .key_schema(key("userId"))
            .global_secondary_indexes(index.build())
            .build()
    }

    fn check(status: IndexStatus, expiry: Expiry, desired: &Model, indexes: &[&str], pending: &[&str]) {
        let snapshot = Snapshot {
            table: described(status),
            expiry,
            recovery: None,
            tags: Tags::new(),
        };
        let (model, waits) = snapshot.against(desired);
        assert_eq!(model.settings.indexes.keys().collect::<Vec<_>>(), indexes);
        let waits: Vec<String> = waits
            .into_iter()
            .map(|one| format!("{}: {}", one.field, one.doing))
            .collect();
        assert_eq!(waits, pending);
    }

    #[test]
    fn an_index_on_its_way_is_pending_only_where_it_is_what_is_wanted() {
        let [plain, full] = DynamodbTable.examples().try_into().unwrap();
        let building = "indexes.email-index: AWS is building the index from the items of the table";
        let removing = "indexes.email-index: AWS is removing the index";
        check(IndexStatus::Creating, Expiry::Off, &full, &["email-index"], &[building]);
        check(IndexStatus::Creating, Expiry::Off, &plain, &["email-index"], &[]);
        check(IndexStatus::Deleting, Expiry::Off, &full, &[], &[]);
        check(IndexStatus::Deleting, Expiry::Off, &plain, &[], &[removing]);
        check(IndexStatus::Active, Expiry::Off, &plain, &["email-index"], &[]);
    }

    #[test]
    fn expiry_being_switched_is_pending_whatever_is_wanted() {
        let [plain, full] = DynamodbTable.examples().try_into().unwrap();
        let off = || Expiry::SwitchingOff("old".to_owned());
        let then = "ttl_attribute: AWS is switching expiry by `old` off (up to 1 h); `ttl` can follow after it";
        let only = "ttl_attribute: AWS is switching expiry by `old` off (up to 1 h)";
        let on = "ttl_attribute: AWS is switching expiry by `old` on (up to 1 h)";
        check(IndexStatus::Active, off(), &full, &["email-index"], &[then]);
        check(IndexStatus::Active, off(), &plain, &["email-index"], &[only]);
        check(
            IndexStatus::Active,
            Expiry::SwitchingOn("old".to_owned()),
            &full,
            &["email-index"],
            &[on],
        );
    }

    #[test]
    fn keys_are_shown_as_the_template_spells_them() {
        let arn = "arn:aws:kms:eu-central-1:1:key/11111111-2222-3333-4444-555555555555";
        assert_eq!(as_spelled(arn, Some(arn)), arn);
        assert_eq!(
            as_spelled(arn, Some("11111111-2222-3333-4444-555555555555")),
            "11111111-2222-3333-4444-555555555555"
        );
        assert_eq!(as_spelled(arn, Some("alias/shop")), "alias/shop");
        assert_eq!(as_spelled(arn, Some("22222222-2222-3333-4444-555555555555")), arn);
        assert_eq!(as_spelled(arn, None), arn);
    }
}
