//! The directory item of a table: which list partitions have been opened, and from when on they may be written to.

use std::collections::{BTreeMap, BTreeSet};

use super::Month;
use crate::ports::{Attribute, Item};
use crate::record::{Millis, RecordId};

/// How long a reading counts.
const FRESH_MILLIS: i64 = 10_000;
/// A further partition is used only after everyone has read of it: twice the above.
const LEAD_SECONDS: i64 = 20;
/// How far clocks may differ.
const SKEW_SECONDS: i64 = 5;
/// Most partitions of a month.
const MOST: usize = 16;
/// Most partitions that a month starts with because the one before was under pressure; the rest opens under its own.
const MOST_INHERITED: usize = 4;

/// What this process knows of the directory.
#[derive(Debug)]
pub(super) struct Directory {
    wanted: usize,
    read_at: Option<Millis>,
    /// By month, by partition number: the epoch second from which it may be used.
    opened: BTreeMap<Month, BTreeMap<usize, i64>>,
}

impl Directory {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted: wanted.clamp(1, MOST),
            read_at: None,
            opened: BTreeMap::new(),
        }
    }

    pub(super) fn fresh(&self, now: Millis) -> bool {
        self.read_at
            .is_some_and(|read| (0..FRESH_MILLIS).contains(&(now.0 - read.0)))
    }

    pub(super) fn replace(&mut self, item: Option<&Item>, now: Millis) {
        self.opened.clear();
        self.read_at = Some(now);
        if let Some(Attribute::Set(members)) = item.and_then(|item| item.0.get("partitions")) {
            self.add(members.clone());
        }
    }

    pub(super) fn add(&mut self, members: BTreeSet<String>) {
        for member in members {
            let Some((month, number, from)) = parse(&member) else {
                continue;
            };
            let known = self.opened.entry(month).or_default().entry(number).or_insert(from);
            *known = from.min(*known);
        }
    }

    /// What to write before the first record of a month: its partition 0, and as many more as are wanted from the start.
    pub(super) fn missing(&self, month: Month, now: Millis) -> BTreeSet<String> {
        let opened = self.opened.get(&month);
        let is_open = |number: usize| opened.is_some_and(|opened| opened.contains_key(&number));
        let inherited = self.opened.get(&month.before()).map_or(0, BTreeMap::len) / 2;
        let inherited = inherited.min(MOST_INHERITED);
        let wanted = self.wanted.max(inherited);
        (0..wanted)
            .filter(|number| !is_open(*number))
            .map(|number| member(month, number, now))
            .collect()
    }

    /// What to write to double a month's partitions; nothing while the last ones are not in use yet, or there are enough.
    pub(super) fn wider(&self, month: Month, now: Millis) -> BTreeSet<String> {
        let Some(opened) = self.opened.get(&month) else {
            return BTreeSet::new();
        };
        if opened.values().any(|from| *from > now.seconds()) {
            return BTreeSet::new();
        }
        let count = opened.len();
        (count..(count * 2).min(MOST))
            .map(|number| member(month, number, now))
            .collect()
    }

    /// The partition for a new record: evenly among those in use.
    pub(super) fn choose(&self, id: RecordId, now: Millis) -> usize {
        let Some(opened) = self.opened.get(&Month::of(id.created())) else {
            return 0;
        };
        let usable: Vec<usize> = opened
            .iter()
            .filter(|(_, from)| **from <= now.seconds())
            .map(|(number, _)| *number)
            .collect();
        match u64::try_from(usable.len()) {
            Ok(count) if count > 0 => usable[usize::try_from(id.spread() % count).unwrap_or(0)],
            Ok(_) | Err(_) => 0,
        }
    }

    /// Months to walk, newest first, each with its partitions; from the month of `after` on, if given. The current month
    /// counts even when no write to it is known.
    pub(super) fn months(
        &self,
        after: Option<RecordId>,
        since: Option<Millis>,
        now: Millis,
    ) -> Vec<(Month, Vec<usize>)> {
        let mut months: BTreeMap<Month, BTreeSet<usize>> = self
            .opened
            .iter()
            .map(|(month, opened)| (*month, opened.keys().copied().collect()))
            .collect();
        for near in [-FRESH_MILLIS / 1000 - SKEW_SECONDS, 0, SKEW_SECONDS] {
            months.entry(Month::of(now.plus_seconds(near))).or_default().insert(0);
        }
        let oldest = since.map(Month::of);
        // A month whose first id is the cursor has nothing before it: that is how a page ends that has seen all of a month.
        let within = |month: Month| {
            after.is_none_or(|after| month.first_id() < after) && oldest.is_none_or(|oldest| month >= oldest)
        };
        let months = months.into_iter().rev().filter(|(month, _)| within(*month));
        months
            .map(|(month, numbers)| (month, numbers.into_iter().collect()))
            .collect()
    }
}

