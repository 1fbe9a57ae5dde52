//! Support for the end-to-end tests: the real binary, one local target shared by the tests that run at the same time, and
//! projects with an application of their own.

mod aws_cli;
pub mod browser;
mod caller;
mod eventually;
mod fault_profile;
mod fault_proxy;
mod installed;
mod local;
mod log_fixture;
mod newman;
mod project;
mod python_function;
mod terminal;

pub use aws_cli::aws;
pub use browser::Browser;
pub use caller::Caller;
pub use eventually::{eventually, settled};
pub use fault_profile::FaultProfile;
pub use fault_proxy::{At, FaultProxy, Held};
pub use local::{Local, Run, Running, artifacts, binary, cache, projects_target, repository};
pub use log_fixture::{Entry, LogFixture};
pub use newman::newman;
pub use project::Project;
pub use python_function::{foreign_packages, python_function, slow_packages};
pub use terminal::Terminal;
