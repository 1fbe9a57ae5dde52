//! The Lambda functions of the platform stack: tasks, users, assets, counter, health.
//!
//! Each function is a domain module generic over the ports in [`ports`]; [`runtime::serve`] puts it behind the Lambda
//! runtime, and `src/bin/` names it. Nothing here knows whether it runs on AWS or under the local runtime host.

pub mod assets;
pub mod counter;
pub mod health;
pub mod tasks;
pub mod users;

mod contention;
pub mod http;
pub mod idempotency;
pub mod listing;
pub mod ports;
pub mod record;

pub mod aws;
pub mod runtime;

#[cfg(test)]
mod memory;

#[cfg(test)]
mod openapi;
