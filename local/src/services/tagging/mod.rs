//! The Resource Groups Tagging API over everything that has tags: what the emulator finds, what is kept here, and what
//! the emulator leaves out (log groups, rules, roles).

use std::collections::BTreeMap;

use ::http::request::Parts;
use ::http::{Request, Response, StatusCode};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::protocol::classify::Call;
use crate::protocol::emulator_client::{Caller, EmulatorError};
use crate::protocol::http::{Body, answer, collect, full};
use crate::protocol::xml::Element;
use crate::services::Services;
use crate::services::apigateway::Owner;
use crate::services::{Fault, lambda, page};

const LARGEST_BODY: usize = 1024 * 1024;
/// Resources of a page unless asked for, and most of one.
/// <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>
const PAGE: u64 = 50;
const LARGEST_PAGE: u64 = 100;
const TARGET: &str = "ResourceGroupsTaggingAPI_20170126";
/// Services whose resources are found here and not by the emulator.
const FOUND_HERE: [&str; 7] = [
    ":scheduler:",
    ":lambda:",
    ":apigateway:",
    ":cloudwatch:",
    ":logs:",
    ":events:",
    ":iam:",
];
/// Region where global services show.
const GLOBAL_REGION: &str = "us-east-1";

/// ARN and tags of a resource.
type Tagged = (String, BTreeMap<String, String>);

