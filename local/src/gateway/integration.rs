//! Calling the function behind a route.
//!
//! Stage variables in integration URIs:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html#http-api-stages.stage-variables>.
//! Permission: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html>.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;

use super::record::IntegrationRecord;
use super::response::{self, Outgoing};
use super::route::DEFAULT_ROUTE;
use super::server::GatewayPorts;
use crate::ports::{
    ApiSnapshot, FunctionAddress, IntegrationSnapshot, InvokeKind, InvokeOutcome, InvokeRequest, LogTail, StageSnapshot,
};

/// The caller.
const PRINCIPAL: &str = "apigateway.amazonaws.com";

/// Longest time limit of an integration: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// The function of an integration on a stage, or why there is none.
pub(super) fn function(
    integration: &IntegrationSnapshot,
    variables: &BTreeMap<String, String>,
) -> Result<FunctionAddress, String> {
    match (
        integration.integration_type.as_str(),
        integration.payload_format_version.as_str(),
    ) {
        ("AWS_PROXY", "2.0") => {}
        ("AWS_PROXY", version) => return Err(format!("payload format {version} is not served locally")),
        (other, _) => return Err(format!("integration type {other} is not served locally")),
    }
    let uri = substitute(&integration.integration_uri, variables)?;
    FunctionAddress::parse(&uri).ok_or_else(|| format!("integration URI names no function: {uri}"))
}

/// Puts stage variables in their places.
fn substitute(uri: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    const OPEN: &str = "${stageVariables.";
    let mut filled = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("unclosed stage variable in {uri}"))?;
        let value = variables
            .get(name)
            .ok_or_else(|| format!("stage variable {name} is not set"))?;
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The call that the policy of a function must allow.
pub(super) fn source_arn(api: &ApiSnapshot, stage: &StageSnapshot, route_key: &str, method: &str) -> String {
    let ApiSnapshot {
        api_id,
        region,
        account,
        ..
    } = api;
    let scope = format!("arn:aws:execute-api:{region}:{account}:{api_id}/{}", stage.name);
    match route_key.split_once(' ') {
        Some((_, path)) => format!("{scope}/{method}{path}"),
        None => format!("{scope}/{DEFAULT_ROUTE}"),
    }
}

/// Invokes a function with an event and turns its answer into a response.
pub(super) async fn call(
    ports: &GatewayPorts,
    address: FunctionAddress,
    source_arn: &str,
    timeout: Duration,
    trace_id: &str,
    event: Bytes,
) -> (Outgoing, IntegrationRecord) {
    if !ports.functions.may_invoke(&address, PRINCIPAL, source_arn) {
        let error = format!(
            "The IAM role configured on the integration or API Gateway doesn't have permissions to call the integration. \
             Check the permissions and try again: {address} does not let {PRINCIPAL} invoke it for {source_arn}"
        );
        return failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            IntegrationRecord {
                error: Some(error),
                ..Default::default()
            },
        );
    }
    let request = InvokeRequest {
        address,
        payload: event,
        kind: InvokeKind::RequestResponse,
        log_tail: LogTail::Omit,
        client_context: None,
        trace_id: Some(trace_id.to_owned()),
    };
    let begun = Instant::now();
    // The invocation continues after the gateway stops waiting.
    let outcome = tokio::time::timeout(timeout.min(MAX_TIMEOUT), ports.invoker.invoke(request)).await;
    let record = IntegrationRecord {
        latency: begun.elapsed(),
        ..Default::default()
    };
    match outcome {
        Ok(outcome) => answer(outcome, record),
        Err(_) => failed(
            StatusCode::SERVICE_UNAVAILABLE,
            IntegrationRecord {
                error: Some("Endpoint request timed out".to_owned()),
                ..record
            },
        ),
    }
}

