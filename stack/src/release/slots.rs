//! Where releases are after a deploy: which number the release has, what live and preview serve, with which variables.
//! Pure: facts in, slots out.

use std::collections::{BTreeMap, BTreeSet};

use super::label::ReleaseLabel;
use super::record::MoveRecord;

/// The slot that users reach.
pub const LIVE: &str = "live";
/// The slot where the next release waits.
pub const PREVIEW: &str = "preview";

/// Where AWS keeps the releases of a stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Carrier {
    /// In the deployments and stages of its HTTP API.
    #[default]
    Api,
    /// In the aliases of its functions: it has no API.
    Functions,
}

/// What AWS has of releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseState {
    /// Where they are kept.
    pub carrier: Carrier,
    /// Releases with a deployment, by number.
    pub releases: BTreeMap<u64, ReleaseLabel>,
    /// Their deployment ids, or their aliases.
    pub deployments: BTreeMap<u64, String>,
    /// The live slot.
    pub live: Option<SlotState>,
    /// The preview slot.
    pub preview: Option<SlotState>,
    /// Published versions by logical function name: number and fingerprint, oldest first.
    pub versions: BTreeMap<String, Vec<(u64, String)>>,
    /// Versions whose role was deleted since they were published, by logical function name: Lambda runs them no more.
    pub cut_off: BTreeMap<String, BTreeSet<u64>>,
    /// Functions whose alias under live sends requests elsewhere, with the fingerprint of its version.
    pub diverted: BTreeMap<String, String>,
    /// Functions of live's release whose alias `live` a move has not reached.
    pub late: BTreeSet<String>,
    /// Moves so far, as the aliases count them.
    pub moves: u64,
    /// The highest number of a release that was begun or stands elsewhere.
    pub highest: u64,
}

/// What a slot serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotState {
    /// Release of its deployment; none when the deployment is not ours.
    pub release: Option<u64>,
    /// Its deployment.
    pub deployment: String,
    /// Its stage variables.
    pub variables: SlotVariables,
}

/// Stage variables of a slot. What others have put there is kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotVariables(BTreeMap<String, String>);

const RELEASE: &str = "release";
const COLOR: &str = "color";
const PREVIOUS_RELEASE: &str = "previousRelease";
const PREVIOUS_DEPLOYMENT: &str = "previousDeployment";
const UNRECORDED: &str = "unrecorded";

impl SlotVariables {
    /// Those of a release in a colour, with the release before and its deployment.
    pub fn new(release: u64, color: Color, previous: Option<(u64, String)>) -> Self {
        let mut variables = BTreeMap::from([
            (RELEASE.to_owned(), release.to_string()),
            (COLOR.to_owned(), color.as_str().to_owned()),
        ]);
        if let Some((number, deployment)) = previous {
            variables.insert(PREVIOUS_RELEASE.to_owned(), number.to_string());
            variables.insert(PREVIOUS_DEPLOYMENT.to_owned(), deployment);
        }
        Self(variables)
    }

    /// The release that the slot serves.
    pub fn release(&self) -> Option<u64> {
        self.number(RELEASE)
    }

    /// Its colour.
    pub fn color(&self) -> Option<Color> {
        match self.0.get(COLOR).map(String::as_str) {
            Some("blue") => Some(Color::Blue),
            Some("green") => Some(Color::Green),
            Some(_) | None => None,
        }
    }

    /// The release that the slot served before.
    pub fn previous_release(&self) -> Option<u64> {
        self.number(PREVIOUS_RELEASE)
    }

    /// The move that brought the slot here and that the ledger does not have: it was made without the control bucket.
    pub fn unrecorded(&self) -> Option<MoveRecord> {
        MoveRecord::from_variable(self.0.get(UNRECORDED)?)
    }

    /// These, with a move that the ledger does not have.
    #[must_use]
    pub fn with_unrecorded(mut self, made: &MoveRecord) -> Self {
        self.0.insert(UNRECORDED.to_owned(), made.to_variable());
        self
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }

    /// Those that say anything.
    pub fn set(&self) -> impl Iterator<Item = (&str, &str)> {
        let set = self.0.iter().filter(|(_, value)| is_set(value));
        set.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As AWS has them.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// These, and those of `others` that are not among them unset: AWS merges variables.
    #[must_use]
    pub fn replacing(mut self, others: &Self) -> Self {
        for key in others.0.keys() {
            self.0.entry(key.clone()).or_insert_with(|| UNSET.to_owned());
        }
        self
    }
}

impl FromIterator<(String, String)> for SlotVariables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Value of a stage variable that is not set any more. AWS merges variables when a stage is updated, and the documented
/// characters of a value leave no room for an empty one.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.stage-variables.html>
pub const UNSET: &str = "-";

/// Whether a stage variable's value says anything.
pub fn is_set(value: &str) -> bool {
    !value.is_empty() && value != UNSET
}

/// Whether a release goes live with its deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoLive {
    /// At once.
    AtOnce,
    /// It waits in preview for `promote`.
    Wait,
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Blue.
    Blue,
    /// Green.
    Green,
}

