//! The environment variables of an execution environment.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>. Nothing of
//! the host's own environment passes through except its `PATH`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use super::RuntimeConfig;
use crate::ports::{FunctionAddress, FunctionVersion, LogFormat};

/// All variables of one environment. The function's own come first, so that none of them replaces a reserved one.
pub(super) fn variables(
    config: &RuntimeConfig,
    version: &FunctionVersion,
    log_stream: &str,
    task_root: &Path,
    runtime_api: SocketAddr,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        variables.insert(name.into(), value.as_ref().to_owned());
    };
    set("LANG", &"en_US.UTF-8");
    set("TZ", &":UTC");
    set("PATH", &config.search_path);
    let library = task_root.join("lib");
    let libraries: Vec<&Path> = vec![task_root, &library];
    if let Ok(path) = std::env::join_paths(libraries) {
        set("LD_LIBRARY_PATH", &path);
    }
    for (name, value) in &version.environment {
        set(name, value);
    }
    let region = region_of(version);
    let memory = version.memory_mb.to_string();
    let runtime_api = runtime_api.to_string();
    set("_HANDLER", &version.handler);
    set("AWS_REGION", &region);
    set("AWS_DEFAULT_REGION", &region);
    // What the function may do is what its role may do.
    let credentials = config.keys.of_role(&version.role);
    set("AWS_ACCESS_KEY_ID", &credentials.access_key_id);
    set("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key);
    set("AWS_SESSION_TOKEN", &credentials.session_token.unwrap_or_default());
    set("AWS_ENDPOINT_URL", &config.endpoint_url);
    set("AWS_LAMBDA_FUNCTION_NAME", &version.function_name);
    set("AWS_LAMBDA_FUNCTION_VERSION", &version.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory);
    set("AWS_LAMBDA_INITIALIZATION_TYPE", &"on-demand");
    set("AWS_LAMBDA_LOG_GROUP_NAME", &version.log_group);
    set("AWS_LAMBDA_LOG_STREAM_NAME", &log_stream);
    set("AWS_LAMBDA_RUNTIME_API", &runtime_api);
    set("LAMBDA_TASK_ROOT", &task_root);
    set("LAMBDA_RUNTIME_DIR", &task_root);
    match version.log_format {
        LogFormat::Json => {
            set("AWS_LAMBDA_LOG_FORMAT", &"JSON");
            set(
                "AWS_LAMBDA_LOG_LEVEL",
                &version.application_log_level.as_deref().unwrap_or("INFO"),
            );
        }
        LogFormat::Text => set("AWS_LAMBDA_LOG_FORMAT", &"Text"),
    }
    variables
}

/// The region that a version lives in.
pub(super) fn region_of(version: &FunctionVersion) -> String {
    let address = FunctionAddress {
        function_arn: version.function_arn.clone(),
        qualifier: None,
    };
    address.region().to_owned()
}
