//! Assertions about an answer: the same list is judged here and written into a Postman collection.

use std::fmt;
use std::time::Duration;

use regex_lite::Regex;
use serde_json::Value;

use crate::path::Path;
use crate::run::Incoming;

/// One assertion.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// The subject.
    pub subject: Subject,
    /// What must hold.
    pub test: Test,
}

/// The subject of an assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The status.
    Status,
    /// The time until the answer was there.
    Latency,
    /// A header.
    Header(String),
    /// A place in the JSON body.
    Json(Path),
    /// The body as text.
    Body,
}

/// What must hold.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is this.
    Equals(Value),
    /// It is one of these.
    OneOf(Vec<Value>),
    /// Its text matches.
    Matches(String),
    /// It is there, or is not.
    Present(bool),
    /// Its JSON type.
    Type(JsonType),
    /// Its text, or one of its elements, is this.
    Contains(Value),
    /// Its text, or its elements, are not this.
    Lacks(Value),
    /// At least.
    Min(f64),
    /// At most.
    Max(f64),
    /// Fewest elements or characters.
    MinLength(u64),
    /// Most elements or characters.
    MaxLength(u64),
    /// It came within this time.
    Within(Duration),
    /// It fits a JSON Schema, which has a name for people.
    Schema(String, Value),
}

/// A JSON type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonType {
    /// Text.
    String,
    /// Number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Array.
    Array,
    /// Object.
    Object,
    /// `null`.
    Null,
}

impl JsonType {
    /// As in JSON Schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Null => "null",
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Latency => f.write_str("answered"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Json(path) => write!(f, "{path}"),
            Self::Body => f.write_str("body"),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, test } = self;
        match test {
            Test::Equals(Value::String(text)) if text.is_empty() => write!(f, "{subject} is empty"),
            Test::Equals(value) => write!(f, "{subject} is {}", shown(value)),
            Test::OneOf(values) => {
                let values: Vec<String> = values.iter().map(shown).collect();
                write!(f, "{subject} is {}", values.join(" or "))
            }
            Test::Matches(pattern) => write!(f, "{subject} matches {pattern}"),
            Test::Present(true) => write!(f, "{subject} is there"),
            Test::Present(false) => write!(f, "{subject} is not there"),
            Test::Type(kind) => write!(f, "{subject} is of type {}", kind.as_str()),
            Test::Contains(value) => write!(f, "{subject} contains {}", shown(value)),
            Test::Lacks(value) => write!(f, "{subject} does not contain {}", shown(value)),
            Test::Min(least) => write!(f, "{subject} is at least {least}"),
            Test::Max(most) => write!(f, "{subject} is at most {most}"),
            Test::MinLength(least) => write!(f, "{subject} has at least {least}"),
            Test::MaxLength(most) => write!(f, "{subject} has at most {most}"),
            Test::Within(limit) => write!(f, "answered within {} ms", limit.as_millis()),
            Test::Schema(name, _) => write!(f, "{subject} fits {name}"),
        }
    }
}

impl Assertion {
    /// Judges an answer. An error says what was expected of what, and what was seen instead.
    pub(crate) fn judge(&self, answer: &Incoming) -> Result<(), String> {
        let subject = &self.subject;
        self.holds(answer).map_err(|failure| match subject {
            Subject::Latency => failure,
            subject => format!("{subject}: {failure}"),
        })
    }

    fn holds(&self, answer: &Incoming) -> Result<(), String> {
        match &self.subject {
            Subject::Status => self.test.holds(Some(&Value::from(answer.status))),
            Subject::Latency => match &self.test {
                Test::Within(limit) if answer.elapsed <= *limit => Ok(()),
                Test::Within(limit) => Err(format!(
                    "answered in {} ms, limit {} ms",
                    answer.elapsed.as_millis(),
                    limit.as_millis()
                )),
                _ => Err(format!("answered in {} ms", answer.elapsed.as_millis())),
            },
            Subject::Header(name) => self.test.holds(answer.header(name).map(Value::from).as_ref()),
            Subject::Json(path) => match answer.json() {
                Some(json) => self.test.holds(path.of(&json)),
                None => Err("the body is not JSON".to_owned()),
            },
            Subject::Body => match &self.test {
                Test::Schema(_, schema) => match answer.json() {
                    Some(json) => fits(schema, &json),
                    None => Err("the body is not JSON".to_owned()),
                },
                test => test.holds(Some(&Value::from(String::from_utf8_lossy(&answer.body)))),
            },
        }
    }
}

