//! Web sites in buckets.

pub mod content;
pub mod objects;
pub mod pages;
