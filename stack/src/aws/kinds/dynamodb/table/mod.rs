//! DynamoDB table, on-demand: keys, global secondary indexes, expiry, point-in-time recovery, deletion protection,
//! encryption, stream and tags. Items are the application's; this file only asks whether there are any.

mod change;
mod observe;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TableStatus;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::client::pages::Cursor;
use crate::aws::client::tags::Tags;
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours, settled};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};
use crate::template::model::{AttributeType, Index, KeyAttribute, Projection, StreamView, Table, TableSettings};
use observe::Snapshot;

/// The kind.
pub struct DynamodbTable;

/// Settings of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 3–255 characters.
    pub name: String,
    /// What the template has, too.
    #[serde(flatten)]
    pub settings: TableSettings,
    /// Tags.
    pub tags: Tags,
    /// What else decides costs and capacity, and taskctl leaves at AWS's defaults, in words; never desired. Not the warm throughput,
    /// which AWS raises by itself and nobody lowers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, String>,
}

/// Keys of `others`.
mod other {
    pub(super) const BILLING: &str = "billing";
    pub(super) const THROUGHPUT: &str = "most_throughput";
    pub(super) const CLASS: &str = "class";
}

impl Model {
    /// The model of a template's table.
    pub fn new(name: String, table: &Table, tags: Tags) -> Self {
        let Table { name: _, settings } = table;
        let mut settings = settings.clone();
        let indexes = settings.indexes.into_iter();
        settings.indexes = indexes.map(|(name, index)| (name, sorted(index))).collect();
        Self {
            name,
            settings,
            tags,
            others: BTreeMap::new(),
        }
    }
}

/// An index with the order taken out of its projection.
fn sorted(mut index: Index) -> Index {
    if let Projection::Include(attributes) = &mut index.projection {
        attributes.sort();
        attributes.dedup();
    }
    index
}

/// Name of the kind.
pub const KIND: &str = "dynamodb_table";

