//! The Lambda functions of the platform stack.
