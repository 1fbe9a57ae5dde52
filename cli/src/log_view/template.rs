//! Fields of log lines, alone and in texts of the operator's own.

use serde_json::{Map, Value};
use taskctl_stack::observe::logs::LogEvent;

use crate::failure::Failure;
use crate::log_line::{self, Line};
use crate::ui::text::plain;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Field(String),
}

/// Reads `'{time} {route}'`. Doubled braces are literal.
pub fn parse(template: &str) -> Result<Vec<Piece>, Failure> {
    let wrong = |what: &str| {
        Failure::usage(
            format!("the template has {what}"),
            "for example: --template '{time} {source} {message}'; write {{ and }} for braces",
        )
    };
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '{' | '}' if rest.next_if_eq(&character).is_some() => text.push(character),
            '{' => {
                let mut field = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some(character) => field.push(character),
                        None => return Err(wrong("a { without a }")),
                    }
                }
                if field.trim().is_empty() {
                    return Err(wrong("an empty {}"));
                }
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Field(field.trim().to_owned()));
            }
            '}' => return Err(wrong("a } without a {")),
            '\\' if rest.next_if_eq(&'t').is_some() => text.push('\t'),
            other => text.push(other),
        }
    }
    pieces.push(Piece::Text(text));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

/// Fields with tabs between them.
pub fn tabs(fields: &[String]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = fields
        .iter()
        .flat_map(|field| [Piece::Text("\t".to_owned()), Piece::Field(field.clone())])
        .collect();
    pieces.remove(0);
    pieces
}

/// A line of its own. A field that the line does not have is `-`.
pub fn filled(pieces: &[Piece], event: &LogEvent, line: &Line) -> String {
    let values = log_line::json(event, line);
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Field(field) => out.push_str(&match value(&values, field) {
                None | Some(Value::Null) => "-".to_owned(),
                Some(Value::String(text)) => plain(text.trim_end()),
                Some(other) => plain(&other.to_string()),
            }),
        }
    }
    out.push('\n');
    out
}

/// A JSON object of fields, null where the line has none.
pub fn picked(fields: &[String], event: &LogEvent, line: &Line) -> String {
    let values = log_line::json(event, line);
    let of = |field: &String| (field.clone(), value(&values, field).cloned().unwrap_or_default());
    let object: Map<String, Value> = fields.iter().map(of).collect();
    format!("{}\n", Value::Object(object))
}

/// A field of the event, or of the object that its message is. `message` is the text in that object, or else all of it.
fn value<'a>(values: &'a Value, field: &str) -> Option<&'a Value> {
    let message = &values["message"];
    if field == "message" {
        return Some(message.get("message").unwrap_or(message));
    }
    let within = |from: &'a Value| field.split('.').try_fold(from, |value, name| value.get(name));
    within(values).or_else(|| within(message))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn told(template: &str, message: &str) -> String {
        let event = LogEvent {
            id: "1".to_owned(),
            source: "tasks".to_owned(),
            stream: "2026/11/21/[17]abc".to_owned(),
            timestamp: 1_795_245_748_325,
            message: message.to_owned(),
        };
        filled(&parse(template).unwrap(), &event, &Line::of(&event))
    }

    #[test]
    fn fields_stand_where_they_are_asked_for() {
        let message =
            r#"{"level":"INFO","message":"request","route":"GET /a","status":200,"record":{"ms":1.5},"x":"a\u001bb"}"#;
        assert_eq!(
            told("{time} {source} v{version}", message),
            "2026-11-21T07:22:28.325Z tasks v17\n"
        );
        assert_eq!(
            told("{route}\\t{status} {record.ms} {none} {{x}} {x}", message),
            "GET /a\t200 1.5 - {x} a\\u{1b}b\n"
        );
        assert_eq!(told("{message}", message), "request\n");
        assert_eq!(told("{message}", "plain text\n"), "plain text\n");
    }

    #[test]
    fn templates_that_are_wrong_are_refused() {
        for wrong in ["{", "}", "{}", "{time"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            tabs(&["a".to_owned(), "b".to_owned()]),
            [
                Piece::Field("a".to_owned()),
                Piece::Text("\t".to_owned()),
                Piece::Field("b".to_owned())
            ]
        );
    }
}
