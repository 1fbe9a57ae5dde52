//! `taskctl logs --query`: a question to Logs Insights, and its answer as a table, JSON or CSV.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use taskctl_stack::aws::context::Context;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::Event;
use taskctl_stack::observe::insights::{self, Answer, KNOWN};
use taskctl_stack::observe::logs::Group;

use super::Format;
use crate::args::Output;
use crate::commands::status::table;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::Look;
use crate::project::Project;
use crate::report::text::{plain, size};
use crate::session::Session;

/// What is asked.
pub struct Asked<'a> {
    /// A query, or the name of one.
    pub query: &'a str,
    /// Form of the answer.
    pub format: Option<Format>,
    /// Whether all functions are asked.
    pub all: bool,
}

/// Asks, and shows the answer.
pub async fn ask(
    session: &Session,
    context: &Context,
    groups: &[Group],
    asked: &Asked<'_>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Exit, Failure> {
    let own = match &session.global.app {
        Some(_) => BTreeMap::new(),
        None => {
            Project::open(&session.global, &session.surroundings)?
                .template
                .stack
                .queries
        }
    };
    let query = named(asked.query, &own)?;
    let format = match (asked.format, session.global.output) {
        (None, Output::Json) => Format::Json,
        (None, Output::Human | Output::Github) => Format::Pretty,
        (Some(format @ (Format::Pretty | Format::Json | Format::Csv)), _) => format,
        (Some(Format::Short | Format::Raw), _) => {
            return Err(Failure::usage(
                "an answer is no log line",
                "--format is pretty, json or csv with --query",
            ));
        }
    };
    if groups.is_empty() {
        return Err(Failure::new(
            Exit::Error,
            "there are no logs to ask",
            "`taskctl deploy` makes functions; check --stage, --region and --profile",
        ));
    }
    let answer = insights::ask(context, groups, &query, from.as_second(), to.as_second())
        .await
        .map_err(EngineError::from)?;
    session.reporter.answer(match format {
        Format::Csv => csv(&answer),
        Format::Json => json(&answer),
        _ => text(&answer, &session.surroundings.out),
    });
    if format == Format::Pretty {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of logs")]
        let bytes = size(answer.bytes as u64);
        session.reporter.tell(Event::Note {
            message: format!(
                "{} of {} lines matched; {bytes} looked at in {}",
                answer.matched,
                answer.scanned,
                if asked.all {
                    "all functions"
                } else {
                    "the functions named"
                }
            ),
        });
    }
    Ok(Exit::Ok)
}

/// The query with this name, or the text itself: one word is a name.
fn named(query: &str, own: &BTreeMap<String, String>) -> Result<String, Failure> {
    if let Some(text) = own.get(query) {
        return Ok(text.clone());
    }
    if let Some(known) = KNOWN.iter().find(|known| known.name == query) {
        return Ok(known.query.to_owned());
    }
    if query.trim().contains(char::is_whitespace) {
        return Ok(query.to_owned());
    }
    let known = KNOWN.iter().map(|known| format!("{} ({})", known.name, known.about));
    let names: Vec<String> = own.keys().cloned().chain(known).collect();
    Err(Failure::usage(
        format!("there is no query `{query}`"),
        format!("known: {}; or give the text of one", names.join(", ")),
    ))
}

fn text(answer: &Answer, look: &Look) -> String {
    if answer.rows.is_empty() {
        return "no lines\n".to_owned();
    }
    let heads: Vec<String> = answer.columns.iter().map(|column| plain(column)).collect();
    let mut rows = table(look, &heads.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &answer.rows {
        rows.add_row(row.iter().map(|value| value.as_deref().map_or("-".to_owned(), plain)));
    }
    format!("{}\n", rows.trim_fmt())
}

/// Objects by column. What is a number is one.
fn json(answer: &Answer) -> String {
    let value = |text: &Option<String>| match text {
        None => Value::Null,
        Some(text) => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text.clone()),
        },
    };
    let row = |row: &Vec<Option<String>>| {
        let fields = answer.columns.iter().cloned().zip(row.iter().map(value));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    let rows = Value::Array(answer.rows.iter().map(row).collect());
    format!("{rows:#}\n")
}

/// Fields in quotes where they need them. <https://www.rfc-editor.org/rfc/rfc4180>
fn csv(answer: &Answer) -> String {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut out = answer
        .columns
        .iter()
        .map(|text| field(text))
        .collect::<Vec<_>>()
        .join(",");
    for row in &answer.rows {
        let fields: Vec<String> = row
            .iter()
            .map(|value| field(value.as_deref().unwrap_or_default()))
            .collect();
        out.push_str("\r\n");
        out.push_str(&fields.join(","));
    }
    out.push_str("\r\n");
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::look::screens;

    fn sample() -> Answer {
        let some = |text: &str| Some(text.to_owned());
        Answer {
            columns: vec!["route".to_owned(), "p99".to_owned(), "error".to_owned()],
            rows: vec![
                vec![some("GET /tasks"), some("12.5"), None],
                vec![some("POST /tasks"), some("48"), some("a, \"b\"\nc\u{1b}[31m")],
            ],
            ..Answer::default()
        }
    }

    #[test]
    fn answers_are_tables_objects_and_values() {
        screens("answer", |look| text(&sample(), look));
        let parsed: Value = serde_json::from_str(&json(&sample())).unwrap();
        assert_eq!(
            parsed[0],
            serde_json::json!({"route": "GET /tasks", "p99": 12.5, "error": null})
        );
        assert_eq!(
            csv(&sample()),
            "route,p99,error\r\nGET /tasks,12.5,\r\nPOST /tasks,48,\"a, \"\"b\"\"\nc\u{1b}[31m\"\r\n"
        );
    }

    #[test]
    fn a_word_is_a_name() {
        let own = BTreeMap::from([("errors".to_owned(), "fields own".to_owned())]);
        assert_eq!(named("errors", &own).unwrap(), "fields own");
        assert!(named("latency", &own).unwrap().contains("pct(durationMs, 99)"));
        assert_eq!(named("fields @message", &own).unwrap(), "fields @message");
        assert!(named("nonsense", &own).is_err());
    }
}
