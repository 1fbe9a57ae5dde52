//! Making and changing a role.

use aws_sdk_iam::types::Tag;

use super::{Model, POLICY};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, gone};
use crate::aws::client::op::{Op, op};
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::policy::document::Document;

pub(super) async fn put_trust(context: &Context, name: &str, trust: &Document) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let trust = trust.to_json();
    context
        .call(op("iam", "UpdateAssumeRolePolicy"), || {
            client
                .update_assume_role_policy()
                .role_name(name)
                .policy_document(&trust)
                .send()
        })
        .await
        .map(drop)
}

/// Sets what `UpdateRole` sets.
pub(super) async fn put_settings(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    context
        .call(op("iam", "UpdateRole"), || {
            client
                .update_role()
                .role_name(&desired.name)
                .description(desired.description.as_deref().unwrap_or_default())
                .max_session_duration(desired.max_session_seconds)
                .send()
        })
        .await
        .map(drop)
}

/// IAM takes no policy without statements: a role that may do nothing has none.
pub(super) async fn set_policy(context: &Context, name: &str, policy: &Document) -> Result<(), AwsError> {
    match policy.is_empty() {
        true => delete_policy(context, name, POLICY).await,
        false => put_policy(context, op("iam", "PutRolePolicy"), name, policy).await,
    }
}

/// What is new comes before what goes, so that the function never has less than it needs.
pub(super) async fn replace_managed(
    context: &Context,
    name: &str,
    observed: &[String],
    desired: &[String],
) -> Result<(), AwsError> {
    for arn in desired.iter().filter(|arn| !observed.contains(arn)) {
        attach(context, op("iam", "AttachRolePolicy"), name, arn).await?;
    }
    for arn in observed.iter().filter(|arn| !desired.contains(arn)) {
        detach(context, name, arn).await?;
    }
    Ok(())
}

pub(super) async fn put_policy(context: &Context, op: Op, name: &str, policy: &Document) -> Result<(), AwsError> {
    put_named(context, op, name, POLICY, policy).await
}

pub(super) async fn put_named(
    context: &Context,
    op: Op,
    name: &str,
    policy_name: &str,
    policy: &Document,
) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let text = policy.to_json();
    context
        .call(op, || {
            client
                .put_role_policy()
                .role_name(name)
                .policy_name(policy_name)
                .policy_document(&text)
                .send()
        })
        .await
        .map(drop)
}

pub(super) async fn delete_policy(context: &Context, name: &str, policy: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let deleted = context
        .call(op("iam", "DeleteRolePolicy"), || {
            client.delete_role_policy().role_name(name).policy_name(policy).send()
        })
        .await;
    gone(deleted.map(drop))
}

pub(super) async fn attach(context: &Context, op: Op, name: &str, arn: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    context
        .call(op, || {
            client.attach_role_policy().role_name(name).policy_arn(arn).send()
        })
        .await
        .map(drop)
}

pub(super) async fn detach(context: &Context, name: &str, arn: &str) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let detached = context
        .call(op("iam", "DetachRolePolicy"), || {
            client.detach_role_policy().role_name(name).policy_arn(arn).send()
        })
        .await;
    gone(detached.map(drop))
}

pub(super) async fn put_boundary(context: &Context, name: &str, boundary: Option<&str>) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    match boundary {
        Some(arn) => context
            .call(op("iam", "PutRolePermissionsBoundary"), || {
                client
                    .put_role_permissions_boundary()
                    .role_name(name)
                    .permissions_boundary(arn)
                    .send()
            })
            .await
            .map(drop),
        None => {
            let deleted = context
                .call(op("iam", "DeleteRolePermissionsBoundary"), || {
                    client.delete_role_permissions_boundary().role_name(name).send()
                })
                .await;
            gone(deleted.map(drop))
        }
    }
}

/// Keys of IAM's tags are compared without case. <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>
pub(super) async fn retag(context: &Context, name: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().iam;
    let Difference { mut set, remove } = tags::diff(observed, desired);
    // A key that goes takes along one that differs in case alone: it goes first, and that one is set.
    let goes_along = |key: &str| remove.iter().any(|gone| gone.eq_ignore_ascii_case(key));
    set.extend(
        desired
            .iter()
            .filter(|(key, _)| goes_along(key))
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    if !remove.is_empty() {
        context
            .call(op("iam", "UntagRole"), || {
                client
                    .untag_role()
                    .role_name(name)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    if !set.is_empty() {
        let tags = iam_tags(&set)?;
        context
            .call(op("iam", "TagRole"), || {
                client.tag_role().role_name(name).set_tags(Some(tags.clone())).send()
            })
            .await?;
    }
    Ok(())
}

/// IAM does not take writes to one role side by side (ConcurrentModification).
pub(super) async fn turn(context: &Context, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
    context.serial(format!("iam-role:{name}")).await
}

pub(super) fn iam_tags(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| AwsError::own("iam", "TagRole", ErrorKind::Invalid, error.to_string()))
}
