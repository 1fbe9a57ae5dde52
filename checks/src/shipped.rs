//! The checks of the shipped functions, and the document that their answers are held against.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::model::{Parts, Suite, parse};

/// The API's OpenAPI document.
pub const OPENAPI: &str = include_str!("../../docs/openapi.yaml");

/// The shipped files: name and text.
pub const FILES: [(&str, &str); 7] = [
    ("hello.yaml", include_str!("../../templates/checks/hello.yaml")),
    ("tasks.yaml", include_str!("../../templates/checks/tasks.yaml")),
    ("users.yaml", include_str!("../../templates/checks/users.yaml")),
    ("assets.yaml", include_str!("../../templates/checks/assets.yaml")),
    ("counter.yaml", include_str!("../../templates/checks/counter.yaml")),
    ("health.yaml", include_str!("../../templates/checks/health.yaml")),
    (
        "visitor-counter.yaml",
        include_str!("../../templates/checks/visitor-counter.yaml"),
    ),
];

/// The shipped checks that apply to a stack.
pub fn shipped(stack: &impl Parts) -> Vec<Suite> {
    let suites = FILES.iter().filter_map(|(name, text)| parse(name, text).ok());
    suites.filter(|suite| suite.applies(stack)).collect()
}

/// A schema of the API's document, with all that it refers to.
pub(crate) fn component(name: &str) -> Option<Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_yaml::from_str(OPENAPI).unwrap_or_default());
    let schemas = DOCUMENT.pointer("/components/schemas")?.as_object()?;
    let mut needed = std::collections::BTreeMap::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        if needed.contains_key(&next) {
            continue;
        }
        let schema = local(schemas.get(&next)?);
        names(&schema, &mut open);
        needed.insert(next, schema);
    }
    Some(json!({"$ref": format!("#/definitions/{name}"), "definitions": needed}))
}

/// References into the schema itself instead of into the document.
fn local(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(text)) => (
                    key.clone(),
                    json!(text.replace("#/components/schemas/", "#/definitions/")),
                ),
                _ => (key.clone(), local(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(local).collect(),
        other => other.clone(),
    }
}

fn names(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix("#/definitions/")) {
                    Some(name) if key == "$ref" => found.push(name.to_owned()),
                    _ => names(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::Folder;

    /// Functions and routes.
    struct Stack<'a>(&'a [&'a str], &'a [&'a str]);

    impl Parts for Stack<'_> {
        fn has_function(&self, name: &str) -> bool {
            self.0.contains(&name)
        }

        fn has_route(&self, key: &str) -> bool {
            self.1.contains(&key)
        }
    }

    #[test]
    fn a_visitor_counter_is_checked_by_36_assertions_of_every_sort() {
        let suites = shipped(&Stack(
            &["counter", "health"],
            &["GET /counter", "GET /health", "$default"],
        ));
        let own = suites.iter().find(|suite| suite.name == "visitor-counter").unwrap();
        let asserted: usize = own.checks.iter().map(|check| check.assertions.len()).sum();
        assert!(asserted >= 36, "{asserted}");
        for folder in Folder::ALL {
            assert!(own.checks.iter().any(|check| check.folder == folder), "{folder:?}");
        }
        // Where the gateway itself answers other paths, with 404, they do not apply.
        let others = shipped(&Stack(&["counter", "health"], &["GET /counter", "GET /health"]));
        assert!(others.iter().all(|suite| suite.name != "visitor-counter"));
    }

    #[test]
    fn every_shipped_check_is_right_and_there_are_enough() {
        for (name, text) in FILES {
            parse(name, text).unwrap();
        }
        let suites = shipped(&Stack(
            &["hello", "tasks", "users", "assets", "counter", "health"],
            &["$default"],
        ));
        assert_eq!(suites.len(), FILES.len());
        let checks: Vec<_> = suites.iter().flat_map(|suite| &suite.checks).collect();
        let assertions: usize = checks.iter().map(|check| check.assertions.len()).sum();
        assert!(assertions >= 36, "{assertions}");
        for folder in Folder::ALL {
            assert!(checks.iter().any(|check| check.folder == folder), "{folder:?}");
        }
        assert!(shipped(&Stack(&["health"], &[])).len() == 1);
    }

    #[test]
    fn a_schema_carries_what_it_refers_to() {
        let schema = component("TaskList").unwrap();
        assert!(schema["definitions"]["Task"].is_object());
        assert!(jsonschema::validator_for(&schema).is_ok());
        assert!(component("Nothing").is_none());
    }
}
