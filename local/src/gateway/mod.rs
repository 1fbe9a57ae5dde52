//! The HTTP API data plane: serves what the stages of an API point at, as API Gateway does.
//!
//! Every request is judged by the API as it is at that moment: a stage that moves to another deployment is seen by
//! the next request, while one in flight ends as it began. What is reproduced and where it differs from AWS is in
//! `docs/local-data-plane.md`.

mod access_log;
mod cors;
mod event;
mod exchange;
mod hop_by_hop;
mod integration;
mod measure;
mod record;
mod response;
mod route;
mod sample_event;
mod server;
mod state;
mod target;
mod throttle;

pub use sample_event::SampleEvent;
pub use server::{Gateway, GatewayPorts};
