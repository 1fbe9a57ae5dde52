//! The Lambda runtime host: runs the real `bootstrap` of each function version as Lambda would.
//!
//! An execution environment is one process with one Runtime API server of its own, in the directory that its package
//! was unpacked to. It runs one invocation at a time and is kept for the next one. What is reproduced and where it
//! differs from Lambda is in `docs/local-data-plane.md`.

mod api;
mod background;
mod code;
mod concurrency;
mod emf;
mod environment;
mod failure;
mod host;
mod log;
mod measure;
mod pool;
mod process;
mod process_registry;
mod report;
mod sandbox;
mod variables;
mod weights;

pub use host::{EnvironmentCount, RuntimeConfig, RuntimeError, RuntimeHost, RuntimePorts};
pub use process::Launcher;
