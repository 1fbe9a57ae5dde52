//! API Gateway's validation, and how its updates merge. Pure.

use super::model::{AccessLogSettings, ApiRecord, Authorizer, Cors, Integration, Route, RouteSettings};
use crate::services::Fault;

const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// An update of a text: absent keeps, `""` clears.
pub(super) fn merge_text(kept: &mut Option<String>, given: Option<String>) {
    match given {
        Some(text) if text.is_empty() => *kept = None,
        Some(text) => *kept = Some(text),
        None => (),
    }
}

/// An update of anything else: absent keeps.
pub(super) fn merge<T>(kept: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *kept = given;
    }
}

/// Throttling and metrics settings merge member by member; nothing unsets a limit.
pub(super) fn merge_route_settings(kept: &mut RouteSettings, given: RouteSettings) {
    let RouteSettings {
        data_trace_enabled,
        detailed_metrics_enabled,
        logging_level,
        throttling_burst_limit,
        throttling_rate_limit,
    } = given;
    merge(&mut kept.data_trace_enabled, data_trace_enabled);
    merge(&mut kept.detailed_metrics_enabled, detailed_metrics_enabled);
    merge(&mut kept.logging_level, logging_level);
    merge(&mut kept.throttling_burst_limit, throttling_burst_limit);
    merge(&mut kept.throttling_rate_limit, throttling_rate_limit);
}

/// Limits for routes of an HTTP API.
pub(super) fn check_route_settings(settings: &RouteSettings) -> Result<(), Fault> {
    if settings.data_trace_enabled == Some(true)
        || settings.logging_level.as_deref().is_some_and(|level| level != "OFF")
    {
        return Err(Fault::bad_request(
            "Execution logs are not supported on protocolType HTTP",
        ));
    }
    Ok(())
}

