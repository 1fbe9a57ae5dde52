//! SNS topic with e-mail subscriptions. Subscriptions of other protocols are somebody else's and stay; so do the topic's
//! attributes.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sns::types::Tag;
use aws_smithy_types::error::operation::BuildError;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::sns;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours, settled};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, Pending, ResourceId, outputs};
use crate::template;

/// The kind.
pub struct SnsTopic;

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–256 characters.
    pub name: String,
    /// E-mail addresses subscribed. Each must confirm once.
    pub emails: BTreeSet<String>,
    /// Tags.
    pub tags: Tags,
}

impl Model {
    /// The model of a template's topic under its physical name.
    pub fn new(name: String, topic: &template::model::Topic, tags: Tags) -> Self {
        let template::model::Topic { name: _, emails } = topic;
        Self {
            name,
            emails: emails.iter().cloned().collect(),
            tags,
        }
    }
}

/// Name of the kind.
pub const KIND: &str = "sns_topic";

static SPEC: Spec = Spec {
    name: KIND,
    title: "SNS topic",
    documentation: "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html",
    read_actions: &[
        "sns:ListSubscriptionsByTopic",
        "sns:ListTagsForResource",
        "sns:ListTopics",
        "tag:GetResources",
    ],
    write_actions: &[
        "sns:CreateTopic",
        "sns:Subscribe",
        "sns:Unsubscribe",
        "sns:TagResource",
        "sns:UntagResource",
    ],
    delete_actions: &["sns:DeleteTopic"],
    rollback: Rollback::Immediate,
    replacement: Replacement::CreateFirst,
    replace_on: &["name"],
    deleted_after: &[(cloudwatch::alarm::KIND, Scope::Any)],
    usual: Duration::from_millis(400),
    needed_at_runtime: true,
    reach: Reach::Topics,
    reaches: &[("sns:ListTopics", Reach::Account)],
    ..Spec::of(&sns::SERVICE)
};

/// A subscription of an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subscription {
    Confirmed {
        email: String,
        arn: String,
    },
    /// Its owner was asked. It cannot be removed and is gone by itself after some days.
    Asked {
        email: String,
    },
}

