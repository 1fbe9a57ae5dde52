//! Releases of a stack without an API: they stand in the aliases of its functions. Each function of release 42 has an alias `r42`,
//! which names its version and whose description is the release's label; what live and preview serve stands in the aliases `live`
//! and `preview`. Pure: aliases in, releases out.
//!
//! A release is one once all of its functions have their alias: what a run that was cut off has left is none. Live is where its
//! last move went: aliases that a move has not reached are late.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{Callers, ReleaseLabel};
use super::slots::{Carrier, LIVE, PREVIEW, ReleaseState, SlotState, SlotVariables};

/// Lambda keeps at most 256 characters of an alias's description.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html>
pub const MAX_DESCRIPTION: usize = 256;

/// What the descriptions of our aliases begin with.
const OURS: &str = "taskctl ";

/// An alias of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The version that it names.
    pub version: String,
    /// Its description.
    pub description: String,
}

/// The alias of a release.
pub fn alias_of(release: u64) -> String {
    format!("r{release}")
}

/// The description of a release's alias: the function's logical name, how many functions there are, and the label without the
/// versions, which the aliases name themselves.
pub fn describe(label: &ReleaseLabel, function: &str) -> String {
    let bare = ReleaseLabel {
        versions: BTreeMap::new(),
        ..label.clone()
    };
    format!("{OURS}function={function} of={} {bare}", label.versions.len())
}

/// A description taken apart: the function's logical name, and what all functions of a release have in common.
fn parts(description: &str) -> Option<(&str, &str)> {
    let rest = description.strip_prefix(OURS)?.strip_prefix("function=")?;
    rest.split_once(' ')
}

/// A label without its versions, and how many functions have it.
fn parse_label(common: &str) -> Option<(usize, ReleaseLabel)> {
    let (of, label) = common.strip_prefix("of=")?.split_once(' ')?;
    Some((of.parse().ok()?, ReleaseLabel::parse(label)?))
}

/// The label in the description of a release's alias, without its versions, and how many functions have it.
pub fn label_of(description: &str) -> Option<(usize, ReleaseLabel)> {
    parse_label(parts(description)?.1)
}

/// The logical name of a function, as the aliases of its releases say it.
pub fn logical_name(aliases: &[Alias]) -> Option<&str> {
    aliases.iter().find_map(|alias| Some(parts(&alias.description)?.0))
}

/// What the alias of a slot says: the slot's variables, and which move wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotText {
    /// The slot's variables.
    pub variables: SlotVariables,
    /// Number of the move, counted from 1.
    pub moved: u64,
}

const MOVED: &str = "move=";

impl SlotText {
    /// As a description. What would not fit is left out, last things first.
    pub fn describe(&self) -> String {
        let mut words = vec![format!("{}{MOVED}{}", OURS, self.moved)];
        words.extend(self.variables.set().map(|(key, value)| format!("{key}={value}")));
        while words.join(" ").chars().count() > MAX_DESCRIPTION {
            words.pop();
        }
        words.join(" ")
    }

    /// Reads a description; none when it is not ours.
    pub fn parse(description: &str) -> Option<Self> {
        let mut words = description.strip_prefix(OURS)?.split(' ');
        let moved = words.next()?.strip_prefix(MOVED)?.parse().ok()?;
        let variables = words.filter_map(|word| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        });
        Some(Self {
            variables: variables.collect(),
            moved,
        })
    }
}

/// A slot as the aliases of one name say it.
fn slot(
    functions: &BTreeMap<String, Vec<Alias>>,
    name: &str,
    releases: &BTreeMap<u64, ReleaseLabel>,
) -> Option<(SlotState, BTreeSet<String>, u64)> {
    let aliases: BTreeMap<&String, (&Alias, SlotText)> = functions
        .iter()
        .filter_map(|(function, aliases)| {
            let alias = aliases.iter().find(|alias| alias.name == name)?;
            Some((function, (alias, SlotText::parse(&alias.description)?)))
        })
        .collect();
    let (_, last) = aliases.values().max_by_key(|(_, text)| text.moved)?;
    let release = last.variables.release()?;
    let label = releases.get(&release);
    let wanted = label.into_iter().flat_map(|label| &label.versions);
    let late = wanted.filter(|(function, version)| {
        aliases
            .get(function)
            .is_none_or(|(alias, text)| alias.version != **version || text.variables.release() != Some(release))
    });
    let state = SlotState {
        release: label.map(|label| label.number),
        deployment: alias_of(release),
        variables: last.variables.clone(),
    };
    Some((state, late.map(|(function, _)| function.clone()).collect(), last.moved))
}

