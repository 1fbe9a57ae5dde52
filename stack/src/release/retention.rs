//! Which releases and function versions are kept. Pure.

use std::collections::BTreeSet;

use super::slots::ReleaseState;

/// What is kept of releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Numbers of the releases.
    pub releases: BTreeSet<u64>,
    /// The oldest that can be reached without further ado.
    pub oldest_reachable: Option<u64>,
}

impl Kept {
    /// The newest so many, and what can be reached without further ado.
    pub fn of(facts: &ReleaseState, keep: usize) -> Self {
        let reachable = facts.reachable();
        let newest = facts.releases.keys().rev().take(keep).copied();
        Self {
            oldest_reachable: reachable.first().copied(),
            releases: newest.chain(reachable).collect(),
        }
    }

    /// Versions of a function that stay, of those that have an alias: those of kept releases, and the newest. A function that
    /// is in no release keeps its newest `keep`.
    pub fn versions(&self, facts: &ReleaseState, function: &str, known: &[u64], keep: usize) -> BTreeSet<u64> {
        let of_releases = |kept_only: bool| {
            let labels = facts.releases.iter();
            labels
                .filter(move |(number, _)| !kept_only || self.releases.contains(number))
                .filter_map(|(_, label)| label.versions.get(function)?.parse().ok())
        };
        let mut newest: Vec<u64> = known.to_vec();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let in_a_release = of_releases(false).next().is_some();
        newest.truncate(if in_a_release { 1 } else { keep });
        of_releases(true).chain(newest).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::release::label::ReleaseLabel;
    use crate::release::slots::SlotState;

    /// A stage whose releases are pairs of their number and the version of `tasks` in them.
    pub(crate) fn facts(releases: &[(u64, u64)], live: u64, preview: u64, previous: Option<u64>) -> ReleaseState {
        let slot = |release: u64, previous: Option<u64>| SlotState {
            release: Some(release),
            deployment: format!("d{release}"),
            variables: previous
                .map(|number| ("previousRelease".to_owned(), number.to_string()))
                .into_iter()
                .collect(),
        };
        let label = |number: u64, version: u64| ReleaseLabel {
            number,
            fingerprint: "0".repeat(16),
            versions: BTreeMap::from([("tasks".to_owned(), version.to_string())]),
            callers: BTreeMap::new(),
            commit: None,
            sites: BTreeMap::new(),
            format: 1,
            grants: None,
        };
        ReleaseState {
            releases: releases
                .iter()
                .map(|(number, version)| (*number, label(*number, *version)))
                .collect(),
            live: Some(slot(live, previous)),
            preview: Some(slot(preview, None)),
            ..ReleaseState::default()
        }
    }

    #[test]
    fn what_can_be_reached_stays_however_old() {
        let facts = facts(&[(1, 1), (2, 1), (3, 2), (4, 3), (5, 4)], 2, 5, Some(1));
        let kept = Kept::of(&facts, 2);
        assert_eq!(kept.releases, BTreeSet::from([1, 2, 4, 5]));
        assert_eq!(kept.oldest_reachable, Some(1));
        // Version 2 was only release 3's; 6 was published and is in no release yet.
        assert_eq!(
            kept.versions(&facts, "tasks", &[1, 2, 3, 4, 5, 6], 2),
            BTreeSet::from([1, 3, 4, 6])
        );
        assert_eq!(
            kept.versions(&facts, "worker", &[1, 2, 3, 4], 2),
            BTreeSet::from([3, 4])
        );
    }
}
