//! Which way live can go: the promotion of what waits, the way back. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::label::Callers;
use super::machine::Aim;
use super::slots::{Carrier, Color, LIVE, ReleaseState, SlotState, SlotVariables};
use crate::event::Endpoints;

/// Why there is nothing to move to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// There is nothing here that could move.
    #[error("{0}")]
    Nothing(String),
    /// There is no release to go to.
    #[error("{message}")]
    NoTarget {
        /// What is missing.
        message: String,
        /// Releases that could be named.
        kept: BTreeSet<u64>,
    },
}

impl TransitionError {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Nothing(_) => {
                "`taskctl deploy` makes the first release; check --stage, --region and --profile".to_owned()
            }
            Self::NoTarget { kept, .. } if kept.is_empty() => "`taskctl deploy` makes a release".to_owned(),
            Self::NoTarget { kept, .. } => {
                let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
                format!("releases that are kept: {}; name one with --to", kept.join(", "))
            }
        }
    }
}

/// The HTTP API, as far as releases need to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Id of the API.
    pub api_id: String,
    /// Where the slots answer.
    pub endpoints: Endpoints,
    /// Paths that reach functions and change nothing.
    pub probes: Vec<String>,
    /// Functions that none of them reaches.
    pub unreached: BTreeSet<String>,
    /// Physical names of the functions behind it, by logical name.
    pub functions: BTreeMap<String, String>,
    /// What the derived names of functions begin with.
    pub prefix: String,
}

impl Gateway {
    /// A function's physical name: one that is not behind the API any more has its derived name.
    pub fn physical_name(&self, logical: &str) -> String {
        let found = self.functions.get(logical).cloned();
        found.unwrap_or_else(|| format!("{}{logical}", self.prefix))
    }
}

/// A function whose version changes with the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Logical name.
    pub name: String,
    /// Physical name.
    pub function: String,
    /// Version that live serves, under the alias `v{old}`.
    pub old: u64,
    /// Version of the release; none where it is the same or the release lacks the function.
    pub new: Option<u64>,
    /// What calls it beside routes.
    pub callers: Option<Callers>,
}

impl Changed {
    /// The aliases that live is called through, which weights divert.
    pub fn live_aliases(&self) -> impl Iterator<Item = VersionAlias> {
        called_through(&self.name, &self.function, self.old, self.callers)
    }
}

/// The aliases that a function is called through at a version.
fn called_through(
    name: &str,
    function: &str,
    version: u64,
    callers: Option<Callers>,
) -> impl Iterator<Item = VersionAlias> + use<> {
    let alias = VersionAlias {
        name: name.to_owned(),
        function: function.to_owned(),
        version,
        is_live: false,
    };
    let own = (callers != Some(Callers::Live)).then(|| alias.clone());
    let live = callers.map(|_| VersionAlias { is_live: true, ..alias });
    own.into_iter().chain(live)
}

/// An alias that a function is called through: `v{version}`, which a release's integrations name, or `live`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionAlias {
    /// Logical name of the function.
    pub name: String,
    /// Its physical name.
    pub function: String,
    /// Version.
    pub version: u64,
    /// Whether it is the alias `live`, which names this version now.
    pub is_live: bool,
}

impl VersionAlias {
    /// The alias's name.
    pub fn alias(&self) -> String {
        match self.is_live {
            true => LIVE.to_owned(),
            false => format!("v{}", self.version),
        }
    }
}

/// A function whose alias `live` moves with the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Logical name.
    pub name: String,
    /// Physical name.
    pub function: String,
    /// Version of the target.
    pub to: String,
    /// Version that live serves now; none where it lacks the function.
    pub from: Option<String>,
    /// Whether routes of the API call it, too.
    pub is_routed: bool,
}

/// A transition that is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub(crate) aim: Aim,
    pub(crate) carrier: Carrier,
    /// Empty without an API.
    pub(crate) api_id: String,
    /// Release that live serves now.
    pub from: Option<u64>,
    /// Release that it is to serve.
    pub to: u64,
    pub(crate) live: SlotState,
    pub(crate) deployment: String,
    pub(crate) color: Color,
    pub(crate) live_url: String,
    pub(crate) preview_url: String,
    pub(crate) probes: Vec<String>,
    pub(crate) unreached: BTreeSet<String>,
    /// Content of each web site, by bucket, of the target and of what live serves now.
    pub(crate) sites: BTreeMap<String, String>,
    /// Functions of live, with the target's version where that is another.
    pub(crate) changed: Vec<Changed>,
    /// Functions whose alias `live` moves along.
    pub(crate) followers: Vec<Follower>,
    /// Moves so far, as the aliases count them.
    pub(crate) moves: u64,
    /// Aliases that must divert nothing once live is at the target.
    pub(crate) aliases: Vec<VersionAlias>,
    pub(crate) former_sites: BTreeMap<String, String>,
    /// Version of each function, by logical name, of the target and of what live serves now.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) former_versions: BTreeMap<String, String>,
}

