//! Serves buckets that have a website configuration, as S3's website endpoints do: `http://{bucket}.localhost:PORT/`,
//! and the website written to last on plain `localhost` and `127.0.0.1`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderValue};
use ::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::LocalError;
use crate::files;
use crate::hosts;
use crate::protocol::classify::header_text;
use crate::protocol::emulator_client::Caller;
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::{Body, answer, full, remove_connection_headers, streamed};
use crate::protocol::server::serve_connections;
use crate::protocol::xml::Element;
use crate::services::iam::policy::{Verdict, judge, statements};
use crate::services::iam::required::Required;
use crate::services::s3::cors::{self, Asked, Cors};
use crate::services::s3::{bucket_of_host, is_public};

const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');
/// Headers of a request that S3 looks at.
const CONDITIONS: [header::HeaderName; 5] = [
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Which buckets are websites, and which was written to last. Kept on disk.
pub(crate) struct Websites {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Known {
    /// Account and region by bucket.
    buckets: BTreeMap<String, (String, String)>,
    last_written: Option<String>,
}

impl Websites {
    /// Reads the state on disk.
    pub(crate) fn open(file: PathBuf) -> Result<Self, LocalError> {
        let known = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            known: Mutex::new(known),
        })
    }

    /// A bucket got a website configuration.
    pub(crate) fn add(&self, caller: &Caller, bucket: &str) {
        let mut known = self.known.lock();
        known
            .buckets
            .insert(bucket.to_owned(), (caller.account.clone(), caller.region.clone()));
        known.last_written = Some(bucket.to_owned());
        self.keep(&known);
    }

    /// A bucket is no website any more.
    pub(crate) fn remove(&self, bucket: &str) {
        let mut known = self.known.lock();
        if known.buckets.remove(bucket).is_some() {
            if known.last_written.as_deref() == Some(bucket) {
                known.last_written = known.buckets.keys().next().cloned();
            }
            self.keep(&known);
        }
    }

    /// An object of a bucket was written.
    pub(crate) fn written(&self, bucket: &str) {
        let mut known = self.known.lock();
        if known.last_written.as_deref() != Some(bucket) && known.buckets.contains_key(bucket) {
            known.last_written = Some(bucket.to_owned());
            self.keep(&known);
        }
    }

    /// All websites.
    pub(crate) fn buckets(&self) -> Vec<String> {
        self.known.lock().buckets.keys().cloned().collect()
    }

    /// Whether pages of an origin, e.g. `http://shop-dev-site.localhost:1580`, come from one of these.
    pub(crate) fn is_origin(&self, origin: &str, port: u16) -> bool {
        let Some((name, given)) = origin.strip_prefix("http://").and_then(|host| host.rsplit_once(':')) else {
            return false;
        };
        if given != port.to_string() {
            return false;
        }
        let known = self.known.lock();
        match name {
            "localhost" | "127.0.0.1" => known.last_written.is_some(),
            _ => name
                .strip_suffix(".localhost")
                .is_some_and(|bucket| known.buckets.contains_key(bucket)),
        }
    }

    fn keep(&self, known: &Known) {
        if let Err(error) = files::write_json(&self.file, known) {
            tracing::warn!(%error, "the list of websites could not be saved");
        }
    }

    /// The website that a host stands for.
    fn find(&self, host: &str) -> Option<(String, Caller)> {
        let known = self.known.lock();
        let bucket = bucket_of_host(host)
            .map(str::to_owned)
            .or_else(|| known.last_written.clone())?;
        let (account, region) = known.buckets.get(&bucket)?.clone();
        Some((bucket, Caller { account, region }))
    }
}

/// Answers requests for websites.
pub(crate) struct WebsiteServer {
    pub websites: Arc<Websites>,
    pub emulator: EmulatorClient,
    /// The port that it serves.
    pub port: u16,
}

