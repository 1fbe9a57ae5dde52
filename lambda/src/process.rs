//! What is the same for all requests of a process, out of the variables that Lambda sets:
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.

use std::env;

use crate::log::LogLevel;

/// A variable that Lambda sets is not there: the process does not run on Lambda.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {0} is not set; Lambda itself sets it")]
pub struct Missing(pub &'static str);

/// What is the same for all requests of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Function name.
    pub function: String,
    /// Function version.
    pub version: String,
    /// A provisioned environment's first request was not waited for.
    pub counts_cold_starts: bool,
    /// Lambda drops lines below this level; all pass where the log format is text.
    pub log_level: LogLevel,
}

impl Process {
    /// Reads Lambda's own variables.
    pub fn read() -> Result<Self, Missing> {
        let provisioned =
            variable("AWS_LAMBDA_INITIALIZATION_TYPE").is_some_and(|kind| kind == "provisioned-concurrency");
        required("AWS_LAMBDA_RUNTIME_API")?;
        required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
        Ok(Self {
            function: required("AWS_LAMBDA_FUNCTION_NAME")?,
            version: required("AWS_LAMBDA_FUNCTION_VERSION")?,
            counts_cold_starts: !provisioned,
            log_level: LogLevel::read(),
        })
    }
}

fn required(name: &'static str) -> Result<String, Missing> {
    variable(name).ok_or(Missing(name))
}

/// A variable; an empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