impl Transition {
    /// Whether it goes forward.
    pub fn is_promotion(&self) -> bool {
        self.aim == Aim::Promote
    }

    /// Where the slots answer.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            live: Some(self.live_url.clone()).filter(|url| !url.is_empty()),
            preview: Some(self.preview_url.clone()).filter(|url| !url.is_empty()),
            site: None,
        }
    }
}

/// The promotion that is possible; none when nothing waits.
pub fn promotion(gateway: &Gateway, facts: &ReleaseState) -> Result<Option<Transition>, TransitionError> {
    let (live, preview) = slots(facts)?;
    let to = preview.release.ok_or_else(|| TransitionError::NoTarget {
        message: "preview serves a deployment that is no release".to_owned(),
        kept: facts.releases.keys().copied().collect(),
    })?;
    if live.release == Some(to) {
        return Ok(None);
    }
    transition(gateway, Aim::Promote, facts, live, to).map(Some)
}

/// What live serves, as if it had just moved there.
pub fn arrived(gateway: &Gateway, facts: &ReleaseState) -> Result<Transition, TransitionError> {
    let (live, _) = slots(facts)?;
    let to = live
        .release
        .ok_or_else(|| TransitionError::Nothing("live serves a deployment that is no release".to_owned()))?;
    transition(gateway, Aim::Promote, facts, live, to)
}

/// The rollback that is possible: to the release before, or to a kept one.
pub fn rollback(
    gateway: &Gateway,
    facts: &ReleaseState,
    to: Option<u64>,
) -> Result<Option<Transition>, TransitionError> {
    let (live, _) = slots(facts)?;
    let kept: BTreeSet<u64> = facts
        .releases
        .keys()
        .copied()
        .filter(|number| Some(*number) != live.release)
        .collect();
    let previous = live.variables.previous_release();
    let to = match (to, previous) {
        (Some(to), _) | (None, Some(to)) => to,
        (None, None) => {
            let now = live.release.map_or_else(
                || "a deployment that is no release".to_owned(),
                |n| format!("release {n}"),
            );
            return Err(TransitionError::NoTarget {
                message: format!("live serves {now}, and nothing says what was live before it"),
                kept,
            });
        }
    };
    if live.release == Some(to) {
        return Ok(None);
    }
    if !kept.contains(&to) {
        return Err(TransitionError::NoTarget {
            message: format!("release {to} is not kept"),
            kept,
        });
    }
    transition(gateway, Aim::Rollback, facts, live, to).map(Some)
}

fn slots(facts: &ReleaseState) -> Result<(&SlotState, &SlotState), TransitionError> {
    match (&facts.live, &facts.preview) {
        (Some(live), Some(preview)) => Ok((live, preview)),
        _ => Err(TransitionError::Nothing(
            match facts.carrier {
                Carrier::Api => "the API has no live and preview yet",
                Carrier::Functions => "the functions have no aliases live and preview yet",
            }
            .to_owned(),
        )),
    }
}

fn transition(
    gateway: &Gateway,
    aim: Aim,
    facts: &ReleaseState,
    live: &SlotState,
    to: u64,
) -> Result<Transition, TransitionError> {
    let deployment = facts
        .deployments
        .get(&to)
        .cloned()
        .ok_or_else(|| TransitionError::NoTarget {
            message: format!("release {to} has no deployment any more"),
            kept: facts.releases.keys().copied().collect(),
        })?;
    let color = live.variables.color().map_or(Color::Blue, Color::other);
    Ok(Transition {
        aim,
        carrier: facts.carrier,
        followers: followers(gateway, facts, live.release, to),
        moves: facts.moves,
        api_id: gateway.api_id.clone(),
        from: live.release,
        to,
        live: live.clone(),
        deployment,
        color,
        live_url: gateway.endpoints.live.clone().unwrap_or_default(),
        preview_url: gateway.endpoints.preview.clone().unwrap_or_default(),
        probes: gateway.probes.clone(),
        unreached: gateway.unreached.clone(),
        changed: changed(gateway, facts, to),
        aliases: aliases(gateway, facts, Some(to)),
        versions: versions(facts, Some(to)),
        former_versions: versions(facts, live.release),
        sites: sites(facts, Some(to)),
        former_sites: sites(facts, live.release),
    })
}

