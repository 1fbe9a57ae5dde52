//! The permissions of a role: the statements of its policies and of its permissions boundary, as the emulator keeps them.

use std::collections::BTreeSet;

use ::http::StatusCode;
use percent_encoding::percent_decode_str;

use super::policy::{Statement, Verdict, judge, statements};
use super::required::Required;
use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::protocol::xml::Element;

/// The permissions of a role.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    /// The statements of its policies.
    statements: Vec<Statement>,
    /// Those of its permissions boundary, which has to allow everything, too.
    boundary: Option<Vec<Statement>>,
}

impl Permissions {
    pub(crate) fn asks_for_tags(&self) -> bool {
        let boundary = self.boundary.iter().flatten();
        self.statements.iter().chain(boundary).any(Statement::asks_for_tags)
    }

    /// Judges one action. <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html>
    pub(crate) fn judge(&self, wanted: &Required) -> Verdict {
        let verdict = judge(self.statements.iter(), wanted);
        match &self.boundary {
            Some(boundary) if verdict == Verdict::Allowed => match judge(boundary.iter(), wanted) {
                Verdict::NotAllowed => Verdict::OutOfBounds,
                other => other,
            },
            _ => verdict,
        }
    }
}

/// The statements of all policies of a role, and of its permissions boundary.
pub(crate) async fn read(emulator: &EmulatorClient, caller: &Caller, role: &str) -> Permissions {
    let name = role.rsplit('/').next().unwrap_or_default();
    let query = async |parameters: &[(&str, &str)]| {
        let version = [("Version", "2010-05-08")];
        let all: Vec<(&str, &str)> = parameters.iter().chain(&version).copied().collect();
        match emulator.query(caller, "iam", &all).await {
            Ok(answer) if answer.status() == StatusCode::OK => Element::parse(answer.body()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, role, "could not read the policies of a role");
                None
            }
        }
    };
    let mut all = Vec::new();
    // Policies may change while they are read, and a statement may move from one to another: what the last list has is read
    // after what it may have come from, in the order in which taskctl moves statements.
    let mut known = BTreeSet::new();
    loop {
        let listed = query(&[("Action", "ListRolePolicies"), ("RoleName", name)]).await;
        let names = listed.as_ref().and_then(|listed| listed.first("PolicyNames"));
        let names = names.into_iter().flat_map(|names| names.all("member"));
        let new: BTreeSet<String> = names.map(Element::text).filter(|one| !known.contains(one)).collect();
        if new.is_empty() {
            break;
        }
        for policy in new.into_iter().rev() {
            let found = query(&[("Action", "GetRolePolicy"), ("RoleName", name), ("PolicyName", &policy)]).await;
            let document = found.and_then(|found| found.text_of("PolicyDocument"));
            all.extend(document.iter().flat_map(|text| decoded(text)));
            known.insert(policy);
        }
    }
    let managed = async |arn: &str| {
        let policy = query(&[("Action", "GetPolicy"), ("PolicyArn", arn)]).await;
        let version = policy.and_then(|policy| policy.text_of("DefaultVersionId"));
        let found = query(&[
            ("Action", "GetPolicyVersion"),
            ("PolicyArn", arn),
            ("VersionId", version.as_deref().unwrap_or("v1")),
        ])
        .await;
        Some(decoded(&found?.text_of("Document")?))
    };
    let attached = query(&[("Action", "ListAttachedRolePolicies"), ("RoleName", name)]).await;
    for arn in attached.iter().flat_map(|attached| attached.all("PolicyArn")) {
        all.extend(managed(&arn.text()).await.unwrap_or_default());
    }
    let role = query(&[("Action", "GetRole"), ("RoleName", name)]).await;
    let boundary = match role.and_then(|role| role.text_of("PermissionsBoundaryArn")) {
        None => None,
        // A boundary that is not there allows nothing, but those of AWS itself the emulator may not know.
        Some(arn) => match managed(&arn).await {
            None if arn.contains(":iam::aws:policy/") => None,
            found => Some(found.unwrap_or_default()),
        },
    };
    Permissions {
        statements: all,
        boundary,
    }
}

/// The statements of a document as IAM returns it, URL-encoded.
fn decoded(document: &str) -> Vec<Statement> {
    statements(&percent_decode_str(document).decode_utf8_lossy())
}
