//! IAM: the permissions that calls need, and whether policies grant them. Roles and policies themselves are the emulator's.

pub(crate) mod actions;
mod call;
mod documents;
pub(crate) mod permissions;
pub(crate) mod policy;
pub(crate) mod required;
pub(crate) mod wildcard;
