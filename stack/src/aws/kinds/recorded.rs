//! Answers that real AWS gave, through the reader of each kind: none fails, also where AWS has learnt members and values since that
//! are not known here. `tests/fixtures/aws/README.md` says where they are from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kind::AnyKind;
use super::registry::registry;
use crate::aws::client::context::tests::{context_over, identity};
use crate::aws::client::fake::{self, Call, cbor};
use crate::aws::read::reader::Reader;
use crate::resource::ResourceId;

/// A recorded answer: JSON as it is, XML as text.
#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    kind: String,
    call: String,
    body: Value,
    test: String,
}

fn recorded() -> Vec<Recorded> {
    let text = include_str!("../../../../tests/fixtures/aws/reads.jsonl");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("each line is one")
}

/// `dynamodb.DescribeTable`, as the recordings name a call.
fn name_of(call: &Call) -> String {
    let service = match call.service.as_str() {
        "monitoring" => "cloudwatch",
        other => other,
    };
    let is_asked = |key: &str| call.fields.contains_key(key);
    let operation = match (service, call.operation.as_str()) {
        ("lambda", path) if path.ends_with("/policy") => "GetPolicy",
        ("lambda", path) if path.ends_with("/urls") => "ListFunctionUrlConfigs",
        ("lambda", path) if path.ends_with("/aliases") => "ListAliases",
        ("lambda", path) if path.starts_with("GET /2015-03-31/functions/") => "GetFunction",
        ("s3", _) => {
            let subresources = [
                ("lifecycle", "GetBucketLifecycleConfiguration"),
                ("publicAccessBlock", "GetPublicAccessBlock"),
                ("ownershipControls", "GetBucketOwnershipControls"),
                ("policy", "GetBucketPolicy"),
                ("encryption", "GetBucketEncryption"),
                ("versioning", "GetBucketVersioning"),
                ("cors", "GetBucketCors"),
                ("tagging", "GetBucketTagging"),
                ("website", "GetBucketWebsite"),
            ];
            let found = subresources.into_iter().find(|(key, _)| is_asked(key));
            found.map_or("", |(_, operation)| operation)
        }
        (_, operation) => operation,
    };
    format!("{service}.{operation}")
}

