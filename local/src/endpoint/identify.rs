//! Says which service and operation a request is for, from what AWS SDKs send: credential scope, target header,
//! Smithy RPC path, REST path. Pure.

use http::header::{self, HeaderMap};
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// Services that the endpoint treats itself, in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// HTTP APIs.
    ApiGateway,
    /// Metrics and alarms.
    CloudWatch,
    /// Tables.
    DynamoDb,
    /// Rules and targets.
    Events,
    /// Roles and policies.
    Iam,
    /// Functions.
    Lambda,
    /// Log groups.
    Logs,
    /// Buckets and objects.
    S3,
    /// Topics.
    Sns,
    /// Identity.
    Sts,
    /// Resource Groups Tagging API.
    Tagging,
    /// Everything else.
    Other,
}

/// Who calls what, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The service.
    pub service: Service,
    /// The operation where it stands outside of the body (JSON and RPC protocols).
    pub operation: Option<String>,
    /// Region of the credential scope.
    pub region: String,
    /// Account of the caller: the access key when it is twelve digits, else zeros.
    pub account: String,
}

/// The account that callers without a twelve-digit access key work in.
pub(crate) const DEFAULT_ACCOUNT: &str = "000000000000";
/// Region of unsigned requests.
const DEFAULT_REGION: &str = "us-east-1";

impl Call {
    /// Reads a request's head.
    pub(crate) fn identify(parts: &Parts) -> Self {
        let scope = credential_scope(&parts.headers, parts.uri.query().unwrap_or_default());
        let (key, region, signed_for) = match &scope {
            Some(scope) => {
                let mut fields = scope.split('/');
                (fields.next(), fields.nth(1), fields.next())
            }
            None => (None, None, None),
        };
        let target = header_text(&parts.headers, "x-amz-target").and_then(|target| target.rsplit_once('.'));
        let path = parts.uri.path();
        let rpc = path
            .strip_prefix("/service/")
            .and_then(|rest| rest.split_once("/operation/"));
        let service = match signed_for {
            Some(name) => by_signing_name(name),
            None => by_shape(target.map(|(prefix, _)| prefix), path),
        };
        let operation = target
            .map(|(_, operation)| operation)
            .or(rpc.map(|(_, operation)| operation));
        Self {
            service,
            operation: operation.map(str::to_owned),
            region: region
                .filter(|region| !region.is_empty())
                .unwrap_or(DEFAULT_REGION)
                .to_owned(),
            account: key.filter(|key| is_account(key)).unwrap_or(DEFAULT_ACCOUNT).to_owned(),
        }
    }
}

fn is_account(key: &str) -> bool {
    key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit())
}

fn by_signing_name(name: &str) -> Service {
    match name {
        "apigateway" => Service::ApiGateway,
        "monitoring" => Service::CloudWatch,
        "dynamodb" => Service::DynamoDb,
        "events" => Service::Events,
        "iam" => Service::Iam,
        "lambda" => Service::Lambda,
        "logs" => Service::Logs,
        "s3" | "s3express" => Service::S3,
        "sns" => Service::Sns,
        "sts" => Service::Sts,
        "tagging" => Service::Tagging,
        _ => Service::Other,
    }
}

/// An unsigned request can only be told by its shape; a plain one is S3's, as on a website or public object.
fn by_shape(target: Option<&str>, path: &str) -> Service {
    match target {
        Some(target) if target.starts_with("DynamoDB") => Service::DynamoDb,
        Some(target) if target.starts_with("Logs") => Service::Logs,
        Some(_) => Service::Other,
        None if path.starts_with("/2015-03-31/functions") => Service::Lambda,
        None if path.starts_with("/v2/apis") => Service::ApiGateway,
        None if path.starts_with("/_ministack") || path.starts_with("/_localstack") => Service::Other,
        None => Service::S3,
    }
}

/// `AKID/date/region/service/aws4_request`, of the header or of a presigned URL.
fn credential_scope(headers: &HeaderMap, query: &str) -> Option<String> {
    let of_header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (_, rest) = value.split_once("Credential=")?;
            Some(rest.split([',', ' ']).next().unwrap_or_default().to_owned())
        });
    of_header.or_else(|| {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

/// A header as text.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// One parameter of a query string, decoded. `Some("")` for a bare name.
pub(crate) fn query_parameter(query: &str, name: &str) -> Option<String> {
    query_parameters(query, name).into_iter().next()
}

/// All values of a query parameter, decoded, in order.
pub(crate) fn query_parameters(query: &str, name: &str) -> Vec<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use http::Request;

    use super::*;

    fn check(
        uri: &str,
        headers: &[(&str, &str)],
        service: Service,
        operation: Option<&str>,
        region: &str,
        account: &str,
    ) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let expected = Call {
            service,
            operation: operation.map(str::to_owned),
            region: region.to_owned(),
            account: account.to_owned(),
        };
        assert_eq!(Call::identify(&parts), expected);
    }

    fn signed(key: &str, region: &str, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/20261120/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn json_with_target() {
        let authorization = signed("test", "eu-central-1", "dynamodb");
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-amz-target", "DynamoDB_20120810.DescribeTable"),
        ];
        check(
            "/",
            &headers,
            Service::DynamoDb,
            Some("DescribeTable"),
            "eu-central-1",
            DEFAULT_ACCOUNT,
        );
    }

    #[test]
    fn smithy_rpc() {
        let authorization = signed("123456789012", "eu-west-1", "monitoring");
        check(
            "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm",
            &[("authorization", &authorization)],
            Service::CloudWatch,
            Some("PutMetricAlarm"),
            "eu-west-1",
            "123456789012",
        );
    }

    #[test]
    fn rest_services() {
        let authorization = signed("AKIA", "us-east-1", "lambda");
        let path = "/2015-03-31/functions/f/invocations";
        check(
            path,
            &[("authorization", &authorization)],
            Service::Lambda,
            None,
            "us-east-1",
            DEFAULT_ACCOUNT,
        );
        let authorization = signed("AKIA", "us-east-1", "apigateway");
        check(
            "/v2/apis",
            &[("authorization", &authorization)],
            Service::ApiGateway,
            None,
            "us-east-1",
            DEFAULT_ACCOUNT,
        );
    }

    #[test]
    fn presigned_and_unsigned_objects() {
        check(
            "/bucket/key?X-Amz-Credential=test%2F20261120%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Signature=0",
            &[],
            Service::S3,
            None,
            "eu-central-1",
            DEFAULT_ACCOUNT,
        );
        check(
            "/bucket/index.html",
            &[],
            Service::S3,
            None,
            "us-east-1",
            DEFAULT_ACCOUNT,
        );
    }

    #[test]
    fn nonsense_is_not_fatal() {
        check(
            "/x",
            &[("authorization", "Bearer x")],
            Service::S3,
            None,
            "us-east-1",
            DEFAULT_ACCOUNT,
        );
        check(
            "/x",
            &[("authorization", "AWS4-HMAC-SHA256 Credential=")],
            Service::S3,
            None,
            "us-east-1",
            DEFAULT_ACCOUNT,
        );
    }
}
