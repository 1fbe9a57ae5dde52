//! The AWS services of the local target, one module each: what its calls need to be allowed to ([`iam`] judges), what is
//! answered here because the emulator's answer is too far from AWS to build on, what is corrected on the way
//! (`compat`), and what is measured. The rest goes to the emulator as it is.
//!
//! All of it is configured by AWS calls alone and keeps what it knows on disk.

pub(crate) mod apigateway;
pub(crate) mod cloudwatch;
pub(crate) mod compat;
pub(crate) mod destinations;
mod dynamodb;
pub(crate) mod events;
pub(crate) mod fan_out;
pub(crate) mod iam;
pub(crate) mod lambda;
pub(crate) mod logs;
pub(crate) mod s3;
pub(crate) mod scheduler;
mod sns;
pub(crate) mod sqs;
mod sts;
mod tagging;

mod fault;
pub(crate) mod other;
mod pattern;
mod queues;
mod reply;
pub(crate) mod required;
mod rhythm;

use std::sync::Arc;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};

use self::apigateway::Apis;
use self::cloudwatch::Alarms;
use self::compat::Memory;
pub(crate) use self::fault::Fault;
use self::lambda::Functions;
use self::lambda::mappings::Mappings;
use self::logs::insights::Queries;
pub(crate) use self::reply::{Reply, new_id, now, now_ms, now_seconds, page};
use self::s3::websites::Websites;
use self::scheduler::Schedules;
use self::sqs::move_tasks::MoveTasks;
use crate::keys::{Keys, Session};
use crate::ports::Invoker;
use crate::protocol::classify::{Call, Service};
use crate::protocol::emulator_client::EmulatorClient;
use crate::protocol::http::{Body, BoxError, answer, remove_connection_headers, streamed};

/// The services and their dependencies.
pub(crate) struct Services {
    /// The emulator.
    pub emulator: EmulatorClient,
    /// HTTP APIs.
    pub apis: Arc<Apis>,
    /// Functions.
    pub functions: Arc<Functions>,
    /// Event source mappings of functions.
    pub mappings: Arc<Mappings>,
    /// Runs functions.
    pub invoker: Arc<dyn Invoker>,
    /// CloudWatch alarms.
    pub alarms: Arc<Alarms>,
    /// State that the emulator loses.
    pub memory: Arc<Memory>,
    /// Schedules of EventBridge Scheduler.
    pub schedules: Arc<Schedules>,
    /// Message move tasks of queues.
    pub move_tasks: Arc<MoveTasks>,
    /// Logs Insights queries and their results.
    pub queries: Queries,
    /// Buckets that are websites.
    pub websites: Arc<Websites>,
    /// Makes credentials of assumed roles.
    pub keys: Keys,
}

impl Services {
    /// Answers a call that is authenticated and allowed. `session` is the role that the caller acts as.
    pub(crate) async fn answer(
        &self,
        call: &Call,
        session: Option<&Session>,
        parts: Parts,
        body: Body,
    ) -> Response<Body> {
        match call.service {
            Service::ApiGateway if parts.uri.path().starts_with("/v2/") => {
                self.call_api_gateway(call, &parts, body).await
            }
            Service::Lambda => self.call_lambda(call, &parts, body).await,
            Service::S3 => self.call_s3(call, parts, body).await,
            Service::CloudWatch => self.call_cloudwatch(call, parts, body).await,
            Service::DynamoDb => self.call_dynamodb(call, parts, body).await,
            Service::Events => self.call_events(call, parts, body).await,
            Service::Logs => self.call_logs(call, parts, body).await,
            Service::Scheduler => self.call_scheduler(call, &parts, body).await,
            Service::Sns => self.call_sns(call, parts, body).await,
            Service::Sqs => self.call_sqs(call, parts, body).await,
            Service::Tagging => self.call_tagging(call, parts, body).await,
            Service::Sts => self.call_sts(session, parts, body).await,
            Service::Iam => self.call_iam(call, parts, body).await,
            Service::ApiGateway | Service::Other => self.pass(Request::from_parts(parts, body)).await,
        }
    }

    /// Hands a request to the emulator and its answer back, both as they come.
    async fn pass(&self, request: Request<Body>) -> Response<Body> {
        match self.emulator.send(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                remove_connection_headers(&mut parts.headers);
                Response::from_parts(parts, streamed(body))
            }
            Err(error) => unreachable_emulator(&error),
        }
    }
}

/// A 503 that SDKs retry.
fn unreachable_emulator(error: &BoxError) -> Response<Body> {
    tracing::warn!(%error, "the emulator did not answer");
    let message = format!("{{\"__type\":\"ServiceUnavailable\",\"message\":\"the emulator did not answer: {error}\"}}");
    answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", message)
}
