//! The users function: not served yet.
