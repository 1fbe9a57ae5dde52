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
    // The primary version has what is left, also when the weights do not quite sum to one.
    targets.first().map(|target| &target.version)
}
