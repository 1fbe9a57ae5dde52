//! What former releases still need of roles and tables, kept in what is desired of them until none of these releases can be
//! reached: grants and indexes.
//!
//! A role's policy follows the template at once. Statements that it loses with a new release move to an inline policy named
//! after the newest release that has them (`former-r7`), and stay as long as live, preview or the release before live is that
//! one or an older one. Whoever narrows a policy without making a release wants just that, and gets it at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::kinds::dynamodb;
use crate::aws::kinds::iam;
use crate::aws::kinds::iam::role::{Model, former_name, former_release};
use crate::aws::policy::document::Document;
use crate::plan::Observations;
use crate::release::grants::recorded;
use crate::release::slots::{ReleaseState, Slots};
use crate::resource::Resource;

/// Roles whose policy loses statements that former releases may need: what they lose, by logical name.
pub fn losses(resources: &[Resource], observed: &Observations, facts: &ReleaseState, slots: &Slots) -> Losses {
    let Some(former) = former(facts, slots) else {
        return Losses::default();
    };
    let lost = resources.iter().filter_map(|resource| {
        let (desired, seen) = roles(resource, observed)?;
        let lost = seen.policy.without(&desired.policy);
        (!lost.is_empty()).then(|| (resource.id.name.clone(), lost))
    });
    Losses {
        former: Some(former),
        statements: lost.collect(),
    }
}

/// What roles lose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// The newest release that has it.
    pub former: Option<u64>,
    /// Statements by logical name.
    pub statements: BTreeMap<String, Document>,
}

/// Whether a role has policies that keep grants of former releases.
pub fn has_formers(observed: &Observations) -> bool {
    let mut roles = observed.iter().filter(|(id, _)| id.kind == iam::role::KIND);
    roles.any(|(_, seen)| !former_policies(&seen.model).is_empty())
}

/// Whether a policy of a former release allows what none of the known grants has.
pub fn has_unknown(observed: &Observations, known: &[BTreeMap<String, Document>]) -> bool {
    let mut roles = observed.iter().filter(|(id, _)| id.kind == iam::role::KIND);
    roles.any(|(id, seen)| {
        let recorded = recorded(known, &id.name);
        let mut policies = former_policies(&seen.model).into_values();
        policies.any(|policy| !policy.without(&recorded).is_empty())
    })
}

fn former_policies(role: &serde_json::Value) -> BTreeMap<String, Document> {
    let policies = role.get("former_policies").cloned().unwrap_or_default();
    serde_json::from_value(policies).unwrap_or_default()
}

/// The grants that the ledger has of former releases.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Of each reachable one. A statement that none of them has was added by others and is not kept.
    pub reachable: Vec<BTreeMap<String, Document>>,
    /// Of those out of reach: a policy of a former release may have their statements, too.
    pub older: Vec<BTreeMap<String, Document>>,
    /// Whether each reachable release has a record.
    pub is_complete: bool,
}

impl Recorded {
    /// Where no role keeps anything for a former release.
    pub fn none_needed() -> Self {
        Self {
            is_complete: true,
            ..Self::default()
        }
    }
}

/// Keeps in the desired roles what former releases need. Returns what is deferred, for people, and the policies that cannot be
/// compared, because records are missing.
pub fn keep(
    resources: &mut [Resource],
    observed: &Observations,
    slots: &Slots,
    losses: &Losses,
    recorded: &Recorded,
) -> (Vec<String>, Vec<String>) {
    let Recorded {
        reachable: known,
        older,
        is_complete,
    } = recorded;
    let history: Vec<BTreeMap<String, Document>> = known.iter().chain(older).cloned().collect();
    let Some(oldest) = slots.reachable().first().copied() else {
        return (Vec::new(), Vec::new());
    };
    let (mut deferred, mut unknown) = (Vec::new(), Vec::new());
    for resource in resources.iter_mut() {
        let Some((mut desired, seen)) = roles(resource, observed) else {
            continue;
        };
        let name = resource.id.name.clone();
        let recorded = self::recorded(&history, &name);
        let mut kept = BTreeSet::new();
        let formers = seen
            .other_inline_policies
            .iter()
            .filter_map(|policy| former_release(policy));
        for release in formers.filter(|release| *release >= oldest) {
            let policy = former_name(release);
            let Some(statements) = seen.former_policies.get(&policy).cloned() else {
                kept.insert(release);
                continue;
            };
            let strange = !statements.without(&recorded).is_empty();
            if strange && !*is_complete {
                unknown.push(format!("{policy} of {name}"));
            }
            let needed = match strange && *is_complete {
                true => statements.common(&recorded),
                false => statements,
            };
            if !needed.is_empty() {
                kept.insert(release);
                desired.former_policies.insert(policy, needed);
            }
        }
        if let (Some(former), Some(lost)) = (losses.former, losses.statements.get(&name)) {
            let needed = known
                .iter()
                .filter_map(|grants| grants.get(&name))
                .fold(Document::default(), |all, grants| all.with(&lost.common(grants)));
            let needed = if *is_complete { needed } else { lost.clone() };
            if !needed.is_empty() {
                kept.insert(former);
                desired.former = needed;
            }
        }
        let Some(newest) = kept.last() else { continue };
        deferred.push(format!(
            "keeping the permissions of release {newest} for {name} until it can no longer be rolled back to"
        ));
        desired.other_inline_policies = kept.into_iter().map(former_name).collect();
        resource.desired = serde_json::to_value(&desired).unwrap_or_default();
    }
    (deferred, unknown)
}

