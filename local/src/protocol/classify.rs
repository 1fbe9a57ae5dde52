//! Says which service and operation a request is for: the service by what it is signed for, the operation by what AWS SDKs send
//! (target header, Smithy RPC path). Pure.

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
    /// Schedules.
    Scheduler,
    /// Topics.
    Sns,
    /// Queues.
    Sqs,
    /// Identity.
    Sts,
    /// Resource Groups Tagging API.
    Tagging,
    /// Everything else.
    Other,
}

/// A call: service, operation, region, caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The service.
    pub service: Service,
    /// Its signing name, e.g. `dynamodb`.
    pub signed_for: String,
    /// The operation where it is outside of the body (JSON and RPC protocols).
    pub operation: Option<String>,
    /// Region that the request is signed for.
    pub region: String,
    /// Account of the caller.
    pub account: String,
}

impl Call {
    /// A call that the local target makes itself, in an account.
    pub(crate) fn internal(signed_for: &str, region: &str, account: &str) -> Self {
        Self {
            service: by_signing_name(signed_for),
            signed_for: signed_for.to_owned(),
            operation: None,
            region: region.to_owned(),
            account: account.to_owned(),
        }
    }

    /// The call of a request that is signed for a service in a region, in the account of its signer.
    pub(crate) fn of(parts: &Parts, signed_for: &str, region: &str, account: &str) -> Self {
        let target = header_text(&parts.headers, "x-amz-target").and_then(|target| target.rsplit_once('.'));
        let rpc = parts.uri.path().strip_prefix("/service/");
        let rpc = rpc.and_then(|rest| rest.split_once("/operation/"));
        let operation = target.or(rpc).map(|(_, operation)| operation);
        Self {
            service: by_signing_name(signed_for),
            signed_for: signed_for.to_owned(),
            operation: operation.map(str::to_owned),
            region: region.to_owned(),
            account: account.to_owned(),
        }
    }
}

/// The service that a request seems to be for, signed or not. For the words of a refusal, never for what is done.
pub(crate) fn apparent_service(parts: &Parts) -> Service {
    let scope = credential_scope(&parts.headers, parts.uri.query().unwrap_or_default());
    let signed_for = scope.as_deref().and_then(|scope| scope.split('/').nth(3));
    match signed_for {
        Some(name) => by_signing_name(name),
        None => {
            let target = header_text(&parts.headers, "x-amz-target").and_then(|target| target.rsplit_once('.'));
            by_shape(target.map(|(prefix, _)| prefix), parts.uri.path())
        }
    }
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
        "scheduler" => Service::Scheduler,
        "sns" => Service::Sns,
        "sqs" => Service::Sqs,
        "sts" => Service::Sts,
        "tagging" => Service::Tagging,
        _ => Service::Other,
    }
}

/// An unsigned request is only recognized by its shape; a plain one is S3's, as on a website or public object.
fn by_shape(target: Option<&str>, path: &str) -> Service {
    match target {
        Some(target) if target.starts_with("DynamoDB") => Service::DynamoDb,
        Some(target) if target.starts_with("Logs") => Service::Logs,
        Some(_) => Service::Other,
        None if path.starts_with("/2015-03-31/functions") => Service::Lambda,
        None if path.starts_with("/v2/apis") => Service::ApiGateway,
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

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check(signed_for: &str, uri: &str, headers: &[(&str, &str)], service: Service, operation: Option<&str>) {
        let expected = Call {
            service,
            signed_for: signed_for.to_owned(),
            operation: operation.map(str::to_owned),
            region: "eu-central-1".to_owned(),
            account: "111122223333".to_owned(),
        };
        let call = Call::of(&parts(uri, headers), signed_for, "eu-central-1", "111122223333");
        assert_eq!(call, expected);
    }

    #[test]
    fn the_service_is_the_one_that_is_signed_for() {
        let target = [("x-amz-target", "DynamoDB_20120810.DescribeTable")];
        check("dynamodb", "/", &target, Service::DynamoDb, Some("DescribeTable"));
        let rpc = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
        check("monitoring", rpc, &[], Service::CloudWatch, Some("PutMetricData"));
        check("apigateway", "/v2/apis/abc", &[], Service::ApiGateway, None);
        check("lambda", "/2015-03-31/functions", &[], Service::Lambda, None);
        check("iam", "/", &[], Service::Iam, None);
        // A path or target of another service does not change it.
        check("s3", "/2015-03-31/functions", &[], Service::S3, None);
        check("sqs", "/", &target, Service::Sqs, Some("DescribeTable"));
        check(
            "sqs",
            "/v2/apis?X-Amz-Credential=k/d/r/apigateway/aws4_request",
            &[],
            Service::Sqs,
            None,
        );
    }

    #[test]
    fn refusals_speak_as_the_service_that_seems_to_be_meant() {
        let seems = |uri: &str, headers: &[(&str, &str)]| apparent_service(&parts(uri, headers));
        assert_eq!(
            seems("/", &[("x-amz-target", "DynamoDB_20120810.Scan")]),
            Service::DynamoDb
        );
        assert_eq!(seems("/v2/apis", &[]), Service::ApiGateway);
        assert_eq!(seems("/bucket/key", &[]), Service::S3);
        let authorization =
            "AWS4-HMAC-SHA256 Credential=k/20260101/eu-central-1/iam/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(seems("/", &[("authorization", authorization)]), Service::Iam);
        assert_eq!(
            seems("/?X-Amz-Credential=k%2F20260101%2Fr%2Fsts%2Faws4_request", &[]),
            Service::Sts
        );
    }
}