fn member(month: Month, number: usize, now: Millis) -> String {
    match number {
        0 => format!("{month}/0"),
        _ => format!("{month}/{number}@{}", now.seconds() + LEAD_SECONDS),
    }
}

fn parse(member: &str) -> Option<(Month, usize, i64)> {
    let (place, from) = match member.split_once('@') {
        Some((place, from)) => (place, from.parse().ok()?),
        None => (member, 0),
    };
    let (month, number) = place.split_once('/')?;
    let number = number.parse().ok().filter(|number| *number < MOST)?;
    Some((Month::parse(month)?, number, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_763_681_475_123);

    fn directory(members: &[&str]) -> Directory {
        let mut directory = Directory::new(1);
        directory.add(members.iter().map(|member| (*member).to_owned()).collect());
        directory
    }

    fn set(members: &[&str]) -> BTreeSet<String> {
        members.iter().map(|member| (*member).to_owned()).collect()
    }

    #[test]
    fn a_month_is_opened_once() {
        let month = Month::of(NOW);
        assert_eq!(directory(&[]).missing(month, NOW), set(&["2025-11/0"]));
        assert_eq!(directory(&["2025-11/0"]).missing(month, NOW), set(&[]));
    }

    #[test]
    fn pressure_doubles_and_waits_until_all_are_in_use() {
        let month = Month::of(NOW);
        assert_eq!(
            directory(&["2025-11/0"]).wider(month, NOW),
            set(&["2025-11/1@1763681495"])
        );
        assert_eq!(
            directory(&["2025-11/0", "2025-11/1@1763681495"]).wider(month, NOW),
            set(&[])
        );
        assert_eq!(directory(&["2025-11/0", "2025-11/1@1"]).wider(month, NOW).len(), 2);
        let full: Vec<String> = (0..16).map(|number| format!("2025-11/{number}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        assert_eq!(directory(&full).wider(month, NOW), set(&[]));
    }

    #[test]
    fn a_month_starts_with_half_of_the_one_before() {
        let before = directory(&["2025-10/0", "2025-10/1@1", "2025-10/2@1", "2025-10/3@1"]);
        assert_eq!(
            before.missing(Month::of(NOW), NOW),
            set(&["2025-11/0", "2025-11/1@1763681495"])
        );
    }

    #[test]
    fn what_a_month_inherits_has_an_end() {
        let full: Vec<String> = (0..16).map(|number| format!("2025-10/{number}@1")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        assert_eq!(directory(&full).missing(Month::of(NOW), NOW).len(), 4);
    }

    #[test]
    fn a_partition_is_used_only_when_its_time_has_come() {
        let id = RecordId::from_parts(NOW, [1; 10]);
        let opening = directory(&["2025-11/0", "2025-11/1@1763681495"]);
        assert_eq!(opening.choose(id, NOW), 0);
        let later = NOW.plus_seconds(20);
        let used: BTreeSet<usize> = (0..32)
            .map(|bits| opening.choose(RecordId::from_parts(later, [bits; 10]), later))
            .collect();
        assert_eq!(used, BTreeSet::from([0, 1]));
    }

    #[test]
    fn of_two_openings_the_earlier_counts() {
        let opened = directory(&["2025-11/0", "2025-11/1@1763681495", "2025-11/1@1763681475"]);
        let used: BTreeSet<usize> = (0..32)
            .map(|bits| opened.choose(RecordId::from_parts(NOW, [bits; 10]), NOW))
            .collect();
        assert_eq!(used, BTreeSet::from([0, 1]));
    }

    #[test]
    fn the_walk_starts_at_the_cursor_and_knows_the_current_month_unasked() {
        let months = directory(&["2025-03/0", "2025-09/0", "2025-09/1@1"]).months(None, None, NOW);
        let shown: Vec<String> = months
            .iter()
            .map(|(month, numbers)| format!("{month}{numbers:?}"))
            .collect();
        assert_eq!(shown, ["2025-11[0]", "2025-09[0, 1]", "2025-03[0]"]);
        let cursor = RecordId::from_parts(Millis(1_757_000_000_000), [0; 10]);
        assert_eq!(
            directory(&["2025-03/0", "2025-09/0"])
                .months(Some(cursor), None, NOW)
                .len(),
            2
        );
        let seen = Month::of(Millis(1_757_000_000_000)).first_id();
        assert_eq!(
            directory(&["2025-03/0", "2025-09/0"])
                .months(Some(seen), None, NOW)
                .len(),
            1,
            "a month that has been seen whole is not walked again"
        );
        let since = Some(NOW.plus_seconds(-40 * 24 * 3600));
        assert_eq!(directory(&["2025-03/0", "2025-10/0"]).months(None, since, NOW).len(), 2);
    }

    #[test]
    fn what_is_not_a_partition_is_ignored() {
        assert!(
            directory(&["x", "2025-11", "2025-11/16", "2025-11/a", "2025-13/0", "2025-11/1@x"])
                .opened
                .is_empty()
        );
    }
}
