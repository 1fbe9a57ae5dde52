//! The actions that calls of services take which the local target leaves to the emulator: queues, parameters, secrets, keys, state
//! machines. Of any other one the action alone is known. Pure.

use ::http::request::Parts;
use serde_json::{Value, json};

use super::iam::required::{Actions, Required};
use crate::protocol::classify::Call;

/// A question to the emulator about which resource a call is.
pub(crate) struct Question {
    /// The service that it is signed for.
    pub service: &'static str,
    pub target: &'static str,
    pub input: Value,
    /// Where the ARN stands in the answer.
    pub pointer: &'static str,
}

/// What must be asked to know the resource of a call: who calls names a secret without the end of its ARN, a key by an alias or by
/// what it has encrypted.
pub(crate) fn question(call: &Call, body: &[u8]) -> Option<Question> {
    let input: Value = serde_json::from_slice(body).ok()?;
    let by_name = |member: &str| {
        let name = input[member].as_str()?;
        (!is_whole(name)).then(|| json!({member: name}))
    };
    match call.signed_for.as_str() {
        "secretsmanager" => Some(Question {
            service: "secretsmanager",
            target: "secretsmanager.DescribeSecret",
            input: by_name("SecretId")?,
            pointer: "/ARN",
        }),
        "kms" if call.operation.as_deref() == Some("Decrypt") && input["KeyId"].is_null() => Some(Question {
            service: "kms",
            target: "TrentService.Decrypt",
            pointer: "/KeyId",
            input,
        }),
        "kms" => Some(Question {
            service: "kms",
            target: "TrentService.DescribeKey",
            input: by_name("KeyId")?,
            pointer: "/KeyMetadata/Arn",
        }),
        _ => None,
    }
}

/// An ARN of a resource itself.
fn is_whole(name: &str) -> bool {
    name.starts_with("arn:") && !name.contains(":alias/")
}