/// The functions of live, with the target's version where that is another.
fn changed(gateway: &Gateway, facts: &ReleaseState, to: u64) -> Vec<Changed> {
    let live = facts.live.as_ref().and_then(|live| live.release);
    let target = versions(facts, Some(to));
    let functions = versions(facts, live).into_iter();
    functions
        .filter_map(|(name, version)| {
            let old: u64 = version.parse().ok()?;
            let new = target.get(&name).and_then(|version| version.parse().ok());
            Some(Changed {
                function: gateway.physical_name(&name),
                callers: callers(facts, live, &name),
                name,
                old,
                new: new.filter(|new| *new != old),
            })
        })
        .collect()
}

/// The functions of the target that are called through their alias `live`.
fn followers(gateway: &Gateway, facts: &ReleaseState, live: Option<u64>, to: u64) -> Vec<Follower> {
    let former = versions(facts, live);
    let target = versions(facts, Some(to)).into_iter();
    target
        .filter_map(|(name, version)| {
            Some(Follower {
                is_routed: callers(facts, Some(to), &name)? == Callers::Both,
                function: gateway.physical_name(&name),
                from: former.get(&name).cloned(),
                name,
                to: version,
            })
        })
        .collect()
}

fn callers(facts: &ReleaseState, release: Option<u64>, function: &str) -> Option<Callers> {
    facts.releases.get(&release?)?.callers.get(function).copied()
}

