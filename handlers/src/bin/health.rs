//! The health function.
fn main() {}
