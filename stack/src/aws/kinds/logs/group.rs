//! CloudWatch log group: one per function, one for the API's access log. Made before the function, or Lambda makes it
//! itself, without retention and tags.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::types::LogGroup as AwsLogGroup;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::kinds::logs;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, Ownership, ResourceId, outputs};

/// The kind.
pub struct LogGroup;

/// Settings of a log group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–512 characters.
    pub name: String,
    /// Days events are kept: 1, 3, 5, 7, 14, 30, 60, 90, …, 3653; none = for ever.
    pub retention_days: Option<i32>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What taskctl never sets, in words: a key of KMS, protection against deletion; never desired. The class of a group cannot be
    /// changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, String>,
}

const KEY: &str = "kms_key";
const PROTECTION: &str = "deletion_protection";

/// Name of the kind.
pub const KIND: &str = "log_group";

static SPEC: Spec = Spec {
    name: KIND,
    title: "log group",
    documentation: "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html",
    read_actions: &["logs:DescribeLogGroups", "logs:ListTagsForResource", "tag:GetResources"],
    write_actions: &[
        "logs:CreateLogGroup",
        "logs:PutRetentionPolicy",
        "logs:DeleteRetentionPolicy",
        "logs:TagResource",
        "logs:UntagResource",
        "logs:DisassociateKmsKey",
        "logs:PutLogGroupDeletionProtection",
    ],
    withheld_actions: &["logs:DisassociateKmsKey", "logs:PutLogGroupDeletionProtection"],
    delete_actions: &["logs:DeleteLogGroup"],
    rollback: Rollback::Immediate,
    replacement: Replacement::CreateFirst,
    replace_on: &["name"],
    deleted_after: &[
        (lambda::function::KIND, Scope::Same),
        (apigateway::stage::KIND, Scope::Any),
        (apigateway::api::KIND, Scope::Any),
    ],
    usual: Duration::from_millis(400),
    needed_at_runtime: true,
    serves_function: true,
    reach: Reach::LogGroups,
    reaches: &[("logs:DescribeLogGroups", Reach::Account)],
    ..Spec::of(&logs::SERVICE)
};

fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("logs", &format!("log-group:{name}"))
}

