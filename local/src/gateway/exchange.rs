//! One request from arrival to answer: stage, route, limits, function, response, log and metrics.

use std::net::IpAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::access_log;
use super::cors;
use super::event::{self, Incoming};
use super::integration;
use super::measure;
use super::record::{IntegrationRecord, Record};
use super::response::{self, Outgoing};
use super::state::ApiState;
use super::target::{self, Malformed};
use super::throttle::Admission;
use crate::hosts;
use crate::ports::{ApiSnapshot, ExecuteApiEndpoint, LogEvent, MissingGroup, StageSnapshot};

/// Largest request body, bytes: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// Most that is read of a body that is too large, bytes.
const DISCARD_LIMIT: usize = 10 * BODY_LIMIT;

/// Largest request line and headers together, bytes (same page).
const HEAD_LIMIT: usize = 10_240;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) source_ip: IpAddr,
    pub(super) server_port: u16,
}

/// Facts found on the way to the answer, for the record.
#[derive(Debug, Default)]
struct Seen<'a> {
    stage: Option<&'a StageSnapshot>,
    route_key: Option<String>,
    integration: Option<IntegrationRecord>,
    error: Option<String>,
}

/// An answer before the API's cross-origin headers.
#[derive(Debug)]
enum Answer {
    /// It gets them.
    Plain(Outgoing),
    /// It is about them.
    Preflight(Outgoing),
}

/// A refusal by the gateway itself.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    /// For the access log only.
    reason: Option<String>,
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self { status, reason: None }
    }
}

/// A request as the steps below see it.
#[derive(Debug)]
struct Exchange<'a> {
    state: &'a ApiState,
    api: &'a ApiSnapshot,
    parts: &'a Parts,
    incoming: Incoming<'a>,
    well_formed: Result<(), Malformed>,
    body: Result<Bytes, StatusCode>,
}

/// Answers a request and notes it in the access log and the metrics.
pub(super) async fn answer(
    state: &ApiState,
    peer: Peer,
    request_id: &str,
    request: Request<hyper::body::Incoming>,
) -> Outgoing {
    let begun = Instant::now();
    let time = state.deps.now();
    // The API as it is at this moment serves the request to its end, whatever changes meanwhile.
    let Some(api) = state.ports.apis.api(&state.api_id) else {
        return response::message(StatusCode::NOT_FOUND);
    };
    // As on AWS for a name that is no API's: https://repost.aws/knowledge-center/api-gateway-troubleshoot-403-forbidden
    if hosts::names_own(request.uri(), request.headers()).is_err() {
        return response::message(StatusCode::FORBIDDEN);
    }
    let (parts, body) = request.into_parts();
    let decoded = target::decode(parts.uri.path());
    let path = decoded.as_deref().unwrap_or(parts.uri.path());
    let trace_id = match parts.headers.get("x-amzn-trace-id").and_then(|id| id.to_str().ok()) {
        Some(given) => given.to_owned(),
        None => state.trace_id(),
    };
    let protocol = format!("{:?}", parts.version);
    let incoming = Incoming {
        method: parts.method.as_str(),
        path,
        query: parts.uri.query().unwrap_or_default(),
        protocol: &protocol,
        headers: &parts.headers,
        source_ip: peer.source_ip,
        server_port: peer.server_port,
        request_id,
        trace_id: &trace_id,
        time,
    };
    let body = read(&parts.headers, body).await;
    let request_length = body.as_ref().map_or(0, |body| body.len() as u64);
    let well_formed = decoded.as_ref().map(|_| ()).map_err(|malformed| *malformed);
    let exchange = Exchange {
        state,
        api: &api,
        parts: &parts,
        incoming,
        well_formed,
        body,
    };
    let mut seen = Seen::default();
    let answer = exchange.answer(&mut seen).await;
    let response = exchange.finish(answer, &mut seen);
    let Seen {
        stage,
        route_key,
        integration,
        error,
    } = seen;
    let record = Record {
        api: &api,
        stage,
        route_key,
        request_id,
        time,
        source_ip: peer.source_ip,
        user_agent: event::user_agent(&parts.headers),
        method: parts.method.as_str(),
        path,
        protocol: &protocol,
        request_length,
        response_length: response.body().size_hint().lower(),
        status: response.status(),
        latency: begun.elapsed(),
        error,
        integration,
    };
    note(state, &record);
    response
}

