//! A caller who acts as a role may do what its policies allow, and nothing else, as on AWS. Functions act as their roles; so do
//! callers with credentials of `AssumeRole`. The operator, who acts as no role, owns the local target.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use parking_lot::Mutex;

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
use crate::services::other::{Question, question};
use crate::services::required::{required, takes_body};

/// How long policies are cached. A change forgets them at once; on AWS it takes seconds until it is seen everywhere.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Largest body of a call of IAM.
const LARGEST_IAM_BODY: usize = 1024 * 1024;
/// Largest body that is looked into.
const LARGEST_BODY: usize = 80 * 1024 * 1024;

/// The cached permissions of a role.
struct Known {
    read_at: Instant,
    /// [`Authorizer::changes`] before they were read.
    changes: u64,
    permissions: Arc<Permissions>,
}

/// Decides what callers may do.
#[derive(Default)]
pub(crate) struct Authorizer {
    policies: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Known>>>>>,
    /// Roles by account and name, as they were when a call named them last.
    roles: Mutex<HashMap<(String, String), Role>>,
    /// Calls that changed roles or policies.
    changes: AtomicU64,
}

impl Authorizer {
    /// Admits a request of a caller who acts as a role, with its body, or answers that it is not allowed.
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
        let found = named(emulator, &caller, question(call, &bytes)).await;
        let wanted = required(
            call,
            parts,
            &bytes,
            |name| self.role(&caller.account, name),
            found.as_deref(),
        );
        let permissions = self.permissions(emulator, &caller, role).await;
        let by_tags = permissions.asks_for_tags();
        for mut one in wanted {
            tags.complete(&mut one);
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

    /// Drops cached policies: a call has changed some.
    pub(crate) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn role(&self, account: &str, name: &str) -> Role {
        let roles = self.roles.lock();
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
        let mut roles = self.roles.lock();
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
            let mut policies = self.policies.lock();
            Arc::clone(policies.entry(role.to_owned()).or_default())
        };
        // One reads, the others wait for it.
        let mut known = slot.lock().await;
        let changes = self.changes.load(Ordering::SeqCst);
        if let Some(known) = known.as_ref()
            && known.changes == changes
            && known.read_at.elapsed() < REMEMBERED
        {
            return Arc::clone(&known.permissions);
        }
        let permissions = Arc::new(read(emulator, caller, role).await);
        *known = Some(Known {
            read_at: Instant::now(),
            changes,
            permissions: Arc::clone(&permissions),
        });
        permissions
    }
}

/// The ARN that answers a question, if there is one.
async fn named(emulator: &EmulatorClient, caller: &Caller, question: Option<Question>) -> Option<String> {
    let question = question?;
    let answer = emulator
        .json(caller, question.service, question.target, &question.input)
        .await;
    Some(answer.ok()?.pointer(question.pointer)?.as_str()?.to_owned())
}

/// Whether a call of IAM changes something, and its body again.
pub(crate) async fn changes_policies(call: &Call, body: Body) -> Result<(bool, Body), Box<Response<Body>>> {
    if call.service != Service::Iam {
        return Ok((false, body));
    }
    let bytes = match collect(body, LARGEST_IAM_BODY).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = error.to_string();
            return Err(Box::new(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text)));
        }
    };
    let action = url::form_urlencoded::parse(&bytes).find_map(|(key, value)| (key == "Action").then_some(value));
    let reads = action.is_some_and(|action| action.starts_with("Get") || action.starts_with("List"));
    Ok((!reads, full(bytes)))
}

/// The answer to a caller who is not allowed, in the words of the service.
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
