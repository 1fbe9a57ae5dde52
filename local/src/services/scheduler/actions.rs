//! The actions that calls of EventBridge Scheduler take.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html>

use ::http::Method;
use ::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::DEFAULT_GROUP;
use crate::protocol::classify::query_parameter;
use crate::services::iam::required::{Actions, Required};

impl Actions<'_> {
    pub(in crate::services) fn scheduler(&self, parts: &Parts, input: &Value) -> Vec<Required> {
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let verb = match parts.method {
            Method::GET => "Get",
            Method::POST => "Create",
            Method::PUT => "Update",
            _ => "Delete",
        };
        let group = |name: &str| self.arn("scheduler", &format!("schedule-group/{name}"));
        match segments.as_slice() {
            ["schedules"] => vec![self.on("scheduler:ListSchedules", "*")],
            ["schedule-groups"] => vec![self.on("scheduler:ListScheduleGroups", "*")],
            ["schedules", name] => {
                let of_query = query_parameter(parts.uri.query().unwrap_or_default(), "groupName");
                let of_body = input["GroupName"].as_str().map(str::to_owned);
                let of = of_body.or(of_query).unwrap_or_else(|| DEFAULT_GROUP.to_owned());
                let arn = self.arn("scheduler", &format!("schedule/{of}/{name}"));
                let mut all = vec![self.on(format!("scheduler:{verb}Schedule"), arn)];
                let role = input["Target"]["RoleArn"].as_str();
                all.extend(role.map(|role| self.pass(role, "scheduler.amazonaws.com")));
                all
            }
            ["schedule-groups", name] => {
                let mut all = vec![self.on(format!("scheduler:{verb}ScheduleGroup"), group(name))];
                if input["Tags"].is_array() {
                    all.push(self.on("scheduler:TagResource", group(name)));
                }
                all
            }
            ["tags", arn @ ..] => {
                let action = match parts.method {
                    Method::GET => "ListTagsForResource",
                    Method::DELETE => "UntagResource",
                    _ => "TagResource",
                };
                vec![self.on(format!("scheduler:{action}"), arn.join("/"))]
            }
            _ => vec![self.on("scheduler:Unknown", "*")],
        }
    }
}
