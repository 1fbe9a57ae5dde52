//! The local target answers as AWS does: recorded errors and answers of AWS, and the requests that bring the same about here.
//! `tests/fixtures/aws/README.md` says where they are from.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use taskctl_local::Credentials;
use taskctl_local::signing::{Payload, Scope, Signable, signed_headers};
use taskctl_tests::{Local, eventually, repository};

const REGION: &str = "eu-central-1";
const FUNCTIONS: &str = "/2015-03-31/functions";
const CLOUDWATCH: &str = "GraniteServiceVersion20100801";
const BUCKET: &str = "parity-bucket";
const PATIENCE: Duration = Duration::from_secs(20);

/// Shares of the replayed errors and answers that must be equal, in percent.
const CODES: usize = 90;
const MESSAGES: usize = 80;
const MEMBERS: usize = 90;

/// The local target and what the requests are about.
struct World {
    local: Arc<Local>,
    agent: ureq::Agent,
    credentials: Credentials,
}

/// What a request gave.
struct Answer {
    status: u16,
    /// Of the header that names an error.
    kind: Option<String>,
    body: String,
}

impl World {
    fn new() -> Self {
        let local = Local::shared();
        let (access_key_id, secret_access_key) = local.credentials();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self {
            local,
            agent: config.build().into(),
            credentials: Credentials {
                access_key_id,
                secret_access_key,
                session_token: None,
            },
        }
    }

    /// Sends a request, signed for a service.
    fn call(&self, service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = format!("{}{path}", self.local.endpoint());
        let scope = Scope {
            region: REGION,
            service,
            time: SystemTime::now(),
        };
        let signable = Signable {
            method,
            url: &url,
            headers,
            body: Payload::Bytes(body.as_bytes()),
        };
        let signed = signed_headers(&self.credentials, scope, signable).unwrap();
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        let signed = signed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in headers.iter().copied().chain(signed) {
            request = request.header(name, value);
        }
        let mut answer = match body {
            "" => self.agent.run(request.body(()).unwrap()).unwrap(),
            body => self.agent.run(request.body(body.to_owned()).unwrap()).unwrap(),
        };
        let kind = answer.headers().get("x-amzn-errortype");
        Answer {
            status: answer.status().as_u16(),
            kind: kind.map(|kind| kind.to_str().unwrap().to_owned()),
            body: answer.body_mut().read_to_string().unwrap(),
        }
    }

    /// Sends a request of a fixture.
    fn send(&self, service: &str, request: &Value) -> Answer {
        let service = match service {
            "cloudwatch" => "monitoring",
            "resourcegroupstaggingapi" => "tagging",
            other => other,
        };
        for before in request["before"].as_array().into_iter().flatten() {
            self.send(service, before).done();
        }
        let body = filled(&request["body"]);
        let answer = match (request["target"].as_str(), request["form"].as_object()) {
            (Some(target), _) => {
                let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
                self.call(service, "POST", "/", &headers, &body.to_string())
            }
            (None, Some(form)) => {
                let version = match service {
                    "iam" => "2010-05-08",
                    "sts" => "2011-06-15",
                    _ => "2010-03-31",
                };
                let members = form
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
                let body = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(members.chain([("Version", version)]))
                    .finish();
                let headers = [("content-type", "application/x-www-form-urlencoded")];
                self.call(service, "POST", "/", &headers, &body)
            }
            (None, None) => {
                let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
                let body = if body.is_null() {
                    String::new()
                } else {
                    body.to_string()
                };
                self.call(service, method, path, &[], &body)
            }
        };
        match &request["wait"] {
            Value::String(name) => self.ready(name),
            Value::Bool(true) => self.ready("parity"),
            _ => (),
        }
        answer
    }

    /// The same target as a role with this policy, and no other permission.
    fn acting_as(&self, role: &str, statements: Value) -> Self {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        self.form(
            "iam",
            json!({"Action": "CreateRole", "RoleName": role, "AssumeRolePolicyDocument": trust}),
        );
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let put = json!({"Action": "PutRolePolicy", "RoleName": role, "PolicyName": "p", "PolicyDocument": policy});
        self.form("iam", put);
        let arn = format!("arn:aws:iam::000000000000:role/{role}");
        let assume = json!({"form": {"Action": "AssumeRole", "RoleArn": arn, "RoleSessionName": "s"}});
        let given = self.send("sts", &assume).done();
        let element = |name: &str| given.element(name).unwrap();
        Self {
            local: Arc::clone(&self.local),
            agent: self.agent.clone(),
            credentials: Credentials {
                access_key_id: element("AccessKeyId"),
                secret_access_key: element("SecretAccessKey"),
                session_token: Some(element("SessionToken")),
            },
        }
    }

