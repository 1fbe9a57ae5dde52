//! Calls of Lambda as they come in: code from a body or bucket, roles that must exist, invocations.

use ::http::header::HeaderValue;
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::event_invoke::InvokeConfigInput;
use super::mappings::is_of_mappings;
use super::rest::parsed;
use super::{CodeInput, Needs, Owner, StoredCode, addressed, check_shape, needs};
use crate::ports::{
    Completed, FunctionError, FunctionSource as _, InvokeKind, InvokeOutcome, InvokeRequest, LogTail, ThrottleReason,
};
use crate::protocol::classify::{Call, header_text};
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::{Body, answer, full};
use crate::protocol::xml::Element;
use crate::services::destinations::{action, may_send};
use crate::services::reply::{Style, read, respond};
use crate::services::{Fault, Reply, Services};

/// Largest zip that comes in a call itself; one from a bucket is bounded by its content alone.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const DIRECT_LIMIT: usize = 50 * 1024 * 1024;
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

impl Services {
    pub(in crate::services) async fn call_lambda(&self, call: &Call, parts: &Parts, body: Body) -> Response<Body> {
        let needs = needs(&parts.method, parts.uri.path());
        let operation = match needs {
            Needs::Code => "UpdateFunctionCode",
            Needs::Role => "UpdateFunctionConfiguration",
            Needs::Invocation => "InvokeFunction",
            Needs::CodeAndRole | Needs::Nothing => "CreateFunction",
        };
        let body = match read(body, operation).await {
            Ok(body) => body,
            Err(fault) => return respond(Err(fault), Style::Lambda),
        };
        if needs == Needs::Invocation {
            return match self.invoke(call, parts, body).await {
                Ok(response) => response,
                Err(fault) => respond(Err(fault), Style::Lambda),
            };
        }
        let result = match is_of_mappings(parts.uri.path()) {
            true => self.call_mappings(call, parts, &body).await,
            false => self.call_functions(call, parts, &body, needs).await,
        };
        respond(result, Style::Lambda)
    }

    async fn call_functions(&self, call: &Call, parts: &Parts, body: &[u8], needs: Needs) -> Result<Reply, Fault> {
        let owner = Owner {
            account: &call.account,
            region: &call.region,
        };
        let query = parts.uri.query().unwrap_or_default();
        check_shape(owner, needs, parts.uri.path(), query, body)?;
        self.check_destinations(owner, parts, body).await?;
        let input = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        let code = match needs {
            Needs::CodeAndRole => {
                let input = input();
                self.check_role(call, &input["Role"]).await?;
                Some(self.code(call, &input["Code"], false).await?)
            }
            Needs::Code => Some(self.code(call, &input(), true).await?),
            Needs::Role => {
                self.check_role(call, &input()["Role"]).await?;
                None
            }
            Needs::Invocation | Needs::Nothing => None,
        };
        self.functions
            .call(owner, &parts.method, parts.uri.path(), query, body, code)
    }

    /// The role of a function must be allowed to send results where they shall go.
    async fn check_destinations(&self, owner: Owner<'_>, parts: &Parts, body: &[u8]) -> Result<(), Fault> {
        let writes = matches!(parts.method, Method::PUT | Method::POST);
        if !writes || !parts.uri.path().ends_with("/event-invoke-config") {
            return Ok(());
        }
        let (name, qualifier) = addressed(owner, parts.uri.path(), parts.uri.query().unwrap_or_default())?;
        let Ok(address) = self.functions.address(owner, &name, qualifier.as_deref()) else {
            return Ok(());
        };
        let resolved = self.functions.resolve(&address).ok();
        let role = resolved.and_then(|resolved| Some(resolved.targets.first()?.version.role.clone()));
        let given: InvokeConfigInput = parsed(body)?;
        for arn in given.destinations() {
            self.functions.check_destination(owner, &name, &arn)?;
            let role = role.as_deref().unwrap_or_default();
            if let Some(action) = action(&arn)
                && !may_send(&self.emulator, role, &arn).await
            {
                let action = action.split(':').next_back().unwrap_or_default();
                return Err(invalid(format!(
                    "The function's execution role does not have permissions to call {action} on {arn}"
                )));
            }
        }
        Ok(())
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
    async fn code(&self, call: &Call, input: &Value, is_update: bool) -> Result<StoredCode, Fault> {
        let input: CodeInput = serde_json::from_value(input.clone()).unwrap_or_default();
        let bytes = match (input.zip_file, input.s3_bucket, input.s3_key) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(invalid(
                    "Please do not provide other FunctionCode parameters when providing a ZipFile.",
                ));
            }
            (Some(zip), None, None) => zip_of_call(&zip)?,
            (None, Some(bucket), Some(key)) => {
                let version = input
                    .s3_object_version
                    .map(|id| format!("?versionId={id}"))
                    .unwrap_or_default();
                let path = format!("/{bucket}/{}{version}", utf8_percent_encode(&key, KEY));
                let object = self.emulator.s3(&Caller::of(call), Method::GET, &path).await;
                let object = object.map_err(|error| unavailable(&error))?;
                if object.status() != StatusCode::OK {
                    let said = Element::parse(object.body());
                    let member = |name: &str| said.as_ref().and_then(|said| said.text_of(name)).unwrap_or_default();
                    let (code, message) = (member("Code"), member("Message"));
                    let message = match code.as_str() {
                        "NoSuchBucket" => "The specified bucket does not exist",
                        "NoSuchKey" => "The specified key does not exist.",
                        _ => &message,
                    };
                    return Err(invalid(format!(
                        "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
                    )));
                }
                object.into_body()
            }
            _ if input.image_uri.is_some() && is_update => {
                return Err(invalid(
                    "Please don't provide ImageUri when updating a function with packageType Zip.",
                ));
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
        let (name, qualifier) = addressed(owner, parts.uri.path(), parts.uri.query().unwrap_or_default())?;
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

/// The zip that a call brings itself.
fn zip_of_call(encoded: &str) -> Result<Bytes, Fault> {
    let zip = BASE64
        .decode(encoded)
        .map_err(|_| invalid("Could not decode the zip file."))?;
    if zip.len() > DIRECT_LIMIT {
        let message = format!("Zipped size must be smaller than {DIRECT_LIMIT} bytes");
        return Err(Fault::new(413, "RequestEntityTooLargeException", message));
    }
    Ok(Bytes::from(zip))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_in_a_call_has_a_limit() {
        assert_eq!(zip_of_call("AAAA"), Ok(Bytes::from_static(&[0; 3])));
        let refused = zip_of_call(&"AAAA".repeat(DIRECT_LIMIT / 3 + 1)).err();
        let refused = refused.map(|fault| (fault.status, fault.code, fault.message));
        let message = "Zipped size must be smaller than 52428800 bytes".to_owned();
        assert_eq!(refused, Some((413, "RequestEntityTooLargeException", message)));
    }
}
