//! What stands now, read from AWS alone: endpoints, releases in their slots, functions, alarms.

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::aws::api_stage::{LIVE, PREVIEW, stage_of};
use crate::aws::api_state::ApiState;
use crate::aws::canary::{self, Changed};
use crate::aws::context::Context;
use crate::aws::error::AwsError;
use crate::aws::reader::Reader;
use crate::aws::{lambda_function, registry};
use crate::event::Endpoints;
use crate::release::layout::is_set;

/// One screen about a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Where it answers.
    pub endpoints: Endpoints,
    /// What users reach; none before the first release.
    pub live: Option<SlotStatus>,
    /// What waits; the same as live when nothing does.
    pub preview: Option<SlotStatus>,
    /// Functions, by name.
    pub functions: Vec<FunctionStatus>,
    /// Alarms, by name.
    pub alarms: Vec<AlarmStatus>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// `blue` or `green`.
    pub color: Option<String>,
    /// Release number; none when the slot serves a deployment that is not ours.
    pub release: Option<u64>,
    /// Commit of the release's code.
    pub commit: Option<String>,
    /// Release that was live before.
    pub previous_release: Option<u64>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// Logical name.
    pub name: String,
    /// Physical name.
    pub function: String,
    /// Version that live serves.
    pub live_version: Option<String>,
    /// Version in preview.
    pub preview_version: Option<String>,
    /// Percent of live's traffic that goes to another version: a canary.
    #[serde(default)]
    pub diverted: Option<u8>,
    /// `Active`, `Pending`, `Failed`, …
    pub state: String,
    /// MiB.
    pub memory_mb: Option<i32>,
    /// Architecture.
    pub architecture: Option<String>,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// Name.
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub state: String,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// Why, as CloudWatch says it.
    pub reason: Option<String>,
}

/// URLs of an API's slots.
pub fn endpoints(state: &ApiState, site: Option<String>) -> Endpoints {
    let base = state
        .api
        .api_endpoint()
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned();
    let has = |slot: &str| state.stage(stage_of(slot)).is_some() && !base.is_empty();
    Endpoints {
        live: has(LIVE).then(|| base.clone()),
        preview: has(PREVIEW).then(|| format!("{base}/{PREVIEW}")),
        site,
    }
}

/// Reads the status. `site` is the URL of the web site, where the stack has one.
pub async fn read(context: &Context, site: impl Fn(&str) -> String + Sync) -> Result<Option<Status>, AwsError> {
    let reader = Reader::new(context.clone());
    let kind = registry().kind("lambda_function");
    let (api, alarms, functions, tagged) =
        futures::try_join!(reader.api(), reader.alarms(), kind.enumerate(&reader), reader.tagged())?;
    if api.is_none() && functions.is_empty() && tagged.is_empty() {
        return Ok(None);
    }
    let slot = |slot: &str| api.and_then(|state| slot_status(state, slot));
    let label = |slot: &str| api.and_then(|state| state.release_of(state.stage(stage_of(slot))?.deployment_id()?));
    let (live, preview) = (label(LIVE), label(PREVIEW));
    let functions: Vec<FunctionStatus> = stream::iter(functions)
        .map(|found| {
            let (live, preview) = (live.as_ref(), preview.as_ref());
            async move {
                let physical = found.outputs.get("name").cloned().unwrap_or_default();
                let version = |label: Option<&crate::release::label::ReleaseLabel>| {
                    label.and_then(|label| label.versions.get(&found.id.name).cloned())
                };
                let on_live = version(live)
                    .and_then(|version| version.parse().ok())
                    .map(|old| Changed {
                        name: found.id.name.clone(),
                        function: physical.clone(),
                        old,
                        new: None,
                    });
                let (state, diverted) = futures::try_join!(
                    lambda_function::state(context, &physical),
                    canary::diverted(context, on_live.as_slice())
                )?;
                Ok::<_, AwsError>(FunctionStatus {
                    diverted: diverted.get(&found.id.name).copied(),
                    live_version: version(live),
                    preview_version: version(preview),
                    state: state.state,
                    memory_mb: state.memory_mb,
                    architecture: state.architecture,
                    name: found.id.name,
                    function: physical,
                })
            }
        })
        .buffered(32)
        .try_collect()
        .await?;
    let site = website(context, &reader).await?.map(|bucket| site(&bucket));
    let identity = context.identity();
    Ok(Some(Status {
        app: identity.app.clone(),
        stage: identity.stage.clone(),
        region: identity.region.clone(),
        account: identity.account.clone(),
        endpoints: match api {
            Some(state) => endpoints(state, site),
            None => Endpoints {
                site,
                ..Endpoints::default()
            },
        },
        live: slot(LIVE),
        preview: slot(PREVIEW),
        functions,
        alarms: alarms
            .iter()
            .map(|alarm| AlarmStatus {
                name: alarm.alarm_name().unwrap_or_default().to_owned(),
                state: alarm
                    .state_value()
                    .map_or("INSUFFICIENT_DATA", |state| state.as_str())
                    .to_owned(),
                since: alarm
                    .state_updated_timestamp()
                    .and_then(|time| jiff::Timestamp::new(time.secs(), 0).ok().map(|time| time.to_string())),
                reason: alarm.state_reason().map(str::to_owned),
            })
            .collect(),
    }))
}

fn slot_status(state: &ApiState, slot: &str) -> Option<SlotStatus> {
    let stage = state.stage(stage_of(slot))?;
    let label = stage.deployment_id().and_then(|id| state.release_of(id));
    let variable = |key: &str| {
        stage
            .stage_variables()
            .and_then(|variables| variables.get(key))
            .filter(|text| is_set(text))
    };
    Some(SlotStatus {
        color: variable("color").cloned(),
        release: label.as_ref().map(|label| label.number),
        commit: label.and_then(|label| label.commit),
        previous_release: variable("previousRelease").and_then(|text| text.parse().ok()),
    })
}

/// The bucket of ours that is a web site.
async fn website(context: &Context, reader: &Reader) -> Result<Option<String>, AwsError> {
    let prefix = format!("arn:{}:s3:::", context.identity().partition);
    let buckets: Vec<&str> = reader
        .tagged()
        .await?
        .keys()
        .filter_map(|arn| arn.strip_prefix(&prefix))
        .collect();
    for bucket in buckets {
        if crate::aws::s3_bucket::is_website(context, bucket).await? {
            return Ok(Some(bucket.to_owned()));
        }
    }
    Ok(None)
}
