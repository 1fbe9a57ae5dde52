//! What moving between releases does on AWS.

mod bake;
pub mod by_hand;
pub mod check_event;
mod confirm;
pub mod control_bucket;
pub mod drift;
pub mod driver;
pub mod error;
pub(crate) mod followers;
pub mod gateway;
pub mod going_live;
mod hooks;
pub mod lease;
pub mod ledger;
pub mod presence;
pub mod release_state;
pub mod runnable;
pub mod sight;
pub mod traffic_shift;
