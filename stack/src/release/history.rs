//! The history of releases: what AWS keeps decides what there is, the ledger adds who, when and why. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{Cause, MoveRecord, ReleaseRecord};
use super::slots::ReleaseState;
use crate::plan::Counts;

/// A release, as `taskctl releases` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// Number.
    pub release: u64,
    /// Where it is.
    pub state: State,
    /// Commit of the code, with `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Who deployed it; none when the ledger does not say.
    pub user: Option<String>,
    /// ARN of the AWS principal that deployed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// When its deploy ended.
    #[serde(serialize_with = "crate::time::serialize_known")]
    #[schemars(with = "Option<jiff::Timestamp>")]
    pub at: Option<jiff::Timestamp>,
    /// How long its deploy took.
    pub millis: Option<u64>,
    /// What changed with it.
    pub changes: Option<Counts>,
    /// Movements of live to it, oldest first.
    pub moves: Vec<MoveRecord>,
}

/// Where a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Users reach it.
    Live,
    /// It waits in preview.
    Waiting,
    /// It was live before; `rollback` goes to it.
    Previous,
    /// Its deployment exists; `rollback --to` goes to it.
    Kept,
    /// Its deployment is gone; only the ledger remembers it.
    Gone,
}

impl State {
    /// As in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Waiting => "waiting",
            Self::Previous => "previous",
            Self::Kept => "kept",
            Self::Gone => "gone",
        }
    }
}

/// All releases, newest first.
pub fn releases(facts: &ReleaseState, records: &[ReleaseRecord], moves: &[MoveRecord]) -> Vec<Release> {
    let live = facts.live.as_ref().and_then(|slot| slot.release);
    let waiting = facts.preview.as_ref().and_then(|slot| slot.release);
    let previous: Option<u64> = facts.live.as_ref().and_then(|slot| slot.variables.previous_release());
    let numbers: BTreeSet<u64> = facts
        .releases
        .keys()
        .copied()
        .chain(records.iter().map(|record| record.release))
        .collect();
    let state = |number: u64| {
        if live == Some(number) {
            State::Live
        } else if waiting == Some(number) {
            State::Waiting
        } else if !facts.releases.contains_key(&number) {
            State::Gone
        } else if previous == Some(number) {
            State::Previous
        } else {
            State::Kept
        }
    };
    let of = |number: u64| {
        let record = records.iter().find(|record| record.release == number);
        Release {
            release: number,
            state: state(number),
            commit: facts
                .releases
                .get(&number)
                .and_then(|label| label.commit.clone())
                .or_else(|| record.and_then(|record| record.commit.clone())),
            user: record.map(|record| record.user.clone()),
            principal: record.and_then(|record| record.principal.clone()),
            at: record.map(|record| record.at),
            millis: record.map(|record| record.millis),
            changes: record.map(|record| record.changes),
            moves: moves
                .iter()
                .filter(|one| one.to == number && one.cause != Cause::Unlock)
                .cloned()
                .collect(),
        }
    };
    numbers.into_iter().rev().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::label::ReleaseLabel;
    use super::super::slots::{SlotState, SlotVariables};
    use super::*;

    #[test]
    fn without_the_ledger_the_releases_are_those_that_aws_keeps() {
        let label = |number: u64| ReleaseLabel {
            number,
            fingerprint: "0".repeat(16),
            versions: BTreeMap::new(),
            callers: BTreeMap::new(),
            commit: Some(format!("c{number}")),
            sites: BTreeMap::new(),
            format: 1,
            grants: None,
        };
        let slot = |release: u64, previous: &str| SlotState {
            release: Some(release),
            deployment: format!("d{release}"),
            variables: SlotVariables::from_iter([("previousRelease".to_owned(), previous.to_owned())]),
        };
        let facts = ReleaseState {
            releases: (1..=4).map(|number| (number, label(number))).collect(),
            live: Some(slot(3, "2")),
            preview: Some(slot(4, "")),
            ..ReleaseState::default()
        };
        let told: Vec<(u64, &str, Option<String>)> = releases(&facts, &[], &[])
            .into_iter()
            .map(|one| (one.release, one.state.as_str(), one.commit))
            .collect();
        let commit = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                (4, "waiting", commit("c4")),
                (3, "live", commit("c3")),
                (2, "previous", commit("c2")),
                (1, "kept", commit("c1"))
            ]
        );
    }
}
