//! Calls on APIs, integrations, routes, authorizers and tags.

use std::collections::BTreeMap;

use super::model::{Api, ApiInput, ApiRecord, Authorizer, Integration, Route};
use super::rules::{check_authorizer, check_integration, check_route, checked_cors, merge, merge_text};
use super::{Apis, Owner};
use crate::services::{Fault, new_id, now};

impl Apis {
    pub(super) fn create_api(&self, owner: Owner<'_>, input: ApiInput) -> Result<Api, Fault> {
        let name = input
            .name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Fault::bad_request("Name is required"))?;
        match input.protocol_type.as_deref() {
            Some("HTTP") => (),
            Some("WEBSOCKET") => return Err(Fault::bad_request("WebSocket APIs are not served by the local target")),
            _ => return Err(Fault::bad_request("ProtocolType must be HTTP or WEBSOCKET")),
        }
        if input.target.is_some() || input.route_key.is_some() {
            return Err(Fault::bad_request(
                "Quick create (Target, RouteKey) is not served by the local target",
            ));
        }
        let cors_configuration = input.cors_configuration.map(checked_cors).transpose()?;
        let record = self.add(|api_id, port| ApiRecord {
            account: owner.account.to_owned(),
            region: owner.region.to_owned(),
            port,
            api: Api {
                api_endpoint: format!("http://127.0.0.1:{port}"),
                api_id,
                api_key_selection_expression: input
                    .api_key_selection_expression
                    .unwrap_or_else(|| "$request.header.x-api-key".to_owned()),
                cors_configuration,
                created_date: now(),
                description: input.description.filter(|text| !text.is_empty()),
                disable_execute_api_endpoint: input.disable_execute_api_endpoint.unwrap_or(false),
                ip_address_type: input.ip_address_type.unwrap_or_else(|| "ipv4".to_owned()),
                name,
                protocol_type: "HTTP".to_owned(),
                route_selection_expression: "$request.method $request.path".to_owned(),
                tags: input.tags.unwrap_or_default(),
                version: input.version.filter(|text| !text.is_empty()),
            },
            integrations: BTreeMap::new(),
            routes: BTreeMap::new(),
            authorizers: BTreeMap::new(),
            deployments: BTreeMap::new(),
            stages: BTreeMap::new(),
        })?;
        Ok(record.api)
    }

    pub(super) fn apis_of(&self, owner: Owner<'_>) -> Vec<Api> {
        self.records
            .lock()
            .values()
            .filter(|record| owner.owns(record))
            .map(|record| record.api.clone())
            .collect()
    }

    pub(super) fn update_api(&self, owner: Owner<'_>, api_id: &str, input: ApiInput) -> Result<Api, Fault> {
        let cors = input.cors_configuration.map(checked_cors).transpose()?;
        self.change(owner, api_id, |record| {
            let api = &mut record.api;
            if let Some(name) = input.name.filter(|name| !name.is_empty()) {
                api.name = name;
            }
            merge_text(&mut api.description, input.description);
            merge_text(&mut api.version, input.version);
            if let Some(disabled) = input.disable_execute_api_endpoint {
                api.disable_execute_api_endpoint = disabled;
            }
            if let Some(kind) = input.ip_address_type {
                api.ip_address_type = kind;
            }
            let changed = cors.is_some();
            merge(&mut api.cors_configuration, cors);
            if changed {
                self.auto_deploy(record)?;
            }
            Ok(record.api.clone())
        })
    }

    pub(super) fn delete_cors(&self, owner: Owner<'_>, api_id: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            record.api.cors_configuration = None;
            self.auto_deploy(record)
        })
    }

    pub(super) fn put_integration(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        id: Option<&str>,
        input: Integration,
    ) -> Result<Integration, Fault> {
        self.change(owner, api_id, |record| {
            let mut integration = match id {
                Some(id) => record
                    .integrations
                    .get(id)
                    .cloned()
                    .ok_or_else(|| unknown("Integration", id))?,
                None => Integration {
                    integration_id: new_id(7),
                    connection_type: Some("INTERNET".to_owned()),
                    timeout_in_millis: Some(30_000),
                    ..Integration::default()
                },
            };
            let Integration {
                integration_id: _,
                connection_id,
                connection_type,
                credentials_arn,
                description,
                integration_method,
                integration_subtype,
                integration_type,
                integration_uri,
                payload_format_version,
                request_parameters,
                response_parameters,
                timeout_in_millis,
                // Silently dropped on a public integration, as the service does.
                tls_config: _,
            } = input;
            merge_text(&mut integration.connection_id, connection_id);
            merge(&mut integration.connection_type, connection_type);
            merge_text(&mut integration.credentials_arn, credentials_arn);
            merge_text(&mut integration.description, description);
            merge(&mut integration.integration_method, integration_method);
            merge(&mut integration.integration_subtype, integration_subtype);
            merge(&mut integration.integration_type, integration_type);
            merge(&mut integration.integration_uri, integration_uri);
            merge(&mut integration.payload_format_version, payload_format_version);
            merge(&mut integration.request_parameters, request_parameters);
            merge(&mut integration.response_parameters, response_parameters);
            merge(&mut integration.timeout_in_millis, timeout_in_millis);
            check_integration(&integration)?;
            if integration.integration_type.as_deref() == Some("AWS_PROXY") {
                integration.integration_method = Some("POST".to_owned());
            }
            record
                .integrations
                .insert(integration.integration_id.clone(), integration.clone());
            self.auto_deploy(record)?;
            Ok(integration)
        })
    }

    pub(super) fn delete_integration(&self, owner: Owner<'_>, api_id: &str, id: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            let target = format!("integrations/{id}");
            let routes: Vec<&str> = record
                .routes
                .values()
                .filter(|route| route.target.as_deref() == Some(&target))
                .map(|route| route.route_id.as_str())
                .collect();
            if !routes.is_empty() {
                return Err(Fault::conflict(format!(
                    "Cannot delete Integration because it is referenced by the following Routes with Ids: [{}]",
                    routes.join(", ")
                )));
            }
            record
                .integrations
                .remove(id)
                .ok_or_else(|| unknown("Integration", id))?;
            self.auto_deploy(record)
        })
    }

    pub(super) fn put_route(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        id: Option<&str>,
        input: Route,
    ) -> Result<Route, Fault> {
        self.change(owner, api_id, |record| {
            let mut route = match id {
                Some(id) => record.routes.get(id).cloned().ok_or_else(|| unknown("Route", id))?,
                None => Route {
                    route_id: new_id(7),
                    api_key_required: Some(false),
                    authorization_type: Some("NONE".to_owned()),
                    ..Route::default()
                },
            };
            let Route {
                route_id: _,
                api_key_required,
                authorization_scopes,
                authorization_type,
                authorizer_id,
                model_selection_expression,
                operation_name,
                route_key,
                target,
            } = input;
            merge(&mut route.api_key_required, api_key_required);
            merge(&mut route.authorization_scopes, authorization_scopes);
            merge(&mut route.authorization_type, authorization_type);
            merge_text(&mut route.authorizer_id, authorizer_id);
            merge_text(&mut route.model_selection_expression, model_selection_expression);
            merge_text(&mut route.operation_name, operation_name);
            merge(&mut route.route_key, route_key);
            merge_text(&mut route.target, target);
            if route.authorization_scopes.as_ref().is_some_and(Vec::is_empty) {
                route.authorization_scopes = None;
            }
            check_route(record, &route)?;
            record.routes.insert(route.route_id.clone(), route.clone());
            self.auto_deploy(record)?;
            Ok(route)
        })
    }

    pub(super) fn delete_route(&self, owner: Owner<'_>, api_id: &str, id: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            record.routes.remove(id).ok_or_else(|| unknown("Route", id))?;
            self.auto_deploy(record)
        })
    }

    pub(super) fn put_authorizer(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        id: Option<&str>,
        input: Authorizer,
    ) -> Result<Authorizer, Fault> {
        self.change(owner, api_id, |record| {
            let mut authorizer = match id {
                Some(id) => record
                    .authorizers
                    .get(id)
                    .cloned()
                    .ok_or_else(|| unknown("Authorizer", id))?,
                None => Authorizer {
                    authorizer_id: new_id(6),
                    ..Authorizer::default()
                },
            };
            let Authorizer {
                authorizer_id: _,
                authorizer_credentials_arn,
                authorizer_payload_format_version,
                authorizer_result_ttl_in_seconds,
                authorizer_type,
                authorizer_uri,
                enable_simple_responses,
                identity_source,
                identity_validation_expression,
                jwt_configuration,
                name,
            } = input;
            merge_text(&mut authorizer.authorizer_credentials_arn, authorizer_credentials_arn);
            merge_text(
                &mut authorizer.authorizer_payload_format_version,
                authorizer_payload_format_version,
            );
            merge(
                &mut authorizer.authorizer_result_ttl_in_seconds,
                authorizer_result_ttl_in_seconds,
            );
            merge(&mut authorizer.authorizer_type, authorizer_type);
            merge_text(&mut authorizer.authorizer_uri, authorizer_uri);
            merge(&mut authorizer.enable_simple_responses, enable_simple_responses);
            merge(&mut authorizer.identity_source, identity_source);
            merge_text(
                &mut authorizer.identity_validation_expression,
                identity_validation_expression,
            );
            merge(&mut authorizer.jwt_configuration, jwt_configuration);
            merge(&mut authorizer.name, name);
            check_authorizer(&authorizer)?;
            record
                .authorizers
                .insert(authorizer.authorizer_id.clone(), authorizer.clone());
            self.auto_deploy(record)?;
            Ok(authorizer)
        })
    }

    pub(super) fn delete_authorizer(&self, owner: Owner<'_>, api_id: &str, id: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            if let Some(route) = record
                .routes
                .values()
                .find(|route| route.authorizer_id.as_deref() == Some(id))
            {
                let key = route.route_key.as_deref().unwrap_or_default();
                return Err(Fault::conflict(format!(
                    "Cannot delete authorizer '{id}', is referenced in route: {key}"
                )));
            }
            record.authorizers.remove(id).ok_or_else(|| unknown("Authorizer", id))?;
            self.auto_deploy(record)
        })
    }

    /// Changes the tags of an API or a stage, named by ARN, and returns them.
    pub(crate) fn tags(
        &self,
        owner: Owner<'_>,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<BTreeMap<String, String>, Fault> {
        let invalid = || Fault::not_found(format!("Invalid resource identifier specified {arn}"));
        let path = arn
            .splitn(6, ':')
            .nth(5)
            .and_then(|rest| rest.split_once("/apis/"))
            .ok_or_else(invalid)?
            .1;
        let (api_id, stage) = match path.split_once("/stages/") {
            Some((api_id, stage)) => (api_id, Some(stage)),
            None => (path, None),
        };
        self.change(owner, api_id, |record| {
            let tags = match stage {
                Some(name) => &mut record.stages.get_mut(name).ok_or_else(unknown_stage)?.tags,
                None => &mut record.api.tags,
            };
            change(tags);
            Ok(tags.clone())
        })
    }
}

pub(super) fn unknown(kind: &str, id: &str) -> Fault {
    Fault::not_found(format!("Unable to find {kind} by id {id}"))
}

pub(super) fn unknown_stage() -> Fault {
    Fault::not_found("Invalid stage identifier specified")
}