impl Services {
    pub(super) async fn call_tagging(&self, call: &Call, parts: Parts, body: Body) -> Response<Body> {
        let operation = call.operation.clone().unwrap_or_default();
        if !matches!(operation.as_str(), "GetResources" | "TagResources" | "UntagResources") {
            return self.pass(Request::from_parts(parts, body)).await;
        }
        let input: Value = match collect(body, LARGEST_BODY).await {
            Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
            Err(error) => return refuse("InvalidParameterException", &error.to_string()),
        };
        let caller = Caller::of(call);
        if operation == "GetResources" {
            return match self.tagged_resources(&caller).await {
                Ok(resources) => found(resources, &input),
                Err(error) => refuse("InternalServiceException", &error.to_string()),
            };
        }
        let arns: Vec<&str> = input["ResourceARNList"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let (here, there): (Vec<&str>, Vec<&str>) = arns.iter().partition(|arn| is_kept_here(arn));
        let mut failed = serde_json::Map::new();
        for arn in here {
            if let Err(fault) = self.change_tags(&caller, arn, &input) {
                failed.insert(
                    arn.to_owned(),
                    json!({"StatusCode": fault.status, "ErrorCode": fault.code, "ErrorMessage": fault.message}),
                );
            }
        }
        if !there.is_empty() {
            let mut rest = input.clone();
            rest["ResourceARNList"] = json!(there);
            let mut request = Request::from_parts(parts, full(rest.to_string()));
            request.headers_mut().remove("content-length");
            match self.emulator.call(request).await {
                Ok(response) => {
                    let output: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                    failed.extend(output["FailedResourcesMap"].as_object().cloned().unwrap_or_default());
                }
                Err(error) => return refuse("InternalServiceException", &error.to_string()),
            }
        }
        answer(
            StatusCode::OK,
            "application/x-amz-json-1.1",
            json!({"FailedResourcesMap": failed}).to_string(),
        )
    }

    fn change_tags(&self, caller: &Caller, arn: &str, input: &Value) -> Result<(), Fault> {
        let given: BTreeMap<String, String> = serde_json::from_value(input["Tags"].clone()).unwrap_or_default();
        let removed: Vec<String> = serde_json::from_value(input["TagKeys"].clone()).unwrap_or_default();
        let change = move |tags: &mut BTreeMap<String, String>| {
            tags.extend(given);
            tags.retain(|key, _| !removed.contains(key));
        };
        let Caller { account, region } = caller;
        if arn.contains(":scheduler:") {
            self.schedules.tags(arn, change).map(drop)
        } else if arn.contains(":event-source-mapping:") {
            self.mappings
                .tags(lambda::Owner { account, region }, arn, change)
                .map(drop)
        } else if arn.contains(":lambda:") {
            self.functions
                .tags(lambda::Owner { account, region }, arn, change)
                .map(drop)
        } else if arn.contains(":apigateway:") {
            self.apis.tags(Owner { account, region }, arn, change).map(drop)
        } else {
            self.alarms.tags(arn, change).map(drop)
        }
    }

    /// Everything of a caller that has tags.
    async fn tagged_resources(&self, caller: &Caller) -> Result<Vec<Tagged>, EmulatorError> {
        let (emulated, logs, rules, roles) = futures::join!(
            self.emulated_resources(caller),
            self.log_groups(caller),
            self.rules(caller),
            self.roles(caller),
        );
        let mut all = emulated?;
        all.extend(logs?);
        all.extend(rules?);
        all.extend(roles?);
        all.extend(self.functions.tagged(&caller.account, &caller.region));
        all.extend(self.mappings.tagged(&caller.account, &caller.region));
        all.extend(self.alarms.tagged(caller));
        all.extend(self.schedules.tagged(caller));
        for api in self.apis.summaries() {
            if api.account != caller.account || api.region != caller.region {
                continue;
            }
            let arn = format!("arn:aws:apigateway:{}::/apis/{}", api.region, api.api_id);
            let stages = api
                .stages
                .into_iter()
                .map(|(name, tags)| (format!("{arn}/stages/{name}"), tags));
            all.extend(stages.collect::<Vec<_>>());
            all.push((arn, api.tags));
        }
        all.retain(|(_, tags)| !tags.is_empty());
        all.sort();
        Ok(all)
    }

    async fn emulated_resources(&self, caller: &Caller) -> Result<Vec<Tagged>, EmulatorError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let input = json!({"ResourcesPerPage": 100, "PaginationToken": token});
            let output = self
                .emulator
                .json(caller, "tagging", &format!("{TARGET}.GetResources"), &input)
                .await?;
            for resource in output["ResourceTagMappingList"].as_array().into_iter().flatten() {
                let arn = resource["ResourceARN"].as_str().unwrap_or_default();
                if !FOUND_HERE.iter().any(|service| arn.contains(service)) {
                    all.push((arn.to_owned(), tag_list(&resource["Tags"])));
                }
            }
            match output["PaginationToken"]
                .as_str()
                .filter(|next| !next.is_empty() && *next != token)
            {
                Some(next) => token = next.to_owned(),
                None => return Ok(all),
            }
        }
    }

    async fn log_groups(&self, caller: &Caller) -> Result<Vec<Tagged>, EmulatorError> {
        let groups = self
            .emulator
            .log_pages(caller, "DescribeLogGroups", json!({"limit": 50}), "logGroups")
            .await?;
        let arn = |group: &Value| Some(group["arn"].as_str()?.trim_end_matches(":*").to_owned());
        let arns: Vec<String> = groups.iter().filter_map(arn).collect();
        let tags = arns.iter().map(|arn| async move {
            let input = json!({"resourceArn": arn});
            self.emulator
                .json(caller, "logs", "Logs_20140328.ListTagsForResource", &input)
                .await
        });
        let tags = join_all(tags).await;
        // A group that was deleted meanwhile has none.
        let found = arns.iter().zip(tags).filter_map(|(arn, output)| {
            let tags = serde_json::from_value(output.ok()?["tags"].clone()).ok()?;
            Some((arn.clone(), tags))
        });
        Ok(found.collect())
    }

    async fn rules(&self, caller: &Caller) -> Result<Vec<Tagged>, EmulatorError> {
        let output = self
            .emulator
            .json(caller, "events", "AWSEvents.ListRules", &json!({}))
            .await?;
        let rules = output["Rules"].as_array().cloned().unwrap_or_default();
        let arns: Vec<String> = rules
            .iter()
            .filter_map(|rule| rule["Arn"].as_str().map(str::to_owned))
            .collect();
        let tags = arns.iter().map(|arn| async move {
            self.emulator
                .json(
                    caller,
                    "events",
                    "AWSEvents.ListTagsForResource",
                    &json!({"ResourceARN": arn}),
                )
                .await
        });
        let tags = join_all(tags).await;
        let found = arns
            .iter()
            .zip(tags)
            .filter_map(|(arn, output)| Some((arn.clone(), tag_list(&output.ok()?["Tags"]))));
        Ok(found.collect())
    }

    /// Roles are global: they show in one region only.
    async fn roles(&self, caller: &Caller) -> Result<Vec<Tagged>, EmulatorError> {
        if caller.region != GLOBAL_REGION {
            return Ok(Vec::new());
        }
        let parameters = [("Action", "ListRoles"), ("Version", "2010-05-08"), ("MaxItems", "1000")];
        let roles = self.emulator.query(caller, "iam", &parameters).await?;
        let roles = Element::parse(roles.body());
        let roles = roles.iter().flat_map(|roles| roles.all("member"));
        let names: Vec<(String, String)> = roles
            .filter_map(|role| Some((role.text_of("Arn")?, role.text_of("RoleName")?)))
            .collect();
        let tags = names.iter().map(|(_, name)| async move {
            let parameters = [
                ("Action", "ListRoleTags"),
                ("Version", "2010-05-08"),
                ("RoleName", name.as_str()),
            ];
            self.emulator.query(caller, "iam", &parameters).await
        });
        let tags = join_all(tags).await;
        let found = names.iter().zip(tags).filter_map(|((arn, _), response)| {
            let found = Element::parse(response.ok()?.body())?;
            let pair = |tag: &Element| Some((tag.text_of("Key")?, tag.text_of("Value").unwrap_or_default()));
            Some((arn.clone(), found.all("member").into_iter().filter_map(pair).collect()))
        });
        Ok(found.collect())
    }
}

fn is_kept_here(arn: &str) -> bool {
    [":lambda:", ":apigateway:", ":cloudwatch:", ":scheduler:"]
        .iter()
        .any(|service| arn.contains(service))
}

