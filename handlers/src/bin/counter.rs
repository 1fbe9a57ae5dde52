//! The counter function.
fn main() {}
