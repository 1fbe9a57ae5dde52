//! State of one API between requests: compiled route tables, buckets, log streams.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::route::RouteTable;
use super::server::GatewayPorts;
use super::throttle::Throttle;
use crate::deps::Deps;
use crate::ports::{ApiSnapshot, DeploymentSnapshot};

/// State of one API.
#[derive(Debug)]
pub(super) struct ApiState {
    pub(super) api_id: String,
    pub(super) ports: GatewayPorts,
    pub(super) deps: Deps,
    pub(super) throttle: Throttle,
    /// Stream of the access logs that this server writes.
    pub(super) log_stream: String,
    tables: Mutex<HashMap<String, Arc<RouteTable>>>,
}

impl ApiState {
    pub(super) fn new(api_id: String, ports: GatewayPorts, deps: Deps) -> Self {
        Self {
            api_id,
            ports,
            throttle: Throttle::default(),
            log_stream: deps.id().simple().to_string(),
            deps,
            tables: Mutex::default(),
        }
    }

    /// The route table of a deployment, compiled once; those of deployments that no stage serves any more are dropped.
    pub(super) fn routes(&self, api: &ApiSnapshot, deployment: &DeploymentSnapshot) -> Arc<RouteTable> {
        let mut tables = self.tables.lock();
        if let Some(table) = tables.get(&deployment.deployment_id) {
            return Arc::clone(table);
        }
        let served = |id: &String| {
            api.stages
                .values()
                .filter_map(|stage| stage.deployment.as_ref())
                .any(|served| served.deployment_id == *id)
        };
        tables.retain(|id, _| served(id));
        let table = Arc::new(RouteTable::new(deployment));
        tables.insert(deployment.deployment_id.clone(), Arc::clone(&table));
        table
    }

    /// A fresh request id: eleven random bytes in base64, as the gateway's own look.
    pub(super) fn request_id(&self) -> String {
        STANDARD.encode(&self.deps.id().as_bytes()[5..])
    }

    /// A fresh trace id.
    pub(super) fn trace_id(&self) -> String {
        let id = self.deps.id().simple().to_string();
        format!("Root=1-{:08x}-{}", self.deps.now().as_second(), &id[8..])
    }
}
