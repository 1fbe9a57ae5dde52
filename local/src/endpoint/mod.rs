//! The one AWS endpoint of the local target. Every AWS call of `--local` comes here. What this crate owns (HTTP APIs,
//! functions) is answered here; the rest goes to the emulator, with what it loses or gets wrong mended on the way.
//!
//! A request is authenticated ([`authenticate`]), then authorized ([`authorize`]), then answered.

pub(crate) mod authenticate;
pub(crate) mod authorize;
mod cbor;
pub(crate) mod classify;
mod cloudwatch;
pub(crate) mod compat;
pub(crate) mod cors;
pub(crate) mod emulator_client;
pub(crate) mod fault;
pub(crate) mod http;
mod insights;
mod log_pattern;
mod native;
pub(crate) mod s3;
mod tagging;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use ::http::request::Parts;
use ::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::authenticate::{Admitted, Authenticator};
use self::authorize::{Authorizer, Tags};
use self::classify::{Call, Service};
use self::compat::Memory;
use self::fault::{Style, fault};
use self::http::{Body, BoxError, EmulatorClient, answer, remove_connection_headers, streamed};
pub(crate) use self::insights::Queries;
use crate::control::apigateway::Apis;
use crate::control::cloudwatch::Alarms;
use crate::control::lambda::Functions;
use crate::keys::{DEFAULT_ACCOUNT, Session};
use crate::ports::Invoker;
use crate::websites::Websites;

/// Paths that belong to the local target itself, not to AWS.
pub(crate) const OWN_PATHS: &str = "/_taskctl/";

/// Largest form that STS takes or answers with.
const LARGEST_FORM: usize = 1024 * 1024;

/// Answers requests on [`OWN_PATHS`].
pub(crate) trait OwnPaths: Send + Sync {
    /// Answers one.
    fn answer(&self, parts: &Parts) -> Response<Body>;
}

/// The endpoint.
pub(crate) struct Endpoint {
    /// What is not kept here.
    pub emulator: EmulatorClient,
    /// HTTP APIs.
    pub apis: Arc<Apis>,
    /// Functions.
    pub functions: Arc<Functions>,
    /// What runs functions.
    pub invoker: Arc<dyn Invoker>,
    /// CloudWatch alarms.
    pub alarms: Arc<Alarms>,
    /// What is remembered for mending.
    pub memory: Arc<Memory>,
    /// Questions to Logs Insights, and their answers.
    pub queries: Queries,
    /// Buckets that are websites.
    pub websites: Arc<Websites>,
    /// Who is let in.
    pub authenticator: Authenticator,
    /// What roles may do.
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
            return self.authenticator.preflight(&self.emulator, &parts).await;
        }
        let admitted = self
            .authenticator
            .admit(&self.emulator, &mut parts, streamed(body))
            .await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                tracing::debug!(?refusal, "not let in");
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
        // What the emulator says to browsers holds for any page.
        cors::forget(response.headers_mut());
        if let (Some(page), Some(asked)) = (page, asked) {
            page.allow(&method, &asked, &mut response);
        }
        response
    }

    async fn answer(&self, call: &Call, session: Option<&Session>, parts: Parts, body: Body) -> Response<Body> {
        if parts.uri.path().starts_with(OWN_PATHS) {
            return self.own.answer(&parts);
        }
        let tags = Tags {
            emulator: &self.emulator,
            apis: &self.apis,
            functions: &self.functions,
            alarms: &self.alarms,
        };
        let body = match session {
            None => body,
            Some(session) => match self.authorizer.admit(&tags, call, session, &parts, body).await {
                Ok(body) => body,
                Err(refusal) => return *refusal,
            },
        };
        match call.service {
            Service::ApiGateway if parts.uri.path().starts_with("/v2/") => {
                self.call_api_gateway(call, &parts, body).await
            }
            Service::Lambda => self.call_lambda(call, &parts, body).await,
            Service::S3 => self.call_s3(call, parts, body).await,
            Service::CloudWatch => self.call_cloudwatch(call, parts, body).await,
            Service::DynamoDb => self.call_dynamodb(call, parts, body).await,
            Service::Events => self.call_events(call, parts, body).await,
            Service::Logs => self.call_logs(call, parts, body).await,
            Service::Sns => self.call_sns(parts, body).await,
            Service::Tagging => self.call_tagging(call, parts, body).await,
            Service::Sts => self.call_sts(session, parts, body).await,
            Service::ApiGateway | Service::Iam | Service::Other => self.pass(Request::from_parts(parts, body)).await,
        }
    }

    /// Who assumes a role gets credentials of this root that are bound to what the role may do.
    async fn call_sts(&self, session: Option<&Session>, parts: Parts, body: Body) -> Response<Body> {
        let Ok(bytes) = http::collect(body, LARGEST_FORM).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the body is too long");
        };
        let form: HashMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str);
        match (field("Action").unwrap_or_default(), session) {
            ("GetCallerIdentity", Some(session)) => return identity(session),
            ("GetSessionToken" | "GetFederationToken", _) => {
                let message = "The local target has no credentials of users: assume a role.";
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
        let text = match http::collect(body, LARGEST_FORM).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return unreachable_emulator(&error.into()),
        };
        parts.headers.remove(::http::header::CONTENT_LENGTH);
        let credentials = self.authenticator.keys.of_session(&assumed);
        Response::from_parts(parts, http::full(authorize::bind(&text, &credentials)))
    }

    /// Hands a request to the emulator and its answer back, both as they come.
    async fn pass(&self, request: Request<Body>) -> Response<Body> {
        match self.emulator.send(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                remove_connection_headers(&mut parts.headers);
                Response::from_parts(parts, streamed(body))
            }
            Err(error) => unreachable_emulator(&error),
        }
    }
}

/// Who acts as a role, as STS says it.
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

/// A 503 that SDKs retry.
fn unreachable_emulator(error: &BoxError) -> Response<Body> {
    tracing::warn!(%error, "the emulator did not answer");
    let message = format!("{{\"__type\":\"ServiceUnavailable\",\"message\":\"the emulator did not answer: {error}\"}}");
    answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", message)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Accepts connections and answers requests with `handle`, until `stop`; then ends connections gracefully.
pub(crate) async fn serve_connections<Handle, Answer>(
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    handle: Handle,
) where
    Handle: Fn(Request<Incoming>) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = Response<Body>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(256 * 1024);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors: let some connections end first.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let _ = stream.set_nodelay(true);
        let handle = handle.clone();
        let service = service_fn(move |request| {
            let answer = handle(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), graceful.shutdown()).await;
}
