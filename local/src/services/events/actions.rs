//! The actions that calls of EventBridge take.

use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn events(&self, input: &Value) -> Vec<Required> {
        let operation = self.operation();
        let rule = input["Rule"]
            .as_str()
            .or(input["Name"].as_str().filter(|_| operation.ends_with("Rule")));
        let resource = match (rule, input["ResourceARN"].as_str()) {
            (Some(rule), _) => self.arn("events", &format!("rule/{rule}")),
            (None, Some(arn)) => arn.to_owned(),
            (None, None) => "*".to_owned(),
        };
        let mut all = vec![self.on(self.named("events"), resource.clone())];
        if operation == "PutRule" && input["Tags"].is_array() {
            all.push(self.on("events:TagResource", resource));
        }
        all
    }
}
