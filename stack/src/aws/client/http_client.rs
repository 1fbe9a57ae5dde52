//! The SDK's HTTP client. This machine is never called through a proxy; everything else is as `HTTPS_PROXY`, `HTTP_PROXY`,
//! `ALL_PROXY` and `NO_PROXY` say.

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::aws::client::service_time::ServiceTime;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Whether a host, as it stands in a URL, is this machine: 127.0.0.0/8, ::1, localhost, *.localhost.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether a URL leads to this machine.
pub fn leads_to_this_machine(url: &str) -> bool {
    let uri = url.parse::<http::Uri>();
    uri.is_ok_and(|uri| uri.host().is_some_and(is_this_machine))
}

/// The client for all services, which keeps the time that they give.
pub(super) fn http_client(time: ServiceTime) -> SharedHttpClient {
    SharedHttpClient::new(ByHost {
        direct: client(ProxyConfig::disabled),
        proxied: client(ProxyConfig::from_env),
        time,
    })
}

fn client(proxy: fn() -> ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(proxy());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

/// Two clients, of which the host of each request takes one.
#[derive(Debug)]
struct ByHost {
    direct: SharedHttpClient,
    proxied: SharedHttpClient,
    time: ServiceTime,
}

impl HttpClient for ByHost {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let lazily = |client: &SharedHttpClient| Lazy {
            client: client.clone(),
            settings: settings.clone(),
            components: components.clone(),
            connector: OnceLock::new(),
        };
        SharedHttpConnector::new(ConnectorByHost {
            direct: lazily(&self.direct),
            proxied: lazily(&self.proxied),
            time: self.time.clone(),
        })
    }
}

/// A connector that is made when it is first needed: that takes reading the machine's certificates.
#[derive(Debug)]
struct Lazy {
    client: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
    connector: OnceLock<SharedHttpConnector>,
}

#[derive(Debug)]
struct ConnectorByHost {
    direct: Lazy,
    proxied: Lazy,
    time: ServiceTime,
}

impl HttpConnector for ConnectorByHost {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Lazy {
            client,
            settings,
            components,
            connector,
        } = match leads_to_this_machine(request.uri()) {
            true => &self.direct,
            false => &self.proxied,
        };
        let connector = connector.get_or_init(|| client.http_connector(settings, components));
        let (answer, time) = (connector.call(request), self.time.clone());
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if let Some(date) = answer.headers().get("date") {
                time.learn(date);
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_on_this_machine_is_reached() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        use crate::aws::client::clients::{Clients, Connection};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            let body = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>\
                        </GetCallerIdentityResult></GetCallerIdentityResponse>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:30 GMT\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("it is read");
            String::from_utf8_lossy(&head).into_owned()
        });
        let connection = Connection {
            region: "eu-central-1".into(),
            endpoint_url: Some(format!("http://{address}")),
            credentials: Some(("test".into(), "test".into())),
            ..Connection::default()
        };
        let clients = Clients::connect(&connection).await.expect("no profile is asked for");
        let caller = clients.sts.get_caller_identity().send().await.expect("an answer");
        assert_eq!(caller.account(), Some("123456789012"));
        let now = clients.time.now().expect("a service has said what time it is");
        assert!((0..60).contains(&(now.as_second() - 1_767_225_630)), "{now}");
        // A proxy would be sent the whole URL.
        let head = service.await.expect("one request");
        assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    }

    #[test]
    fn this_machine_is_loopback_and_localhost() {
        for host in [
            "127.0.0.1",
            "127.8.9.10",
            "localhost",
            "LOCALHOST",
            "s3.localhost",
            "[::1]",
            "::1",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "0.0.0.0",
            "10.0.0.7",
            "[::]",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "example.com",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
