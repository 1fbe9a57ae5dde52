//! What was deployed and is no longer so: resources that are gone, grants that were removed. It is found without the template, by
//! what the last deploy wrote down; `plan` compares every field.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use super::control_bucket::ControlBucket;
use super::ledger;
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::iam;
use crate::aws::policy::document::Document;
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::release::grants::Grants;
use crate::resource::ResourceId;

/// Resources of the last deploy that do not exist any more. None are known of a stage that only older versions deployed.
pub async fn missing(
    context: &Context,
    control: &ControlBucket,
    reader: &Reader,
) -> Result<BTreeSet<ResourceId>, AwsError> {
    let needed = registry().kinds().filter(|kind| kind.spec().needed_at_runtime);
    let listings = needed.map(|kind| async move {
        let found = kind.enumerate(reader).await?;
        let names: BTreeSet<String> = found
            .into_iter()
            .filter_map(|mut one| one.outputs.remove("name"))
            .collect();
        Ok::<_, AwsError>((kind.spec().name, names))
    });
    let (inventory, found) = futures::try_join!(ledger::inventory(context, control), try_join_all(listings))?;
    let found: BTreeMap<&str, BTreeSet<String>> = found.into_iter().collect();
    let resources = inventory.map(|inventory| inventory.resources).unwrap_or_default();
    let is_gone = |(id, name): &(ResourceId, String)| {
        let names = found.get(id.kind.as_str());
        names.is_some_and(|names| !names.contains(name))
    };
    Ok(resources.into_iter().filter(is_gone).map(|(id, _)| id).collect())
}

/// What the roles of a release's functions lack of its grants, by function: statements that were removed.
pub async fn lacking(context: &Context, reader: &Reader, release: u64, grants: &Grants) -> Result<Grants, AwsError> {
    let roles = registry().kind(iam::role::KIND).enumerate(reader).await?;
    let compared = roles.into_iter().filter_map(|mut role| {
        let granted = grants.get(&role.id.name)?;
        let name = role.outputs.remove("name")?;
        Some(async move {
            let in_place = iam::role::in_place(context, &name, release).await?;
            let lacking = in_place.map_or_else(Document::default, |now| granted.without(&now.own).without(&now.former));
            Ok::<_, AwsError>((role.id.name, lacking))
        })
    });
    let compared = try_join_all(compared).await?;
    Ok(compared
        .into_iter()
        .filter(|(_, lacking)| !lacking.is_empty())
        .collect())
}