fn answer(outcome: InvokeOutcome, record: IntegrationRecord) -> (Outgoing, IntegrationRecord) {
    let completed = match outcome {
        InvokeOutcome::Completed(completed) => completed,
        InvokeOutcome::Throttled { request_id, reason } => {
            let record = IntegrationRecord {
                service_status: Some(429),
                request_id: Some(request_id),
                error: Some(format!("Rate Exceeded: {reason:?}")),
                ..record
            };
            return failed(StatusCode::INTERNAL_SERVER_ERROR, record);
        }
        InvokeOutcome::NotFound(error) => {
            let record = IntegrationRecord {
                service_status: Some(404),
                error: Some(error.to_string()),
                ..record
            };
            return failed(StatusCode::INTERNAL_SERVER_ERROR, record);
        }
        InvokeOutcome::Refused { status, code, message } => {
            let answer = if status == 413 {
                StatusCode::PAYLOAD_TOO_LARGE
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            let error = Some(format!("{code}: {message}"));
            return failed(
                answer,
                IntegrationRecord {
                    service_status: Some(status),
                    error,
                    ..record
                },
            );
        }
        InvokeOutcome::Accepted { request_id } => {
            let error = Some("the function was queued, not run".to_owned());
            let record = IntegrationRecord {
                service_status: Some(202),
                request_id: Some(request_id),
                error,
                ..record
            };
            return failed(StatusCode::INTERNAL_SERVER_ERROR, record);
        }
    };
    let mut record = IntegrationRecord {
        service_status: Some(200),
        request_id: Some(completed.request_id),
        ..record
    };
    if let Some(error) = completed.function_error {
        record.error = Some(format!(
            "The Lambda function returned the following error: {error:?}. Check your Lambda function code and try again."
        ));
        return failed(StatusCode::INTERNAL_SERVER_ERROR, record);
    }
    match response::from_payload(&completed.payload) {
        Ok(response) => {
            record.status = Some(response.status().as_u16());
            (response, record)
        }
        Err(error) => {
            record.error = Some(error.to_string());
            failed(StatusCode::INTERNAL_SERVER_ERROR, record)
        }
    }
}

fn failed(status: StatusCode, record: IntegrationRecord) -> (Outgoing, IntegrationRecord) {
    (response::message(status), record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{ExecuteApiEndpoint, RouteSettings};

    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:000000000000:function:tasks";

    fn check(uri: &str, expected: Result<String, &str>) {
        let integration = IntegrationSnapshot {
            integration_id: "i1".to_owned(),
            integration_type: "AWS_PROXY".to_owned(),
            integration_uri: uri.to_owned(),
            payload_format_version: "2.0".to_owned(),
            timeout: MAX_TIMEOUT,
        };
        let variables = [("alias", "v7"), ("fn", "tasks")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = function(&integration, &variables.into()).map(|address| address.qualified_arn());
        assert_eq!(found, expected.map_err(str::to_owned), "{uri}");
    }

    #[test]
    fn integration_uris() {
        let invoke = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/";
        check(&format!("{FUNCTION}:v7"), Ok(format!("{FUNCTION}:v7")));
        check(
            &format!("{invoke}{FUNCTION}:v7/invocations"),
            Ok(format!("{FUNCTION}:v7")),
        );
        check(
            &format!("{invoke}{FUNCTION}:${{stageVariables.alias}}/invocations"),
            Ok(format!("{FUNCTION}:v7")),
        );
        check(
            &format!("{invoke}arn:aws:lambda:eu-central-1:000000000000:function:${{stageVariables.fn}}/invocations"),
            Ok(FUNCTION.to_owned()),
        );
        check(
            &format!("{FUNCTION}:${{stageVariables.none}}"),
            Err("stage variable none is not set"),
        );
        check(
            "https://example.com",
            Err("integration URI names no function: https://example.com"),
        );
    }

    #[test]
    fn source_arns() {
        let api = ApiSnapshot {
            api_id: "abc123".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "000000000000".to_owned(),
            endpoint: ExecuteApiEndpoint::Enabled,
            stages: BTreeMap::new(),
        };
        let stage = |name: &str| StageSnapshot {
            name: name.to_owned(),
            deployment: None,
            variables: BTreeMap::new(),
            default_route_settings: RouteSettings::default(),
            route_settings: BTreeMap::new(),
            access_log: None,
        };
        let prefix = "arn:aws:execute-api:eu-central-1:000000000000:abc123";
        assert_eq!(
            source_arn(&api, &stage("preview"), "ANY /tasks/{id}", "PUT"),
            format!("{prefix}/preview/PUT/tasks/{{id}}")
        );
        assert_eq!(
            source_arn(&api, &stage("$default"), "$default", "GET"),
            format!("{prefix}/$default/$default")
        );
    }
}
