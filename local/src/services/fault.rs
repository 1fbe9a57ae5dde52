//! Errors as AWS's REST-JSON services answer them.

use serde_json::{Map, Value};

use crate::error::LocalError;

/// A refused call.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{code}: {message}")]
pub(crate) struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Error code.
    pub code: &'static str,
    /// Message.
    pub message: String,
    /// Further members of the error's body.
    pub fields: Map<String, Value>,
}

impl Fault {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            fields: Map::new(),
        }
    }

    /// Adds a member to the body.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// `BadRequestException`
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequestException", message)
    }

    /// `ConflictException`
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "ConflictException", message)
    }

    /// `ValidationException` of a member whose value its model does not allow.
    pub(crate) fn constraint(value: &str, member: &str, rule: &str) -> Self {
        let message =
            format!("1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}");
        Self::new(400, "ValidationException", message)
    }

    /// Whether a number lies within the bounds of its model.
    pub(crate) fn in_range(value: i64, lowest: i64, highest: i64, member: &str) -> Result<(), Self> {
        let rule = if value < lowest {
            format!("Member must have value greater than or equal to {lowest}")
        } else if value > highest {
            format!("Member must have value less than or equal to {highest}")
        } else {
            return Ok(());
        };
        Err(Self::constraint(&value.to_string(), member, &rule))
    }

    /// `NotFoundException`
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "NotFoundException", message)
    }
}

impl From<LocalError> for Fault {
    fn from(error: LocalError) -> Self {
        if let LocalError::DiskFull { .. } = error {
            // Nothing that AWS has or that another attempt repairs.
            let message = format!("the local target: {error}; free some disk space and run the command again");
            return Self::new(400, "LocalDiskFull", message);
        }
        let cause = std::error::Error::source(&error)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        Self::new(500, "InternalFailure", format!("{error}{cause}"))
    }
}
