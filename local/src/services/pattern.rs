//! Event patterns: which events a filter takes. Pure.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>

use serde_json::{Map, Value};

use super::iam::wildcard;

/// A pattern that can be matched.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern {
    members: Map<String, Value>,
}

impl Pattern {
    /// Reads a pattern; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Ok(Value::Object(members)) = serde_json::from_str(text) else {
            return None;
        };
        is_pattern(&members).then_some(Self { members })
    }

    /// What it says about a member of an event.
    pub(super) fn of(&self, member: &str) -> Option<&Value> {
        self.members.get(member)
    }

    pub(super) fn matches(&self, event: &Value) -> bool {
        fits(&self.members, event)
    }
}

fn is_pattern(members: &Map<String, Value>) -> bool {
    !members.is_empty()
        && members.iter().all(|(name, value)| match (name.as_str(), value) {
            ("$or", Value::Array(choices)) => {
                let is_choice = |choice: &Value| choice.as_object().is_some_and(is_pattern);
                choices.len() > 1 && choices.iter().all(is_choice)
            }
            (_, Value::Array(wanted)) => !wanted.is_empty() && wanted.iter().all(is_rule),
            (_, Value::Object(members)) => is_pattern(members),
            _ => false,
        })
}

/// A value that must be there, or an operator.
fn is_rule(rule: &Value) -> bool {
    let Value::Object(operator) = rule else {
        return !rule.is_array();
    };
    let Some((name, operand)) = operator.iter().next().filter(|_| operator.len() == 1) else {
        return false;
    };
    match name.as_str() {
        "prefix" | "suffix" => {
            let ignoring_case = operand["equals-ignore-case"].is_string();
            operand.is_string() || ignoring_case
        }
        "equals-ignore-case" | "wildcard" => operand.is_string(),
        "exists" => operand.is_boolean(),
        "anything-but" => match operand {
            Value::Array(values) => values.iter().all(|value| value.is_string() || value.is_number()),
            Value::Object(operator) => {
                let names = ["prefix", "suffix", "equals-ignore-case", "wildcard"];
                operator.len() == 1 && operator.keys().all(|name| names.contains(&name.as_str()))
            }
            value => value.is_string() || value.is_number(),
        },
        "numeric" => operand.as_array().is_some_and(|parts| {
            let pair = |pair: &[Value]| {
                let operator = pair[0].as_str().unwrap_or_default();
                pair.len() == 2 && ["=", "<", "<=", ">", ">="].contains(&operator) && pair[1].is_number()
            };
            !parts.is_empty() && parts.chunks(2).all(pair)
        }),
        _ => false,
    }
}

fn fits(members: &Map<String, Value>, event: &Value) -> bool {
    members.iter().all(|(name, wanted)| match (name.as_str(), wanted) {
        ("$or", Value::Array(choices)) => choices.iter().filter_map(Value::as_object).any(|one| fits(one, event)),
        (_, Value::Object(members)) => match event.get(name) {
            // Of a list one element must be such.
            Some(Value::Array(elements)) => elements.iter().any(|element| fits(members, element)),
            Some(found) => fits(members, found),
            None => fits(members, &Value::Null),
        },
        (_, Value::Array(rules)) => rules.iter().any(|rule| holds(rule, event.get(name))),
        _ => false,
    })
}

fn holds(rule: &Value, found: Option<&Value>) -> bool {
    let operator = rule.as_object().and_then(|operator| operator.iter().next());
    if let Some(("exists", wanted)) = operator.map(|(name, wanted)| (name.as_str(), wanted)) {
        // Only leaves count.
        let is_leaf = found.is_some_and(|found| !found.is_object());
        return Value::Bool(is_leaf) == *wanted;
    }
    match found {
        None | Some(Value::Object(_)) => false,
        Some(Value::Array(elements)) => elements.iter().any(|element| holds(rule, Some(element))),
        Some(found) => match operator {
            Some((name, operand)) => satisfies(name, operand, found),
            None => are_equal(rule, found),
        },
    }
}

