//! AWS as a function, for tests: clients whose calls are answered in this process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::clients::Clients;
use super::service_time::ServiceTime;

/// A call as it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Service that it is signed for: `dynamodb`, `s3`, `monitoring`, …
    pub service: String,
    /// Bucket in the host.
    pub bucket: Option<String>,
    /// `ListTables`; of services that use paths `GET /v2/apis`.
    pub operation: String,
    /// Fields of the query and of a form.
    pub fields: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

/// When everything in S3 was written.
pub(crate) const LAST_MODIFIED: jiff::Timestamp = jiff::Timestamp::constant(1_769_768_100, 0);

/// An answer: status and body.
pub(crate) type Answer = (u16, Vec<u8>);

/// Clients of a region whose calls `answer` answers.
pub(crate) fn clients(region: &str, answer: impl Fn(Call) -> Answer + Send + Sync + 'static) -> Clients {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        )))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client(answer))
        .build();
    Clients::of(&config, ServiceTime::default())
}

/// What answers the calls of one client.
pub(crate) fn http_client(
    answer: impl Fn(Call) -> Answer + Send + Sync + 'static,
) -> impl HttpClient + Clone + 'static {
    Fake(Arc::new(answer))
}

/// A value as CloudWatch's protocol writes it; `{"$time": seconds}` is a time. <https://www.rfc-editor.org/rfc/rfc8949>
pub(crate) fn cbor(value: &Value) -> Vec<u8> {
    let head = |major: u8, length: usize| {
        let length = u32::try_from(length).expect("it is short").to_be_bytes();
        [&[major << 5 | 26], &length[..]].concat()
    };
    match value {
        Value::String(text) => [head(3, text.len()), text.clone().into_bytes()].concat(),
        Value::Array(all) => all
            .iter()
            .fold(head(4, all.len()), |out, one| [out, cbor(one)].concat()),
        Value::Object(all) if all.contains_key("$time") => [vec![0xc1], cbor(&all["$time"])].concat(),
        Value::Object(all) => all.iter().fold(head(5, all.len()), |out, (key, one)| {
            [out, cbor(&Value::from(key.as_str())), cbor(one)].concat()
        }),
        Value::Bool(is_so) => vec![0xf4 | u8::from(*is_so)],
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(number), _) => [&[0x1b], &number.to_be_bytes()[..]].concat(),
            (None, number) => [&[0xfb], &number.expect("it is a number").to_be_bytes()[..]].concat(),
        },
        Value::Null => unreachable!("no answer has {value}"),
    }
}

#[derive(Clone)]
struct Fake(Arc<dyn Fn(Call) -> Answer + Send + Sync>);

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpClient for Fake {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Self(Arc::clone(&self.0)))
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = (self.0)(read(&request));
        let status = StatusCode::try_from(status).expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        response
            .headers_mut()
            .insert("last-modified", "Fri, 30 Jan 2026 10:15:00 GMT");
        if request.headers().get("smithy-protocol").is_some() {
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn read(request: &HttpRequest) -> Call {
    let uri: http::Uri = request.uri().parse().expect("the SDK wrote it");
    let host = uri.host().expect("it has a host");
    let bucket = host.split_once(".s3.").map(|(bucket, _)| bucket.to_owned());
    // Credential=KEY/DATE/REGION/SERVICE/aws4_request
    let signature = request.headers().get("authorization").unwrap_or_default();
    let service = signature.split('/').nth(3).unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default().to_vec();
    let is_form = request.headers().get("content-type") == Some("application/x-www-form-urlencoded");
    let mut fields = form(uri.query().unwrap_or_default());
    if is_form {
        fields.extend(form(&String::from_utf8_lossy(&body)));
    }
    let target = request.headers().get("x-amz-target");
    let operation = match (target, fields.get("Action"), uri.path().rsplit_once("/operation/")) {
        (Some(target), ..) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        (None, Some(action), _) => action.clone(),
        (None, None, Some((_, operation))) => operation.to_owned(),
        (None, None, None) => format!("{} {}", request.method(), uri.path()),
    };
    Call {
        service: service.to_owned(),
        bucket,
        operation,
        fields,
        body,
    }
}

fn form(text: &str) -> BTreeMap<String, String> {
    let decoded = |part: &str| {
        percent_decode_str(&part.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}
