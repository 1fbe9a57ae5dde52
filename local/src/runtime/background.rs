//! Asynchronous invocations: queued in memory, retried.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>. A failed run is tried twice
//! more, one and two minutes later; a throttled one for up to six hours, from one second to five minutes apart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;
use crate::ports::{InvokeKind, InvokeOutcome, InvokeRequest, LogTail};

/// Age at which an event that was only ever throttled is dropped.
const MAX_AGE: Duration = Duration::from_secs(6 * 60 * 60);

const FIRST_THROTTLE_DELAY: Duration = Duration::from_secs(1);
const MAX_THROTTLE_DELAY: Duration = Duration::from_secs(5 * 60);

/// Runs an event until it succeeds or is given up. The request id stays the same.
pub(super) async fn run(host: Arc<Host>, request_id: String, request: InvokeRequest) {
    let request = InvokeRequest {
        kind: InvokeKind::RequestResponse,
        log_tail: LogTail::Omit,
        ..request
    };
    let mut stop = host.stopped();
    tokio::select! {
        () = attempts(&host, &request_id, &request) => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}

async fn attempts(host: &Arc<Host>, request_id: &str, request: &InvokeRequest) {
    let begun = Instant::now();
    let mut retries = host.config.retry_delays.iter();
    let mut throttle_delay = FIRST_THROTTLE_DELAY;
    loop {
        let delay = match host.run(request_id, request).await {
            InvokeOutcome::Completed(completed) if completed.function_error.is_none() => return,
            InvokeOutcome::Completed(_) => match retries.next() {
                Some(delay) => *delay,
                None => {
                    tracing::warn!(address = %request.address, request_id, "event dropped after its last retry");
                    return;
                }
            },
            InvokeOutcome::Throttled { .. } if begun.elapsed() < MAX_AGE => {
                let delay = throttle_delay;
                throttle_delay = (2 * throttle_delay).min(MAX_THROTTLE_DELAY);
                delay
            }
            InvokeOutcome::Throttled { .. }
            | InvokeOutcome::Accepted { .. }
            | InvokeOutcome::NotFound(_)
            | InvokeOutcome::Refused { .. } => {
                tracing::warn!(address = %request.address, request_id, "event dropped");
                return;
            }
        };
        tokio::time::sleep(delay).await;
    }
}
