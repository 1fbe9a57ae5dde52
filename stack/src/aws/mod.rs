//! AWS: the only place that names its SDK. [`client`] makes the calls, [`read`] reads a stack, [`policy`] writes and judges
//! IAM policies, [`kinds`] are what a stack consists of, [`release`] is what moves between releases.

pub mod client;
pub mod kinds;
pub mod policy;
pub mod read;
pub mod release;

pub use kinds::registry::{Registry, registry};