/// The aliases that may divert: those that live serves, those of the release to go to, or else of the release before. A
/// canary that died after the switch leaves its weights on the aliases of the release that was live before it, and a
/// rollback must not land on them.
pub(crate) fn aliases(gateway: &Gateway, facts: &ReleaseState, to: Option<u64>) -> Vec<VersionAlias> {
    let live = facts.live.as_ref();
    let to = to.or_else(|| live?.variables.previous_release());
    // There is one alias `live`, and where it is now is what counts.
    let others = of_release(gateway, facts, to)
        .into_iter()
        .filter(|alias| !alias.is_live);
    let aliases = live_aliases(gateway, facts).into_iter().chain(others);
    aliases.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The aliases that live serves.
pub(crate) fn live_aliases(gateway: &Gateway, facts: &ReleaseState) -> Vec<VersionAlias> {
    of_release(gateway, facts, facts.live.as_ref().and_then(|live| live.release))
}

fn of_release(gateway: &Gateway, facts: &ReleaseState, release: Option<u64>) -> Vec<VersionAlias> {
    let versions = versions(facts, release).into_iter();
    versions
        .filter_map(|(name, version)| {
            let callers = callers(facts, release, &name);
            let version = version.parse().ok()?;
            Some(called_through(&name, &gateway.physical_name(&name), version, callers))
        })
        .flatten()
        .collect()
}

fn versions(facts: &ReleaseState, release: Option<u64>) -> BTreeMap<String, String> {
    let label = release.and_then(|release| facts.releases.get(&release));
    label.map(|label| label.versions.clone()).unwrap_or_default()
}

fn sites(facts: &ReleaseState, release: Option<u64>) -> BTreeMap<String, String> {
    let label = release.and_then(|release| facts.releases.get(&release));
    label.map(|label| label.sites.clone()).unwrap_or_default()
}

/// Stage variables of live once it serves the target. After a rollback nothing says what was live before: a second
/// rollback must not land on what the first one left.
pub(crate) fn forward(transition: &Transition) -> SlotVariables {
    let previous = match (transition.aim, transition.from) {
        (Aim::Promote, Some(from)) => Some((from, transition.live.deployment.clone())),
        (Aim::Promote, None) | (Aim::Rollback, _) => None,
    };
    SlotVariables::new(transition.to, transition.color, previous).replacing(&transition.live.variables)
}

/// Stage variables of live as they were.
pub(crate) fn back(transition: &Transition) -> SlotVariables {
    transition.live.variables.clone().replacing(&forward(transition))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::release::slots::UNSET;

    pub(crate) fn facts(live: u64, preview: u64, previous: Option<u64>) -> ReleaseState {
        let slot = |release: u64, variables: &[(&str, String)]| SlotState {
            release: Some(release),
            deployment: format!("d{release}"),
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        };
        let mut variables = vec![("release", live.to_string()), ("color", "blue".to_owned())];
        if let Some(previous) = previous {
            variables.push(("previousRelease", previous.to_string()));
            variables.push(("previousDeployment", format!("d{previous}")));
        }
        let label = |number| super::super::label::ReleaseLabel {
            number,
            fingerprint: "0".repeat(16),
            versions: BTreeMap::new(),
            callers: BTreeMap::new(),
            commit: None,
            sites: BTreeMap::new(),
            format: 1,
            grants: None,
        };
        ReleaseState {
            releases: (1..=3).map(|number| (number, label(number))).collect(),
            deployments: (1..=3).map(|number| (number, format!("d{number}"))).collect(),
            live: Some(slot(live, &variables)),
            preview: Some(slot(preview, &[])),
            ..ReleaseState::default()
        }
    }

    #[test]
    fn what_waits_goes_live_and_remembers_what_was() {
        let transition = promotion(&Gateway::default(), &facts(1, 2, None)).unwrap().unwrap();
        assert_eq!(
            (transition.from, transition.to, transition.deployment.as_str()),
            (Some(1), 2, "d2")
        );
        let variables = forward(&transition);
        assert_eq!(
            (
                variables.as_map()["previousRelease"].as_str(),
                variables.as_map()["color"].as_str()
            ),
            ("1", "green")
        );
        assert_eq!(back(&transition).as_map()["previousRelease"], UNSET);
        assert!(promotion(&Gateway::default(), &facts(2, 2, Some(1))).unwrap().is_none());
    }

    #[test]
    fn weights_are_looked_for_where_live_is_and_where_it_goes() {
        let mut facts = facts(2, 2, Some(1));
        for (number, versions) in [(1, [("a", "1"), ("b", "1")]), (2, [("a", "2"), ("b", "1")])] {
            let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned()));
            facts.releases.get_mut(&number).unwrap().versions = BTreeMap::from(versions);
        }
        let seen = |aliases: Vec<VersionAlias>| -> Vec<String> {
            aliases
                .iter()
                .map(|one| format!("{}:{}", one.name, one.alias()))
                .collect()
        };
        let gateway = Gateway::default();
        let back = rollback(&gateway, &facts, None).unwrap().unwrap();
        assert_eq!(seen(back.aliases), ["a:v1", "a:v2", "b:v1"]);
        assert_eq!(seen(aliases(&gateway, &facts, None)), ["a:v1", "a:v2", "b:v1"]);
        assert_eq!(seen(live_aliases(&gateway, &facts)), ["a:v2", "b:v1"]);
    }

    /// A function that something else than routes calls has weights on `live`, and that alias moves along.
    #[test]
    fn what_other_things_call_follows_live() {
        let mut facts = facts(2, 2, Some(1));
        for (number, versions) in [(1, [("a", "1"), ("b", "1")]), (2, [("a", "2"), ("b", "2")])] {
            let label = facts.releases.get_mut(&number).unwrap();
            let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned()));
            label.versions = BTreeMap::from(versions);
            label.callers = BTreeMap::from([("a".to_owned(), Callers::Live), ("b".to_owned(), Callers::Both)]);
        }
        let back = rollback(&Gateway::default(), &facts, None).unwrap().unwrap();
        let aliases: Vec<String> = back
            .aliases
            .iter()
            .map(|one| format!("{}:{}", one.name, one.alias()))
            .collect();
        assert_eq!(aliases, ["a:live", "b:v1", "b:v2", "b:live"]);
        let moved: Vec<(&str, &str, Option<&str>)> = back
            .followers
            .iter()
            .map(|one| (one.name.as_str(), one.to.as_str(), one.from.as_deref()))
            .collect();
        assert_eq!(moved, [("a", "1", Some("2")), ("b", "1", Some("2"))]);
    }

    #[test]
    fn a_rollback_goes_to_what_was_live_also_while_another_waits_and_not_twice() {
        let transition = rollback(&Gateway::default(), &facts(2, 3, Some(1)), None)
            .unwrap()
            .unwrap();
        assert_eq!((transition.from, transition.to), (Some(2), 1));
        assert_eq!(forward(&transition).as_map()["previousRelease"], UNSET);
        let refused = rollback(&Gateway::default(), &facts(1, 3, None), None).unwrap_err();
        assert!(refused.hint().contains("2, 3"), "{refused}");
        assert!(rollback(&Gateway::default(), &facts(2, 3, Some(1)), Some(9)).is_err());
    }
}
