//! Functions, versions and aliases in the shapes that the Lambda API answers with.

use serde_json::{Value, json};

use super::model::{Alias, Configuration, FunctionRecord, Version};
use crate::ports::LogFormat;

/// Whether the state of a function shows: single reads show it, lists do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    Shown,
    Hidden,
}

/// `FunctionConfiguration` of a version, with the ARN as it was addressed.
pub(super) fn configuration(record: &FunctionRecord, version: &Version, arn: &str, states: States) -> Value {
    let Configuration {
        architecture,
        dead_letter,
        description,
        environment,
        ephemeral_storage_mb,
        file_systems,
        handler,
        kms_key_arn,
        layers,
        log_format,
        application_log_level,
        system_log_level,
        log_group,
        memory_mb,
        role,
        runtime,
        snap_start,
        timeout_seconds,
        tracing,
        vpc,
    } = &version.configuration;
    let mut logging = json!({"LogFormat": log_format, "LogGroup": log_group});
    if *log_format == LogFormat::Json {
        logging["ApplicationLogLevel"] = json!(application_log_level);
        logging["SystemLogLevel"] = json!(system_log_level);
    }
    let mut shown = json!({
        "FunctionName": record.name,
        "FunctionArn": arn,
        "Runtime": runtime,
        "Role": role,
        "Handler": handler,
        "CodeSize": version.code_size,
        "Description": version.published_description.as_ref().unwrap_or(description),
        "Timeout": timeout_seconds,
        "MemorySize": memory_mb,
        "LastModified": version.last_modified,
        "CodeSha256": version.code_sha256,
        "Version": version.version,
        "TracingConfig": {"Mode": tracing},
        "RevisionId": version.revision_id,
        "PackageType": "Zip",
        "Architectures": [architecture],
        "EphemeralStorage": {"Size": ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": snap_start, "OptimizationStatus": "Off"},
        "LoggingConfig": logging,
    });
    let mut set = |name: &str, value: Value| shown[name] = value;
    if let Some(variables) = environment {
        set("Environment", json!({"Variables": variables}));
    }
    if let Some(config) = dead_letter {
        set("DeadLetterConfig", config.clone());
    }
    if let Some(key) = kms_key_arn {
        set("KMSKeyArn", json!(key));
    }
    if !layers.is_empty() {
        set(
            "Layers",
            layers.iter().map(|arn| json!({"Arn": arn, "CodeSize": 0})).collect(),
        );
    }
    if !file_systems.is_empty() {
        set("FileSystemConfigs", json!(file_systems));
    }
    if let Some(vpc) = vpc {
        set("VpcConfig", vpc.clone());
    }
    if states == States::Shown {
        set("State", json!("Active"));
        set("LastUpdateStatus", json!("Successful"));
    }
    shown
}

/// `AliasConfiguration`.
pub(super) fn alias(record: &FunctionRecord, alias: &Alias) -> Value {
    let Alias {
        name,
        function_version,
        description,
        weights,
        revision_id,
    } = alias;
    let mut shown = json!({
        "AliasArn": format!("{}:{name}", record.arn()),
        "Name": name,
        "FunctionVersion": function_version,
        "Description": description,
        "RevisionId": revision_id,
    });
    if !weights.is_empty() {
        shown["RoutingConfig"] = json!({"AdditionalVersionWeights": weights});
    }
    shown
}
