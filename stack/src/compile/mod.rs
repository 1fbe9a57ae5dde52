//! What a stack consists of: each part of the template becomes resources with desired models and the few edges that
//! AWS enforces. Pure but for types; nothing is read here.

mod alarm;
mod dashboard;
pub mod former;
mod warning;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::aws::client::identity::Identity;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::api::CorsModel;
use crate::aws::kinds::apigateway::stage::{AccessLog, LIVE, PREVIEW, Throttle, stage_of};
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::events;
use crate::aws::kinds::iam;
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::function::READY;
use crate::aws::kinds::lambda::permission::{Statement, Statements, THIS_API};
use crate::aws::kinds::lambda::version::OWN_VERSION;
use crate::aws::kinds::logs;
use crate::aws::kinds::s3;
use crate::aws::kinds::site;
use crate::aws::kinds::sns;
use crate::aws::policy::document::Document;
use crate::aws::policy::grants;
use crate::release::grants::{Grants, hash};
use crate::release::slots::{GoLive, ReleaseState, Slots, slots};
use crate::resource::{Resource, ResourceId};
use crate::site::Site;
use crate::template::model::{Api, Architecture, Cors, Function, GrantTarget, Stack};
use crate::template::names::Names;

pub use warning::{unauthenticated, unrecorded_grants, warnings};

/// The runtime of every function. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>
const RUNTIME: &str = "provided.al2023";
/// The longest an HTTP API waits for a function, ms.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const LONGEST_INTEGRATION_MILLIS: i32 = 30_000;
/// What preview may take, requests a second and burst: it shares live's data and is reachable by anyone.
const PREVIEW_THROTTLE: (f64, i32) = (50.0, 100);

/// Everything that decides what should exist.
pub struct Inputs<'a> {
    /// The template.
    pub stack: &'a Stack,
    /// Who and where.
    pub identity: &'a Identity,
    /// base64 SHA-256 of each function's package, by logical name.
    pub packages: &'a BTreeMap<String, String>,
    /// URL at which a bucket's web site is served, by the bucket's physical name.
    pub website_url: &'a (dyn Fn(&str) -> String + Sync),
    /// Commit of the code.
    pub commit: Option<String>,
    /// Whether a new release goes live with its deploy.
    pub go_live: GoLive,
    /// Content of the web sites, by the bucket's logical name.
    pub sites: &'a BTreeMap<String, Arc<Site>>,
}

impl Inputs<'_> {
    fn names(&self) -> Names<'_> {
        let Identity {
            app,
            stage,
            region,
            account,
            partition: _,
        } = self.identity;
        Names {
            app,
            stage,
            region,
            account,
        }
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.stack.tags.clone();
        tags.extend(self.identity.tags());
        tags
    }

    /// Physical name of a table.
    pub fn table(&self, logical: &str) -> String {
        let given = self.stack.tables.get(logical).and_then(|table| table.name.clone());
        given.unwrap_or_else(|| self.names().table(logical))
    }

    /// Physical name of a bucket.
    pub fn bucket(&self, logical: &str) -> String {
        let given = self.stack.buckets.get(logical).and_then(|bucket| bucket.name.clone());
        given.unwrap_or_else(|| self.names().bucket(logical))
    }

    /// Physical name of a function.
    pub fn function(&self, logical: &str) -> String {
        let given = self
            .stack
            .functions
            .get(logical)
            .and_then(|function| function.name.clone());
        given.unwrap_or_else(|| self.names().function(logical))
    }

    /// Physical name of a topic.
    pub fn topic(&self, logical: &str) -> String {
        let given = self.stack.topics.get(logical).and_then(|topic| topic.name.clone());
        given.unwrap_or_else(|| self.names().topic(logical))
    }

    /// Physical names of all functions by logical name.
    pub fn functions(&self) -> BTreeMap<String, String> {
        self.stack
            .functions
            .keys()
            .map(|name| (name.clone(), self.function(name)))
            .collect()
    }

    /// Origin of the stage's web site.
    pub fn site_url(&self) -> Option<String> {
        let (logical, _) = self.stack.buckets.iter().find(|(_, bucket)| bucket.website.is_some())?;
        Some(
            (self.website_url)(&self.bucket(logical))
                .trim_end_matches('/')
                .to_owned(),
        )
    }

    /// Content of each web site, by the bucket's physical name.
    fn site_ids(&self) -> BTreeMap<String, String> {
        self.sites
            .iter()
            .map(|(logical, site)| (self.bucket(logical), site.id.clone()))
            .collect()
    }

    fn target(&self, target: &GrantTarget) -> String {
        match target {
            GrantTarget::Table(logical) => self.table(logical),
            GrantTarget::Bucket(logical) => self.bucket(logical),
        }
    }
}

