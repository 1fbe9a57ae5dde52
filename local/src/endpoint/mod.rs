//! The one AWS endpoint of the local target. Every AWS call of `--local` comes here.
//!
//! A request is authenticated ([`authenticate`]), then authorized ([`authorize`]), then answered by its service
//! ([`crate::services`]).

pub(crate) mod authenticate;
pub(crate) mod authorize;
mod resource_tags;

use std::sync::Arc;

use ::http::request::Parts;
use ::http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::authenticate::{Admitted, Authenticator};
use self::authorize::{Authorizer, changes_policies};
use self::resource_tags::ResourceTags;
use crate::keys::Session;
use crate::protocol::OWN_PATHS;
use crate::protocol::classify::Call;
use crate::protocol::http::{Body, streamed};
use crate::protocol::server::serve_connections;
use crate::services::Services;
use crate::services::s3::cors;

/// Answers requests on [`OWN_PATHS`].
pub(crate) trait OwnPaths: Send + Sync {
    /// Answers one, of the operator or of who acts as a role.
    fn answer(&self, parts: &Parts, by_operator: bool) -> Response<Body>;
}

/// The endpoint.
pub(crate) struct Endpoint {
    /// The services behind it.
    pub services: Services,
    /// Admits callers.
    pub authenticator: Authenticator,
    /// Decides what callers may do.
    pub authorizer: Authorizer,
    /// Paths that are not AWS's.
    pub own: Arc<dyn OwnPaths>,
}

impl Endpoint {
    /// Serves until `stop` says so, then lets running calls end.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        serve_connections(listener, stop, move |request| {
            let endpoint = Arc::clone(&self);
            async move { endpoint.handle(request).await }
        })
        .await;
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::OPTIONS {
            return self.authenticator.preflight(&self.services.emulator, &parts).await;
        }
        let admitted = self
            .authenticator
            .admit(&self.services.emulator, &mut parts, streamed(body))
            .await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                tracing::debug!(?refusal, "refused");
                return refusal.answer(&parts);
            }
        };
        let (method, asked) = (
            parts.method.clone(),
            admitted.page.is_some().then(|| parts.headers.clone()),
        );
        let Admitted {
            call,
            session,
            body,
            page,
        } = admitted;
        let mut response = self.answer(&call, session.as_ref(), parts, body).await;
        // The emulator's CORS headers would allow any page.
        cors::forget(response.headers_mut());
        if let (Some(page), Some(asked)) = (page, asked) {
            page.allow(&method, &asked, &mut response);
        }
        response
    }

    async fn answer(&self, call: &Call, session: Option<&Session>, parts: Parts, body: Body) -> Response<Body> {
        if parts.uri.path().starts_with(OWN_PATHS) {
            return self.own.answer(&parts, session.is_none());
        }
        let tags = ResourceTags {
            emulator: &self.services.emulator,
            apis: &self.services.apis,
            functions: &self.services.functions,
            alarms: &self.services.alarms,
            mappings: &self.services.mappings,
            schedules: &self.services.schedules,
        };
        let body = match session {
            None => body,
            Some(session) => match self.authorizer.admit(&tags, call, session, &parts, body).await {
                Ok(body) => body,
                Err(refusal) => return *refusal,
            },
        };
        let (changes, body) = match changes_policies(call, body).await {
            Ok(read) => read,
            Err(refusal) => return *refusal,
        };
        let response = self.services.answer(call, session, parts, body).await;
        if changes {
            self.authorizer.forget();
        }
        response
    }
}
