//! The tags of the resource that a call is about, for policies that ask for them. Of services that give IAM no tags, and of
//! DynamoDB and S3, which do so only where an account has switched it on, there are none.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html>

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::protocol::emulator_client::{Caller, EmulatorClient};
use crate::protocol::xml::Element;
use crate::services::apigateway::Apis;
use crate::services::cloudwatch::Alarms;
use crate::services::iam::policy::RESOURCE_TAG;
use crate::services::iam::required::Required;
use crate::services::lambda::mappings::Mappings;
use crate::services::lambda::{FUNCTION_ARN, Functions};
use crate::services::scheduler::Schedules;

/// The sources of tags.
pub(crate) struct ResourceTags<'a> {
    pub emulator: &'a EmulatorClient,
    pub apis: &'a Apis,
    pub functions: &'a Functions,
    pub alarms: &'a Alarms,
    pub mappings: &'a Mappings,
    pub schedules: &'a Schedules,
}

impl ResourceTags<'_> {
    /// The condition keys of a resource's tags.
    pub(super) async fn keys(&self, caller: &Caller, arn: &str) -> BTreeMap<String, String> {
        let tags = self.of(caller, arn).await;
        let key = |(key, value): (String, String)| (format!("{RESOURCE_TAG}{}", key.to_ascii_lowercase()), value);
        tags.into_iter().map(key).collect()
    }

    /// The condition keys that are known of a resource besides its tags. Those of the request come first.
    pub(super) fn complete(&self, wanted: &mut Required) {
        if !wanted.context.contains_key(FUNCTION_ARN)
            && let Some(function) = self.mappings.function_of(&wanted.resource)
        {
            wanted.context.insert(FUNCTION_ARN.to_owned(), function);
        }
    }

    async fn of(&self, caller: &Caller, arn: &str) -> BTreeMap<String, String> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let (Some(service), Some(resource)) = (parts.get(2), parts.get(5)) else {
            return BTreeMap::new();
        };
        match *service {
            "apigateway" => self.of_api(caller, resource),
            "cloudwatch" => among(self.alarms.tagged(caller), arn),
            "lambda" if resource.starts_with("event-source-mapping:") => {
                among(self.mappings.tagged(&caller.account, &caller.region), arn)
            }
            "lambda" => {
                // A version and an alias have the tags of their function.
                let function: Vec<&str> = arn.split(':').take(7).collect();
                let all = self.functions.tagged(&caller.account, &caller.region);
                among(all, &function.join(":"))
            }
            "scheduler" => among(self.schedules.tagged(caller), arn),
            "logs" => {
                let group = resource.strip_prefix("log-group:").unwrap_or(resource);
                let group = group.split(':').next().unwrap_or_default();
                let group = format!("arn:aws:logs:{}:{}:log-group:{group}", caller.region, caller.account);
                let output = self.ask(caller, "logs", "Logs_20140328", "resourceArn", &group).await;
                serde_json::from_value(output["tags"].clone()).unwrap_or_default()
            }
            "events" => {
                let output = self.ask(caller, "events", "AWSEvents", "ResourceARN", arn).await;
                let tags = output["Tags"].as_array().into_iter().flatten();
                tags.filter_map(|tag| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned())))
                    .collect()
            }
            "sns" => {
                let parameters = [
                    ("Action", "ListTagsForResource"),
                    ("Version", "2010-03-31"),
                    ("ResourceArn", arn),
                ];
                let Ok(answer) = self.emulator.query(caller, "sns", &parameters).await else {
                    return BTreeMap::new();
                };
                let found = Element::parse(answer.body());
                let tags = found.iter().flat_map(|found| found.all("member"));
                tags.filter_map(|tag| Some((tag.text_of("Key")?, tag.text_of("Value").unwrap_or_default())))
                    .collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// Parts of an API have its tags.
    fn of_api(&self, caller: &Caller, resource: &str) -> BTreeMap<String, String> {
        let path = resource.trim_start_matches([':', '/']);
        let path = percent_decode_str(path).decode_utf8_lossy();
        let id = path
            .split_once("apis/")
            .map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        let mut all = self.apis.summaries().into_iter();
        let found = all.find(|api| {
            Some(api.api_id.as_str()) == id && api.account == caller.account && api.region == caller.region
        });
        found.map(|api| api.tags).unwrap_or_default()
    }

    async fn ask(&self, caller: &Caller, service: &str, target: &str, member: &str, arn: &str) -> serde_json::Value {
        let target = format!("{target}.ListTagsForResource");
        let answer = self
            .emulator
            .json(caller, service, &target, &json!({member: arn}))
            .await;
        answer.unwrap_or_default()
    }
}

fn among(all: Vec<(String, BTreeMap<String, String>)>, arn: &str) -> BTreeMap<String, String> {
    all.into_iter()
        .find(|(one, _)| one == arn)
        .map(|(_, tags)| tags)
        .unwrap_or_default()
}
