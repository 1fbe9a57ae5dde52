//! Access logs: the `$context` template of a stage filled in for each request.
//!
//! Variables: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>. A variable
//! that has no value, or that the gateway does not know, is `-`.

use super::event::{clf_time, domain_name};
use super::record::Record;

/// Fills in a template.
pub(super) fn render(format: &str, record: &Record<'_>) -> String {
    let mut line = String::with_capacity(format.len() * 2);
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("$context.") {
        line.push_str(before);
        let (name, after) = variable(after);
        line.push_str(
            value(name, record)
                .filter(|value| !value.is_empty())
                .as_deref()
                .unwrap_or("-"),
        );
        rest = after;
    }
    line.push_str(rest);
    line
}

/// Splits the name of a variable from what follows it.
fn variable(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let name = text[..end].trim_end_matches('.');
    (name, &text[name.len()..])
}

fn value(name: &str, record: &Record<'_>) -> Option<String> {
    let integration = record.integration.as_ref();
    match name {
        "requestId" | "extendedRequestId" => Some(record.request_id.to_owned()),
        "apiId" => Some(record.api.api_id.clone()),
        "domainPrefix" => Some(record.api.api_id.clone()),
        "domainName" => Some(domain_name(record.api)),
        "accountId" => Some(record.api.account.clone()),
        "stage" => record.stage.map(|stage| stage.name.clone()),
        "identity.sourceIp" => Some(record.source_ip.to_string()),
        "identity.userAgent" => Some(record.user_agent.clone()),
        "requestTime" => Some(clf_time(record.time)),
        "requestTimeEpoch" => Some(record.time.as_millisecond().to_string()),
        "httpMethod" => Some(record.method.to_owned()),
        "path" => Some(record.path.to_owned()),
        "protocol" => Some(record.protocol.to_owned()),
        "routeKey" => record.route_key.clone(),
        "status" => Some(record.status.as_u16().to_string()),
        "responseLength" => Some(record.response_length.to_string()),
        "responseLatency" => Some(record.latency.as_millis().to_string()),
        "dataProcessed" => Some((record.request_length + record.response_length).to_string()),
        "error.message" => record.error.clone(),
        "error.messageString" => record.error.as_ref().map(|error| format!("\"{error}\"")),
        "integrationLatency" | "integration.latency" => Some(integration?.latency.as_millis().to_string()),
        "integrationStatus" | "integration.integrationStatus" => Some(integration?.service_status?.to_string()),
        "integration.status" => Some(integration?.status?.to_string()),
        "integrationErrorMessage" | "integration.error" => integration?.error.clone(),
        "awsEndpointRequestId" | "integration.requestId" => integration?.request_id.clone(),
        _ => None,
    }
}
