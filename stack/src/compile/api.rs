//! The HTTP API: what does not depend on the release, and the two slots that releases move through.

use std::collections::BTreeMap;

use super::{Inputs, function, id, resource};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::api::CorsModel;
use crate::aws::kinds::apigateway::stage::{AccessLog, LIVE, PREVIEW, Throttle, stage_of};
use crate::aws::kinds::lambda;
use crate::aws::kinds::logs;
use crate::release::slots::Slots;
use crate::resource::{Resource, ResourceId};
use crate::template::model::{Api, Cors};

/// What preview may take, requests a second and burst: it shares live's data and is reachable by anyone.
const PREVIEW_THROTTLE: (f64, i32) = (50.0, 100);

/// Logical name of the access log's group; a function cannot have it, since it has a dot.
const ACCESS_LOG: &str = "api.access";

/// The API with its routes and the log group of its access log.
pub(super) fn compile(inputs: &Inputs<'_>, api: &Api) -> Vec<Resource> {
    let model = apigateway::api::Model {
        name: api.name.clone().unwrap_or_else(|| inputs.names().api()),
        description: api.description.clone(),
        cors: cors(inputs, api),
        endpoint_enabled: true,
        tags: inputs.tags(),
    };
    let mut resources = vec![resource(
        apigateway::api::KIND,
        apigateway::api::NAME,
        &model,
        Vec::new(),
    )];
    for route in &api.routes {
        let model = apigateway::route::Model {
            integration: route.function.clone(),
            authorization: "NONE".into(),
        };
        let needs = vec![
            id(apigateway::integration::KIND, &route.function),
            apigateway::api::id(),
        ];
        resources.push(resource(apigateway::route::KIND, &route.key, &model, needs));
    }
    if let Some(days) = api.access_log_retention_days {
        let group = logs::group::Model {
            name: inputs.names().access_log_group(),
            retention_days: i32::try_from(days).ok(),
            tags: inputs.tags(),
            others: BTreeMap::new(),
        };
        resources.push(resource(logs::group::KIND, ACCESS_LOG, &group, Vec::new()));
    }
    resources
}

/// CORS as the API has it: the template's, and the stage's own site.
pub(super) fn cors(inputs: &Inputs<'_>, api: &Api) -> Option<CorsModel> {
    api.cors.as_ref().map(|cors| cors_model(cors, inputs.site_url()))
}

fn cors_model(cors: &Cors, site: Option<String>) -> CorsModel {
    let mut allow_origins = cors.allow_origins.clone();
    if !allow_origins.iter().any(|origin| origin == "*") {
        allow_origins.extend(site);
    }
    CorsModel {
        allow_origins,
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age_seconds: i32::try_from(cors.max_age_seconds).unwrap_or(i32::MAX),
        allow_credentials: cors.allow_credentials,
    }
    .normalised()
}

/// The slots: preview, then live. Live moves after what is to be `before_live`.
pub(super) fn slots(inputs: &Inputs<'_>, api: &Api, slots: &Slots, mut before_live: Vec<ResourceId>) -> Vec<Resource> {
    let mut needs = vec![apigateway::deployment::id()];
    let routed = slots.versions.keys().filter(|name| function::is_routed(inputs, name));
    needs.extend(routed.map(|name| id(lambda::permission::KIND, name)));
    if api.access_log_retention_days.is_some() {
        needs.push(id(logs::group::KIND, ACCESS_LOG));
    }
    before_live.push(apigateway::stage::id(PREVIEW));
    let live = live(inputs, api, slots);
    let preview = apigateway::stage::Model {
        stage: stage_of(PREVIEW).into(),
        release: Some(slots.preview.release),
        variables: slots.preview.variables.as_map().clone(),
        throttle_rate: PREVIEW_THROTTLE.0.min(f64::from(api.throttle_rate)),
        throttle_burst: PREVIEW_THROTTLE
            .1
            .min(i32::try_from(api.throttle_burst).unwrap_or(i32::MAX)),
        routes: BTreeMap::new(),
        ..live.clone()
    };
    vec![
        resource(apigateway::stage::KIND, PREVIEW, &preview, needs),
        resource(apigateway::stage::KIND, LIVE, &live, before_live),
    ]
}

fn live(inputs: &Inputs<'_>, api: &Api, slots: &Slots) -> apigateway::stage::Model {
    let log = api.access_log_retention_days.map(|_| AccessLog {
        destination: inputs
            .identity
            .arn("logs", &format!("log-group:{}", inputs.names().access_log_group())),
        format: access_log_format(),
    });
    apigateway::stage::Model {
        stage: stage_of(LIVE).into(),
        release: Some(slots.live.release),
        variables: slots.live.variables.as_map().clone(),
        auto_deploy: false,
        throttle_rate: f64::from(api.throttle_rate),
        throttle_burst: i32::try_from(api.throttle_burst).unwrap_or(i32::MAX),
        detailed_metrics: api.detailed_metrics,
        routes: api
            .routes
            .iter()
            .filter_map(|route| {
                let (rate, burst) = (route.throttle_rate?, route.throttle_burst?);
                let throttle = Throttle {
                    rate: f64::from(rate),
                    burst: i32::try_from(burst).unwrap_or(i32::MAX),
                };
                Some((route.key.clone(), throttle))
            })
            .collect(),
        access_log: log,
        tags: inputs.tags(),
    }
}

/// One JSON line a request; every value is quoted, since a missing one is a bare dash. What the client controls comes last: it
/// can add members to the line where its quotes are not escaped, and the first member of a name counts
/// (decision 0521).
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>
fn access_log_format() -> String {
    let fields = [
        ("requestId", "requestId"),
        ("time", "requestTime"),
        ("timeEpoch", "requestTimeEpoch"),
        ("sourceIp", "identity.sourceIp"),
        ("route", "routeKey"),
        ("stage", "stage"),
        ("status", "status"),
        ("responseLength", "responseLength"),
        ("latencyMs", "responseLatency"),
        ("integrationLatencyMs", "integrationLatency"),
        ("integrationError", "integrationErrorMessage"),
        ("method", "httpMethod"),
        ("path", "path"),
        ("userAgent", "identity.userAgent"),
    ];
    let pairs: Vec<String> = fields
        .iter()
        .map(|(key, variable)| format!("\"{key}\":\"$context.{variable}\""))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