impl WebsiteServer {
    /// Serves until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        serve_connections(listener, stop, move |request| {
            let server = Arc::clone(&self);
            async move { server.answer(request).await }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Err(host) = hosts::names_own(request.uri(), request.headers()) {
            return page(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                &format!("Websites are served under *.localhost, not under {host:?}."),
            );
        }
        let (method, headers) = (request.method().clone(), request.headers().clone());
        if method == Method::OPTIONS {
            return self.preflight(&headers).await;
        }
        let mut response = self.site(request).await;
        // As everywhere, pages of other origins read what the bucket's own rules let them.
        cors::forget(response.headers_mut());
        let found = header_text(&headers, "host").and_then(|host| self.websites.find(host));
        if let (Some(asked), Some((bucket, caller))) = (Asked::of(&method, &headers), found) {
            let rules = Cors::of_bucket(&self.emulator, &caller, &bucket, self.port).await;
            if let Some(grant) = rules.grant(&asked) {
                grant.apply(response.headers_mut(), None);
            }
        }
        response
    }

    /// Answers a browser that asks whether a page of another origin may send a request.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html>
    async fn preflight(&self, headers: &HeaderMap) -> Response<Body> {
        let Some(asked) = Asked::of(&Method::OPTIONS, headers) else {
            return page(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "Insufficient information. Origin request header needed.",
            );
        };
        if let Some((bucket, caller)) = header_text(headers, "host").and_then(|host| self.websites.find(host)) {
            let rules = Cors::of_bucket(&self.emulator, &caller, &bucket, self.port).await;
            if let Some(grant) = rules.grant(&asked) {
                let mut response = answer(StatusCode::OK, "text/plain", "");
                grant.apply(response.headers_mut(), Some(&asked));
                return response;
            }
        }
        page(
            StatusCode::FORBIDDEN,
            "AccessForbidden",
            "CORSResponse: This CORS request is not allowed.",
        )
    }

    async fn site(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return page(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            );
        }
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let Some((bucket, caller)) = self.websites.find(host) else {
            return page(
                StatusCode::NOT_FOUND,
                "NoSuchBucket",
                "No bucket of this name has a website configuration.",
            );
        };
        let (index, error_document) = self.configuration(&caller, &bucket).await;
        let policy = self.policy(&caller, &bucket).await;
        if !is_public(&policy) {
            return page(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "The bucket's policy does not allow public reads.",
            );
        }
        let path = percent_decode_str(request.uri().path())
            .decode_utf8_lossy()
            .into_owned();
        let key = path.trim_start_matches('/');
        let wanted = if key.is_empty() || key.ends_with('/') {
            format!("{key}{index}")
        } else {
            key.to_owned()
        };
        if is_denied(&policy, &bucket, &wanted) {
            return page(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "The bucket's policy denies public reads of this object.",
            );
        }
        let found = self.object(&caller, &bucket, &wanted, &request).await;
        if found.status() != StatusCode::NOT_FOUND {
            return found;
        }
        let directory = format!("{key}/{index}");
        if wanted == key
            && self
                .object(&caller, &bucket, &directory, &request)
                .await
                .status()
                .is_success()
        {
            return redirect(&format!("{}/", request.uri().path()));
        }
        if let Some(document) = error_document {
            let mut response = self.object(&caller, &bucket, &document, &request).await;
            if response.status().is_success() {
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            }
        }
        page(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
    }

    /// Index document and error document.
    async fn configuration(&self, caller: &Caller, bucket: &str) -> (String, Option<String>) {
        let response = self
            .emulator
            .s3(caller, Method::GET, &format!("/{bucket}?website"))
            .await;
        let configuration = response.ok().and_then(|response| Element::parse(response.body()));
        let text = |name: &str| configuration.as_ref()?.text_of(name);
        (text("Suffix").unwrap_or_else(|| "index.html".to_owned()), text("Key"))
    }

    /// The bucket's policy; null without one.
    async fn policy(&self, caller: &Caller, bucket: &str) -> Value {
        let response = self
            .emulator
            .s3(caller, Method::GET, &format!("/{bucket}?policy"))
            .await;
        response
            .ok()
            .filter(|response| response.status().is_success())
            .and_then(|response| serde_json::from_slice(response.body()).ok())
            .unwrap_or_default()
    }

    async fn object(&self, caller: &Caller, bucket: &str, key: &str, asked: &Request<Incoming>) -> Response<Body> {
        let mut request = Request::new(full(""));
        *request.method_mut() = asked.method().clone();
        for name in CONDITIONS {
            if let Some(value) = asked.headers().get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let path = format!("/{bucket}/{}", utf8_percent_encode(key, KEY));
        match self.emulator.s3_request(caller, request, &path).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                remove_connection_headers(&mut parts.headers);
                Response::from_parts(parts, streamed(body))
            }
            Err(error) => page(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                &error.to_string(),
            ),
        }
    }
}

/// Whether a policy denies reading objects to callers outside of the account.
fn is_denied(policy: &Value, bucket: &str, key: &str) -> bool {
    let all = policy["Statement"].as_array().into_iter().flatten();
    let of_everybody: Vec<&Value> = all.filter(|statement| statement["Principal"] == "*").collect();
    let statements = statements(&json!({"Statement": of_everybody}).to_string());
    let wanted = Required {
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::{bucket}/{key}"),
        context: BTreeMap::new(),
    };
    judge(statements.iter(), &wanted) == Verdict::Denied
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = answer(StatusCode::FOUND, "text/html", "");
    if let Ok(location) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn page(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let text = format!(
        "<html><head><title>{status}</title></head><body><h1>{status}</h1><p>{code}: {message}</p></body></html>\n"
    );
    answer(status, "text/html; charset=utf-8", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_configuration() {
        let xml = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>404.html</Key></ErrorDocument></WebsiteConfiguration>";
        let configuration = Element::parse(xml.as_bytes());
        let text = |name: &str| configuration.as_ref()?.text_of(name);
        assert_eq!(text("Suffix").as_deref(), Some("index.html"));
        assert_eq!(text("Key").as_deref(), Some("404.html"));
        assert_eq!(text("Other"), None);
    }

    #[test]
    fn what_is_denied_to_everybody_is_not_served() {
        let policy = |principal: Value, condition: Value| {
            json!({"Statement": [{"Effect": "Deny", "Principal": principal, "Action": ["s3:GetObject"],
                "Resource": "arn:aws:s3:::site/private/*", "Condition": condition}]})
        };
        let others = json!({"StringNotEquals": {"aws:PrincipalAccount": "000000000000"}});
        for (policy, key, expected) in [
            (policy(json!("*"), Value::Null), "private/a", true),
            (policy(json!("*"), others), "private/a", true),
            (policy(json!("*"), Value::Null), "index.html", false),
            (
                policy(json!({"AWS": "arn:aws:iam::1:root"}), Value::Null),
                "private/a",
                false,
            ),
            (
                policy(json!("*"), json!({"Bool": {"aws:SecureTransport": "false"}})),
                "private/a",
                false,
            ),
        ] {
            assert_eq!(is_denied(&policy, "site", key), expected, "{policy} {key}");
        }
    }
}
