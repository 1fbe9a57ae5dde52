//! Lambda's validation, and creating and updating a configuration. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Owner;
use super::constraints::{check_layers, check_runtime};
use super::model::{AliasInput, Configuration, ConfigurationInput, FunctionRecord};
use crate::ports::{Architecture, LogFormat, TracingMode};
use crate::services::Fault;

/// Environment variables that a function cannot set itself.
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];
const ENVIRONMENT_LIMIT: usize = 4096;

/// `InvalidParameterValueException`
pub(super) fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterValueException", message).with("Type", "User")
}

/// `ValidationException`, in the words of the service's own front.
pub(super) fn constraint(value: &str, member: &str, rule: &str) -> Fault {
    Fault::constraint(value, member, rule)
}

/// `ValidationException` of a member that is missing.
pub(super) fn absent(member: &str) -> Fault {
    Fault::new(
        400,
        "ValidationException",
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ),
    )
}

/// `ValidationException` of all faults of an input; none is fine.
pub(super) fn malformed(faults: &[String]) -> Result<(), Fault> {
    let number = match faults {
        [] => return Ok(()),
        [_] => "1 validation error".to_owned(),
        more => format!("{} validation errors", more.len()),
    };
    let message = format!("{number} detected: {}", faults.join("; "));
    Err(Fault::new(400, "ValidationException", message))
}

/// The refusal of a runtime of the past.
pub(super) fn deprecated(runtime: &str) -> Fault {
    invalid(format!(
        "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. We recommend you \
         use a supported runtime while creating or updating functions."
    ))
}

/// `ResourceConflictException`
pub(super) fn conflict(message: impl Into<String>) -> Fault {
    Fault::new(409, "ResourceConflictException", message).with("Type", "User")
}

/// `ResourceNotFoundException`
pub(super) fn missing(message: impl Into<String>) -> Fault {
    Fault::new(404, "ResourceNotFoundException", message).with("Type", "User")
}

/// Whether a revision id that a call carries is the current one, which `read` reads.
pub(super) fn check_revision(given: Option<&str>, current: &str, read: &str) -> Result<(), Fault> {
    match given {
        Some(given) if !given.is_empty() && given != current => Err(Fault::new(
            412,
            "PreconditionFailedException",
            format!(
                "The Revision Id provided does not match the latest Revision Id. Call the {read} API to retrieve the latest \
                 Revision Id"
            ),
        )
        .with("Type", "User")),
        _ => Ok(()),
    }
}

/// The calls that read the revision of functions and aliases.
pub(super) const READ_FUNCTION: &str = "GetFunction/GetAlias";
/// The call that reads the revision of a policy.
pub(super) const READ_POLICY: &str = "GetPolicy";

/// A new configuration with the service's defaults.
pub(super) fn new_configuration(
    owner: Owner<'_>,
    name: &str,
    architecture: Architecture,
    input: ConfigurationInput,
) -> Result<Configuration, Fault> {
    let (Some(runtime), Some(handler)) = (input.runtime.clone(), input.handler.clone()) else {
        return Err(invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
        ));
    };
    let mut configuration = Configuration {
        architecture,
        dead_letter: None,
        description: String::new(),
        environment: None,
        ephemeral_storage_mb: 512,
        file_systems: Vec::new(),
        handler,
        kms_key_arn: None,
        layers: Vec::new(),
        log_format: LogFormat::Text,
        application_log_level: None,
        system_log_level: None,
        log_group: format!("/aws/lambda/{name}"),
        memory_mb: 128,
        role: String::new(),
        runtime,
        snap_start: "None".to_owned(),
        timeout_seconds: 3,
        tracing: TracingMode::PassThrough,
        vpc: None,
    };
    update_configuration(owner, &mut configuration, input)?;
    if configuration.role.is_empty() {
        return Err(absent("role"));
    }
    Ok(configuration)
}