#[async_trait]
impl Kind for LogGroup {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let tags: BTreeMap<String, String> = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        vec![
            Model {
                name: "/aws/lambda/shop-dev-tasks".into(),
                retention_days: None,
                tags: BTreeMap::new(),
                others: BTreeMap::new(),
            },
            Model {
                name: "/aws/lambda/shop-dev-users".into(),
                retention_days: Some(30),
                tags,
                others: BTreeMap::new(),
            },
        ]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(group) = reader.log_group(&desired.name).await? else {
            return Ok(None);
        };
        let context = reader.context();
        let arn = arn(context, &desired.name);
        let tags = reader
            .tags(&arn, &desired.tags, async || read_tags(context, &arn).await)
            .await?;
        let mut observed = Observed::ours(
            Model {
                name: desired.name.clone(),
                retention_days: group.retention_in_days(),
                tags: tags.clone(),
                others: others(&group),
            },
            outputs([("name", desired.name.clone()), ("arn", arn)]),
        );
        // A group that Lambda made by itself has no tags at all; it is the function's, and is taken over.
        if !tags.is_empty() {
            observed.ownership = ownership(context, &tags);
        }
        Ok(Some(observed))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let tagged = reader.tagged().await?;
        let identity = context.identity();
        let of_functions = identity.names().function_log_group("");
        let functions = format!("{of_functions}{}", identity.prefix());
        let access = identity.names().access_log_prefix();
        let of_stack = reader.log_groups().await?.iter().filter_map(|group| {
            let name = group.log_group_name()?;
            let of_function = name.strip_prefix(&functions).map(str::to_owned);
            let of_api = || Some(format!("{}.access", name.strip_prefix(&access)?));
            // A function whose name the template gives.
            let given = || name.strip_prefix(&of_functions).map(str::to_owned);
            Some((name.to_owned(), of_function.or_else(of_api).or_else(given)?))
        });
        // The tagging API lags behind. What is wanted is found by its name anyway; of anything else its own tags decide.
        let judged = of_stack.map(|(name, logical)| async move {
            let arn = arn(context, &name);
            let ours = if tagged.contains_key(&arn) {
                true
            } else if reader.expected().is_some_and(|expected| expected.contains(&name)) {
                false
            } else {
                let tags = found(read_tags(context, &arn).await)?;
                tags.is_some_and(|tags| ownership(context, &tags) == Ownership::Ours)
            };
            Ok::<_, AwsError>(ours.then(|| Discovered {
                id: ResourceId::new(SPEC.name, logical),
                outputs: outputs([("name", name)]),
            }))
        });
        let found = try_join_all(judged).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            name,
            retention_days,
            tags,
            others: _,
        } = desired;
        let client = &context.clients().logs;
        context
            .call(op("logs", "CreateLogGroup"), || {
                client
                    .create_log_group()
                    .log_group_name(name)
                    .set_tags(some_tags(tags))
                    .send()
            })
            .await?;
        if retention_days.is_some() {
            put_retention(context, name, *retention_days).await?;
        }
        Ok(outputs([("name", name.clone()), ("arn", arn(context, name))]))
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
            retention_days,
            tags,
            others: _,
        } = desired;
        if changes.touch("others") {
            reset_others(context, name, &observed.model.others).await?;
        }
        if changes.touch("retention_days") {
            put_retention(context, name, *retention_days).await?;
        }
        if changes.touch("tags") {
            retag(context, &arn(context, name), &observed.model.tags, tags).await?;
        }
        Ok(outputs([("name", name.clone()), ("arn", arn(context, name))]))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let client = &context.clients().logs;
        let deleted = context
            .call(op("logs", "DeleteLogGroup"), || {
                client.delete_log_group().log_group_name(name).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Settings of a group that taskctl never makes.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>
fn others(group: &AwsLogGroup) -> BTreeMap<String, String> {
    let key = group.kms_key_id().map(str::to_owned);
    let protection = group.deletion_protection_enabled().unwrap_or(false);
    [(KEY, key), (PROTECTION, protection.then(|| "on".to_owned()))]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

async fn reset_others(context: &Context, name: &str, others: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let client = &context.clients().logs;
    if others.contains_key(KEY) {
        context
            .call(op("logs", "DisassociateKmsKey"), || {
                client.disassociate_kms_key().log_group_name(name).send()
            })
            .await?;
    }
    if others.contains_key(PROTECTION) {
        context
            .call(op("logs", "PutLogGroupDeletionProtection"), || {
                client
                    .put_log_group_deletion_protection()
                    .log_group_identifier(name)
                    .deletion_protection_enabled(false)
                    .send()
            })
            .await?;
    }
    Ok(())
}

async fn put_retention(context: &Context, name: &str, days: Option<i32>) -> Result<(), AwsError> {
    let client = &context.clients().logs;
    match days {
        Some(days) => context
            .call(op("logs", "PutRetentionPolicy").just_made(), || {
                client
                    .put_retention_policy()
                    .log_group_name(name)
                    .retention_in_days(days)
                    .send()
            })
            .await
            .map(drop),
        None => context
            .call(op("logs", "DeleteRetentionPolicy"), || {
                client.delete_retention_policy().log_group_name(name).send()
            })
            .await
            .map(drop),
    }
}

async fn retag(context: &Context, arn: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().logs;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        context
            .call(op("logs", "TagResource"), || {
                client.tag_resource().resource_arn(arn).set_tags(some_tags(&set)).send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("logs", "UntagResource"), || {
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

async fn read_tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().logs;
    let answer = context
        .call(op("logs", "ListTagsForResource"), || {
            client.list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

fn some_tags(tags: &BTreeMap<String, String>) -> Option<std::collections::HashMap<String, String>> {
    (!tags.is_empty()).then(|| tags.clone().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;

    #[tokio::test(start_paused = true)]
    async fn a_key_and_a_protection_that_others_set_are_seen_and_go() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let fake = clients("eu-central-1", move |call| {
            seen.lock().push(call.operation);
            (200, b"{}".to_vec())
        });
        let context = context_over(identity(), fake);
        let group = AwsLogGroup::builder()
            .kms_key_id("arn:key")
            .deletion_protection_enabled(true)
            .build();
        let seen = others(&group);
        assert_eq!(
            seen,
            BTreeMap::from([
                (KEY.to_owned(), "arn:key".to_owned()),
                (PROTECTION.to_owned(), "on".to_owned())
            ])
        );
        assert_eq!(
            others(&AwsLogGroup::builder().deletion_protection_enabled(false).build()),
            BTreeMap::new()
        );
        let desired = LogGroup.examples().swap_remove(0);
        let observed = Observed::ours(
            Model {
                others: seen,
                ..desired.clone()
            },
            Outputs::new(),
        );
        let changes = crate::plan::diff(
            &serde_json::to_value(&observed.model).expect("data"),
            &serde_json::to_value(&desired).expect("data"),
            &|_| crate::plan::Effect::InPlace,
            &|_| crate::plan::Sensitivity::Plain,
        );
        let id = ResourceId::new(KIND, "tasks");
        LogGroup
            .update(&context, &id, &desired, &observed, &Fields::new(&changes))
            .await
            .expect("it is done");
        assert_eq!(*asked.lock(), ["DisassociateKmsKey", "PutLogGroupDeletionProtection"]);
    }
}
