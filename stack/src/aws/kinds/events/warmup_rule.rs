//! EventBridge rule that pings functions through live every few minutes. A rule takes five targets, so a stack with more
//! functions has several. That EventBridge may call a function is the matter of `lambda_permission`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_eventbridge::types::{RuleState, Tag, Target as AwsTarget};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, classify};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::events;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct WarmupRule;

/// Targets that a rule takes.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>
pub const MAX_TARGETS: usize = 5;

/// The event that functions get: what the shipped handlers answer without logging or counting it.
pub const PING: &str = r#"{"warmup":true}"#;

/// Settings of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–64 characters.
    pub name: String,
    /// Description, at most 512 characters.
    pub description: String,
    /// When: see [`every_minutes`].
    pub schedule: String,
    /// Whether it runs: `ENABLED` or `DISABLED`.
    pub state: String,
    /// Whom it calls, by logical function name, at most [`MAX_TARGETS`].
    pub targets: BTreeMap<String, Target>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A function that is pinged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Physical name; of anything else that somebody put here, its ARN.
    pub function: String,
    /// Which version.
    pub alias: Alias,
    /// The event it gets, JSON; none = EventBridge's own.
    pub input: Option<String>,
    /// Settings that taskctl did not write, in words. Never desired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// Which version of a function is pinged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alias {
    /// The one that live sends requests to.
    Live,
    /// The one that this run publishes and makes live.
    New,
    /// One by name: `v17`. Empty: the function itself.
    Named(String),
}

/// Name of the kind.
pub const KIND: &str = "warmup_rule";

static SPEC: Spec = Spec {
    name: KIND,
    title: "warm-up schedule",
    documentation: "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html",
    read_actions: &[
        "events:ListRules",
        "events:ListTargetsByRule",
        "events:ListTagsForResource",
        "tag:GetResources",
        "apigateway:GET",
    ],
    write_actions: &[
        "events:PutRule",
        "events:PutTargets",
        "events:RemoveTargets",
        "events:TagResource",
        "events:UntagResource",
    ],
    delete_actions: &["events:ListTargetsByRule", "events:RemoveTargets", "events:DeleteRule"],
    rollback: Rollback::Immediate,
    replacement: Replacement::CreateFirst,
    replace_on: &["name"],
    usual: Duration::from_millis(300),
    release_actions: &["events:PutTargets"],
    reach: Reach::Rules,
    reaches: &[("events:ListRules", Reach::Account)],
    ..Spec::of(&events::SERVICE)
};

/// A rule's ARN.
pub fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("events", &format!("rule/{name}"))
}

/// The schedule for every so many minutes.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>
pub fn every_minutes(minutes: u32) -> String {
    if minutes == 1 {
        "rate(1 minute)".to_owned()
    } else {
        format!("rate({minutes} minutes)")
    }
}

