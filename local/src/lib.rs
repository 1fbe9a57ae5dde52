//! The local target of taskctl: one AWS endpoint over an emulated control plane, an HTTP API data plane and a Lambda
//! runtime host, all on 127.0.0.1 and with no account.
//!
//! [`up`] makes sure that the background process runs (installing the emulator on first use), [`serve`] is that
//! process, [`status`], [`down`] and [`reset`] do as they are named. What it knows comes only from the AWS calls that
//! pass: nothing else configures it.

pub mod deps;
pub mod gateway;
pub mod ports;
pub mod runtime;
pub mod signing;

mod daemon;
mod emulator;
mod endpoint;
mod error;
mod files;
#[cfg(test)]
mod floors;
mod hosts;
mod keys;
mod options;
mod peer;
mod protocol;
mod services;
mod targets;

pub use daemon::{
    ApiStatus, Ended, Incident, LocalState, LocalStatus, PartState, PartStatus, UpProgress, down, fire, list, reset,
    serve, status, up,
};
pub use error::LocalError;
pub use keys::{Credentials, DEFAULT_ACCOUNT, Keys, credentials, is_account};
pub use options::{
    AskedPorts, DEFAULT_FIRST_API_PORT, DEFAULT_PORT, DEFAULT_WEBSITE_PORT, DaemonCommand, LocalOptions, Ports,
    ServeSettings,
};
