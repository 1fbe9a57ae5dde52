//! What programs read: every answer and every event with `--output json` is as its schema says, and nothing more.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use taskctl_tests::Project;

/// Names of definitions that stand for a part of an object.
fn parts_of_objects(schema: &Value, found: &mut BTreeSet<String>) {
    let Some(object) = schema.as_object() else {
        schema
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|one| parts_of_objects(one, found));
        return;
    };
    if object.contains_key("properties") {
        for combinator in ["oneOf", "anyOf", "allOf"] {
            references(object.get(combinator).unwrap_or(&Value::Null), found);
        }
        if let Some(Value::String(name)) = object.get("$ref") {
            found.insert(name.clone());
        }
    }
    object.values().for_each(|one| parts_of_objects(one, found));
}

fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(all) => all.iter().for_each(|one| references(one, found)),
        Value::Object(object) => {
            if let Some(Value::String(name)) = object.get("$ref") {
                found.insert(name.clone());
            }
        }
        _ => {}
    }
}

/// Lets objects have no properties but those the schema names.
fn close(schema: &mut Value, is_part: bool, open: &BTreeSet<String>) {
    let Some(object) = schema.as_object_mut() else { return };
    for combinator in ["oneOf", "anyOf", "allOf"] {
        let is_object = object.contains_key("properties") || is_part;
        let inner = object.get_mut(combinator).and_then(Value::as_array_mut);
        inner.into_iter().flatten().for_each(|one| close(one, is_object, open));
    }
    for members in ["properties", "$defs"] {
        let inner = object.get_mut(members).and_then(Value::as_object_mut);
        for (name, one) in inner.into_iter().flatten() {
            let is_open = members == "$defs" && open.contains(&format!("#/$defs/{name}"));
            close(one, is_open, open);
        }
    }
    for single in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(single) {
            close(inner, false, open);
        }
    }
    if object.contains_key("properties") && !is_part {
        object.entry("unevaluatedProperties").or_insert(json!(false));
    }
}

struct Schemas<'a> {
    project: &'a Project,
}

impl Schemas<'_> {
    fn of(&self, name: &str) -> Validator {
        let mut schema: Value = serde_json::from_str(&self.project.run(&["schema", name]).expect(0).out).unwrap();
        let mut open = BTreeSet::new();
        parts_of_objects(&schema, &mut open);
        close(&mut schema, false, &open);
        jsonschema::validator_for(&schema).unwrap()
    }

    #[track_caller]
    fn check(&self, name: &str, values: &[Value]) {
        let validator = self.of(name);
        assert!(!values.is_empty(), "{name} says something");
        for value in values {
            let faults: Vec<String> = validator
                .iter_errors(value)
                .map(|fault| format!("{} at {}", fault, fault.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{name}: {}\n{value:#}", faults.join("\n"));
        }
    }
}

/// A second of load.
const LOAD: [&str; 9] = [
    "load",
    "--users",
    "2",
    "--duration",
    "1s",
    "--warm-up",
    "0s",
    "--request",
    "GET /health",
];

/// Runs a command; its standard output is one value.
#[track_caller]
fn answer(project: &Project, arguments: &[&str], code: i32) -> Value {
    let run = project.run(&[arguments, &["--output", "json"]].concat()).expect(code);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error} in {}", run.out))
}

#[test]
fn a_closed_schema_lets_nothing_else_through() {
    let mut schema = json!({
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/B"}},
        "oneOf": [{"properties": {"kind": {"const": "x"}}}, {"$ref": "#/$defs/Part"}],
        "$defs": {"B": {"type": "object", "properties": {"c": {}}}, "Part": {"properties": {"kind": {"const": "y"}, "d": {}}}},
    });
    let mut open = BTreeSet::new();
    parts_of_objects(&schema, &mut open);
    assert_eq!(open, BTreeSet::from(["#/$defs/Part".to_owned()]));
    close(&mut schema, false, &open);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for good in [
        json!({"a": 1, "kind": "x", "b": {"c": 1}}),
        json!({"kind": "y", "d": 1}),
    ] {
        assert!(validator.is_valid(&good), "{good}");
    }
    for bad in [
        json!({"kind": "x", "d": 1}),
        json!({"kind": "x", "b": {"e": 1}}),
        json!({"kind": "x", "z": 1}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn programs_get_what_the_schemas_say() {
    let project = Project::platform("answered");
    let schemas = Schemas { project: &project };
    let events = |arguments: &[&str], code: i32| {
        let run = project.run(&[arguments, &["--output", "json"]].concat()).expect(code);
        schemas.check("events", &run.events());
        run.events()
    };
    let nothing = project.directory().join("nothing").to_string_lossy().into_owned();
    let down = project.local.run_with(
        &["local", "down", "--output", "json"],
        project.directory(),
        &[("TASKCTL_LOCAL_ROOT", &nothing)],
    );
    schemas.check("events", &down.expect(0).events());
    events(&["plan"], 2);
    let deployed = events(&["deploy", "--trace"], 0);
    let kinds: BTreeSet<&str> = deployed.iter().filter_map(|event| event["event"].as_str()).collect();
    assert!(
        kinds.contains("call") && kinds.contains("action-finished") && kinds.contains("finished"),
        "{kinds:?}"
    );
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    events(&["deploy", "--no-promote"], 0);
    events(&["promote", "--yes"], 0);
    events(&["rollback", "--yes"], 0);
    // An error is an event, too: of the template, and of the stage.
    project.write("app: 1");
    let failed = events(&["plan"], 1);
    assert!(
        failed.iter().any(|event| event["template"]["faults"].is_array()),
        "{failed:?}"
    );
    project.write(&text);
    events(&["rollback", "--to", "77", "--yes"], 1);

    for (name, arguments) in [
        ("status", &["status"] as &[&str]),
        ("metrics", &["metrics"]),
        ("alarms", &["alarms", "--history"]),
        ("releases", &["releases"]),
        ("check", &["check", "--security", "--folder", "security"]),
        ("check", &["check"]),
        ("load", &LOAD),
        ("invoke", &["invoke", "counter", "--route", "GET /counter"]),
        ("dashboard", &["dashboard"]),
        ("templates", &["templates"]),
        ("unlock", &["unlock"]),
        ("local-status", &["local", "status"]),
        ("local-status", &["local", "up"]),
        ("local-list", &["local", "list"]),
    ] {
        schemas.check(name, &[answer(&project, arguments, 0)]);
    }
    // Whether this machine has all it needs is not the question.
    let run = project.run(&["doctor", "--output", "json"]);
    schemas.check("doctor", &[serde_json::from_str(&run.out).unwrap()]);
    let lines = project.run(&["logs", "--output", "json"]).expect(0);
    let lines: Vec<Value> = lines
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    schemas.check("logs", &lines);
    events(&["prune", "--yes"], 0);
    events(&["destroy", "--yes", "--delete-data", "all"], 0);
}

#[test]
fn a_missed_threshold_stands_beside_the_answer() {
    let project = Project::platform("missed");
    project.run(&["deploy"]).expect(0);
    let threshold = ["--p99", "0.001ms", "--output", "json"];
    let run = project.run(&[&LOAD as &[&str], &threshold].concat()).expect(4);
    let report: Map<String, Value> = serde_json::from_str(&run.out).unwrap();
    assert!(report.contains_key("latency"));
    let error: Value = serde_json::from_str(run.err.lines().last().unwrap()).unwrap();
    assert_eq!(
        (error["event"].as_str(), error["exit"].as_u64()),
        (Some("error"), Some(4))
    );
}
