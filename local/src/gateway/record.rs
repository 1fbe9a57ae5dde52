//! The record of an answered request, for access logs and metrics.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;

use crate::ports::{ApiSnapshot, StageSnapshot};

/// An answered request.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) api: &'a ApiSnapshot,
    pub(super) stage: Option<&'a StageSnapshot>,
    pub(super) route_key: Option<String>,
    pub(super) request_id: &'a str,
    pub(super) time: Timestamp,
    pub(super) source_ip: IpAddr,
    pub(super) user_agent: String,
    pub(super) method: &'a str,
    /// Decoded, with stage prefix.
    pub(super) path: &'a str,
    pub(super) protocol: &'a str,
    /// Bytes of the body.
    pub(super) request_length: u64,
    /// Bytes of the body.
    pub(super) response_length: u64,
    pub(super) status: StatusCode,
    pub(super) latency: Duration,
    /// The gateway's own error.
    pub(super) error: Option<String>,
    /// `None` when the request never got as far.
    pub(super) integration: Option<IntegrationRecord>,
}

/// How the integration did.
#[derive(Debug, Default)]
pub(super) struct IntegrationRecord {
    pub(super) latency: Duration,
    /// Status of the Lambda service.
    pub(super) service_status: Option<u16>,
    /// Status that the function answered with.
    pub(super) status: Option<u16>,
    pub(super) request_id: Option<String>,
    pub(super) error: Option<String>,
}
