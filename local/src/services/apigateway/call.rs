//! Calls of API Gateway as they come in.

use ::http::Response;
use ::http::request::Parts;

use super::Owner;
use crate::protocol::classify::Call;
use crate::protocol::http::Body;
use crate::services::Services;
use crate::services::reply::{Style, read, respond};

impl Services {
    pub(in crate::services) async fn call_api_gateway(&self, call: &Call, parts: &Parts, body: Body) -> Response<Body> {
        let result = match read(body, "API Gateway").await {
            Ok(body) => {
                let owner = Owner {
                    account: &call.account,
                    region: &call.region,
                };
                self.apis.call(
                    owner,
                    &parts.method,
                    parts.uri.path(),
                    parts.uri.query().unwrap_or_default(),
                    &body,
                )
            }
            Err(fault) => Err(fault),
        };
        respond(result, Style::ApiGateway)
    }
}