#[async_trait]
impl Kind for SnsTopic {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![
            Model {
                name: "shop-dev-alerts".to_owned(),
                emails: [].into(),
                tags: [].into(),
            },
            Model {
                name: "shop-dev-alerts".to_owned(),
                emails: ["ops@shop.example".to_owned()].into(),
                tags: [
                    ("app".to_owned(), "shop".to_owned()),
                    ("owner".to_owned(), "team".to_owned()),
                ]
                .into(),
            },
        ]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let arn = arn(context, &desired.name);
        let (subscriptions, _) =
            futures::try_join!(async { found(subscriptions(context, &arn).await) }, reader.tagged())?;
        let Some(subscriptions) = subscriptions else {
            return Ok(None);
        };
        let Some(tags) = found(
            reader
                .tags(&arn, &desired.tags, async || read_tags(context, &arn).await)
                .await,
        )?
        else {
            return Ok(None);
        };
        let ownership = ownership(context, &tags);
        let mut emails = BTreeSet::new();
        let mut pending = Vec::new();
        for subscription in subscriptions {
            match subscription {
                Subscription::Confirmed { email, .. } => {
                    emails.insert(email);
                }
                Subscription::Asked { email } => {
                    let doing = if desired.emails.contains(&email) {
                        emails.insert(email.clone());
                        "waits for its owner to confirm by the link in the e-mail"
                    } else {
                        "was never confirmed; SNS forgets it within days"
                    };
                    // The address is no field of its own: this tells, and hides no difference of `emails`.
                    pending.push(Pending {
                        field: format!("emails.{email}"),
                        doing: doing.to_owned(),
                    });
                }
            }
        }
        let model = Model {
            name: desired.name.clone(),
            emails,
            tags,
        };
        Ok(Some(Observed {
            model,
            outputs: named(context, &desired.name),
            ownership,
            pending,
        }))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let naming = Naming::regional(arn(context, ""));
        let listed = match settled(reader, &naming).await? {
            Some(names) => names,
            None => names(context).await?,
        };
        let own_tags = |name: String| async move { read_tags(context, &arn(context, &name)).await };
        let names = ours(reader, &naming, listed, own_tags).await?;
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, "")),
            outputs: named(context, name),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model { name, emails, tags } = desired;
        let labels = labels(tags)?;
        let client = &context.clients().sns;
        // Idempotent by name; one of other tags is refused as already existing.
        context
            .call(op("sns", "CreateTopic"), || {
                client
                    .create_topic()
                    .name(name)
                    .set_tags((!labels.is_empty()).then(|| labels.clone()))
                    .send()
            })
            .await?;
        subscribe(context, &arn(context, name), emails.iter()).await?;
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
        let Model { name, emails, tags } = desired;
        let before = &observed.model;
        let arn = arn(context, name);
        if changes.touch("emails") {
            subscribe(context, &arn, emails.difference(&before.emails)).await?;
            if !before.emails.is_subset(emails) {
                unsubscribe_others(context, &arn, emails).await?;
            }
        }
        if changes.touch("tags") {
            tag(context, &arn, &before.tags, tags).await?;
        }
        Ok(named(context, name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let arn = arn(context, name);
        let client = &context.clients().sns;
        // Its subscriptions go with it. https://docs.aws.amazon.com/sns/latest/api/API_DeleteTopic.html
        let deleted = context
            .call(op("sns", "DeleteTopic"), || {
                client.delete_topic().topic_arn(&arn).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Names of all topics. <https://docs.aws.amazon.com/sns/latest/api/API_ListTopics.html>
async fn names(context: &Context) -> Result<BTreeSet<String>, AwsError> {
    let client = &context.clients().sns;
    let topics = context.pages(|token| async move {
        let page = context
            .call(op("sns", "ListTopics"), || {
                client.list_topics().set_next_token(token.clone()).send()
            })
            .await?;
        Ok((page.topics.unwrap_or_default(), page.next_token))
    });
    let arns = topics.await?.into_iter().filter_map(|topic| topic.topic_arn);
    Ok(arns
        .filter_map(|arn| Some(arn.rsplit(':').next()?.to_owned()))
        .collect())
}

async fn subscribe(context: &Context, arn: &str, emails: impl Iterator<Item = &String>) -> Result<(), AwsError> {
    let client = &context.clients().sns;
    // Idempotent by endpoint. https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
    let each = emails.map(|email| {
        context.call(op("sns", "Subscribe").just_made(), move || {
            client
                .subscribe()
                .topic_arn(arn)
                .protocol("email")
                .endpoint(email)
                .send()
        })
    });
    try_join_all(each).await.map(drop)
}

/// Ends confirmed subscriptions of addresses that are no longer wanted.
async fn unsubscribe_others(context: &Context, arn: &str, wanted: &BTreeSet<String>) -> Result<(), AwsError> {
    let client = &context.clients().sns;
    let stale: Vec<String> = subscriptions(context, arn)
        .await?
        .into_iter()
        .filter_map(|subscription| match subscription {
            Subscription::Confirmed { email, arn } => (!wanted.contains(&email)).then_some(arn),
            Subscription::Asked { .. } => None,
        })
        .collect();
    let each = stale.iter().map(|subscription| async move {
        let ended = context
            .call(op("sns", "Unsubscribe"), || {
                client.unsubscribe().subscription_arn(subscription).send()
            })
            .await;
        gone(ended.map(drop))
    });
    try_join_all(each).await.map(drop)
}

/// The e-mail subscriptions. "Not found" means that there is no such topic.
/// E-mail addresses of a topic whose owners have not said yes: they are told nothing.
pub async fn unconfirmed(context: &Context, arn: &str) -> Result<Vec<String>, AwsError> {
    let all = subscriptions(context, arn).await?.into_iter();
    let asked = all.filter_map(|one| match one {
        Subscription::Asked { email } => Some(email),
        Subscription::Confirmed { .. } => None,
    });
    Ok(asked.collect())
}

async fn subscriptions(context: &Context, arn: &str) -> Result<Vec<Subscription>, AwsError> {
    let client = &context.clients().sns;
    let subscriptions = context.pages(|token| async move {
        let page = context
            .call(op("sns", "ListSubscriptionsByTopic"), || {
                client
                    .list_subscriptions_by_topic()
                    .topic_arn(arn)
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        let subscriptions = page.subscriptions.unwrap_or_default();
        Ok((
            subscriptions.into_iter().filter_map(by_email).collect(),
            page.next_token,
        ))
    });
    subscriptions.await
}

/// A subscription of an e-mail address; none of others, and none of one that has ended, which is listed for a while.
fn by_email(subscription: aws_sdk_sns::types::Subscription) -> Option<Subscription> {
    let email = subscription.endpoint?;
    if subscription.protocol.as_deref() != Some("email") {
        return None;
    }
    match subscription.subscription_arn? {
        ended if ended == "Deleted" => None,
        arn if arn.starts_with("arn:") => Some(Subscription::Confirmed { email, arn }),
        _ => Some(Subscription::Asked { email }),
    }
}

async fn read_tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().sns;
    let answer = context
        .call(op("sns", "ListTagsForResource"), || {
            client.list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    Ok(answer
        .tags
        .unwrap_or_default()
        .into_iter()
        .map(|tag| (tag.key, tag.value))
        .collect())
}

async fn tag(context: &Context, arn: &str, before: &Tags, after: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().sns;
    let Difference { set, remove } = tags::diff(before, after);
    if !set.is_empty() {
        let labels = labels(&set)?;
        context
            .call(op("sns", "TagResource"), || {
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
            .call(op("sns", "UntagResource"), || {
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

fn labels(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    let label = |(key, value): (&String, &String)| {
        let built: Result<Tag, BuildError> = Tag::builder().key(key).value(value).build();
        built.map_err(|error| AwsError::own("sns", "request", ErrorKind::Invalid, error.to_string()))
    };
    tags.iter().map(label).collect()
}

fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("sns", name)
}

fn named(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}
