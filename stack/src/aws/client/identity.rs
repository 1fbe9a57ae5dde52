//! Who and where a stack is: what names, tags and ARNs are made of.

use std::collections::BTreeMap;

use crate::template::names::Names;

/// Who and where the stack is. App, stage and region never change; the account comes from STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Account id, 12 digits.
    pub account: String,
    /// ARN partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
}

impl Identity {
    /// What physical names are made of.
    pub fn names(&self) -> Names<'_> {
        Names {
            app: &self.app,
            stage: &self.stage,
            region: &self.region,
            account: &self.account,
        }
    }

    /// `{app}-{stage}-`, the start of every derived name.
    pub fn prefix(&self) -> String {
        format!("{}-{}-", self.app, self.stage)
    }

    /// The ownership tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app".to_owned(), self.app.clone()),
            ("stage".to_owned(), self.stage.clone()),
            ("managed-by".to_owned(), "taskctl".to_owned()),
        ])
    }

    /// ARN of an IAM role, which has no region.
    pub fn role_arn(&self, path: &str, name: &str) -> String {
        format!("arn:{}:iam::{}:role{path}{name}", self.partition, self.account)
    }

    /// An ARN in this region and account.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }
}