    /// A call of Lambda that succeeds.
    fn lambda(&self, method: &str, path: &str, body: Value) -> Value {
        let request = json!({"method": method, "path": path, "body": body});
        self.send("lambda", &request).done().value()
    }

    fn json(&self, service: &str, target: &str, body: Value) -> Value {
        let request = json!({"target": target, "body": body});
        self.send(service, &request).done().value()
    }

    fn form(&self, service: &str, members: Value) {
        self.send(service, &json!({"form": members})).done();
    }

    /// Waits until a function is active and its last change in effect.
    fn ready(&self, name: &str) {
        eventually(name, PATIENCE, || {
            let shown = self.lambda("GET", &format!("{FUNCTIONS}/{name}/configuration"), json!(null));
            (shown["State"] == "Active" && shown["LastUpdateStatus"] == "Successful").then_some(())
        });
    }

    /// Makes what the requests of the fixtures are about.
    fn furnish(&self) {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        self.form(
            "iam",
            json!({"Action": "CreateRole", "RoleName": "parity", "AssumeRolePolicyDocument": trust}),
        );
        let location = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        self.call("s3", "PUT", &format!("/{BUCKET}"), &[], &location).done();
        self.form(
            "sns",
            json!({"Action": "CreateTopic", "Name": "parity", "Tags.member.1.Key": "a", "Tags.member.1.Value": "b"}),
        );
        self.json(
            "logs",
            "Logs_20140328.CreateLogGroup",
            json!({"logGroupName": "/parity"}),
        );
        self.functions();
        self.alarms();
    }

    fn functions(&self) {
        for name in ["parity", "parity-bare", "parity-off"] {
            let mut input = json!({
                "FunctionName": name, "Runtime": "provided.al2023", "Role": "$role", "Handler": "bootstrap",
                "Code": {"ZipFile": "$zip"},
            });
            if name == "parity" {
                input["Environment"] = json!({"Variables": {"A": "a"}});
                input["Tags"] = json!({"parity": "yes"});
            }
            let made = self.lambda("POST", FUNCTIONS, input);
            assert_eq!(made["State"], "Pending", "{made}");
            self.ready(name);
        }
        let at = |rest: &str| format!("{FUNCTIONS}/parity{rest}");
        self.lambda("POST", &at("/versions"), json!({}));
        self.lambda("PUT", &at("/code"), json!({"ZipFile": "$other"}));
        self.ready("parity");
        self.lambda("POST", &at("/versions"), json!({}));
        self.lambda("PUT", &at("/code"), json!({"ZipFile": "$zip"}));
        self.ready("parity");
        for name in ["custom", "policed"] {
            self.lambda("POST", &at("/aliases"), json!({"Name": name, "FunctionVersion": "1"}));
        }
        for path in ["/policy", "/policy?Qualifier=policed"] {
            let mut permission =
                json!({"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"});
            self.lambda("POST", &at(path), permission.clone());
            permission["StatementId"] = json!("with-source");
            permission["SourceArn"] = json!("arn:aws:s3:::b");
            self.lambda("POST", &at(path), permission);
        }
        self.lambda("POST", "/2021-10-31/functions/parity/url", json!({"AuthType": "NONE"}));
        let off = json!({"ReservedConcurrentExecutions": 0});
        self.lambda("PUT", "/2017-10-31/functions/parity-off/concurrency", off);
    }

