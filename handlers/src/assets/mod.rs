//! The assets function: not served yet.
