//! The connection to the emulator, and the calls that the local target itself makes there, in the protocols of the services.

use std::io::ErrorKind;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::classify::Call;
use super::http::{Body, BoxError, full, remove_connection_headers};
use super::xml::Element;

/// The caller: the emulator keeps accounts and regions apart by the credential scope.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub account: String,
    pub region: String,
}

impl Caller {
    /// The caller of a call.
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            account: call.account.clone(),
            region: call.region.clone(),
        }
    }

    /// Identifies the caller to the emulator, which looks at the scope alone.
    pub(crate) fn authorization(&self, service: &str) -> String {
        let Self { account, region } = self;
        format!(
            "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }
}

/// Why a call to the emulator has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmulatorError {
    /// It was refused.
    #[error("{code}: {message}")]
    Refused {
        /// AWS error code.
        code: String,
        /// Message.
        message: String,
    },
    /// There was no answer.
    #[error("no answer: {0}")]
    NoAnswer(#[from] BoxError),
}

impl EmulatorError {
    /// Whether it was refused with this error code.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

impl EmulatorClient {
    /// A call of a JSON service, e.g. `Logs_20140328.PutLogEvents`.
    pub(crate) async fn json(
        &self,
        caller: &Caller,
        service: &str,
        target: &str,
        input: &Value,
    ) -> Result<Value, EmulatorError> {
        let request = Request::post("/")
            .header("host", "localhost")
            .header("authorization", caller.authorization(service))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .body(full(input.to_string()))
            .map_err(|error| EmulatorError::NoAnswer(error.into()))?;
        let response = self.call(request).await?;
        let output: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return Ok(output);
        }
        let code = output["__type"]
            .as_str()
            .unwrap_or("Unknown")
            .rsplit('#')
            .next()
            .unwrap_or_default()
            .to_owned();
        let message = output["message"]
            .as_str()
            .or(output["Message"].as_str())
            .unwrap_or_default()
            .to_owned();
        Err(EmulatorError::Refused { code, message })
    }

    /// A member of a listing of CloudWatch Logs, from all its pages.
    pub(crate) async fn log_pages(
        &self,
        caller: &Caller,
        operation: &str,
        mut input: Value,
        member: &str,
    ) -> Result<Vec<Value>, EmulatorError> {
        let target = format!("Logs_20140328.{operation}");
        let mut all = Vec::new();
        loop {
            let mut page = self.json(caller, "logs", &target, &input).await?;
            if let Value::Array(found) = page[member].take() {
                all.extend(found);
            }
            match page["nextToken"].take() {
                token @ Value::String(_) => input["nextToken"] = token,
                _ => return Ok(all),
            }
        }
    }

    /// A call of a query service, e.g. `Action=GetRole&…`. Answers with the status and XML as they are.
    pub(crate) async fn query(
        &self,
        caller: &Caller,
        service: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Response<Bytes>, EmulatorError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let request = Request::post("/")
            .header("host", "localhost")
            .header("authorization", caller.authorization(service))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(full(body))
            .map_err(|error| EmulatorError::NoAnswer(error.into()))?;
        Ok(self.call(request).await?)
    }

    /// A request without body on a path of S3.
    pub(crate) async fn s3(
        &self,
        caller: &Caller,
        method: http::Method,
        path: &str,
    ) -> Result<Response<Bytes>, EmulatorError> {
        self.s3_with(caller, method, path, Bytes::new()).await
    }

    /// A request with a body on a path of S3.
    pub(crate) async fn s3_with(
        &self,
        caller: &Caller,
        method: http::Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, EmulatorError> {
        let mut request = Request::new(full(body));
        *request.method_mut() = method;
        let (parts, body) = self.s3_request(caller, request, path).await?.into_parts();
        let bytes = body.collect().await.map_err(BoxError::from)?.to_bytes();
        Ok(Response::from_parts(parts, bytes))
    }

    /// A request on a path of S3, whose answer comes as it is.
    pub(crate) async fn s3_request(
        &self,
        caller: &Caller,
        mut request: Request<Body>,
        path: &str,
    ) -> Result<Response<Incoming>, EmulatorError> {
        *request.uri_mut() = path
            .parse()
            .map_err(|error: http::uri::InvalidUri| EmulatorError::NoAnswer(error.into()))?;
        let authorization = HeaderValue::from_str(&caller.authorization("s3"));
        let authorization = authorization.map_err(|error| EmulatorError::NoAnswer(error.into()))?;
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_static("localhost"));
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        Ok(self.send(request).await?)
    }

    /// Whether a role exists.
    pub(crate) async fn role_exists(&self, caller: &Caller, arn: &str) -> Result<bool, EmulatorError> {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let parameters = [("Action", "GetRole"), ("Version", "2010-05-08"), ("RoleName", name)];
        let response = self.query(caller, "iam", &parameters).await?;
        Ok(response.status() == StatusCode::OK
            && Element::parse(response.body()).is_some_and(|role| role.text_of("Arn").as_deref() == Some(arn)))
    }
}

/// How long a connection may be idle: less than the emulator keeps one.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may wait for a place in the emulator's queue.
const QUEUED: Duration = Duration::from_secs(10);
/// Pause before it asks again.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);
/// Idle connections that are kept: as many as requests come at once.
const MOST_IDLE: usize = 256;

/// The emulator behind pooled connections.
#[derive(Clone)]
pub(crate) struct EmulatorClient {
    client: Client<UnixConnector, Body>,
}

impl EmulatorClient {
    /// The one that listens on this socket.
    pub(crate) fn new(socket: &Path) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .build(UnixConnector { socket: socket.into() });
        Self { client }
    }

    /// Sends a request as it is, but to the emulator.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // Which host that is is said by the socket; the name makes one pool of connections.
        *request.uri_mut() = Uri::try_from(format!("http://emulator{path}"))?;
        *request.version_mut() = http::Version::HTTP_11;
        remove_connection_headers(request.headers_mut());
        Ok(self.client.request(request).await?)
    }

    /// Sends a request and reads the answer whole.
    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Response<Bytes>, BoxError> {
        let (parts, body) = self.send(request).await?.into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok(Response::from_parts(parts, bytes))
    }
}

