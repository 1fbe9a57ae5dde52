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
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use taskctl_stack::aws::client::http_client::is_this_machine;
use tokio::net::TcpStream;
use tower_service::Service;

/// Connects to hosts, or to the proxy in front of them.
#[derive(Clone)]
pub struct ProxyConnector {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl ProxyConnector {
    /// By the variables of the environment.
    pub fn from_env() -> Self {
        Self::new(Matcher::from_env())
    }

    fn new(proxies: Matcher) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        Self {
            tcp,
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
        let mut tcp = self.tcp.clone();
        Box::pin(async move {
            let Some(proxy) = proxy else {
                let stream = tcp.call(url).await?;
                return Ok(Way {
                    stream,
                    is_forwarded: false,
                });
            };
            let is_forwarded = !is_secure(&url);
            let stream = match is_forwarded {
                true => tcp.call(proxy.uri().clone()).await.map_err(Into::into),
                false => {
                    let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
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
    stream: TokioIo<TcpStream>,
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request, and the head that it got.
    async fn server() -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answered = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        (address, answered)
    }

    fn with_credentials(address: &str) -> String {
        address.replace("http://", "http://ann:secret@")
    }

    #[tokio::test]
    async fn elsewhere_is_asked_through_the_proxy() {
        let (address, proxy) = server().await;
        let connector = ProxyConnector::new(Matcher::builder().http(with_credentials(&address)).build());
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
        let mut connector = ProxyConnector::new(Matcher::builder().https(with_credentials(&address)).build());
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
    async fn this_machine_and_what_is_exempt_are_asked_directly() {
        let (address, here) = server().await;
        // Nobody listens at the discard port.
        let connector = ProxyConnector::new(Matcher::builder().all("http://127.0.0.1:9").no("example.com").build());
        assert!(connector.proxy(&"https://api.example.com/".parse().unwrap()).is_none());
        assert!(connector.proxy(&"https://api.example.org/".parse().unwrap()).is_some());
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let url: Uri = format!("{address}/health").parse().unwrap();
        assert_eq!(client.get(url).await.unwrap().status(), 200);
        assert!(here.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_proxy_that_cannot_be_reached_is_named() {
        let mut connector = ProxyConnector::new(Matcher::builder().all("http://127.0.0.1:9").build());
        let failed = connector.call("http://api.example.invalid/".parse().unwrap()).await;
        let message = failed.err().unwrap().to_string();
        assert!(
            message.starts_with("through the proxy http://127.0.0.1:9/: "),
            "{message}"
        );
    }
}
