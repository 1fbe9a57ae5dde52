//! Requests to the stack's own URLs, as a user would make them: probes each over a connection of its own, checks over
//! connections that are kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming as Body};
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::crypto::ring;
use taskctl_checks::{Incoming, Outgoing, State};
use taskctl_stack::aws::client::cancel::Cancel;
use taskctl_stack::aws::release::driver::{Checked, Probe};
use taskctl_stack::release::answer::{Answer, BODY};

use crate::failure::Failure;
use crate::promotion_gate::PromotionGate;
use crate::proxy::ProxyConnector;

/// A client with the rules by which it goes through a proxy.
struct Http {
    client: Client<HttpsConnector<ProxyConnector>, Full<Bytes>>,
    proxies: ProxyConnector,
}

impl Http {
    fn request(&self, mut request: hyper::Request<Full<Bytes>>) -> ResponseFuture {
        if let Some(authorization) = self.proxies.authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        self.client.request(request)
    }
}

/// Asks over HTTP and HTTPS.
pub struct HttpProbe {
    fresh: Http,
    gate: PromotionGate,
    client: Arc<CheckClient>,
}

/// How long an answer may take: the longest an HTTP API waits for a function.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const PATIENCE: Duration = Duration::from_secs(30);

impl HttpProbe {
    /// With the machine's certificates.
    pub fn new(gate: PromotionGate, cancel: Cancel) -> Result<Self, Failure> {
        Ok(Self {
            fresh: http(0)?,
            gate,
            client: Arc::new(CheckClient::new(cancel)?),
        })
    }
}

/// What an API answers a browser that asks whether pages of an origin may call it: the origin that may.
pub async fn allowed_origin(url: &str, origin: &str, method: &str) -> Result<Option<String>, String> {
    let request = hyper::Request::options(url)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .body(Full::default())
        .map_err(|error| format!("{url} is not a valid URL: {error}"))?;
    let client = http(0).map_err(|failure| failure.summary())?;
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let answer = answer
        .map_err(|_| format!("no response within {} s", PATIENCE.as_secs()))?
        .map_err(|error| innermost(&error))?;
    let allowed = answer.headers().get("access-control-allow-origin");
    Ok(allowed.and_then(|value| value.to_str().ok()).map(str::to_owned))
}

/// A client that keeps so many idle connections for each host.
fn http(idle: usize) -> Result<Http, Failure> {
    let no_roots = |error: std::io::Error| {
        let hint = "install the system's CA certificates (package ca-certificates)".to_owned();
        Failure::caused("no CA certificates found", &error, Some(hint))
    };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::caused("TLS is not available", &error, None))?
        .with_native_roots()
        .map_err(no_roots)?
        .with_no_client_auth();
    let proxies = ProxyConnector::from_env(tls.clone());
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(proxies.clone());
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(idle)
        .build(connector);
    Ok(Http { client, proxies })
}

#[async_trait]
impl Probe for HttpProbe {
    async fn get(&self, url: &str) -> Result<Answer, String> {
        let request = hyper::Request::get(url)
            .body(Full::default())
            .map_err(|error| format!("{url} is not a valid URL: {error}"))?;
        let exchange = async {
            let answer = self.fresh.request(request).await.map_err(|error| innermost(&error))?;
            let (head, body) = answer.into_parts();
            Ok::<_, String>((head, beginning(body).await?))
        };
        let (head, body) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| format!("no response within {} s", PATIENCE.as_secs()))??;
        let headers = head.headers.iter();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body,
        })
    }

    async fn run(&self, command: &str, variables: &[(&str, String)]) -> Result<(), String> {
        let output = tokio::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.gate.directory)
            .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("could not be started: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [&output.stderr, &output.stdout]
            .into_iter()
            .find(|said| !said.is_empty());
        let said = said
            .map(|said| String::from_utf8_lossy(said).trim().to_owned())
            .unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        Err(format!("failed ({}): {last}", output.status))
    }

    async fn check(&self, url: &str) -> Checked {
        let client = Arc::clone(&self.client) as Arc<dyn taskctl_checks::Client>;
        let report = taskctl_checks::run(&self.gate.suites, url, &self.gate.options, client).await;
        let ran = report
            .checks
            .iter()
            .filter(|check| !matches!(check.state, State::Skipped { .. }));
        Checked {
            requests: ran.count(),
            assertions: report.asserted(),
            failures: report.failures(),
            has_server_error: report.has_server_error(),
        }
    }
}

/// As much of a body as says anything.
async fn beginning(mut body: Body) -> Result<Vec<u8>, String> {
    let mut beginning = Vec::new();
    while beginning.len() < BODY {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| innermost(&error))?;
        beginning.extend_from_slice(frame.data_ref().map(|data| &**data).unwrap_or_default());
    }
    beginning.truncate(BODY);
    Ok(beginning)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Sends the requests of checks.
pub struct CheckClient {
    http: Http,
    cancel: Cancel,
}

impl CheckClient {
    /// With the machine's certificates.
    pub fn new(cancel: Cancel) -> Result<Self, Failure> {
        Ok(Self {
            http: http(2_000)?,
            cancel,
        })
    }
}

#[async_trait]
impl taskctl_checks::Client for CheckClient {
    async fn send(&self, request: Outgoing) -> Result<Incoming, String> {
        let Outgoing {
            method,
            url,
            headers,
            body,
        } = request;
        let mut built = hyper::Request::builder().method(method.as_str()).uri(&url);
        for (name, value) in &headers {
            built = built.header(name, value);
        }
        let body = body.map(Bytes::from).unwrap_or_default();
        let built = built
            .body(Full::new(body))
            .map_err(|error| format!("{method} {url} is not a valid request: {error}"))?;
        let began = Instant::now();
        let exchange = async {
            let answer = self.http.request(built).await.map_err(|error| innermost(&error))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| innermost(&error))?.to_bytes();
            Ok::<_, String>((head, body))
        };
        let (head, body) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| format!("no response within {} s", PATIENCE.as_secs()))??;
        Ok(Incoming {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body: body.to_vec(),
            elapsed: began.elapsed(),
        })
    }

    fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled()
    }

    async fn stopped(&self) {
        self.cancel.cancelled().await;
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