/// An update: absent members stay, given ones are replaced whole.
pub(super) fn update_configuration(
    owner: Owner<'_>,
    kept: &mut Configuration,
    input: ConfigurationInput,
) -> Result<(), Fault> {
    let ConfigurationInput {
        dead_letter_config,
        description,
        environment,
        ephemeral_storage,
        file_system_configs,
        handler,
        kms_key_arn,
        layers,
        logging_config,
        memory_size,
        role,
        runtime,
        snap_start,
        timeout,
        tracing_config,
        vpc_config,
        revision_id: _,
    } = input;
    if let Some(config) = dead_letter_config {
        let target = config.get("TargetArn").and_then(|arn| arn.as_str());
        kept.dead_letter = target.is_some_and(|arn| !arn.is_empty()).then_some(config);
    }
    if let Some(text) = description {
        kept.description = checked_description(text)?;
    }
    if let Some(environment) = environment {
        kept.environment = Some(checked_variables(environment.variables)?);
    }
    if let Some(storage) = ephemeral_storage {
        Fault::in_range(i64::from(storage.size), 512, 10_240, "ephemeralStorage.size")?;
        kept.ephemeral_storage_mb = storage.size;
    }
    if let Some(configs) = file_system_configs {
        kept.file_systems = configs;
    }
    if let Some(handler) = handler {
        kept.handler = checked_handler(handler)?;
    }
    if let Some(key) = kms_key_arn {
        kept.kms_key_arn = (!key.is_empty()).then_some(key);
    }
    if let Some(layers) = layers {
        check_layers(owner, &layers)?;
        kept.layers = layers;
    }
    if let Some(logging) = logging_config {
        update_logging(kept, logging)?;
    }
    if let Some(memory) = memory_size {
        Fault::in_range(i64::from(memory), 128, 10_240, "memorySize")?;
        kept.memory_mb = memory;
    }
    if let Some(role) = role {
        kept.role = role;
    }
    if let Some(runtime) = runtime {
        check_runtime(&runtime)?;
        kept.runtime = runtime;
    }
    if let Some(snap_start) = snap_start {
        kept.snap_start = snap_start.apply_on;
    }
    if let Some(timeout) = timeout {
        Fault::in_range(i64::from(timeout), 1, 900, "timeout")?;
        kept.timeout_seconds = timeout;
    }
    if let Some(tracing) = tracing_config {
        kept.tracing = tracing.mode;
    }
    if let Some(vpc) = vpc_config {
        kept.vpc = network(&vpc)?;
    }
    Ok(())
}

/// A network as it is shown; without subnets and security groups the function leaves it. What runs here is in this machine's network
/// all the same. There are no subnets to look up, so each is in a VPC of the same name.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_VpcConfig.html>
fn network(vpc: &Value) -> Result<Option<Value>, Fault> {
    let ids = |member: &str| {
        let ids = vpc.get(member).and_then(|ids| ids.as_array());
        ids.cloned().unwrap_or_default()
    };
    let (subnets, groups) = (ids("SubnetIds"), ids("SecurityGroupIds"));
    match (subnets.first(), groups.is_empty()) {
        (None, true) => Ok(None),
        (Some(subnet), false) => {
            let place = subnet.as_str().unwrap_or_default().trim_start_matches("subnet-");
            Ok(Some(json!({
                "SubnetIds": subnets,
                "SecurityGroupIds": groups,
                "VpcId": format!("vpc-{place}"),
                "Ipv6AllowedForDualStack": vpc["Ipv6AllowedForDualStack"].as_bool().unwrap_or(false),
            })))
        }
        _ => Err(invalid("SubnetIds and SecurityIds must coexist or be both empty list.")),
    }
}

fn checked_description(text: String) -> Result<String, Fault> {
    if text.len() > 256 {
        let rule = "Member must have length less than or equal to 256";
        return Err(constraint(&text, "description", rule));
    }
    Ok(text)
}

fn checked_variables(variables: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let names = variables.keys().map(String::as_str);
    let reserved: Vec<&str> = names.filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    let measured = serde_json::to_string(&variables).unwrap_or_default();
    if measured.len() > ENVIRONMENT_LIMIT {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit. String measured: {measured}"
        )));
    }
    Ok(variables)
}

fn checked_handler(handler: String) -> Result<String, Fault> {
    if handler.is_empty() || handler.len() > 128 || handler.contains(char::is_whitespace) {
        let rule = "Member must satisfy regular expression pattern: [^\\s]+";
        return Err(constraint(&handler, "handler", rule));
    }
    Ok(handler)
}

