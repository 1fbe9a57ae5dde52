//! Deletes what no kept release uses, and reports it. Used by `prune` and after a promotion.

use taskctl_stack::engine::{Engine, Pruned};
use taskctl_stack::event::Event;

use crate::session::Session;
use crate::ui::text::count;

/// Prunes after a promotion. What cannot be taken away now goes the next time.
pub async fn after_promotion(session: &Session, engine: &Engine, keep: usize) {
    match engine.prune(keep).await {
        Ok(pruned) => report(session, &pruned),
        Err(error) => session.reporter.emit(Event::Warning {
            message: format!("old releases were not pruned: {error}; run `taskctl prune` to retry"),
        }),
    }
}

/// Says what went, by name.
pub fn report(session: &Session, pruned: &Pruned) {
    if !pruned.is_nothing() {
        session.reporter.emit(Event::Note {
            message: described(pruned),
        });
    }
}

fn described(pruned: &Pruned) -> String {
    let Pruned {
        releases,
        versions,
        grants,
        files,
    } = pruned;
    let mut parts = Vec::new();
    if !releases.is_empty() {
        let noun = if releases.len() == 1 { "release" } else { "releases" };
        parts.push(format!("{noun} {}, no longer rolled back to", numbers(releases)));
    }
    if !versions.is_empty() {
        let list: Vec<String> = versions
            .iter()
            .map(|(function, versions)| format!("{function} {}", numbers(versions)))
            .collect();
        parts.push(format!("function versions {}", list.join(", ")));
    }
    if !grants.is_empty() {
        let list: Vec<&str> = grants.iter().map(String::as_str).collect();
        parts.push(format!("permissions of former releases for {}", list.join(", ")));
    }
    if *files > 0 {
        parts.push(count(u64::try_from(*files).unwrap_or(u64::MAX), "file") + " of web sites");
    }
    format!("pruned: {}", parts.join("; "))
}

/// `3`, `3 and 4`, `3, 4 and 7`.
fn numbers<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> String {
    let mut list: Vec<String> = numbers.into_iter().map(u64::to_string).collect();
    match list.pop() {
        Some(last) if !list.is_empty() => format!("{} and {last}", list.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_was_pruned_is_named() {
        let pruned = Pruned {
            releases: BTreeSet::from([1, 2, 4]),
            versions: BTreeMap::from([("tasks".to_owned(), vec![3]), ("users".to_owned(), vec![1, 2])]),
            grants: BTreeSet::from(["tasks".to_owned()]),
            files: 1,
        };
        assert_eq!(
            described(&pruned),
            "pruned: releases 1, 2 and 4, no longer rolled back to; function versions tasks 3, users 1 and 2; \
             permissions of former releases for tasks; 1 file of web sites"
        );
        let one = Pruned {
            releases: BTreeSet::from([1]),
            ..Pruned::default()
        };
        assert_eq!(described(&one), "pruned: release 1, no longer rolled back to");
    }
}
