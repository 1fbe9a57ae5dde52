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
