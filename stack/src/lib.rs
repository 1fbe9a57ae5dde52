//! The engine of taskctl.