static SPEC: Spec = Spec {
    name: KIND,
    title: "DynamoDB table",
    documentation: "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html",
    read_actions: &[
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:ListTagsOfResource",
        "dynamodb:ListTables",
        "tag:GetResources",
    ],
    write_actions: &[
        "dynamodb:CreateTable",
        "dynamodb:UpdateTable",
        "dynamodb:UpdateTimeToLive",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        // The least that DynamoDB wants of whoever makes a table with a key of one's own.
        // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ],
    delete_actions: &["dynamodb:DeleteTable", "dynamodb:Scan"],
    holds_data: true,
    rollback: Rollback::Immediate,
    replacement: Replacement::DeleteFirst,
    replace_on: &["name", "partition_key", "sort_key"],
    rebuild_on: &[
        ("indexes.", ".partition_key"),
        ("indexes.", ".sort_key"),
        ("indexes.", ".projection"),
    ],
    stream_field: Some("stream"),
    usual: Duration::from_secs(14),
    needed_at_runtime: true,
    reach: Reach::Tables,
    reaches: &[("dynamodb:ListTables", Reach::Account), ("kms:*", Reach::Keys)],
    ..Spec::of(&dynamodb::SERVICE)
};

/// Most pages without an item that are read to find one.
const MOST_PAGES: usize = 1_000;

/// How long a table may take to be made, changed or deleted.
const TABLE_LIMIT: Duration = Duration::from_secs(30 * 60);

#[async_trait]
impl Kind for DynamodbTable {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let key = |name: &str, kind| KeyAttribute {
            name: name.to_owned(),
            kind,
        };
        let by_email = Index {
            partition_key: key("email", AttributeType::String),
            sort_key: None,
            projection: Projection::KeysOnly,
        };
        let by_time = Index {
            partition_key: key("bucket", AttributeType::String),
            sort_key: Some(key("createdAt", AttributeType::Number)),
            projection: Projection::Include(vec!["name".to_owned(), "status".to_owned()]),
        };
        let plain = Model {
            name: "shop-dev-users".to_owned(),
            settings: TableSettings {
                partition_key: key("userId", AttributeType::String),
                sort_key: None,
                indexes: [].into(),
                ttl_attribute: None,
                point_in_time_recovery_days: None,
                deletion_protection: false,
                kms_key: None,
                stream: None,
            },
            tags: [].into(),
            others: BTreeMap::new(),
        };
        let full = Model {
            settings: TableSettings {
                sort_key: Some(key("version", AttributeType::Binary)),
                indexes: [("email-index".to_owned(), by_email), ("time-index".to_owned(), by_time)].into(),
                ttl_attribute: Some("ttl".to_owned()),
                point_in_time_recovery_days: Some(35),
                deletion_protection: true,
                kms_key: Some("arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555".to_owned()),
                stream: Some(StreamView::NewAndOldImages),
                ..plain.settings.clone()
            },
            tags: [
                ("app".to_owned(), "shop".to_owned()),
                ("owner".to_owned(), "team".to_owned()),
            ]
            .into(),
            ..plain.clone()
        };
        vec![plain, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let name = desired.name.as_str();
        // What carries our tags is asked for anyway, so it costs no round trip beside the first call.
        let (table, _) = futures::try_join!(observe::describe(context, name), reader.tagged())?;
        let Some(table) = table.filter(|table| table.table_status() != Some(&TableStatus::Deleting)) else {
            return Ok(None);
        };
        let arn = arn(context, name);
        let (tags, expiry, recovery) = futures::try_join!(
            reader.tags(&arn, &desired.tags, async || observe::tags(context, &arn).await),
            observe::expiry(context, name),
            observe::recovery_days(context, name),
        )?;
        let ownership = ownership(context, &tags);
        let mut outputs = named(context, name);
        outputs.extend(
            table
                .latest_stream_arn()
                .map(|stream| ("stream_arn".to_owned(), stream.to_owned())),
        );
        let (model, pending) = Snapshot {
            table,
            expiry,
            recovery,
            tags,
        }
        .against(desired);
        Ok(Some(Observed {
            model,
            outputs,
            ownership,
            pending,
        }))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let naming = Naming::regional(arn(context, ""));
        let listed = match settled(reader, &naming).await? {
            Some(names) => names,
            None => observe::names(context).await?,
        };
        let own_tags = |name: String| async move { observe::tags(context, &arn(context, &name)).await };
        let names = ours(reader, &naming, listed, own_tags).await?;
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, "")),
            outputs: named(context, name),
        });
        Ok(found.collect())
    }

    async fn is_empty(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError> {
        match outputs.get("name") {
            Some(name) => is_empty(context, name).await,
            None => Ok(true),
        }
    }

    async fn is_protected(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError> {
        let table = match outputs.get("name") {
            Some(name) => observe::describe(context, name).await?,
            None => None,
        };
        Ok(table.is_some_and(|table| table.deletion_protection_enabled == Some(true)))
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let name = desired.name.as_str();
        let made = match change::create(context, desired).await {
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                match observe::describe(context, name).await? {
                    // It is on its way out, from an earlier run: its name is free in a moment.
                    Some(table) if table.table_status() == Some(&TableStatus::Deleting) => {
                        until_gone(context, name).await?
                    }
                    None => {}
                    // It is on its way in: wait, so that the engine finds a table that can be changed.
                    Some(_) => {
                        observe::ready(context, name, "table to become active", TABLE_LIMIT).await?;
                        return Err(error);
                    }
                }
                change::create(context, desired).await?
            }
            other => other?,
        };
        if !made.is_some_and(|table| observe::is_ready(&table)) {
            observe::ready(context, name, "table to become active", TABLE_LIMIT).await?;
        }
        futures::try_join!(
            change::expire_by(context, name, None, desired.settings.ttl_attribute.as_deref()),
            async {
                match desired.settings.point_in_time_recovery_days {
                    Some(days) => change::recover(context, name, Some(days)).await,
                    None => Ok(()),
                }
            },
        )?;
        Ok(named(context, name))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let Model {
            name,
            settings,
            tags,
            others: _,
        } = desired;
        let TableSettings {
            partition_key: _,
            sort_key: _,
            indexes: _,
            ttl_attribute,
            point_in_time_recovery_days,
            deletion_protection: _,
            kms_key: _,
            stream: _,
        } = settings;
        let before = &observed.model;
        change::table(context, before, desired, changes).await?;
        let expiry = async {
            if !changes.touch("ttl_attribute") {
                return Ok(());
            }
            change::expire_by(
                context,
                name,
                before.settings.ttl_attribute.as_deref(),
                ttl_attribute.as_deref(),
            )
            .await
        };
        let recovery = async {
            if !changes.touch("point_in_time_recovery_days") {
                return Ok(());
            }
            change::recover(context, name, *point_in_time_recovery_days).await
        };
        let tagging = async {
            if !changes.touch("tags") {
                return Ok(());
            }
            change::tag(context, &arn(context, name), &before.tags, tags).await
        };
        // Expiry may be refused for an hour: that must not keep the others from being done.
        let (expiry, recovery, tagging) = futures::join!(expiry, recovery, tagging);
        recovery.and(tagging).and(expiry)?;
        Ok(named(context, name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let client = &context.clients().dynamodb;
        let deleted = context
            .call(op("dynamodb", "DeleteTable"), || {
                client.delete_table().table_name(name).send()
            })
            .await;
        match deleted {
            Err(error) if error.kind == ErrorKind::Invalid && error.message.contains("protected") => {
                Err(AwsError::own(
                    "dynamodb",
                    "DeleteTable",
                    ErrorKind::Invalid,
                    format!(
                        "table {name} is protected against deletion; set `deletion_protection: false` for it in the template, \
                     run `taskctl deploy`, then the same command again"
                    ),
                ))
            }
            other => {
                gone(other.map(drop))?;
                until_gone(context, name).await
            }
        }
    }
}

/// Names of the indexes of a table; none when it is gone.
pub async fn index_names(context: &Context, name: &str) -> Result<Vec<String>, AwsError> {
    let table = observe::describe(context, name).await?;
    let indexes = table
        .and_then(|table| table.global_secondary_indexes)
        .unwrap_or_default();
    Ok(indexes.into_iter().filter_map(|index| index.index_name).collect())
}

/// Whether a table has no item. The item count that AWS reports is hours old, so one item is asked for; a table that
/// does not exist is empty. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html>
pub async fn is_empty(context: &Context, name: &str) -> Result<bool, AwsError> {
    let client = &context.clients().dynamodb;
    let mut cursor: Cursor<Option<_>> = Cursor::first(MOST_PAGES);
    loop {
        let page = context
            .call(op("dynamodb", "Scan"), || {
                client
                    .scan()
                    .table_name(name)
                    .limit(1)
                    .consistent_read(true)
                    .set_exclusive_start_key(cursor.token().clone())
                    .send()
            })
            .await;
        let Some(page) = found(page)? else { return Ok(true) };
        if page.count > 0 {
            return Ok(false);
        }
        let next = page.last_evaluated_key;
        if next.is_none() {
            return Ok(true);
        }
        cursor.advance(next)?;
    }
}

async fn until_gone(context: &Context, name: &str) -> Result<(), AwsError> {
    context
        .poll("table to be gone", TABLE_LIMIT, || async {
            Ok(observe::describe(context, name).await?.is_none().then_some(()))
        })
        .await
}

fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("dynamodb", &format!("table/{name}"))
}

fn named(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::registry;
    use crate::plan::{Effect, Observations, Request, build};
    use crate::resource::Resource;

    #[test]
    fn a_changed_index_is_built_again_and_a_new_one_is_added() {
        let table = registry().kind(KIND);
        for field in ["partition_key.name", "sort_key", "sort_key.type", "projection.type"] {
            assert_eq!(
                table.effect(&format!("indexes.by-email.{field}")),
                Effect::RebuildIndex,
                "{field}"
            );
        }
        assert_eq!(table.effect("indexes.by-email"), Effect::InPlace);
        assert_eq!(table.effect("indexes.by.email"), Effect::InPlace);
        assert_eq!(table.effect("partition_key.name"), Effect::Replace);
    }

    #[test]
    fn a_stream_is_replaced_when_its_view_changes_and_not_when_it_begins_or_ends() {
        let effect = |before: Option<StreamView>, after: Option<StreamView>| {
            let small = DynamodbTable.examples().swap_remove(0);
            let model = |stream| {
                let mut model = small.clone();
                model.settings.stream = stream;
                serde_json::to_value(model).expect("it is data")
            };
            let id = ResourceId::new(KIND, "tasks");
            let request = Request {
                resources: vec![Resource {
                    id: id.clone(),
                    desired: model(after),
                    depends_on: Vec::new(),
                }],
                orphans: Vec::new(),
            };
            let observed = Observations::from([(id, Observed::ours(model(before), Outputs::new()))]);
            let plan = build(&request, &observed, registry());
            plan.steps[0].action.changes()[0].effect
        };
        let (new, keys) = (Some(StreamView::NewImage), Some(StreamView::KeysOnly));
        assert_eq!(effect(new, keys), Effect::ReplaceStream);
        assert_eq!(effect(None, keys), Effect::InPlace);
        assert_eq!(effect(new, None), Effect::InPlace);
    }

    #[test]
    fn what_decides_costs_and_capacity_is_seen() {
        use aws_sdk_dynamodb::types::{
            BillingMode, BillingModeSummary, OnDemandThroughput, ProvisionedThroughputDescription, TableClass,
            TableClassSummary, TableDescription,
        };
        let others = |table: TableDescription| -> Vec<String> {
            let others = observe::others(&table).into_iter();
            others.map(|(key, value)| format!("{key}: {value}")).collect()
        };
        let billed = |mode| BillingModeSummary::builder().billing_mode(mode).build();
        let units = |n| {
            let units = ProvisionedThroughputDescription::builder();
            units.read_capacity_units(n).write_capacity_units(n).build()
        };
        let table = TableDescription::builder;
        let on_demand = table()
            .billing_mode_summary(billed(BillingMode::PayPerRequest))
            .provisioned_throughput(units(0))
            .on_demand_throughput(OnDemandThroughput::builder().max_read_request_units(-1).build());
        assert_eq!(others(on_demand.build()), Vec::<String>::new());
        let provisioned = "billing: provisioned: 5 reads and 5 writes a second";
        assert_eq!(others(table().provisioned_throughput(units(5)).build()), [provisioned]);
        let switched = table().billing_mode_summary(billed(BillingMode::Provisioned));
        assert_eq!(others(switched.provisioned_throughput(units(5)).build()), [provisioned]);
        let class = TableClassSummary::builder().table_class(TableClass::StandardInfrequentAccess);
        let limited = OnDemandThroughput::builder().max_read_request_units(10).build();
        let changed = table().table_class_summary(class.build()).on_demand_throughput(limited);
        assert_eq!(
            others(changed.build()),
            [
                "class: STANDARD_INFREQUENT_ACCESS",
                "most_throughput: 10 of reads and any number of writes a second"
            ]
        );
    }
}
