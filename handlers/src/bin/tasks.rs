//! The tasks function.
fn main() {}
