//! Building a plan: what is desired against what was observed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Data, Disposition, Effect, Orphan, Plan, Rollback, Sensitivity, Step, Verb, diff};
use crate::resource::{Observed, Resource, ResourceId};

/// What was found, by identity. Absent means: does not exist.
pub type Observations = BTreeMap<ResourceId, Observed>;

/// What a plan is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What should exist.
    pub resources: Vec<Resource>,
    /// What exists and is ours, but is not wanted.
    pub orphans: Vec<Orphan>,
}

/// What planning must know of a kind. Pure.
pub trait KindRules {
    /// Place in the display order, roots first.
    fn order(&self) -> usize;
    /// What changing a field does.
    fn effect(&self, field: &str) -> Effect;
    /// Whether a field's value may be shown.
    fn sensitivity(&self, field: &str) -> Sensitivity;
    /// The field whose change brings this one's along.
    fn implied_by(&self, _field: &str) -> Option<&'static str> {
        None
    }
    /// How a replacement goes.
    fn replacement(&self) -> Replacement;
    /// Whether deleting it loses people's data.
    fn holds_data(&self) -> bool;
    /// Whether `rollback` brings its former state back.
    fn rollback(&self) -> Rollback;
    /// Kinds that may refer to it: it is deleted after they were deleted, or changed so that they no longer do.
    fn deleted_after(&self) -> &'static [(&'static str, Scope)];
    /// Kinds that change only after an orphan of this kind is gone.
    fn deleted_before(&self) -> &'static [&'static str];
}

/// Which resources of a kind a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one of the same logical name.
    Same,
    /// All of them.
    Any,
}

/// How a replacement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The name is free for both: make the new one first.
    CreateFirst,
    /// The name is taken: delete the old one first.
    DeleteFirst,
}

/// Looks up a kind's rules.
pub trait Rules {
    /// Rules of a kind.
    fn of(&self, kind: &str) -> &dyn KindRules;
}

/// Builds the plan.
pub fn build(request: &Request, observed: &Observations, rules: &dyn Rules) -> Plan {
    let mut steps = Vec::new();
    for resource in &request.resources {
        steps.push(step(resource, observed.get(&resource.id), rules.of(&resource.id.kind)));
    }
    for orphan in &request.orphans {
        let action = match &orphan.disposition {
            Disposition::Delete { reason, data } => Action::Delete {
                observed: observed.get(&orphan.id).cloned(),
                reason: reason.clone(),
                data: *data,
            },
            Disposition::Keep { reason } => Action::Keep { reason: reason.clone() },
        };
        steps.push(Step {
            id: orphan.id.clone(),
            action,
            after: Vec::new(),
            pending: Vec::new(),
            rollback: match &orphan.disposition {
                Disposition::Delete { reason, .. } if reason.is_of_destroy() => Rollback::Immediate,
                Disposition::Delete { .. } | Disposition::Keep { .. } => rules.of(&orphan.id.kind).rollback(),
            },
        });
    }
    order_edges(&mut steps, request, rules);
    steps.sort_by_key(|step| (rules.of(&step.id.kind).order(), step.id.clone()));
    Plan {
        steps,
        warnings: Vec::new(),
    }
}

fn step(resource: &Resource, observed: Option<&Observed>, rules: &dyn KindRules) -> Step {
    let desired = resource.desired.clone();
    let (action, pending) = match observed {
        None => {
            let changes = changes(&serde_json::Value::Null, &desired, rules);
            (Action::Create { desired, changes }, Vec::new())
        }
        Some(observed) => {
            let mut changes = changes(&observed.model, &desired, rules);
            changes.retain(|change| {
                !observed
                    .pending
                    .iter()
                    .any(|pending| covers(&pending.field, &change.field))
            });
            let found = Some(observed.clone());
            let action = if changes.is_empty() {
                Action::NoOp { observed: found }
            } else if changes.iter().any(|change| change.effect == Effect::Replace) {
                let data = if rules.holds_data() {
                    Data::OnlyIfEmpty
                } else {
                    Data::None
                };
                match rules.replacement() {
                    Replacement::CreateFirst => Action::CreateThenDelete {
                        desired,
                        observed: found,
                        changes,
                        data,
                    },
                    Replacement::DeleteFirst => Action::DeleteThenCreate {
                        desired,
                        observed: found,
                        changes,
                        data,
                    },
                }
            } else {
                Action::Update {
                    desired,
                    observed: found,
                    changes,
                }
            };
            (action, observed.pending.clone())
        }
    };
    Step {
        id: resource.id.clone(),
        action,
        after: Vec::new(),
        pending,
        rollback: rules.rollback(),
    }
}

