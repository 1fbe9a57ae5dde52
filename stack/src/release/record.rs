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
    /// ARN of the AWS principal that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
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
    /// ARN of the AWS principal that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// When it ended.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub at: jiff::Timestamp,
    /// How long it took.
    pub millis: u64,
    /// Fencing number of the lease it was made under.
    pub fence: u64,
}

impl MoveRecord {
    /// As the value of a stage variable, whose characters are few: for a move that was made without the control bucket.
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.stage-variables.html>
    pub fn to_variable(&self) -> String {
        let from = self.from.map(|from| format!("from={from},")).unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let user: String = self.user.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        let user: String = user.chars().take(VARIABLE_USER).collect();
        format!(
            "{from}to={},cause={},at={},millis={},user={user}",
            self.to,
            self.cause.as_str(),
            self.at.as_millisecond(),
            self.millis
        )
    }

    /// Reads one back.
    pub fn from_variable(value: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> = value.split(',').filter_map(|field| field.split_once('=')).collect();
        let cause = serde_json::from_value(Value::String((*fields.get("cause")?).to_owned())).ok()?;
        let from = match fields.get("from") {
            Some(from) => Some(from.parse().ok()?),
            None => None,
        };
        Some(Self {
            from,
            to: fields.get("to")?.parse().ok()?,
            cause,
            end: DONE.to_owned(),
            user: (*fields.get("user")?).to_owned(),
            principal: None,
            at: jiff::Timestamp::from_millisecond(fields.get("at")?.parse().ok()?).ok()?,
            millis: fields.get("millis")?.parse().ok()?,
            fence: 0,
        })
    }
}

/// Characters of a user's name in a stage variable, whose value takes 512 in all.
const VARIABLE_USER: usize = 128;

/// The newer of two moves.
pub fn newer(one: Option<MoveRecord>, other: Option<MoveRecord>) -> Option<MoveRecord> {
    one.into_iter().chain(other).max_by_key(|made| made.at)
}

/// The user where the environment names none.
pub const NO_USER: &str = "unknown";

/// Whose credentials a principal's ARN says they are: `assumed-role/Deployer/run-42`, `user/ada`, `root`.
pub fn session(principal: &str) -> Option<&str> {
    principal.splitn(6, ':').nth(5).filter(|session| !session.is_empty())
}

/// Who did something, for people: where the environment named no user, AWS did.
pub fn who<'a>(user: &'a str, principal: Option<&'a str>) -> &'a str {
    match principal.and_then(session) {
        Some(session) if user == NO_USER => session,
        Some(_) | None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_the_environment_does_not_name_is_named_by_aws() {
        let role = "arn:aws:sts::123456789012:assumed-role/Deployer/run:42";
        for (user, principal, expected) in [
            (NO_USER, Some(role), "assumed-role/Deployer/run:42"),
            (NO_USER, Some("arn:aws:iam::123456789012:user/ada"), "user/ada"),
            (NO_USER, Some("arn:aws:iam::123456789012:root"), "root"),
            (NO_USER, Some("-"), NO_USER),
            (NO_USER, None, NO_USER),
            ("ada", Some(role), "ada"),
        ] {
            assert_eq!(who(user, principal), expected);
        }
    }

    fn made() -> MoveRecord {
        MoveRecord {
            from: Some(1),
            to: 2,
            cause: Cause::Promote,
            end: DONE.to_owned(),
            user: "ann@vm".to_owned(),
            principal: Some("arn:aws:iam::123456789012:user/ann".to_owned()),
            at: jiff::Timestamp::UNIX_EPOCH,
            millis: 20,
            fence: 7,
        }
    }

    #[test]
    fn a_move_fits_into_a_stage_variable_and_comes_back() {
        let moved = MoveRecord {
            cause: Cause::Rollback,
            fence: 0,
            ..made()
        };
        for moved in [
            MoveRecord {
                from: None,
                ..moved.clone()
            },
            moved,
        ] {
            let value = moved.to_variable();
            let documented = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#&=,".contains(c);
            assert!(value.chars().all(documented), "{value}");
            let back = MoveRecord::from_variable(&value);
            assert_eq!(
                back,
                Some(MoveRecord {
                    user: "ann-vm".to_owned(),
                    principal: None,
                    ..moved
                })
            );
        }
        let long = MoveRecord {
            user: "x".repeat(2000),
            ..made()
        };
        assert!(long.to_variable().len() < 512);
        for value in ["", "-", "to=2", "to=x,cause=rollback,at=0,millis=1,user=a", "hello"] {
            assert_eq!(MoveRecord::from_variable(value), None, "{value}");
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
