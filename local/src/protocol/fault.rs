//! Errors in the words of the services: XML, JSON, CBOR.

use ::http::header::HeaderValue;
use ::http::request::Parts;
use ::http::{Response, StatusCode};
use serde_json::json;

use super::classify::{Service, apparent_service, header_text};
use super::http::{Body, answer};

/// How a service words its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// S3's XML.
    S3,
    /// XML of services with queries.
    Query,
    /// JSON of services with a target header: errors are 400.
    Json,
    /// JSON of services with paths.
    RestJson,
    /// Smithy RPC v2.
    Cbor,
}

impl Style {
    /// The style of the service that a request is for, by what its head says.
    pub(crate) fn of(parts: &Parts) -> Self {
        if header_text(&parts.headers, "smithy-protocol").is_some() {
            return Self::Cbor;
        }
        match apparent_service(parts) {
            Service::S3 => Self::S3,
            Service::Iam | Service::Sns | Service::Sts => Self::Query,
            Service::ApiGateway | Service::Lambda => Self::RestJson,
            Service::CloudWatch
            | Service::DynamoDb
            | Service::Events
            | Service::Logs
            | Service::Tagging
            | Service::Scheduler
            | Service::Sqs
            | Service::Other => Self::Json,
        }
    }
}

/// An error of a service. The answer to a HEAD request has no body.
pub(crate) fn fault(style: Style, is_head: bool, status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let id = uuid::Uuid::new_v4();
    let (code_text, text) = (escape(code), escape(message));
    match style {
        Style::S3 if is_head => answer(status, "application/xml", ""),
        Style::S3 => answer(
            status,
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code_text}</Code><Message>{text}</Message>\
                 <RequestId>{id}</RequestId></Error>"
            ),
        ),
        Style::Query => answer(
            status,
            "application/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code_text}</Code><Message>{text}</Message></Error>\
                 <RequestId>{id}</RequestId></ErrorResponse>"
            ),
        ),
        Style::Cbor => {
            let body = super::cbor::encode(&json!({"__type": code, "message": message}));
            let mut response = answer(status, "application/cbor", body);
            let protocol = HeaderValue::from_static("rpc-v2-cbor");
            response.headers_mut().insert("smithy-protocol", protocol);
            response
        }
        Style::Json | Style::RestJson => {
            let body = json!({"__type": code, "message": message, "Message": message});
            let mut response = answer(status, "application/json", body.to_string());
            if let Ok(kind) = HeaderValue::from_str(code) {
                response.headers_mut().insert("x-amzn-errortype", kind);
            }
            response
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
