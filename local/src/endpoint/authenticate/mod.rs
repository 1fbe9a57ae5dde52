//! Establishes who calls, and that they call from this machine, before anything else looks at a request. The endpoint lets code
//! run as the operator, so it answers only requests that name this machine, do not come from a page of another origin, and are
//! signed with a key of this root, body included. Everything else is 403 and changes nothing.
//!
//! Admitted requests lose their signature: the emulator gets account, region and service, and nothing that it could judge again.

mod payload;
mod refusal;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use ::http::header::{self, HeaderValue};
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;

pub(crate) use self::refusal::Refusal;
use self::signature::{Claim, Form, without_signature};
use crate::hosts;
use crate::keys::{DEFAULT_ACCOUNT, Keys, Session, is_account};
use crate::protocol::OWN_PATHS;
use crate::protocol::classify::{Call, header_text};
use crate::protocol::emulator_client::Caller;
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::{Body, answer};
use crate::services::s3::Target;
use crate::services::s3::cors::{Asked, Cors};
use crate::services::s3::websites::Websites;
use crate::signing::OWN_SERVICE;

/// Headers of a request that the emulator must not see.
const SPENT: [&str; 2] = ["authorization", "x-amz-security-token"];

/// Lets requests in.
pub(crate) struct Authenticator {
    /// The secrets of this root.
    pub keys: Keys,
    /// Whose pages belong to this local target.
    pub websites: Arc<Websites>,
    /// The port that they are served on.
    pub website_port: u16,
}

/// An admitted request.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The call: operation, region and account.
    pub call: Call,
    /// The role that the caller acts as. The operator has none.
    pub session: Option<Session>,
    /// The body, without chunks.
    pub body: Body,
    /// The page that the request comes from, when it may read the answer by the bucket's rules.
    pub page: Option<Page>,
}

/// A page of another origin.
#[derive(Debug)]
pub(crate) struct Page {
    cors: Cors,
}

impl Page {
    /// Lets the page read the answer.
    pub(crate) fn allow(&self, method: &Method, asked: &::http::HeaderMap, response: &mut Response<Body>) {
        let asked = Asked::of(method, asked);
        if let Some(grant) = asked.as_ref().and_then(|asked| self.cors.grant(asked)) {
            grant.apply(response.headers_mut(), None);
        }
    }
}

/// Where a request comes from, as browsers say.
#[derive(Debug, PartialEq, Eq)]
enum Sender {
    /// No page, or one that the request cannot harm: of this local target.
    Own,
    /// A page of another origin.
    Page(String),
    /// A link on such a page, or something that it shows: it cannot read the answer.
    Link,
}

impl Authenticator {
    /// Lets a request in, which is made the emulator's, or says why not.
    pub(crate) async fn admit(
        &self,
        emulator: &EmulatorClient,
        parts: &mut Parts,
        body: Body,
    ) -> Result<Admitted, Refusal> {
        check_place(parts)?;
        let claim = Claim::read(parts)?;
        let token = claim.session_token.as_deref();
        let (secret, session) = self.keys.find(&claim.access_key_id, token).ok_or(Refusal::UnknownKey)?;
        let now = SystemTime::now();
        claim.check_time(now)?;
        claim.check_headers(&parts.headers)?;
        check_session(session.as_ref(), now)?;
        let is_own_path = parts.uri.path().starts_with(OWN_PATHS);
        if is_own_path != (claim.service == OWN_SERVICE) {
            return Err(Refusal::Administrative);
        }
        let account = session
            .as_ref()
            .and_then(Session::account)
            .unwrap_or(&claim.access_key_id);
        let call = Call::of(parts, &claim.service, &claim.region, account);
        let page = self.check_sender(emulator, &call, parts, &claim).await?;
        let body = payload::check(parts, &claim, &secret, body).await?;
        spend(parts, &call, &claim)?;
        Ok(Admitted {
            call,
            session,
            body,
            page,
        })
    }

