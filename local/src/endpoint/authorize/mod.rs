//! Who acts as a role may do what its policies allow, and nothing else, as on AWS. Functions act as theirs; so does whoever
//! has credentials of `AssumeRole`. The operator, who acts as no role, owns the local target.

mod policy;
mod required;
mod tags;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

use self::policy::{Statement, Verdict, judge, statements};
use self::required::{Required, Role, required, takes_body};
pub(crate) use self::tags::Tags;
use super::classify::{Call, Service};
use super::emulator_client::Caller;
use super::fault::{Style, fault};
use super::http::{Body, EmulatorClient, answer, collect, full};
use crate::keys::{Credentials, Session};

/// How long policies are remembered: a change is seen after that, and on AWS later still.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Largest body that is looked into.
const LARGEST_BODY: usize = 80 * 1024 * 1024;

/// The answer of `AssumeRole`, with credentials of this root.
pub(crate) fn bind(answer: &str, credentials: &Credentials) -> String {
    let token = credentials.session_token.as_deref().unwrap_or_default();
    let values = [
        ("AccessKeyId", &*credentials.access_key_id),
        ("SecretAccessKey", &credentials.secret_access_key),
        ("SessionToken", token),
    ];
    let mut bound = answer.to_owned();
    for (tag, value) in values {
        if let Some(given) = between(answer, tag).next() {
            bound = bound.replace(&format!("<{tag}>{given}</{tag}>"), &format!("<{tag}>{value}</{tag}>"));
        }
    }
    bound
}

/// What a role may do.
#[derive(Debug, Default)]
struct Permissions {
    /// The statements of its policies.
    statements: Vec<Statement>,
    /// Those of its permissions boundary, which has to allow everything, too.
    boundary: Option<Vec<Statement>>,
}

impl Permissions {
    fn asks_for_tags(&self) -> bool {
        let boundary = self.boundary.iter().flatten();
        self.statements.iter().chain(boundary).any(Statement::asks_for_tags)
    }