fn satisfies(operator: &str, operand: &Value, found: &Value) -> bool {
    let texts = || Some((operand.as_str()?, found.as_str()?));
    let ignoring_case = || Some((operand["equals-ignore-case"].as_str()?, found.as_str()?));
    let lower = |(operand, found): (&str, &str)| (operand.to_lowercase(), found.to_lowercase());
    match operator {
        "prefix" => {
            texts().is_some_and(|(start, text)| text.starts_with(start))
                || ignoring_case()
                    .map(lower)
                    .is_some_and(|(start, text)| text.starts_with(&start))
        }
        "suffix" => {
            texts().is_some_and(|(end, text)| text.ends_with(end))
                || ignoring_case()
                    .map(lower)
                    .is_some_and(|(end, text)| text.ends_with(&end))
        }
        "equals-ignore-case" => texts().map(lower).is_some_and(|(wanted, text)| wanted == text),
        "wildcard" => texts().is_some_and(|(pattern, text)| wildcard::matches(&pattern.replace('?', "\u{0}"), text)),
        "anything-but" => match operand {
            Value::Array(values) => !values.iter().any(|value| are_equal(value, found)),
            Value::Object(inner) => !inner.iter().any(|(name, operand)| match operand {
                Value::Array(operands) => operands.iter().any(|operand| satisfies(name, operand, found)),
                operand => satisfies(name, operand, found),
            }),
            value => !are_equal(value, found),
        },
        "numeric" => is_in_range(operand.as_array().map(Vec::as_slice).unwrap_or_default(), found),
        _ => false,
    }
}

/// Numbers are compared by value: 300 is 300.0.
fn are_equal(wanted: &Value, found: &Value) -> bool {
    match (wanted.as_f64(), found.as_f64()) {
        (Some(wanted), Some(found)) => wanted.total_cmp(&found).is_eq(),
        _ => wanted == found,
    }
}

/// Numbers in text count, too: those of DynamoDB's records are written so.
fn is_in_range(parts: &[Value], found: &Value) -> bool {
    let number = found.as_f64().or_else(|| found.as_str()?.parse().ok());
    number.is_some_and(|number| {
        parts.chunks(2).all(|pair| {
            let bound = pair[1].as_f64().unwrap_or_default();
            match pair[0].as_str() {
                Some("=") => number.total_cmp(&bound).is_eq(),
                Some("<") => number < bound,
                Some("<=") => number <= bound,
                Some(">") => number > bound,
                Some(">=") => number >= bound,
                _ => false,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;

    fn check(pattern: Value, event: Value, expected: bool) {
        let parsed = Pattern::parse(&pattern.to_string()).unwrap();
        assert_eq!(parsed.matches(&event), expected, "{pattern} {event}");
    }

    #[test]
    fn values_and_lists() {
        check(json!({"a": ["x", 1]}), json!({"a": "x"}), true);
        check(json!({"a": ["x", 1]}), json!({"a": 1.0}), true);
        check(json!({"a": ["x"]}), json!({"a": "y"}), false);
        check(json!({"a": ["x"], "b": ["y"]}), json!({"a": "x"}), false);
        check(json!({"a": ["x"]}), json!({"a": ["w", "x"]}), true);
        check(json!({"a": {"b": [null]}}), json!({"a": {"b": null}}), true);
        check(json!({"a": {"b": ["x"]}}), json!({"a": [{"b": "w"}, {"b": "x"}]}), true);
        check(json!({"$or": [{"a": ["x"]}, {"b": ["y"]}]}), json!({"b": "y"}), true);
    }

    #[test]
    fn operators() {
        let holds = |rule: Value, found: Value, expected| check(json!({"a": [rule]}), json!({"a": found}), expected);
        holds(json!({"prefix": "ab"}), json!("abc"), true);
        holds(json!({"suffix": "bc"}), json!("abc"), true);
        holds(json!({"prefix": {"equals-ignore-case": "AB"}}), json!("abc"), true);
        holds(json!({"equals-ignore-case": "ABC"}), json!("abc"), true);
        holds(json!({"wildcard": "a*c"}), json!("abbc"), true);
        holds(json!({"wildcard": "a?c"}), json!("abc"), false);
        holds(json!({"anything-but": ["x", "y"]}), json!("z"), true);
        holds(json!({"anything-but": "x"}), json!("x"), false);
        holds(json!({"anything-but": {"prefix": "x"}}), json!("xy"), false);
        holds(json!({"numeric": [">", 0, "<=", 5]}), json!(5), true);
        holds(json!({"numeric": [">", 100]}), json!("101"), true);
        holds(json!({"numeric": ["=", 3]}), json!("x"), false);
        holds(json!({"exists": true}), json!("x"), true);
        check(json!({"a": [{"exists": false}]}), json!({}), true);
        check(json!({"a": [{"exists": false}]}), json!({"a": 1}), false);
        check(json!({"a": {"b": [{"exists": false}]}}), json!({}), true);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"a": "x"}"#,
            r#"{"a": []}"#,
            r#"{"a": [["x"]]}"#,
            r#"{"a": [{"near": "x"}]}"#,
            r#"{"a": [{"numeric": ["<"]}]}"#,
            r#"{"$or": [{"a": ["x"]}]}"#,
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
