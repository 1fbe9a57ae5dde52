//! taskctl.
fn main() {}
