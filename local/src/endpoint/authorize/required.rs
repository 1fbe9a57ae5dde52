//! Which actions on which resources a request takes. Pure.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use std::collections::BTreeMap;

use ::http::Method;
use ::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::policy::REQUEST_TAG;
use crate::endpoint::classify::{Call, Service, header_text};
use crate::endpoint::{cbor, s3};

/// An action, on a resource, with what conditions may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Required {
    pub action: String,
    pub resource: String,
    /// Condition keys, lower case.
    pub context: BTreeMap<String, String>,
}

/// Whether the body says on what a call works.
pub(super) fn takes_body(call: &Call, parts: &Parts) -> bool {
    match call.service {
        // Only the keys of a deletion stand there.
        Service::S3 => parts.method == Method::POST && has(parts, "delete"),
        // The tags that something is made with, or given.
        Service::ApiGateway => parts.method == Method::POST && has_tags(parts.uri.path()),
        Service::Lambda => !parts.uri.path().ends_with("/invocations"),
        _ => true,
    }
}

/// Whether a call of API Gateway can carry tags that conditions ask for.
fn has_tags(path: &str) -> bool {
    path == "/v2/apis" || path.starts_with("/v2/tags/")
}

/// What is known of a role that a call names.
#[derive(Debug, Clone, Default)]
pub(super) struct Role {
    /// Its whole ARN.
    pub arn: String,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
}

