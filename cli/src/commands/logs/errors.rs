//! The answer of the query `errors`: failed requests by cause, the most frequent first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regex_lite::Regex;
use taskctl_stack::observe::insights::Answer;
use taskctl_stack::observe::logs::Group;

use super::insights::time;
use crate::ui::clock::{second, zone_name};
use crate::ui::style::{Style, Tone};
use crate::ui::text::{fill, plain};

/// Failed requests with the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Logical name, or that of the log group.
    pub function: String,
    pub route: Option<String>,
    pub status: Option<String>,
    /// The error without what differs from request to request.
    pub cause: String,
    /// Id of the last request.
    pub example: Option<String>,
}

/// What failures are grouped by.
type Key = (String, Option<String>, Option<String>, String);

/// Gathers the rows of the answer.
pub fn by_cause(answer: &Answer, groups: &[Group]) -> Vec<Failures> {
    let variable = variable();
    let mut found: BTreeMap<Key, Failures> = BTreeMap::new();
    for row in &answer.rows {
        let field = |name: &str| {
            let place = answer.columns.iter().position(|column| column == name)?;
            row.get(place)?.clone().filter(|value| !value.is_empty())
        };
        let Some(at) = field("@timestamp").as_deref().and_then(time) else {
            continue;
        };
        let ended = field("record.status").map(|status| match field("record.errorType") {
            Some(error) if error != status => format!("{status} ({error})"),
            _ => status,
        });
        let text = field("error")
            .or(ended)
            .or_else(|| field("message"))
            .unwrap_or_else(|| "unknown".to_owned());
        let cause = variable
            .as_ref()
            .map_or(text.clone(), |ids| ids.replace_all(&text, "…").into_owned());
        let key = (
            function(&field("@log").unwrap_or_default(), groups),
            field("route"),
            field("status"),
            cause,
        );
        let example = field("requestId").or_else(|| field("record.requestId"));
        let (function, route, status, cause) = key.clone();
        let failures = found.entry(key).or_insert(Failures {
            count: 0,
            first: at,
            last: at,
            function,
            route,
            status,
            cause,
            example: None,
        });
        failures.count += 1;
        failures.first = failures.first.min(at);
        // Of the newest request the log is surely still there.
        if failures.example.is_none() || at > failures.last {
            failures.example = example.or(failures.example.take());
        }
        failures.last = failures.last.max(at);
    }
    let mut found: Vec<Failures> = found.into_values().collect();
    found.sort_by_key(|failures| (std::cmp::Reverse(failures.count), std::cmp::Reverse(failures.last)));
    found
}

/// Ids and numbers that differ from request to request: UUIDs, ULIDs, long hexadecimal and long decimal numbers.
fn variable() -> Option<Regex> {
    Regex::new(
        r"\b(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]*[0-9][0-9a-f]{11,}|[0-9]{5,})\b",
    )
    .ok()
}

/// `123456789012:/aws/lambda/shop-prod-tasks`, as `@log` has it, by its logical name.
fn function(log: &str, groups: &[Group]) -> String {
    let name = log.split_once(':').map_or(log, |(_, name)| name);
    let known = groups.iter().find(|group| group.name == name);
    known.map_or(name, |group| group.source.as_str()).to_owned()
}

/// The same as rows, for programs.
pub fn rows(found: &[Failures], answer: &Answer) -> Answer {
    let columns = [
        "count", "first", "last", "function", "route", "status", "error", "example",
    ];
    let row = |one: &Failures| {
        vec![
            Some(one.count.to_string()),
            Some(format!("{:.3}", one.first)),
            Some(format!("{:.3}", one.last)),
            Some(one.function.clone()),
            one.route.clone(),
            one.status.clone(),
            Some(one.cause.clone()),
            one.example.clone(),
        ]
    };
    Answer {
        columns: columns.map(str::to_owned).to_vec(),
        rows: found.iter().map(row).collect(),
        ..answer.clone()
    }
}

