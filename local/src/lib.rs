//! The local target of taskctl.
