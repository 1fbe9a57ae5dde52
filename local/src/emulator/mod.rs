//! The AWS emulator: ministack in a virtual environment of its own, run as a child on 127.0.0.1.
//!
//! It is only reached through the endpoint; nothing outside this module knows which emulator it is.

mod install;
mod process;

pub(crate) use install::{Installation, ensure_installed, installed};
pub(crate) use process::Emulator;

/// The version that `requirements.txt` pins.
pub(crate) const VERSION: &str = "1.5.33";