/// The same for people. `follow` are the arguments with which `logs` finds the lines of a request.
pub fn text(found: &[Failures], now: Timestamp, follow: &str, style: &Style) -> String {
    let mut out = String::new();
    for (index, one) in found.iter().enumerate() {
        let parts = [Some(&one.function), one.route.as_ref(), one.status.as_ref()];
        let what: Vec<String> = parts.into_iter().flatten().map(|part| plain(part)).collect();
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&format!(
            "{:>5} × {}\n",
            one.count,
            style.paint(Tone::Strong, &what.join(" "))
        ));
        for line in fill(&plain(&one.cause), style.width.saturating_sub(8)) {
            out.push_str(&format!("        {}\n", style.paint(Tone::Bad, &line)));
        }
        let times = match one.count {
            1 => format!("at {} {}", second(one.last, now), zone_name(one.last)),
            _ => format!(
                "first {}, last {} {}",
                second(one.first, now),
                second(one.last, now),
                zone_name(one.last)
            ),
        };
        out.push_str(&format!("        {times}\n"));
        if let Some(example) = &one.example {
            let command = format!("taskctl logs --request-id {}{follow}", plain(example));
            out.push_str(&format!("        help: {}\n", style.paint(Tone::Copy, &command)));
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ui::style::lines;

    fn answer() -> Answer {
        let columns = [
            "@timestamp",
            "@log",
            "route",
            "status",
            "error",
            "requestId",
            "record.status",
            "record.errorType",
            "record.requestId",
        ];
        let row = |at: &str, cells: [&str; 7]| {
            let mut row = vec![Some(at.to_owned()), Some("1:/aws/lambda/shop-prod-tasks".to_owned())];
            row.extend(cells.map(|cell| (!cell.is_empty()).then(|| cell.to_owned())));
            row
        };
        let denied = |at: &str, task: &str, request: &str| {
            let error = format!(
                "put task {task}: AccessDeniedException (HTTP 400): not authorized to perform dynamodb:PutItem"
            );
            row(at, ["POST /tasks", "500", &error, request, "", "", ""])
        };
        Answer {
            columns: columns.map(str::to_owned).to_vec(),
            rows: vec![
                denied(
                    "2026-03-01 12:05:00.250",
                    "01JNABCDEFGHJKMNPQRSTVWXYZ",
                    "8d7f6a1e-0000-4000-8000-000000000002",
                ),
                row("2026-03-01 12:04:00.000", ["", "", "", "", "timeout", "", "9e01b2c3"]),
                denied(
                    "2026-03-01 12:01:00.000",
                    "01JNABCDEFGHJKMNPQRSTVWXY0",
                    "8d7f6a1e-0000-4000-8000-000000000001",
                ),
            ],
            ..Answer::default()
        }
    }

    fn groups() -> Vec<Group> {
        vec![Group {
            source: "tasks".to_owned(),
            name: "/aws/lambda/shop-prod-tasks".to_owned(),
        }]
    }

    #[test]
    fn failures_are_gathered_by_cause() {
        let found = by_cause(&answer(), &groups());
        let short: Vec<(u64, &str, Option<&str>)> = found
            .iter()
            .map(|one| (one.count, one.cause.as_str(), one.example.as_deref()))
            .collect();
        assert_eq!(
            short,
            [
                (
                    2,
                    "put task …: AccessDeniedException (HTTP 400): not authorized to perform dynamodb:PutItem",
                    Some("8d7f6a1e-0000-4000-8000-000000000002")
                ),
                (1, "timeout", Some("9e01b2c3")),
            ]
        );
        let now = "2026-03-01T12:10:00Z".parse().unwrap();
        lines("logs_errors", |style| {
            text(&found, now, " --since 1h --stage prod", style)
        });
        let rows = rows(&found, &answer());
        assert_eq!(rows.rows[0][1].as_deref(), Some("2026-03-01T12:01:00.000Z"));
    }
}
