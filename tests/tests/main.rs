//! The one integration binary: taskctl as an operator meets it, against emulated AWS.

#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "tests")]

mod answers;
#[path = "../aws/mod.rs"]
mod aws;
mod bad_input;
mod canary;
mod checks;
mod contract;
mod crashes;
mod data_safety;
mod deploy;
mod documents;
mod door;
mod drift;
mod examples;
mod faults;
mod foreign;
mod hostile;
mod kinds;
mod logs;
mod observe;
mod on_call;
mod operators;
mod output;
mod page;
mod parity;
mod policy_bounds;
mod privilege;
mod projects;
mod recorded;
mod releases;
mod retention;
mod security_check;
mod site;
mod stages;
mod streams;
mod terminal;
mod unrouted;
mod walk;
mod workflows;
mod zero_loss;
