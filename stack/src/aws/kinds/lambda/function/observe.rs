//! A function as AWS has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types::{
    ApplicationLogLevel, Architecture, DeadLetterConfig, EphemeralStorage, FunctionConfiguration, LastUpdateStatus,
    LogFormat, LoggingConfig, Runtime, State, SystemLogLevel, TracingMode, VpcConfigResponse,
};

use super::{ITSELF, Model, READY, Vpc, identity_outputs};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, found};
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::permission::Statements;
use crate::aws::kinds::lambda::version::VersionAlias;
use crate::aws::read::reader::{Cells, Reader, ownership};
use crate::release::by_alias::label_of;
use crate::resource::{Observed, ResourceId};

pub(super) async fn get(context: &Context, name: &str) -> Result<Option<GetFunctionOutput>, AwsError> {
    get_version(context, name, None).await
}

async fn get_version(
    context: &Context,
    name: &str,
    version: Option<&str>,
) -> Result<Option<GetFunctionOutput>, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "GetFunction"), || {
            let function = client.get_function().function_name(name);
            function.set_qualifier(version.map(str::to_owned)).send()
        })
        .await;
    found(answer)
}

/// How a function is, in a few words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionState {
    /// `Active`, `Pending`, `Failed`, …; `Missing` when it is not there.
    pub state: String,
    /// MiB.
    pub memory_mb: Option<i32>,
    /// How long one invocation may take.
    pub timeout: Option<Duration>,
    /// Architecture.
    pub architecture: Option<String>,
    /// When its code or configuration last changed, as AWS writes it.
    pub last_modified: Option<String>,
}

/// How a version of a function is; without one, its newest code and configuration.
pub async fn state(context: &Context, name: &str, version: Option<&str>) -> Result<FunctionState, AwsError> {
    let answer = get_version(context, name, version).await?;
    let Some(config) = answer.as_ref().and_then(GetFunctionOutput::configuration) else {
        return Ok(FunctionState {
            state: "Missing".to_owned(),
            ..FunctionState::default()
        });
    };
    Ok(FunctionState {
        state: config.state().map_or("Active", State::as_str).to_owned(),
        memory_mb: config.memory_size(),
        timeout: config
            .timeout()
            .and_then(|seconds| seconds.try_into().ok())
            .map(Duration::from_secs),
        architecture: config
            .architectures()
            .first()
            .map(|architecture| architecture.as_str().to_owned()),
        last_modified: config.last_modified().map(str::to_owned),
    })
}

/// What `GetFunction` says, in the model's shape.
pub(super) fn observed(context: &Context, desired: &Model, answer: &GetFunctionOutput) -> Observed<Model> {
    let tags = managed(
        answer
            .tags()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    );
    let owner = ownership(context, &tags);
    let Some(config) = answer.configuration() else {
        return Observed::ours(desired.clone(), identity_outputs(context, &desired.name));
    };
    let logging = config.logging_config();
    let text = |value: Option<&str>, default: &str| value.unwrap_or(default).to_owned();
    let model = Model {
        name: desired.name.clone(),
        role: text(config.role(), ""),
        code_sha256: text(config.code_sha256(), ""),
        architecture: text(config.architectures().first().map(Architecture::as_str), "x86_64"),
        runtime: text(config.runtime().map(Runtime::as_str), ""),
        handler: text(config.handler(), ""),
        description: config.description().filter(|text| !text.is_empty()).map(str::to_owned),
        memory_mb: config.memory_size().unwrap_or(128),
        timeout_seconds: config.timeout().unwrap_or(3),
        ephemeral_storage_mb: config.ephemeral_storage().map_or(512, EphemeralStorage::size),
        environment: config
            .environment()
            .and_then(|environment| environment.variables())
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        tracing: config.tracing_config().and_then(|tracing| tracing.mode()) == Some(&TracingMode::Active),
        log_group: text(
            logging.and_then(LoggingConfig::log_group),
            &context.identity().names().function_log_group(&desired.name),
        ),
        log_level: text(
            logging
                .and_then(LoggingConfig::application_log_level)
                .map(ApplicationLogLevel::as_str),
            match logging.and_then(LoggingConfig::log_format) {
                Some(LogFormat::Json) => "INFO",
                Some(_) | None => "(text format)",
            },
        ),
        system_log_level: text(
            logging
                .and_then(LoggingConfig::system_log_level)
                .map(SystemLogLevel::as_str),
            "INFO",
        ),
        reserved_concurrency: answer
            .concurrency()
            .and_then(|concurrency| concurrency.reserved_concurrent_executions()),
        layers: config
            .layers()
            .iter()
            .filter_map(|layer| layer.arn().map(str::to_owned))
            .collect(),
        vpc: config.vpc_config().and_then(network),
        other_callers: BTreeMap::new(),
        urls: BTreeMap::new(),
        tags,
        status: failure(config).map_or_else(|| READY.to_owned(), |reason| format!("failed: {reason}")),
        others: others(config),
    };
    Observed {
        model,
        outputs: identity_outputs(context, &desired.name),
        ownership: owner,
        pending: Vec::new(),
    }
}

