//! `taskctl logs --query`: a question to Logs Insights, and its answer as a table, JSON or CSV.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use taskctl_stack::aws::client::context::Context;
use taskctl_stack::engine::EngineError;
use taskctl_stack::event::Event;
use taskctl_stack::observe::insights::{self, Answer, KNOWN};
use taskctl_stack::observe::logs::Group;

use super::errors;
use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log_view::Format;
use crate::session::Session;
use crate::ui::clock;
use crate::ui::style::Style;
use crate::ui::table::table;
use crate::ui::text::{escaped, is_unsafe, plain, safe_json, size};

/// What is asked.
pub struct Asked<'a> {
    /// A query, or the name of one.
    pub query: &'a str,
    /// Form of the answer.
    pub format: Option<Format>,
    /// Whether all functions are asked.
    pub all: bool,
    /// Begin of the window, as it was given.
    pub since: &'a str,
}

/// Asks, and shows the answer.
pub async fn ask(
    session: &Session,
    context: &Context,
    groups: &[Group],
    asked: &Asked<'_>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Exit, Failure> {
    let own = match &session.global.target.app {
        Some(_) => BTreeMap::new(),
        None => session.project()?.template.stack.queries,
    };
    let query = named(asked.query, &own)?;
    let format = match (asked.format, session.global.output) {
        (None, Output::Json) => Format::Json,
        (None, Output::Human | Output::Github) => Format::Pretty,
        (Some(format @ (Format::Pretty | Format::Json | Format::Csv)), _) => format,
        (Some(Format::Short | Format::Raw), _) => {
            return Err(Failure::usage(
                "this format is for log lines, not for query results",
                "with --query, use --format pretty, json or csv",
            ));
        }
    };
    if groups.is_empty() {
        return Err(Failure::new(
            Exit::Error,
            "there are no log groups to query",
            "create functions with `taskctl deploy`, or check --stage, --region and --profile",
        ));
    }
    let mut answer = insights::ask(context, groups, &query, from.as_second(), to.as_second())
        .await
        .map_err(EngineError::from)?;
    let is_by_cause = asked.query == ERRORS && !own.contains_key(ERRORS);
    let failures = is_by_cause.then(|| errors::by_cause(&answer, groups));
    if let Some(failures) = &failures {
        answer = errors::rows(failures, &answer);
    }
    let style = &session.env.out;
    session.reporter.answer(match (format, &failures) {
        (Format::Csv, _) => csv(&answer),
        (Format::Json, _) => json(&answer),
        (_, Some(failures)) if !failures.is_empty() => {
            let follow = format!(" --since {}{}", quoted(asked.since), session.command_hint().flags);
            errors::text(failures, to, &follow, style)
        }
        _ => text(&answer, style),
    });
    if format == Format::Pretty {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of logs")]
        let bytes = size(answer.bytes as u64);
        session.reporter.emit(Event::Note {
            message: format!(
                "{} of {} lines matched; {bytes} scanned in {}",
                answer.matched,
                answer.scanned,
                if asked.all {
                    "all functions"
                } else {
                    "the selected functions"
                }
            ),
        });
    }
    Ok(Exit::Ok)
}

/// The known query whose answer is gathered by cause.
const ERRORS: &str = "errors";

/// A word for a shell.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).unwrap_or_default().into_owned()
}

/// A time as Insights writes it: `2026-03-01 12:00:00.123`, in UTC.
pub fn time(text: &str) -> Option<Timestamp> {
    let has_this_form =
        text.len() == 23 && text.as_bytes().get(10) == Some(&b' ') && text.as_bytes().get(19) == Some(&b'.');
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text)
        .ok()
        .filter(|_| has_this_form)?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
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
        format!("no query named `{query}`"),
        format!("known queries: {}; or give the text of a query", names.join(", ")),
    ))
}

fn text(answer: &Answer, style: &Style) -> String {
    if answer.rows.is_empty() {
        return "no results\n".to_owned();
    }
    // By the operator's clock; the zone is in the heading.
    let zone = |column: usize| {
        let values = answer.rows.iter().filter_map(|row| row.get(column)?.as_deref());
        values.filter_map(time).next().map(clock::zone_name)
    };
    let head = |(place, column): (usize, &String)| match zone(place) {
        Some(zone) => format!("{} {zone}", plain(column)),
        None => plain(column),
    };
    let heads: Vec<String> = answer.columns.iter().enumerate().map(head).collect();
    let mut rows = table(style, &heads.iter().map(String::as_str).collect::<Vec<_>>());
    let cell = |value: &Option<String>| match value {
        None => "-".to_owned(),
        Some(text) => match time(text) {
            Some(time) => clock::local(time).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
            None => plain(text),
        },
    };
    for row in &answer.rows {
        rows.add_row(row.iter().map(cell));
    }
    rows.to_string()
}

/// A value for programs: times as they are everywhere, RFC 3339 in UTC.
fn for_programs(text: &str) -> String {
    time(text).map_or_else(|| text.to_owned(), |time| format!("{time:.3}"))
}

