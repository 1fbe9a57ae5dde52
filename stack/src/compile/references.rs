//! Which resources of a stack refer to which others, and that no deletion overtakes the change that lets go.

use std::collections::BTreeSet;

use serde_json::Value;

use super::samples::{full_platform, identity, resources};
use crate::aws::kinds::{apigateway, cloudwatch, dynamodb, events, iam, lambda, logs, site, sns};
use crate::aws::registry;
use crate::resource::Resource;

/// Kinds that refer to another, and why its deletion need not wait for them.
const FREE: &[(&str, &str, &str)] = &[
    (
        apigateway::deployment::KIND,
        apigateway::integration::KIND,
        "a deployment is a copy",
    ),
    (
        apigateway::deployment::KIND,
        apigateway::route::KIND,
        "a route is gone before a deployment is made without it",
    ),
    (
        cloudwatch::alarm::KIND,
        apigateway::api::KIND,
        "a metric of something that is gone has no data",
    ),
    (
        cloudwatch::dashboard::KIND,
        apigateway::api::KIND,
        "a metric of something that is gone has no data",
    ),
    (
        cloudwatch::dashboard::KIND,
        cloudwatch::alarm::KIND,
        "it shows that the alarm is gone",
    ),
    (
        events::warmup_rule::KIND,
        apigateway::stage::KIND,
        "it calls versions, once live has moved",
    ),
    (iam::role::KIND, logs::group::KIND, "a policy may name what is gone"),
    (
        lambda::permission::KIND,
        apigateway::api::KIND,
        "a statement may name what is gone",
    ),
    (
        lambda::permission::KIND,
        events::warmup_rule::KIND,
        "a statement may name what is gone",
    ),
    (
        site::content::KIND,
        apigateway::api::KIND,
        "a page may name an API that is gone",
    ),
    (
        site::pages::KIND,
        apigateway::stage::KIND,
        "pages are objects, and go with their bucket",
    ),
];

/// How others name a resource. A function and a table may have one name: their ARNs differ.
fn reference(resource: &Resource) -> Option<String> {
    let name = resource.desired["name"].as_str()?;
    Some(match resource.id.kind.as_str() {
        lambda::function::KIND => format!("function:{name}"),
        dynamodb::table::KIND => format!("table/{name}"),
        iam::role::KIND => format!("role/taskctl/platform/dev/{name}"),
        _ => name.to_owned(),
    })
}

/// Whether a name stands in a model, whole.
fn names(model: &Value, name: &str) -> bool {
    let is_part = |one: &u8| one.is_ascii_alphanumeric() || b"-_".contains(one);
    match model {
        Value::String(text) => text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text.as_bytes()[..at], &text.as_bytes()[at + name.len()..]);
            !before.last().is_some_and(is_part) && !after.first().is_some_and(is_part)
        }),
        Value::Array(all) => all.iter().any(|one| names(one, name)),
        Value::Object(all) => all.values().any(|one| names(one, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[test]
fn what_another_resource_refers_to_is_deleted_after_it_lets_go() {
    let identity = identity("eu-central-1", "123456789012");
    let resources = resources(&full_platform(&identity), &identity);
    let mut pairs = BTreeSet::new();
    for (from, to) in resources
        .iter()
        .flat_map(|from| resources.iter().map(move |to| (from, to)))
    {
        let is_named = reference(to).is_some_and(|name| names(&from.desired, &name));
        if from.id.kind != to.id.kind && (is_named || from.depends_on.contains(&to.id)) {
            pairs.insert((from.id.kind.as_str(), to.id.kind.as_str()));
        }
    }
    for expected in [
        (apigateway::route::KIND, apigateway::integration::KIND),
        (apigateway::integration::KIND, lambda::function::KIND),
        (apigateway::stage::KIND, logs::group::KIND),
        (cloudwatch::alarm::KIND, sns::topic::KIND),
        (lambda::function::KIND, iam::role::KIND),
    ] {
        assert!(pairs.contains(&expected), "{expected:?} was not found: {pairs:?}");
    }
    let mut free: BTreeSet<(&str, &str)> = FREE.iter().map(|(from, to, _)| (*from, *to)).collect();
    let mut overtaken = Vec::new();
    for (from, to) in pairs {
        let (referring, referred) = (registry().kind(from).spec(), registry().kind(to).spec());
        let waits = referred.deleted_after.iter().any(|(kind, _)| *kind == from);
        // What lies in another goes with it, and what has no order of its own is never deleted alone.
        let is_contained = referring.contained_in == Some(to);
        let goes_along = referred.contained_in.is_some() && referred.deleted_after.is_empty();
        // Data goes with the whole stage alone.
        let is_free = referred.holds_data || free.remove(&(from, to));
        if !(waits || is_contained || goes_along || is_free) {
            overtaken.push(format!("{to} could be deleted while {from} refers to it"));
        }
    }
    assert!(overtaken.is_empty(), "{}", overtaken.join("\n"));
    assert!(free.is_empty(), "no longer refer to each other: {free:?}");
}