impl Actions<'_> {
    /// `found` is the resource that [`question`] asked for.
    pub(super) fn other(&self, parts: &Parts, body: &[u8], found: Option<&str>) -> Vec<Required> {
        let input: Value = match serde_json::from_slice(body) {
            Ok(input) => input,
            // The query protocol.
            Err(_) => url::form_urlencoded::parse(body)
                .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        };
        // Of a request that names two operations it is not known which one is answered.
        let named = [Some(self.operation()), input["Action"].as_str()];
        let mut operations: Vec<&str> = named.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        if operations.is_empty() {
            operations.push("");
        }
        operations.dedup();
        let one = |operation: &str| match self.call.signed_for.as_str() {
            "sqs" => vec![self.sqs(operation, parts, &input)],
            "ssm" => self.ssm(operation, &input),
            "secretsmanager" => vec![self.secret(operation, &input, found)],
            "kms" => self.keys(operation, &input, found),
            "states" => self.states(operation, &input),
            service => {
                let prefix = if service == "email" { "ses" } else { service };
                vec![self.on(format!("{prefix}:{operation}"), "*")]
            }
        };
        operations.into_iter().flat_map(one).collect()
    }

    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html>
    fn sqs(&self, operation: &str, parts: &Parts, input: &Value) -> Required {
        // A batch takes the permission for each of it.
        let action = operation.strip_suffix("Batch").unwrap_or(operation);
        let url = input["QueueUrl"].as_str().unwrap_or_else(|| parts.uri.path());
        let mut of_url = url.trim_end_matches('/').rsplit('/');
        let (name, account) = (of_url.next().unwrap_or_default(), of_url.next().unwrap_or_default());
        let resource = match (input["QueueName"].as_str(), input["SourceArn"].as_str()) {
            (Some(name), _) => self.arn("sqs", name),
            (None, Some(arn)) => arn.to_owned(),
            (None, None) if name.is_empty() || action == "ListQueues" => "*".to_owned(),
            (None, None) if account.len() == 12 => format!("arn:aws:sqs:{}:{account}:{name}", self.call.region),
            (None, None) => self.arn("sqs", name),
        };
        self.on(format!("sqs:{action}"), resource)
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html>
    fn ssm(&self, operation: &str, input: &Value) -> Vec<Required> {
        let action = format!("ssm:{operation}");
        if !operation.contains("Parameter") || operation == "DescribeParameters" {
            let resource = input["ResourceId"]
                .as_str()
                .filter(|_| input["ResourceType"] == "Parameter");
            let resource = resource.map_or_else(|| "*".to_owned(), |name| self.parameter(name));
            return vec![self.on(action, resource)];
        }
        let names = input["Names"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let one = input["Name"].as_str().or(input["Path"].as_str());
        let all: Vec<Required> = names
            .chain(one)
            .map(|name| self.on(action.clone(), self.parameter(name)))
            .collect();
        match one.filter(|_| operation == "PutParameter" && input["Tags"].is_array()) {
            // Tags take a permission of their own.
            Some(name) => {
                let tags = self.on("ssm:AddTagsToResource", self.parameter(name));
                all.into_iter().chain([tags]).collect()
            }
            None if all.is_empty() => vec![self.on(action, "*")],
            None => all,
        }
    }

    fn parameter(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        // A version or label that is asked for is no part of the name.
        let name = name.split(':').next().unwrap_or_default();
        self.arn("ssm", &format!("parameter/{}", name.trim_start_matches('/')))
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html>
    fn secret(&self, operation: &str, input: &Value, found: Option<&str>) -> Required {
        let name = input["SecretId"].as_str().or(input["Name"].as_str());
        let resource = match (found, name) {
            (Some(arn), _) => arn.to_owned(),
            (None, Some(arn)) if is_whole(arn) => arn.to_owned(),
            // The end of an ARN that is not known yet.
            (None, Some(name)) => self.arn("secretsmanager", &format!("secret:{name}-000000")),
            (None, None) => "*".to_owned(),
        };
        self.on(format!("secretsmanager:{operation}"), resource)
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html>
    fn keys(&self, operation: &str, input: &Value, found: Option<&str>) -> Vec<Required> {
        let key = |member: &str| match input[member].as_str() {
            None => "*".to_owned(),
            Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
            Some(alias) if alias.starts_with("alias/") => self.arn("kms", alias),
            Some(id) => self.arn("kms", &format!("key/{id}")),
        };
        match (operation, found) {
            ("ReEncrypt", _) => vec![
                self.on("kms:ReEncryptFrom", key("SourceKeyId")),
                self.on("kms:ReEncryptTo", key("DestinationKeyId")),
            ],
            (_, Some(arn)) => vec![self.on(format!("kms:{operation}"), arn)],
            ("CreateAlias" | "UpdateAlias", None) => vec![
                self.on(format!("kms:{operation}"), key("AliasName")),
                self.on(format!("kms:{operation}"), key("TargetKeyId")),
            ],
            ("DeleteAlias", None) => vec![self.on("kms:DeleteAlias", key("AliasName"))],
            (_, None) => vec![self.on(format!("kms:{operation}"), key("KeyId"))],
        }
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html>
    fn states(&self, operation: &str, input: &Value) -> Vec<Required> {
        let members = [
            "stateMachineArn",
            "executionArn",
            "activityArn",
            "mapRunArn",
            "resourceArn",
        ];
        let named = members.iter().find_map(|member| input[*member].as_str());
        let resource = match (named, input["name"].as_str()) {
            (Some(arn), _) => arn.to_owned(),
            (None, Some(name)) if operation == "CreateStateMachine" => {
                self.arn("states", &format!("stateMachine:{name}"))
            }
            (None, Some(name)) if operation == "CreateActivity" => self.arn("states", &format!("activity:{name}")),
            (None, _) => "*".to_owned(),
        };
        let mut all = vec![self.on(format!("states:{operation}"), resource)];
        let role = input["roleArn"].as_str();
        all.extend(role.map(|role| self.pass(role, "states.amazonaws.com")));
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use ::http::Request;

    use super::*;

    fn call(service: &str, operation: &str) -> (Parts, Call) {
        let mut request = Request::post("/");
        if !operation.is_empty() {
            request = request.header("x-amz-target", format!("X.{operation}"));
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let call = Call::of(&parts, service, "eu-central-1", "000000000000");
        (parts, call)
    }

    fn check(service: &str, operation: &str, body: &str, expected: &[(&str, &str)]) {
        let (parts, call) = call(service, operation);
        let all = Actions { call: &call }.other(&parts, body.as_bytes(), None);
        let all: Vec<(&str, &str)> = all.iter().map(|one| (&*one.action, &*one.resource)).collect();
        assert_eq!(all, expected, "{body}");
    }

    #[test]
    fn calls_are_about_their_queue_parameter_secret_key_and_state_machine() {
        let queue = "arn:aws:sqs:eu-central-1:000000000000:q";
        let url = "https://sqs.eu-central-1.amazonaws.com/000000000000/q";
        check(
            "sqs",
            "SendMessageBatch",
            &format!(r#"{{"QueueUrl": "{url}"}}"#),
            &[("sqs:SendMessage", queue)],
        );
        check(
            "sqs",
            "GetQueueUrl",
            r#"{"QueueName": "q"}"#,
            &[("sqs:GetQueueUrl", queue)],
        );
        check(
            "sqs",
            "",
            &format!("Action=ReceiveMessage&QueueUrl={url}"),
            &[("sqs:ReceiveMessage", queue)],
        );
        check("sqs", "ListQueues", "{}", &[("sqs:ListQueues", "*")]);
        let parameter = |name: &str| format!("arn:aws:ssm:eu-central-1:000000000000:parameter/{name}");
        let (a, b) = (parameter("app/a"), parameter("b"));
        check(
            "ssm",
            "GetParameters",
            r#"{"Names": ["/app/a:live", "b:3"]}"#,
            &[("ssm:GetParameters", &a), ("ssm:GetParameters", &b)],
        );
        check(
            "ssm",
            "GetParametersByPath",
            r#"{"Path": "/app/a"}"#,
            &[("ssm:GetParametersByPath", &a)],
        );
        let put = r#"{"Name": "/app/a", "Tags": []}"#;
        check(
            "ssm",
            "PutParameter",
            put,
            &[("ssm:PutParameter", &a), ("ssm:AddTagsToResource", &a)],
        );
        check("ssm", "DescribeParameters", "{}", &[("ssm:DescribeParameters", "*")]);
        let secret = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:s-AbCdEf";
        check(
            "secretsmanager",
            "GetSecretValue",
            &format!(r#"{{"SecretId": "{secret}"}}"#),
            &[("secretsmanager:GetSecretValue", secret)],
        );
        let key = "arn:aws:kms:eu-central-1:000000000000:key/k";
        check("kms", "Encrypt", r#"{"KeyId": "k"}"#, &[("kms:Encrypt", key)]);
        let machine = "arn:aws:states:eu-central-1:000000000000:stateMachine:m";
        check(
            "states",
            "StartExecution",
            &format!(r#"{{"stateMachineArn": "{machine}"}}"#),
            &[("states:StartExecution", machine)],
        );
        let made = r#"{"name": "m", "roleArn": "arn:r"}"#;
        check(
            "states",
            "CreateStateMachine",
            made,
            &[("states:CreateStateMachine", machine), ("iam:PassRole", "arn:r")],
        );
        check("email", "SendEmail", "{}", &[("ses:SendEmail", "*")]);
    }

    #[test]
    fn who_names_a_secret_or_a_key_otherwise_is_asked_about_it() {
        let target = |service: &str, operation: &str, body: &str| {
            let (_, call) = call(service, operation);
            question(&call, body.as_bytes()).map(|question| question.target)
        };
        assert_eq!(
            target("secretsmanager", "GetSecretValue", r#"{"SecretId": "s"}"#),
            Some("secretsmanager.DescribeSecret")
        );
        assert_eq!(
            target("kms", "Encrypt", r#"{"KeyId": "alias/a"}"#),
            Some("TrentService.DescribeKey")
        );
        assert_eq!(
            target("kms", "Decrypt", r#"{"CiphertextBlob": "x"}"#),
            Some("TrentService.Decrypt")
        );
        assert_eq!(
            target("kms", "Encrypt", r#"{"KeyId": "arn:aws:kms:eu-central-1:0:key/k"}"#),
            None
        );
        assert_eq!(target("sqs", "SendMessage", "{}"), None);
    }
}
