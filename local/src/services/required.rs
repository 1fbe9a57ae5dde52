//! The permissions that a request needs, as its service defines them. Pure.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use std::collections::BTreeMap;

use ::http::Method;
use ::http::request::Parts;
use serde_json::Value;

use super::iam::required::{Actions, Required, Role};
use crate::protocol::cbor;
use crate::protocol::classify::{Call, Service, header_text};

/// Whether the body names the resource of a call.
pub(crate) fn takes_body(call: &Call, parts: &Parts) -> bool {
    match call.service {
        // Only the keys of a deletion are there.
        Service::S3 => parts.method == Method::POST && has(parts, "delete"),
        // The tags that something is made with, or given.
        Service::ApiGateway => parts.method == Method::POST && has_tags(parts.uri.path()),
        Service::Lambda => !parts.uri.path().ends_with("/invocations"),
        _ => true,
    }
}

/// Whether a call of API Gateway can carry tags that conditions ask for.
fn has_tags(path: &str) -> bool {
    path == "/v2/apis" || path.starts_with("/v2/tags/")
}

/// Everything a call takes. `role` finds a role by its name, `found` is what the emulator answered to [`super::other::question`].
pub(crate) fn required(
    call: &Call,
    parts: &Parts,
    body: &[u8],
    role: impl Fn(&str) -> Role,
    found: Option<&str>,
) -> Vec<Required> {
    let at = Actions { call };
    match call.service {
        Service::DynamoDb => at.dynamodb(&json(body)),
        Service::S3 => at.s3(parts, body),
        Service::Lambda => at.lambda(parts, &json(body)),
        Service::ApiGateway => at.api_gateway(parts, &json(body)),
        Service::Logs => at.logs(&json(body)),
        Service::CloudWatch => at.cloudwatch(&match header_text(&parts.headers, "smithy-protocol") {
            Some("rpc-v2-cbor") => cbor::decode(body).unwrap_or_default(),
            _ => json(body),
        }),
        Service::Events => at.events(&json(body)),
        Service::Tagging => vec![at.on(at.named("tag"), "*")],
        Service::Iam => at.iam(&form(body), role),
        Service::Sns => at.sns(&form(body)),
        Service::Sts => at.sts(&form(body)),
        Service::Scheduler => at.scheduler(parts, &json(body)),
        Service::Other | Service::Sqs => at.other(parts, body, found),
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn has(parts: &Parts, name: &str) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use ::http::Request;

    use super::*;

    fn check(service: &str, target: &str, body: &str, expected: &[(&str, &str)]) {
        let request = Request::post("/").header("x-amz-target", target).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let call = Call::of(&parts, service, "eu-central-1", "000000000000");
        let role = |name: &str| Role {
            arn: name.to_owned(),
            boundary: None,
        };
        let all = required(&call, &parts, body.as_bytes(), role, None);
        let all: Vec<(&str, &str)> = all.iter().map(|one| (&*one.action, &*one.resource)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn who_acts_as_a_role_takes_on_another_only_when_allowed_to() {
        let role = "arn:aws:iam::000000000000:role/other";
        check("sts", "", "Action=GetCallerIdentity", &[]);
        check(
            "sts",
            "",
            &format!("Action=AssumeRole&RoleArn={role}"),
            &[("sts:AssumeRole", role)],
        );
    }

    #[test]
    fn services_that_are_not_known_ask_for_their_actions_too() {
        check("sqs", "AmazonSQS.ListQueues", "{}", &[("sqs:ListQueues", "*")]);
    }
}
