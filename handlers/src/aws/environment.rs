//! Client configuration straight from the environment that Lambda sets: region, credentials, endpoint. Not the SDK's default chain, which
//! would look at files and metadata services that a function does not have.

use std::env;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_types::retry::RetryConfig;

use super::thaw::{Supply, ThawingClient};

/// One attempt of a call; DynamoDB and S3 answer within milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// A call with its retries; well within the gateway's 30 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept, by the wall clock as well. A frozen environment does not notice that the other side closed one, and
/// the counter may not repeat a call that failed on it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A variable that a function needs and does not have.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Not set, or empty.
    #[error("environment variable {0} is not set; the template's grants and Lambda itself set it")]
    Missing(&'static str),
    /// None of several.
    #[error("none of the environment variables {0} is set; the template must grant the function a table")]
    NoneOf(&'static str),
    /// Not a value that is allowed.
    #[error("environment variable {name} is '{value}'; it must be {allowed}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// One of Lambda's own is missing.
    #[error(transparent)]
    NotOnLambda(#[from] taskctl_lambda::Missing),
}

/// What the clients of this process share.
#[derive(Debug, Clone)]
pub struct Environment {
    region: Region,
    credentials: Credentials,
    http: SharedHttpClient,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Result<Self, EnvironmentError> {
        let region = optional("AWS_REGION").or_else(|| optional("AWS_DEFAULT_REGION"));
        let region = region.ok_or(EnvironmentError::Missing("AWS_REGION"))?;
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoints = [
            endpoint_of("AWS_ENDPOINT_URL_DYNAMODB"),
            endpoint_of("AWS_ENDPOINT_URL_S3"),
        ];
        let plain = endpoints
            .iter()
            .all(|endpoint| endpoint.as_ref().is_some_and(|url| url.starts_with("http://")));
        let http = SharedHttpClient::new(ThawingClient::new(Connections { plain }, IDLE_TIMEOUT));
        Ok(Self {
            region: Region::new(region),
            credentials,
            http,
        })
    }

    /// A DynamoDB client.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .retry_config(retries())
            .timeout_config(timeouts());
        config.set_endpoint_url(endpoint_of("AWS_ENDPOINT_URL_DYNAMODB"));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// An S3 client; path-style against an endpoint of one's own, where bucket names do not resolve.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let endpoint = endpoint_of("AWS_ENDPOINT_URL_S3");
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .retry_config(retries())
            .timeout_config(timeouts())
            .force_path_style(endpoint.is_some());
        config.set_endpoint_url(endpoint);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// Clients of this process: without TLS where every endpoint is plain HTTP.
struct Connections {
    plain: bool,
}

impl Supply for Connections {
    fn client(&self) -> SharedHttpClient {
        let builder = Builder::new().pool_idle_timeout(IDLE_TIMEOUT);
        if self.plain {
            return builder.build_http();
        }
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A variable that must be there.
pub fn required(name: &'static str) -> Result<String, EnvironmentError> {
    optional(name).ok_or(EnvironmentError::Missing(name))
}

/// A variable; an empty one counts as not set.
pub fn optional(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A whole number within a range, with a default.
pub fn number<T: FromStr + PartialOrd>(
    name: &'static str,
    allowed: &'static str,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T, EnvironmentError> {
    let Some(value) = optional(name) else {
        return Ok(default);
    };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(EnvironmentError::Invalid { name, value, allowed }),
    }
}

/// The endpoint of a service: its own variable, else the one for all.
fn endpoint_of(service: &str) -> Option<String> {
    optional(service).or_else(|| optional("AWS_ENDPOINT_URL"))
}

/// Standard retries with jitter. The first pause is short: DynamoDB throttles for milliseconds, and someone is waiting.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(4)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(1))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build()
}