/// A resource from a typed model.
fn resource<M: Serialize>(kind: &str, name: &str, model: &M, depends_on: Vec<ResourceId>) -> Resource {
    let desired = serde_json::to_value(model).unwrap_or_default();
    Resource {
        id: ResourceId::new(kind, name),
        desired,
        depends_on,
    }
}

fn id(kind: &str, name: &str) -> ResourceId {
    ResourceId::new(kind, name)
}

/// What does not depend on which releases exist.
pub fn standing(inputs: &Inputs<'_>) -> Vec<Resource> {
    let mut resources = Vec::new();
    for name in inputs.stack.functions.keys() {
        function(inputs, name, &mut resources);
    }
    for (name, table) in &inputs.stack.tables {
        let model = dynamodb::table::Model::new(inputs.table(name), table, inputs.tags());
        resources.push(resource(dynamodb::table::KIND, name, &model, Vec::new()));
    }
    for (name, bucket) in &inputs.stack.buckets {
        let origins: Vec<String> = inputs.site_url().into_iter().collect();
        let model = s3::bucket::Model::new(inputs.bucket(name), bucket, &origins, inputs.identity, inputs.tags());
        resources.push(resource(s3::bucket::KIND, name, &model, Vec::new()));
    }
    for (name, topic) in &inputs.stack.topics {
        let model = sns::topic::Model::new(inputs.topic(name), topic, inputs.tags());
        resources.push(resource(sns::topic::KIND, name, &model, Vec::new()));
    }
    if let Some(api) = &inputs.stack.api {
        let model = apigateway::api::Model {
            name: api.name.clone().unwrap_or_else(|| inputs.names().api()),
            description: api.description.clone(),
            cors: api.cors.as_ref().map(|cors| cors_model(cors, inputs.site_url())),
            endpoint_enabled: true,
            tags: inputs.tags(),
        };
        resources.push(resource(
            apigateway::api::KIND,
            apigateway::api::NAME,
            &model,
            Vec::new(),
        ));
        for route in &api.routes {
            let model = apigateway::route::Model {
                integration: route.function.clone(),
                authorization: "NONE".into(),
            };
            let needs = vec![
                id(apigateway::integration::KIND, &route.function),
                apigateway::api::id(),
            ];
            resources.push(resource(apigateway::route::KIND, &route.key, &model, needs));
        }
        if let Some(days) = api.access_log_retention_days {
            let group = logs::group::Model {
                name: inputs.names().access_log_group(),
                retention_days: i32::try_from(days).ok(),
                tags: inputs.tags(),
            };
            resources.push(resource(logs::group::KIND, ACCESS_LOG, &group, Vec::new()));
        }
    }
    for (name, site) in inputs.sites {
        let api = inputs.stack.api.is_some();
        let model = site::content::Model::new(inputs.bucket(name), site, api);
        let needs = std::iter::once(id(s3::bucket::KIND, name)).chain(api.then(apigateway::api::id));
        resources.push(resource(site::content::KIND, name, &model, needs.collect()));
        if !api {
            resources.push(pages(
                inputs,
                name,
                site.id.clone(),
                vec![id(site::content::KIND, name)],
            ));
        }
    }
    for (name, alarm) in &inputs.stack.alarms {
        let (model, needs) = alarm::compile(inputs, name, alarm);
        resources.push(resource(cloudwatch::alarm::KIND, name, &model, needs));
    }
    for (name, dashboard) in &inputs.stack.dashboards {
        let physical = dashboard.name.clone().unwrap_or_else(|| inputs.names().dashboard(name));
        let model = cloudwatch::dashboard::Model {
            name: physical,
            body: dashboard::compile(inputs),
            tags: inputs.tags(),
        };
        let needs = if inputs.stack.api.is_some() {
            vec![apigateway::api::id()]
        } else {
            Vec::new()
        };
        resources.push(resource(cloudwatch::dashboard::KIND, name, &model, needs));
    }
    resources
}

