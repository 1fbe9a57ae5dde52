//! A gateway in front of a world, and what its APIs are made of.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use taskctl_local::deps::Deps;
use taskctl_local::gateway::{Gateway, GatewayPorts};
use taskctl_local::ports::{
    ApiSnapshot, DeploymentSnapshot, ExecuteApiEndpoint, FunctionAddress, IntegrationSnapshot, RouteSettings,
    RouteSnapshot, StageSnapshot,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::world::{ACCOUNT, REGION, World};

pub const API: &str = "abc123";

/// A served API.
pub struct Served {
    pub address: SocketAddr,
    pub client: Client<HttpConnector, Full<Bytes>>,
    pub stop: oneshot::Sender<()>,
    pub server: tokio::task::JoinHandle<()>,
}

pub async fn serve(world: &World) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let memory = &world.memory;
    let ports = GatewayPorts {
        apis: Arc::clone(memory) as _,
        functions: Arc::clone(memory) as _,
        invoker: Arc::clone(&world.host) as _,
        logs: Arc::clone(memory) as _,
        metrics: Arc::clone(memory) as _,
    };
    let gateway = Gateway::new(ports, Deps::system());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        gateway
            .serve(listener, API.to_owned(), async { drop(stopped.await) })
            .await;
    });
    Served {
        address,
        client: Client::builder(TokioExecutor::new()).build_http(),
        stop,
        server,
    }
}

impl Served {
    pub async fn send(&self, request: http::request::Builder, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        let request: Request<Full<Bytes>> = request
            .uri(format!("http://{}{path}", self.address))
            .body(Full::new(body.into()))
            .unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    pub async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::builder(), path, "").await
    }
}

pub fn read(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("not JSON: {response:?}"))
}

/// Percent-encodes an order for the test runtime.
pub fn order(order: &Value) -> String {
    let order = order.to_string();
    let encoded: String = url::form_urlencoded::byte_serialize(order.as_bytes()).collect();
    format!("order={encoded}")
}

pub fn deployment(id: &str, function: &FunctionAddress, routes: &[&str]) -> DeploymentSnapshot {
    let integration = IntegrationSnapshot {
        integration_id: "i1".to_owned(),
        integration_type: "AWS_PROXY".to_owned(),
        integration_uri: function.qualified_arn(),
        payload_format_version: "2.0".to_owned(),
        timeout: Duration::from_secs(30),
    };
    DeploymentSnapshot {
        deployment_id: id.to_owned(),
        routes: routes
            .iter()
            .map(|key| RouteSnapshot {
                route_id: (*key).to_owned(),
                route_key: (*key).to_owned(),
                integration_id: Some("i1".to_owned()),
                authorization_type: "NONE".to_owned(),
                authorizer_id: None,
                authorization_scopes: Vec::new(),
            })
            .collect(),
        integrations: BTreeMap::from([("i1".to_owned(), integration)]),
        authorizers: BTreeMap::new(),
        cors: None,
    }
}

pub fn stage(name: &str, deployment: DeploymentSnapshot) -> StageSnapshot {
    StageSnapshot {
        name: name.to_owned(),
        deployment: Some(Arc::new(deployment)),
        variables: BTreeMap::new(),
        default_route_settings: RouteSettings::default(),
        route_settings: BTreeMap::new(),
        access_log: None,
    }
}

pub fn api(stages: Vec<StageSnapshot>) -> ApiSnapshot {
    ApiSnapshot {
        api_id: API.to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        endpoint: ExecuteApiEndpoint::Enabled,
        stages: stages
            .into_iter()
            .map(|stage| (stage.name.clone(), Arc::new(stage)))
            .collect(),
    }
}

/// Everything of the API may invoke the function.
pub fn allow(world: &World, function: &FunctionAddress) {
    world
        .memory
        .allow(function, &format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API}/"));
}