#[async_trait]
impl Kind for WarmupRule {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let target = |function: &str, input: Option<&str>| Target {
            function: function.to_owned(),
            alias: Alias::Named("v1".to_owned()),
            input: input.map(str::to_owned),
            others: Vec::new(),
        };
        let small = Model {
            name: "shop-dev-warmup".into(),
            description: String::new(),
            schedule: every_minutes(5),
            state: "ENABLED".into(),
            targets: BTreeMap::from([("tasks".to_owned(), target("shop-dev-tasks", None))]),
            tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        };
        let full = Model {
            name: "shop-dev-warmup-2".into(),
            description: "Keeps the functions of shop, stage dev, warm".into(),
            schedule: every_minutes(1),
            state: "DISABLED".into(),
            targets: BTreeMap::from([
                ("tasks".to_owned(), target("shop-dev-tasks", Some(PING))),
                ("users".to_owned(), target("shop-dev-users", None)),
            ]),
            ..small.clone()
        };
        vec![small, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let rules = reader.rules().await?;
        let Some(rule) = rules.iter().find(|rule| rule.name() == Some(desired.name.as_str())) else {
            return Ok(None);
        };
        let context = reader.context();
        let arn = arn(context, &desired.name);
        let (targets, api, tags) = futures::try_join!(
            list_targets(context, &desired.name),
            reader.api(),
            reader.tags(&arn, &desired.tags, async || read_tags(context, &arn).await)
        )?;
        let targets = targets.unwrap_or_default();
        let model = Model {
            name: desired.name.clone(),
            description: rule.description().unwrap_or_default().to_owned(),
            schedule: triggers(rule.schedule_expression(), rule.event_pattern()),
            state: rule.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            targets: targets
                .iter()
                .map(|target| from_target(context, target, api.as_deref()))
                .collect(),
            tags: tags.clone(),
        };
        let mut observed = Observed::ours(model, rule_outputs(context, &desired.name));
        observed.ownership = ownership(context, &tags);
        Ok(Some(observed))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let (rules, _) = futures::try_join!(reader.rules(), reader.tagged())?;
        let listed = rules.iter().filter_map(|rule| rule.name().map(str::to_owned)).collect();
        let own_tags = |name: String| async move {
            let arn = arn(context, &name);
            reader.own_tags(&arn, read_tags(context, &arn)).await
        };
        let names = ours(reader, &Naming::regional(arn(context, "")), listed, own_tags).await?;
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, "")),
            outputs: rule_outputs(context, name),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        put_rule(context, desired).await?;
        put_targets(context, &desired.name, &desired.targets).await?;
        Ok(rule_outputs(context, &desired.name))
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
            description: _,
            schedule: _,
            state: _,
            targets,
            tags,
        } = desired;
        if changes.touch_any(&["description", "schedule", "state"]) {
            put_rule(context, desired).await?;
        }
        if changes.touch("targets") {
            let seen = &observed.model.targets;
            // Room first: a rule takes five.
            let stale: Vec<String> = seen.keys().filter(|id| !targets.contains_key(*id)).cloned().collect();
            remove_targets(context, name, &stale).await?;
            let changed = targets.iter().filter(|(id, target)| seen.get(*id) != Some(*target));
            put_targets(
                context,
                name,
                &changed.map(|(id, target)| (id.clone(), target.clone())).collect(),
            )
            .await?;
        }
        if changes.touch("tags") {
            retag(context, &arn(context, name), &observed.model.tags, tags).await?;
        }
        Ok(rule_outputs(context, name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let Some(targets) = list_targets(context, name).await? else {
            return Ok(());
        };
        let ids: Vec<String> = targets.into_iter().map(|target| target.id).collect();
        gone(remove_targets(context, name, &ids).await)?;
        let client = &context.clients().events;
        let deleted = context
            .call(op("events", "DeleteRule"), || client.delete_rule().name(name).send())
            .await;
        gone(deleted.map(drop))
    }
}

/// Writes the whole rule: what PutRule is not told is cleared. Tags count on creation only.
async fn put_rule(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let Model {
        name,
        description,
        schedule,
        state,
        targets: _,
        tags,
    } = desired;
    let client = &context.clients().events;
    let tags = to_tags(tags)?;
    context
        .call(op("events", "PutRule"), || {
            client
                .put_rule()
                .name(name)
                .description(description)
                .schedule_expression(schedule)
                .state(RuleState::from(state.as_str()))
                .set_tags((!tags.is_empty()).then(|| tags.clone()))
                .send()
        })
        .await
        .map(drop)
}

