//! Functions: each with its role, log group, version and the permission to invoke that version.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inputs, id, resource, warmup};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::iam;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::function::READY;
use crate::aws::kinds::lambda::permission::{Statement, Statements, THIS_API};
use crate::aws::kinds::lambda::version::OWN_VERSION;
use crate::aws::kinds::logs;
use crate::aws::policy::document::Document;
use crate::aws::policy::grants;
use crate::release::slots::{ReleaseState, Slots};
use crate::resource::Resource;
use crate::template::model::{Architecture, Function};

/// The runtime of every function that is built here. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>
const RUNTIME: &str = "provided.al2023";

/// A function with its role, log group, version and the permission to invoke that version.
pub(super) fn compile(inputs: &Inputs<'_>, name: &str, function: &Function) -> Vec<Resource> {
    let model = model(inputs, name, function);
    let group = logs::group::Model {
        name: model.log_group.clone(),
        retention_days: i32::try_from(function.log_retention_days).ok(),
        tags: inputs.tags(),
        others: BTreeMap::new(),
    };
    let version = lambda::version::Model {
        function: model.name.clone(),
        fingerprint: model.fingerprint(),
        routing: OWN_VERSION.into(),
    };
    let mut resources = vec![
        resource(iam::role::KIND, name, &role(inputs, name, function), Vec::new()),
        resource(logs::group::KIND, name, &group, Vec::new()),
        resource(
            lambda::function::KIND,
            name,
            &model,
            vec![id(iam::role::KIND, name), id(logs::group::KIND, name)],
        ),
        resource(
            lambda::version::KIND,
            name,
            &version,
            vec![id(lambda::function::KIND, name)],
        ),
    ];
    let is_routed = is_routed(inputs, name);
    let statements = callers(inputs, name, is_routed);
    if !statements.is_empty() {
        let permission = lambda::permission::Model {
            function: version.function,
            fingerprint: version.fingerprint,
            statements,
        };
        let mut needs = vec![id(lambda::version::KIND, name)];
        needs.extend(is_routed.then(apigateway::api::id));
        resources.push(resource(lambda::permission::KIND, name, &permission, needs));
    }
    resources
}

fn role(inputs: &Inputs<'_>, name: &str, function: &Function) -> iam::role::Model {
    let names = inputs.names();
    iam::role::Model {
        description: Some(format!("Execution role of {}", inputs.function(name))),
        permissions_boundary: function.permissions_boundary.clone(),
        tags: inputs.tags(),
        ..iam::role::Model::new(names.role(name), names.role_path(), policy(inputs, name, function))
    }
}

/// Whether routes of the API call a function.
pub(super) fn is_routed(inputs: &Inputs<'_>, name: &str) -> bool {
    let api = inputs.stack.api.as_ref();
    api.is_some_and(|api| api.routes.iter().any(|route| route.function == name))
}

/// The desired model of a function.
pub(super) fn model(inputs: &Inputs<'_>, name: &str, function: &Function) -> lambda::function::Model {
    let physical = inputs.function(name);
    let names = inputs.names();
    lambda::function::Model {
        role: inputs.identity.role_arn(&names.role_path(), &names.role(name)),
        code_sha256: inputs.packages.get(name).cloned().unwrap_or_default(),
        architecture: match function.architecture {
            Architecture::Arm64 => "arm64".into(),
            Architecture::X86_64 => "x86_64".into(),
        },
        runtime: function.code.as_ref().map_or(RUNTIME, |code| &code.runtime).into(),
        handler: function.code.as_ref().map_or("bootstrap", |code| &code.handler).into(),
        description: function.description.clone(),
        memory_mb: i32::try_from(function.memory_mb).unwrap_or(i32::MAX),
        timeout_seconds: i32::try_from(function.timeout_seconds).unwrap_or(i32::MAX),
        ephemeral_storage_mb: i32::try_from(function.ephemeral_storage_mb).unwrap_or(i32::MAX),
        environment: environment(inputs, function),
        tracing: function.tracing,
        log_group: names.function_log_group(&physical),
        log_level: function.log_level.clone(),
        system_log_level: "INFO".into(),
        reserved_concurrency: function
            .reserved_concurrency
            .and_then(|reserved| i32::try_from(reserved).ok()),
        layers: function.layers.clone(),
        vpc: function.vpc.as_ref().map(|vpc| lambda::function::Vpc {
            subnets: vpc.subnets.clone(),
            security_groups: vpc.security_groups.clone(),
        }),
        other_callers: BTreeMap::new(),
        urls: BTreeMap::new(),
        tags: inputs.tags(),
        status: READY.into(),
        others: Vec::new(),
        name: physical,
    }
}

/// The template's own variables, and for each grant the physical name of what it is on.
fn environment(inputs: &Inputs<'_>, function: &Function) -> BTreeMap<String, String> {
    let mut environment = function.environment.clone();
    for grant in &function.grants {
        environment
            .entry(grant.on.variable())
            .or_insert_with(|| inputs.target(&grant.on));
    }
    environment
}

/// What a function's role allows.
pub(super) fn policy(inputs: &Inputs<'_>, name: &str, function: &Function) -> Document {
    grants::statements(
        inputs.identity,
        inputs.stack,
        function,
        &inputs.function(name),
        |target| inputs.target(target),
    )
}

/// Who may invoke a version of a function.
fn callers(inputs: &Inputs<'_>, name: &str, is_routed: bool) -> Statements {
    let api = is_routed.then(|| ("api".to_owned(), Statement::new("apigateway.amazonaws.com", THIS_API)));
    let warmup = inputs.stack.warmup.as_ref();
    let is_warmed = warmup.is_some_and(|warmup| warmup.functions.iter().any(|function| function == name));
    let warmup = is_warmed.then(|| {
        let rule = inputs.names().rule(&warmup::rule_of(inputs, name));
        let source = inputs.identity.arn("events", &format!("rule/{rule}"));
        ("warmup".to_owned(), Statement::new("events.amazonaws.com", source))
    });
    api.into_iter().chain(warmup).collect()
}

/// Who may invoke the versions of the releases that can be live, beside those that the template wants now: they are called
/// or can be, so a caller that is not the stack's shows on them as well.
pub(super) fn former_callers(
    inputs: &Inputs<'_>,
    facts: &ReleaseState,
    slots: &Slots,
    wanted: &BTreeMap<String, String>,
) -> Vec<Resource> {
    let reachable: BTreeSet<u64> = slots.reachable().into_iter().chain(facts.reachable()).collect();
    let labels = reachable.iter().filter_map(|release| facts.releases.get(release));
    let versions: BTreeSet<(&String, &String)> = labels
        .flat_map(|label| label.versions.iter().filter(|(name, _)| label.is_routed(name)))
        .collect();
    let mut resources = Vec::new();
    for (name, version) in versions {
        let known = facts.versions.get(name).into_iter().flatten();
        let fingerprint = known
            .filter(|(number, _)| number.to_string() == *version)
            .map(|(_, fingerprint)| fingerprint)
            .find(|fingerprint| wanted.get(name) != Some(*fingerprint));
        let Some(fingerprint) = fingerprint.filter(|_| inputs.stack.functions.contains_key(name)) else {
            continue;
        };
        let permission = lambda::permission::Model {
            function: inputs.function(name),
            fingerprint: fingerprint.clone(),
            statements: callers(inputs, name, true),
        };
        resources.push(resource(
            lambda::permission::KIND,
            &format!("{name}.v{version}"),
            &permission,
            vec![apigateway::api::id()],
        ));
    }
    resources
}
