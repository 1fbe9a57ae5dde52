//! Lambda function: its working copy (`$LATEST`) – code, configuration, reserved concurrency, tags. What serves traffic
//! is a version of it (`lambda_version`), never the working copy.

mod observe;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder;
use aws_sdk_lambda::types::{
    ApplicationLogLevel, Architecture, DeadLetterConfig, Environment, EphemeralStorage, FunctionCode, LastUpdateStatus,
    LogFormat, LoggingConfig, Runtime, State, SystemLogLevel, TracingConfig, TracingMode, VpcConfig,
};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, gone};
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::events;
use crate::aws::kinds::iam;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::permission::Statements;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours, settled};
use crate::aws::read::reader::Reader;
use crate::digest::short_sha256;
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

pub use observe::{FunctionState, state, urls};
use observe::{get, is_cut_off, names, observed, other_callers, read_tags};

/// The kind.
pub struct LambdaFunction;

/// Settings of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–64 characters.
    pub name: String,
    /// ARN of the execution role.
    pub role: String,
    /// base64 of the SHA-256 of the zip.
    pub code_sha256: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Managed runtime identifier.
    pub runtime: String,
    /// Handler; an OS-only runtime ignores it, the API wants it.
    pub handler: String,
    /// At most 256 characters.
    pub description: Option<String>,
    /// MiB, 128–10,240.
    pub memory_mb: i32,
    /// Seconds, 1–900.
    pub timeout_seconds: i32,
    /// MiB of /tmp, 512–10,240.
    pub ephemeral_storage_mb: i32,
    /// Environment variables, at most 4 KB.
    pub environment: BTreeMap<String, String>,
    /// Whether X-Ray samples requests.
    pub tracing: bool,
    /// Log group of the function's JSON lines.
    pub log_group: String,
    /// Level of the function's own lines.
    pub log_level: String,
    /// Level of Lambda's lines.
    pub system_log_level: String,
    /// Reserved concurrency; 0 switches the function off.
    pub reserved_concurrency: Option<i32>,
    /// ARNs of layer versions, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The network that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
    /// Statements of policies on the function itself ([`ITSELF`]) and on aliases that taskctl did not make; never desired. Nothing
    /// of this stack calls those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_callers: BTreeMap<String, Statements>,
    /// Function URLs by what they call, with who may: `AWS_IAM` or `NONE`; never desired.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub urls: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// `ready`, unless the last change failed on AWS's side.
    pub status: String,
    /// Settings that taskctl did not write, in words: code and data that would come in beside the package. Never desired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// Where in a network a function is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Ids of subnets.
    pub subnets: BTreeSet<String>,
    /// Ids of security groups.
    pub security_groups: BTreeSet<String>,
}

/// Status of a function whose last change went through.
pub const READY: &str = "ready";
/// Status of a function whose role is not the one that it was given: Lambda's right to decrypt its variables was the former role's.
pub const CUT_OFF: &str = "its role was deleted since";
/// Stands for the function itself among its aliases; no alias can be called so.
pub const ITSELF: &str = "(function)";

impl Model {
    /// Hash over everything that a published version contains: code and configuration, not tags or concurrency.
    pub fn fingerprint(&self) -> String {
        let mut versioned = self.clone();
        versioned.tags = BTreeMap::new();
        versioned.other_callers = BTreeMap::new();
        versioned.urls = BTreeMap::new();
        versioned.reserved_concurrency = None;
        versioned.status = READY.to_owned();
        let text = serde_json::to_string(&versioned).unwrap_or_default();
        short_sha256(text, 16)
    }
}

/// Fields that `UpdateFunctionConfiguration` sets.
const CONFIGURATION: &[&str] = &[
    "role",
    "runtime",
    "handler",
    "description",
    "memory_mb",
    "timeout_seconds",
    "ephemeral_storage_mb",
    "environment",
    "tracing",
    "log_group",
    "log_level",
    "system_log_level",
    "layers",
    "vpc",
    "status",
    "others",
];

/// Name of the kind.
pub const KIND: &str = "lambda_function";

