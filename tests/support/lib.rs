//! Support for the end-to-end tests: the real binary, one local target shared by the tests that run at the same time, and
//! projects with an application of their own.

pub mod browser;
mod caller;
mod interference;
mod journal;
mod local;
mod newman;
mod project;
mod terminal;
mod weather;

pub use browser::Browser;
pub use caller::Caller;
pub use interference::{At, Held, Interference};
pub use journal::{Entry, Journal};
pub use local::{Local, Run, Running, artifacts, binary, repository};
pub use newman::newman;
pub use project::Project;
pub use terminal::Terminal;
pub use weather::Weather;
