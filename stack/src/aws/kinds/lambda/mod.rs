//! Lambda.

pub mod function;
pub mod permission;
pub mod staging;
pub mod version;