static SPEC: Spec = Spec {
    name: KIND,
    title: "Lambda function",
    documentation: "https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html",
    read_actions: &[
        "lambda:GetAccountSettings",
        "lambda:GetFunction",
        "lambda:GetPolicy",
        "lambda:ListAliases",
        "lambda:ListFunctions",
        "lambda:ListFunctionUrlConfigs",
        "lambda:ListTags",
    ],
    write_actions: &[
        "lambda:CreateFunction",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:DeleteFunctionUrlConfig",
        "lambda:RemovePermission",
        "lambda:TagResource",
        "lambda:UntagResource",
        "iam:PassRole",
        "lambda:GetLayerVersion",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "s3:PutObject",
        "s3:GetObject",
        "s3:DeleteObject",
    ],
    delete_actions: &["lambda:DeleteFunction"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::DeleteFirst,
    replace_on: &["name"],
    hidden: &["environment"],
    deleted_after: &[
        (apigateway::api::KIND, Scope::Any),
        (apigateway::integration::KIND, Scope::Same),
        (events::warmup_rule::KIND, Scope::Any),
    ],
    usual: Duration::from_secs(12),
    needed_at_runtime: true,
    serves_function: true,
    reach: Reach::Functions,
    reaches: &[
        ("lambda:GetAccountSettings", Reach::Account),
        ("lambda:ListFunctions", Reach::Account),
        ("iam:PassRole", Reach::PassRoles),
        ("lambda:GetLayerVersion", Reach::Layers),
        ("ec2:*", Reach::Networks),
        ("s3:*", Reach::ControlObjects),
    ],
    ..Spec::of(&lambda::SERVICE)
};

/// ARN of a function.
pub fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("lambda", &format!("function:{name}"))
}

#[async_trait]
impl Kind for LambdaFunction {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let small = Model {
            name: "shop-dev-tasks".into(),
            role: "arn:aws:iam::123456789012:role/taskctl/shop/dev/shop-dev-tasks".into(),
            code_sha256: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
            architecture: "x86_64".into(),
            runtime: "provided.al2023".into(),
            handler: "bootstrap".into(),
            description: None,
            memory_mb: 512,
            timeout_seconds: 30,
            ephemeral_storage_mb: 512,
            environment: BTreeMap::new(),
            tracing: false,
            log_group: "/aws/lambda/shop-dev-tasks".into(),
            log_level: "INFO".into(),
            system_log_level: "INFO".into(),
            reserved_concurrency: None,
            layers: Vec::new(),
            vpc: None,
            other_callers: BTreeMap::new(),
            urls: BTreeMap::new(),
            tags: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
            status: READY.into(),
            others: Vec::new(),
        };
        let full = Model {
            description: Some("Creates, lists and changes tasks".into()),
            memory_mb: 1024,
            timeout_seconds: 10,
            ephemeral_storage_mb: 1024,
            environment: BTreeMap::from([("TASKS_TABLE".to_owned(), "shop-dev-tasks".to_owned())]),
            tracing: true,
            log_level: "DEBUG".into(),
            system_log_level: "WARN".into(),
            reserved_concurrency: Some(5),
            layers: vec!["arn:aws:lambda:eu-central-1:123456789012:layer:tools:3".into()],
            vpc: Some(Vpc {
                subnets: BTreeSet::from(["subnet-0a1b2c3d".to_owned(), "subnet-4e5f6071".to_owned()]),
                security_groups: BTreeSet::from(["sg-0a1b2c3d".to_owned()]),
            }),
            tags: BTreeMap::from([
                ("app".to_owned(), "shop".to_owned()),
                ("team".to_owned(), "web".to_owned()),
            ]),
            ..small.clone()
        };
        vec![small, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        id: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let Some(answer) = get(context, &desired.name).await? else {
            return Ok(None);
        };
        let (other_callers, urls, is_cut_off) = futures::try_join!(
            other_callers(reader, &desired.name),
            urls(context, &desired.name),
            is_cut_off(reader, id, &desired.name)
        )?;
        let mut observed = observed(context, desired, &answer);
        observed.model.other_callers = other_callers;
        observed.model.urls = urls;
        if is_cut_off && observed.model.status == READY {
            observed.model.status = CUT_OFF.to_owned();
        }
        Ok(Some(observed))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let naming = Naming::regional(context.identity().arn("lambda", "function:"));
        let listed = match settled(reader, &naming).await? {
            Some(names) => names,
            None => names(reader).await?,
        };
        let own_tags = |name: String| async move { read_tags(context, &arn(context, &name)).await };
        let names = ours(reader, &naming, listed, own_tags).await?;
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, "")),
            outputs: outputs([("name", name.clone())]),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            name,
            role,
            code_sha256,
            architecture,
            runtime,
            handler,
            description,
            memory_mb,
            timeout_seconds,
            ephemeral_storage_mb,
            environment,
            tracing: _,
            log_group: _,
            log_level: _,
            system_log_level: _,
            reserved_concurrency,
            layers,
            vpc,
            other_callers: _,
            urls: _,
            tags,
            status: _,
            others: _,
        } = desired;
        let client = &context.clients().lambda;
        let place = context.stage(code_sha256).await?;
        let _turn = context.serial(format!("lambda/{name}")).await;
        let created = context
            .call(op("lambda", "CreateFunction"), || {
                client
                    .create_function()
                    .function_name(name)
                    .role(role)
                    .runtime(Runtime::from(runtime.as_str()))
                    .handler(handler)
                    .set_description(description.clone())
                    .memory_size(*memory_mb)
                    .timeout(*timeout_seconds)
                    .set_ephemeral_storage(storage(*ephemeral_storage_mb))
                    .environment(variables(environment))
                    .tracing_config(tracing_config(desired))
                    .logging_config(logging_config(desired))
                    .set_layers((!layers.is_empty()).then(|| layers.clone()))
                    .set_vpc_config(vpc.as_ref().map(network))
                    .architectures(Architecture::from(architecture.as_str()))
                    .set_tags(Some(tags.clone().into_iter().collect()))
                    .code(
                        FunctionCode::builder()
                            .s3_bucket(&place.bucket)
                            .s3_key(&place.key)
                            .build(),
                    )
                    .publish(true)
                    .send()
            })
            .await?;
        settle(context, name, "function to become active").await?;
        if reserved_concurrency.is_some() {
            put_concurrency(context, name, *reserved_concurrency).await?;
        }
        let mut outputs = identity_outputs(context, name);
        outputs.extend(created.version.map(|version| ("published".to_owned(), version)));
        Ok(outputs)
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let name = &desired.name;
        let _turn = context.serial(format!("lambda/{name}")).await;
        let mut outputs = identity_outputs(context, name);
        revoke_others(context, name, &observed.model).await?;
        if changes.touch_any(CONFIGURATION) {
            let reset = Reset {
                others: changes.touch("others"),
                layers: changes.touch("layers"),
                vpc: changes.touch("vpc"),
            };
            configure(context, desired, reset).await?;
            settle(context, name, "configuration to take effect").await?;
        }
        if changes.touch_any(&["code_sha256", "architecture", "status"]) {
            let role_id = iam::role::id_of(context, &id.name);
            outputs.extend(put_code(context, desired, role_id.as_deref()).await?);
        }
        if changes.touch("reserved_concurrency") {
            put_concurrency(context, name, desired.reserved_concurrency).await?;
        }
        if changes.touch("tags") {
            retag(context, &arn(context, name), &observed.model.tags, &desired.tags).await?;
        }
        Ok(outputs)
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let client = &context.clients().lambda;
        let _turn = context.serial(format!("lambda/{name}")).await;
        let deleted = context
            .call(op("lambda", "DeleteFunction"), || {
                client.delete_function().function_name(name).send()
            })
            .await;
        gone(deleted.map(drop))?;
        context
            .poll("function to be gone", Duration::from_secs(300), || async {
                Ok(get(context, name).await?.is_none().then_some(()))
            })
            .await
    }
}

