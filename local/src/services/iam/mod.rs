//! IAM: what a call needs to be allowed to, and whether policies allow it. Roles and policies themselves are the emulator's.

pub(crate) mod actions;
pub(crate) mod permissions;
pub(crate) mod policy;
pub(crate) mod required;
pub(crate) mod wildcard;