impl Color {
    /// As in stage variables and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

/// What a slot should serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Release.
    pub release: u64,
    /// Stage variables.
    pub variables: SlotVariables,
}

/// Where releases are after a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Where they are kept.
    pub carrier: Carrier,
    /// The release with the wanted content.
    pub release: u64,
    /// Its colour.
    pub color: Color,
    /// Whether it must be made.
    pub is_new: bool,
    /// Live; none while the first release is not live yet.
    pub live: Slot,
    /// Preview.
    pub preview: Slot,
    /// Version of each function: the one with the wanted fingerprint, else the number expected next.
    pub versions: BTreeMap<String, u64>,
    /// Commit in the label of an existing release.
    pub commit: Option<String>,
    /// Fingerprint of the wanted content.
    pub fingerprint: String,
}

impl Slots {
    /// Releases that can be reached without further ado after the deploy: live, preview and the one before live.
    pub fn reachable(&self) -> BTreeSet<u64> {
        let previous = self.live.variables.previous_release();
        [Some(self.live.release), Some(self.preview.release), previous]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl ReleaseState {
    /// The last move of live, where the ledger does not have it.
    pub fn unrecorded(&self) -> Option<MoveRecord> {
        self.live.as_ref()?.variables.unrecorded()
    }

    /// Releases that can be reached without further ado: live, preview and the one before live.
    pub fn reachable(&self) -> BTreeSet<u64> {
        let slots = [&self.live, &self.preview].into_iter().flatten();
        let releases = slots.flat_map(|slot| [slot.release, slot.variables.previous_release()]);
        releases.flatten().collect()
    }

    /// Functions of a release whose versions there were published under a role that is gone.
    pub fn cut_off_in(&self, release: u64) -> BTreeSet<&str> {
        let label = self.releases.get(&release);
        let versions = label.into_iter().flat_map(|label| &label.versions);
        let is_cut_off = |name: &String, version: &String| {
            let gone = self.cut_off.get(name);
            gone.is_some_and(|gone| version.parse().is_ok_and(|version: u64| gone.contains(&version)))
        };
        versions
            .filter(|(name, version)| is_cut_off(name, version))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Functions that live, preview or the release before live need, with one such release.
    pub fn needed_functions(&self) -> BTreeMap<String, u64> {
        let slots = [&self.live, &self.preview].into_iter().flatten();
        let releases = slots.flat_map(|slot| [slot.release, slot.variables.previous_release()]);
        let mut needed = BTreeMap::new();
        for number in releases.flatten() {
            let label = self.releases.get(&number);
            for function in label.into_iter().flat_map(|label| label.versions.keys()) {
                needed.entry(function.clone()).or_insert(number);
            }
        }
        needed
    }
}

/// Lays out the releases. `fingerprint` is the wanted content, `functions` the wanted version fingerprints.
pub fn slots(facts: &ReleaseState, fingerprint: &str, functions: &BTreeMap<String, String>, go_live: GoLive) -> Slots {
    let live = facts.live.as_ref().and_then(|slot| settled(facts, slot));
    let preview = facts.preview.as_ref().and_then(|slot| settled(facts, slot));
    let live_color = facts.live.as_ref().and_then(|slot| slot.variables.color());
    let holds = |release: Option<u64>| {
        release.filter(|number| {
            let label = facts.releases.get(number);
            label.is_some_and(|label| label.fingerprint == fingerprint) && facts.cut_off_in(*number).is_empty()
        })
    };
    let standing = holds(live).or_else(|| holds(preview));
    // With neither slot made yet, an earlier run was cut off between the deployment and its slots.
    let orphan = if live.is_none() && preview.is_none() {
        facts.releases.keys().rev().find_map(|number| holds(Some(*number)))
    } else {
        let newest = facts.releases.keys().next_back().copied();
        holds(newest).filter(|number| live.is_none_or(|live| *number > live))
    };
    let release = standing.or(orphan).unwrap_or_else(|| next_number(facts));
    let is_live = live == Some(release);
    let color = match (is_live, live_color) {
        (true, Some(color)) => color,
        (false, Some(color)) => color.other(),
        (_, None) => Color::Blue,
    };
    let live_slot = match live {
        Some(number) if number == release || go_live == GoLive::Wait => Slot {
            release: number,
            variables: SlotVariables::new(
                number,
                live_color.unwrap_or(Color::Blue),
                facts.live.as_ref().and_then(|slot| previous(facts, slot)),
            ),
        },
        Some(number) => Slot {
            release,
            variables: SlotVariables::new(release, color, Some(number).and_then(|n| with_deployment(facts, n))),
        },
        None => Slot {
            release,
            variables: SlotVariables::new(release, color, None),
        },
    };
    let preview_slot = Slot {
        release,
        variables: SlotVariables::new(release, color, None),
    };
    let versions = functions
        .iter()
        .map(|(name, wanted)| {
            let known = facts.versions.get(name).map(Vec::as_slice).unwrap_or_default();
            let gone = facts.cut_off.get(name);
            let same = known
                .iter()
                .filter(|(number, fingerprint)| fingerprint == wanted && gone.is_none_or(|gone| !gone.contains(number)))
                .map(|(number, _)| *number)
                .max();
            let next = known.iter().map(|(number, _)| *number).max().unwrap_or(0) + 1;
            (name.clone(), same.unwrap_or(next))
        })
        .collect();
    Slots {
        carrier: facts.carrier,
        release,
        color,
        is_new: !facts.releases.contains_key(&release),
        live: live_slot,
        preview: preview_slot,
        versions,
        commit: facts.releases.get(&release).and_then(|label| label.commit.clone()),
        fingerprint: fingerprint.to_owned(),
    }
}

/// The release a slot serves; when it serves a foreign deployment, the one its variables still name.
fn settled(facts: &ReleaseState, slot: &SlotState) -> Option<u64> {
    slot.release.or_else(|| {
        let named = slot.variables.release()?;
        facts.releases.contains_key(&named).then_some(named)
    })
}

/// One more than every number ever seen.
fn next_number(facts: &ReleaseState) -> u64 {
    let named = [&facts.live, &facts.preview].into_iter().flatten().flat_map(|slot| {
        [slot.variables.release(), slot.variables.previous_release()]
            .into_iter()
            .flatten()
    });
    let known = named.chain(facts.releases.keys().copied()).max().unwrap_or(0);
    // What was begun with this number and not ended is made anew.
    match facts.carrier {
        Carrier::Functions => known.max(facts.highest.saturating_sub(1)) + 1,
        Carrier::Api => known.max(facts.highest) + 1,
    }
}

/// The release before, as a slot's variables name it, while its deployment still exists.
fn previous(facts: &ReleaseState, slot: &SlotState) -> Option<(u64, String)> {
    let number = slot.variables.previous_release()?;
    with_deployment(facts, number)
}

fn with_deployment(facts: &ReleaseState, number: u64) -> Option<(u64, String)> {
    Some((number, facts.deployments.get(&number)?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(number: u64, fingerprint: &str) -> ReleaseLabel {
        ReleaseLabel {
            number,
            fingerprint: fingerprint.to_owned(),
            versions: BTreeMap::new(),
            callers: BTreeMap::new(),
            commit: None,
            sites: BTreeMap::new(),
            format: 1,
            grants: None,
        }
    }

    /// Carries a slots out, as the executor would.
    fn apply(facts: &mut ReleaseState, slots: &Slots, fingerprint: &str) {
        facts
            .releases
            .entry(slots.release)
            .or_insert_with(|| label(slots.release, fingerprint));
        facts
            .deployments
            .entry(slots.release)
            .or_insert_with(|| format!("d{}", slots.release));
        let slot = |slot: &Slot| SlotState {
            release: Some(slot.release),
            deployment: format!("d{}", slot.release),
            variables: slot.variables.clone(),
        };
        facts.preview = Some(slot(&slots.preview));
        facts.live = Some(slot(&slots.live));
    }

    #[test]
    fn the_first_release_is_blue_and_live() {
        let first = slots(
            &ReleaseState::default(),
            "aa",
            &BTreeMap::from([("tasks".to_owned(), "f".to_owned())]),
            GoLive::Wait,
        );
        assert_eq!((first.release, first.color, first.is_new), (1, Color::Blue, true));
        assert_eq!(first.live.release, 1);
        assert_eq!(first.versions["tasks"], 1);
    }

    #[test]
    fn a_second_release_is_green_and_remembers_the_first() {
        let mut facts = ReleaseState::default();
        let first = slots(&facts, "aa", &BTreeMap::new(), GoLive::AtOnce);
        apply(&mut facts, &first, "aa");
        let waiting = slots(&facts, "bb", &BTreeMap::new(), GoLive::Wait);
        assert_eq!(
            (waiting.preview.release, waiting.live.release, waiting.color),
            (2, 1, Color::Green)
        );
        let second = slots(&facts, "bb", &BTreeMap::new(), GoLive::AtOnce);
        assert_eq!(second.live.variables.as_map()["previousDeployment"], "d1");
        assert_eq!(second.live.variables.as_map()["color"], "green");
    }

    #[test]
    fn a_release_that_waits_is_taken_and_not_made_again() {
        let mut facts = ReleaseState::default();
        apply(
            &mut facts,
            &slots(&ReleaseState::default(), "aa", &BTreeMap::new(), GoLive::AtOnce),
            "aa",
        );
        let waiting = slots(&facts, "bb", &BTreeMap::new(), GoLive::Wait);
        apply(&mut facts, &waiting, "bb");
        let promoted = slots(&facts, "bb", &BTreeMap::new(), GoLive::AtOnce);
        assert_eq!(
            (promoted.release, promoted.is_new, promoted.live.release),
            (2, false, 2)
        );
    }

    /// Its content is as wanted, and Lambda does not run it.
    #[test]
    fn a_release_whose_role_was_deleted_is_made_again() {
        let wanted = BTreeMap::from([("tasks".to_owned(), "f".to_owned())]);
        let mut facts = ReleaseState::default();
        let first = slots(&facts, "aa", &wanted, GoLive::AtOnce);
        apply(&mut facts, &first, "aa");
        facts.versions = BTreeMap::from([("tasks".to_owned(), vec![(1, "f".to_owned())])]);
        if let Some(label) = facts.releases.get_mut(&1) {
            label.versions = BTreeMap::from([("tasks".to_owned(), "1".to_owned())]);
        }
        let again = |facts: &ReleaseState| {
            let slots = slots(facts, "aa", &wanted, GoLive::AtOnce);
            (slots.release, slots.is_new, slots.versions["tasks"])
        };
        assert_eq!(again(&facts), (1, false, 1));
        facts.cut_off = BTreeMap::from([("tasks".to_owned(), BTreeSet::from([1]))]);
        assert_eq!(again(&facts), (2, true, 2));
        // A run was cut off after it had published.
        facts.versions = BTreeMap::from([("tasks".to_owned(), vec![(1, "f".to_owned()), (2, "f".to_owned())])]);
        assert_eq!(again(&facts), (2, true, 2));
    }

    #[test]
    fn a_deployment_made_before_a_crash_is_taken() {
        let mut facts = ReleaseState::default();
        facts.releases.insert(1, label(1, "aa"));
        facts.deployments.insert(1, "d1".to_owned());
        let resumed = slots(&facts, "aa", &BTreeMap::new(), GoLive::AtOnce);
        assert_eq!((resumed.release, resumed.is_new), (1, false));
    }

    #[test]
    fn a_foreign_deployment_on_live_is_put_back() {
        let mut facts = ReleaseState::default();
        apply(
            &mut facts,
            &slots(&ReleaseState::default(), "aa", &BTreeMap::new(), GoLive::AtOnce),
            "aa",
        );
        if let Some(live) = facts.live.as_mut() {
            live.release = None;
            live.deployment = "foreign".to_owned();
        }
        let repaired = slots(&facts, "aa", &BTreeMap::new(), GoLive::AtOnce);
        assert_eq!(
            (repaired.release, repaired.live.release, repaired.is_new),
            (1, 1, false)
        );
    }

    proptest! {
        /// Whatever is deployed in whatever order: numbers only grow, doing it again changes nothing, and live remembers
        /// a release that exists.
        #[test]
        fn deploying_twice_is_deploying_once(deploys in prop::collection::vec(("[a-d]", any::<bool>()), 1..12)) {
            let mut facts = ReleaseState::default();
            for (fingerprint, wait) in deploys {
                let go_live = if wait { GoLive::Wait } else { GoLive::AtOnce };
                let newest = facts.releases.keys().next_back().copied().unwrap_or(0);
                let first = slots(&facts, &fingerprint, &BTreeMap::new(), go_live);
                prop_assert!(!first.is_new || first.release == newest + 1);
                apply(&mut facts, &first, &fingerprint);
                let again = slots(&facts, &fingerprint, &BTreeMap::new(), go_live);
                prop_assert!(!again.is_new);
                prop_assert_eq!(&again.live, &first.live);
                prop_assert_eq!(&again.preview, &first.preview);
                if let Some(previous) = again.live.variables.previous_release() {
                    prop_assert!(facts.deployments.contains_key(&previous) && previous != again.live.release);
                }
            }
        }
    }
}
