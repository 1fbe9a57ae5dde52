//! Calls of Lambda as they come in: code from a body or bucket, roles that must exist, invocations.

use ::http::header::HeaderValue;
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{CodeInput, Needs, Owner, StoredCode, addressed, needs};
use crate::ports::{Completed, FunctionError, InvokeKind, InvokeOutcome, InvokeRequest, LogTail, ThrottleReason};
use crate::protocol::classify::{Call, header_text};
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, answer, full};
use crate::services::reply::{Style, read, respond};
use crate::services::{Fault, Reply, Services};

const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

impl Services {
    pub(in crate::services) async fn call_lambda(&self, call: &Call, parts: &Parts, body: Body) -> Response<Body> {
        let body = match read(body).await {
            Ok(body) => body,
            Err(fault) => return respond(Err(fault), Style::Lambda),
        };
        let needs = needs(&parts.method, parts.uri.path());
        if needs == Needs::Invocation {
            return match self.invoke(call, parts, body).await {
                Ok(response) => response,
                Err(fault) => respond(Err(fault), Style::Lambda),
            };
        }
        respond(self.call_functions(call, parts, &body, needs).await, Style::Lambda)
    }

    async fn call_functions(&self, call: &Call, parts: &Parts, body: &[u8], needs: Needs) -> Result<Reply, Fault> {
        let input = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        let code = match needs {
            Needs::CodeAndRole => {
                let input = input();
                self.check_role(call, &input["Role"]).await?;
                Some(self.code(call, &input["Code"]).await?)
            }
            Needs::Code => Some(self.code(call, &input()).await?),
            Needs::Role => {
                self.check_role(call, &input()["Role"]).await?;
                None
            }
            Needs::Invocation | Needs::Nothing => None,
        };
        let owner = Owner {
            account: &call.account,
            region: &call.region,
        };
        let query = parts.uri.query().unwrap_or_default();
        self.functions
            .call(owner, &parts.method, parts.uri.path(), query, body, code)
    }

    /// A role that does not exist cannot be assumed.
    async fn check_role(&self, call: &Call, role: &Value) -> Result<(), Fault> {
        let Some(arn) = role.as_str() else { return Ok(()) };
        match self.emulator.role_exists(&Caller::of(call), arn).await {
            Ok(false) => Err(invalid(
                "The role defined for the function cannot be assumed by Lambda.",
            )),
            Ok(true) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The zip of a call, from its body or from a bucket, kept under its hash.
    async fn code(&self, call: &Call, input: &Value) -> Result<StoredCode, Fault> {
        let input: CodeInput = serde_json::from_value(input.clone()).unwrap_or_default();
        let bytes = match (input.zip_file, input.s3_bucket, input.s3_key) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(invalid(
                    "Please do not provide other FunctionCode parameters when providing a ZipFile.",
                ));
            }
            (Some(zip), None, None) => BASE64
                .decode(zip)
                .map(Bytes::from)
                .map_err(|_| invalid("Could not decode the zip file."))?,
            (None, Some(bucket), Some(key)) => {
                let version = input
                    .s3_object_version
                    .map(|id| format!("?versionId={id}"))
                    .unwrap_or_default();
                let path = format!("/{bucket}/{}{version}", utf8_percent_encode(&key, KEY));
                let object = self.emulator.s3(&Caller::of(call), Method::GET, &path).await;
                let object = object.map_err(|error| unavailable(&error))?;
                if object.status() != StatusCode::OK {
                    return Err(invalid(format!(
                        "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {key} in {bucket}",
                        if object.status() == StatusCode::NOT_FOUND {
                            "NoSuchKey"
                        } else {
                            "AccessDenied"
                        }
                    )));
                }
                object.into_body()
            }
            _ if input.image_uri.is_some() => return Err(invalid("The local target does not run container images")),
            _ => return Err(invalid("Please provide a source for function code.")),
        };
        self.functions.store_code(&bytes)
    }

    async fn invoke(&self, call: &Call, parts: &Parts, payload: Bytes) -> Result<Response<Body>, Fault> {
        let owner = Owner {
            account: &call.account,
            region: &call.region,
        };
        let (name, qualifier) = addressed(parts.uri.path(), parts.uri.query().unwrap_or_default())?;
        let address = self.functions.address(owner, &name, qualifier.as_deref())?;
        let header = |name| header_text(&parts.headers, name);
        let kind = match header("x-amz-invocation-type") {
            None | Some("RequestResponse") => InvokeKind::RequestResponse,
            Some("Event") => InvokeKind::Event,
            Some("DryRun") => return Ok(answer(StatusCode::NO_CONTENT, "application/json", "")),
            Some(other) => return Err(invalid(format!("Invalid invocation type {other}"))),
        };
        let request = InvokeRequest {
            address,
            payload,
            kind,
            log_tail: if header("x-amz-log-type") == Some("Tail") {
                LogTail::Include
            } else {
                LogTail::Omit
            },
            client_context: header("x-amz-client-context").map(str::to_owned),
            trace_id: header("x-amzn-trace-id").map(str::to_owned),
        };
        invocation_answer(self.invoker.invoke(request).await)
    }
}

fn invocation_answer(outcome: InvokeOutcome) -> Result<Response<Body>, Fault> {
    let mut response = Response::new(full(""));
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    match outcome {
        InvokeOutcome::Completed(completed) => {
            let Completed {
                request_id,
                payload,
                function_error,
                executed_version,
                log_tail,
                duration: _,
            } = completed;
            set("content-type", "application/json");
            set("x-amzn-requestid", &request_id);
            set("x-amz-executed-version", &executed_version);
            match function_error {
                Some(FunctionError::Handled) => set("x-amz-function-error", "Handled"),
                Some(FunctionError::Unhandled) => set("x-amz-function-error", "Unhandled"),
                None => (),
            }
            if let Some(tail) = log_tail {
                set("x-amz-log-result", &BASE64.encode(tail));
            }
            *response.body_mut() = full(payload);
        }
        InvokeOutcome::Accepted { request_id } => {
            set("x-amzn-requestid", &request_id);
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        InvokeOutcome::Throttled { request_id: _, reason } => {
            let reason = match reason {
                ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded => {
                    "ReservedFunctionConcurrentInvocationLimitExceeded"
                }
                ThrottleReason::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
            };
            let fault = Fault::new(429, "TooManyRequestsException", "Rate Exceeded.");
            return Err(fault.with("Reason", reason).with("Type", "User"));
        }
        InvokeOutcome::NotFound(missing) => {
            let message = format!("Function not found: {}", missing.address);
            return Err(Fault::new(404, "ResourceNotFoundException", message).with("Type", "User"));
        }
        InvokeOutcome::Refused { status, code, message } => {
            let code = match code.as_str() {
                "RequestTooLargeException" => "RequestTooLargeException",
                "InvalidRequestContentException" => "InvalidRequestContentException",
                _ => "InvalidParameterValueException",
            };
            return Err(Fault::new(status, code, message).with("Type", "User"));
        }
    }
    Ok(response)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterValueException", message).with("Type", "User")
}

fn unavailable(error: &impl std::fmt::Display) -> Fault {
    Fault::new(503, "ServiceException", format!("the emulator did not answer: {error}"))
}