/// Everything a call takes. `role` finds a role by its name.
pub(super) fn required(call: &Call, parts: &Parts, body: &[u8], role: impl Fn(&str) -> Role) -> Vec<Required> {
    let at = At { call };
    match call.service {
        Service::DynamoDb => at.dynamodb(&json(body)),
        Service::S3 => at.s3(parts, body),
        Service::Lambda => at.lambda(parts, &json(body)),
        Service::ApiGateway => at.api_gateway(parts, &json(body)),
        Service::Logs => at.logs(&json(body)),
        Service::CloudWatch => at.cloudwatch(&match header_text(&parts.headers, "smithy-protocol") {
            Some("rpc-v2-cbor") => cbor::decode(body).unwrap_or_default(),
            _ => json(body),
        }),
        Service::Events => at.events(&json(body)),
        Service::Tagging => vec![at.on(at.named("tag"), "*")],
        Service::Iam => at.iam(&form(body), role),
        Service::Sns => at.sns(&form(body)),
        Service::Sts => at.sts(&form(body)),
        Service::Other => vec![at.on(at.named(&call.signed_for), "*")],
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn has(parts: &Parts, name: &str) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

struct At<'a> {
    call: &'a Call,
}

impl At<'_> {
    fn operation(&self) -> &str {
        self.call.operation.as_deref().unwrap_or_default()
    }

    fn named(&self, service: &str) -> String {
        format!("{service}:{}", self.operation())
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.call.region, self.call.account
        )
    }

    fn on(&self, action: impl Into<String>, resource: impl Into<String>) -> Required {
        Required {
            action: action.into(),
            resource: resource.into(),
            context: BTreeMap::new(),
        }
    }

    fn pass(&self, role: &str, service: &str) -> Required {
        Required {
            context: BTreeMap::from([("iam:passedtoservice".to_owned(), service.to_owned())]),
            ..self.on("iam:PassRole", role)
        }
    }

    /// The same with the tags that a request gives.
    fn giving(&self, wanted: Required, tags: impl IntoIterator<Item = (String, String)>) -> Required {
        let mut wanted = wanted;
        let keys = tags
            .into_iter()
            .map(|(key, value)| (format!("{REQUEST_TAG}{}", key.to_ascii_lowercase()), value));
        wanted.context.extend(keys);
        wanted
    }

    /// Who one is may always be asked.
    fn sts(&self, input: &BTreeMap<String, String>) -> Vec<Required> {
        let role = || input.get("RoleArn").map_or("*", String::as_str);
        match input.get("Action").map_or("", String::as_str) {
            "GetCallerIdentity" => Vec::new(),
            action if action.starts_with("AssumeRole") => vec![self.on(format!("sts:{action}"), role())],
            action => vec![self.on(format!("sts:{action}"), "*")],
        }
    }

    fn dynamodb(&self, input: &Value) -> Vec<Required> {
        let table = |name: &str| match name.starts_with("arn:") {
            true => name.to_owned(),
            false => self.arn("dynamodb", &format!("table/{name}")),
        };
        let operation = self.operation();
        let name = |item: &Value| table(item["TableName"].as_str().unwrap_or_default());
        match operation {
            "TransactWriteItems" | "TransactGetItems" => {
                let items = input["TransactItems"].as_array().into_iter().flatten();
                let parts = items.flat_map(|item| item.as_object().into_iter().flatten());
                parts
                    .map(|(what, part)| {
                        let action = match what.as_str() {
                            "Put" => "PutItem",
                            "Update" => "UpdateItem",
                            "Delete" => "DeleteItem",
                            "ConditionCheck" => "ConditionCheckItem",
                            _ => "GetItem",
                        };
                        self.on(format!("dynamodb:{action}"), name(part))
                    })
                    .collect()
            }
            "BatchGetItem" | "BatchWriteItem" => {
                let tables = input["RequestItems"].as_object().into_iter().flatten();
                tables
                    .map(|(named, _)| self.on(self.named("dynamodb"), table(named)))
                    .collect()
            }
            "ListTables" | "DescribeLimits" | "DescribeEndpoints" => vec![self.on(self.named("dynamodb"), "*")],
            _ => {
                let arn = match input["ResourceArn"].as_str() {
                    Some(arn) => arn.to_owned(),
                    None => name(input),
                };
                let resource = match input["IndexName"].as_str() {
                    Some(index) if matches!(operation, "Query" | "Scan") => format!("{arn}/index/{index}"),
                    _ => arn.clone(),
                };
                let mut all = vec![self.on(self.named("dynamodb"), resource)];
                if operation == "CreateTable" && input["Tags"].is_array() {
                    all.push(self.on("dynamodb:TagResource", arn));
                }
                all
            }
        }
    }

    fn s3(&self, parts: &Parts, body: &[u8]) -> Vec<Required> {
        let target = s3::Target::of(parts);
        let bucket = format!("arn:aws:s3:::{}", target.bucket);
        if target.bucket.is_empty() {
            return vec![self.on("s3:ListAllMyBuckets", "*")];
        }
        let method = &parts.method;
        if !target.key.is_empty() {
            let object = format!("{bucket}/{}", target.key);
            let of_version = has(parts, "versionId");
            let action = match *method {
                Method::GET | Method::HEAD if of_version => "s3:GetObjectVersion",
                Method::GET | Method::HEAD => "s3:GetObject",
                Method::DELETE if has(parts, "uploadId") => "s3:AbortMultipartUpload",
                Method::DELETE if of_version => "s3:DeleteObjectVersion",
                Method::DELETE => "s3:DeleteObject",
                _ => "s3:PutObject",
            };
            let mut all = vec![self.on(action, object)];
            if let Some(source) = header_text(&parts.headers, "x-amz-copy-source") {
                let source = decode(source.trim_start_matches('/').split('?').next().unwrap_or_default());
                all.push(self.on("s3:GetObject", format!("arn:aws:s3:::{source}")));
            }
            return all;
        }
        if method == Method::POST && has(parts, "delete") {
            let text = String::from_utf8_lossy(body);
            let versions = text.contains("<VersionId>");
            let action = match versions {
                true => "s3:DeleteObjectVersion",
                false => "s3:DeleteObject",
            };
            let keys = super::between(&text, "Key");
            return keys.map(|key| self.on(action, format!("{bucket}/{key}"))).collect();
        }
        /// What a sub-resource's actions are called.
        const ASPECTS: [(&str, &str); 10] = [
            ("policy", "BucketPolicy"),
            ("publicAccessBlock", "BucketPublicAccessBlock"),
            ("encryption", "EncryptionConfiguration"),
            ("lifecycle", "LifecycleConfiguration"),
            ("cors", "BucketCORS"),
            ("ownershipControls", "BucketOwnershipControls"),
            ("versioning", "BucketVersioning"),
            ("website", "BucketWebsite"),
            ("tagging", "BucketTagging"),
            ("location", "BucketLocation"),
        ];
        let aspect = ASPECTS.iter().find(|(name, _)| has(parts, name));
        let action = match (method, aspect) {
            (&Method::GET, Some((_, aspect))) => format!("s3:Get{aspect}"),
            (&Method::DELETE, Some((name @ ("policy" | "website"), aspect))) if !name.is_empty() => {
                format!("s3:Delete{aspect}")
            }
            (_, Some((_, aspect))) => format!("s3:Put{aspect}"),
            (&Method::GET, None) if has(parts, "uploads") => "s3:ListBucketMultipartUploads".to_owned(),
            (&Method::GET, None) if has(parts, "versions") => "s3:ListBucketVersions".to_owned(),
            (&Method::GET | &Method::HEAD, None) => "s3:ListBucket".to_owned(),
            (&Method::DELETE, None) => "s3:DeleteBucket".to_owned(),
            (_, None) => "s3:CreateBucket".to_owned(),
        };
        vec![self.on(action, bucket)]
    }

    fn lambda(&self, parts: &Parts, input: &Value) -> Vec<Required> {
        let path = decode(parts.uri.path());
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let arn = |name: &str| match name.starts_with("arn:") {
            true => name.to_owned(),
            false => self.arn("lambda", &format!("function:{name}")),
        };
        let qualifier = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .find_map(|(name, value)| (name == "Qualifier").then(|| value.into_owned()));
        let qualified = |name: &str| match &qualifier {
            Some(qualifier) => format!("{}:{qualifier}", arn(name)),
            None => arn(name),
        };
        let alias = |name: &str, alias: &str| format!("{}:{alias}", arn(name));
        let one = |action: &str, resource: String| vec![self.on(format!("lambda:{action}"), resource)];
        let method = &parts.method;
        let role = |all: &mut Vec<Required>| {
            all.extend(
                input["Role"]
                    .as_str()
                    .map(|role| self.pass(role, "lambda.amazonaws.com")),
            );
        };
        let code = |all: &mut Vec<Required>, code: &Value| {
            if let (Some(bucket), Some(key)) = (code["S3Bucket"].as_str(), code["S3Key"].as_str()) {
                all.push(self.on("s3:GetObject", format!("arn:aws:s3:::{bucket}/{key}")));
            }
        };
        match (method, segments.get(1..).unwrap_or_default()) {
            (&Method::GET, ["functions"]) => one("ListFunctions", "*".to_owned()),
            (&Method::POST, ["functions"]) => {
                let named = arn(input["FunctionName"].as_str().unwrap_or_default());
                let mut all = one("CreateFunction", named.clone());
                if input["Tags"].is_object() {
                    all.push(self.on("lambda:TagResource", named));
                }
                role(&mut all);
                code(&mut all, &input["Code"]);
                all
            }
            (&Method::GET, ["functions", name]) => one("GetFunction", qualified(name)),
            (&Method::DELETE, ["functions", name]) => one("DeleteFunction", qualified(name)),
            (_, ["functions", name, "invocations"]) => one("InvokeFunction", qualified(name)),
            (&Method::PUT, ["functions", name, "code"]) => {
                let mut all = one("UpdateFunctionCode", arn(name));
                code(&mut all, input);
                all
            }
            (&Method::PUT, ["functions", name, "configuration"]) => {
                let mut all = one("UpdateFunctionConfiguration", arn(name));
                role(&mut all);
                all
            }
            (&Method::GET, ["functions", name, "configuration"]) => one("GetFunctionConfiguration", qualified(name)),
            (&Method::POST, ["functions", name, "versions"]) => one("PublishVersion", arn(name)),
            (&Method::GET, ["functions", name, "versions"]) => one("ListVersionsByFunction", arn(name)),
            (&Method::POST, ["functions", name, "aliases"]) => one("CreateAlias", arn(name)),
            (&Method::GET, ["functions", name, "aliases"]) => one("ListAliases", arn(name)),
            (&Method::GET, ["functions", name, "aliases", of]) => one("GetAlias", alias(name, of)),
            (&Method::PUT, ["functions", name, "aliases", of]) => one("UpdateAlias", alias(name, of)),
            (&Method::DELETE, ["functions", name, "aliases", of]) => one("DeleteAlias", alias(name, of)),
            (&Method::GET, ["functions", name, "policy"]) => one("GetPolicy", qualified(name)),
            (&Method::POST, ["functions", name, "policy"]) => {
                let mut wanted = self.on("lambda:AddPermission", qualified(name));
                for (key, member) in [
                    ("lambda:principal", "Principal"),
                    ("lambda:functionurlauthtype", "FunctionUrlAuthType"),
                ] {
                    let value = input[member].as_str().map(|value| (key.to_owned(), value.to_owned()));
                    wanted.context.extend(value);
                }
                vec![wanted]
            }
            (&Method::DELETE, ["functions", name, "policy", _]) => one("RemovePermission", arn(name)),
            (&Method::GET, ["functions", name, "urls"]) => one("ListFunctionUrlConfigs", arn(name)),
            (method, ["functions", name, "url"]) => {
                let action = match *method {
                    Method::GET => "GetFunctionUrlConfig",
                    Method::POST => "CreateFunctionUrlConfig",
                    Method::PUT => "UpdateFunctionUrlConfig",
                    _ => "DeleteFunctionUrlConfig",
                };
                one(action, qualified(name))
            }
            (&Method::PUT, ["functions", name, "concurrency"]) => one("PutFunctionConcurrency", arn(name)),
            (&Method::DELETE, ["functions", name, "concurrency"]) => one("DeleteFunctionConcurrency", arn(name)),
            (method, ["tags", arn @ ..]) => {
                let action = match *method {
                    Method::GET => "ListTags",
                    Method::DELETE => "UntagResource",
                    _ => "TagResource",
                };
                one(action, arn.join("/"))
            }
            _ => one("Unknown", "*".to_owned()),
        }
    }

    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html>
    fn api_gateway(&self, parts: &Parts, input: &Value) -> Vec<Required> {
        let path = parts.uri.path().trim_start_matches("/v2");
        let resource = format!("arn:aws:apigateway:{}::{path}", self.call.region);
        let tags = input["tags"].as_object().or(input["Tags"].as_object());
        let tags = tags.into_iter().flatten();
        let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let wanted = self.on(format!("apigateway:{}", parts.method), resource);
        vec![self.giving(wanted, tags)]
    }

    fn logs(&self, input: &Value) -> Vec<Required> {
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

    fn cloudwatch(&self, input: &Value) -> Vec<Required> {
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

    fn events(&self, input: &Value) -> Vec<Required> {
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

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
    fn iam(&self, input: &BTreeMap<String, String>, role: impl Fn(&str) -> Role) -> Vec<Required> {
        let action = input.get("Action").map(String::as_str).unwrap_or_default();
        let named = input.get("RoleName").map(|name| role(name));
        let resource = match (input.get("RoleName"), input.get("Path")) {
            (Some(name), Some(path)) => format!("arn:aws:iam::{}:role{path}{name}", self.call.account),
            (Some(_), None) => named.as_ref().map(|role| role.arn.clone()).unwrap_or_default(),
            (None, _) => "*".to_owned(),
        };
        let mut wanted = self.on(format!("iam:{action}"), resource.clone());
        // The boundary that a call sets; of a call that changes a role's permissions, the one that the role has.
        let boundary = match action {
            "CreateRole" | "PutRolePermissionsBoundary" => input.get("PermissionsBoundary").cloned(),
            "AttachRolePolicy"
            | "DeleteRolePermissionsBoundary"
            | "DeleteRolePolicy"
            | "DetachRolePolicy"
            | "PutRolePolicy" => named.and_then(|role| role.boundary),
            _ => None,
        };
        let keys = [
            ("iam:permissionsboundary", boundary),
            ("iam:policyarn", input.get("PolicyArn").cloned()),
        ];
        let keys = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        wanted.context.extend(keys);
        let tags = input.iter().filter_map(|(key, tag)| {
            let place = key.strip_prefix("Tags.member.")?.strip_suffix(".Key")?;
            let value = input.get(&format!("Tags.member.{place}.Value"))?;
            Some((tag.clone(), value.clone()))
        });
        let mut all = vec![self.giving(wanted, tags)];
        if action == "CreateRole" && input.keys().any(|key| key.starts_with("Tags.")) {
            all.push(self.on("iam:TagRole", resource));
        }
        all
    }

    fn sns(&self, input: &BTreeMap<String, String>) -> Vec<Required> {
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use ::http::Request;

    use super::*;

    fn check(service: &str, target: &str, body: &str, expected: &[(&str, &str)]) {
        let request = Request::post("/").header("x-amz-target", target).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let call = Call::of(&parts, service, "eu-central-1", "000000000000");
        let role = |name: &str| Role {
            arn: name.to_owned(),
            boundary: None,
        };
        let all = required(&call, &parts, body.as_bytes(), role);
        let all: Vec<(&str, &str)> = all.iter().map(|one| (&*one.action, &*one.resource)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn who_acts_as_a_role_takes_on_another_only_when_allowed_to() {
        let role = "arn:aws:iam::000000000000:role/other";
        check("sts", "", "Action=GetCallerIdentity", &[]);
        check(
            "sts",
            "",
            &format!("Action=AssumeRole&RoleArn={role}"),
            &[("sts:AssumeRole", role)],
        );
    }

    #[test]
    fn services_that_are_not_known_ask_for_their_actions_too() {
        check("sqs", "AmazonSQS.ListQueues", "{}", &[("sqs:ListQueues", "*")]);
    }
}
