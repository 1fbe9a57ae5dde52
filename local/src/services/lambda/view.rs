//! Functions, versions and aliases in the shapes that the Lambda API answers with.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::hex;
use super::model::{Alias, Configuration, FunctionRecord, Version};
use super::state::Change;
use crate::ports::LogFormat;

/// Which state shows, and with it the version of the runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// That of a single read: as it is now.
    Now,
    /// That of the answer to a call which begins a change.
    Begun(Change),
    /// That of the answer to `PublishVersion`: the new version passes for ready before reads say so.
    Ready,
    /// None, in lists.
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
        "RevisionId": match states {
            // The next state makes another one.
            States::Begun(_) => version.revision_id.as_str(),
            _ => version.revision(),
        },
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
    let change = match states {
        States::Hidden => return shown,
        States::Now => version.change(),
        States::Begun(change) => Some(change),
        States::Ready => None,
    };
    let runtime_arn = format!(
        "arn:aws:lambda:{}::runtime:{}",
        record.region,
        hex(&Sha256::digest(runtime))
    );
    set("RuntimeVersionConfig", json!({"RuntimeVersionArn": runtime_arn}));
    if change == Some(Change::Creation) {
        set("State", json!("Pending"));
        set("StateReason", json!("The function is being created."));
        set("StateReasonCode", json!("Creating"));
        return shown;
    }
    set("State", json!("Active"));
    if change == Some(Change::Update) {
        set("LastUpdateStatus", json!("InProgress"));
        set("LastUpdateStatusReason", json!("The function is being created."));
        set("LastUpdateStatusReasonCode", json!("Creating"));
    } else {
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