/// Why the last change of a function failed on AWS's side; none when it did not.
pub(super) fn failure(config: &FunctionConfiguration) -> Option<&str> {
    let failed =
        config.state() == Some(&State::Failed) || config.last_update_status() == Some(&LastUpdateStatus::Failed);
    let reason = config.last_update_status_reason().or(config.state_reason());
    failed.then(|| reason.unwrap_or("no reason given"))
}

/// What a configuration has that taskctl does not write, in words.
fn others(config: &FunctionConfiguration) -> Vec<String> {
    let queue = config.dead_letter_config().and_then(DeadLetterConfig::target_arn);
    let queue = queue
        .filter(|arn| !arn.is_empty())
        .map(|arn| format!("dead letters to {arn}"));
    let files = config
        .file_system_configs()
        .iter()
        .map(|files| format!("file system {}", files.arn()));
    queue.into_iter().chain(files).collect()
}

/// The network of a function; one without subnets is none.
fn network(response: &VpcConfigResponse) -> Option<Vpc> {
    let vpc = Vpc {
        subnets: response.subnet_ids().iter().cloned().collect(),
        security_groups: response.security_group_ids().iter().cloned().collect(),
    };
    (!vpc.subnets.is_empty()).then_some(vpc)
}

/// Who may call what no release calls: the function itself, and aliases that taskctl did not make. The policies of the aliases
/// `v{n}` are `lambda_permission`'s. There is none on `$LATEST`: "Lambda does not support adding policies to version $LATEST".
/// <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>
pub(super) async fn other_callers(reader: &Reader, name: &str) -> Result<BTreeMap<String, Statements>, AwsError> {
    let aliases = async {
        let aliases = reader.aliases(name).await?;
        let others: Vec<String> = aliases
            .iter()
            // One policy each and plan would be read of as many as releases are kept; nothing calls those either.
            .filter(|alias| {
                VersionAlias::parse(alias).is_none() && label_of(alias.description().unwrap_or_default()).is_none()
            })
            .filter_map(|alias| alias.name().map(str::to_owned))
            .collect();
        let policies = others.into_iter().map(|alias| async move {
            let statements = reader.policy(name, Some(&alias)).await?;
            Ok::<_, AwsError>((alias, statements))
        });
        futures::future::try_join_all(policies).await
    };
    let (own, aliases) = futures::try_join!(reader.policy(name, None), aliases)?;
    let all = aliases.into_iter().chain([(ITSELF.to_owned(), own)]);
    Ok(all
        .filter_map(|(alias, statements)| Some((alias, statements.filter(|all| !all.is_empty())?)))
        .collect())
}

