//! The JSON Schema of the template language (draft 2020-12), for completion and checks in editors. Made from the same
//! description as the decoder.

use serde_json::{Map, Value, json};

use super::grammar::{Decode, FieldShape, Presence, RecordShape, Shape};
use super::language::StackSource;

/// Name of the schema; the number rises when a template that was right becomes wrong.
const ID: &str = "urn:taskctl:template:1";

/// The JSON Schema of a template, as `taskctl schema` prints it.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = Definitions::default();
    let Value::Object(root) = definitions.of(&<StackSource as Decode>::shape()) else {
        return Value::Null;
    };
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("$id".to_owned(), json!(ID));
    schema.insert("title".to_owned(), json!("taskctl template"));
    schema.extend(root);
    schema.insert("$defs".to_owned(), Value::Object(definitions.done));
    Value::Object(schema)
}

/// Records by name, each described once and referred to.
#[derive(Default)]
struct Definitions {
    done: Map<String, Value>,
}

impl Definitions {
    fn of(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Text { what, pattern, longest } => {
                let mut schema = json!({ "type": "string", "description": what, "maxLength": longest });
                if let Some(pattern) = pattern {
                    schema["pattern"] = json!(pattern);
                }
                schema
            }
            Shape::AnyScalar { what, longest } => {
                json!({ "type": ["string", "number", "boolean"], "description": what, "maxLength": longest })
            }
            Shape::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Shape::Number => json!({ "type": "number" }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::OneOf(words) => {
                let words = words
                    .iter()
                    .map(|(word, doc)| json!({ "const": word, "description": doc }));
                json!({ "oneOf": words.collect::<Vec<_>>() })
            }
            Shape::Duration { least, most, unit } => json!({ "anyOf": [
                {
                    "type": "string", "pattern": "^[0-9]+[smhd]?$",
                    "description": format!("a duration such as 30s, 5m, 1h or 30d; {least} to {most} {unit}"),
                },
                { "type": "integer", "minimum": least, "maximum": most, "description": unit },
            ]}),
            Shape::List(item) => json!({ "type": "array", "items": self.of(item) }),
            Shape::OneOrMore(item) => {
                let item = self.of(item);
                json!({ "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] })
            }
            Shape::Named {
                rule,
                pattern,
                longest,
                value,
            } => {
                let mut names = json!({ "description": rule, "maxLength": longest });
                if let Some(pattern) = pattern {
                    names["pattern"] = json!(pattern);
                }
                json!({ "type": "object", "propertyNames": names, "additionalProperties": self.of(value) })
            }
            Shape::Record(record) => self.record(record, Completeness::Whole, &[]),
            Shape::Patch { of, without } => self.record(of, Completeness::Patch, without),
            Shape::Switch(settings) => json!({ "anyOf": [{ "type": "boolean" }, self.of(settings)] }),
            Shape::Short { key: _, short, long } => json!({ "anyOf": [self.of(short), self.of(long)] }),
            Shape::Reserved => json!({ "description": "reserved: not yet built", "enum": [null, false] }),
        }
    }

    /// A reference to a record, described when it is first met.
    fn record(&mut self, record: &RecordShape, completeness: Completeness, without: &[&str]) -> Value {
        let name = match completeness {
            Completeness::Whole => record.title.replace(' ', "-"),
            Completeness::Patch => format!("{}-patch", record.title.replace(' ', "-")),
        };
        if !self.done.contains_key(&name) {
            // Known before it is described, because a stage describes a patch of the stack that holds it.
            self.done.insert(name.clone(), Value::Null);
            let described = self.describe(record, completeness, without);
            self.done.insert(name.clone(), described);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn describe(&mut self, record: &RecordShape, completeness: Completeness, without: &[&str]) -> Value {
        let fields = (record.fields)();
        let fields = fields.iter().filter(|field| !without.contains(&field.key));
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let shape = match completeness {
                Completeness::Whole => field.shape.clone(),
                Completeness::Patch => patched(field.shape.clone()),
            };
            let mut schema = with_words(self.of(&shape), field);
            match completeness {
                Completeness::Whole if field.presence == Presence::Required => required.push(field.key),
                Completeness::Whole => {}
                Completeness::Patch => schema = json!({ "anyOf": [schema, { "type": "null" }] }),
            }
            properties.insert(field.key.to_owned(), schema);
        }
        // A name with nothing behind it has all its settings at their defaults.
        let kind = if required.is_empty() {
            json!(["object", "null"])
        } else {
            json!("object")
        };
        let mut schema = json!({
            "description": one_line(record.doc), "type": kind, "properties": properties, "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }
}

/// Whether keys that a record needs have to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completeness {
    Whole,
    Patch,
}

/// The look of a value inside a patch: mappings are patches themselves, lists are replaced as a whole.
fn patched(shape: Shape) -> Shape {
    match shape {
        Shape::Record(of) => Shape::Patch { of, without: &[] },
        Shape::Named {
            rule,
            pattern,
            longest,
            value,
        } => Shape::Named {
            rule,
            pattern,
            longest,
            value: Box::new(patched(*value)),
        },
        Shape::Switch(settings) => Shape::Switch(Box::new(patched(*settings))),
        Shape::Short { key, short, long } => Shape::Short {
            key,
            short,
            long: Box::new(patched(*long)),
        },
        other => other,
    }
}

/// A schema with the words of its key, and its default.
fn with_words(schema: Value, field: &FieldShape) -> Value {
    let mut schema = match schema {
        Value::Object(schema) => schema,
        other => return other,
    };
    schema.insert("description".to_owned(), json!(one_line(field.doc)));
    if let Presence::Default(default) = field.presence
        && let Ok(default) = serde_yaml::from_str::<Value>(default)
    {
        schema.insert("default".to_owned(), default);
    }
    Value::Object(schema)
}

/// A doc comment on one line.
pub(super) fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
