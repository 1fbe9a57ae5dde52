//! Events that topics, buckets and buses of the emulator have for functions: taken from it, checked, invoked in the background.

use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::ports::{FunctionAddress, FunctionSource, InvokeOutcome, InvokeRequest, Invoker};
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::full;

/// Where the emulator says what it has for functions after a number, as soon as it has something.
const PATH: &str = "/_taskctl/invocations";
/// Pause after the emulator did not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Brings events to functions.
pub(crate) struct FanOut {
    pub emulator: EmulatorClient,
    pub functions: Arc<dyn FunctionSource>,
    pub invoker: Arc<dyn Invoker>,
}

/// An event for a function.
#[derive(Debug, Deserialize)]
struct Pending {
    number: u64,
    /// With a qualifier, where one is configured.
    function: String,
    /// The service that invokes.
    principal: String,
    /// What it invokes for.
    source: String,
    event: Value,
}

impl FanOut {
    /// Brings events until `stop`.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut after = 0;
        loop {
            let next = tokio::select! {
                next = self.next(after) => next,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some(pending) = next else {
                // Another emulator counts anew.
                after = 0;
                tokio::select! {
                    () = sleep(PAUSE) => continue,
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            };
            for one in pending {
                after = one.number;
                self.bring(one).await;
            }
        }
    }

    /// What there is after a number. What came before it is forgotten by the emulator.
    async fn next(&self, after: u64) -> Option<Vec<Pending>> {
        let request = Request::get(format!("{PATH}?after={after}"));
        let request = request.header("host", "localhost").body(full("")).ok()?;
        let answer = self.emulator.call(request).await.ok()?;
        serde_json::from_slice(answer.body()).ok()
    }

    async fn bring(&self, pending: Pending) {
        let Pending {
            function,
            principal,
            source,
            event,
            ..
        } = pending;
        let Some(address) = FunctionAddress::parse(&function) else {
            return;
        };
        if !self.functions.may_invoke(&address, &principal, &source) {
            tracing::warn!(source, %address, "the function's policy does not allow it to be invoked for this");
            return;
        }
        let request = InvokeRequest::event(address, Bytes::from(event.to_string()));
        match self.invoker.invoke(request).await {
            InvokeOutcome::Accepted { .. } | InvokeOutcome::Completed(_) => {}
            outcome => tracing::warn!(source, function, ?outcome, "an event was lost"),
        }
    }
}
