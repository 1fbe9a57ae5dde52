//! Live Tail: CloudWatch sends events as they come in, once a second. Its events have no ids, it leaves out some when there are
//! many, and it ends after three hours: it shows early what [`Tail`](super::logs::Tail) then finds and does not show again.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartLiveTail.html>

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_cloudwatchlogs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudwatchlogs::error::BoxError;
use aws_sdk_cloudwatchlogs::types::{LiveTailSessionLogEvent, StartLiveTailResponseStream};
use aws_smithy_types::error::display::DisplayErrorContext;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use super::logs::{Group, LogEvent};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;

/// Most groups of a session.
pub const GROUPS: usize = 10;
/// Updates that wait to be shown.
const WAITING: usize = 64;

/// What a session sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Events, in the order of their arrival.
    Events(Vec<LogEvent>),
    /// Nothing more comes: why.
    Ended(String),
}

/// A session.
#[derive(Debug)]
pub struct LiveTail {
    receiver: Receiver<Sent>,
    reading: JoinHandle<()>,
}

impl LiveTail {
    /// Begins a session about groups.
    pub async fn start(context: &Context, groups: &[Group], pattern: Option<&str>) -> Result<Self, AwsError> {
        if groups.len() > GROUPS {
            return Err(AwsError::own(
                "logs",
                "StartLiveTail",
                ErrorKind::Invalid,
                format!("a session takes at most {GROUPS} log groups, here are {}", groups.len()),
            ));
        }
        let client = &context.clients().logs;
        let sources: BTreeMap<String, String> = groups
            .iter()
            .map(|group| {
                let arn = context.identity().arn("logs", &format!("log-group:{}", group.name));
                (arn, group.source.clone())
            })
            .collect();
        let answer = context
            .call(op("logs", "StartLiveTail"), || {
                client
                    .start_live_tail()
                    .set_log_group_identifiers(Some(sources.keys().cloned().collect()))
                    .set_log_event_filter_pattern(pattern.map(str::to_owned))
                    .customize()
                    .interceptor(OwnEndpoint)
                    .send()
            })
            .await?;
        let (sender, receiver) = channel(WAITING);
        let mut stream = answer.response_stream;
        let reading = tokio::spawn(async move {
            let ended = loop {
                match stream.recv().await {
                    Ok(Some(StartLiveTailResponseStream::SessionUpdate(update))) => {
                        let events: Vec<LogEvent> = update
                            .session_results
                            .unwrap_or_default()
                            .into_iter()
                            .map(|event| log_event(event, &sources))
                            .collect();
                        if !events.is_empty() && sender.send(Sent::Events(events)).await.is_err() {
                            return;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break "CloudWatch ended it".to_owned(),
                    Err(error) => break DisplayErrorContext(&error).to_string(),
                }
            };
            let _ = sender.send(Sent::Ended(ended)).await;
        });
        Ok(Self { receiver, reading })
    }

    /// What comes next.
    pub async fn next(&mut self) -> Sent {
        let ended = Sent::Ended("its reader ended".to_owned());
        self.receiver.recv().await.unwrap_or(ended)
    }
}

impl Drop for LiveTail {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn log_event(event: LiveTailSessionLogEvent, sources: &BTreeMap<String, String>) -> LogEvent {
    let group = event.log_group_identifier.unwrap_or_default();
    // The account and the name, or an ARN.
    let of_name = |(arn, source): (&String, &String)| {
        let name = group.rsplit_once(':').map_or(group.as_str(), |(_, name)| name);
        arn.ends_with(&format!(":{name}")).then(|| source.clone())
    };
    let source = sources
        .get(&group)
        .cloned()
        .or_else(|| sources.iter().find_map(of_name));
    LogEvent {
        id: String::new(),
        source: source.unwrap_or_default(),
        stream: event.log_stream_name.unwrap_or_default(),
        timestamp: event.timestamp.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    }
}

/// The host of a session is `stream-` before the service's own. An endpoint that the operator names has no such host.
#[derive(Debug)]
struct OwnEndpoint;

impl Intercept for OwnEndpoint {
    fn name(&self) -> &'static str {
        "OwnEndpoint"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(uri) = without_prefix(request.uri()) {
            request.set_uri(uri)?;
        }
        Ok(())
    }
}

fn without_prefix(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let host = rest.strip_prefix("stream-")?;
    let is_of_aws = ["logs.", "logs-fips."].iter().any(|start| host.starts_with(start));
    (!is_of_aws).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_own_host_has_a_prefix() {
        for own in [
            "logs.eu-central-1.amazonaws.com",
            "logs-fips.us-east-1.amazonaws.com",
            "logs.us-east-1.api.aws",
        ] {
            assert_eq!(without_prefix(&format!("https://stream-{own}/")), None, "{own}");
        }
        assert_eq!(
            without_prefix("http://stream-127.0.0.1:4580/").as_deref(),
            Some("http://127.0.0.1:4580/")
        );
        assert_eq!(without_prefix("http://127.0.0.1:4580/"), None);
    }

    #[test]
    fn groups_are_known_by_arn_and_by_name() {
        let arn = "arn:aws:logs:eu-central-1:1:log-group:/aws/lambda/a";
        let sources = BTreeMap::from([(arn.to_owned(), "a".to_owned())]);
        for group in [arn, "1:/aws/lambda/a"] {
            let event = LiveTailSessionLogEvent::builder().log_group_identifier(group).build();
            assert_eq!(log_event(event, &sources).source, "a", "{group}");
        }
    }
}
