//! The actions that calls of CloudWatch Logs take.

use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn logs(&self, input: &Value) -> Vec<Required> {
        let operation = self.operation();
        let group = input["logGroupName"].as_str().or(input["logGroupIdentifier"].as_str());
        let mut all = Vec::new();
        let resource = match (input["resourceArn"].as_str(), group) {
            (Some(arn), _) => arn.to_owned(),
            (None, Some(group)) if group.starts_with("arn:") => group.to_owned(),
            (None, Some(group)) => {
                let group = self.arn("logs", &format!("log-group:{group}"));
                if operation == "CreateLogGroup" && input["tags"].is_object() {
                    all.push(self.on("logs:TagResource", group.clone()));
                }
                match input["logStreamName"].as_str() {
                    Some(stream) => format!("{group}:log-stream:{stream}"),
                    None if matches!(operation, "FilterLogEvents" | "DescribeLogStreams" | "StartQuery") => {
                        format!("{group}:*")
                    }
                    None => group,
                }
            }
            (None, None) => "*".to_owned(),
        };
        all.insert(0, self.on(self.named("logs"), resource));
        all
    }
}
