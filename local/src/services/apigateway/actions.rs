//! The actions that calls of API Gateway take.

use ::http::request::Parts;
use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html>
    pub(in crate::services) fn api_gateway(&self, parts: &Parts, input: &Value) -> Vec<Required> {
        let path = parts.uri.path().trim_start_matches("/v2");
        let resource = format!("arn:aws:apigateway:{}::{path}", self.call.region);
        let tags = input["tags"].as_object().or(input["Tags"].as_object());
        let tags = tags.into_iter().flatten();
        let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let wanted = self.on(format!("apigateway:{}", parts.method), resource);
        vec![self.giving(wanted, tags)]
    }
}
