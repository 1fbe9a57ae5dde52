//! Access logs: the `$context` template of a stage filled in for each request.
//!
//! Variables: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>. A variable
//! that has no value, or that the gateway does not know, is `-`.
//!
//! Quotes, backslashes and control characters in a value are escaped as in JSON. AWS's pages do not say whether its gateway does
//! so; others saw it do so with quotes and backslashes in a User-Agent (<https://github.com/DataBiosphere/azul/issues/4348>, a
//! REST API, 2024) after years in which it did not. Readers must not rely on it.

use super::event::{clf_time, domain_name};
use super::record::Record;

/// Fills in a template.
pub(super) fn render(format: &str, record: &Record<'_>) -> String {
    let mut line = String::with_capacity(format.len() * 2);
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("$context.") {
        line.push_str(before);
        let (name, after) = variable(after);
        match value(name, record).filter(|value| !value.is_empty()) {
            Some(value) => line.push_str(&escaped(&value)),
            None if name == "error.messageString" && record.error.is_some() => {
                let error = record.error.as_deref().unwrap_or_default();
                line.push_str(&format!("\"{}\"", escaped(error)));
            }
            None => line.push('-'),
        }
        rest = after;
    }
    line.push_str(rest);
    line
}

/// A value within the quotes of JSON.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

/// Splits the name of a variable from the text after it.
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
        "integrationLatency" | "integration.latency" => Some(integration?.latency.as_millis().to_string()),
        "integrationStatus" | "integration.integrationStatus" => Some(integration?.service_status?.to_string()),
        "integration.status" => Some(integration?.status?.to_string()),
        "integrationErrorMessage" | "integration.error" => integration?.error.clone(),
        "awsEndpointRequestId" | "integration.requestId" => integration?.request_id.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use http::StatusCode;

    use super::super::record::IntegrationRecord;
    use super::*;
    use crate::ports::{ApiSnapshot, ExecuteApiEndpoint, RouteSettings, StageSnapshot};

    fn check(format: &str, integration: Option<IntegrationRecord>, expected: &str) {
        let api = ApiSnapshot {
            api_id: "abc123".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "000000000000".to_owned(),
            endpoint: ExecuteApiEndpoint::Enabled,
            stages: BTreeMap::new(),
        };
        let stage = StageSnapshot {
            name: "preview".to_owned(),
            deployment: None,
            variables: BTreeMap::new(),
            default_route_settings: RouteSettings::default(),
            route_settings: BTreeMap::new(),
            access_log: None,
        };
        let record = Record {
            api: &api,
            stage: Some(&stage),
            route_key: Some("GET /tasks".to_owned()),
            request_id: "id=",
            time: "2026-11-20T10:00:00.123Z".parse().unwrap(),
            source_ip: Ipv4Addr::LOCALHOST.into(),
            user_agent: String::new(),
            method: "GET",
            path: "/preview/tasks",
            protocol: "HTTP/1.1",
            request_length: 3,
            response_length: 20,
            status: StatusCode::OK,
            latency: Duration::from_micros(4_900),
            error: None,
            integration,
        };
        assert_eq!(render(format, &record), expected);
    }

    #[test]
    fn a_json_template() {
        let integration = IntegrationRecord {
            latency: Duration::from_millis(3),
            service_status: Some(200),
            status: Some(404),
            request_id: Some("lambda-id".to_owned()),
            error: None,
        };
        check(
            r#"{"id":"$context.requestId","at":"$context.requestTime","s":"$context.status","st":"$context.integration.status","ss":"$context.integrationStatus","l":"$context.integrationLatency","e":"$context.integrationErrorMessage","a":"$context.awsEndpointRequestId","n":"$context.responseLength"}"#,
            Some(integration),
            r#"{"id":"id=","at":"20/Nov/2026:10:00:00 +0000","s":"200","st":"404","ss":"200","l":"3","e":"-","a":"lambda-id","n":"20"}"#,
        );
    }

    #[test]
    fn values_stay_within_their_quotes() {
        assert_eq!(escaped("a\"b\\c\u{1b}\u{9b}\t€"), r#"a\"b\\c\u001b\u009b\u0009€"#);
        let integration = IntegrationRecord {
            latency: Duration::ZERO,
            service_status: None,
            status: None,
            request_id: None,
            error: Some(r#"no","status":"204"#.to_owned()),
        };
        check(
            r#"{"s":"$context.status","e":"$context.integrationErrorMessage"}"#,
            Some(integration),
            r#"{"s":"200","e":"no\",\"status\":\"204"}"#,
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_a_dash() {
        check(
            "$context.integrationStatus $context.nothing $context.identity.userAgent",
            None,
            "- - -",
        );
        check("$context.authorizer.claims.sub!", None, "-!");
    }

    #[test]
    fn a_name_ends_where_it_ends() {
        check("$context.stage.", None, "preview.");
        check(
            "[$context.stage] $context $contextstage $context.routeKey",
            None,
            "[preview] $context $contextstage GET /tasks",
        );
        check("$context.dataProcessed/$context.responseLatency", None, "23/4");
        check("", None, "");
    }
}
