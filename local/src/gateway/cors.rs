//! Cross-origin rules of an API: preflights and the headers on every other response.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;

use super::response::Outgoing;
use crate::ports::CorsSnapshot;

/// Whether a request asks for permission rather than for an answer.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight, or to an `OPTIONS` that has no route.
pub(super) fn preflight(cors: &CorsSnapshot, request: &HeaderMap) -> Outgoing {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if allow_origin(cors, request, headers) == Origin::Allowed {
        insert_list(headers, ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        insert_list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        if let Some(seconds) = cors.max_age_seconds {
            headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
    }
    response
}

/// Puts the API's own headers in the place of those that a function gave.
pub(super) fn apply(cors: &CorsSnapshot, request: &HeaderMap, response: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE,
    ] {
        response.remove(name);
    }
    if allow_origin(cors, request, response) == Origin::Allowed {
        insert_list(response, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Allowed,
    Other,
}

fn allow_origin(cors: &CorsSnapshot, request: &HeaderMap, response: &mut HeaderMap) -> Origin {
    let Some(origin) = request.get(ORIGIN) else {
        return Origin::Other;
    };
    let any = cors.allow_origins.iter().any(|allowed| allowed == "*");
    if !any {
        // The answer depends on the origin, even when it is a refusal.
        response.append(VARY, HeaderValue::from_static("origin"));
    }
    let listed = origin
        .to_str()
        .is_ok_and(|origin| cors.allow_origins.iter().any(|allowed| covers(allowed, origin)));
    if !any && !listed {
        return Origin::Other;
    }
    let value = if any {
        HeaderValue::from_static("*")
    } else {
        origin.clone()
    };
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if cors.allow_credentials {
        response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    Origin::Allowed
}

/// An exact origin, or every one of a scheme (`https://*`).
fn covers(allowed: &str, origin: &str) -> bool {
    match allowed.strip_suffix("://*") {
        Some(scheme) => origin.split_once("://").is_some_and(|(own, _)| own == scheme),
        None => allowed == origin,
    }
}

fn insert_list(headers: &mut HeaderMap, name: HeaderName, items: &[String]) {
    if !items.is_empty()
        && let Ok(value) = HeaderValue::from_str(&items.join(","))
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    fn cors(origins: &[&str]) -> CorsSnapshot {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        CorsSnapshot {
            allow_origins: list(origins),
            allow_methods: list(&["GET", "POST"]),
            allow_headers: list(&["content-type", "if-match"]),
            expose_headers: list(&["etag", "location"]),
            max_age_seconds: Some(600),
            allow_credentials: false,
        }
    }

    fn request(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        headers
    }

    fn shown(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.join("\n")
    }

    #[test]
    fn preflight_of_an_allowed_origin() {
        let response = preflight(
            &cors(&["http://localhost:1580"]),
            &request(Some("http://localhost:1580")),
        );
        assert_eq!(response.status(), 204);
        insta::assert_snapshot!(shown(response.headers()), @r#"
        access-control-allow-headers: content-type,if-match
        access-control-allow-methods: GET,POST
        access-control-allow-origin: http://localhost:1580
        access-control-max-age: 600
        vary: origin
        "#);
    }

    #[test]
    fn preflight_of_another_origin_allows_nothing() {
        for origin in [
            None,
            Some("http://localhost"),
            Some("https://localhost:1580"),
            Some("null"),
        ] {
            let response = preflight(&cors(&["http://localhost:1580"]), &request(origin));
            assert_eq!(response.status(), 204);
            assert!(!shown(response.headers()).contains("access-control"), "{origin:?}");
        }
    }

    #[test]
    fn the_functions_own_headers_are_discarded() {
        let mut response = HeaderMap::new();
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://evil"));
        response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        response.insert(VARY, HeaderValue::from_static("accept"));
        apply(&cors(&["http://a"]), &request(Some("http://a")), &mut response);
        insta::assert_snapshot!(shown(&response), @r#"
        access-control-allow-origin: http://a
        access-control-expose-headers: etag,location
        vary: accept
        vary: origin
        "#);
        let mut response = HeaderMap::new();
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://evil"));
        apply(&cors(&["http://a"]), &request(None), &mut response);
        assert_eq!(shown(&response), "");
    }

    #[test]
    fn every_origin_and_every_origin_of_a_scheme() {
        let allowed = |origins: &[&str], origin: &str| {
            let mut response = HeaderMap::new();
            apply(&cors(origins), &request(Some(origin)), &mut response);
            response
                .get(ACCESS_CONTROL_ALLOW_ORIGIN)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(allowed(&["*"], "http://a").as_deref(), Some("*"));
        assert_eq!(
            allowed(&["https://*"], "https://a.example").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(allowed(&["https://*"], "http://a.example"), None);
    }

    #[test]
    fn only_options_with_both_headers_is_a_preflight() {
        let mut headers = request(Some("http://a"));
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::GET, &headers));
    }
}