fn identity_outputs(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}

/// A request that takes all that away.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html>
fn plain(request: UpdateFunctionConfigurationFluentBuilder) -> UpdateFunctionConfigurationFluentBuilder {
    request
        .dead_letter_config(DeadLetterConfig::builder().target_arn("").build())
        .set_file_system_configs(Some(Vec::new()))
}

/// Writes the code, and publishes it unless a version has this content already.
async fn put_code(context: &Context, desired: &Model, role_id: Option<&str>) -> Result<Outputs, AwsError> {
    let (name, client) = (&desired.name, &context.clients().lambda);
    let (place, versions) = futures::try_join!(
        context.stage(&desired.code_sha256),
        lambda::version::named(context, name)
    )?;
    let is_published = lambda::version::has_content(&versions, &desired.fingerprint(), role_id);
    let updated = context
        .call(op("lambda", "UpdateFunctionCode"), || {
            client
                .update_function_code()
                .function_name(name)
                .s3_bucket(&place.bucket)
                .s3_key(&place.key)
                .architectures(Architecture::from(desired.architecture.as_str()))
                .publish(!is_published)
                .send()
        })
        .await?;
    let published = updated.version.filter(|version| !is_published && version != "$LATEST");
    let former = |version: &String| versions.iter().any(|known| known.version.to_string() == *version);
    let published = match published {
        Some(version) if former(&version) => {
            settle(context, name, "code to take effect").await?;
            Some(publish_again(context, desired).await?)
        }
        other => other,
    };
    settle_and_name(context, desired, published, role_id).await
}