/// Whether a pending field speaks of a changed one: the same path, or one above it.
fn covers(pending: &str, changed: &str) -> bool {
    changed == pending || changed.strip_prefix(pending).is_some_and(|rest| rest.starts_with('.'))
}

fn changes(before: &serde_json::Value, after: &serde_json::Value, rules: &dyn KindRules) -> Vec<Change> {
    let nothing = serde_json::Value::Object(serde_json::Map::new());
    let before = if before.is_null() { &nothing } else { before };
    let mut changes = diff(before, after, &|field| rules.effect(field), &|field| {
        rules.sensitivity(field)
    });
    let fields: BTreeSet<String> = changes.iter().map(|change| change.field.clone()).collect();
    for change in &mut changes {
        // What is not yet, or is no longer wanted, is not replaced.
        if change.effect == Effect::ReplaceStream && (change.before.is_none() || change.after.is_none()) {
            change.effect = Effect::InPlace;
        }
        change.implied = rules
            .implied_by(&change.field)
            .is_some_and(|cause| fields.contains(cause));
    }
    changes
}

/// Fills in `after`: what a change waits for among the other changes of this plan.
fn order_edges(steps: &mut [Step], request: &Request, rules: &dyn Rules) {
    let changing: BTreeSet<ResourceId> = steps
        .iter()
        .filter(|step| step.action.is_change())
        .map(|step| step.id.clone())
        .collect();
    let deleting: Vec<ResourceId> = steps
        .iter()
        .filter(|step| matches!(step.action, Action::Delete { .. }))
        .map(|step| step.id.clone())
        .collect();
    // Whatever could write to a store goes before anybody looks whether it is empty.
    let might_write: Vec<ResourceId> = deleting
        .iter()
        .filter(|id| !rules.of(&id.kind).holds_data())
        .cloned()
        .collect();
    // Whatever may let go of something: AWS refuses to delete what another resource still refers to.
    let letting_go: Vec<ResourceId> = steps
        .iter()
        .filter(|step| step.action.is_change() && step.action.verb() != Verb::Create)
        .map(|step| step.id.clone())
        .collect();
    let wanted: BTreeMap<&ResourceId, &Resource> = request.resources.iter().map(|r| (&r.id, r)).collect();
    for step in steps.iter_mut().filter(|step| step.action.is_change()) {
        let mut after: BTreeSet<ResourceId> = match wanted.get(&step.id) {
            Some(resource) => reach(resource, &wanted, &changing),
            None => BTreeSet::new(),
        };
        if step.action.data() == Data::OnlyIfEmpty {
            after.extend(might_write.iter().cloned());
        }
        if matches!(step.action, Action::Delete { .. }) {
            for (kind, namesake) in rules.of(&step.id.kind).deleted_after() {
                after.extend(
                    letting_go
                        .iter()
                        .filter(|id| id.kind == *kind && (*namesake == Scope::Any || id.name == step.id.name))
                        .cloned(),
                );
            }
        } else {
            after.extend(
                deleting
                    .iter()
                    .filter(|id| rules.of(&id.kind).deleted_before().contains(&step.id.kind.as_str()))
                    .cloned(),
            );
        }
        step.after = after.into_iter().filter(|id| *id != step.id).collect();
    }
}