/// Header names come back in lower case; the rest as given.
pub(super) fn checked_cors(cors: Cors) -> Result<Cors, Fault> {
    let Cors {
        allow_credentials,
        allow_headers,
        allow_methods,
        allow_origins,
        expose_headers,
        max_age,
    } = cors;
    for origin in allow_origins.iter().flatten() {
        if origin != "*" && !origin.contains("://") {
            return Err(Fault::bad_request(format!(
                "Invalid CORS configuration: invalid origin {origin}; origins must start with a scheme or be '*'"
            )));
        }
    }
    let methods = ["*", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    if let Some(method) = allow_methods
        .iter()
        .flatten()
        .find(|method| !methods.contains(&method.as_str()))
    {
        return Err(Fault::bad_request(format!(
            "Invalid CORS configuration: invalid method {method}"
        )));
    }
    if max_age.is_some_and(|age| !(-1..=86_400).contains(&age)) {
        return Err(Fault::bad_request(
            "Invalid CORS configuration: maxAge must be between -1 and 86400",
        ));
    }
    let any_origin = allow_origins.iter().flatten().any(|origin| origin == "*");
    if allow_credentials == Some(true) && any_origin {
        return Err(Fault::bad_request(
            "Invalid CORS configuration: allowCredentials can not be used with the origin '*'",
        ));
    }
    let lower =
        |names: Option<Vec<String>>| names.map(|names| names.iter().map(|name| name.to_ascii_lowercase()).collect());
    Ok(Cors {
        allow_credentials: Some(allow_credentials.unwrap_or(false)),
        allow_headers: lower(allow_headers),
        allow_methods,
        allow_origins,
        expose_headers: lower(expose_headers),
        max_age: Some(max_age.unwrap_or(0)),
    })
}

/// Whether an integration as a whole is one that an HTTP API takes.
pub(super) fn check_integration(integration: &Integration) -> Result<(), Fault> {
    let kind = integration.integration_type.as_deref().unwrap_or_default();
    if !matches!(kind, "AWS_PROXY" | "HTTP_PROXY") {
        return Err(Fault::bad_request(format!(
            "Integration type {kind} is not supported for HTTP protocol APIs"
        )));
    }
    if integration
        .timeout_in_millis
        .is_some_and(|timeout| !(50..=30_000).contains(&timeout))
    {
        return Err(Fault::bad_request("Timeout should be between 50 ms and 30000 ms"));
    }
    match integration.payload_format_version.as_deref() {
        None => {
            return Err(Fault::bad_request(
                "PayloadFormatVersion is a required parameter for integration",
            ));
        }
        Some("1.0") => (),
        Some("2.0") if kind == "AWS_PROXY" => (),
        Some("2.0") => {
            return Err(Fault::bad_request(
                "PayloadFormatVersion 2.0 is not supported for HTTP_PROXY integrations",
            ));
        }
        Some(other) => {
            return Err(Fault::bad_request(format!(
                "PayloadFormatVersion {other} is not supported"
            )));
        }
    }
    let Some(uri) = integration.integration_uri.as_deref().filter(|uri| !uri.is_empty()) else {
        return Err(Fault::bad_request(
            "IntegrationUri is required for this integration type",
        ));
    };
    match kind {
        "AWS_PROXY" if !uri.starts_with("arn:") => Err(Fault::bad_request("Invalid function ARN or invalid uri")),
        "HTTP_PROXY" if !uri.starts_with("http") => Err(Fault::bad_request("Invalid HTTP endpoint specified for URI")),
        _ => Ok(()),
    }
}

/// Whether a route as a whole fits its API. `own` is the id it has already.
pub(super) fn check_route(record: &ApiRecord, route: &Route) -> Result<(), Fault> {
    let key = route.route_key.as_deref().unwrap_or_default();
    check_route_key(key)?;
    let taken = record
        .routes
        .values()
        .any(|other| other.route_key.as_deref() == Some(key) && other.route_id != route.route_id);
    if taken {
        return Err(Fault::conflict(format!(
            "Route with key {key} already exists for this API"
        )));
    }
    if let Some(target) = &route.target {
        let Some(id) = target.strip_prefix("integrations/") else {
            return Err(Fault::bad_request(
                "Target must be of the form integrations/<integration-id>",
            ));
        };
        if !record.integrations.contains_key(id) {
            return Err(Fault::not_found(format!("Unable to find Integration with id {id}")));
        }
    }
    let kind = route.authorization_type.as_deref().unwrap_or("NONE");
    match (kind, &route.authorizer_id) {
        ("JWT" | "CUSTOM", None) => Err(Fault::bad_request(
            "AuthorizerId is required for this authorization type",
        )),
        ("JWT" | "CUSTOM", Some(id)) if !record.authorizers.contains_key(id) => {
            Err(Fault::not_found(format!("Unable to find Authorizer by id {id}")))
        }
        ("JWT" | "CUSTOM", Some(_)) | ("NONE" | "AWS_IAM", None) => Ok(()),
        ("NONE" | "AWS_IAM", Some(_)) => Err(Fault::bad_request(
            "AuthorizerId can not be set when the authorization type is NONE",
        )),
        (other, _) => Err(Fault::bad_request(format!(
            "Authorization type {other} is not supported for HTTP protocol APIs"
        ))),
    }
}

/// `$default` or `METHOD /path` of whole parts: `{name}`, `{name+}` at the end, or plain ones of a few characters.
/// <https://github.com/aws/aws-lambda-dotnet/blob/master/Tools/LambdaTestTool-v2/src/Amazon.Lambda.TestTool/Services/ApiGatewayRouteConfigService.cs>
fn check_route_key(key: &str) -> Result<(), Fault> {
    if key == "$default" {
        return Ok(());
    }
    let parts = key.split_once(' ').filter(|(method, path)| {
        METHODS.contains(method) && path.starts_with('/') && !path.contains(char::is_whitespace)
    });
    let Some((_, path)) = parts else {
        return Err(Fault::bad_request(
            "The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> \
             /<RESOURCE PATH>\" or \"$default\"",
        ));
    };
    if path == "/" {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(Fault::bad_request("Trailing slashes are not allowed in the route key"));
    }
    let segments: Vec<&str> = path[1..].split('/').collect();
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    let mut names = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let variable = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let (name, greedy) = match variable {
            Some(variable) => variable
                .strip_suffix('+')
                .map_or((variable, false), |name| (name, true)),
            None => (*segment, false),
        };
        if !is_part(name) {
            return Err(Fault::bad_request("One or more path parts appear to be invalid"));
        }
        if greedy && index + 1 != segments.len() {
            return Err(Fault::bad_request(
                "Greedy path variables may only be at the end of the path",
            ));
        }
        if variable.is_some() {
            if names.contains(&name) {
                return Err(Fault::bad_request("Duplicate path parameter names in the route key"));
            }
            names.push(name);
        }
    }
    Ok(())
}

