//! The runtime host and the gateway with real child processes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod concurrency;
mod failures;
mod lifecycle;
mod logs;
mod served;
mod serving;
mod world;