fn update_logging(kept: &mut Configuration, logging: super::model::LoggingInput) -> Result<(), Fault> {
    let format = logging.log_format.unwrap_or(kept.log_format);
    let levels_given = logging.application_log_level.is_some() || logging.system_log_level.is_some();
    match format {
        LogFormat::Text if levels_given => {
            return Err(invalid(
                "To use ApplicationLogLevel or SystemLogLevel, you must set your LogFormat to JSON.",
            ));
        }
        LogFormat::Text => {
            kept.application_log_level = None;
            kept.system_log_level = None;
        }
        LogFormat::Json => {
            let level = |given: Option<String>, kept: &Option<String>| {
                Some(given.or_else(|| kept.clone()).unwrap_or_else(|| "INFO".to_owned()))
            };
            kept.application_log_level = level(logging.application_log_level, &kept.application_log_level);
            kept.system_log_level = level(logging.system_log_level, &kept.system_log_level);
        }
    }
    kept.log_format = format;
    if let Some(group) = logging.log_group.filter(|group| !group.is_empty()) {
        kept.log_group = group;
    }
    Ok(())
}

/// Weights of an alias as their shape bounds them.
pub(super) fn check_weights(input: &AliasInput) -> Result<(), Fault> {
    const MEMBER: &str = "routingConfig.additionalVersionWeights";
    let Some(weights) = weights_of(input) else {
        return Ok(());
    };
    let all: Vec<String> = weights
        .iter()
        .map(|(version, weight)| format!("{version}={weight:?}"))
        .collect();
    let all = format!("{{{}}}", all.join(", "));
    if !weights
        .keys()
        .all(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let rule = "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
                    greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]";
        return Err(constraint(&all, MEMBER, rule));
    }
    if !weights.values().all(|weight| (0.0..=1.0).contains(weight)) {
        let rule = "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value \
                    greater than or equal to 0.0, Member must not be null]";
        return Err(constraint(&all, MEMBER, rule));
    }
    Ok(())
}

/// Whether an alias may point at `version` and its weights.
pub(super) fn check_alias(record: &FunctionRecord, version: &str, input: &AliasInput) -> Result<(), Fault> {
    let exists = |version: &str| record.version(version).is_some();
    let unknown = |version: &str| missing(format!("Function not found: {}:{version}", record.arn()));
    if !exists(version) {
        return Err(unknown(version));
    }
    let Some(weights) = weights_of(input) else {
        return Ok(());
    };
    if weights.len() > 1 {
        return Err(invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    for other in weights.keys() {
        if version == "$LATEST" {
            return Err(Fault::new(
                400,
                "InvalidParameterValueException",
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ));
        }
        if other == version {
            return Err(invalid(format!(
                "Invalid function version {other}. Function version {other} is already included in routing configuration."
            )));
        }
        if !exists(other) {
            return Err(unknown(other));
        }
    }
    Ok(())
}

fn weights_of(input: &AliasInput) -> Option<&BTreeMap<String, f64>> {
    input.routing_config.as_ref()?.additional_version_weights.as_ref()
}

/// Most tags of a function.
const MOST_TAGS: usize = 50;

/// Whether a function may have these tags, of which `given` are new or changed.
pub(super) fn check_tags<'a>(
    tags: &BTreeMap<String, String>,
    mut given: impl Iterator<Item = &'a String>,
) -> Result<(), Fault> {
    if given.any(|key| key.starts_with("aws:")) {
        return Err(invalid("System tags cannot be added/updated by requester."));
    }
    if tags.len() > MOST_TAGS {
        return Err(invalid("Number of tags exceeds resource tag limit."));
    }
    Ok(())
}

/// 1–128 of letters, digits, `-`, `_`, not only digits.
pub(super) fn check_alias_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let only_digits = name.chars().all(|c| c.is_ascii_digit());
    if name.is_empty() || name.len() > 128 || only_digits || !name.chars().all(allowed) {
        return Err(constraint(
            name,
            "name",
            "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_kept_and_left() {
        let kept = network(&json!({"SubnetIds": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-1"]}));
        let kept = kept.expect("it is whole").expect("it is one");
        assert_eq!(
            (&kept["VpcId"], &kept["SubnetIds"][1]),
            (&json!("vpc-0a"), &json!("subnet-0b"))
        );
        assert_eq!(network(&json!({"SubnetIds": [], "SecurityGroupIds": []})), Ok(None));
        assert!(network(&json!({"SubnetIds": ["subnet-0a"]})).is_err());
    }

    #[test]
    fn alias_names() {
        assert_eq!(check_alias_name("v12"), Ok(()));
        assert!(check_alias_name("12").is_err());
        assert!(check_alias_name("a.b").is_err());
    }
}
