//! The control plane of HTTP APIs (API Gateway v2): working copies, deployments with the snapshot behind each, stages.
//!
//! Kept here rather than in the emulator because a release is a deployment's snapshot, which no emulator keeps.

mod actions;
mod call;
mod model;
mod objects;
mod rest;
mod rules;
mod stages;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::UnboundedSender;

use self::model::{Api, ApiRecord, Authorizer, Cors, Integration, Route};
use super::{Fault, new_id, now};
use crate::error::LocalError;
use crate::files;
use crate::hosts::website_origin;
use crate::ports::{
    AccessLog, ApiSnapshot, ApiSource, AuthorizerSnapshot, CorsSnapshot, DeploymentSnapshot, ExecuteApiEndpoint,
    IntegrationSnapshot, RouteSettings, RouteSnapshot, StageSnapshot,
};

/// Instructions to the data plane when an API is created or deleted.
#[derive(Debug)]
pub(crate) enum ApiEvent {
    /// Serve it on this socket.
    Created {
        /// Its id.
        api_id: String,
        /// The socket.
        listener: TcpListener,
    },
    /// Stop serving it.
    Deleted {
        /// Its id.
        api_id: String,
    },
}

/// An API as the status shows it.
#[derive(Debug, Clone)]
pub(crate) struct ApiSummary {
    pub api_id: String,
    pub name: String,
    pub region: String,
    pub port: u16,
    pub tags: BTreeMap<String, String>,
    /// Stages with their tags.
    pub stages: Vec<(String, BTreeMap<String, String>)>,
    pub account: String,
}

/// All HTTP APIs.
pub(crate) struct Apis {
    directory: PathBuf,
    first_port: u16,
    /// The port of the web sites, from which their pages call.
    website_port: u16,
    events: UnboundedSender<ApiEvent>,
    records: Mutex<BTreeMap<String, ApiRecord>>,
    deployments: RwLock<HashMap<(String, String), Arc<DeploymentSnapshot>>>,
    served: RwLock<HashMap<String, Arc<ApiSnapshot>>>,
}

impl Apis {
    /// Reads the state on disk. The ports are the first one of APIs, and that of the web sites.
    pub(crate) fn open(
        directory: &Path,
        (first_port, website_port): (u16, u16),
        events: UnboundedSender<ApiEvent>,
    ) -> Result<Self, LocalError> {
        let apis = Self {
            directory: directory.to_owned(),
            first_port,
            website_port,
            events,
            records: Mutex::default(),
            deployments: RwLock::default(),
            served: RwLock::default(),
        };
        for path in files::children(directory)? {
            let Some(record) = files::read_json::<ApiRecord>(&path.join("api.json"))? else {
                continue;
            };
            let api_id = record.api.api_id.clone();
            for deployment in record.deployments.keys() {
                if let Some(snapshot) = files::read_json(&apis.snapshot_path(&api_id, deployment))? {
                    apis.deployments
                        .write()
                        .insert((api_id.clone(), deployment.clone()), Arc::new(snapshot));
                }
            }
            apis.publish(&record);
            apis.records.lock().insert(api_id, record);
        }
        Ok(apis)
    }

    /// All APIs of all accounts and regions.
    pub(crate) fn summaries(&self) -> Vec<ApiSummary> {
        let summary = |record: &ApiRecord| ApiSummary {
            api_id: record.api.api_id.clone(),
            name: record.api.name.clone(),
            region: record.region.clone(),
            port: record.port,
            tags: record.api.tags.clone(),
            stages: record
                .stages
                .values()
                .map(|stage| (stage.stage_name.clone(), stage.tags.clone()))
                .collect(),
            account: record.account.clone(),
        };
        self.records.lock().values().map(summary).collect()
    }

    fn record_path(&self, api_id: &str) -> PathBuf {
        self.directory.join(api_id).join("api.json")
    }

    fn snapshot_path(&self, api_id: &str, deployment_id: &str) -> PathBuf {
        self.directory
            .join(api_id)
            .join(format!("deployment-{deployment_id}.json"))
    }

