//! The actions that calls of Lambda take.

use ::http::Method;
use ::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::services::iam::required::{Actions, Required};

/// The condition key of a mapping's function, lower case.
pub(crate) const FUNCTION_ARN: &str = "lambda:functionarn";

impl Actions<'_> {
    pub(in crate::services) fn lambda(&self, parts: &Parts, input: &Value) -> Vec<Required> {
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
            (&Method::GET, ["account-settings"]) => one("GetAccountSettings", "*".to_owned()),
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
            (&Method::POST, ["functions", name, "policy"]) => vec![self.add_permission(qualified(name), input)],
            (&Method::DELETE, ["functions", name, "policy", _]) => one("RemovePermission", arn(name)),
            (&Method::GET, ["functions", name, "urls"]) => one("ListFunctionUrlConfigs", arn(name)),
            (method, ["functions", name, "url"]) => one(url_action(method), qualified(name)),
            (method, ["event-source-mappings", rest @ ..]) => self.mapping(method, rest, input),
            (&Method::GET, ["functions", name, "event-invoke-config", "list"]) => {
                one("ListFunctionEventInvokeConfigs", arn(name))
            }
            (method, ["functions", name, "event-invoke-config"]) => one(invoke_config_action(method), qualified(name)),
            (&Method::PUT, ["functions", name, "concurrency"]) => one("PutFunctionConcurrency", arn(name)),
            (&Method::DELETE, ["functions", name, "concurrency"]) => one("DeleteFunctionConcurrency", arn(name)),
            (method, ["tags", arn @ ..]) => one(tag_action(method), arn.join("/")),
            _ => one("Unknown", "*".to_owned()),
        }
    }

    /// Policies can bound which functions mappings are of; those of one that is there are known by its ARN.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html>
    fn mapping(&self, method: &Method, rest: &[&str], input: &Value) -> Vec<Required> {
        let arn = |id: &str| self.arn("lambda", &format!("event-source-mapping:{id}"));
        let (action, resource) = match (method, rest) {
            (&Method::GET, []) => ("ListEventSourceMappings", "*".to_owned()),
            (_, []) => ("CreateEventSourceMapping", "*".to_owned()),
            (&Method::GET, [id, ..]) => ("GetEventSourceMapping", arn(id)),
            (&Method::DELETE, [id, ..]) => ("DeleteEventSourceMapping", arn(id)),
            (_, [id, ..]) => ("UpdateEventSourceMapping", arn(id)),
        };
        let mut wanted = self.on(format!("lambda:{action}"), resource);
        if let Some(function) = input["FunctionName"].as_str() {
            let function = match function.starts_with("arn:") {
                true => function.to_owned(),
                false => self.arn("lambda", &format!("function:{function}")),
            };
            wanted.context.insert(FUNCTION_ARN.to_owned(), function);
        }
        let mut all = vec![wanted];
        if rest.is_empty() && input["Tags"].is_object() {
            all.push(self.on("lambda:TagResource", arn("*")));
        }
        all
    }

    /// Policies can bound whom a permission is for.
    fn add_permission(&self, resource: String, input: &Value) -> Required {
        let mut wanted = self.on("lambda:AddPermission", resource);
        for (key, member) in [
            ("lambda:principal", "Principal"),
            ("lambda:functionurlauthtype", "FunctionUrlAuthType"),
        ] {
            let value = input[member].as_str().map(|value| (key.to_owned(), value.to_owned()));
            wanted.context.extend(value);
        }
        wanted
    }
}

fn url_action(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GetFunctionUrlConfig",
        Method::POST => "CreateFunctionUrlConfig",
        Method::PUT => "UpdateFunctionUrlConfig",
        _ => "DeleteFunctionUrlConfig",
    }
}

fn invoke_config_action(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GetFunctionEventInvokeConfig",
        Method::POST => "UpdateFunctionEventInvokeConfig",
        Method::PUT => "PutFunctionEventInvokeConfig",
        _ => "DeleteFunctionEventInvokeConfig",
    }
}

fn tag_action(method: &Method) -> &'static str {
    match *method {
        Method::GET => "ListTags",
        Method::DELETE => "UntagResource",
        _ => "TagResource",
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
