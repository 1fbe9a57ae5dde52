//! The event of a sample request.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::event::{Incoming, domain_name, event};
use super::route::{DEFAULT_ROUTE, RouteTable};
use super::target;
use crate::ports::{ApiSnapshot, ExecuteApiEndpoint, RouteSettings, RouteSnapshot, StageSnapshot};

/// The stage without a prefix.
const STAGE: &str = "$default";

/// An API whose events are wanted without a request.
#[derive(Debug)]
pub struct SampleEvent {
    api: ApiSnapshot,
    stage: StageSnapshot,
    routes: RouteTable,
}

impl SampleEvent {
    /// An API: account, region and id, the keys of its routes (`GET /tasks/{taskId}`), and the variables of its stage.
    pub fn new(
        (account, region, api_id): (&str, &str, &str),
        route_keys: impl IntoIterator<Item = String>,
        variables: BTreeMap<String, String>,
    ) -> Self {
        let routes = route_keys.into_iter().map(|key| RouteSnapshot {
            route_id: key.clone(),
            route_key: key,
            integration_id: None,
            authorization_type: "NONE".to_owned(),
            authorizer_id: None,
            authorization_scopes: Vec::new(),
        });
        Self {
            api: ApiSnapshot {
                api_id: api_id.to_owned(),
                region: region.to_owned(),
                account: account.to_owned(),
                endpoint: ExecuteApiEndpoint::Enabled,
                stages: BTreeMap::new(),
            },
            stage: StageSnapshot {
                name: STAGE.to_owned(),
                deployment: None,
                variables,
                default_route_settings: RouteSettings::default(),
                route_settings: BTreeMap::new(),
                access_log: None,
            },
            routes: RouteTable::of(routes),
        }
    }

    /// The event (payload format 2.0) of a request for a path with its query. A body is JSON. A request that no route takes has the
    /// key `$default`.
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
    pub fn event(&self, method: &str, target: &str, body: Option<&str>, time: Timestamp) -> serde_json::Result<Bytes> {
        let (raw, query) = target.split_once('?').unwrap_or((target, ""));
        let decoded = target::decode(raw);
        let path = decoded.as_deref().unwrap_or(raw);
        let found = self.routes.find(method, path);
        let (key, parameters) = match &found {
            Some(found) => (found.route.route_key.as_str(), found.path_parameters.clone()),
            None => (DEFAULT_ROUTE, BTreeMap::new()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("taskctl"));
        if let Ok(host) = HeaderValue::try_from(domain_name(&self.api)) {
            headers.insert(HOST, host);
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let incoming = Incoming {
            method,
            path,
            query,
            protocol: "HTTP/1.1",
            headers: &headers,
            source_ip: Ipv4Addr::LOCALHOST.into(),
            server_port: 443,
            request_id: "taskctl-invoke",
            trace_id: "Root=1-00000000-000000000000000000000000",
            time,
        };
        let body = Bytes::copy_from_slice(body.unwrap_or_default().as_bytes());
        event(&self.api, &self.stage, key, parameters, &incoming, &body)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use serde_json::Value;

    use super::*;

    fn event_of(method: &str, target: &str, body: Option<&str>) -> Value {
        let keys = ["GET /tasks", "PUT /tasks/{taskId}"].map(str::to_owned);
        let variables = BTreeMap::from([("release".to_owned(), "7".to_owned())]);
        let sample = SampleEvent::new(("000000000000", "eu-central-1", "abc123"), keys, variables);
        let event = sample.event(method, target, body, Timestamp::UNIX_EPOCH).unwrap();
        serde_json::from_slice(&event).unwrap()
    }

    #[test]
    fn a_rehearsed_request_has_route_parameters_and_release() {
        let event = event_of("PUT", "/tasks/a%20b?tag=x%2Cy&tag=z", Some(r#"{"title":"t"}"#));
        assert_eq!(event["routeKey"], "PUT /tasks/{taskId}");
        assert_eq!(event["pathParameters"]["taskId"], "a b");
        assert_eq!(event["queryStringParameters"]["tag"], "x,y,z");
        assert_eq!(event["stageVariables"]["release"], "7");
        assert_eq!(event["headers"]["content-type"], "application/json");
        assert_eq!(event["body"], r#"{"title":"t"}"#);
        assert_eq!(event["isBase64Encoded"], false);
    }

    #[test]
    fn what_no_route_takes_has_the_default_key_and_no_body() {
        let event = event_of("DELETE", "/nothing", None);
        assert_eq!(event["routeKey"], "$default");
        assert!(event.get("body").is_none() && event["headers"].get("content-type").is_none());
    }
}