    /// Looks at an API of the caller.
    fn read<T>(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        look: impl FnOnce(&ApiRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        look(
            self.records
                .lock()
                .get(api_id)
                .filter(|record| owner.owns(record))
                .ok_or_else(|| owner.unknown(api_id))?,
        )
    }

    /// Changes an API of the caller: kept on disk, then visible. Nothing changes when `change` or the disk refuses.
    fn change<T>(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        change: impl FnOnce(&mut ApiRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut records = self.records.lock();
        let current = records
            .get(api_id)
            .filter(|record| owner.owns(record))
            .ok_or_else(|| owner.unknown(api_id))?;
        let mut next = current.clone();
        let result = change(&mut next)?;
        files::write_json(&self.record_path(api_id), &next)?;
        self.publish(&next);
        records.insert(api_id.to_owned(), next);
        Ok(result)
    }

    /// Adds an API: gives it a port and says so to the data plane.
    fn add(&self, make: impl FnOnce(String, u16) -> ApiRecord) -> Result<ApiRecord, Fault> {
        let mut records = self.records.lock();
        let taken: Vec<u16> = records.values().map(|record| record.port).collect();
        let listener = (self.first_port..=u16::MAX)
            .filter(|port| !taken.contains(port))
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .ok_or_else(|| Fault::new(429, "TooManyRequestsException", "no free port for another API"))?;
        let port = listener.local_addr().map_or(self.first_port, |address| address.port());
        let api_id = new_id(10);
        let record = make(api_id.clone(), port);
        files::write_json(&self.record_path(&api_id), &record)?;
        self.publish(&record);
        records.insert(api_id.clone(), record.clone());
        let _ = self.events.send(ApiEvent::Created { api_id, listener });
        Ok(record)
    }

    fn remove(&self, owner: Owner<'_>, api_id: &str) -> Result<(), Fault> {
        let mut records = self.records.lock();
        records
            .get(api_id)
            .filter(|record| owner.owns(record))
            .ok_or_else(|| owner.unknown(api_id))?;
        files::remove(&self.directory.join(api_id))?;
        records.remove(api_id);
        self.served.write().remove(api_id);
        self.deployments.write().retain(|(of, _), _| of != api_id);
        let _ = self.events.send(ApiEvent::Deleted {
            api_id: api_id.to_owned(),
        });
        Ok(())
    }

    /// Takes the snapshot of a new deployment, on disk before anything can point at it.
    fn deploy(
        &self,
        record: &mut ApiRecord,
        description: Option<String>,
        auto_deployed: bool,
    ) -> Result<model::Deployment, Fault> {
        let api_id = record.api.api_id.clone();
        let deployment_id = new_id(6);
        let snapshot = snapshot(record, &deployment_id);
        files::write_json(&self.snapshot_path(&api_id, &deployment_id), &snapshot)?;
        self.deployments
            .write()
            .insert((api_id, deployment_id.clone()), Arc::new(snapshot));
        let deployment = model::Deployment {
            auto_deployed,
            created_date: now(),
            deployment_id: deployment_id.clone(),
            deployment_status: "DEPLOYED".to_owned(),
            description,
        };
        record.deployments.insert(deployment_id, deployment.clone());
        Ok(deployment)
    }

    /// After a change of routes and the like: stages with AutoDeploy get a deployment of their own.
    fn auto_deploy(&self, record: &mut ApiRecord) -> Result<(), Fault> {
        if record.routes.is_empty() || !record.stages.values().any(|stage| stage.auto_deploy) {
            return Ok(());
        }
        let description = "Automatic deployment triggered by changes to the Api configuration";
        let deployment = self.deploy(record, Some(description.to_owned()), true)?;
        for stage in record.stages.values_mut().filter(|stage| stage.auto_deploy) {
            stage.deployment_id = Some(deployment.deployment_id.clone());
            stage.last_updated_date = now();
            stage.last_deployment_status_message = Some(format!(
                "Successfully deployed stage with deployment ID '{}'",
                deployment.deployment_id
            ));
        }
        Ok(())
    }

    fn forget_deployment(&self, api_id: &str, deployment_id: &str) -> Result<(), Fault> {
        files::remove(&self.snapshot_path(api_id, deployment_id))?;
        self.deployments
            .write()
            .remove(&(api_id.to_owned(), deployment_id.to_owned()));
        Ok(())
    }

    /// Publishes the stages of an API to the data plane.
    fn publish(&self, record: &ApiRecord) {
        let deployments = self.deployments.read();
        let api_id = &record.api.api_id;
        let stage = |stage: &model::Stage| {
            let deployed = stage
                .deployment_id
                .as_ref()
                .and_then(|id| deployments.get(&(api_id.clone(), id.clone())));
            let served = StageSnapshot {
                name: stage.stage_name.clone(),
                deployment: deployed.map(|deployed| self.served_here(&with_cors(&record.api, deployed))),
                variables: stage.stage_variables.clone(),
                default_route_settings: route_settings(&stage.default_route_settings),
                route_settings: stage
                    .route_settings
                    .iter()
                    .map(|(key, value)| (key.clone(), route_settings(value)))
                    .collect(),
                access_log: stage.access_log_settings.as_ref().and_then(|log| {
                    Some(AccessLog {
                        destination_arn: log.destination_arn.clone()?,
                        format: log.format.clone()?,
                    })
                }),
            };
            (stage.stage_name.clone(), Arc::new(served))
        };
        let snapshot = ApiSnapshot {
            api_id: api_id.clone(),
            region: record.region.clone(),
            account: record.account.clone(),
            endpoint: match record.api.disable_execute_api_endpoint {
                true => ExecuteApiEndpoint::Disabled,
                false => ExecuteApiEndpoint::Enabled,
            },
            stages: record.stages.values().map(stage).collect(),
        };
        self.served.write().insert(api_id.clone(), Arc::new(snapshot));
    }

    /// A deployment whose CORS lets pages of this target's web sites in, on whichever port they are served.
    fn served_here(&self, deployment: &Arc<DeploymentSnapshot>) -> Arc<DeploymentSnapshot> {
        let allowed = deployment.cors.iter().flat_map(|cors| &cors.allow_origins);
        let here = allowed.filter_map(|origin| website_origin(origin, self.website_port));
        let here: Vec<String> = here.collect();
        if here.is_empty() {
            return Arc::clone(deployment);
        }
        let mut served = DeploymentSnapshot::clone(deployment);
        if let Some(cors) = &mut served.cors {
            cors.allow_origins.extend(here);
        }
        Arc::new(served)
    }
}

impl ApiSource for Apis {
    fn api(&self, api_id: &str) -> Option<Arc<ApiSnapshot>> {
        self.served.read().get(api_id).cloned()
    }
}

/// Whose call it is: APIs are seen only by their own account in their own region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'call> {
    pub account: &'call str,
    pub region: &'call str,
}

impl Owner<'_> {
    fn owns(self, record: &ApiRecord) -> bool {
        record.account == self.account && record.region == self.region
    }

