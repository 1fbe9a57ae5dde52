//! The aliases through which functions are called by another way than the API's routes.

use std::collections::BTreeMap;

use super::release::callers;
use super::{Inputs, id, resource};
use crate::aws::kinds::lambda;
use crate::release::label::Callers;
use crate::release::slots::{LIVE, PREVIEW, ReleaseState, Slot, Slots};
use crate::resource::{Resource, ResourceId};

/// The aliases `live` beside an API: those of the functions that something else than its routes calls in live's release.
pub(super) fn of_callers(inputs: &Inputs<'_>, facts: &ReleaseState, slots: &Slots) -> Vec<Resource> {
    let live = served(inputs, facts, slots, &slots.live);
    let callers = match slots.live.release == slots.release {
        true => callers(inputs),
        false => callers_in(facts, slots.live.release),
    };
    let called = live.into_iter().filter(|(name, _)| callers.contains_key(name));
    called
        .map(|(name, served)| alias(inputs, &name, LIVE, served, Text::default(), Vec::new()))
        .collect()
}

fn callers_in(facts: &ReleaseState, release: u64) -> BTreeMap<String, Callers> {
    let label = facts.releases.get(&release);
    label.map(|label| label.callers.clone()).unwrap_or_default()
}

/// The aliases of the slots of a stack without an API: preview, then live.
pub(super) fn slots(inputs: &Inputs<'_>, facts: &ReleaseState, slots: &Slots) -> Vec<Resource> {
    let mut resources = Vec::new();
    let mut needs = vec![lambda::release::id()];
    for (alias_name, slot) in [(PREVIEW, &slots.preview), (LIVE, &slots.live)] {
        let served = served(inputs, facts, slots, slot);
        let text = Text {
            release: Some(slot.release),
            variables: slot.variables.as_map().clone(),
            moved: facts.moves + 1,
        };
        let of_slot: Vec<Resource> = served
            .into_iter()
            .map(|(name, served)| alias(inputs, &name, alias_name, served, text.clone(), needs.clone()))
            .collect();
        // Live moves once preview stands whole.
        needs.extend(of_slot.iter().map(|alias| alias.id.clone()));
        resources.extend(of_slot);
    }
    resources
}

/// A version that a slot serves, and whether it is that of the template's content.
type Served = (String, bool);

/// What a slot serves, by function, of those that the template has.
fn served(inputs: &Inputs<'_>, facts: &ReleaseState, slots: &Slots, slot: &Slot) -> BTreeMap<String, Served> {
    if slot.release == slots.release {
        let versions = slots.versions.iter();
        return versions
            .map(|(name, version)| (name.clone(), (version.to_string(), true)))
            .collect();
    }
    let label = facts.releases.get(&slot.release);
    let versions = label.into_iter().flat_map(|label| &label.versions);
    versions
        .filter(|(name, _)| inputs.stack.functions.contains_key(*name))
        .map(|(name, version)| (name.clone(), (version.clone(), false)))
        .collect()
}

/// What an alias says; beside an API nothing: its stages do.
#[derive(Default, Clone)]
struct Text {
    release: Option<u64>,
    variables: BTreeMap<String, String>,
    moved: u64,
}

fn alias(
    inputs: &Inputs<'_>,
    function: &str,
    name: &str,
    (version, is_wanted): Served,
    text: Text,
    mut needs: Vec<ResourceId>,
) -> Resource {
    let model = lambda::alias::Model {
        function: inputs.function(function),
        alias: name.to_owned(),
        version,
        is_wanted,
        release: text.release,
        variables: text.variables,
        moved: text.moved,
        shares: BTreeMap::new(),
    };
    needs.push(match is_wanted {
        true => id(lambda::version::KIND, function),
        false => id(lambda::function::KIND, function),
    });
    let id = lambda::alias::id(function, name);
    resource(&id.kind, &id.name, &model, needs)
}