fn tag_list(tags: &Value) -> BTreeMap<String, String> {
    let pair = |tag: &Value| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned()));
    tags.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn found(resources: Vec<Tagged>, input: &Value) -> Response<Body> {
    let matching: Vec<Value> = resources
        .into_iter()
        .filter(|(arn, tags)| matches(arn, tags, input))
        .map(|(arn, tags)| {
            let tags: Vec<Value> = tags
                .iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect();
            json!({"ResourceARN": arn, "Tags": tags})
        })
        .collect();
    let Some(size) = page_size(input) else {
        return refuse(
            "InvalidParameterException",
            "ResourcesPerPage must be between 1 and 100.",
        );
    };
    let token = input["PaginationToken"].as_str().filter(|token| !token.is_empty());
    match page(matching, usize::try_from(size).unwrap_or(usize::MAX), token) {
        Ok((items, next)) => {
            let output = json!({"ResourceTagMappingList": items, "PaginationToken": next.unwrap_or_default()});
            answer(StatusCode::OK, "application/x-amz-json-1.1", output.to_string())
        }
        Err(()) => refuse("PaginationTokenExpiredException", "The pagination token is not valid."),
    }
}

/// How many resources a page has. `None` is a size that there is not.
fn page_size(input: &Value) -> Option<u64> {
    match &input["ResourcesPerPage"] {
        Value::Null => Some(PAGE),
        given => given.as_u64().filter(|size| (1..=LARGEST_PAGE).contains(size)),
    }
}

/// Whether a resource passes the filters: every key, any of its values, any of the types.
fn matches(arn: &str, tags: &BTreeMap<String, String>, input: &Value) -> bool {
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let arns = list(&input["ResourceARNList"]);
    let types = list(&input["ResourceTypeFilters"]);
    let by_tag = input["TagFilters"].as_array().into_iter().flatten().all(|filter| {
        let values = list(&filter["Values"]);
        let value = tags.get(filter["Key"].as_str().unwrap_or_default());
        value.is_some_and(|value| values.is_empty() || values.contains(value))
    });
    by_tag
        && (arns.is_empty() || arns.iter().any(|wanted| wanted == arn))
        && (types.is_empty() || types.iter().any(|wanted| is_of_type(arn, wanted)))
}

/// Whether an ARN is of a type such as `s3` or `lambda:function`.
fn is_of_type(arn: &str, wanted: &str) -> bool {
    let mut fields = arn.splitn(6, ':');
    let service = fields.nth(2).unwrap_or_default();
    let resource = fields.nth(2).unwrap_or_default().trim_start_matches('/');
    match wanted.split_once(':') {
        None => service == wanted,
        Some((of, kind)) => service == of && resource.split([':', '/']).next() == Some(kind),
    }
}

fn refuse(code: &str, message: &str) -> Response<Body> {
    answer(
        StatusCode::BAD_REQUEST,
        "application/x-amz-json-1.1",
        json!({"__type": code, "message": message}).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_up_to_a_hundred_resources() {
        for (given, expected) in [
            (json!(null), Some(50)),
            (json!(100), Some(100)),
            (json!(0), None),
            (json!(101), None),
        ] {
            assert_eq!(page_size(&json!({"ResourcesPerPage": given})), expected, "{given}");
        }
    }

    #[test]
    fn types() {
        for (arn, wanted, expected) in [
            ("arn:aws:lambda:eu-central-1:0:function:f", "lambda:function", true),
            ("arn:aws:lambda:eu-central-1:0:function:f", "lambda", true),
            ("arn:aws:lambda:eu-central-1:0:function:f", "lambda:layer", false),
            ("arn:aws:dynamodb:eu-central-1:0:table/t", "dynamodb:table", true),
            ("arn:aws:s3:::b", "s3", true),
            ("arn:aws:logs:eu-central-1:0:log-group:/a/b", "logs:log-group", true),
            ("arn:aws:apigateway:eu-central-1::/apis/x", "apigateway", true),
            ("arn:aws:sns:eu-central-1:0:t", "sqs", false),
        ] {
            assert_eq!(is_of_type(arn, wanted), expected, "{arn} {wanted}");
        }
    }

    #[test]
    fn filters() {
        let tags = BTreeMap::from([
            ("app".to_owned(), "a".to_owned()),
            ("stage".to_owned(), "dev".to_owned()),
        ]);
        let check = |filters: Value, expected: bool| {
            assert_eq!(
                matches("arn:aws:s3:::b", &tags, &json!({"TagFilters": filters})),
                expected,
                "{filters}"
            );
        };
        check(json!([]), true);
        check(
            json!([{"Key": "app", "Values": ["a", "b"]}, {"Key": "stage", "Values": ["dev"]}]),
            true,
        );
        check(
            json!([{"Key": "app", "Values": ["a"]}, {"Key": "stage", "Values": ["prod"]}]),
            false,
        );
        check(json!([{"Key": "app"}]), true);
        check(json!([{"Key": "other"}]), false);
    }
}
