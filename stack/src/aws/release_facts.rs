//! Reads what AWS has of releases, from calls that planning makes anyway.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::api_stage::{LIVE, PREVIEW, stage_of};
use super::api_state::ApiState;
use super::error::AwsError;
use super::lambda_version::VersionAlias;
use super::reader::Reader;
use crate::release::layout::{ReleaseFacts, SlotFacts, is_set};

/// Reads the facts. `functions` are physical names by logical name.
pub async fn read(reader: &Reader, functions: &BTreeMap<String, String>) -> Result<ReleaseFacts, AwsError> {
    let versions = stream::iter(functions.clone())
        .map(|(logical, physical)| async move {
            let aliases = reader.aliases(&physical).await?;
            let mut versions: Vec<(u64, String)> = aliases
                .iter()
                .filter_map(VersionAlias::parse)
                .map(|alias| (alias.version, alias.fingerprint))
                .collect();
            versions.sort();
            // Most likely the one that its permission is asked about next: one round trip less.
            if let Some((newest, _)) = versions.last() {
                reader.policy(&physical, &format!("v{newest}")).await?;
            }
            Ok::<_, AwsError>((logical, versions))
        })
        .buffer_unordered(64)
        .try_collect();
    let (versions, api): (BTreeMap<_, _>, _) = futures::try_join!(versions, reader.api())?;
    Ok(match api {
        Some(api) => of(api, versions),
        None => ReleaseFacts {
            versions,
            ..ReleaseFacts::default()
        },
    })
}

/// The facts that an API's state tells.
pub fn of(api: &ApiState, versions: BTreeMap<String, Vec<(u64, String)>>) -> ReleaseFacts {
    let releases = api.releases();
    ReleaseFacts {
        deployments: releases.iter().map(|(number, (_, id))| (*number, id.clone())).collect(),
        releases: releases
            .into_iter()
            .map(|(number, (label, _))| (number, label))
            .collect(),
        live: slot(api, LIVE),
        preview: slot(api, PREVIEW),
        versions,
    }
}

fn slot(api: &ApiState, slot: &str) -> Option<SlotFacts> {
    let stage = api.stage(stage_of(slot))?;
    let deployment = stage.deployment_id()?.to_owned();
    Some(SlotFacts {
        release: api.release_of(&deployment).map(|label| label.number),
        deployment,
        variables: stage
            .stage_variables()
            .into_iter()
            .flatten()
            .filter(|(_, value)| is_set(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    })
}
