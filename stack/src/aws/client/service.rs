//! What is particular to an AWS service: its quotas, and errors that mean something else there than their codes say.
//! Each stands with the kinds of its service.

use crate::aws::client::error::ErrorKind;

/// An AWS service.
#[derive(Debug)]
pub struct Service {
    /// As its IAM prefix spells it.
    pub name: &'static str,
    /// Quotas of its calls; the first that covers a call counts.
    pub quotas: &'static [Quota],
    /// Its own rows of the error table, special cases before general ones; they come before those of every service.
    pub errors: &'static [Rule],
}

/// Calls that share a quota, in requests a second per account and region.
#[derive(Debug)]
pub struct Quota {
    /// Operations, or prefixes ending in `*`; empty means the rest of the service.
    pub operations: &'static [&'static str],
    /// Requests a second.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
}

/// A quota.
pub const fn quota(operations: &'static [&'static str], rate: f64, burst: f64) -> Quota {
    Quota {
        operations,
        rate,
        burst,
    }
}

impl Quota {
    pub(super) fn covers(&self, operation: &str) -> bool {
        self.operations.is_empty()
            || self.operations.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => operation.starts_with(prefix),
                None => *name == operation,
            })
    }
}

/// A row of the error table: the first that fits decides.
#[derive(Debug)]
pub struct Rule {
    /// Codes, compared without a trailing `Exception`.
    pub codes: &'static [&'static str],
    /// Part of the message, lower case; empty means any.
    pub message: &'static str,
    /// What it means.
    pub kind: ErrorKind,
}

/// A row of the error table.
pub const fn rule(codes: &'static [&'static str], message: &'static str, kind: ErrorKind) -> Rule {
    Rule { codes, message, kind }
}
