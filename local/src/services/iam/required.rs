//! The permissions that a call needs: actions on resources. Each service defines those of its calls. Pure.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use std::collections::BTreeMap;

use super::policy::REQUEST_TAG;
use crate::protocol::classify::Call;

/// An action on a resource, with the keys of conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Required {
    pub action: String,
    pub resource: String,
    /// Condition keys, lower case.
    pub context: BTreeMap<String, String>,
}

/// Facts about a role that a call names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    /// Its whole ARN.
    pub arn: String,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
}

pub(crate) struct Actions<'a> {
    pub(crate) call: &'a Call,
}

impl Actions<'_> {
    pub(crate) fn operation(&self) -> &str {
        self.call.operation.as_deref().unwrap_or_default()
    }

    pub(crate) fn named(&self, service: &str) -> String {
        format!("{service}:{}", self.operation())
    }

    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.call.region, self.call.account
        )
    }

    pub(crate) fn on(&self, action: impl Into<String>, resource: impl Into<String>) -> Required {
        Required {
            action: action.into(),
            resource: resource.into(),
            context: BTreeMap::new(),
        }
    }

    pub(crate) fn pass(&self, role: &str, service: &str) -> Required {
        Required {
            context: BTreeMap::from([("iam:passedtoservice".to_owned(), service.to_owned())]),
            ..self.on("iam:PassRole", role)
        }
    }

    /// The same with the tags that a request gives.
    pub(crate) fn giving(&self, wanted: Required, tags: impl IntoIterator<Item = (String, String)>) -> Required {
        let mut wanted = wanted;
        let keys = tags
            .into_iter()
            .map(|(key, value)| (format!("{REQUEST_TAG}{}", key.to_ascii_lowercase()), value));
        wanted.context.extend(keys);
        wanted
    }
}
