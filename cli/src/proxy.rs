//! The way to a URL: straight to this machine, elsewhere through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
//! `NO_PROXY` name. The calls to AWS are sent by the same rules.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use taskctl_stack::aws::client::http_client::is_this_machine;
use tokio::net::TcpStream;
use tower_service::Service;

/// Connects to hosts, or to the proxy in front of them.
#[derive(Clone)]
pub struct ProxyConnector {
    tcp: HttpConnector,
    /// To the proxy itself, which may be asked over TLS.
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Matcher>,
}

impl ProxyConnector {
    /// By the variables of the environment; a proxy that is named as `https://` must have a certificate that these settings
    /// trust.
    pub fn from_env(tls: ClientConfig) -> Self {
        Self::new(Matcher::from_env(), tls)
    }

    fn new(proxies: Matcher, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp.clone());
        Self {
            tcp,
            to_proxy,
            proxies: Arc::new(proxies),
        }
    }

    fn proxy(&self, url: &Uri) -> Option<Intercept> {
        match url.host() {
            Some(host) if is_this_machine(host) => None,
            _ => self.proxies.intercept(url),
        }
    }

    /// What a request in the clear shows the proxy; in a tunnel the connector itself shows it.
    pub fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxy(url).filter(|_| !is_secure(url))?;
        proxy.basic_auth().cloned()
    }
}

fn is_secure(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

impl Service<Uri> for ProxyConnector {
    type Response = Way;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Way, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let proxy = self.proxy(&url);
        let (mut tcp, mut to_proxy) = (self.tcp.clone(), self.to_proxy.clone());
        Box::pin(async move {
            let Some(proxy) = proxy else {
                let stream = tcp.call(url).await?;
                return Ok(Way {
                    stream: MaybeHttpsStream::Http(stream),
                    is_forwarded: false,
                });
            };
            let is_forwarded = !is_secure(&url);
            let stream = match is_forwarded {
                true => to_proxy.call(proxy.uri().clone()).await,
                false => {
                    let tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
                    let mut tunnel = match proxy.basic_auth() {
                        Some(authorization) => tunnel.with_auth(authorization.clone()),
                        None => tunnel,
                    };
                    tunnel.call(url).await.map_err(Into::into)
                }
            };
            let stream = stream.map_err(|error: Self::Error| unreached(proxy.uri(), error.as_ref()))?;
            Ok(Way { stream, is_forwarded })
        })
    }
}

/// A proxy that cannot be reached, or refuses, is not the API's fault.
fn unreached(proxy: &Uri, error: &(dyn Error + 'static)) -> io::Error {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    io::Error::other(format!("through the proxy {proxy}: {last}"))
}

/// A connection to a host or a proxy.
pub struct Way {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// The proxy takes requests, and wants their whole URLs.
    is_forwarded: bool,
}

impl Connection for Way {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_forwarded)
    }
}

impl Read for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Way {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http_body_util::Empty;
    use hyper::body::Bytes;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server that answers one request, and the head that it got.
    async fn server() -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answered = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream).await
        });
        (address, answered)
    }

    /// The same over TLS, with a certificate of its own for 127.0.0.1, and settings that trust it.
    async fn server_over_tls() -> (String, ClientConfig, JoinHandle<String>) {
        let certificate =
            CertificateDer::from_pem_slice(include_bytes!("../tests/fixtures/proxy/certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tests/fixtures/proxy/key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let answered = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
            answer(stream.unwrap()).await
        });
        (address, trusting(roots), answered)
    }

    async fn answer(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(head).unwrap()
    }

    fn trusting(roots: RootCertStore) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn trusting_nobody() -> ClientConfig {
        trusting(RootCertStore::empty())
    }

    fn with_credentials(address: &str) -> String {
        address.replace("://", "://ann:secret@")
    }

    #[tokio::test]
    async fn elsewhere_is_asked_through_the_proxy() {
        let (address, proxy) = server().await;
        let connector = ProxyConnector::new(
            Matcher::builder().http(with_credentials(&address)).build(),
            trusting_nobody(),
        );
        let url: Uri = "http://api.example.invalid/health".parse().unwrap();
        let authorization = connector.authorization(&url).unwrap();
        assert_eq!(authorization, "Basic YW5uOnNlY3JldA==");
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        assert_eq!(client.get(url).await.unwrap().status(), 200);
        let head = proxy.await.unwrap();
        assert!(
            head.starts_with("GET http://api.example.invalid/health HTTP/1.1\r\n"),
            "{head}"
        );
    }

    #[tokio::test]
    async fn https_goes_through_a_tunnel() {
        let (address, proxy) = server().await;
        let mut connector = ProxyConnector::new(
            Matcher::builder().https(with_credentials(&address)).build(),
            trusting_nobody(),
        );
        let url: Uri = "https://api.example.invalid/health".parse().unwrap();
        assert_eq!(connector.authorization(&url), None);
        connector.call(url).await.unwrap();
        let head = proxy.await.unwrap().to_lowercase();
        assert!(
            head.starts_with("connect api.example.invalid:443 http/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("proxy-authorization: basic"), "{head}");
    }

    #[tokio::test]
    async fn a_proxy_may_be_asked_over_tls() {
        for url in [
            "http://api.example.invalid/health",
            "https://api.example.invalid/health",
        ] {
            let (address, tls, proxy) = server_over_tls().await;
            let mut connector = ProxyConnector::new(Matcher::builder().all(with_credentials(&address)).build(), tls);
            let url: Uri = url.parse().unwrap();
            let expected = match is_secure(&url) {
                true => {
                    connector.call(url).await.unwrap();
                    "connect api.example.invalid:443 http/1.1\r\n"
                }
                false => {
                    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
                    assert_eq!(client.get(url).await.unwrap().status(), 200);
                    "get http://api.example.invalid/health http/1.1\r\n"
                }
            };
            let head = proxy.await.unwrap().to_lowercase();
            assert!(head.starts_with(expected), "{head}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_trusted_gets_no_credentials() {
        let (address, _, proxy) = server_over_tls().await;
        let mut connector = ProxyConnector::new(
            Matcher::builder().all(with_credentials(&address)).build(),
            trusting_nobody(),
        );
        let failed = connector.call("https://api.example.invalid/".parse().unwrap()).await;
        let message = failed.err().unwrap().to_string();
        assert!(
            message.contains("through the proxy https://") && message.contains("certificate"),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
        assert!(proxy.await.is_err(), "the handshake does not end");
    }

    #[tokio::test]
    async fn this_machine_and_what_is_exempt_are_asked_directly() {
        let (address, here) = server().await;
        // Nobody listens at the discard port.
        let connector = ProxyConnector::new(
            Matcher::builder().all("http://127.0.0.1:9").no("example.com").build(),
            trusting_nobody(),
        );
        assert!(connector.proxy(&"https://api.example.com/".parse().unwrap()).is_none());
        assert!(connector.proxy(&"https://api.example.org/".parse().unwrap()).is_some());
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let url: Uri = format!("{address}/health").parse().unwrap();
        assert_eq!(client.get(url).await.unwrap().status(), 200);
        assert!(here.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_proxy_that_cannot_be_reached_is_named() {
        let mut connector =
            ProxyConnector::new(Matcher::builder().all("http://127.0.0.1:9").build(), trusting_nobody());
        let failed = connector.call("http://api.example.invalid/".parse().unwrap()).await;
        let message = failed.err().unwrap().to_string();
        assert!(
            message.starts_with("through the proxy http://127.0.0.1:9/: "),
            "{message}"
        );
    }
}