/// Whether a table loses an index.
pub fn loses_indexes(resources: &[Resource], observed: &Observations) -> bool {
    let mut tables = resources.iter().filter_map(|one| tables(one, observed));
    tables.any(|(desired, seen)| {
        seen.settings
            .indexes
            .keys()
            .any(|index| !desired.settings.indexes.contains_key(index))
    })
}

/// Keeps in the desired tables the indexes that former releases query: those that their grants name, or all where the ledger
/// does not know every release's. Returns what is deferred, for people.
pub fn keep_indexes(resources: &mut [Resource], observed: &Observations, recorded: &Recorded) -> Vec<String> {
    let statements = recorded
        .reachable
        .iter()
        .flat_map(BTreeMap::values)
        .flat_map(|one| one.statements().values());
    let granted: BTreeSet<&str> = statements
        .flat_map(|statement| statement.resources.iter().map(String::as_str))
        .collect();
    let mut deferred = Vec::new();
    for resource in resources.iter_mut() {
        let Some((mut desired, seen)) = tables(resource, observed) else {
            continue;
        };
        let before = desired.settings.indexes.len();
        for (index, settings) in seen.settings.indexes {
            let arn = format!(":table/{}/index/{index}", desired.name);
            let is_needed = !recorded.is_complete || granted.iter().any(|resource| resource.ends_with(&arn));
            if is_needed && !desired.settings.indexes.contains_key(&index) {
                deferred.push(format!(
                    "keeping the index {index} of {} until no release that queries it can be rolled back to",
                    resource.id.name
                ));
                desired.settings.indexes.insert(index, settings);
            }
        }
        if desired.settings.indexes.len() > before {
            resource.desired = serde_json::to_value(&desired).unwrap_or_default();
        }
    }
    deferred
}

fn tables(resource: &Resource, observed: &Observations) -> Option<(dynamodb::table::Model, dynamodb::table::Model)> {
    if resource.id.kind != dynamodb::table::KIND {
        return None;
    }
    let seen = observed.get(&resource.id)?;
    let desired = serde_json::from_value(resource.desired.clone()).ok()?;
    Some((desired, serde_json::from_value(seen.model.clone()).ok()?))
}

/// The newest release before the one of this deploy, when one of it or before it stays reachable.
fn former(facts: &ReleaseState, slots: &Slots) -> Option<u64> {
    let former = facts
        .releases
        .range(..slots.release)
        .next_back()
        .map(|(number, _)| *number)?;
    let oldest = slots.reachable().first().copied()?;
    (oldest <= former).then_some(former)
}

fn roles(resource: &Resource, observed: &Observations) -> Option<(Model, Model)> {
    if resource.id.kind != iam::role::KIND {
        return None;
    }
    let seen = observed.get(&resource.id)?;
    let desired = serde_json::from_value(resource.desired.clone()).ok()?;
    Some((desired, serde_json::from_value(seen.model.clone()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::policy::document::Statement;
    use crate::release::retention::tests::facts;
    use crate::release::slots::{GoLive, slots};
    use crate::resource::{Observed, Outputs, ResourceId};

    /// What a plan wants of the role of `tasks`, whose `former-r1` allows two things of which one was recorded.
    fn kept(history: &[BTreeMap<String, Document>], is_complete: bool) -> (Model, Vec<String>) {
        let statement = |action: &str| (action.to_owned(), Statement::allow(&[action], ["r".to_owned()]));
        let desired = Model::new("shop-dev-tasks-us-east-1", "/taskctl/shop/dev/", Document::default());
        let seen = Model {
            other_inline_policies: vec![former_name(1)],
            former_policies: BTreeMap::from([(
                former_name(1),
                Document::new([statement("Recorded"), statement("Strange")]),
            )]),
            ..desired.clone()
        };
        let id = ResourceId::new(iam::role::KIND, "tasks");
        let value = |model: &Model| serde_json::to_value(model).unwrap_or_default();
        let mut resources = vec![Resource {
            id: id.clone(),
            desired: value(&desired),
            depends_on: Vec::new(),
        }];
        let observed = Observations::from([(id, Observed::ours(value(&seen), Outputs::new()))]);
        let facts = facts(&[(1, 1)], 1, 1, None);
        let slots = slots(&facts, &"0".repeat(16), &BTreeMap::new(), GoLive::AtOnce);
        assert!(has_formers(&observed) && has_unknown(&observed, history));
        let (_, unknown) = keep(
            &mut resources,
            &observed,
            &slots,
            &Losses::default(),
            &Recorded {
                reachable: history.to_vec(),
                older: Vec::new(),
                is_complete,
            },
        );
        let wanted = serde_json::from_value(resources.remove(0).desired);
        (wanted.unwrap_or(desired), unknown)
    }

    #[test]
    fn a_policy_of_a_former_release_keeps_what_was_recorded() {
        let recorded = Statement::allow(&["Recorded"], ["r".to_owned()]);
        let recorded = Document::new([("A".to_owned(), recorded)]);
        let history = [BTreeMap::from([("tasks".to_owned(), recorded)])];
        let (wanted, unknown) = kept(&history, true);
        let statements = wanted.former_policies[&former_name(1)].statements();
        assert_eq!(statements.keys().collect::<Vec<_>>(), ["Recorded"]);
        assert_eq!((wanted.other_inline_policies, unknown), (vec![former_name(1)], vec![]));
        // Nothing of it was ever needed.
        let (wanted, _) = kept(&[], true);
        assert!(wanted.former_policies.is_empty() && wanted.other_inline_policies.is_empty());
        // What is not known to be strange may be needed by what is live.
        let (wanted, unknown) = kept(&history, false);
        assert_eq!(wanted.former_policies[&former_name(1)].statements().len(), 2);
        assert_eq!(unknown, ["former-r1 of tasks"]);
    }
}
