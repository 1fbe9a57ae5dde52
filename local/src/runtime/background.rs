//! Asynchronous invocations: queued in memory, retried, their results sent on.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>. A failed run is tried again as often as the
//! function is configured; a throttled one for as long as its event may be old, from one second to five minutes apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::host::Host;
use crate::ports::{
    Asynchronous, Completed, FunctionError, InvokeKind, InvokeOutcome, InvokeRequest, LogTail, Outgoing, OutgoingKind,
    Sent,
};

const FIRST_THROTTLE_DELAY: Duration = Duration::from_secs(1);
const MAX_THROTTLE_DELAY: Duration = Duration::from_secs(5 * 60);

/// How an event ended.
struct Ended {
    /// As the record of its result names it.
    condition: &'static str,
    attempts: u32,
    /// Its last run, if it ran at all.
    last: Option<Completed>,
}

impl Ended {
    fn is_success(&self) -> bool {
        self.condition == "Success"
    }
}

/// Runs an event until it succeeds or is given up. The request id stays the same.
pub(super) async fn run(host: Arc<Host>, request_id: String, request: InvokeRequest) {
    let request = InvokeRequest {
        kind: InvokeKind::RequestResponse,
        log_tail: LogTail::Omit,
        ..request
    };
    let mut stop = host.stopped();
    let settings = host.functions.asynchronous(&request.address);
    host.count(&request, "AsyncEventsReceived");
    tokio::select! {
        () = async {
            let ended = attempts(&host, &request_id, &request, &settings).await;
            if !ended.is_success() {
                tracing::warn!(address = %request.address, request_id, condition = ended.condition, "event dropped");
                host.count(&request, "AsyncEventsDropped");
            }
            send_on(&host, &request_id, &request, &settings, &ended).await;
        } => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}

async fn attempts(host: &Arc<Host>, request_id: &str, request: &InvokeRequest, settings: &Asynchronous) -> Ended {
    let begun = Instant::now();
    let mut retries = host.config.retry_delays.iter().take(settings.retries);
    let mut throttle_delay = FIRST_THROTTLE_DELAY;
    let (mut attempts, mut last) = (0, None);
    loop {
        let delay = match host.run(request_id, request).await {
            InvokeOutcome::Completed(completed) => {
                attempts += 1;
                let failed = completed.function_error.is_some();
                last = Some(completed);
                if !failed {
                    return Ended {
                        condition: "Success",
                        attempts,
                        last,
                    };
                }
                match retries.next() {
                    Some(delay) => *delay,
                    None => {
                        return Ended {
                            condition: "RetriesExhausted",
                            attempts,
                            last,
                        };
                    }
                }
            }
            InvokeOutcome::Throttled { .. } => {
                let delay = throttle_delay;
                throttle_delay = (2 * throttle_delay).min(MAX_THROTTLE_DELAY);
                delay
            }
            InvokeOutcome::Accepted { .. } | InvokeOutcome::NotFound(_) | InvokeOutcome::Refused { .. } => {
                return Ended {
                    condition: "RetriesExhausted",
                    attempts,
                    last,
                };
            }
        };
        if begun.elapsed() + delay > settings.maximum_age {
            return Ended {
                condition: "EventAgeExceeded",
                attempts,
                last,
            };
        }
        tokio::time::sleep(delay).await;
    }
}

/// Sends the result of an event where its function is configured to send it.
async fn send_on(host: &Arc<Host>, request_id: &str, request: &InvokeRequest, settings: &Asynchronous, ended: &Ended) {
    let Ok(resolved) = host.functions.resolve(&request.address) else {
        return;
    };
    let Some(role) = resolved.targets.first().map(|target| target.version.role.clone()) else {
        return;
    };
    let function_arn = invoked(request);
    let (destination, kind) = match ended.is_success() {
        true => (&settings.on_success, OutgoingKind::Success { function_arn }),
        false => (&settings.on_failure, OutgoingKind::Failure { function_arn }),
    };
    if let Some(destination) = destination {
        let record = record(request_id, request, ended, host.now());
        let body = record.to_string();
        let sent = send(host, &role, destination, body, kind).await;
        if let Err(error) = sent {
            tracing::warn!(error, destination, "a result could not be sent on");
            host.count(request, "DestinationDeliveryFailures");
        }
    }
    if let Some(queue) = settings.dead_letters.as_ref().filter(|_| !ended.is_success()) {
        let kind = OutgoingKind::DeadLetter {
            attributes: dead_letter_attributes(request_id, ended),
        };
        let body = String::from_utf8_lossy(&request.payload).into_owned();
        if let Err(error) = send(host, &role, queue, body, kind).await {
            tracing::warn!(error, queue, "a dead letter could not be sent");
            host.count(request, "DeadLetterErrors");
        }
    }
}

async fn send(host: &Arc<Host>, role: &str, destination: &str, body: String, kind: OutgoingKind) -> Result<(), String> {
    let outgoing = Outgoing {
        role: role.to_owned(),
        destination: destination.to_owned(),
        body: body.clone(),
        kind,
    };
    match host.destinations.send(outgoing).await? {
        Sent::Delivered => Ok(()),
        Sent::ToInvoke => host.pass_on(destination, Bytes::from(body)),
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-async-destinations>
fn record(request_id: &str, request: &InvokeRequest, ended: &Ended, now: jiff::Timestamp) -> Value {
    let parsed = |payload: &Bytes| serde_json::from_slice::<Value>(payload).unwrap_or_default();
    let mut record = json!({
        "version": "1.0",
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        "requestContext": {
            "requestId": request_id,
            "functionArn": invoked(request),
            "condition": ended.condition,
            "approximateInvokeCount": ended.attempts,
        },
        "requestPayload": parsed(&request.payload),
    });
    if let Some(last) = &ended.last {
        record["responseContext"] = json!({"statusCode": 200, "executedVersion": last.executed_version});
        if let Some(error) = error_name(last) {
            record["responseContext"]["functionError"] = error.into();
        }
        record["responsePayload"] = parsed(&last.payload);
    }
    record
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq>
fn dead_letter_attributes(request_id: &str, ended: &Ended) -> Vec<(&'static str, String)> {
    let last = ended.last.as_ref();
    let error: Option<Value> = last.and_then(|last| serde_json::from_slice(&last.payload).ok());
    let message = error.as_ref().and_then(|error| error["errorMessage"].as_str());
    vec![
        ("RequestID", request_id.to_owned()),
        ("ErrorCode", if last.is_some() { "200" } else { "429" }.to_owned()),
        (
            "ErrorMessage",
            message.unwrap_or(ended.condition).chars().take(1024).collect(),
        ),
    ]
}

fn error_name(completed: &Completed) -> Option<&'static str> {
    Some(match completed.function_error? {
        FunctionError::Handled => "Handled",
        FunctionError::Unhandled => "Unhandled",
    })
}

/// The ARN as it is shown in records: always with a qualifier.
fn invoked(request: &InvokeRequest) -> String {
    let address = &request.address;
    let qualifier = address.qualifier.as_deref().unwrap_or("$LATEST");
    format!("{}:{qualifier}", address.function_arn)
}
