//! Requests to the stack's own URLs, as a user would make them: each over a connection of its own.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use taskctl_stack::release::driver::{Answer, Outside};

use crate::failure::Failure;

/// Asks over HTTP and HTTPS.
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// How long an answer may take: the longest an HTTP API waits for a function.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const PATIENCE: Duration = Duration::from_secs(30);

impl Web {
    /// With the machine's certificates.
    pub fn new() -> Result<Self, Failure> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| {
                let hint = "install the system's certificates (package ca-certificates)".to_owned();
                Failure::caused("no certificates to check servers with", &error, Some(hint))
            })?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self { client })
    }
}

#[async_trait]
impl Outside for Web {
    async fn get(&self, url: &str) -> Result<Answer, String> {
        let url = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.get(url)).await;
        let answer = answer
            .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
            .map_err(|error| innermost(&error))?;
        let release = answer.headers().get("x-release").and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            release: release.map(str::to_owned),
        })
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
