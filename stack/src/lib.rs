//! The engine of taskctl: a template becomes a stack, a stack and what AWS has become a plan, a plan is executed, and
//! everything that happens leaves as events. It never prints, reads no environment variable and no wall clock of its
//! own accord: those come in through its context.

pub mod aws;
pub mod compile;
mod digest;
pub mod engine;
pub mod event;
pub mod execute;
pub mod graph;
pub mod observe;
pub mod package;
pub mod partition;
pub mod plan;
pub mod release;
pub mod resource;
pub mod site;
pub mod status;
pub mod template;
pub mod time;
