//! The actions that calls of CloudWatch take.

use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn cloudwatch(&self, input: &Value) -> Vec<Required> {
        let operation = self.operation();
        let alarm = |name: &str| self.arn("cloudwatch", &format!("alarm:{name}"));
        let dashboard = |name: &str| format!("arn:aws:cloudwatch::{}:dashboard/{name}", self.call.account);
        let each = |names: &Value, arn: &dyn Fn(&str) -> String| -> Vec<Required> {
            let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(|name| self.on(self.named("cloudwatch"), arn(name))).collect()
        };
        let text = |member: &str| input[member].as_str().unwrap_or_default();
        match operation {
            "PutMetricAlarm" | "PutCompositeAlarm" | "SetAlarmState" => {
                let arn = alarm(text("AlarmName"));
                let mut all = vec![self.on(self.named("cloudwatch"), arn.clone())];
                if input["Tags"].is_array() {
                    all.push(self.on("cloudwatch:TagResource", arn));
                }
                all
            }
            "DeleteAlarms" => each(&input["AlarmNames"], &alarm),
            "DeleteDashboards" => each(&input["DashboardNames"], &dashboard),
            "PutDashboard" | "GetDashboard" => {
                let arn = dashboard(text("DashboardName"));
                let mut all = vec![self.on(self.named("cloudwatch"), arn.clone())];
                if input["Tags"].is_array() {
                    all.push(self.on("cloudwatch:TagResource", arn));
                }
                all
            }
            _ => vec![self.on(
                self.named("cloudwatch"),
                input["ResourceARN"].as_str().unwrap_or("*").to_owned(),
            )],
        }
    }
}