/// What the aliases of all functions say, by the functions' logical names.
pub fn state(functions: &BTreeMap<String, Vec<Alias>>) -> ReleaseState {
    // Of one number there may be the rest of what a run that was cut off has left, under another label.
    let mut found: BTreeMap<&str, (usize, ReleaseLabel)> = BTreeMap::new();
    let mut highest = 0;
    for (function, aliases) in functions {
        for alias in aliases {
            let Some((_, common)) = parts(&alias.description) else {
                continue;
            };
            let Some((of, label)) = parse_label(common) else {
                continue;
            };
            highest = highest.max(label.number);
            let (_, known) = found.entry(common).or_insert((of, label));
            known.versions.insert(function.clone(), alias.version.clone());
            known.callers.insert(function.clone(), Callers::Live);
        }
    }
    let releases: BTreeMap<u64, ReleaseLabel> = found
        .into_values()
        .filter(|(of, label)| label.versions.len() == *of)
        .map(|(_, label)| (label.number, label))
        .collect();
    let live = slot(functions, LIVE, &releases);
    let preview = slot(functions, PREVIEW, &releases);
    let moves = [&live, &preview].into_iter().flatten().map(|(_, _, moved)| *moved);
    ReleaseState {
        carrier: Carrier::Functions,
        deployments: releases.keys().map(|number| (*number, alias_of(*number))).collect(),
        moves: moves.max().unwrap_or(0),
        highest,
        late: live.as_ref().map(|(_, late, _)| late.clone()).unwrap_or_default(),
        live: live.map(|(state, ..)| state),
        preview: preview.map(|(state, ..)| state),
        releases,
        ..ReleaseState::default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::release::slots::Color;

    fn label(number: u64, versions: &[(&str, u64)]) -> ReleaseLabel {
        let versions = versions.iter();
        ReleaseLabel {
            number,
            fingerprint: "0123456789abcdef".to_owned(),
            versions: versions
                .map(|(name, version)| ((*name).to_owned(), version.to_string()))
                .collect(),
            callers: BTreeMap::new(),
            commit: Some("1a2b3c4d+".to_owned()),
            sites: BTreeMap::new(),
            format: 4,
            grants: Some("0123456789abcdef".repeat(2)),
        }
    }

    /// Functions with the aliases of releases.
    fn functions(releases: &[ReleaseLabel]) -> BTreeMap<String, Vec<Alias>> {
        let mut functions: BTreeMap<String, Vec<Alias>> = BTreeMap::new();
        for label in releases {
            for (name, version) in &label.versions {
                functions.entry(name.clone()).or_default().push(Alias {
                    name: alias_of(label.number),
                    version: version.clone(),
                    description: describe(label, name),
                });
            }
        }
        functions
    }

    fn point(functions: &mut BTreeMap<String, Vec<Alias>>, function: &str, release: u64, version: u64, moved: u64) {
        let previous = (release > 1).then(|| (release - 1, alias_of(release - 1)));
        let variables = SlotVariables::new(release, Color::Blue, previous);
        let aliases = functions.get_mut(function).unwrap();
        aliases.retain(|alias| alias.name != LIVE);
        aliases.push(Alias {
            name: LIVE.to_owned(),
            version: version.to_string(),
            description: SlotText { variables, moved }.describe(),
        });
    }

    #[test]
    fn releases_are_read_back_from_aliases_alone() {
        let labels = [
            label(1, &[("jobs", 1), ("mail", 1)]),
            label(2, &[("jobs", 2), ("mail", 1)]),
        ];
        let mut functions = functions(&labels);
        point(&mut functions, "jobs", 2, 2, 7);
        point(&mut functions, "mail", 2, 1, 7);
        let facts = state(&functions);
        let read = facts
            .releases
            .values()
            .map(|label| (label.number, label.versions.clone()));
        let written = labels.iter().map(|label| (label.number, label.versions.clone()));
        assert_eq!(read.collect::<Vec<_>>(), written.collect::<Vec<_>>());
        assert_eq!(facts.releases[&2].commit, labels[1].commit);
        let live = facts.live.as_ref().unwrap();
        assert_eq!((live.release, live.variables.previous_release()), (Some(2), Some(1)));
        assert!(facts.late.is_empty() && !facts.releases[&2].is_routed("jobs"));
        assert_eq!((facts.moves, facts.highest), (7, 2));
    }

    #[test]
    fn what_a_cut_off_run_has_left_is_no_release() {
        let mut functions = functions(&[label(1, &[("jobs", 1)]), label(2, &[("jobs", 2), ("mail", 1)])]);
        functions.get_mut("mail").unwrap().clear();
        let facts = state(&functions);
        assert_eq!(facts.releases.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(facts.highest, 2);
        // The same number with other content, which lacks a function of what was begun.
        let again = ReleaseLabel {
            fingerprint: "f".repeat(16),
            ..label(2, &[("jobs", 3)])
        };
        functions.get_mut("mail").unwrap().push(Alias {
            name: alias_of(2),
            version: "1".to_owned(),
            description: describe(&label(2, &[("jobs", 2), ("mail", 1)]), "mail"),
        });
        let jobs = functions.get_mut("jobs").unwrap();
        jobs.retain(|alias| alias.name != alias_of(2));
        jobs.push(Alias {
            name: alias_of(2),
            version: "3".to_owned(),
            description: describe(&again, "jobs"),
        });
        assert_eq!(state(&functions).releases[&2].fingerprint, again.fingerprint);
    }

    /// The move that is counted highest was the last, whichever way it went.
    #[test]
    fn aliases_that_a_move_has_not_reached_are_late() {
        let labels = [
            label(1, &[("jobs", 1), ("mail", 1)]),
            label(2, &[("jobs", 2), ("mail", 1)]),
        ];
        for (first, second, live, late) in [
            ((2, 2, 8), (1, 1, 7), 2, "mail"),
            ((1, 1, 9), (2, 1, 8), 1, "mail"),
            ((1, 1, 7), (2, 1, 8), 2, "jobs"),
        ] {
            let mut functions = functions(&labels);
            point(&mut functions, "jobs", first.0, first.1, first.2);
            point(&mut functions, "mail", second.0, second.1, second.2);
            let facts = state(&functions);
            assert_eq!(facts.live.unwrap().release, Some(live));
            assert_eq!(facts.late, BTreeSet::from([late.to_owned()]));
        }
    }

    #[test]
    fn descriptions_fit_and_are_read_again() {
        let variables = SlotVariables::new(42, Color::Green, Some((41, alias_of(41))));
        let text = SlotText { variables, moved: 12 };
        assert_eq!(
            text.describe(),
            "taskctl move=12 color=green previousDeployment=r41 previousRelease=41 release=42"
        );
        assert_eq!(SlotText::parse(&text.describe()), Some(text.clone()));
        let long = SlotText {
            variables: text
                .variables
                .as_map()
                .clone()
                .into_iter()
                .chain([("unrecorded".to_owned(), "x".repeat(300))])
                .collect(),
            moved: 12,
        };
        assert_eq!(SlotText::parse(&long.describe()), Some(text));
        let text = describe(&label(1_234, &[("jobs", 1)]), &"x".repeat(64));
        assert!(text.len() <= MAX_DESCRIPTION, "{}", text.len());
        let alias = Alias {
            name: "r1234".to_owned(),
            version: "1".to_owned(),
            description: text,
        };
        assert_eq!(logical_name(&[alias]), Some("x".repeat(64).as_str()));
        for text in ["", "live", "taskctl 0123456789abcdef role=AROA", "taskctl move=x"] {
            assert_eq!(SlotText::parse(text), None, "{text}");
        }
    }
}