/// Whether an authorizer as a whole is complete.
pub(super) fn check_authorizer(authorizer: &Authorizer) -> Result<(), Fault> {
    if authorizer.name.as_deref().is_none_or(str::is_empty) {
        return Err(Fault::bad_request("Authorizer name is required"));
    }
    match authorizer.authorizer_type.as_deref() {
        Some("JWT") => {
            let jwt = authorizer.jwt_configuration.clone().unwrap_or_default();
            if !jwt.issuer.is_some_and(|issuer| issuer.starts_with("https://")) {
                return Err(Fault::bad_request(
                    "Invalid issuer: JwtConfiguration.issuer must be a https URL",
                ));
            }
            if jwt.audience.is_none_or(|audience| audience.is_empty()) {
                return Err(Fault::bad_request("JwtConfiguration.audience is required"));
            }
            match authorizer.identity_source.as_deref() {
                Some([_]) => Ok(()),
                _ => Err(Fault::bad_request("JWT authorizers need exactly one identity source")),
            }
        }
        Some("REQUEST") if authorizer.authorizer_uri.is_none() => {
            Err(Fault::bad_request("AuthorizerUri is required for REQUEST authorizers"))
        }
        Some("REQUEST") => Ok(()),
        _ => Err(Fault::bad_request("AuthorizerType must be JWT or REQUEST")),
    }
}

/// Letters, digits, `-` and `_`, or `$default`.
pub(super) fn check_stage_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name == "$default" || (!name.is_empty() && name.len() <= 128 && name.chars().all(allowed)) {
        Ok(())
    } else {
        Err(Fault::bad_request("Stage name only allows a-zA-Z0-9-_ or $default"))
    }
}

/// Names and values of stage variables. An empty value removes the variable.
pub(super) fn check_stage_variable(name: &str, value: &str) -> Result<(), Fault> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(in_name) {
        return Err(Fault::bad_request(format!(
            "Invalid stage variable name: {name}. Please use values with alphanumeric characters and underscores, of at \
             most 64 characters"
        )));
    }
    let in_value = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#&=,".contains(c);
    if value.len() > 512 || !value.chars().all(in_value) {
        return Err(Fault::bad_request(format!(
            "Invalid stage variable value for {name}. Please use values with alphanumeric characters and the symbols \
             '-._~:/?#&=,', of at most 512 characters"
        )));
    }
    Ok(())
}

/// Access log settings as they are kept: the log group without `:*`.
pub(super) fn checked_access_log(settings: AccessLogSettings) -> Result<AccessLogSettings, Fault> {
    let Some(arn) = settings.destination_arn.as_deref() else {
        return Err(Fault::bad_request("Access log settings need a destination ARN"));
    };
    if !arn.starts_with("arn:") || !(arn.contains(":logs:") || arn.contains(":firehose:")) {
        return Err(Fault::bad_request("Invalid ARN specified in the request"));
    }
    let Some(format) = settings.format.as_deref().filter(|format| !format.is_empty()) else {
        return Err(Fault::bad_request("Access log settings need a format"));
    };
    if !format.contains("$context.requestId") && !format.contains("$context.extendedRequestId") {
        return Err(Fault::bad_request(
            "Access log format must include $context.requestId or $context.extendedRequestId",
        ));
    }
    let destination_arn = Some(arn.strip_suffix(":*").unwrap_or(arn).to_owned());
    Ok(AccessLogSettings {
        destination_arn,
        ..settings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_keys() {
        for key in [
            "$default",
            "GET /",
            "GET /tasks/{taskId}",
            "ANY /x/{proxy+}",
            "POST /a.b/{x_y}/c-d",
            "GET /a:b/{c:d}",
        ] {
            assert_eq!(check_route_key(key), Ok(()), "{key}");
        }
        for key in [
            "",
            "get /x",
            "GET x",
            "GET",
            "FETCH /x",
            "GET /a b",
            "GET /{a",
            "GET /x{a}",
            "GET /{p+}/x",
            "GET /{a}/{a}",
            "GET /metrics/",
            "GET //",
            "GET /a//b",
            "GET /files/*",
            "GET /a~b",
            "GET /100%25",
            "GET /@me",
            "GET /it's(ok)!",
        ] {
            assert!(check_route_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn texts_merge() {
        let mut kept = Some("a".to_owned());
        merge_text(&mut kept, None);
        assert_eq!(kept.as_deref(), Some("a"));
        merge_text(&mut kept, Some("b".to_owned()));
        assert_eq!(kept.as_deref(), Some("b"));
        merge_text(&mut kept, Some(String::new()));
        assert_eq!(kept, None);
    }

    #[test]
    fn credentials_with_any_origin_are_refused() {
        let cors = Cors {
            allow_credentials: Some(true),
            allow_origins: Some(vec!["*".to_owned()]),
            ..Cors::default()
        };
        assert!(checked_cors(cors).is_err());
    }

    #[test]
    fn cors_headers_come_back_in_lower_case() {
        let cors = Cors {
            allow_headers: Some(vec!["X-Key".to_owned()]),
            ..Cors::default()
        };
        assert_eq!(
            checked_cors(cors).map(|cors| cors.allow_headers),
            Ok(Some(vec!["x-key".to_owned()]))
        );
    }
}
