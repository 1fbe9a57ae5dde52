//! Reads what AWS has of releases, from calls that planning makes anyway.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};

use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::apigateway::stage::{LIVE, PREVIEW, set_variables, stage_of};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::version::{OWN_VERSION, VersionAlias};
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::release::by_alias;
use crate::release::label::{FORMAT, too_new};
use crate::release::slots::{Carrier, ReleaseState, SlotState};

/// What a function's aliases tell.
struct Published {
    /// Number and fingerprint of each version, oldest first.
    versions: Vec<(u64, String)>,
    /// Versions whose role was deleted since.
    cut_off: BTreeSet<u64>,
    /// Aliases that send requests elsewhere.
    moved: Vec<VersionAlias>,
    /// All of them.
    aliases: Vec<by_alias::Alias>,
}

/// Reads the facts of a stack that keeps its releases with this carrier. `functions` are physical names by logical name.
pub async fn read(
    reader: &Reader,
    carrier: Carrier,
    functions: &BTreeMap<String, String>,
) -> Result<ReleaseState, AwsError> {
    let published = stream::iter(functions.clone())
        .map(|(logical, physical)| async move {
            let published = published(reader, &logical, &physical).await?;
            Ok::<_, AwsError>((logical, published))
        })
        .buffer_unordered(64)
        .try_collect();
    let (published, api): (BTreeMap<String, Published>, _) = futures::try_join!(published, reader.api())?;
    let (mut versions, mut cut_off) = (BTreeMap::new(), BTreeMap::new());
    let (mut moved, mut aliases) = (BTreeMap::new(), BTreeMap::new());
    for (function, published) in published {
        versions.insert(function.clone(), published.versions);
        cut_off.insert(function.clone(), published.cut_off);
        aliases.insert(function.clone(), published.aliases);
        moved.insert(function, published.moved);
    }
    cut_off.retain(|_, versions: &mut BTreeSet<u64>| !versions.is_empty());
    if carrier == Carrier::Functions {
        // Kept releases may have functions that the template has no more.
        for (logical, physical, listed) in list(reader).await? {
            if !functions.values().any(|name| *name == physical) {
                aliases.insert(logical, listed);
            }
        }
    }
    let by_alias = by_alias::state(&aliases);
    // Where a stack gains or loses its API, numbers go on.
    let highest = api.iter().flat_map(|api| api.releases().into_keys()).max().unwrap_or(0);
    let (api, facts) = match (carrier, api) {
        (Carrier::Functions, _) => {
            let facts = ReleaseState {
                highest: by_alias.highest.max(if highest > 0 { highest + 1 } else { 0 }),
                versions,
                cut_off,
                ..by_alias
            };
            readable(&facts)?;
            return Ok(facts);
        }
        (Carrier::Api, None) => {
            return Ok(ReleaseState {
                highest: by_alias.highest,
                versions,
                cut_off,
                ..ReleaseState::default()
            });
        }
        (Carrier::Api, Some(api)) => {
            let facts = ReleaseState {
                highest: by_alias.highest,
                ..of(&api, versions)
            };
            (api, facts)
        }
    };
    readable(&facts)?;
    drop(api);
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
    let listed = reader.aliases(physical).await?;
    let aliases: Vec<VersionAlias> = listed.iter().filter_map(VersionAlias::parse).collect();
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
        aliases: listed.iter().map(lambda::alias::view).collect(),
    })
}

/// Refuses releases whose labels a newer taskctl wrote: what they say is not known here.
pub fn readable(facts: &ReleaseState) -> Result<(), AwsError> {
    match too_new(facts.releases.values()) {
        None => Ok(()),
        Some(label) => Err(AwsError::own(
            "taskctl",
            "releases",
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
        ..ReleaseState::default()
    }
}

/// The facts that the functions' aliases tell, with the functions' names by logical name: those of a stack without an API.
pub async fn of_functions(reader: &Reader) -> Result<(ReleaseState, BTreeMap<String, String>), AwsError> {
    let listed = list(reader).await?;
    let names = listed
        .iter()
        .map(|(logical, physical, _)| (logical.clone(), physical.clone()));
    let names = names.collect();
    let aliases = listed.into_iter().map(|(logical, _, aliases)| (logical, aliases));
    let facts = by_alias::state(&aliases.collect());
    Ok((facts, names))
}

/// Logical and physical names of the stack's functions, with their aliases.
async fn list(reader: &Reader) -> Result<Vec<(String, String, Vec<by_alias::Alias>)>, AwsError> {
    let found = registry().kind(lambda::function::KIND).enumerate(reader).await?;
    let listed = found.into_iter().filter_map(|function| {
        let physical = function.outputs.get("name")?.clone();
        Some(async move {
            let aliases = reader.aliases(&physical).await?;
            let aliases: Vec<by_alias::Alias> = aliases.iter().map(lambda::alias::view).collect();
            // One with a name of its own is known by it to nobody but its releases.
            let logical = by_alias::logical_name(&aliases).map_or(function.id.name, str::to_owned);
            Ok::<_, AwsError>((logical, physical, aliases))
        })
    });
    try_join_all(listed).await
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