/// Whether a function was last published under a role that is gone.
pub(super) async fn is_cut_off(reader: &Reader, id: &ResourceId, name: &str) -> Result<bool, AwsError> {
    let aliases = reader.aliases(name).await?;
    let versions = aliases.iter().filter_map(VersionAlias::parse);
    let Some(newest) = versions.max_by_key(|version| version.version) else {
        return Ok(false);
    };
    let role_id = lambda::version::role_id(reader, &id.name).await?;
    Ok(newest.is_cut_off(role_id.as_deref()))
}

/// The URLs under which a function can be called past the API: who may, by what is called.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctionUrlConfigs.html>
pub async fn urls(context: &Context, name: &str) -> Result<BTreeMap<String, String>, AwsError> {
    let client = &context.clients().lambda;
    let urls = context.pages(|marker| async move {
        let page = context
            .call(op("lambda", "ListFunctionUrlConfigs"), || {
                let list = client.list_function_url_configs().function_name(name);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        let urls = page.function_url_configs.into_iter().map(|url| {
            // arn:aws:lambda:{region}:{account}:function:{name}[:{alias}]
            let qualifier = url.function_arn.split(':').nth(7).unwrap_or(ITSELF).to_owned();
            (qualifier, url.auth_type.as_str().to_owned())
        });
        Ok((urls.collect(), page.next_marker))
    });
    Ok(found(urls.await)?.unwrap_or_default().into_iter().collect())
}

/// The functions of the account and region, listed once: an account can have thousands.
#[derive(Default)]
struct Listed(Cells<(), BTreeSet<String>>);

/// Names of all functions of the account and region.
pub(super) async fn names(reader: &Reader) -> Result<BTreeSet<String>, AwsError> {
    let listed = reader.extension::<Listed>();
    listed.0.get((), list(reader.context())).await
}

async fn list(context: &Context) -> Result<BTreeSet<String>, AwsError> {
    let client = &context.clients().lambda;
    let functions = context.pages(|marker| async move {
        let page = context
            .call(op("lambda", "ListFunctions"), || {
                client.list_functions().max_items(50).set_marker(marker.clone()).send()
            })
            .await?;
        Ok((page.functions.unwrap_or_default(), page.next_marker))
    });
    let functions = functions.await?.into_iter();
    Ok(functions.filter_map(|function| function.function_name).collect())
}

pub(super) async fn read_tags(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "ListTags"), || client.list_tags().resource(arn).send())
        .await?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::FileSystemConfig;

    use super::*;

    #[test]
    fn what_comes_in_beside_the_package_is_seen() {
        let files = "arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/fsap-1";
        let mounted = FileSystemConfig::builder().arn(files).local_mount_path("/mnt/x");
        let config = FunctionConfiguration::builder()
            .dead_letter_config(
                DeadLetterConfig::builder()
                    .target_arn("arn:aws:sqs:eu-central-1:1:q")
                    .build(),
            )
            .file_system_configs(mounted.build().expect("it is whole"))
            .build();
        let expected = [
            "dead letters to arn:aws:sqs:eu-central-1:1:q".to_owned(),
            format!("file system {files}"),
        ];
        assert_eq!(others(&config), expected);
        assert_eq!(others(&FunctionConfiguration::builder().build()), Vec::<String>::new());
    }

    #[test]
    fn a_network_is_its_subnets_and_groups() {
        let response = VpcConfigResponse::builder().vpc_id("vpc-1").subnet_ids("subnet-1");
        let seen = network(&response.security_group_ids("sg-1").build());
        let expected = Vpc {
            subnets: BTreeSet::from(["subnet-1".to_owned()]),
            security_groups: BTreeSet::from(["sg-1".to_owned()]),
        };
        assert_eq!(seen, Some(expected));
        assert_eq!(network(&VpcConfigResponse::builder().vpc_id("").build()), None);
    }
}