/// Publishes content that the last version has, which cannot be used: AWS answers with that version as long as nothing has
/// changed since, so a version with another description comes in between.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html>
async fn publish_again(context: &Context, desired: &Model) -> Result<String, AwsError> {
    let (name, client) = (&desired.name, &context.clients().lambda);
    let between = Model {
        description: Some("Between two versions with the same content".to_owned()),
        ..desired.clone()
    };
    let publish = async |model: &Model| {
        configure(context, model, Reset::default()).await?;
        settle(context, name, "configuration to take effect").await?;
        lambda::version::publish(context, name, &desired.fingerprint()).await
    };
    let spare = publish(&between).await?;
    let version = publish(desired).await?;
    let deleted = context
        .call(op("lambda", "DeleteFunction"), || {
            client.delete_function().function_name(name).qualifier(&spare).send()
        })
        .await;
    gone(deleted.map(drop))?;
    Ok(version)
}

/// Waits for a change of code, and meanwhile gives the version that it published its alias (a function that is pending takes none). One
/// that could not be made is made with the version.
async fn settle_and_name(
    context: &Context,
    desired: &Model,
    published: Option<String>,
    role_id: Option<&str>,
) -> Result<Outputs, AwsError> {
    let fingerprint = &desired.fingerprint();
    let naming = async {
        match &published {
            Some(version) => lambda::version::name_early(context, &desired.name, version, fingerprint, role_id).await,
            None => None,
        }
    };
    let (settled, alias) = futures::join!(settle(context, &desired.name, "code to take effect"), naming);
    settled?;
    let published = published.map(|version| ("published".to_owned(), version));
    let alias = alias.map(|alias| ("published_alias".to_owned(), alias));
    Ok(published.into_iter().chain(alias).collect())
}

/// Waits until the function is active and its last change is in effect.
async fn settle(context: &Context, name: &str, reason: &str) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    context
        .poll(reason, Duration::from_secs(600), || async {
            let answer = context
                .call(op("lambda", "GetFunction").just_made(), || {
                    client.get_function().function_name(name).send()
                })
                .await?;
            let Some(config) = answer.configuration() else {
                return Ok(None);
            };
            if let Some(reason) = observe::failure(config) {
                return Err(AwsError::own(
                    "lambda",
                    "GetFunction",
                    ErrorKind::Invalid,
                    format!("AWS could not make {name} ready: {reason}"),
                ));
            }
            let active = matches!(config.state(), None | Some(State::Active | State::Inactive));
            let updated = matches!(config.last_update_status(), None | Some(LastUpdateStatus::Successful));
            Ok((active && updated).then_some(()))
        })
        .await
}

async fn put_concurrency(context: &Context, name: &str, reserved: Option<i32>) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    match reserved {
        Some(reserved) => context
            .call(op("lambda", "PutFunctionConcurrency"), || {
                client
                    .put_function_concurrency()
                    .function_name(name)
                    .reserved_concurrent_executions(reserved)
                    .send()
            })
            .await
            .map(drop),
        None => context
            .call(op("lambda", "DeleteFunctionConcurrency"), || {
                client.delete_function_concurrency().function_name(name).send()
            })
            .await
            .map(drop),
    }
}

fn storage(mb: i32) -> Option<EphemeralStorage> {
    EphemeralStorage::builder().size(mb).build().ok()
}

/// Removes function URLs and permissions that are not desired: before anything that takes its time.
async fn revoke_others(context: &Context, name: &str, observed: &Model) -> Result<(), AwsError> {
    for qualifier in observed.urls.keys() {
        delete_url(context, name, of_alias(qualifier)).await?;
    }
    for (qualifier, statements) in &observed.other_callers {
        for sid in statements.keys() {
            lambda::permission::remove(context, name, of_alias(qualifier), sid).await?;
        }
    }
    Ok(())
}

/// What is written although it is at its default: a call that does not name it leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
struct Reset {
    /// What taskctl never sets.
    others: bool,
    layers: bool,
    vpc: bool,
}

/// A network; none takes a function out of it.
fn network(vpc: &Vpc) -> VpcConfig {
    VpcConfig::builder()
        .set_subnet_ids(Some(vpc.subnets.iter().cloned().collect()))
        .set_security_group_ids(Some(vpc.security_groups.iter().cloned().collect()))
        .build()
}

