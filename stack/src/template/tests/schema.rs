//! The JSON Schema says what the decoder does.

use serde_json::{Value, json};

use crate::template::{EMBEDDED, Options, Source, json_schema, load};

/// Checks a value against a schema of the keywords that ours uses; any other keyword is a failure of the test.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(schema) = schema.as_object() else {
        return schema == &json!(true);
    };
    schema.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "$id" | "$defs" | "title" | "description" | "default" => true,
        "$ref" => {
            let pointer = rule.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap();
            accepts(root, root.pointer(pointer).unwrap(), value)
        }
        "type" => match rule {
            Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
            kind => is(kind, value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "anyOf" => rule.as_array().unwrap().iter().any(|rule| accepts(root, rule, value)),
        "oneOf" => {
            rule.as_array()
                .unwrap()
                .iter()
                .filter(|rule| accepts(root, rule, value))
                .count()
                == 1
        }
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
        "maxLength" => value
            .as_str()
            .is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
        "pattern" => value
            .as_str()
            .is_none_or(|text| regex_lite::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| accepts(root, rule, item))),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "required" => value.as_object().is_none_or(|map| {
            rule.as_array()
                .unwrap()
                .iter()
                .all(|key| map.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter()
                .all(|(key, value)| rule.get(key).is_none_or(|rule| accepts(root, rule, value)))
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|map| map.keys().all(|key| accepts(root, rule, &json!(key)))),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let known = schema.get("properties").and_then(Value::as_object);
            map.iter()
                .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)))
                .all(|(_, value)| accepts(root, rule, value))
        }),
        other => panic!("the schema uses `{other}`, which this test does not know"),
    })
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}

fn valid(text: &str) -> bool {
    let schema = json_schema();
    accepts(&schema, &schema, &serde_yaml::from_str::<Value>(text).unwrap())
}

fn readable(text: &str) -> bool {
    load(&Source::new("taskctl.yaml", text), "dev", &Options::default()).is_ok()
}

#[test]
fn the_shipped_templates_follow_the_schema() {
    for template in EMBEDDED {
        assert!(valid(template.text), "{}", template.name);
    }
}

#[test]
fn schema_and_decoder_agree() {
    let base = "app: shop\nregion: eu-central-1\n";
    let check = |lines: &str, expected: bool| {
        let text = format!("{base}{lines}\n");
        assert_eq!(valid(&text), expected, "schema: {lines}");
        assert_eq!(readable(&text), expected, "decoder: {lines}");
    };
    check("", true);
    check("unknown: 1", false);
    check("tags: {team: a, cost: 5, on: true}", true);
    check("tags: {team: [a]}", false);
    check("protected: true", true);
    check("protected: 'true'", false);
    check("release: manual", true);
    check("release: {policy: canary, percent: 50, bake: 90}", true);
    check("release: {policy: canary, percent: 51}", false);
    check("release: slow", false);
    check("tables: {a: {partition_key: id}}", true);
    check("tables: {a: {partition_key: {name: id, type: number}}}", true);
    check("tables: {a: {}}", false);
    check("tables: {A: {partition_key: id}}", false);
    check("tables: {a: {partition_key: id, point_in_time_recovery: 7d}}", true);
    check("tables: {a: {partition_key: id, point_in_time_recovery: false}}", true);
    check("tables: {a: {partition_key: id, point_in_time_recovery: often}}", false);
    check("functions: {a: }", true);
    check("functions: {a: {memory: 128}}", true);
    check("functions: {a: {memory: 127}}", false);
    check("functions: {a: {memory: '128'}}", false);
    check("functions: {a: {log_level: info}}", false);
    check("functions: {a: {provisioned_concurrency: 1}}", false);
    check(
        "functions: {a: {grants: [{table: t, access: [read, get]}]}}\ntables: {t: {partition_key: id}}",
        true,
    );
    check(
        "functions: {a: {grants: [{table: t, access: read}]}}\ntables: {t: {partition_key: id}}",
        true,
    );
    check(
        "functions: {a: {grants: [{table: t, access: []}]}}\ntables: {t: {partition_key: id}}",
        false,
    );
    check(
        "functions: {a: }\napi: {routes: {GET /a: a, POST /a: {function: a, throttle: {rate: 1, burst: 1}}}}",
        true,
    );
    check("functions: {a: }\napi: {routes: {GET: a}}", false);
    check("dashboard: false", true);
    check("dashboard: {name: x-y}", true);
    check("dashboard: 1", false);
    check("stages: {dev: {functions: {a: {memory: 256}}}}\nfunctions: {a: }", true);
    check("stages: {dev: {functions: {a: null}}}\nfunctions: {a: }", true);
    check("stages: {dev: {functions: {a: {memory: 1}}}}\nfunctions: {a: }", false);
    check("stages: {dev: {app: other}}", false);
    check("defaults: {function: {memory: 256}, table: {stream: keys-only}}", true);
    check("defaults: {function: {memmory: 256}}", false);
    check("composite_alarms: null", true);
    check("composite_alarms: {}", false);
}
