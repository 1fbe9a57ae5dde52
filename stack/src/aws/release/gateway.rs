//! The HTTP API as releases see it: where its slots answer, which paths change nothing, which functions are behind it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_apigatewayv2::types::AuthorizationType;

use crate::aws::client::identity::Identity;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::stage::{LIVE, PREVIEW, stage_of};
use crate::aws::kinds::apigateway::state::ApiState;
use crate::event::Endpoints;
use crate::release::transition::Gateway;

/// What releases need to know of an API.
pub fn of(identity: &Identity, state: &ApiState) -> Gateway {
    let (probes, unreached) = probes(state);
    let functions = state.integrations.iter().filter_map(|one| {
        let logical = apigateway::integration::name_of(one)?;
        Some((logical.to_owned(), function_of(one.integration_uri()?)?.to_owned()))
    });
    Gateway {
        api_id: state.id().to_owned(),
        endpoints: endpoints(state, None),
        probes,
        unreached,
        functions: functions.collect(),
        prefix: identity.prefix(),
    }
}

/// The function's name in an integration's URI.
fn function_of(uri: &str) -> Option<&str> {
    uri.split(":function:")
        .nth(1)
        .and_then(|rest| rest.split([':', '/']).next())
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

/// Paths that reach functions and change nothing: reads of one item that cannot exist, and the health check. Which
/// functions none of them reaches.
fn probes(state: &ApiState) -> (Vec<String>, BTreeSet<String>) {
    /// No generated id looks like this one.
    const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
    let mut by_target: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for route in &state.routes {
        let (Some(key), Some(target)) = (route.route_key(), route.target()) else {
            continue;
        };
        // Without its credentials a route that asks for some is answered by the gateway.
        let is_open = matches!(route.authorization_type(), None | Some(AuthorizationType::None));
        let probe = match key.split_once(' ').filter(|_| is_open) {
            Some(("GET", path)) if path == "/health" => Some(path.to_owned()),
            Some(("GET", path)) if path.contains('{') => Some(
                path.split('/')
                    .map(|part| if part.starts_with('{') { NOBODY } else { part })
                    .collect::<Vec<_>>()
                    .join("/"),
            ),
            _ => None,
        };
        let known = by_target.entry(target).or_default();
        if let Some(probe) = probe
            && known.as_ref().is_none_or(|known| probe.len() < known.len())
        {
            *known = Some(probe);
        }
    }
    let name = |target: &str| {
        let id = target.strip_prefix("integrations/").unwrap_or(target);
        let integration = state.integrations.iter().find(|one| one.integration_id() == Some(id));
        let uri = integration.and_then(|one| one.integration_uri()).unwrap_or(id);
        function_of(uri).unwrap_or(uri).to_owned()
    };
    let unreached = by_target
        .iter()
        .filter(|(_, probe)| probe.is_none())
        .map(|(target, _)| name(target))
        .collect();
    (by_target.into_values().flatten().collect(), unreached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ApiState {
        ApiState {
            api: aws_sdk_apigatewayv2::types::Api::builder().api_id("a1").build(),
            routes: ["GET /health", "GET /tasks", "GET /tasks/{taskId}", "GET /counter"]
                .into_iter()
                .map(|key| {
                    let target = match key {
                        "GET /health" => "integrations/h",
                        "GET /counter" => "integrations/c",
                        _ => "integrations/t",
                    };
                    aws_sdk_apigatewayv2::types::Route::builder()
                        .route_key(key)
                        .target(target)
                        .build()
                })
                .collect(),
            integrations: Vec::new(),
            stages: Vec::new(),
            deployments: Vec::new(),
            duplicates: Vec::new(),
        }
    }

    #[test]
    fn functions_are_asked_by_what_changes_nothing() {
        let (paths, unreached) = probes(&state());
        assert_eq!(paths, ["/health", "/tasks/00000000-0000-7000-8000-000000000000"]);
        assert_eq!(unreached.into_iter().collect::<Vec<_>>(), ["c"]);
    }
}