    /// Judges one action. <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html>
    fn judge(&self, wanted: &Required) -> Verdict {
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

/// What a role's policies say, and when they were read.
type Known = (Instant, Arc<Permissions>);

/// Knows what roles may do.
#[derive(Default)]
pub(crate) struct Authorizer {
    policies: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Known>>>>>,
    /// Roles by account and name, as they were when a call named them last.
    roles: Mutex<HashMap<(String, String), Role>>,
}

impl Authorizer {
    /// Lets a request of somebody who acts as a role through, with its body, or answers that it is not allowed.
    pub(crate) async fn admit(
        &self,
        tags: &Tags<'_>,
        call: &Call,
        session: &Session,
        parts: &Parts,
        body: Body,
    ) -> Result<Body, Box<Response<Body>>> {
        let role = &session.role;
        let (bytes, body) = match takes_body(call, parts) {
            false => (bytes::Bytes::new(), body),
            true => match collect(body, LARGEST_BODY).await {
                Ok(bytes) => (bytes.clone(), full(bytes)),
                Err(error) => {
                    let text = error.to_string();
                    return Err(Box::new(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text)));
                }
            },
        };
        let caller = Caller::of(call);
        let emulator = tags.emulator;
        if call.service == Service::Iam {
            self.learn_role(emulator, &caller, &bytes).await;
        }
        let wanted = required(call, parts, &bytes, |name| self.role(&caller.account, name));
        let permissions = self.permissions(emulator, &caller, role).await;
        let by_tags = permissions.asks_for_tags();
        for mut one in wanted {
            if by_tags {
                one.context.extend(tags.keys(&caller, &one.resource).await);
            }
            let one = &one;
            let verdict = permissions.judge(one);
            if verdict != Verdict::Allowed {
                return Err(Box::new(refusal(call, parts, session, one, verdict)));
            }
        }
        Ok(body)
    }

    fn role(&self, account: &str, name: &str) -> Role {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = roles.get(&(account.to_owned(), name.to_owned())).cloned();
        known.unwrap_or_else(|| Role {
            arn: format!("arn:aws:iam::{account}:role/{name}"),
            boundary: None,
        })
    }

    /// A call names a role without its path; policies name it with, and ask for its permissions boundary.
    async fn learn_role(&self, emulator: &EmulatorClient, caller: &Caller, body: &[u8]) {
        let name = url::form_urlencoded::parse(body).find_map(|(key, value)| (key == "RoleName").then_some(value));
        let Some(name) = name else { return };
        let parameters = [("Action", "GetRole"), ("Version", "2010-05-08"), ("RoleName", &*name)];
        let Ok(answer) = emulator.query(caller, "iam", &parameters).await else {
            return;
        };
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (caller.account.clone(), name.into_owned());
        match between(&text, "Arn").next() {
            Some(arn) => {
                let arn = arn.to_owned();
                let boundary = between(&text, "PermissionsBoundaryArn").next().map(str::to_owned);
                roles.insert(known, Role { arn, boundary });
            }
            None => drop(roles.remove(&known)),
        }
    }

    async fn permissions(&self, emulator: &EmulatorClient, caller: &Caller, role: &str) -> Arc<Permissions> {
        let slot = {
            let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(policies.entry(role.to_owned()).or_default())
        };
        // One reads, the others wait for it.
        let mut known = slot.lock().await;
        if let Some((at, permissions)) = known.as_ref()
            && at.elapsed() < REMEMBERED
        {
            return Arc::clone(permissions);
        }
        let read = Arc::new(read(emulator, caller, role).await);
        *known = Some((Instant::now(), Arc::clone(&read)));
        read
    }
}

/// The statements of all policies of a role, and of its permissions boundary.
async fn read(emulator: &EmulatorClient, caller: &Caller, role: &str) -> Permissions {
    let name = role.rsplit('/').next().unwrap_or_default();
    let query = async |parameters: &[(&str, &str)]| {
        let version = [("Version", "2010-05-08")];
        let all: Vec<(&str, &str)> = parameters.iter().chain(&version).copied().collect();
        match emulator.query(caller, "iam", &all).await {
            Ok(answer) if answer.status() == StatusCode::OK => String::from_utf8_lossy(answer.body()).into_owned(),
            Ok(_) => String::new(),
            Err(error) => {
                tracing::warn!(%error, role, "the policies of a role cannot be read");
                String::new()
            }
        }
    };
    let mut all = Vec::new();
    // Policies may change while they are read, and a statement may move from one to another: what the last list has is read
    // after what it may have come from, in the order in which taskctl moves statements.
    let mut known = BTreeSet::new();
    loop {
        let listed = query(&[("Action", "ListRolePolicies"), ("RoleName", name)]).await;
        let names = between(&listed, "PolicyNames").next().unwrap_or_default().to_owned();
        let new: BTreeSet<&str> = between(&names, "member").filter(|one| !known.contains(*one)).collect();
        if new.is_empty() {
            break;
        }
        for policy in new.into_iter().rev() {
            let text = query(&[("Action", "GetRolePolicy"), ("RoleName", name), ("PolicyName", policy)]).await;
            all.extend(between(&text, "PolicyDocument").flat_map(document));
            known.insert(policy.to_owned());
        }
    }
    let managed = async |arn: &str| {
        let policy = query(&[("Action", "GetPolicy"), ("PolicyArn", arn)]).await;
        let version = between(&policy, "DefaultVersionId").next().unwrap_or("v1");
        let text = query(&[
            ("Action", "GetPolicyVersion"),
            ("PolicyArn", arn),
            ("VersionId", version),
        ])
        .await;
        between(&text, "Document").next().map(document)
    };
    let attached = query(&[("Action", "ListAttachedRolePolicies"), ("RoleName", name)]).await;
    for arn in between(&attached, "PolicyArn") {
        all.extend(managed(arn).await.unwrap_or_default());
    }
    let role = query(&[("Action", "GetRole"), ("RoleName", name)]).await;
    let boundary = match between(&role, "PermissionsBoundaryArn").next() {
        None => None,
        // A boundary that is not there allows nothing, but those of AWS itself the emulator may not know.
        Some(arn) => match managed(arn).await {
            None if arn.contains(":iam::aws:policy/") => None,
            found => Some(found.unwrap_or_default()),
        },
    };
    Permissions {
        statements: all,
        boundary,
    }
}

/// A document as IAM returns it: URL-encoded, in XML.
fn document(text: &str) -> Vec<Statement> {
    let plain = text.replace("&quot;", "\"").replace("&amp;", "&");
    statements(&percent_decode_str(&plain).decode_utf8_lossy())
}

/// What stands between the tags of a name, each time.
fn between<'a>(text: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(&open)? + open.len();
        let end = start + rest[start..].find(&close)?;
        let found = &rest[start..end];
        rest = &rest[end + close.len()..];
        Some(found)
    })
}

/// The answer to somebody who is not allowed to, as the service words it.
fn refusal(call: &Call, parts: &Parts, session: &Session, wanted: &Required, verdict: Verdict) -> Response<Body> {
    let why = match verdict {
        Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
        Verdict::OutOfBounds => format!("because no permissions boundary allows the {} action", wanted.action),
        _ => format!("because no identity-based policy allows the {} action", wanted.action),
    };
    let message = format!(
        "User: {} is not authorized to perform: {} on resource: {} {why}",
        session.arn(),
        wanted.action,
        wanted.resource
    );
    tracing::info!(
        role = session.role,
        action = wanted.action,
        resource = wanted.resource,
        "not allowed"
    );
    let style = Style::of(parts);
    let code = match style {
        Style::S3 | Style::Query => "AccessDenied",
        Style::Json | Style::RestJson | Style::Cbor => "AccessDeniedException",
    };
    let status = match call.service {
        Service::S3 | Service::Iam | Service::Sns | Service::Sts => StatusCode::FORBIDDEN,
        Service::Lambda | Service::ApiGateway => StatusCode::FORBIDDEN,
        Service::CloudWatch if style == Style::Cbor => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    fault(style, parts.method == Method::HEAD, status, code, &message)
}
