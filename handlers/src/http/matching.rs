//! Entity tags: a record's revision in quotes, and `If-Match`.

use super::{Failure, Request};

/// The entity tag of a revision.
pub fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// The `If-Match` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Not given, or `*`: any revision will do.
    Any,
    /// One of these entity tags.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Of a request.
    pub fn of(request: &Request) -> Self {
        match request.header("if-match") {
            None | Some("*") => Self::Any,
            Some(tags) => Self::OneOf(tags.split(',').map(|tag| tag.trim().to_owned()).collect()),
        }
    }

    /// 412 unless the revision is one that was named. Weak tags never match: <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1>.
    pub fn check(&self, revision: i64) -> Result<(), Failure> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(tags) if tags.contains(&etag(revision)) => Ok(()),
            Self::OneOf(_) => Err(Failure::PreconditionFailed(format!(
                "'If-Match' does not name the current revision {}; read it again and repeat the change",
                etag(revision)
            ))),
        }
    }
}