/// Connects to a socket in the file system, whatever the URL says.
#[derive(Clone)]
struct UnixConnector {
    socket: Arc<Path>,
}

impl Service<Uri> for UnixConnector {
    type Response = UnixConnection;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<UnixConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = Arc::clone(&self.socket);
        Box::pin(async move {
            let deadline = Instant::now() + QUEUED;
            loop {
                match UnixStream::connect(&socket).await {
                    // Its queue is full: unlike one of TCP it refuses at once instead of letting wait.
                    // <https://man7.org/linux/man-pages/man2/connect.2.html>
                    Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                        sleep(QUEUE_PAUSE).await;
                    }
                    connected => return connected.map(|stream| UnixConnection(TokioIo::new(stream))),
                }
            }
        })
    }
}

/// A connection to the emulator.
struct UnixConnection(TokioIo<UnixStream>);

impl Connection for UnixConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for UnixConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for UnixConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, buffers)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let unbound = tokio::net::UnixSocket::new_stream().unwrap();
        unbound.bind(&socket).unwrap();
        let listener = unbound.listen(1).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);

        let mut connector = UnixConnector {
            socket: socket.as_path().into(),
        };
        let connected = connector.call(Uri::from_static("http://emulator/"));
        let accepted = async {
            // Not before it has been refused once.
            sleep(QUEUE_PAUSE).await;
            for _ in 0..=waiting.len() {
                listener.accept().await.unwrap();
            }
        };
        let (connected, ()) = tokio::join!(connected, accepted);
        assert!(connected.is_ok());
    }
}
