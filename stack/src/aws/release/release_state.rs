//! Reads what AWS has of releases, from calls that planning makes anyway.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::apigateway::stage::{LIVE, PREVIEW, set_variables, stage_of};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::version::{OWN_VERSION, VersionAlias};
use crate::aws::read::reader::Reader;
use crate::release::label::{FORMAT, too_new};
use crate::release::slots::{ReleaseState, SlotState};

/// What a function's aliases tell.
struct Published {
    /// Number and fingerprint of each version, oldest first.
    versions: Vec<(u64, String)>,
    /// Versions whose role was deleted since.
    cut_off: BTreeSet<u64>,
    /// Aliases that send requests elsewhere.
    moved: Vec<VersionAlias>,
}

/// Reads the facts. `functions` are physical names by logical name.
pub async fn read(reader: &Reader, functions: &BTreeMap<String, String>) -> Result<ReleaseState, AwsError> {
    let published = stream::iter(functions.clone())
        .map(|(logical, physical)| async move {
            let published = published(reader, &logical, &physical).await?;
            Ok::<_, AwsError>((logical, published))
        })
        .buffer_unordered(64)
        .try_collect();
    let (published, api): (BTreeMap<String, Published>, _) = futures::try_join!(published, reader.api())?;
    let mut facts = ReleaseState::default();
    let mut moved = BTreeMap::new();
    for (function, published) in published {
        facts.versions.insert(function.clone(), published.versions);
        facts.cut_off.insert(function.clone(), published.cut_off);
        moved.insert(function, published.moved);
    }
    facts.cut_off.retain(|_, versions| !versions.is_empty());
    let Some(api) = api else { return Ok(facts) };
    let ReleaseState { versions, cut_off, .. } = facts;
    let facts = of(&api, versions);
    readable(&facts)?;
    let live = facts.live.as_ref().and_then(|live| live.release);
    let label = live.and_then(|live| facts.releases.get(&live));
    let under_live = label.into_iter().flat_map(|label| &label.versions);
    let diverted = under_live.filter_map(|(function, version)| {
        let aliases = moved.get(function)?;
        let alias = aliases.iter().find(|alias| alias.version.to_string() == *version)?;
        Some((function.clone(), alias.fingerprint.clone()))
    });
    Ok(ReleaseState {
        diverted: diverted.collect(),
        cut_off,
        ..facts
    })
}

async fn published(reader: &Reader, logical: &str, physical: &str) -> Result<Published, AwsError> {
    let aliases = reader.aliases(physical).await?;
    let aliases: Vec<VersionAlias> = aliases.iter().filter_map(VersionAlias::parse).collect();
    let mut versions: Vec<(u64, String)> = aliases
        .iter()
        .map(|alias| (alias.version, alias.fingerprint.clone()))
        .collect();
    versions.sort();
    let mut cut_off = BTreeSet::new();
    // Most likely the one that its permission is asked about next: one round trip less.
    if let Some((newest, _)) = versions.last() {
        let newest = format!("v{newest}");
        let (_, role_id) = futures::try_join!(
            reader.policy(physical, Some(&newest)),
            lambda::version::role_id(reader, logical)
        )?;
        let gone = aliases.iter().filter(|alias| alias.is_cut_off(role_id.as_deref()));
        cut_off.extend(gone.map(|alias| alias.version));
    }
    Ok(Published {
        versions,
        cut_off,
        moved: aliases
            .into_iter()
            .filter(|alias| alias.routing != OWN_VERSION)
            .collect(),
    })
}

/// Refuses releases whose labels a newer taskctl wrote: what they say is not known here.
pub fn readable(facts: &ReleaseState) -> Result<(), AwsError> {
    match too_new(facts.releases.values()) {
        None => Ok(()),
        Some(label) => Err(AwsError::own(
            "apigateway",
            "GetDeployments",
            ErrorKind::Invalid,
            format!(
                "release {} was made by a newer taskctl: its label has format {}, this one reads formats up to {FORMAT}; use \
                 that taskctl or a newer one",
                label.number, label.format
            ),
        )),
    }
}

/// The facts that an API's state tells.
pub fn of(api: &ApiState, versions: BTreeMap<String, Vec<(u64, String)>>) -> ReleaseState {
    let releases = api.releases();
    ReleaseState {
        deployments: releases.iter().map(|(number, (_, id))| (*number, id.clone())).collect(),
        releases: releases
            .into_iter()
            .map(|(number, (label, _))| (number, label))
            .collect(),
        live: slot(api, LIVE),
        preview: slot(api, PREVIEW),
        versions,
        cut_off: BTreeMap::new(),
        diverted: BTreeMap::new(),
    }
}

fn slot(api: &ApiState, slot: &str) -> Option<SlotState> {
    let stage = api.stage(stage_of(slot))?;
    let deployment = stage.deployment_id()?.to_owned();
    Some(SlotState {
        release: api.release_of(&deployment).map(|label| label.number),
        deployment,
        variables: set_variables(stage),
    })
}