impl<'a> Exchange<'a> {
    async fn answer(&self, seen: &mut Seen<'a>) -> Result<Answer, Refusal> {
        let Self {
            state,
            api,
            parts,
            incoming,
            well_formed,
            body,
        } = self;
        match api.endpoint {
            ExecuteApiEndpoint::Enabled => {}
            ExecuteApiEndpoint::Disabled => return Err(StatusCode::FORBIDDEN.into()),
        }
        if head_length(parts) > HEAD_LIMIT {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into());
        }
        if well_formed.is_err() {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        let (stage, path) = target::stage(api, incoming.path).ok_or(StatusCode::NOT_FOUND)?;
        seen.stage = Some(stage);
        let deployment = stage.deployment.as_deref().ok_or(StatusCode::NOT_FOUND)?;
        if let Some(cors) = &deployment.cors
            && cors::is_preflight(&parts.method, &parts.headers)
        {
            return Ok(Answer::Preflight(cors::preflight(cors, &parts.headers)));
        }
        let table = state.routes(api, deployment);
        let Some(found) = table.find(incoming.method, path) else {
            return match &deployment.cors {
                Some(cors) if parts.method == Method::OPTIONS => {
                    Ok(Answer::Preflight(cors::preflight(cors, &parts.headers)))
                }
                Some(_) | None => Err(StatusCode::NOT_FOUND.into()),
            };
        };
        let route_key = found.route.route_key.as_str();
        seen.route_key = Some(route_key.to_owned());
        let body = body.as_ref().map_err(|status| *status)?;
        match state.throttle.admit(stage, route_key, Instant::now()) {
            Admission::Granted => {}
            Admission::Throttled => return Err(StatusCode::TOO_MANY_REQUESTS.into()),
        }
        // A route is never served with less protection than it asks for.
        if found.route.authorization_type != "NONE" {
            return Err(internal(format!(
                "authorization {} is not served locally",
                found.route.authorization_type
            )));
        }
        let integration_id = found.route.integration_id.as_ref().ok_or(StatusCode::NOT_FOUND)?;
        let integration = deployment
            .integrations
            .get(integration_id)
            .ok_or_else(|| internal(format!("integration {integration_id} is not in the deployment")))?;
        let function = integration::function(integration, &stage.variables).map_err(internal)?;
        let event = event::event(api, stage, route_key, found.path_parameters, incoming, body)
            .map_err(|error| internal(error.to_string()))?;
        let source_arn = integration::source_arn(api, stage, route_key, incoming.method);
        let (response, record) = integration::call(
            &state.ports,
            function,
            &source_arn,
            integration.timeout,
            incoming.trace_id,
            event,
        )
        .await;
        seen.integration = Some(record);
        Ok(Answer::Plain(response))
    }

    fn finish(&self, answer: Result<Answer, Refusal>, seen: &mut Seen<'a>) -> Outgoing {
        let mut response = match answer {
            Ok(Answer::Preflight(response)) => return response,
            Ok(Answer::Plain(response)) => response,
            Err(Refusal { status, reason }) => {
                let reason = reason.or_else(|| status.canonical_reason().map(str::to_owned));
                seen.error = reason;
                response::message(status)
            }
        };
        let deployment = seen.stage.and_then(|stage| stage.deployment.as_deref());
        if let Some(cors) = deployment.and_then(|deployment| deployment.cors.as_ref()) {
            cors::apply(cors, &self.parts.headers, response.headers_mut());
        }
        response
    }
}

fn internal(reason: String) -> Refusal {
    Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        reason: Some(reason),
    }
}

/// Bytes of request line and headers as they were sent.
fn head_length(parts: &Parts) -> usize {
    const LINE: usize = " HTTP/1.1\r\n".len() + 1;
    const HEADER: usize = ": \r\n".len();
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let headers: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER)
        .sum();
    parts.method.as_str().len() + target + LINE + headers
}

async fn read(headers: &HeaderMap, mut body: hyper::body::Incoming) -> Result<Bytes, StatusCode> {
    if body.size_hint().lower() > BODY_LIMIT as u64 && headers.contains_key(EXPECT) {
        // The client asks before it sends.
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut taken = BytesMut::new();
    let mut length = 0;
    // A body that is too large is still read: a client that is cut off while it sends never reads the answer.
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else {
            continue;
        };
        length += data.len();
        if length > DISCARD_LIMIT {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if length <= BODY_LIMIT {
            taken.extend_from_slice(&data);
        }
    }
    if length > BODY_LIMIT {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(taken.freeze())
}

fn note(state: &ApiState, record: &Record<'_>) {
    let region = &record.api.region;
    if let Some(log) = record.stage.and_then(|stage| stage.access_log.as_ref()) {
        let event = LogEvent {
            timestamp_ms: record.time.as_millisecond(),
            message: access_log::render(&log.format, record),
        };
        state.ports.logs.put(
            region,
            log.log_group(),
            &state.log_stream,
            vec![event],
            MissingGroup::Lost,
        );
    }
    state
        .ports
        .metrics
        .put(region, measure::NAMESPACE, measure::data(record));
}
