//! What depends on which releases exist: integrations, the release itself, the slots, and what former releases still have.

use std::collections::BTreeMap;

use super::{Inputs, alias, all_grants, api, function, id, resource, site, warmup};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::version::OWN_VERSION;
use crate::digest::short_sha256;
use crate::release::grants::hash;
use crate::release::label::Callers;
use crate::release::slots::{Carrier, ReleaseState, Slots, slots};
use crate::resource::{Resource, ResourceId};
use crate::template::model::Api;

/// The longest an HTTP API waits for a function, ms.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const LONGEST_INTEGRATION_MILLIS: i32 = 30_000;

/// What depends on which releases exist; the slots are none where nothing is released: without an API and functions.
pub fn released(inputs: &Inputs<'_>, facts: &ReleaseState) -> (Vec<Resource>, Option<Slots>) {
    let functions = &inputs.stack.functions;
    if inputs.stack.api.is_none() && functions.is_empty() {
        return (Vec::new(), None);
    }
    let fingerprints: BTreeMap<String, String> = functions
        .iter()
        .map(|(name, function)| (name.clone(), function::model(inputs, name, function).fingerprint()))
        .collect();
    let fingerprint = fingerprint(inputs, &fingerprints);
    let slots = Slots {
        carrier: match inputs.stack.api {
            Some(_) => Carrier::Api,
            None => Carrier::Functions,
        },
        ..slots(facts, &fingerprint, &fingerprints, inputs.go_live)
    };
    let mut resources = Vec::new();
    match &inputs.stack.api {
        Some(api) => {
            let routed = slots
                .versions
                .iter()
                .filter(|(name, _)| function::is_routed(inputs, name));
            resources.extend(routed.map(|(name, version)| integration(inputs, name, *version)));
            resources.push(deployment(inputs, api, &slots, fingerprint));
            // What live's functions hand to others is read by those of the same release.
            let aliases = alias::of_callers(inputs, facts, &slots);
            let before_live = aliases.iter().map(|alias| alias.id.clone()).collect();
            resources.extend(aliases);
            resources.extend(api::slots(inputs, api, &slots, before_live));
            resources.extend(function::former_callers(inputs, facts, &slots, &fingerprints));
            resources.extend(site::released(inputs, facts, &slots));
            resources.extend(warmup::compile(inputs, &slots));
        }
        None => {
            resources.push(release_of_functions(inputs, &slots, fingerprint));
            resources.extend(alias::slots(inputs, facts, &slots));
        }
    }
    resources.extend(diverted(inputs, facts, &fingerprints));
    (resources, Some(slots))
}

/// What else than the API's routes calls functions of the template: what their labels say of them.
pub(super) fn callers(inputs: &Inputs<'_>) -> BTreeMap<String, Callers> {
    let functions = inputs.stack.functions.keys();
    let called = functions.filter(|name| !function::is_routed(inputs, name));
    called.map(|name| (name.clone(), Callers::Live)).collect()
}

fn release_of_functions(inputs: &Inputs<'_>, slots: &Slots, fingerprint: String) -> Resource {
    let commit = if slots.is_new { &inputs.commit } else { &slots.commit };
    let versions = slots.versions.iter();
    let model = lambda::release::Model {
        release: slots.release,
        fingerprint,
        functions: inputs.functions(),
        versions: versions
            .map(|(name, version)| (name.clone(), version.to_string()))
            .collect(),
        commit: commit.clone(),
        grants: hash(&all_grants(inputs)),
    };
    let needs = slots.versions.keys().map(|name| id(lambda::version::KIND, name));
    resource(lambda::release::KIND, "release", &model, needs.collect())
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
        callers: callers(inputs),
        sites: inputs.site_ids(),
        grants: hash(&all_grants(inputs)),
    };
    let routes = api.routes.iter().map(|route| id(apigateway::route::KIND, &route.key));
    let functions = slots.versions.keys().flat_map(|name| {
        let routed = function::is_routed(inputs, name);
        [
            routed.then(|| id(apigateway::integration::KIND, name)),
            Some(id(lambda::version::KIND, name)),
        ]
    });
    let functions = functions.flatten();
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
fn fingerprint(inputs: &Inputs<'_>, versions: &BTreeMap<String, String>) -> String {
    let api = inputs.stack.api.as_ref();
    let routes = api.into_iter().flat_map(|api| &api.routes);
    let mut routes: Vec<(&str, &str)> = routes
        .map(|route| (route.key.as_str(), route.function.as_str()))
        .collect();
    routes.sort_unstable();
    let cors = api.and_then(|api| api::cors(inputs, api));
    // Without an API the pages of a web site are shown by the deploy itself.
    let sites = api.map(|_| inputs.site_ids()).unwrap_or_default();
    let text = serde_json::to_string(&(routes, versions, cors, sites)).unwrap_or_default();
    short_sha256(text, 16)
}