async fn put_targets(context: &Context, rule: &str, targets: &BTreeMap<String, Target>) -> Result<(), AwsError> {
    if targets.is_empty() {
        return Ok(());
    }
    let mut built = Vec::new();
    for (id, target) in targets {
        let Target {
            function,
            alias,
            input,
            others: _,
        } = target;
        let arn = target_arn(context, id, function, alias).await?;
        let target = AwsTarget::builder().id(id).arn(arn).set_input(input.clone()).build();
        built.push(
            target.map_err(|error| AwsError::own("events", "PutTargets", ErrorKind::Invalid, error.to_string()))?,
        );
    }
    let client = &context.clients().events;
    let answer = context
        .call(op("events", "PutTargets").just_made(), || {
            client.put_targets().rule(rule).set_targets(Some(built.clone())).send()
        })
        .await?;
    // The call succeeds even when entries fail.
    match answer.failed_entries().first() {
        None => Ok(()),
        Some(entry) => Err(failed(
            "PutTargets",
            rule,
            entry.target_id(),
            entry.error_code(),
            entry.error_message(),
        )),
    }
}

async fn remove_targets(context: &Context, rule: &str, ids: &[String]) -> Result<(), AwsError> {
    if ids.is_empty() {
        return Ok(());
    }
    let client = &context.clients().events;
    let answer = context
        .call(op("events", "RemoveTargets"), || {
            client.remove_targets().rule(rule).set_ids(Some(ids.to_vec())).send()
        })
        .await?;
    match answer.failed_entries().first() {
        None => Ok(()),
        Some(entry) => Err(failed(
            "RemoveTargets",
            rule,
            entry.target_id(),
            entry.error_code(),
            entry.error_message(),
        )),
    }
}

fn failed(
    operation: &'static str,
    rule: &str,
    target: Option<&str>,
    code: Option<&str>,
    message: Option<&str>,
) -> AwsError {
    let text = format!(
        "rule {rule}, target {}: {} {}",
        target.unwrap_or("?"),
        code.unwrap_or("failed"),
        message.unwrap_or_default()
    );
    let kind = classify(events::SERVICE.errors, code, message.unwrap_or_default(), Some(400));
    AwsError {
        code: code.map(str::to_owned),
        ..AwsError::own("events", operation, kind, text)
    }
}

/// Lets the stack's rules follow live: they ping the versions that it serves now, by logical function name.
pub async fn retarget(context: &Context, versions: &BTreeMap<String, String>) -> Result<(), AwsError> {
    let reader = Reader::new(context.clone());
    let prefix = context.identity().arn("lambda", "function:");
    for rule in reader.rules().await?.iter().filter_map(|rule| rule.name()) {
        let targets = list_targets(context, rule).await?.unwrap_or_default();
        put_targets(context, rule, &moved(&targets, &prefix, versions)).await?;
    }
    Ok(())
}

/// The targets that taskctl wrote and that another version is to take over from.
fn moved(targets: &[AwsTarget], prefix: &str, versions: &BTreeMap<String, String>) -> BTreeMap<String, Target> {
    let moved = targets.iter().filter_map(|target| {
        let (function, alias) = target.arn.strip_prefix(prefix)?.split_once(':')?;
        let wanted = format!("v{}", versions.get(&target.id)?);
        let is_ours = target.input() == Some(PING) && others(target).is_empty();
        (is_ours && alias != wanted).then(|| {
            let target_of_live = Target {
                function: function.to_owned(),
                alias: Alias::Named(wanted),
                input: target.input.clone(),
                others: Vec::new(),
            };
            (target.id.clone(), target_of_live)
        })
    });
    moved.collect()
}

/// Targets of a rule; none when there is no such rule.
async fn list_targets(context: &Context, rule: &str) -> Result<Option<Vec<AwsTarget>>, AwsError> {
    let client = &context.clients().events;
    let targets = context.pages(|token| async move {
        let page = context
            .call(op("events", "ListTargetsByRule"), || {
                let targets = client.list_targets_by_rule().rule(rule);
                targets.set_next_token(token.clone()).send()
            })
            .await?;
        Ok((page.targets.unwrap_or_default(), page.next_token))
    });
    found(targets.await)
}