    fn alarms(&self) {
        let alarm = |name: &str, more: Value| {
            let mut input = json!({
                "AlarmName": format!("parity-{name}"), "Namespace": "Parity", "MetricName": "M", "Statistic": "Sum", "Period": 60,
                "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
            });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            self.json("cloudwatch", &format!("{CLOUDWATCH}.PutMetricAlarm"), input);
        };
        let topic = json!([format!("arn:aws:sns:{REGION}:000000000000:parity")]);
        let full = |dimension: &str| {
            json!({
                "AlarmDescription": "d", "AlarmActions": topic, "OKActions": topic, "TreatMissingData": "breaching",
                "Dimensions": [{"Name": "D", "Value": dimension}],
            })
        };
        alarm("bare", json!({"MetricName": "N"}));
        let mut measured = full("measured");
        measured["Unit"] = json!("Seconds");
        measured["TreatMissingData"] = json!("missing");
        alarm("measured", measured);
        let mut breaching = full("none");
        breaching["Unit"] = json!("Seconds");
        alarm("breaching", breaching);
        let mut set = full("set");
        set["Unit"] = json!("Percent");
        set["TreatMissingData"] = json!("ignore");
        set["Tags"] = json!([{"Key": "a", "Value": "b"}]);
        alarm("set", set);
        let now = jiff::Timestamp::now().as_second();
        let datum = json!({"MetricName": "M", "Dimensions": [{"Name": "D", "Value": "measured"}], "Value": 2.0, "Unit": "Seconds", "Timestamp": now});
        let data = json!({"Namespace": "Parity", "MetricData": [datum]});
        self.json("cloudwatch", &format!("{CLOUDWATCH}.PutMetricData"), data);
        let state = json!({"AlarmName": "parity-set", "StateValue": "OK", "StateReason": "resetting alarm"});
        self.json("cloudwatch", &format!("{CLOUDWATCH}.SetAlarmState"), state);
        eventually("alarms that go off", PATIENCE, || {
            let input = json!({"AlarmNamePrefix": "parity-", "StateValue": "ALARM"});
            let found = self.json("cloudwatch", &format!("{CLOUDWATCH}.DescribeAlarms"), input);
            (found["MetricAlarms"].as_array()?.len() == 2).then_some(())
        });
    }
}

impl Answer {
    #[track_caller]
    fn done(self) -> Self {
        assert!(self.status < 300, "{} {}", self.status, self.body);
        self
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// What stands in an element of XML.
    fn element(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    }

    fn code(&self) -> String {
        let body = self.value();
        let named = self.kind.as_deref().or(body["__type"].as_str());
        let named = named.map(str::to_owned).or_else(|| self.element("Code"));
        let named = named.unwrap_or_default();
        let last = named.rsplit('#').next().unwrap_or_default();
        last.split([':', ';']).next().unwrap_or_default().to_owned()
    }

    fn message(&self) -> String {
        let body = self.value();
        let text = body["message"].as_str().or(body["Message"].as_str());
        text.map(str::to_owned)
            .or_else(|| self.element("Message"))
            .unwrap_or_default()
    }
}

/// A body with what the test made in place of its names.
fn filled(body: &Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    match body {
        Value::String(text) => match text.as_str() {
            "$zip" => json!(package("one")),
            "$other" => json!(package("two")),
            "$role" => json!("arn:aws:iam::000000000000:role/parity"),
            "$bucket" => json!(BUCKET),
            "$start" => json!(now - 600),
            "$end" => json!(now + 60),
            _ => body.clone(),
        },
        Value::Array(items) => items.iter().map(filled).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled(value)))
            .collect(),
        other => other.clone(),
    }
}

/// A deployment package of this content.
fn package(content: &str) -> String {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(content.as_bytes()).unwrap();
    BASE64.encode(zip.finish().unwrap().into_inner())
}

fn lines(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository().join("tests/fixtures/aws").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a message is the recorded one, whatever stands where it has a placeholder.
fn is_recorded(recorded: &str, message: &str) -> bool {
    let varies = r"<[A-Za-z0-9_-]+>|111111111111|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let varies = regex_lite::Regex::new(varies).unwrap();
    let mut pattern = String::from("(?s)^");
    let mut place = 0;
    for found in varies.find_iter(recorded) {
        pattern.push_str(&regex_lite::escape(&recorded[place..found.start()]));
        pattern.push_str(".+?");
        place = found.end();
    }
    pattern.push_str(&regex_lite::escape(&recorded[place..]));
    pattern.push('$');
    regex_lite::Regex::new(&pattern).unwrap().is_match(message)
}

/// The paths of all members; JSON in a text counts as what it says, members of maps are `*`.
fn members(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    const MAPS: [&str; 3] = [".Tags", ".Variables", ".AdditionalVersionWeights"];
    match value {
        Value::Object(members_of) => {
            let is_map = MAPS.iter().any(|map| at.ends_with(map));
            for (name, value) in members_of {
                let path = if is_map {
                    format!("{at}.*")
                } else {
                    format!("{at}.{name}")
                };
                found.insert(path.clone());
                members(value, &path, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                let path = format!("{at}[]");
                found.insert(path.clone());
                members(item, &path, found);
            }
        }
        Value::String(text) if text.starts_with('{') => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                members(&inner, at, found);
            }
        }
        _ => (),
    }
}

