//! What depends on which releases exist: integrations, the release itself, the slots, and what former releases still have.

use std::collections::BTreeMap;

use super::{Inputs, all_grants, api, function, id, resource, site, warmup};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::version::OWN_VERSION;
use crate::digest::short_sha256;
use crate::release::grants::hash;
use crate::release::slots::{ReleaseState, Slots, slots};
use crate::resource::{Resource, ResourceId};
use crate::template::model::Api;

/// The longest an HTTP API waits for a function, ms.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const LONGEST_INTEGRATION_MILLIS: i32 = 30_000;

/// What depends on which releases exist; the slots are none without an API.
pub fn released(inputs: &Inputs<'_>, facts: &ReleaseState) -> (Vec<Resource>, Option<Slots>) {
    let Some(api) = &inputs.stack.api else {
        return (Vec::new(), None);
    };
    let routed = api.routes.iter().filter_map(|route| {
        let function = inputs.stack.functions.get(&route.function)?;
        let model = function::model(inputs, &route.function, function);
        Some((route.function.clone(), model.fingerprint()))
    });
    let fingerprints: BTreeMap<String, String> = routed.collect();
    let fingerprint = fingerprint(inputs, api, &fingerprints);
    let slots = slots(facts, &fingerprint, &fingerprints, inputs.go_live);
    let mut resources: Vec<Resource> = slots
        .versions
        .iter()
        .map(|(name, version)| integration(inputs, name, *version))
        .collect();
    resources.push(deployment(inputs, api, &slots, fingerprint));
    resources.extend(api::slots(inputs, api, &slots));
    resources.extend(function::former_callers(inputs, facts, &slots, &fingerprints));
    resources.extend(diverted(inputs, facts, &fingerprints));
    resources.extend(site::released(inputs, facts, &slots));
    resources.extend(warmup::compile(inputs, &slots));
    (resources, Some(slots))
}

fn integration(inputs: &Inputs<'_>, name: &str, version: u64) -> Resource {
    let function = inputs.stack.functions.get(name);
    let timeout = function.map_or(30, |function| function.timeout_seconds);
    let target = format!("function:{}:v{version}", inputs.function(name));
    let model = apigateway::integration::Model {
        target: inputs.identity.arn("lambda", &target),
        kind: "AWS_PROXY".into(),
        payload_format: "2.0".into(),
        timeout_millis: i32::try_from(timeout.saturating_mul(1_000))
            .unwrap_or(i32::MAX)
            .clamp(50, LONGEST_INTEGRATION_MILLIS),
    };
    resource(apigateway::integration::KIND, name, &model, vec![apigateway::api::id()])
}

fn deployment(inputs: &Inputs<'_>, api: &Api, slots: &Slots, fingerprint: String) -> Resource {
    let versions = slots.versions.iter();
    let commit = if slots.is_new { &inputs.commit } else { &slots.commit };
    let model = apigateway::deployment::Model {
        release: slots.release,
        fingerprint,
        versions: versions
            .map(|(name, version)| (name.clone(), version.to_string()))
            .collect(),
        commit: commit.clone(),
        sites: inputs.site_ids(),
        grants: hash(&all_grants(inputs)),
    };
    let routes = api.routes.iter().map(|route| id(apigateway::route::KIND, &route.key));
    let functions = slots
        .versions
        .keys()
        .flat_map(|name| [id(apigateway::integration::KIND, name), id(lambda::version::KIND, name)]);
    let needs: Vec<ResourceId> = routes.chain(functions).chain([apigateway::api::id()]).collect();
    resource(apigateway::deployment::KIND, "release", &model, needs)
}

/// Versions to which an abandoned canary still diverts a share of live's requests: the next deploy takes it back.
fn diverted(inputs: &Inputs<'_>, facts: &ReleaseState, fingerprints: &BTreeMap<String, String>) -> Vec<Resource> {
    let unwanted = facts
        .diverted
        .iter()
        .filter(|(name, fingerprint)| fingerprints.get(*name) != Some(*fingerprint));
    let versions = unwanted.map(|(name, fingerprint)| {
        let version = lambda::version::Model {
            function: inputs.function(name),
            fingerprint: fingerprint.clone(),
            routing: OWN_VERSION.into(),
        };
        resource(lambda::version::KIND, &format!("{name}.live"), &version, Vec::new())
    });
    versions.collect()
}

/// Hash over everything a release's snapshot contains.
fn fingerprint(inputs: &Inputs<'_>, api: &Api, versions: &BTreeMap<String, String>) -> String {
    let mut routes: Vec<(&str, &str)> = api
        .routes
        .iter()
        .map(|route| (route.key.as_str(), route.function.as_str()))
        .collect();
    routes.sort_unstable();
    let cors = api::cors(inputs, api);
    let text = serde_json::to_string(&(routes, versions, cors, inputs.site_ids())).unwrap_or_default();
    short_sha256(text, 16)
}
