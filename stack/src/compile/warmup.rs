//! The rules that ping functions through live, so that they stay warm.

use std::collections::BTreeMap;

use super::{Inputs, id, resource};
use crate::aws::client::identity::Identity;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::stage::LIVE;
use crate::aws::kinds::events::warmup_rule::{self, Alias, Target};
use crate::aws::kinds::lambda;
use crate::release::slots::Slots;
use crate::resource::Resource;

/// A rule takes few targets, so there is one rule for every few functions.
pub(super) fn rule_of(inputs: &Inputs<'_>, function: &str) -> String {
    let functions = inputs
        .stack
        .warmup
        .as_ref()
        .map(|warmup| warmup.functions.as_slice())
        .unwrap_or_default();
    let place = functions.iter().position(|name| name == function).unwrap_or_default();
    format!("warmup-{}", place / warmup_rule::MAX_TARGETS + 1)
}

/// The rules that ping the functions through live.
pub(super) fn compile(inputs: &Inputs<'_>, slots: &Slots) -> Vec<Resource> {
    let Some(warmup) = &inputs.stack.warmup else {
        return Vec::new();
    };
    let alias = if slots.is_new && slots.live.release == slots.release {
        Alias::New
    } else {
        Alias::Live
    };
    let mut rules: BTreeMap<String, BTreeMap<String, Target>> = BTreeMap::new();
    for function in &warmup.functions {
        let target = Target {
            function: inputs.function(function),
            alias: alias.clone(),
            input: Some(warmup_rule::PING.to_owned()),
            others: Vec::new(),
        };
        rules
            .entry(rule_of(inputs, function))
            .or_default()
            .insert(function.clone(), target);
    }
    rules
        .into_iter()
        .map(|(name, targets)| rule(inputs, &name, warmup.every_minutes, targets))
        .collect()
}

fn rule(inputs: &Inputs<'_>, name: &str, every_minutes: u32, targets: BTreeMap<String, Target>) -> Resource {
    let needs = std::iter::once(apigateway::stage::id(LIVE))
        .chain(targets.keys().flat_map(|function| {
            [
                id(lambda::version::KIND, function),
                id(lambda::permission::KIND, function),
            ]
        }))
        .collect();
    let Identity { app, stage, .. } = inputs.identity;
    let model = warmup_rule::Model {
        name: inputs.names().rule(name),
        description: format!("Pings functions of {app} {stage} through live"),
        schedule: warmup_rule::every_minutes(every_minutes),
        state: "ENABLED".to_owned(),
        targets,
        tags: inputs.tags(),
    };
    resource(warmup_rule::KIND, name, &model, needs)
}