    fn unknown(self, api_id: &str) -> Fault {
        Fault::not_found(format!("Invalid API identifier specified {}:{api_id}", self.account))
    }
}

fn route_settings(settings: &model::RouteSettings) -> RouteSettings {
    RouteSettings {
        throttling_rate_limit: settings.throttling_rate_limit,
        throttling_burst_limit: settings.throttling_burst_limit,
        detailed_metrics: settings.detailed_metrics_enabled.unwrap_or(false),
    }
}

/// Tag of an API whose CORS follows the API at once. Whether AWS keeps CORS in deployments is not documented: tests live through both.
const CORS_TAG: &str = "taskctl-local-cors";
/// Its value.
const AT_ONCE: &str = "at-once";

/// A deployment with the CORS that it is served with.
fn with_cors(api: &Api, deployment: &Arc<DeploymentSnapshot>) -> Arc<DeploymentSnapshot> {
    match api.tags.get(CORS_TAG).is_some_and(|value| value == AT_ONCE) {
        true => Arc::new(DeploymentSnapshot {
            cors: api.cors_configuration.as_ref().map(cors),
            ..DeploymentSnapshot::clone(deployment)
        }),
        false => Arc::clone(deployment),
    }
}

fn cors(cors: &Cors) -> CorsSnapshot {
    CorsSnapshot {
        allow_origins: cors.allow_origins.clone().unwrap_or_default(),
        allow_methods: cors.allow_methods.clone().unwrap_or_default(),
        allow_headers: cors.allow_headers.clone().unwrap_or_default(),
        expose_headers: cors.expose_headers.clone().unwrap_or_default(),
        max_age_seconds: cors.max_age,
        allow_credentials: cors.allow_credentials.unwrap_or(false),
    }
}

/// The immutable content of a deployment that is made now.
fn snapshot(record: &ApiRecord, deployment_id: &str) -> DeploymentSnapshot {
    let route = |route: &Route| RouteSnapshot {
        route_id: route.route_id.clone(),
        route_key: route.route_key.clone().unwrap_or_default(),
        integration_id: route
            .target
            .as_deref()
            .and_then(|target| target.strip_prefix("integrations/"))
            .map(str::to_owned),
        authorization_type: route.authorization_type.clone().unwrap_or_else(|| "NONE".to_owned()),
        authorizer_id: route.authorizer_id.clone(),
        authorization_scopes: route.authorization_scopes.clone().unwrap_or_default(),
    };
    let integration = |integration: &Integration| IntegrationSnapshot {
        integration_id: integration.integration_id.clone(),
        integration_type: integration.integration_type.clone().unwrap_or_default(),
        integration_uri: integration.integration_uri.clone().unwrap_or_default(),
        payload_format_version: integration.payload_format_version.clone().unwrap_or_default(),
        timeout: Duration::from_millis(integration.timeout_in_millis.unwrap_or(30_000).unsigned_abs()),
    };
    let authorizer = |authorizer: &Authorizer| {
        let jwt = authorizer.jwt_configuration.clone().unwrap_or_default();
        AuthorizerSnapshot {
            authorizer_id: authorizer.authorizer_id.clone(),
            authorizer_type: authorizer.authorizer_type.clone().unwrap_or_default(),
            identity_source: authorizer.identity_source.clone().unwrap_or_default(),
            issuer: jwt.issuer,
            audience: jwt.audience.unwrap_or_default(),
        }
    };
    DeploymentSnapshot {
        deployment_id: deployment_id.to_owned(),
        routes: record.routes.values().map(route).collect(),
        integrations: record
            .integrations
            .iter()
            .map(|(id, value)| (id.clone(), integration(value)))
            .collect(),
        authorizers: record
            .authorizers
            .iter()
            .map(|(id, value)| (id.clone(), authorizer(value)))
            .collect(),
        cors: record.api.cors_configuration.as_ref().map(cors),
    }
}
