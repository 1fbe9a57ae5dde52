//! STS: the identity of a caller, and credentials of assumed roles.

mod actions;

use std::collections::HashMap;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};

use super::{Services, unreachable_emulator};
use crate::keys::{Credentials, DEFAULT_ACCOUNT, Session};
use crate::protocol::fault::{Style, fault};
use crate::protocol::http::{self, Body, answer};
use crate::protocol::xml::Element;

/// Largest form that STS takes or answers with.
const LARGEST_FORM: usize = 1024 * 1024;

impl Services {
    /// `AssumeRole` answers with credentials of this root that are bound to the role's permissions.
    pub(super) async fn call_sts(&self, session: Option<&Session>, parts: Parts, body: Body) -> Response<Body> {
        let Ok(bytes) = http::collect(body, LARGEST_FORM).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the body is too long");
        };
        let form: HashMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str);
        match (field("Action").unwrap_or_default(), session) {
            ("GetCallerIdentity", Some(session)) => return identity(session),
            ("GetSessionToken" | "GetFederationToken", _) => {
                let message = "The local target has no credentials for users: assume a role.";
                return fault(Style::Query, false, StatusCode::BAD_REQUEST, "InvalidAction", message);
            }
            _ => {}
        }
        let assumed = field("RoleArn").map(|role| Session {
            role: role.to_owned(),
            name: field("RoleSessionName").unwrap_or("session").to_owned(),
            expires: Some(
                jiff::Timestamp::now().as_second()
                    + field("DurationSeconds")
                        .and_then(|text| text.parse().ok())
                        .unwrap_or(3_600),
            ),
        });
        let response = self.pass(Request::from_parts(parts, http::full(bytes))).await;
        let (Some(assumed), true) = (assumed, response.status().is_success()) else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        let bytes = match http::collect(body, LARGEST_FORM).await {
            Ok(bytes) => bytes,
            Err(error) => return unreachable_emulator(&error.into()),
        };
        parts.headers.remove(::http::header::CONTENT_LENGTH);
        match Element::parse(&bytes) {
            Some(output) => {
                let credentials = self.keys.of_session(&assumed);
                Response::from_parts(parts, http::full(bind(output, &credentials)))
            }
            None => Response::from_parts(parts, http::full(bytes)),
        }
    }
}

/// The caller who acts as a role, in the words of STS.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
fn identity(session: &Session) -> Response<Body> {
    let account = session.account().unwrap_or(DEFAULT_ACCOUNT);
    let (arn, name, id) = (session.arn(), &session.name, uuid::Uuid::new_v4());
    let text = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{arn}</Arn>\
         <UserId>AROALOCAL:{name}</UserId><Account>{account}</Account></GetCallerIdentityResult><ResponseMetadata>\
         <RequestId>{id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    answer(StatusCode::OK, "text/xml", text)
}

/// The answer of `AssumeRole`, with credentials of this root.
fn bind(mut output: Element, credentials: &Credentials) -> Vec<u8> {
    let token = credentials.session_token.as_deref().unwrap_or_default();
    output.set_first("AccessKeyId", &credentials.access_key_id);
    output.set_first("SecretAccessKey", &credentials.secret_access_key);
    output.set_first("SessionToken", token);
    output.to_xml()
}
