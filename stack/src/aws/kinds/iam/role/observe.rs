//! What AWS says of a role, as the model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_iam::types::Role;

use super::former::former_policies;
use super::{Model, POLICY};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, found};
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::aws::policy::document::{Document, ParseError};
use crate::aws::read::reader::{Cells, Reader};

/// A role with everything that ListRoles does not tell.
pub(super) struct Details {
    pub role: Role,
    policy: Option<String>,
    inline: Vec<String>,
    attached: Vec<String>,
}

/// A role's settings.
pub(super) async fn model(context: &Context, details: Details) -> Result<Model, AwsError> {
    let Details {
        role,
        policy,
        mut inline,
        mut attached,
    } = details;
    inline.retain(|name| name != POLICY);
    inline.sort();
    attached.sort();
    let former_policies = former_policies(context, &role.role_name, &inline).await?;
    let tags: Tags = role
        .tags()
        .iter()
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect();
    Ok(Model {
        name: role.role_name,
        path: role.path,
        description: role.description.filter(|text| !text.is_empty()),
        trust: document("GetRole", role.assume_role_policy_document.as_deref())?,
        policy: document("GetRolePolicy", policy.as_deref())?,
        permissions_boundary: role
            .permissions_boundary
            .and_then(|boundary| boundary.permissions_boundary_arn),
        managed_policies: attached,
        other_inline_policies: inline,
        former_policies,
        former: Document::default(),
        max_session_seconds: role.max_session_duration.unwrap_or(3_600),
        tags: managed(tags),
    })
}

/// Reads a role that should be there. IAM's reads lag behind its writes, so a few misses are no answer yet.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html>
pub(super) async fn await_details(context: &Context, name: &str, misses: u32) -> Result<Option<Details>, AwsError> {
    let missed = AtomicU32::new(0);
    context
        .poll("role to be known everywhere", Duration::from_secs(60), || async {
            match details(context, name).await? {
                Some(details) => Ok(Some(Some(details))),
                None if missed.fetch_add(1, Ordering::Relaxed) >= misses => Ok(Some(None)),
                None => Ok(None),
            }
        })
        .await
}

async fn details(context: &Context, name: &str) -> Result<Option<Details>, AwsError> {
    let client = &context.clients().iam;
    let role = async {
        found(
            context
                .call(op("iam", "GetRole"), || client.get_role().role_name(name).send())
                .await,
        )
    };
    let policy = async {
        found(
            context
                .call(op("iam", "GetRolePolicy"), || {
                    client.get_role_policy().role_name(name).policy_name(POLICY).send()
                })
                .await,
        )
    };
    let (role, policy, inline, attached) =
        futures::try_join!(role, policy, list_inline(context, name), list_attached(context, name))?;
    let (Some(role), Some(inline), Some(attached)) = (role.and_then(|answer| answer.role), inline, attached) else {
        return Ok(None);
    };
    Ok(Some(Details {
        role,
        policy: policy.map(|answer| answer.policy_document),
        inline,
        attached,
    }))
}

/// Ids of roles that a listing has not shown, by name.
#[derive(Default)]
struct Asked(Cells<String, Option<String>>);

impl Reader {
    /// The id that a role got when it was made; none when there is no such role. A listing lags behind, so one that it lacks
    /// is asked for.
    pub async fn role_id(&self, name: &str) -> Result<Option<String>, AwsError> {
        let mut listed = self.roles().await?.iter();
        if let Some(role) = listed.find(|role| role.role_name == name) {
            return Ok(Some(role.role_id.clone()));
        }
        let context = self.context();
        let client = &context.clients().iam;
        let ask = async {
            let answer = context
                .call(op("iam", "GetRole"), || client.get_role().role_name(name).send())
                .await;
            Ok::<_, AwsError>(found(answer)?.and_then(|answer| answer.role).map(|role| role.role_id))
        };
        self.extension::<Asked>().0.get(name.to_owned(), ask).await
    }
}

/// Names of a role's inline policies; none when there is no such role.
pub(super) async fn list_inline(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let names = context.pages(|marker| async move {
        let page = context
            .call(op("iam", "ListRolePolicies"), || {
                let list = client.list_role_policies().role_name(name).max_items(1_000);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        Ok((page.policy_names, page.marker))
    });
    found(names.await)
}

/// ARNs of the managed policies attached to a role; none when there is no such role.
pub(super) async fn list_attached(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let arns = context.pages(|marker| async move {
        let page = context
            .call(op("iam", "ListAttachedRolePolicies"), || {
                let list = client.list_attached_role_policies().role_name(name).max_items(1_000);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        let policies = page.attached_policies.unwrap_or_default().into_iter();
        Ok((policies.filter_map(|policy| policy.policy_arn).collect(), page.marker))
    });
    found(arns.await)
}

/// Names of the instance profiles that a role is in; none when there is no such role.
pub(super) async fn list_instance_profiles(context: &Context, name: &str) -> Result<Option<Vec<String>>, AwsError> {
    let client = &context.clients().iam;
    let names = context.pages(|marker| async move {
        let page = context
            .call(op("iam", "ListInstanceProfilesForRole"), || {
                let list = client.list_instance_profiles_for_role().role_name(name);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        let profiles = page.instance_profiles.into_iter();
        Ok((
            profiles.map(|profile| profile.instance_profile_name).collect(),
            page.marker,
        ))
    });
    found(names.await)
}

/// Everything that a role has of policies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    /// Who may take it on.
    pub trust: Document,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Document>,
    /// ARNs of managed policies attached to it.
    pub managed: Vec<String>,
}

/// Reads all policies of a role; none when there is no such role.
pub async fn all_policies(context: &Context, name: &str) -> Result<Option<Policies>, AwsError> {
    let Some(details) = details(context, name).await? else {
        return Ok(None);
    };
    let Details {
        role,
        policy: _,
        inline,
        attached,
    } = details;
    let read = inline.iter().map(|policy| async move {
        let text = read_policy(context, name, policy).await?;
        Ok::<_, AwsError>((policy.clone(), document("GetRolePolicy", text.as_deref())?))
    });
    Ok(Some(Policies {
        trust: document("GetRole", role.assume_role_policy_document.as_deref())?,
        inline: futures::future::try_join_all(read).await?.into_iter().collect(),
        managed: attached,
    }))
}

pub(super) async fn read_policy(context: &Context, role: &str, policy: &str) -> Result<Option<String>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "GetRolePolicy"), || {
            client.get_role_policy().role_name(role).policy_name(policy).send()
        })
        .await;
    Ok(found(answer)?.map(|answer| answer.policy_document))
}

pub(super) fn document(operation: &'static str, text: Option<&str>) -> Result<Document, AwsError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Document::default());
    };
    Document::parse(text)
        .map_err(|error: ParseError| AwsError::own("iam", operation, ErrorKind::Invalid, error.to_string()))
}