    /// Answers a browser that asks whether a page may send a request. Only objects can be reached so.
    pub(crate) async fn preflight(&self, emulator: &EmulatorClient, parts: &Parts) -> Response<Body> {
        let refused = |refusal: Refusal| refusal.answer(parts);
        if let Err(refusal) = check_place(parts) {
            return refused(refusal);
        }
        let Some(asked) = Asked::of(&parts.method, &parts.headers) else {
            return refused(Refusal::Missing);
        };
        // The request that comes next is signed in its URL, or is refused. What it names only finds the bucket.
        let Ok(claim) = Claim::read(parts) else {
            return refused(Refusal::Origin(origin(parts)));
        };
        let target = Target::of(parts);
        if claim.service != "s3" || target.key.is_empty() {
            return refused(Refusal::Origin(origin(parts)));
        }
        let caller = Caller {
            account: Some(claim.access_key_id)
                .filter(|key| is_account(key))
                .unwrap_or(DEFAULT_ACCOUNT.to_owned()),
            region: claim.region,
        };
        let cors = Cors::of_bucket(emulator, &caller, &target.bucket, self.website_port).await;
        match cors.grant(&asked) {
            Some(grant) => {
                let mut response = answer(StatusCode::OK, "text/plain", "");
                grant.apply(response.headers_mut(), Some(&asked));
                response
            }
            None => refused(Refusal::Origin(origin(parts))),
        }
    }

    /// Pages of other origins reach objects by presigned URLs and the bucket's rules, and nothing else.
    async fn check_sender(
        &self,
        emulator: &EmulatorClient,
        call: &Call,
        parts: &Parts,
        claim: &Claim,
    ) -> Result<Option<Page>, Refusal> {
        let is_presigned = claim.service == "s3" && matches!(claim.form, Form::Presigned { .. });
        let foreign = match self.sender(parts) {
            Sender::Own => return Ok(None),
            Sender::Link if is_presigned => return Ok(None),
            Sender::Link => return Err(Refusal::Origin(origin(parts))),
            Sender::Page(foreign) => foreign,
        };
        if !is_presigned {
            // Pages of this local target are trusted with what they were given keys for.
            return match self.websites.is_origin(&foreign, self.website_port) {
                true => Ok(None),
                false => Err(Refusal::Origin(foreign)),
            };
        }
        let bucket = Target::of(parts).bucket;
        let cors = Cors::of_bucket(emulator, &Caller::of(call), &bucket, self.website_port).await;
        let asked = Asked::of(&parts.method, &parts.headers);
        match asked.is_some_and(|asked| cors.grant(&asked).is_some()) {
            true => Ok(Some(Page { cors })),
            false => Err(Refusal::Origin(foreign)),
        }
    }

    fn sender(&self, parts: &Parts) -> Sender {
        match parts.headers.get_all(header::ORIGIN).iter().count() {
            0 => {}
            // One without text is none of ours.
            _ => return Sender::Page(origin(parts)),
        }
        match header_text(&parts.headers, "sec-fetch-site") {
            None | Some("none" | "same-origin") => Sender::Own,
            Some(_) if matches!(parts.method, Method::GET | Method::HEAD) => Sender::Link,
            Some(site) => Sender::Page(site.to_owned()),
        }
    }
}

/// A request must name this machine and no path of the emulator's own.
fn check_place(parts: &Parts) -> Result<(), Refusal> {
    hosts::names_own(&parts.uri, &parts.headers).map_err(Refusal::Host)?;
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let is_administrative = first.starts_with('_') && !parts.uri.path().starts_with(OWN_PATHS) || path == "/health";
    match is_administrative {
        true => Err(Refusal::Administrative),
        false => Ok(()),
    }
}

fn check_session(session: Option<&Session>, now: SystemTime) -> Result<(), Refusal> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    match session.and_then(|session| session.expires) {
        Some(expires) if expires < now => Err(Refusal::SessionEnded),
        _ => Ok(()),
    }
}

/// The origin that a request names.
fn origin(parts: &Parts) -> String {
    let named = header_text(&parts.headers, "origin").or(header_text(&parts.headers, "sec-fetch-site"));
    named.unwrap_or("another origin").to_owned()
}

/// Takes the signature away and names the caller to the emulator.
fn spend(parts: &mut Parts, call: &Call, claim: &Claim) -> Result<(), Refusal> {
    for name in SPENT {
        parts.headers.remove(name);
    }
    let authorization = Caller::of(call).authorization(&claim.service);
    let authorization = HeaderValue::from_str(&authorization);
    let unreadable = || Refusal::malformed("the credential scope has characters that it cannot have");
    parts
        .headers
        .insert(header::AUTHORIZATION, authorization.map_err(|_| unreadable())?);
    if let (Form::Presigned { .. }, Some(query)) = (claim.form, parts.uri.query()) {
        let rest = without_signature(query);
        let path = parts.uri.path();
        let target = match rest.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{rest}"),
        };
        parts.uri = target.parse::<Uri>().map_err(|_| unreadable())?;
    }
    Ok(())
}
