//! Serves each HTTP API on its port, as APIs come and go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::port::listen;
use super::status::{PartState, PartStatus, StatusBoard};
use crate::gateway::Gateway;
use crate::services::apigateway::{ApiEvent, ApiSummary, Apis};

/// How often a taken port is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// The gateway and which APIs it serves.
pub(super) struct DataPlane {
    gateway: Gateway,
    apis: Arc<Apis>,
    board: Arc<StatusBoard>,
    served: HashMap<String, oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl DataPlane {
    pub(super) fn new(gateway: Gateway, apis: Arc<Apis>, board: Arc<StatusBoard>) -> Self {
        Self {
            gateway,
            apis,
            board,
            served: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Serves existing and new APIs, until `stop`.
    pub(super) async fn run(mut self, mut events: mpsc::UnboundedReceiver<ApiEvent>, mut stop: watch::Receiver<bool>) {
        let mut waiting = self.apis.summaries();
        self.serve_all(&mut waiting).await;
        self.board.set(PartStatus {
            name: "http apis".to_owned(),
            pid: None,
            port: None,
            state: PartState::Running,
            message: None,
        });
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = tokio::time::sleep(RETRY), if !waiting.is_empty() => {
                    self.serve_all(&mut waiting).await;
                    continue;
                }
                _ = stop.changed() => None,
            };
            match event {
                Some(ApiEvent::Created { api_id, listener }) => {
                    let listener = listener
                        .set_nonblocking(true)
                        .and_then(|()| TcpListener::from_std(listener));
                    match listener {
                        Ok(listener) => self.serve(api_id, listener),
                        Err(error) => self
                            .board
                            .incident("http apis", format!("API {api_id} is not served: {error}")),
                    }
                }
                Some(ApiEvent::Deleted { api_id }) => {
                    waiting.retain(|api| api.api_id != api_id);
                    self.board.remove(&part_name(&api_id));
                    self.served.remove(&api_id);
                }
                None => break,
            }
        }
        self.served.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Serves APIs; those whose port is taken stay in the list and show as failed.
    async fn serve_all(&mut self, apis: &mut Vec<ApiSummary>) {
        for api in std::mem::take(apis) {
            match listen(api.port, "HTTP API").await {
                Ok(listener) => {
                    self.board.remove(&part_name(&api.api_id));
                    self.serve(api.api_id, listener);
                }
                Err(error) => {
                    self.board.set(PartStatus {
                        name: part_name(&api.api_id),
                        pid: None,
                        port: Some(api.port),
                        state: PartState::Failed,
                        message: Some(format!(
                            "{}: {error}; it is served as soon as the port is free",
                            api.name
                        )),
                    });
                    apis.push(api);
                }
            }
        }
    }

    fn serve(&mut self, api_id: String, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = self.gateway.clone();
        self.served.insert(api_id.clone(), stop);
        self.tasks.spawn(async move {
            // The sender is dropped, not used.
            let stopped = async { drop(stopped.await) };
            gateway.serve(listener, api_id, stopped).await;
        });
    }
}

fn part_name(api_id: &str) -> String {
    format!("http api {api_id}")
}
