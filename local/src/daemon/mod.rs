//! The background process of the local target, and how others start, ask and end it.

mod claim;
mod client;
mod data_plane;
mod port;
mod record;
mod serve;
mod status;

pub use client::{Ended, UpProgress, down, fire, list, reset, status, up};
pub use serve::serve;
pub use status::{ApiStatus, Incident, LocalState, LocalStatus, PartState, PartStatus};
