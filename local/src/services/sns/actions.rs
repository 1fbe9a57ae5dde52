//! The actions that calls of SNS take.

use std::collections::BTreeMap;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn sns(&self, input: &BTreeMap<String, String>) -> Vec<Required> {
        let action = input.get("Action").map(String::as_str).unwrap_or_default();
        let text = |member: &str| input.get(member).cloned();
        let named = text("Name").map(|name| self.arn("sns", &name));
        let resource = text("TopicArn").or(text("ResourceArn")).or(named);
        // A subscription's ARN is its topic's and an id.
        let of_subscription =
            text("SubscriptionArn").and_then(|arn| arn.rsplit_once(':').map(|(topic, _)| topic.to_owned()));
        let resource = resource.or(of_subscription).unwrap_or_else(|| "*".to_owned());
        let mut all = vec![self.on(format!("sns:{action}"), resource.clone())];
        if action == "CreateTopic" && input.keys().any(|key| key.starts_with("Tags.")) {
            all.push(self.on("sns:TagResource", resource));
        }
        all
    }
}
