//! The SDK clients, one of each, made once. Retries are switched off here: every repetition is decided in one place
//! (`call`), where it is paced, classified and reported.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use jiff::Timestamp;

use crate::aws::client::error::AwsError;
use crate::aws::client::http_client::{http_client, is_this_machine, leads_to_this_machine};
use crate::aws::client::identity::Identity;
use crate::aws::client::lifetime::Lifetime;
use crate::aws::client::profile;
use crate::aws::client::service_time::ServiceTime;
use crate::partition::dns_suffix;

/// Where and as whom AWS is called.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Region.
    pub region: String,
    /// Profile of the shared configuration files; none = the SDK's default chain.
    pub profile: Option<String>,
    /// One endpoint for every service instead of AWS's own (an emulator).
    pub endpoint_url: Option<String>,
    /// Fixed access key and secret instead of the default chain.
    pub credentials: Option<(String, String)>,
    /// When a session that the environment hands over ends, where that is known.
    pub session_ends: Option<Timestamp>,
}

/// Whether credentials would go over a network in the clear to a URL: `http` to anything but this machine (127.0.0.0/8, ::1,
/// localhost, *.localhost).
pub fn is_in_the_clear(url: &str) -> bool {
    let Ok(uri) = url.trim().parse::<http::Uri>() else {
        return url.trim_start().to_ascii_lowercase().starts_with("http:");
    };
    uri.scheme_str() == Some("http") && !is_this_machine(uri.host().unwrap_or_default())
}

/// One client per service.
#[derive(Debug, Clone)]
pub struct Clients {
    /// API Gateway (HTTP APIs).
    pub apigateway: aws_sdk_apigatewayv2::Client,
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// EventBridge.
    pub events: aws_sdk_eventbridge::Client,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// Resource Groups Tagging API.
    pub tagging: aws_sdk_resourcegroupstagging::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
    /// The time as they have it.
    pub time: ServiceTime,
    /// The one endpoint of all services: given, or of the environment or the profile.
    pub endpoint_url: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    session_ends: Option<Timestamp>,
}

impl Clients {
    /// Makes the clients. Nothing is called yet; a profile must exist. Providers of credentials repeat their own calls, which nothing
    /// else does.
    pub async fn connect(connection: &Connection) -> Result<Self, AwsError> {
        if let (Some(name), None) = (&connection.profile, &connection.credentials) {
            profile::check(name).await?;
        }
        let time = ServiceTime::default();
        Ok(Self {
            session_ends: connection.session_ends,
            ..Self::of(&configuration(connection, &time).await, time)
        })
    }

    /// The clients of a configuration.
    pub(super) fn of(config: &SdkConfig, time: ServiceTime) -> Self {
        let config = &config.to_builder().retry_config(RetryConfig::disabled()).build();
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(config.endpoint_url().is_some())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self {
            apigateway: aws_sdk_apigatewayv2::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            events: aws_sdk_eventbridge::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            tagging: aws_sdk_resourcegroupstagging::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sns: aws_sdk_sns::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            time,
            endpoint_url: config.endpoint_url().map(str::to_owned),
            credentials: config.credentials_provider(),
            session_ends: None,
        }
    }

    /// Whether calls go to this machine: to an emulator, which knows at once what was granted.
    pub fn are_of_this_machine(&self) -> bool {
        self.endpoint_url.as_deref().is_some_and(leads_to_this_machine)
    }

    /// How long the credentials last. Who has none is told by the first call.
    pub async fn lifetime(&self) -> Lifetime {
        let Some(provider) = &self.credentials else {
            return Lifetime::Renewed;
        };
        match provider.provide_credentials().await {
            Ok(credentials) => Lifetime::of(&credentials, self.session_ends),
            Err(_) => Lifetime::Renewed,
        }
    }

    /// Where a service is called, for people.
    pub fn endpoint(&self, service: &str, identity: &Identity) -> String {
        if let Some(url) = &self.endpoint_url {
            return url.clone();
        }
        let name = match service {
            "cloudwatch" => "monitoring",
            "tag" => "tagging",
            other => other,
        };
        let region = &identity.region;
        let domain = dns_suffix(region);
        match name {
            "iam" => format!("iam.{domain}"),
            _ => format!("{name}.{region}.{domain}"),
        }
    }
}

/// The configuration that the clients share, but for what becomes of failed calls.
async fn configuration(connection: &Connection, time: &ServiceTime) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(3_100))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(aws_config::Region::new(connection.region.clone()))
        .http_client(http_client(time.clone()))
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts);
    if let Some(profile) = &connection.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &connection.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some((key, secret)) = &connection.credentials {
        loader = loader.credentials_provider(Credentials::new(key, secret, None, None, "taskctl"));
    }
    loader.load().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_provides_credentials_repeats_its_calls_and_nothing_else_does() {
        let connection = Connection {
            region: "eu-central-1".into(),
            ..Connection::default()
        };
        let config = configuration(&connection, &ServiceTime::default()).await;
        let attempts = config.retry_config().map(RetryConfig::max_attempts);
        assert_eq!(attempts, Some(3));
        let clients = Clients::of(&config, ServiceTime::default());
        let attempts = clients.sts.config().retry_config().map(RetryConfig::max_attempts);
        assert_eq!(attempts, Some(1));
    }

    #[test]
    fn only_this_machine_is_called_in_the_clear() {
        for url in [
            "http://127.0.0.1:4566",
            "http://127.8.9.10",
            "http://localhost:1",
            "http://LOCALHOST",
            "http://s3.localhost:4580/x",
            "http://[::1]:4566",
            "https://aws.example.com",
        ] {
            assert!(!is_in_the_clear(url), "{url}");
        }
        for url in [
            "http://aws.example.com",
            "HTTP://aws.example.com",
            "http://10.0.0.7:4566",
            "http://0.0.0.0:4566",
            "http://[::]:1",
            "http://[2001:db8::1]",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@aws.example.com",
            "http://user:secret@aws.example.com",
            "http://a b",
        ] {
            assert!(is_in_the_clear(url), "{url}");
        }
    }
}
