//! Templates.
pub mod model;
