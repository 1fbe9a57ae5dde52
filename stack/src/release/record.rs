//! What the ledger remembers of releases and moves: who, when and why. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::grants::Grants;
use crate::plan::Counts;

/// The newest format of records that is read here, and the one that is written. Records without a number have format 1.
pub const FORMAT: u64 = 1;

#[derive(Serialize)]
struct Numbered<'a, T> {
    format: u64,
    #[serde(flatten)]
    record: &'a T,
}

/// A record as it is stored.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    let numbered = Numbered { format: FORMAT, record };
    serde_json::to_vec_pretty(&numbered).unwrap_or_default()
}

/// A stored record; none when it is not one, or of a format that only a newer taskctl knows.
pub fn decode<T: DeserializeOwned>(stored: &[u8]) -> Option<T> {
    let value: Value = serde_json::from_slice(stored).ok()?;
    let format = value.get("format").map_or(Some(1), Value::as_u64)?;
    if format > FORMAT {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// What is known of a release, written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Number.
    pub release: u64,
    /// Colour it was given.
    pub color: String,
    /// Fingerprint of its content.
    pub fingerprint: String,
    /// Commit of the code, with `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Who deployed it.
    pub user: String,
    /// When the deploy ended.
    #[serde(serialize_with = "crate::time::serialize")]
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// What changed with it.
    pub changes: Counts,
    /// Function versions in it.
    pub versions: BTreeMap<String, u64>,
    /// What the functions' roles allow, by logical name.
    #[serde(default)]
    pub grants: Grants,
    /// Fencing number of the lease it was written under.
    pub fence: u64,
}

/// Why live moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// `deploy`, of a release that goes live at once.
    Deploy,
    /// `promote`.
    Promote,
    /// `rollback`.
    Rollback,
    /// `unlock --force`.
    Unlock,
}

impl Cause {
    /// As in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Unlock => "unlock",
        }
    }
}

/// How a movement ends that reached its aim.
pub const DONE: &str = "done";

/// A movement of live, written once it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoveRecord {
    /// Release before.
    pub from: Option<u64>,
    /// Release aimed at.
    pub to: u64,
    /// Why.
    pub cause: Cause,
    /// How it ended.
    pub end: String,
    /// Who.
    pub user: String,
    /// When it ended.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// Fencing number of the lease it was made under.
    pub fence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> MoveRecord {
        MoveRecord {
            from: Some(1),
            to: 2,
            cause: Cause::Promote,
            end: DONE.to_owned(),
            user: "ann@vm".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            millis: 20,
            fence: 7,
        }
    }

    #[test]
    fn records_of_every_known_format_are_read() {
        let stored = String::from_utf8(encode(&made())).unwrap_or_default();
        assert!(stored.contains("\"format\": 1"), "{stored}");
        assert_eq!(decode(stored.as_bytes()), Some(made()));
        let former = stored.replacen("\"format\": 1,", "", 1);
        assert_eq!(decode(former.as_bytes()), Some(made()));
        let newer = stored.replacen("\"format\": 1", "\"format\": 2", 1);
        assert_eq!(decode::<MoveRecord>(newer.as_bytes()), None);
        assert_eq!(decode::<MoveRecord>(b"{\"format\": \"x\"}"), None);
    }
}