/// Objects by column. What is a number is one.
fn json(answer: &Answer) -> String {
    let value = |text: &Option<String>| match text.as_deref().map(for_programs) {
        None => Value::Null,
        Some(text) => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text),
        },
    };
    let row = |row: &Vec<Option<String>>| {
        let fields = answer.columns.iter().cloned().zip(row.iter().map(value));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    let rows = Value::Array(answer.rows.iter().map(row).collect());
    safe_json(&format!("{rows:#}\n"))
}

/// A value in quotes where it needs them (<https://www.rfc-editor.org/rfc/rfc4180>), without control characters, and with an
/// apostrophe before what a spreadsheet would take for a formula
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn field(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| match character {
            '\n' | '\t' => character.to_string(),
            _ if is_unsafe(character) => escaped(character),
            _ => character.to_string(),
        })
        .collect();
    let begins_with = |marks: &[char]| text.trim_start().starts_with(marks);
    let is_formula = begins_with(&['=', '+', '-', '@', '＝', '＋', '－', '＠']) && text.parse::<f64>().is_err();
    let mark = if is_formula || text.starts_with(['\t', '\n']) {
        "'"
    } else {
        ""
    };
    match text.contains([',', ';', '"', '\n', '\t']) {
        true => format!("\"{mark}{}\"", text.replace('"', "\"\"")),
        false => format!("{mark}{text}"),
    }
}

/// The name of a column: that of a field of the query, such as `@message`, is no formula.
fn heading(text: &str) -> String {
    let name = text.strip_prefix('@').unwrap_or(text);
    match name
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "_.".contains(character))
    {
        true => text.to_owned(),
        false => field(text),
    }
}

fn csv(answer: &Answer) -> String {
    let mut out = answer
        .columns
        .iter()
        .map(|text| heading(text))
        .collect::<Vec<_>>()
        .join(",");
    for row in &answer.rows {
        let fields: Vec<String> = row
            .iter()
            .map(|value| field(&for_programs(value.as_deref().unwrap_or_default())))
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
    use crate::ui::style::screens;

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
        screens("answer", |style| text(&sample(), style));
        let parsed: Value = serde_json::from_str(&json(&sample())).unwrap();
        assert_eq!(
            parsed[0],
            serde_json::json!({"route": "GET /tasks", "p99": 12.5, "error": null})
        );
        assert_eq!(
            csv(&sample()),
            "route,p99,error\r\nGET /tasks,12.5,\r\nPOST /tasks,48,\"a, \"\"b\"\"\nc\\u{1b}[31m\"\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula_or_obeyed() {
        let check = |text: &str, expected: &str| assert_eq!(field(text), expected, "{text:?}");
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check(
            "=HYPERLINK(\"http://x\",\"y\")",
            "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"",
        );
        check("+1+cmd", "'+1+cmd");
        check("-2+3", "'-2+3");
        check("@SUM(A1)", "'@SUM(A1)");
        check("  =1", "'  =1");
        check("＝1", "'＝1");
        check("\t=1", "\"'\t=1\"");
        check("\r=1", "\\u{d}=1");
        check("a\u{1b}[31m\u{9b}", "a\\u{1b}[31m\\u{9b}");
        assert_eq!(
            (heading("@message"), heading("@SUM(A1)")),
            ("@message".to_owned(), "'@SUM(A1)".to_owned())
        );
        for same in ["-12.5", "+3", "-1e5", "GET /tasks", "a=b", ""] {
            check(same, same);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_form_lets_an_answer_speak(value in crate::ui::hostile::hostile()) {
            use crate::ui::style::Paint;
            use crate::ui::hostile::obeyed;
            let answer = Answer {
                columns: vec![value.clone(), "b".to_owned()],
                rows: vec![vec![Some(value.clone()), None], vec![Some("1".to_owned()), Some(value.clone())]],
                ..Answer::default()
            };
            for out in [text(&answer, &Style::PLAIN), json(&answer), csv(&answer).replace("\r\n", "\n")] {
                proptest::prop_assert!(obeyed(&out, Paint::Plain).is_empty(), "{}", out.escape_debug());
            }
            let parsed: Value = serde_json::from_str(&json(&answer)).unwrap();
            let is_number = value.parse::<serde_json::Number>().is_ok();
            proptest::prop_assert!(is_number || parsed[1]["b"] == Value::String(value));
        }
    }

    #[test]
    fn times_are_converted_where_they_are_times() {
        let answer = Answer {
            columns: vec!["@timestamp".to_owned(), "n".to_owned()],
            rows: vec![vec![
                Some("2026-03-01 12:00:00.123".to_owned()),
                Some("2026-03-01 12:00".to_owned()),
            ]],
            ..Answer::default()
        };
        assert_eq!(
            text(&answer, &Style::PLAIN),
            "@timestamp CET           n\n2026-03-01 13:00:00.123  2026-03-01 12:00\n"
        );
        assert!(json(&answer).contains(r#""@timestamp": "2026-03-01T12:00:00.123Z""#));
        assert!(csv(&answer).contains("2026-03-01T12:00:00.123Z,2026-03-01 12:00"));
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