impl Test {
    fn holds(&self, seen: Option<&Value>) -> Result<(), String> {
        let holds = match (self, seen) {
            (Self::Present(wanted), seen) => seen.is_some() == *wanted,
            (_, None) => return Err(format!("expected {}, but it is missing", self.wanted())),
            (Self::Equals(wanted), Some(seen)) => equal(wanted, seen),
            (Self::OneOf(wanted), Some(seen)) => wanted.iter().any(|one| equal(one, seen)),
            (Self::Matches(pattern), Some(seen)) => {
                let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
                pattern.is_match(&text(seen))
            }
            (Self::Type(kind), Some(seen)) => JsonType::of(seen) == *kind,
            (Self::Contains(wanted), Some(seen)) => contains(seen, wanted),
            (Self::Lacks(wanted), Some(seen)) => !contains(seen, wanted),
            (Self::Min(least), Some(seen)) => seen.as_f64().is_some_and(|seen| seen >= *least),
            (Self::Max(most), Some(seen)) => seen.as_f64().is_some_and(|seen| seen <= *most),
            (Self::MinLength(least), Some(seen)) => length(seen).is_some_and(|seen| seen >= *least),
            (Self::MaxLength(most), Some(seen)) => length(seen).is_some_and(|seen| seen <= *most),
            (Self::Within(_), Some(_)) => false,
            (Self::Schema(_, schema), Some(seen)) => return fits(schema, seen),
        };
        match (holds, seen) {
            (true, _) => Ok(()),
            (false, Some(seen)) => Err(format!("expected {}, got {}", self.wanted(), shown(seen))),
            (false, None) => Err(format!("expected {}, but it is missing", self.wanted())),
        }
    }

    /// What is expected, after the word.
    fn wanted(&self) -> String {
        match self {
            Self::Equals(Value::String(text)) if text.is_empty() => "nothing".to_owned(),
            Self::Equals(value) => shown(value),
            Self::OneOf(values) => values.iter().map(shown).collect::<Vec<_>>().join(" or "),
            Self::Matches(pattern) => format!("a match of {pattern}"),
            Self::Present(true) => "a value".to_owned(),
            Self::Present(false) => "no value".to_owned(),
            Self::Type(kind) => format!("type {}", kind.as_str()),
            Self::Contains(value) => format!("something that contains {}", shown(value)),
            Self::Lacks(value) => format!("something without {}", shown(value)),
            Self::Min(least) => format!("at least {least}"),
            Self::Max(most) => format!("at most {most}"),
            Self::MinLength(least) => format!("a length of at least {least}"),
            Self::MaxLength(most) => format!("a length of at most {most}"),
            Self::Within(limit) => format!("an answer within {} ms", limit.as_millis()),
            Self::Schema(name, _) => format!("what fits {name}"),
        }
    }
}

fn equal(wanted: &Value, seen: &Value) -> bool {
    match (wanted.as_f64(), seen.as_f64()) {
        (Some(wanted), Some(seen)) => wanted == seen,
        _ => wanted == seen,
    }
}

fn contains(seen: &Value, wanted: &Value) -> bool {
    match seen {
        Value::Array(items) => items.iter().any(|item| equal(wanted, item)),
        other => text(other).contains(&text(wanted)),
    }
}

fn length(value: &Value) -> Option<u64> {
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        _ => return None,
    };
    u64::try_from(length).ok()
}

fn fits(schema: &Value, seen: &Value) -> Result<(), String> {
    let schema = jsonschema::validator_for(schema).map_err(|error| format!("the schema is invalid: {error}"))?;
    match schema.iter_errors(seen).next() {
        None => Ok(()),
        Some(error) => Err(format!("{} {error}", error.instance_path())),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value as people read it, cut where it is long.
fn shown(value: &Value) -> String {
    const MOST: usize = 120;
    let text = text(value);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_test_holds_and_fails() {
        let cases: Vec<(Test, Value, Value)> = vec![
            (Test::Equals(json!(1)), json!(1.0), json!(2)),
            (Test::OneOf(vec![json!("a"), json!("b")]), json!("b"), json!("c")),
            (Test::Matches("^a+$".into()), json!("aa"), json!("ab")),
            (Test::Type(JsonType::Array), json!([]), json!({})),
            (Test::Contains(json!("b")), json!("abc"), json!("ac")),
            (Test::Contains(json!(2)), json!([1, 2]), json!([1])),
            (Test::Lacks(json!("b")), json!("ac"), json!("abc")),
            (Test::Min(2.0), json!(2), json!(1)),
            (Test::Max(2.0), json!(2), json!(3)),
            (Test::MinLength(1), json!(["a"]), json!([])),
            (Test::MaxLength(1), json!("ä"), json!("ab")),
            (
                Test::Schema("x".into(), json!({"type": "string"})),
                json!("a"),
                json!(1),
            ),
        ];
        for (test, right, wrong) in cases {
            assert_eq!(test.holds(Some(&right)), Ok(()), "{test:?}");
            assert!(test.holds(Some(&wrong)).is_err(), "{test:?}");
            assert!(test.holds(None).is_err(), "{test:?}");
        }
        assert!(Test::Present(false).holds(None).is_ok() && Test::Present(true).holds(None).is_err());
    }
}
