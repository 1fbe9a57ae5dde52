//! Slot of the HTTP API: the gateway stage `$default` (live) or `preview`, pinned to a deployment. One `UpdateStage`
//! moves all routes and functions at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_apigatewayv2::types::{AccessLogSettings, RouteSettings, Stage};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::gone;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::client::tags::managed;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::api::retag;
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback, Scope};
use crate::release::label::ReleaseLabel;
use crate::release::slots::{UNSET, is_set};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct ApiStage;

/// Settings of a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Gateway stage: `$default` or `preview`.
    pub stage: String,
    /// Release it serves; none when it serves a deployment that is not ours.
    pub release: Option<u64>,
    /// Stage variables: `release`, `color`, `previousRelease`, `previousDeployment`.
    pub variables: BTreeMap<String, String>,
    /// Must stay off: a slot moves when it is told to.
    pub auto_deploy: bool,
    /// Requests a second.
    pub throttle_rate: f64,
    /// Burst.
    pub throttle_burst: i32,
    /// Metrics per route.
    pub detailed_metrics: bool,
    /// Routes with a throttle of their own, by route key.
    pub routes: BTreeMap<String, Throttle>,
    /// Access log.
    pub access_log: Option<AccessLog>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A throttle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Throttle {
    /// Requests a second.
    pub rate: f64,
    /// Burst.
    pub burst: i32,
}

/// Where and how requests are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// ARN of the log group.
    pub destination: String,
    /// Format with `$context` variables.
    pub format: String,
}

/// Name of the kind.
pub const KIND: &str = "api_stage";

static SPEC: Spec = Spec {
    name: KIND,
    title: "slot",
    documentation: "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages.html",
    read_actions: &["apigateway:GET"],
    write_actions: &[
        "apigateway:POST",
        "apigateway:PATCH",
        "apigateway:DELETE",
        "apigateway:TagResource",
        "apigateway:UntagResource",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ],
    delete_actions: &["apigateway:DELETE"],
    implied: &[("variables", "release")],
    rollback: Rollback::WithRelease,
    replacement: Replacement::DeleteFirst,
    replace_on: &["stage"],
    deleted_after: &[(apigateway::api::KIND, Scope::Any)],
    usual: Duration::from_millis(400),
    contained_in: Some(apigateway::api::KIND),
    reach: Reach::ApiChanges,
    reaches: &[
        ("logs:CreateLogDelivery", Reach::Account),
        ("logs:GetLogDelivery", Reach::Account),
        ("logs:UpdateLogDelivery", Reach::Account),
        ("logs:DeleteLogDelivery", Reach::Account),
        ("logs:ListLogDeliveries", Reach::Account),
        ("logs:PutResourcePolicy", Reach::Account),
        ("logs:DescribeResourcePolicies", Reach::Account),
        ("logs:DescribeLogGroups", Reach::Account),
        ("apigateway:DELETE", Reach::ApiRemovals),
        ("apigateway:UntagResource", Reach::ApiRemovals),
    ],
    ..Spec::of(&apigateway::SERVICE)
};

pub use crate::release::slots::{LIVE, PREVIEW};

/// Identity of a slot.
pub fn id(slot: &str) -> ResourceId {
    ResourceId::new(SPEC.name, slot)
}

/// The gateway stage of a slot.
pub fn stage_of(slot: &str) -> &str {
    if slot == LIVE { "$default" } else { slot }
}

fn arn(context: &Context, api_id: &str, stage: &str) -> String {
    let identity = context.identity();
    format!(
        "arn:{}:apigateway:{}::/apis/{api_id}/stages/{stage}",
        identity.partition, identity.region
    )
}