async fn target_arn(context: &Context, logical: &str, function: &str, alias: &Alias) -> Result<String, AwsError> {
    let published = ResourceId::new(lambda::version::KIND, logical);
    let alias = match alias {
        Alias::New => context.output(&published, "alias")?,
        Alias::Live => live_alias(ApiState::read(context).await?.as_ref(), logical).ok_or_else(|| {
            let text = format!("live serves no version of function {logical} yet, so there is none to keep warm");
            AwsError::own("events", "PutTargets", ErrorKind::Invalid, text)
        })?,
        Alias::Named(name) => name.clone(),
    };
    let function = context.identity().arn("lambda", &format!("function:{function}"));
    Ok(if alias.is_empty() {
        function
    } else {
        format!("{function}:{alias}")
    })
}

/// The alias of the version that live sends requests to.
fn live_alias(api: Option<&ApiState>, logical: &str) -> Option<String> {
    let api = api?;
    let deployment = api.stage("$default")?.deployment_id()?;
    let version = api.release_of(deployment)?.versions.get(logical)?.clone();
    Some(format!("v{version}"))
}

fn from_target(context: &Context, target: &AwsTarget, api: Option<&ApiState>) -> (String, Target) {
    let ours = context.identity().arn("lambda", "function:");
    let (function, alias) = match target.arn.strip_prefix(&ours) {
        Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
        None => (target.arn.as_str(), ""),
    };
    let alias = match live_alias(api, &target.id) {
        Some(live) if live == alias => Alias::Live,
        Some(_) | None => Alias::Named(alias.to_owned()),
    };
    (
        target.id.clone(),
        Target {
            function: function.to_owned(),
            alias,
            input: target.input.clone(),
            others: others(target),
        },
    )
}

/// What a target has beside its function and its event, in words. A retry policy is none: it does not change what is called.
fn others(target: &AwsTarget) -> Vec<String> {
    let known = [
        (target.role_arn().is_some(), "role"),
        (target.input_path().is_some(), "input path"),
        (target.input_transformer().is_some(), "input transformer"),
        (target.dead_letter_config().is_some(), "dead-letter queue"),
    ];
    known
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// What sets a rule off: its schedule, and the events that somebody lets it match as well.
fn triggers(schedule: Option<&str>, pattern: Option<&str>) -> String {
    [schedule, pattern]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

async fn read_tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().events;
    let answer = context
        .call(op("events", "ListTagsForResource"), || {
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

async fn retag(context: &Context, arn: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().events;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        let tags = to_tags(&set)?;
        context
            .call(op("events", "TagResource"), || {
                client
                    .tag_resource()
                    .resource_arn(arn)
                    .set_tags(Some(tags.clone()))
                    .send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("events", "UntagResource"), || {
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

fn to_tags(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| AwsError::own("events", "TagResource", ErrorKind::Invalid, error.to_string()))
}

fn rule_outputs(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:lambda:eu-central-1:123456789012:function:";

    fn target(id: &str, alias: &str, input: &str) -> AwsTarget {
        let arn = format!("{PREFIX}shop-dev-{id}:{alias}");
        AwsTarget::builder().id(id).arn(arn).input(input).build().unwrap()
    }

    #[test]
    fn pings_follow_live() {
        let versions = BTreeMap::from([
            ("tasks".to_owned(), "4".to_owned()),
            ("users".to_owned(), "2".to_owned()),
        ]);
        let targets = [
            target("tasks", "v3", PING),
            target("users", "v2", PING),
            target("former", "v1", PING),
        ];
        let moved = moved(&targets, PREFIX, &versions);
        let expected = Target {
            function: "shop-dev-tasks".to_owned(),
            alias: Alias::Named("v4".to_owned()),
            input: Some(PING.to_owned()),
            others: Vec::new(),
        };
        assert_eq!(moved, BTreeMap::from([("tasks".to_owned(), expected)]));
    }

    #[test]
    fn what_somebody_else_wrote_is_left_to_the_next_plan() {
        let versions = BTreeMap::from([("tasks".to_owned(), "4".to_owned())]);
        assert_eq!(
            moved(&[target("tasks", "v3", "{}")], PREFIX, &versions),
            BTreeMap::new()
        );
    }
}