/// Logical name of the access log's group; a function cannot have it, since it has a dot.
const ACCESS_LOG: &str = "api.access";

fn cors_model(cors: &Cors, site: Option<String>) -> CorsModel {
    let mut allow_origins = cors.allow_origins.clone();
    if !allow_origins.iter().any(|origin| origin == "*") {
        allow_origins.extend(site);
    }
    CorsModel {
        allow_origins,
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age_seconds: i32::try_from(cors.max_age_seconds).unwrap_or(i32::MAX),
        allow_credentials: cors.allow_credentials,
    }
    .normalised()
}

fn function_model(inputs: &Inputs<'_>, name: &str, function: &Function) -> lambda::function::Model {
    let physical = inputs.function(name);
    let mut environment = function.environment.clone();
    for grant in &function.grants {
        let (logical, suffix) = match &grant.on {
            GrantTarget::Table(logical) => (logical, "TABLE"),
            GrantTarget::Bucket(logical) => (logical, "BUCKET"),
        };
        let key = format!("{}_{suffix}", logical.to_uppercase().replace('-', "_"));
        environment.entry(key).or_insert_with(|| inputs.target(&grant.on));
    }
    let names = inputs.names();
    lambda::function::Model {
        role: format!(
            "arn:{}:iam::{}:role{}{}",
            inputs.identity.partition,
            inputs.identity.account,
            names.role_path(),
            names.role(name)
        ),
        code_sha256: inputs.packages.get(name).cloned().unwrap_or_default(),
        architecture: match function.architecture {
            Architecture::Arm64 => "arm64".into(),
            Architecture::X86_64 => "x86_64".into(),
        },
        runtime: RUNTIME.into(),
        handler: "bootstrap".into(),
        description: function.description.clone(),
        memory_mb: i32::try_from(function.memory_mb).unwrap_or(i32::MAX),
        timeout_seconds: i32::try_from(function.timeout_seconds).unwrap_or(i32::MAX),
        ephemeral_storage_mb: i32::try_from(function.ephemeral_storage_mb).unwrap_or(i32::MAX),
        environment,
        tracing: function.tracing,
        log_group: names.function_log_group(&physical),
        log_level: function.log_level.clone(),
        system_log_level: "INFO".into(),
        reserved_concurrency: function
            .reserved_concurrency
            .and_then(|reserved| i32::try_from(reserved).ok()),
        other_callers: BTreeMap::new(),
        urls: BTreeMap::new(),
        tags: inputs.tags(),
        status: READY.into(),
        others: Vec::new(),
        name: physical,
    }
}

/// What a function's role allows.
fn policy(inputs: &Inputs<'_>, name: &str, function: &Function) -> Document {
    grants::statements(
        inputs.identity,
        inputs.stack,
        function,
        &inputs.function(name),
        |target| inputs.target(target),
    )
}

/// What the roles of all functions allow, by logical name.
pub fn all_grants(inputs: &Inputs<'_>) -> Grants {
    let functions = inputs.stack.functions.iter();
    functions
        .map(|(name, function)| (name.clone(), policy(inputs, name, function)))
        .collect()
}

