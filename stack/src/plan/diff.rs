//! Field-by-field difference of two models, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Path in the model, e.g. `indexes.email-index.projection`.
    pub field: String,
    /// Value on AWS; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Value in the template; none when it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// What the change does to the resource.
    pub effect: Effect,
    /// Whether it follows from another change of the resource, so that people need not read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub implied: bool,
}

/// What changing a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It is changed in place.
    InPlace,
    /// AWS cannot change it: the index that it is of is deleted and built again, while the table stays.
    RebuildIndex,
    /// AWS cannot change it: the table's stream ends and another one begins, while the table stays. Turning a stream on or off is a
    /// change in place.
    ReplaceStream,
    /// AWS cannot change it: the resource is replaced.
    Replace,
}

/// Whether a field's value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// Shown.
    Plain,
    /// Only that it is there, and that it changes.
    Hidden,
}

/// The differences from `before` to `after`, by path. Objects are walked; everything else is compared whole.
/// `effect` and `sensitivity` are asked for each differing path.
pub fn diff(
    before: &Value,
    after: &Value,
    effect: &dyn Fn(&str) -> Effect,
    sensitivity: &dyn Fn(&str) -> Sensitivity,
) -> Vec<Change> {
    let mut changes = Vec::new();
    walk("", Some(before), Some(after), &mut |path, before, after| {
        let show = |value: Option<&Value>, mark| value.map(|value| shown(path, value, sensitivity, mark));
        let mark = if before.is_some() { CHANGED } else { HIDDEN };
        changes.push(Change {
            field: path.to_owned(),
            before: show(before, HIDDEN),
            after: show(after, mark),
            effect: effect(path),
            implied: false,
        });
    });
    changes
}

/// Null, empty objects and empty arrays all mean "not set".
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Takes a differing path with its values.
type Visit<'a> = &'a mut dyn FnMut(&str, Option<&Value>, Option<&Value>);

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, found: Visit<'_>) {
    let before = before.filter(|value| !is_unset(value));
    let after = after.filter(|value| !is_unset(value));
    match (before, after) {
        (None, None) => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old
                .keys()
                .chain(new.keys().filter(|key| !old.contains_key(*key)))
                .collect();
            keys.sort();
            for key in keys {
                let child = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                walk(&child, old.get(key), new.get(key), found);
            }
        }
        (Some(old), Some(new)) if equal(old, new) => {}
        (before, after) => found(path, before, after),
    }
}

/// Equality with numbers compared by value (`5` = `5.0`).
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).all(|key| match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) => equal(a, b),
            (one, other) => one.is_none_or(is_unset) && other.is_none_or(is_unset),
        }),
        (a, b) => a == b,
    }
}

/// Shown instead of a hidden value. Not a hash of it: whoever reads a plan could try guesses against that.
const HIDDEN: &str = "(hidden)";
/// Shown instead of the value that replaces a hidden one.
const CHANGED: &str = "(hidden, changed)";

/// A value without what is hidden in it, however deep.
fn shown(path: &str, value: &Value, sensitivity: &dyn Fn(&str) -> Sensitivity, mark: &str) -> Value {
    if sensitivity(path) == Sensitivity::Hidden {
        return Value::String(mark.to_owned());
    }
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let inner = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                (name.clone(), shown(&inner, value, sensitivity, mark))
            })
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(before: &Value, after: &Value, expected: &[&str]) {
        let found: Vec<String> = diff(before, after, &|_| Effect::InPlace, &|_| Sensitivity::Plain)
            .into_iter()
            .map(|change| {
                let show = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
                format!("{}: {} → {}", change.field, show(change.before), show(change.after))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn fields_are_compared_by_path() {
        check(&json!({"a": 1}), &json!({"a": 1.0}), &[]);
        check(&json!({"a": null, "b": {}}), &json!({"c": []}), &[]);
        check(
            &json!({"a": {"b": 1, "c": 2}}),
            &json!({"a": {"b": 3}}),
            &["a.b: 1 → 3", "a.c: 2 → -"],
        );
        check(&json!({"a": [1, 2]}), &json!({"a": [2, 1]}), &["a: [1,2] → [2,1]"]);
    }

    #[test]
    fn hidden_values_never_show() {
        let changes = diff(
            &json!({"environment": {"TOKEN": "old-secret"}}),
            &json!({"environment": {"TOKEN": "new-secret"}}),
            &|_| Effect::InPlace,
            &|path| {
                if path.starts_with("environment.") {
                    Sensitivity::Hidden
                } else {
                    Sensitivity::Plain
                }
            },
        );
        let text = serde_json::to_string(&changes).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_ne!(changes[0].before, changes[0].after);
    }

    /// Two runs that hide different values look the same: nothing in a plan shows which guess is right.
    #[test]
    fn a_plan_is_no_oracle_for_hidden_values() {
        let plan = |before: &Value, secret: &str| {
            let after = json!({"environment": {"TOKEN": secret}, "size": 1});
            let changes = diff(before, &after, &|_| Effect::InPlace, &|path| {
                if path.starts_with("environment.") {
                    Sensitivity::Hidden
                } else {
                    Sensitivity::Plain
                }
            });
            serde_json::to_string(&changes).unwrap()
        };
        for before in [
            json!({}),
            json!({"size": 2}),
            json!({"environment": {"TOKEN": "old"}, "size": 2}),
        ] {
            assert_eq!(plan(&before, "hunter2"), plan(&before, "correct horse"));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(v in value()) {
            prop_assert!(diff(&v, &v, &|_| Effect::InPlace, &|_| Sensitivity::Plain).is_empty());
        }

        #[test]
        fn both_directions_name_the_same_fields(a in value(), b in value()) {
            let fields = |x: &Value, y: &Value| -> Vec<String> {
                diff(x, y, &|_| Effect::InPlace, &|_| Sensitivity::Plain).into_iter().map(|c| c.field).collect()
            };
            prop_assert_eq!(fields(&a, &b), fields(&b, &a));
        }
    }
}