/// The nearest changing resources below one, looking through those that stay as they are.
fn reach(
    resource: &Resource,
    wanted: &BTreeMap<&ResourceId, &Resource>,
    changing: &BTreeSet<ResourceId>,
) -> BTreeSet<ResourceId> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<&ResourceId> = resource.depends_on.iter().collect();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if changing.contains(id) {
            found.insert(id.clone());
        } else if let Some(next) = wanted.get(id) {
            open.extend(&next.depends_on);
        }
    }
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::plan::Reason;
    use crate::resource::Outputs;
    use proptest::prelude::*;
    use serde_json::json;

    /// Rules of a made-up kind.
    struct Fake {
        order: usize,
        holds_data: bool,
        rollback: Rollback,
        deleted_after: &'static [(&'static str, Scope)],
        deleted_before: &'static [&'static str],
    }

    const PLAIN: Fake = Fake {
        order: 0,
        holds_data: false,
        rollback: Rollback::Immediate,
        deleted_after: &[("thing", Scope::Same)],
        deleted_before: &["release"],
    };
    const STORE: Fake = Fake {
        order: 1,
        holds_data: true,
        deleted_after: &[],
        deleted_before: &[],
        ..PLAIN
    };
    /// Things refer to it.
    const TARGET: Fake = Fake {
        holds_data: false,
        deleted_after: &[("thing", Scope::Any)],
        ..STORE
    };
    const VERSION: Fake = Fake {
        order: 0,
        holds_data: false,
        rollback: Rollback::WithRelease,
        ..STORE
    };

    impl KindRules for Fake {
        fn order(&self) -> usize {
            self.order
        }
        fn effect(&self, field: &str) -> Effect {
            if field == "key" {
                Effect::Replace
            } else {
                Effect::InPlace
            }
        }
        fn sensitivity(&self, _: &str) -> Sensitivity {
            Sensitivity::Plain
        }
        fn replacement(&self) -> Replacement {
            Replacement::DeleteFirst
        }
        fn holds_data(&self) -> bool {
            self.holds_data
        }
        fn rollback(&self) -> Rollback {
            self.rollback
        }
        fn deleted_after(&self) -> &'static [(&'static str, Scope)] {
            self.deleted_after
        }
        fn deleted_before(&self) -> &'static [&'static str] {
            self.deleted_before
        }
    }

    /// The kinds of these tests; one of any other name is plain.
    struct Kinds;

    impl Rules for Kinds {
        fn of(&self, kind: &str) -> &dyn KindRules {
            match kind {
                "store" => &STORE,
                "target" => &TARGET,
                "version" => &VERSION,
                _ => &PLAIN,
            }
        }
    }

    #[test]
    fn a_store_that_must_be_empty_goes_after_everything_that_could_write() {
        let orphan = |kind: &str, name: &str, data| Orphan {
            id: ResourceId::new(kind, name),
            disposition: Disposition::Delete {
                reason: Reason::NotInTemplate,
                data,
            },
        };
        let request = Request {
            resources: vec![],
            orphans: vec![
                orphan("thing", "api", Data::None),
                orphan("thing", "role", Data::None),
                orphan("store", "named", Data::Named),
                orphan("store", "empty", Data::OnlyIfEmpty),
                orphan("store", "other", Data::OnlyIfEmpty),
            ],
        };
        let plan = build(&request, &Observations::new(), &Kinds);
        let after = |name: &str| {
            let step = plan.steps.iter().find(|step| step.id.name == name).unwrap();
            let names = step.after.iter().map(|id| id.name.as_str());
            names.collect::<Vec<_>>()
        };
        assert_eq!(after("empty"), ["api", "role"]);
        assert_eq!(after("other"), ["api", "role"]);
        assert_eq!(after("named"), Vec::<&str>::new());
        assert_eq!(super::super::lint(&plan, &request, &Observations::new(), &Kinds), []);
    }

    #[test]
    fn nothing_of_a_destroyed_stage_comes_back_with_a_rollback() {
        let rollback = |reason| {
            let request = Request {
                resources: vec![],
                orphans: vec![Orphan {
                    id: ResourceId::new("version", "tasks"),
                    disposition: Disposition::Delete {
                        reason,
                        data: Data::None,
                    },
                }],
            };
            build(&request, &Observations::new(), &Kinds).steps[0].rollback
        };
        assert_eq!(rollback(Reason::StageDestroyed), Rollback::Immediate);
        assert_eq!(rollback(Reason::NotInTemplate), Rollback::WithRelease);
    }

    #[test]
    fn a_store_is_replaced_or_deleted_only_where_the_plan_says_what_becomes_of_its_data() {
        let mut wanted = resource("a", &[], 1);
        wanted.id = ResourceId::new("store", "a");
        let before = json!({"key": "old", "size": 1});
        let observed = Observations::from([(wanted.id.clone(), Observed::ours(before, Outputs::new()))]);
        let request = Request {
            resources: vec![wanted],
            orphans: vec![Orphan {
                id: ResourceId::new("store", "b"),
                disposition: Disposition::Delete {
                    reason: Reason::NotInTemplate,
                    data: Data::None,
                },
            }],
        };
        let plan = build(&request, &observed, &Kinds);
        assert_eq!(plan.steps[0].action.data(), Data::OnlyIfEmpty);
        let errors = super::super::lint(&plan, &request, &observed, &Kinds);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "store.a holds data and would be replaced: key",
                "store.b holds data and would be deleted: not in the template"
            ]
        );
    }

    fn resource(name: &str, depends_on: &[&str], size: i64) -> Resource {
        Resource {
            id: ResourceId::new("thing", name),
            desired: json!({"key": name, "size": size}),
            depends_on: depends_on.iter().map(|name| ResourceId::new("thing", *name)).collect(),
        }
    }

    #[test]
    fn edges_look_through_what_does_not_change() {
        let request = Request {
            resources: vec![
                resource("a", &[], 1),
                resource("b", &["a"], 1),
                resource("c", &["b"], 1),
            ],
            orphans: vec![],
        };
        let mut observed = Observations::new();
        observed.insert(
            request.resources[1].id.clone(),
            Observed::ours(request.resources[1].desired.clone(), Outputs::new()),
        );
        let plan = build(&request, &observed, &Kinds);
        assert_eq!(plan.steps[2].after, vec![ResourceId::new("thing", "a")]);
        assert_eq!(plan.steps[1].action.verb(), Verb::NoOp);
    }

    /// A route moves to another integration, and the one that it had is deleted.
    #[test]
    fn a_deletion_waits_for_the_change_that_lets_go() {
        let mut route = resource("a", &["new"], 2);
        route.desired["key"] = json!("a");
        let request = Request {
            resources: vec![route, resource("new", &[], 1)],
            orphans: vec![Orphan {
                id: ResourceId::new("target", "old"),
                disposition: Disposition::Delete {
                    reason: Reason::NotInTemplate,
                    data: Data::None,
                },
            }],
        };
        let observed = Observations::from([(
            ResourceId::new("thing", "a"),
            Observed::ours(json!({"key": "a", "size": 1}), Outputs::new()),
        )]);
        let plan = build(&request, &observed, &Kinds);
        let after = |name: &str| {
            let step = plan.steps.iter().find(|step| step.id.name == name).unwrap();
            step.after.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(after("old"), ["thing.a"], "not what is only created");
        assert_eq!(after("a"), ["thing.new"]);
        assert_eq!(super::super::lint(&plan, &request, &observed, &Kinds), []);
    }

    #[test]
    fn pending_settings_are_shown_and_are_no_change() {
        let request = Request {
            resources: vec![resource("a", &[], 2)],
            orphans: vec![],
        };
        let mut seen = Observed::ours(json!({"key": "a", "size": 1}), Outputs::new());
        seen.pending.push(crate::resource::Pending {
            field: "size".into(),
            doing: "growing".into(),
        });
        let plan = build(
            &request,
            &Observations::from([(request.resources[0].id.clone(), seen)]),
            &Kinds,
        );
        assert!(!plan.has_changes());
        assert_eq!(plan.steps[0].pending.len(), 1);
    }

    proptest! {
        #[test]
        fn planning_what_stands_is_empty(sizes in prop::collection::vec(0i64..5, 1..8)) {
            let resources: Vec<Resource> =
                sizes.iter().enumerate().map(|(i, size)| resource(&format!("r{i}"), &[], *size)).collect();
            let observed: Observations = resources
                .iter()
                .map(|r| (r.id.clone(), Observed::ours(r.desired.clone(), Outputs::new())))
                .collect();
            let plan = build(&Request { resources, orphans: vec![] }, &observed, &Kinds);
            prop_assert!(!plan.has_changes());
        }

        #[test]
        fn every_changed_field_is_named(old in 0i64..5, new in 0i64..5) {
            let wanted = resource("a", &[], new);
            let observed = Observations::from([(
                wanted.id.clone(),
                Observed::ours(json!({"key": "a", "size": old}), Outputs::new()),
            )]);
            let plan = build(&Request { resources: vec![wanted], orphans: vec![] }, &observed, &Kinds);
            let fields: Vec<&str> = plan.steps[0].action.changes().iter().map(|c| c.field.as_str()).collect();
            prop_assert_eq!(fields, if old == new { vec![] } else { vec!["size"] });
        }
    }

    #[test]
    fn replacement_follows_the_kind() {
        let mut wanted = resource("a", &[], 1);
        wanted.desired["key"] = json!("other");
        let observed = Observations::from([(
            wanted.id.clone(),
            Observed::ours(json!({"key": "a", "size": 1}), Outputs::new()),
        )]);
        let plan = build(
            &Request {
                resources: vec![wanted],
                orphans: vec![],
            },
            &observed,
            &Kinds,
        );
        assert!(matches!(
            plan.steps.first().unwrap().action,
            Action::DeleteThenCreate { .. }
        ));
    }
}
