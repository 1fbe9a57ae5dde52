//! IAM: roles and policies are the emulator's, which takes whatever it is given. Refused here: documents that are none, policies that
//! are not there, and more inline policies than a role can have.

use std::collections::HashMap;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::documents::{self, Purpose};
use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::protocol::fault::{Style, fault};
use crate::protocol::http::{Body, answer, collect, full};
use crate::protocol::xml::Element;
use crate::services::{Fault, Services};

/// Largest form of a call.
const LARGEST_FORM: usize = 1024 * 1024;
/// Most characters of all inline policies of a role, not to be raised.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const INLINE_LIMIT: usize = 10_240;

impl Services {
    pub(in crate::services) async fn call_iam(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let Ok(bytes) = collect(body, LARGEST_FORM).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the body is too long");
        };
        let form: HashMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        match self.check_iam(&Caller::of(call), &form).await {
            Ok(()) => self.pass(Request::from_parts(parts, full(bytes))).await,
            Err(Fault {
                status, code, message, ..
            }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                fault(Style::Query, false, status, code, &message)
            }
        }
    }

    async fn check_iam(&self, caller: &Caller, form: &HashMap<String, String>) -> Result<(), Fault> {
        let member = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let document = |name: &str, purpose: Purpose| match form.get(name) {
            None => Ok(()),
            Some(text) => match documents::fault(text, purpose) {
                None => Ok(()),
                Some(message) => Err(Fault::new(400, "MalformedPolicyDocument", message)),
            },
        };
        match member("Action") {
            "CreateRole" => document("AssumeRolePolicyDocument", Purpose::Trust),
            "UpdateAssumeRolePolicy" => document("PolicyDocument", Purpose::Trust),
            "CreatePolicy" | "CreatePolicyVersion" | "PutUserPolicy" | "PutGroupPolicy" => {
                document("PolicyDocument", Purpose::Permissions)
            }
            "PutRolePolicy" => {
                document("PolicyDocument", Purpose::Permissions)?;
                let (role, policy) = (member("RoleName"), member("PolicyName"));
                self.check_inline(caller, role, policy, member("PolicyDocument")).await
            }
            "AttachRolePolicy" | "AttachUserPolicy" | "AttachGroupPolicy" => {
                self.check_attachable(caller, member("PolicyArn")).await
            }
            _ => Ok(()),
        }
    }

    /// A policy that is attached must be there. Those of AWS itself are, whether the emulator knows them or not.
    async fn check_attachable(&self, caller: &Caller, arn: &str) -> Result<(), Fault> {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", _, "iam", "", account, _] = fields.as_slice() else {
            return Err(Fault::new(400, "ValidationError", "Invalid ARN:  Could not be parsed!"));
        };
        if *account == "aws" {
            return Ok(());
        }
        let parameters = [("Action", "GetPolicy"), ("Version", "2010-05-08"), ("PolicyArn", arn)];
        let found = self.emulator.query(caller, "iam", &parameters).await;
        match found.map_err(unavailable)?.status() {
            StatusCode::NOT_FOUND => Err(Fault::new(
                404,
                "NoSuchEntity",
                format!("Policy {arn} does not exist or is not attachable."),
            )),
            _ => Ok(()),
        }
    }

    /// All inline policies of a role together have a limit.
    async fn check_inline(&self, caller: &Caller, role: &str, policy: &str, document: &str) -> Result<(), Fault> {
        let query = async |parameters: &[(&str, &str)]| {
            let fixed = [("Version", "2010-05-08"), ("RoleName", role)];
            let all: Vec<(&str, &str)> = parameters.iter().chain(&fixed).copied().collect();
            let answer = self.emulator.query(caller, "iam", &all).await.map_err(unavailable)?;
            Ok::<Option<Element>, Fault>(Element::parse(answer.body()))
        };
        let mut size = documents::size(document);
        let listed = query(&[("Action", "ListRolePolicies")]).await?;
        let names = listed.as_ref().and_then(|listed| listed.first("PolicyNames"));
        let names: Vec<String> = names
            .into_iter()
            .flat_map(|names| names.all("member"))
            .map(Element::text)
            .collect();
        for name in names.iter().filter(|name| *name != policy) {
            let found = query(&[("Action", "GetRolePolicy"), ("PolicyName", name)]).await?;
            let text = found
                .and_then(|found| found.text_of("PolicyDocument"))
                .unwrap_or_default();
            size += documents::size(&percent_decode_str(&text).decode_utf8_lossy());
        }
        if size > INLINE_LIMIT {
            let message = format!("Maximum policy size of {INLINE_LIMIT} bytes exceeded for role {role}");
            return Err(Fault::new(409, "LimitExceeded", message));
        }
        Ok(())
    }
}

fn unavailable(error: EmulatorError) -> Fault {
    Fault::new(
        503,
        "ServiceUnavailable",
        format!("the emulator did not answer: {error}"),
    )
}