/// What a call for which there is no recording gets: nothing is there.
fn nothing(call: &Call) -> (u16, Vec<u8>) {
    match (call.service.as_str(), call.operation.as_str()) {
        ("tagging", _) => (200, br#"{"ResourceTagMappingList":[]}"#.to_vec()),
        ("iam" | "sns", operation) => {
            let body = format!("<{operation}Response><{operation}Result></{operation}Result></{operation}Response>");
            (200, body.into_bytes())
        }
        ("s3", _) => (
            404,
            b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>".to_vec(),
        ),
        ("monitoring", _) => (200, cbor(&json!({}))),
        _ => (200, b"{}".to_vec()),
    }
}

/// As the service writes it.
fn wire(service: &str, body: &Value) -> Vec<u8> {
    match body {
        Value::String(text) => text.clone().into_bytes(),
        body if service == "cloudwatch" => cbor(body),
        body => body.to_string().into_bytes(),
    }
}

/// Values of enumerations in the recordings, but for states, which decide whether something is waited for.
const VALUES: [&str; 22] = [
    "PAY_PER_REQUEST",
    "KEYS_ONLY",
    "ALL",
    "NEW_AND_OLD_IMAGES",
    "STANDARD_INFREQUENT_ACCESS",
    "STANDARD",
    "KMS",
    "x86_64",
    "PassThrough",
    "Text",
    "JSON",
    "Zip",
    "Image",
    "Enabled",
    "Suspended",
    "BucketOwnerEnforced",
    "ObjectWriter",
    "AES256",
    "aws:kms",
    "GreaterThanThreshold",
    "BUFFERED",
    "Sum",
];

const ADDED: &str = "<AddedLater><Value>new</Value></AddedLater>";

/// The answer of an AWS that is some years older.
fn of_later(body: &Value) -> Value {
    match body {
        Value::Object(all) if all.contains_key("$time") => body.clone(),
        Value::Object(all) => {
            let all = all.iter().map(|(key, value)| (key.clone(), of_later(value)));
            all.chain([("AddedLater".to_owned(), json!({"Value": ["new"]}))])
                .collect()
        }
        Value::Array(all) => all.iter().map(of_later).collect(),
        Value::String(text) if VALUES.contains(&text.as_str()) => "ADDED_LATER".into(),
        Value::String(text) if text.starts_with('<') => {
            let text = VALUES.iter().fold(text.clone(), |text, value| {
                text.replace(&format!(">{value}<"), ">ADDED_LATER<")
            });
            // In what the answer is about, and in all that it lists.
            let start = if text.contains("Result><") { "Result><" } else { "><" };
            let text = text.replacen(start, &format!("{}{ADDED}<", start.trim_end_matches('<')), 1);
            text.replace("<member><", &format!("<member>{ADDED}<")).into()
        }
        other => other.clone(),
    }
}

/// Maps have keys of people: there is nothing to add to them.
const MAPS: [&str; 3] = ["Variables", "tags", "Tags"];

fn later(body: &Value) -> Value {
    let mut later = of_later(body);
    clear_maps(&mut later);
    later
}

fn clear_maps(body: &mut Value) {
    match body {
        Value::Object(all) => {
            for (key, value) in all.iter_mut() {
                if let Value::Object(map) = value
                    && MAPS.contains(&key.as_str())
                {
                    map.remove("AddedLater");
                }
                clear_maps(value);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(clear_maps),
        _ => {}
    }
}

/// Reads a kind's fullest example where AWS gives these answers; what it observed, and which calls were answered so.
async fn read(kind: &dyn AnyKind, answers: BTreeMap<String, Value>) -> (Result<Option<Value>, String>, Vec<String>) {
    let desired = kind.examples().pop().expect("there is one");
    let name = desired["name"].as_str().unwrap_or_default().to_owned();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let clients = fake::clients("eu-central-1", move |call| {
        let called = name_of(&call);
        match answers.get(&called) {
            Some(body) => {
                let named = body.to_string().replace("<name>", &name);
                let body = serde_json::from_str(&named).expect("a name needs no escapes");
                let service = called.split('.').next().unwrap_or_default().to_owned();
                seen.lock().push(called);
                (200, wire(&service, &body))
            }
            None => nothing(&call),
        }
    });
    // What is there is asked for, whatever listings show.
    let reader = Reader::confirming(context_over(identity(), clients));
    let id = ResourceId::new(kind.spec().name, "tasks");
    let read = tokio::time::timeout(Duration::from_secs(3600), kind.read(&reader, &id, &desired)).await;
    let observed = read.expect("it ends").map_err(|error| error.to_string());
    let observed = observed.map(|observed| observed.map(|observed| observed.model));
    (observed, std::mem::take(&mut *asked.lock()))
}

/// What is other than in the first answer, which is whole.
fn beyond(first: &mut Value, observed: Value) -> Value {
    match (&first, &observed) {
        (Value::Object(first), Value::Object(now)) => {
            let changed = now.iter().filter(|(key, value)| first.get(*key) != Some(value));
            changed.map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        _ => {
            first.clone_from(&observed);
            observed
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_aws_answers_is_read_now_and_later() {
    let all = recorded();
    let mut shown = String::new();
    let mut firsts = BTreeMap::new();
    for (place, one) in all.iter().enumerate() {
        let kind = registry().kind(&one.kind);
        // Beside it, of each other call the first answer.
        let mut answers = BTreeMap::new();
        for other in all.iter().rev().filter(|other| other.kind == one.kind) {
            answers.insert(other.call.clone(), other.body.clone());
        }
        answers.insert(one.call.clone(), one.body.clone());
        let what = format!("line {}: {} {}", place + 1, one.call, one.test);
        let (observed, asked) = read(kind, answers.clone()).await;
        let observed = observed.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(asked.contains(&one.call), "{what}: it is not asked for: {asked:?}");
        let first = firsts.entry(one.kind.clone()).or_insert(Value::Null);
        shown.push_str(&format!(
            "{} {}\n  {}\n",
            one.kind,
            one.call,
            beyond(first, json!(observed))
        ));
        answers.insert(one.call.clone(), later(&one.body));
        let (observed, _) = read(kind, answers).await;
        observed.unwrap_or_else(|error| panic!("{what}, later: {error}"));
    }
    insta::assert_snapshot!(shown);
}
