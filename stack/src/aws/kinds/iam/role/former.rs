//! What releases that are not live any more still need of a role: each keeps it in an inline policy that is named after it.

use std::collections::BTreeMap;

use super::change::{delete_policy, put_named};
use super::observe::{document, list_inline, read_policy};
use super::{Model, POLICY};
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::policy::document::Document;
use crate::release::grants::InPlace;

/// What the inline policies that keep the grants of former releases are called; the release's number follows.
const FORMER: &str = "former-r";

/// Name of the policy that keeps what releases up to this one need.
pub fn former_name(release: u64) -> String {
    format!("{FORMER}{release}")
}

/// The release that a policy's name names.
pub fn former_release(policy: &str) -> Option<u64> {
    policy.strip_prefix(FORMER)?.parse().ok()
}

/// What the policies of former releases should say: what they are known to need, and in the newest what the role's own policy
/// is about to lose. It is written before that is lost.
fn kept_formers(names: &[String], known: &BTreeMap<String, Document>, lost: &Document) -> BTreeMap<String, Document> {
    let mut kept = known.clone();
    let newest = names.iter().filter_map(|name| former_release(name)).max();
    if let (Some(newest), false) = (newest, lost.is_empty()) {
        let policy = kept.entry(former_name(newest)).or_default();
        *policy = policy.with(lost);
    }
    kept.retain(|name, _| names.contains(name));
    kept
}

/// Writes what former releases are to keep, as far as AWS does not have it yet.
pub(super) async fn keep(context: &Context, desired: &Model, observed: &Model) -> Result<(), AwsError> {
    let kept = kept_formers(
        &desired.other_inline_policies,
        &desired.former_policies,
        &desired.former,
    );
    for (policy, statements) in &kept {
        if observed.former_policies.get(policy) != Some(statements) {
            put_named(context, op("iam", "PutRolePolicy"), &desired.name, policy, statements).await?;
        }
    }
    Ok(())
}

/// What the policies among a role's inline ones allow that keep grants of former releases.
pub(super) async fn former_policies(
    context: &Context,
    role: &str,
    inline: &[String],
) -> Result<BTreeMap<String, Document>, AwsError> {
    let formers = inline.iter().filter(|name| former_release(name).is_some());
    let read = formers.map(|policy| async move {
        let text = read_policy(context, role, policy).await?;
        Ok::<_, AwsError>((policy.clone(), text))
    });
    // One that is listed and not known yet is left alone.
    let read = futures::future::try_join_all(read).await?.into_iter();
    read.filter_map(|(policy, text)| Some((policy, document("GetRolePolicy", Some(&text?)))))
        .map(|(policy, document)| Ok((policy, document?)))
        .collect()
}

/// Writes statements that a former release needs, under its name.
pub async fn put_former(context: &Context, role: &str, release: u64, policy: &Document) -> Result<(), AwsError> {
    put_named(context, op("iam", "PutRolePolicy"), role, &former_name(release), policy).await
}

/// What a role's own policy allows, and what it keeps for a release and later ones; none when there is no such role.
pub async fn in_place(context: &Context, role: &str, release: u64) -> Result<Option<InPlace>, AwsError> {
    let own = async { read_policy(context, role, POLICY).await };
    let (own, inline) = futures::try_join!(own, list_inline(context, role))?;
    let Some(inline) = inline else { return Ok(None) };
    let mut former = Document::default();
    for name in inline
        .iter()
        .filter(|name| former_release(name).is_some_and(|kept| kept >= release))
    {
        let kept = read_policy(context, role, name).await?;
        former = former.with(&document("GetRolePolicy", kept.as_deref())?);
    }
    Ok(Some(InPlace {
        role: role.to_owned(),
        own: document("GetRolePolicy", own.as_deref())?,
        former,
    }))
}

/// Takes away what releases before `oldest` needed. Returns how many policies.
pub async fn drop_former(context: &Context, role: &str, oldest: u64) -> Result<usize, AwsError> {
    let inline = list_inline(context, role).await?.unwrap_or_default();
    let old = inline
        .iter()
        .filter(|name| former_release(name).is_some_and(|release| release < oldest));
    let mut dropped = 0;
    for name in old {
        delete_policy(context, role, name).await?;
        dropped += 1;
    }
    Ok(dropped)
}