/// A function with its role, log group, version and the permission to invoke that version.
fn function(inputs: &Inputs<'_>, name: &str, resources: &mut Vec<Resource>) {
    let Some(function) = inputs.stack.functions.get(name) else {
        return;
    };
    let names = inputs.names();
    let policy = policy(inputs, name, function);
    let role = iam::role::Model {
        description: Some(format!("Execution role of {}", inputs.function(name))),
        permissions_boundary: function.permissions_boundary.clone(),
        tags: inputs.tags(),
        ..iam::role::Model::new(names.role(name), names.role_path(), policy)
    };
    resources.push(resource(iam::role::KIND, name, &role, Vec::new()));
    let model = function_model(inputs, name, function);
    let group = logs::group::Model {
        name: model.log_group.clone(),
        retention_days: i32::try_from(function.log_retention_days).ok(),
        tags: inputs.tags(),
    };
    resources.push(resource(logs::group::KIND, name, &group, Vec::new()));
    resources.push(resource(
        lambda::function::KIND,
        name,
        &model,
        vec![id(iam::role::KIND, name), id(logs::group::KIND, name)],
    ));
    let fingerprint = model.fingerprint();
    let version = lambda::version::Model {
        function: model.name.clone(),
        fingerprint: fingerprint.clone(),
        routing: OWN_VERSION.into(),
    };
    resources.push(resource(
        lambda::version::KIND,
        name,
        &version,
        vec![id(lambda::function::KIND, name)],
    ));
    let mut needs = vec![id(lambda::version::KIND, name)];
    let is_routed = inputs
        .stack
        .api
        .as_ref()
        .is_some_and(|api| api.routes.iter().any(|route| route.function == name));
    if is_routed {
        needs.push(apigateway::api::id());
    }
    let statements = callers(inputs, name, is_routed);
    if !statements.is_empty() {
        let permission = lambda::permission::Model {
            function: model.name,
            fingerprint,
            statements,
        };
        resources.push(resource(lambda::permission::KIND, name, &permission, needs));
    }
}

/// Who may invoke a version of a function.
fn callers(inputs: &Inputs<'_>, name: &str, is_routed: bool) -> Statements {
    let api = is_routed.then(|| ("api".to_owned(), Statement::new("apigateway.amazonaws.com", THIS_API)));
    let warmup = inputs.stack.warmup.as_ref();
    let is_warmed = warmup.is_some_and(|warmup| warmup.functions.iter().any(|function| function == name));
    let warmup = is_warmed.then(|| {
        let rule = inputs.names().rule(&warmup_name(inputs, name));
        let source = inputs.identity.arn("events", &format!("rule/{rule}"));
        ("warmup".to_owned(), Statement::new("events.amazonaws.com", source))
    });
    api.into_iter().chain(warmup).collect()
}

