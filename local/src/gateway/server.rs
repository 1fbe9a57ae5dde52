//! The HTTP server of an API: connections, and the handling around each request.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use super::exchange::{self, Peer};
use super::response::Outgoing;
use super::state::ApiState;
use crate::deps::Deps;
use crate::ports::{ApiSource, FunctionSource, Invoker, LogSink, MetricSink};

/// How long a connection may stay without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(350);

/// How long requests in flight may take once the server is stopped: as long as the slowest integration.
const DRAIN: Duration = Duration::from_secs(30);

/// Where the gateway gets APIs and functions from, and where logs and metrics go.
#[derive(Clone)]
pub struct GatewayPorts {
    /// The APIs that exist.
    pub apis: Arc<dyn ApiSource>,
    /// Whom a function lets invoke it.
    pub functions: Arc<dyn FunctionSource>,
    /// Runs functions.
    pub invoker: Arc<dyn Invoker>,
    /// Where access logs go.
    pub logs: Arc<dyn LogSink>,
    /// Where metrics go.
    pub metrics: Arc<dyn MetricSink>,
}

impl fmt::Debug for GatewayPorts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GatewayPorts")
    }
}

/// Serves HTTP APIs.
#[derive(Debug, Clone)]
pub struct Gateway {
    ports: GatewayPorts,
    deps: Deps,
}

impl Gateway {
    /// A gateway for any number of APIs.
    pub fn new(ports: GatewayPorts, deps: Deps) -> Self {
        Self { ports, deps }
    }

    /// Serves one API on a listener until `stop` is done; then finishes requests in flight and returns. An API that does
    /// not exist (yet, or any more) is 404.
    pub async fn serve(&self, listener: TcpListener, api_id: String, stop: impl Future<Output = ()>) {
        let state = Arc::new(ApiState::new(api_id, self.ports.clone(), self.deps.clone()));
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, remote)) => connect(stream, remote, Arc::clone(&state), &graceful),
                Err(error) => {
                    // Out of descriptors, most likely: give connections time to end.
                    tracing::warn!(%error, "connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        // Requests that still run after that are dropped.
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

fn connect(stream: TcpStream, remote: SocketAddr, state: Arc<ApiState>, graceful: &GracefulShutdown) {
    // Without it an answer waits for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let server_port = stream.local_addr().map_or(0, |address| address.port());
    let peer = Peer {
        source_ip: remote.ip(),
        server_port,
    };
    let service = service_fn(move |request| answer(Arc::clone(&state), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // How a connection ends is the client's affair; each request has been logged by itself.
        let _ = connection.await;
    });
}

async fn answer(state: Arc<ApiState>, peer: Peer, request: Request<Incoming>) -> Result<Outgoing, Infallible> {
    let request_id = state.request_id();
    let mut response = exchange::answer(&state, peer, &request_id, request).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("apigw-requestid"), value);
    }
    Ok(response)
}
