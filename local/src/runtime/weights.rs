//! Which version an alias stands for, invocation by invocation.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>

use std::sync::Arc;

use crate::ports::{FunctionVersion, WeightedVersion};

/// The version that `chance` (0.0–1.0) falls on. `None` only when there are no targets.
pub(super) fn choose(targets: &[WeightedVersion], chance: f64) -> Option<&Arc<FunctionVersion>> {
    let mut left = chance;
    for target in targets.iter().skip(1) {
        if left < target.weight {
            return Some(&target.version);
        }
        left -= target.weight;
    }
    // The primary version gets the rest, even when the weights do not quite sum to one.
    targets.first().map(|target| &target.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::ports::{Architecture, FunctionCode, LogFormat, TracingMode};

    fn target(version: &str, weight: f64) -> WeightedVersion {
        let version = FunctionVersion {
            function_arn: String::new(),
            function_name: String::new(),
            version: version.to_owned(),
            revision: String::new(),
            code: FunctionCode {
                zip: PathBuf::new(),
                sha256: String::new(),
                size: 0,
            },
            runtime: String::new(),
            handler: String::new(),
            role: String::new(),
            architecture: Architecture::X86_64,
            memory_mb: 128,
            ephemeral_storage_mb: 512,
            timeout: Duration::ZERO,
            environment: BTreeMap::new(),
            log_group: String::new(),
            log_format: LogFormat::Text,
            application_log_level: None,
            system_log_level: None,
            tracing: TracingMode::PassThrough,
        };
        WeightedVersion {
            version: Arc::new(version),
            weight,
        }
    }

    fn check(targets: &[WeightedVersion], chance: f64, expected: Option<&str>) {
        assert_eq!(
            choose(targets, chance).map(|version| version.version.as_str()),
            expected,
            "{chance}"
        );
    }

    #[test]
    fn the_additional_version_gets_its_share() {
        let targets = [target("1", 0.9), target("2", 0.1)];
        check(&targets, 0.0, Some("2"));
        check(&targets, 0.099, Some("2"));
        check(&targets, 0.1, Some("1"));
        check(&targets, 0.999, Some("1"));
    }

    #[test]
    fn all_or_nothing() {
        check(&[target("1", 1.0)], 0.999, Some("1"));
        check(&[target("1", 0.0), target("2", 1.0)], 0.999, Some("2"));
        check(&[target("1", 1.0), target("2", 0.0)], 0.0, Some("1"));
        check(&[], 0.5, None);
    }
}
