//! Who acts as a role may do what its policies allow, and nothing else, as on AWS. Functions act as theirs; so does whoever
//! has credentials of `AssumeRole`. The operator, who acts as no role, owns the local target.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};

use super::resource_tags::ResourceTags;
use crate::keys::Session;
use crate::protocol::classify::{Call, Service};
use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::protocol::fault::{Style, fault};
use crate::protocol::http::{Body, answer, collect, full};
use crate::protocol::xml::Element;
use crate::services::iam::permissions::{Permissions, read};
use crate::services::iam::policy::Verdict;
use crate::services::iam::required::{Required, Role};
use crate::services::required::{required, takes_body};

/// How long policies are remembered: a change is seen after that, and on AWS later still.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Largest body that is looked into.
const LARGEST_BODY: usize = 80 * 1024 * 1024;

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
        tags: &ResourceTags<'_>,
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
        let found = Element::parse(answer.body());
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (caller.account.clone(), name.into_owned());
        match found.and_then(|found| Some((found.text_of("Arn")?, found))) {
            Some((arn, found)) => {
                let boundary = found.text_of("PermissionsBoundaryArn");
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