#[async_trait]
impl Kind for ApiStage {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let small = Model {
            stage: "preview".into(),
            release: Some(1),
            variables: BTreeMap::from([("release".to_owned(), "1".to_owned())]),
            auto_deploy: false,
            throttle_rate: 1_000.0,
            throttle_burst: 500,
            detailed_metrics: false,
            routes: BTreeMap::new(),
            access_log: None,
            tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        };
        let full = Model {
            variables: BTreeMap::from([
                ("release".to_owned(), "1".to_owned()),
                ("color".to_owned(), "blue".to_owned()),
            ]),
            throttle_rate: 10.0,
            throttle_burst: 20,
            detailed_metrics: true,
            routes: BTreeMap::from([("GET /tasks".to_owned(), Throttle { rate: 5.0, burst: 10 })]),
            access_log: Some(AccessLog {
                destination: "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vendedlogs/taskctl/shop/dev/access"
                    .into(),
                format: r#"{"requestId":"$context.requestId"}"#.into(),
            }),
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
        let Some(api) = reader.api().await? else {
            return Ok(None);
        };
        let Some(stage) = api.stage(&desired.stage) else {
            return Ok(None);
        };
        Ok(Some(Observed::ours(observed(&api, stage), stage_outputs(&api, stage))))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(Vec::new());
        };
        let found = api.stages.iter().map(|stage| {
            let name = stage.stage_name().unwrap_or_default();
            let slot = if name == "$default" { LIVE } else { name };
            Discovered {
                id: id(slot),
                outputs: outputs([("api_id", api.id().to_owned()), ("stage", name.to_owned())]),
            }
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            stage,
            release,
            variables,
            auto_deploy,
            throttle_rate: _,
            throttle_burst: _,
            detailed_metrics: _,
            routes: _,
            access_log,
            tags,
        } = desired;
        let client = &context.clients().apigateway;
        let api_id = context.output(&crate::aws::kinds::apigateway::api::id(), "api_id")?;
        let deployment_id = deployment(context, &api_id, *release).await?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        context
            .call(op("apigateway", "CreateStage"), || {
                client
                    .create_stage()
                    .api_id(&api_id)
                    .stage_name(stage)
                    .set_deployment_id(deployment_id.clone())
                    .auto_deploy(*auto_deploy)
                    .set_stage_variables(Some(variables.clone().into_iter().collect()))
                    .default_route_settings(default_settings(desired))
                    .set_route_settings(Some(route_settings(desired)))
                    .set_access_log_settings(access_log.as_ref().map(access_settings))
                    .set_tags(Some(tags.clone().into_iter().collect()))
                    .send()
            })
            .await?;
        Ok(outputs([
            ("api_id", api_id),
            ("stage", stage.clone()),
            ("deployment_id", deployment_id.unwrap_or_default()),
        ]))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        if desired.stage == stage_of(LIVE) && changes.touch("release") {
            context.ask_before_live().await?;
        }
        let api_id = context.output(&crate::aws::kinds::apigateway::api::id(), "api_id")?;
        let deployment_id = deployment(context, &api_id, desired.release).await?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        remove_settings(context, &api_id, desired, &observed.model, changes).await?;
        if changes.touch_any(&SETTINGS) {
            update_settings(context, &api_id, desired, &observed.model, deployment_id.as_deref()).await?;
        }
        if changes.touch("tags") {
            let arn = arn(context, &api_id, &desired.stage);
            retag(context, &arn, &observed.model.tags, &desired.tags).await?;
        }
        let mut outputs = observed.outputs.clone();
        outputs.extend(deployment_id.map(|id| ("deployment_id".to_owned(), id)));
        Ok(outputs)
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(api_id), Some(stage)) = (outputs.get("api_id"), outputs.get("stage")) else {
            return Ok(());
        };
        let client = &context.clients().apigateway;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let deleted = context
            .call(op("apigateway", "DeleteStage"), || {
                client.delete_stage().api_id(api_id).stage_name(stage).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// The variables of a gateway stage that say anything.
pub fn set_variables<C: FromIterator<(String, String)>>(stage: &Stage) -> C {
    let variables = stage.stage_variables().into_iter().flatten();
    variables
        .filter(|(_, value)| is_set(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// A gateway stage's settings.
fn observed(api: &ApiState, stage: &Stage) -> Model {
    let defaults = stage.default_route_settings();
    let label = stage.deployment_id().and_then(|id| api.release_of(id));
    Model {
        stage: stage.stage_name().unwrap_or_default().to_owned(),
        release: label.map(|label: ReleaseLabel| label.number),
        variables: set_variables(stage),
        auto_deploy: stage.auto_deploy().unwrap_or(false),
        throttle_rate: defaults.and_then(RouteSettings::throttling_rate_limit).unwrap_or(0.0),
        throttle_burst: defaults.and_then(RouteSettings::throttling_burst_limit).unwrap_or(0),
        detailed_metrics: defaults
            .and_then(RouteSettings::detailed_metrics_enabled)
            .unwrap_or(false),
        routes: stage
            .route_settings()
            .into_iter()
            .flatten()
            .map(|(key, settings)| {
                let rate = settings.throttling_rate_limit().unwrap_or(0.0);
                (
                    key.clone(),
                    Throttle {
                        rate,
                        burst: settings.throttling_burst_limit().unwrap_or(0),
                    },
                )
            })
            .collect(),
        access_log: stage.access_log_settings().and_then(|log| {
            Some(AccessLog {
                destination: log.destination_arn()?.trim_end_matches(":*").to_owned(),
                format: log.format().unwrap_or_default().to_owned(),
            })
        }),
        tags: managed(
            stage
                .tags()
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        ),
    }
}

fn stage_outputs(api: &ApiState, stage: &Stage) -> Outputs {
    outputs([
        ("api_id", api.id().to_owned()),
        ("stage", stage.stage_name().unwrap_or_default().to_owned()),
        ("deployment_id", stage.deployment_id().unwrap_or_default().to_owned()),
    ])
}

/// The deployment of a release: the one this run made, else the one AWS lists.
async fn deployment(context: &Context, api_id: &str, release: Option<u64>) -> Result<Option<String>, AwsError> {
    let Some(release) = release else { return Ok(None) };
    let made = context.outputs(&crate::aws::kinds::apigateway::deployment::id());
    if made.get("release") == Some(&release.to_string()) {
        return Ok(made.get("deployment_id").cloned());
    }
    let all = apigateway::state::deployments(context, api_id).await?;
    let found = all.iter().find(|one| {
        ReleaseLabel::parse(one.description().unwrap_or_default()).is_some_and(|label| label.number == release)
    });
    match found.and_then(|one| one.deployment_id()) {
        Some(id) => Ok(Some(id.to_owned())),
        None => Err(AwsError::own(
            "apigateway",
            "GetDeployments",
            ErrorKind::Invalid,
            format!("release {release} has no deployment any more"),
        )),
    }
}

/// Takes away what a slot has too many: `UpdateStage` adds and changes, and leaves what it is not told of.
async fn remove_settings(
    context: &Context,
    api_id: &str,
    desired: &Model,
    observed: &Model,
    changes: &Fields,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let stage = &desired.stage;
    let former_routes = observed.routes.keys().filter(|key| !desired.routes.contains_key(*key));
    for key in former_routes {
        drop_route_settings(context, api_id, stage, key).await?;
    }
    if desired.access_log.is_none() && changes.touch("access_log") {
        let deleted = context
            .call(op("apigateway", "DeleteAccessLogSettings"), || {
                client
                    .delete_access_log_settings()
                    .api_id(api_id)
                    .stage_name(stage)
                    .send()
            })
            .await;
        gone(deleted.map(drop))?;
    }
    Ok(())
}

/// Takes the settings of a route off a stage.
pub(super) async fn drop_route_settings(
    context: &Context,
    api_id: &str,
    stage: &str,
    key: &str,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let deleted = context
        .call(op("apigateway", "DeleteRouteSettings").even_when_stopped(), || {
            client
                .delete_route_settings()
                .api_id(api_id)
                .stage_name(stage)
                .route_key(key)
                .send()
        })
        .await;
    gone(deleted.map(drop))
}

/// Whether AWS refuses a change of a stage because it has settings of a route that is gone: they outlive it, and every change
/// of the stage checks them all. <https://github.com/aws/serverless-application-model/issues/1939>
pub fn names_gone_route(error: &AwsError) -> bool {
    error.kind == ErrorKind::NotFound && error.message.contains("Unable to find Route by key")
}

/// Takes the settings of routes that are gone off a stage: a run that was interrupted has left them.
pub async fn drop_settings_of_gone_routes(context: &Context, api_id: &str, stage: &str) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let read = context.call(op("apigateway", "GetStage").even_when_stopped(), || {
        client.get_stage().api_id(api_id).stage_name(stage).send()
    });
    let (read, routes) = futures::try_join!(read, apigateway::state::routes(context, api_id))?;
    let routes: BTreeSet<&str> = routes.iter().filter_map(|route| route.route_key()).collect();
    let settings = read.route_settings().into_iter().flatten();
    for (key, _) in settings.filter(|(key, _)| !routes.contains(key.as_str())) {
        drop_route_settings(context, api_id, stage, key).await?;
    }
    Ok(())
}

/// The fields that `UpdateStage` writes.
const SETTINGS: [&str; 8] = [
    "release",
    "variables",
    "auto_deploy",
    "throttle_rate",
    "throttle_burst",
    "detailed_metrics",
    "routes",
    "access_log",
];

/// Moves a slot to a deployment together with the settings that belong to it.
async fn update_settings(
    context: &Context,
    api_id: &str,
    desired: &Model,
    observed: &Model,
    deployment_id: Option<&str>,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let stage = &desired.stage;
    let mut variables = desired.variables.clone();
    for key in observed.variables.keys() {
        variables.entry(key.clone()).or_insert_with(|| UNSET.to_owned());
    }
    // An auto-deploying stage takes no deployment id: that goes off first.
    if observed.auto_deploy {
        context
            .call(op("apigateway", "UpdateStage"), || {
                client
                    .update_stage()
                    .api_id(api_id)
                    .stage_name(stage)
                    .auto_deploy(false)
                    .send()
            })
            .await?;
    }
    context
        .call(op("apigateway", "UpdateStage"), || {
            client
                .update_stage()
                .api_id(api_id)
                .stage_name(stage)
                .set_deployment_id(deployment_id.map(str::to_owned))
                .set_stage_variables(Some(variables.clone().into_iter().collect()))
                .default_route_settings(default_settings(desired))
                .set_route_settings(Some(route_settings(desired)))
                .set_access_log_settings(desired.access_log.as_ref().map(access_settings))
                .send()
        })
        .await
        .map(drop)
}

fn default_settings(model: &Model) -> RouteSettings {
    let throttle = Throttle {
        rate: model.throttle_rate,
        burst: model.throttle_burst,
    };
    settings(&throttle, model.detailed_metrics)
}

/// Settings of a route inherit nothing from those of the stage.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>
fn route_settings(model: &Model) -> std::collections::HashMap<String, RouteSettings> {
    model
        .routes
        .iter()
        .map(|(key, throttle)| (key.clone(), settings(throttle, model.detailed_metrics)))
        .collect()
}

fn settings(throttle: &Throttle, detailed_metrics: bool) -> RouteSettings {
    RouteSettings::builder()
        .throttling_rate_limit(throttle.rate)
        .throttling_burst_limit(throttle.burst)
        .detailed_metrics_enabled(detailed_metrics)
        .build()
}

fn access_settings(log: &AccessLog) -> AccessLogSettings {
    AccessLogSettings::builder()
        .destination_arn(&log.destination)
        .format(&log.format)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_route_have_what_they_do_not_inherit() {
        let full = ApiStage.examples().swap_remove(1);
        let settings = route_settings(&full);
        let route = &settings["GET /tasks"];
        assert_eq!(route.throttling_rate_limit(), Some(5.0));
        assert_eq!(route.detailed_metrics_enabled(), Some(true));
        assert_eq!(default_settings(&full).detailed_metrics_enabled(), Some(true));
    }
}