/// What has other members than the recorded answer. Below a member that was recorded without content nothing is known.
fn other_members(recorded: &Value, answer: &Answer) -> Vec<String> {
    let texts = |name: &str| -> BTreeSet<String> {
        let all = recorded[name].as_array().into_iter().flatten();
        all.map(|path| path.as_str().unwrap().to_owned()).collect()
    };
    let (expected, also) = (texts("members"), texts("also"));
    let mut found = BTreeSet::new();
    members(&answer.value(), "", &mut found);
    let is_below = |path: &str, leaf: &String| {
        path.strip_prefix(leaf.as_str())
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    let is_leaf = |path: &&String| !expected.iter().any(|other| is_below(other, path));
    let leaves: Vec<&String> = expected.iter().filter(is_leaf).collect();
    let missing = expected.difference(&found).map(|path| format!("no {path}"));
    let spare = found.difference(&expected).filter(|path| !also.contains(*path));
    let spare = spare.filter(|path| !leaves.iter().any(|leaf| is_below(path, leaf)));
    missing.chain(spare.map(|path| format!("spare {path}"))).collect()
}

/// How many of all are equal, in percent.
fn share(equal: usize, all: usize) -> usize {
    equal * 100 / all.max(1)
}

/// Notes a difference that is not marked in the fixture, or a mark without one.
fn note(notes: &mut Vec<String>, line: &Value, difference: &str) {
    let name = format!(
        "{} ({})",
        line["operation"].as_str().unwrap_or("?"),
        line["test"].as_str().unwrap()
    );
    match (line["differs"].as_str(), difference) {
        (Some(why), "") => notes.push(format!("{name} is as recorded, and marked: {why}")),
        (None, difference) if !difference.is_empty() => notes.push(format!("{name}: {difference}")),
        _ => (),
    }
}

fn errors(world: &World, notes: &mut Vec<String>) -> (usize, usize, usize) {
    let (mut all, mut codes, mut messages) = (0, 0, 0);
    for line in lines("errors.jsonl") {
        if line["request"].is_null() {
            assert!(line["skip"].is_string(), "neither request nor reason: {line}");
            continue;
        }
        all += 1;
        let send = || world.send(line["service"].as_str().unwrap(), &line["request"]);
        let mut answer = send();
        // On a busy machine a change may be in effect before the request that it is to refuse.
        for _ in 0..20 {
            if line["request"]["before"].is_null() || line["status"] == answer.status {
                break;
            }
            answer = send();
        }
        let (code, message) = (answer.code(), answer.message());
        let status = line["status"]
            .as_u64()
            .is_none_or(|status| status == u64::from(answer.status));
        let same_code = status && line["code"] == code.as_str();
        let recorded = line["message"].as_str().unwrap_or_default();
        let same_message = is_recorded(recorded, &message);
        let same_type = line["type"] == answer.value()["Type"];
        codes += usize::from(same_code);
        messages += usize::from(same_message);
        let difference = match same_code && same_message && same_type {
            true => String::new(),
            false => format!(
                "\n  recorded {} {} {} {recorded}\n  here     {} {code} {} {message}",
                line["status"],
                line["code"],
                line["type"],
                answer.status,
                answer.value()["Type"]
            ),
        };
        note(notes, &line, &difference);
    }
    (all, codes, messages)
}

fn answers(world: &World, notes: &mut Vec<String>) -> (usize, usize) {
    let (mut all, mut equal) = (0, 0);
    for line in lines("answers.jsonl") {
        all += 1;
        let answer = world.send(line["service"].as_str().unwrap(), &line["request"]);
        let mut different = other_members(&line, &answer);
        if line["status"] != answer.status {
            different.push(format!("{} {}", answer.status, answer.body));
        }
        equal += usize::from(different.is_empty());
        note(notes, &line, &different.join(", "));
    }
    (all, equal)
}

#[test]
fn the_local_target_answers_as_aws_was_recorded_to() {
    let world = World::new();
    world.furnish();
    let mut notes = Vec::new();
    let (replayed, codes, messages) = errors(&world, &mut notes);
    let (asked, equal) = answers(&world, &mut notes);
    println!(
        "{replayed} errors: {}% equal in status and code, {}% in message; {asked} answers: {}% equal in members",
        share(codes, replayed),
        share(messages, replayed),
        share(equal, asked)
    );
    assert!(notes.is_empty(), "{} unmarked:\n{}", notes.len(), notes.join("\n"));
    assert!(share(codes, replayed) >= CODES, "{codes} of {replayed}");
    assert!(share(messages, replayed) >= MESSAGES, "{messages} of {replayed}");
    assert!(share(equal, asked) >= MEMBERS, "{equal} of {asked}");
}

#[test]
fn grants_of_queues_parameters_secrets_keys_and_state_machines_are_asked_for() {
    let operator = World::new();
    let arn = |service: &str, resource: &str| format!("arn:aws:{service}:{REGION}:000000000000:{resource}");
    let queue = |name: &str| {
        let made = operator.json("sqs", "AmazonSQS.CreateQueue", json!({"QueueName": name}));
        made["QueueUrl"].as_str().unwrap().to_owned()
    };
    let (own, other) = (queue("parity-own"), queue("parity-other"));
    for name in ["parity-own", "parity-other"] {
        operator.json(
            "secretsmanager",
            "secretsmanager.CreateSecret",
            json!({"Name": name, "SecretString": "s"}),
        );
        operator.json(
            "ssm",
            "AmazonSSM.PutParameter",
            json!({"Name": name, "Value": "v", "Type": "String"}),
        );
    }
    let allow = |action: &str, resource: String| json!({"Effect": "Allow", "Action": action, "Resource": resource});
    let statements = json!([
        allow("sqs:SendMessage", arn("sqs", "parity-own")),
        allow("ssm:GetParameter", arn("ssm", "parameter/parity-own")),
        allow(
            "secretsmanager:GetSecretValue",
            arn("secretsmanager", "secret:parity-own-??????")
        ),
        allow("dynamodb:ListTables", "*".to_owned()),
        json!({"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}),
    ]);
    let role = operator.acting_as("parity-caller", statements);
    let check = |service: &str, target: &str, body: Value, allowed: bool| {
        let answer = role.send(service, &json!({"target": target, "body": body}));
        assert_eq!(
            answer.status < 300,
            allowed,
            "{target} {body}: {} {}",
            answer.status,
            answer.body
        );
        assert!(
            allowed || answer.code().starts_with("AccessDenied"),
            "{target}: {}",
            answer.body
        );
    };
    check(
        "sqs",
        "AmazonSQS.SendMessage",
        json!({"QueueUrl": own, "MessageBody": "m"}),
        true,
    );
    check(
        "sqs",
        "AmazonSQS.SendMessage",
        json!({"QueueUrl": other, "MessageBody": "m"}),
        false,
    );
    check("sqs", "AmazonSQS.DeleteQueue", json!({"QueueUrl": own}), false);
    check("ssm", "AmazonSSM.GetParameter", json!({"Name": "parity-own"}), true);
    check("ssm", "AmazonSSM.GetParameter", json!({"Name": "parity-other"}), false);
    check(
        "secretsmanager",
        "secretsmanager.GetSecretValue",
        json!({"SecretId": "parity-own"}),
        true,
    );
    check(
        "secretsmanager",
        "secretsmanager.GetSecretValue",
        json!({"SecretId": "parity-other"}),
        false,
    );
    check("kms", "TrentService.ListKeys", json!({}), false);
    check("states", "AWSStepFunctions.ListStateMachines", json!({}), false);
    check("dynamodb", "DynamoDB_20120810.ListTables", json!({}), false);
}

#[test]
fn placeholders_stand_for_what_varies() {
    assert!(is_recorded(
        "Function not found: arn:<partition>:1 (a)",
        "Function not found: arn:aws:1 (a)"
    ));
    assert!(is_recorded("of 111111111111", "of 000000000000"));
    assert!(!is_recorded("Function <a>", "Functions x"));
    assert!(!is_recorded("", "x"));
}