/// Writes the configuration.
async fn configure(context: &Context, desired: &Model, reset: Reset) -> Result<(), AwsError> {
    let nowhere = Vpc {
        subnets: BTreeSet::new(),
        security_groups: BTreeSet::new(),
    };
    let vpc = desired.vpc.as_ref().or_else(|| reset.vpc.then_some(&nowhere));
    let has_layers = reset.layers || !desired.layers.is_empty();
    let client = &context.clients().lambda;
    context
        .call(op("lambda", "UpdateFunctionConfiguration"), || {
            let request = client.update_function_configuration();
            let request = match reset.others {
                true => plain(request),
                false => request,
            };
            request
                .function_name(&desired.name)
                .role(&desired.role)
                .runtime(Runtime::from(desired.runtime.as_str()))
                .handler(&desired.handler)
                .description(desired.description.clone().unwrap_or_default())
                .memory_size(desired.memory_mb)
                .timeout(desired.timeout_seconds)
                .set_ephemeral_storage(storage(desired.ephemeral_storage_mb))
                .environment(variables(&desired.environment))
                .tracing_config(tracing_config(desired))
                .logging_config(logging_config(desired))
                .set_layers(has_layers.then(|| desired.layers.clone()))
                .set_vpc_config(vpc.map(network))
                .send()
        })
        .await
        .map(drop)
}

async fn retag(context: &Context, arn: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        context
            .call(op("lambda", "TagResource"), || {
                client
                    .tag_resource()
                    .resource(arn)
                    .set_tags(Some(set.clone().into_iter().collect()))
                    .send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("lambda", "UntagResource"), || {
                client
                    .untag_resource()
                    .resource(arn)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    Ok(())
}

fn variables(environment: &BTreeMap<String, String>) -> Environment {
    Environment::builder()
        .set_variables(Some(environment.clone().into_iter().collect()))
        .build()
}

fn tracing_config(model: &Model) -> TracingConfig {
    TracingConfig::builder()
        .mode(if model.tracing {
            TracingMode::Active
        } else {
            TracingMode::PassThrough
        })
        .build()
}

fn logging_config(model: &Model) -> LoggingConfig {
    LoggingConfig::builder()
        .log_format(LogFormat::Json)
        .application_log_level(ApplicationLogLevel::from(model.log_level.as_str()))
        .system_log_level(SystemLogLevel::from(model.system_log_level.as_str()))
        .log_group(&model.log_group)
        .build()
}

/// What a call about an alias names; none for the function itself.
fn of_alias(name: &str) -> Option<&str> {
    (name != ITSELF).then_some(name)
}

async fn delete_url(context: &Context, name: &str, qualifier: Option<&str>) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let deleted = context
        .call(op("lambda", "DeleteFunctionUrlConfig"), || {
            let delete = client.delete_function_url_config().function_name(name);
            delete.set_qualifier(qualifier.map(str::to_owned)).send()
        })
        .await;
    gone(deleted.map(drop))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;

    /// The calls that change something, of publishing content that version 3 has, whose role was deleted.
    #[tokio::test(start_paused = true)]
    async fn what_a_dead_version_has_is_published_under_another_number() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&made);
        // AWS's rule: what has not changed since the last version is that version.
        let state = Mutex::new((String::new(), String::new(), 3));
        let clients = fake::clients("eu-central-1", move |call| {
            let (method, path) = call.operation.split_once(' ').expect("a path");
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let mut state = state.lock();
            if method != "GET" {
                let qualifier = call.fields.get("Qualifier").cloned().unwrap_or_default();
                seen.lock().push(format!(
                    "{method} {}{qualifier}",
                    path.rsplit('/').next().unwrap_or_default()
                ));
            }
            if let (Some(text), "PUT") = (body["Description"].as_str(), method) {
                state.0 = text.to_owned();
            }
            if path.ends_with("/versions") && state.0 != state.1 {
                (state.1, state.2) = (state.0.clone(), state.2 + 1);
            }
            let answer = json!({"Version": state.2.to_string(), "Configuration": {"State": "Active"}});
            (200, answer.to_string().into_bytes())
        });
        let context = context_over(identity(), clients);
        let desired = LambdaFunction.examples().swap_remove(0);
        let version = publish_again(&context, &desired).await.expect("it is published");
        assert_eq!(version, "5");
        assert_eq!(
            made.lock().as_slice(),
            [
                "PUT configuration",
                "POST versions",
                "PUT configuration",
                "POST versions",
                "DELETE shop-dev-tasks4"
            ]
        );
    }
}
