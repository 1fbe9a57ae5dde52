//! The actions that calls of STS take.

use std::collections::BTreeMap;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    /// `GetCallerIdentity` is always allowed.
    pub(in crate::services) fn sts(&self, input: &BTreeMap<String, String>) -> Vec<Required> {
        let role = || input.get("RoleArn").map_or("*", String::as_str);
        match input.get("Action").map_or("", String::as_str) {
            "GetCallerIdentity" => Vec::new(),
            action if action.starts_with("AssumeRole") => vec![self.on(format!("sts:{action}"), role())],
            action => vec![self.on(format!("sts:{action}"), "*")],
        }
    }
}