/// Who may invoke the versions of the releases that can be live, beside those that the template wants now: they are called
/// or can be, so a caller that is not the stack's shows on them as well.
fn former_callers(
    inputs: &Inputs<'_>,
    facts: &ReleaseState,
    slots: &Slots,
    wanted: &BTreeMap<String, String>,
) -> Vec<Resource> {
    let reachable: BTreeSet<u64> = slots.reachable().into_iter().chain(facts.reachable()).collect();
    let labels = reachable.iter().filter_map(|release| facts.releases.get(release));
    let versions: BTreeSet<(&String, &String)> = labels.flat_map(|label| &label.versions).collect();
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

/// A rule takes few targets, so there is one rule for every few functions.
fn warmup_name(inputs: &Inputs<'_>, function: &str) -> String {
    let functions = inputs
        .stack
        .warmup
        .as_ref()
        .map(|warmup| warmup.functions.as_slice())
        .unwrap_or_default();
    let place = functions.iter().position(|name| name == function).unwrap_or_default();
    format!("warmup-{}", place / events::warmup_rule::MAX_TARGETS + 1)
}

/// The rules that ping the functions through live.
fn warmup(inputs: &Inputs<'_>, slots: &Slots, resources: &mut Vec<Resource>) {
    let Some(warmup) = &inputs.stack.warmup else { return };
    let alias = if slots.is_new && slots.live.release == slots.release {
        events::warmup_rule::Alias::New
    } else {
        events::warmup_rule::Alias::Live
    };
    let mut rules: BTreeMap<String, BTreeMap<String, events::warmup_rule::Target>> = BTreeMap::new();
    for function in &warmup.functions {
        let target = events::warmup_rule::Target {
            function: inputs.function(function),
            alias: alias.clone(),
            input: Some(events::warmup_rule::PING.to_owned()),
            others: Vec::new(),
        };
        rules
            .entry(warmup_name(inputs, function))
            .or_default()
            .insert(function.clone(), target);
    }
    for (name, targets) in rules {
        let needs = std::iter::once(apigateway::stage::id(LIVE))
            .chain(targets.keys().flat_map(|function| {
                [
                    id(lambda::version::KIND, function),
                    id(lambda::permission::KIND, function),
                ]
            }))
            .collect();
        let model = events::warmup_rule::Model {
            name: inputs.names().rule(&name),
            description: format!(
                "Pings functions of {} {} through live",
                inputs.identity.app, inputs.identity.stage
            ),
            schedule: events::warmup_rule::every_minutes(warmup.every_minutes),
            state: "ENABLED".to_owned(),
            targets,
            tags: inputs.tags(),
        };
        resources.push(resource(events::warmup_rule::KIND, &name, &model, needs));
    }
}

/// What depends on which releases exist: integrations, the release itself, and the slots.
pub fn released(inputs: &Inputs<'_>, facts: &ReleaseState) -> (Vec<Resource>, Option<Slots>) {
    let Some(api) = &inputs.stack.api else {
        return (Vec::new(), None);
    };
    let fingerprints: BTreeMap<String, String> = api
        .routes
        .iter()
        .filter_map(|route| {
            let function = inputs.stack.functions.get(&route.function)?;
            Some((
                route.function.clone(),
                function_model(inputs, &route.function, function).fingerprint(),
            ))
        })
        .collect();
    let slots = slots(
        facts,
        &fingerprint(inputs, api, &fingerprints),
        &fingerprints,
        inputs.go_live,
    );
    let mut resources = Vec::new();
    for (name, version) in &slots.versions {
        let timeout = inputs
            .stack
            .functions
            .get(name)
            .map_or(30, |function| function.timeout_seconds);
        let model = apigateway::integration::Model {
            target: inputs
                .identity
                .arn("lambda", &format!("function:{}:v{version}", inputs.function(name))),
            kind: "AWS_PROXY".into(),
            payload_format: "2.0".into(),
            timeout_millis: i32::try_from(timeout.saturating_mul(1_000))
                .unwrap_or(i32::MAX)
                .clamp(50, LONGEST_INTEGRATION_MILLIS),
        };
        resources.push(resource(
            apigateway::integration::KIND,
            name,
            &model,
            vec![apigateway::api::id()],
        ));
    }
    let release = apigateway::deployment::Model {
        release: slots.release,
        fingerprint: fingerprint(inputs, api, &fingerprints),
        versions: slots
            .versions
            .iter()
            .map(|(name, version)| (name.clone(), version.to_string()))
            .collect(),
        commit: if slots.is_new {
            inputs.commit.clone()
        } else {
            slots.commit.clone()
        },
        sites: inputs.site_ids(),
        grants: hash(&all_grants(inputs)),
    };
    let mut needs: Vec<ResourceId> = api
        .routes
        .iter()
        .map(|route| id(apigateway::route::KIND, &route.key))
        .collect();
    needs.extend(
        slots
            .versions
            .keys()
            .flat_map(|name| [id(apigateway::integration::KIND, name), id(lambda::version::KIND, name)]),
    );
    needs.push(apigateway::api::id());
    resources.push(resource(apigateway::deployment::KIND, "release", &release, needs));
    let mut needs = vec![apigateway::deployment::id()];
    needs.extend(slots.versions.keys().map(|name| id(lambda::permission::KIND, name)));
    if api.access_log_retention_days.is_some() {
        needs.push(id(logs::group::KIND, ACCESS_LOG));
    }
    let preview = apigateway::stage::Model {
        stage: stage_of(PREVIEW).into(),
        release: Some(slots.preview.release),
        variables: slots.preview.variables.as_map().clone(),
        throttle_rate: PREVIEW_THROTTLE.0.min(f64::from(api.throttle_rate)),
        throttle_burst: PREVIEW_THROTTLE
            .1
            .min(i32::try_from(api.throttle_burst).unwrap_or(i32::MAX)),
        routes: BTreeMap::new(),
        ..live_model(inputs, api, &slots)
    };
    resources.push(resource(apigateway::stage::KIND, PREVIEW, &preview, needs));
    resources.push(resource(
        apigateway::stage::KIND,
        LIVE,
        &live_model(inputs, api, &slots),
        vec![apigateway::stage::id(PREVIEW)],
    ));
    resources.extend(former_callers(inputs, facts, &slots, &fingerprints));
    // A share of live's traffic that a canary left behind: whoever deploys takes it back.
    for (name, fingerprint) in &facts.diverted {
        let is_wanted = fingerprints.get(name) == Some(fingerprint);
        if !is_wanted {
            let version = lambda::version::Model {
                function: inputs.function(name),
                fingerprint: fingerprint.clone(),
                routing: OWN_VERSION.into(),
            };
            resources.push(resource(
                lambda::version::KIND,
                &format!("{name}.live"),
                &version,
                Vec::new(),
            ));
        }
    }
    let live_sites = match facts.releases.get(&slots.live.release) {
        Some(label) => label.sites.clone(),
        None => inputs.site_ids(),
    };
    for logical in inputs.sites.keys() {
        if let Some(site) = live_sites.get(&inputs.bucket(logical)) {
            let needs = vec![apigateway::stage::id(LIVE), id(site::content::KIND, logical)];
            resources.push(pages(inputs, logical, site.clone(), needs));
        }
    }
    warmup(inputs, &slots, &mut resources);
    (resources, Some(slots))
}

fn pages(inputs: &Inputs<'_>, logical: &str, site: String, needs: Vec<ResourceId>) -> Resource {
    let model = site::pages::Model {
        bucket: inputs.bucket(logical),
        site,
        api: inputs.stack.api.is_some(),
    };
    resource(site::pages::KIND, logical, &model, needs)
}

fn live_model(inputs: &Inputs<'_>, api: &Api, slots: &Slots) -> apigateway::stage::Model {
    let log = api.access_log_retention_days.map(|_| AccessLog {
        destination: inputs
            .identity
            .arn("logs", &format!("log-group:{}", inputs.names().access_log_group())),
        format: access_log_format(),
    });
    apigateway::stage::Model {
        stage: stage_of(LIVE).into(),
        release: Some(slots.live.release),
        variables: slots.live.variables.as_map().clone(),
        auto_deploy: false,
        throttle_rate: f64::from(api.throttle_rate),
        throttle_burst: i32::try_from(api.throttle_burst).unwrap_or(i32::MAX),
        detailed_metrics: api.detailed_metrics,
        routes: api
            .routes
            .iter()
            .filter_map(|route| {
                let (rate, burst) = (route.throttle_rate?, route.throttle_burst?);
                let throttle = Throttle {
                    rate: f64::from(rate),
                    burst: i32::try_from(burst).unwrap_or(i32::MAX),
                };
                Some((route.key.clone(), throttle))
            })
            .collect(),
        access_log: log,
        tags: inputs.tags(),
    }
}

/// One JSON line a request; every value is quoted, since a missing one is a bare dash. What the client controls comes last: it
/// can add members to the line where its quotes are not escaped, and the first member of a name counts
/// (decision 0521).
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>
fn access_log_format() -> String {
    let fields = [
        ("requestId", "requestId"),
        ("time", "requestTime"),
        ("timeEpoch", "requestTimeEpoch"),
        ("sourceIp", "identity.sourceIp"),
        ("route", "routeKey"),
        ("stage", "stage"),
        ("status", "status"),
        ("responseLength", "responseLength"),
        ("latencyMs", "responseLatency"),
        ("integrationLatencyMs", "integrationLatency"),
        ("integrationError", "integrationErrorMessage"),
        ("method", "httpMethod"),
        ("path", "path"),
        ("userAgent", "identity.userAgent"),
    ];
    let pairs: Vec<String> = fields
        .iter()
        .map(|(key, variable)| format!("\"{key}\":\"$context.{variable}\""))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Hash over everything a release's snapshot contains.
fn fingerprint(inputs: &Inputs<'_>, api: &Api, versions: &BTreeMap<String, String>) -> String {
    let mut routes: Vec<(&str, &str)> = api
        .routes
        .iter()
        .map(|route| (route.key.as_str(), route.function.as_str()))
        .collect();
    routes.sort_unstable();
    let cors = api.cors.as_ref().map(|cors| cors_model(cors, inputs.site_url()));
    let text = serde_json::to_string(&(routes, versions, cors, inputs.site_ids())).unwrap_or_default();
    Sha256::digest(text.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
