//! A log line as people read it, and as programs do.

mod first_member;

use std::collections::BTreeSet;

use clap::ValueEnum;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use taskctl_stack::observe::logs::{API, LogEvent};

use crate::ui::clock::local;
use crate::ui::style::{Style, Tone};
use crate::ui::text::{fill, plain};

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Everything
    Trace,
    /// Debugging details
    Debug,
    /// Normal events
    Info,
    /// Suspicious events
    Warn,
    /// Failures
    Error,
}

/// What a line is.
pub enum Line {
    /// A request that a function of taskctl's handlers answered, or a line of its own logger.
    Function(Value),
    /// A line of the platform: start, report, init.
    Platform(Value),
    /// A line of the API's access log.
    Access(Value),
    /// Anything else.
    Text(String),
}

/// Fields that exist for metrics only, or that the line shows anyway.
const NOISE: [&str; 21] = [
    "_aws",
    "timestamp",
    "time",
    "level",
    "message",
    "requestId",
    "route",
    "status",
    "durationMs",
    "coldStart",
    "release",
    "version",
    "color",
    "error",
    "FunctionName",
    "Version",
    "Route",
    "Requests",
    "Responses5xx",
    "Latency",
    "ColdStart",
];

impl Line {
    /// Reads an event. Only the API's log has lines of the access log, and nothing else: who calls the API writes parts of
    /// them.
    pub fn of(event: &LogEvent) -> Self {
        let is_platform = |value: &Value| value["type"].as_str().is_some_and(|kind| kind.starts_with("platform."));
        let read = first_member::read(&event.message);
        let read = match event.source == API {
            true => read.or_else(|| first_member::read_beginning(&event.message)),
            false => read,
        };
        match read {
            Some(value) if event.source == API => match value["integrationLatencyMs"].is_string() {
                true => Self::Access(value),
                false => Self::Text(event.message.trim_end().to_owned()),
            },
            Some(value) if is_platform(&value) => Self::Platform(value),
            Some(value) if value.is_object() => Self::Function(value),
            _ => Self::Text(event.message.trim_end().to_owned()),
        }
    }

    /// How severe it is; none when it does not say.
    pub fn level(&self) -> Option<Level> {
        match self {
            // Lambda would drop it at its true level: docs/decisions/0104-handlers-log-line.md.
            Self::Function(value) if is_metrics(value) => Some(Level::Info),
            Self::Function(value) => match value["level"].as_str()?.to_ascii_uppercase().as_str() {
                "TRACE" => Some(Level::Trace),
                "DEBUG" => Some(Level::Debug),
                "INFO" => Some(Level::Info),
                "WARN" | "WARNING" => Some(Level::Warn),
                "ERROR" | "FATAL" | "CRITICAL" => Some(Level::Error),
                _ => None,
            },
            Self::Platform(value) => match value["record"]["status"].as_str() {
                Some("success") | None => Some(Level::Info),
                Some(_) => Some(Level::Error),
            },
            Self::Access(value) => match value["status"].as_str().and_then(|status| status.parse::<u16>().ok())? {
                500.. => Some(Level::Error),
                400.. => Some(Level::Warn),
                _ => Some(Level::Info),
            },
            Self::Text(_) => None,
        }
    }

    /// The route it is about.
    pub fn route(&self) -> Option<&str> {
        match self {
            Self::Function(value) | Self::Access(value) => value["route"].as_str(),
            Self::Platform(_) | Self::Text(_) => None,
        }
    }

    /// Everything, on one line and with what went wrong below it. Lines of the platform that only say that something begins
    /// are left out: the report at the end has it all.
    pub fn pretty(&self, event: &LogEvent, sources: &BTreeSet<String>, style: &Style) -> String {
        let Some((text, below)) = self.render(event, true) else {
            return String::new();
        };
        let mut out = format!("{} {}\n", self.head(event, sources, style), self.painted(&text, style));
        for text in below {
            for line in fill(&plain(&text), style.width.saturating_sub(8)) {
                out.push_str(&format!("        {}\n", style.paint(Tone::Bad, &line)));
            }
        }
        out
    }

    /// Without release, ids and what is below.
    pub fn short(&self, event: &LogEvent, sources: &BTreeSet<String>, style: &Style) -> String {
        match self.render(event, false) {
            Some((text, _)) => format!("{} {}\n", self.head(event, sources, style), self.painted(&text, style)),
            None => String::new(),
        }
    }

    fn head(&self, event: &LogEvent, sources: &BTreeSet<String>, style: &Style) -> String {
        const TONES: [Tone; 5] = [Tone::Copy, Tone::Create, Tone::Replace, Tone::Change, Tone::Strong];
        let width = sources.iter().map(String::len).max().unwrap_or(0).min(20);
        let place = sources.iter().position(|source| *source == event.source).unwrap_or(0);
        let name = format!("{:<width$}", plain(&event.source));
        let time = Timestamp::from_millisecond(event.timestamp).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = local(time).strftime("%H:%M:%S.%3f").to_string();
        format!(
            "{} {}",
            style.paint(Tone::Faint, &time),
            style.paint(TONES[place % TONES.len()], &name)
        )
    }

    fn painted(&self, text: &str, style: &Style) -> String {
        match (self, self.level()) {
            (_, Some(Level::Error)) => style.paint(Tone::Bad, text),
            (_, Some(Level::Warn)) => style.paint(Tone::Warn, text),
            (Self::Platform(_), _) => style.paint(Tone::Faint, text),
            _ => text.to_owned(),
        }
    }

    /// The text of the line, and what goes below it.
    fn render(&self, event: &LogEvent, whole: bool) -> Option<(String, Vec<String>)> {
        match self {
            Self::Text(message) => {
                let mut lines = message.lines();
                let first = plain(lines.next().unwrap_or_default());
                Some((first, lines.map(str::to_owned).collect()))
            }
            Self::Access(value) => Some(render_access(value, whole)),
            Self::Platform(value) => render_report(value, whole).map(|line| (line, Vec::new())),
            Self::Function(value) => Some(render_function(value, event, whole)),
        }
    }
}

/// Whether a line has the metrics of a request and nothing else.
fn is_metrics(value: &Value) -> bool {
    value["message"] == "metrics" && value["_aws"].is_object()
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

fn render_access(value: &Value, whole: bool) -> (String, Vec<String>) {
    let mut line = format!(
        "{:<5} {} {} {} ms",
        "API",
        inline(&value["route"]),
        inline(&value["status"]),
        inline(&value["latencyMs"])
    );
    if whole {
        line.push_str(&format!(" from {}", inline(&value["sourceIp"])));
    }
    let error = Some(inline(&value["integrationError"])).filter(|error| !error.is_empty() && error != "-");
    (line, error.into_iter().collect())
}

/// The report at the end of an invocation; none of the platform's other lines. An init that failed is in its report.
fn render_report(value: &Value, whole: bool) -> Option<String> {
    let record = &value["record"];
    if value["type"].as_str() != Some("platform.report") {
        return None;
    }
    let metrics = &record["metrics"];
    let mut line = format!(
        "{:<5} {} ms, billed {} ms, {} of {} MB",
        "took",
        round(&metrics["durationMs"]),
        round(&metrics["billedDurationMs"]),
        inline(&metrics["maxMemoryUsedMB"]),
        inline(&metrics["memorySizeMB"]),
    );
    if metrics["initDurationMs"].is_number() {
        line.push_str(&format!(", cold start: init {} ms", round(&metrics["initDurationMs"])));
    }
    match record["status"].as_str() {
        Some("success") | None => {}
        Some(status) => line.push_str(&format!(", {}", plain(status))),
    }
    if whole {
        line.push_str(&format!("  {}", inline(&record["requestId"])));
    }
    Some(line)
}

fn render_function(value: &Value, event: &LogEvent, whole: bool) -> (String, Vec<String>) {
    let mut line = format!("{:<5} ", inline(&value["level"]));
    if value["route"].is_string() {
        line.push_str(&format!(
            "{} {} {} ms",
            inline(&value["route"]),
            inline(&value["status"]),
            round(&value["durationMs"])
        ));
    } else {
        line.push_str(&inline(&value["message"]));
    }
    if value["coldStart"] == json!(true) {
        line.push_str(" cold");
    }
    let others = value.as_object().into_iter().flatten();
    for (name, value) in others.filter(|(name, _)| !NOISE.contains(&name.as_str())) {
        line.push_str(&format!(" {}={}", plain(name), inline(value)));
    }
    if whole {
        if !value["release"].is_null() {
            line.push_str(&format!("  r{}", inline(&value["release"])));
        }
        if let Some(version) = event.version() {
            line.push_str(&format!(" v{}", plain(version)));
        }
        line.push_str(&format!(" {}", inline(&value["requestId"])));
    }
    let error = Some(inline(&value["error"])).filter(|error| !error.is_empty());
    (line.trim_end().to_owned(), error.into_iter().collect())
}

/// An event for programs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Record<'a> {
    /// Id of the event.
    id: &'a str,
    /// When it happened, always with milliseconds, so that the texts sort as the times do.
    #[schemars(with = "Timestamp")]
    time: String,
    /// Logical name of the function, or `api`.
    source: &'a str,
    /// Version of the function; null for the API.
    version: Option<&'a str>,
    /// Log stream.
    stream: &'a str,
    /// What was said: an object where it is JSON, else a text.
    message: Value,
}

/// The event for programs.
pub fn record<'a>(event: &'a LogEvent, line: &Line) -> Record<'a> {
    let time = Timestamp::from_millisecond(event.timestamp).unwrap_or(Timestamp::UNIX_EPOCH);
    Record {
        id: &event.id,
        time: format!("{time:.3}"),
        source: &event.source,
        version: event.version(),
        stream: &event.stream,
        message: match line {
            Line::Function(value) | Line::Platform(value) | Line::Access(value) => value.clone(),
            Line::Text(text) => json!(text),
        },
    }
}

/// The same as a value.
pub fn json(event: &LogEvent, line: &Line) -> Value {
    serde_json::to_value(record(event, line)).unwrap_or_default()
}

fn round(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number < 10.0 => format!("{number:.1}"),
        Some(number) => format!("{number:.0}"),
        None => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::style::lines;

    fn event(source: &str, message: &str) -> LogEvent {
        LogEvent {
            id: "1".to_owned(),
            source: source.to_owned(),
            stream: "2026/11/21/[17]abc".to_owned(),
            timestamp: 1_795_245_748_325,
            message: message.to_owned(),
        }
    }

    #[test]
    fn lines_are_folded_and_told() {
        let messages = [
            (
                "tasks",
                r#"{"time":"…","type":"platform.start","record":{"requestId":"8d7f"}}"#,
            ),
            (
                "tasks",
                r#"{"timestamp":"…","level":"INFO","message":"request","requestId":"8d7f","route":"GET /tasks/{taskId}","status":200,"durationMs":82.117,"coldStart":true,"release":"3","version":"17","Requests":1,"_aws":{}}"#,
            ),
            (
                "tasks",
                r#"{"time":"…","type":"platform.report","record":{"requestId":"8d7f","metrics":{"durationMs":88.857,"billedDurationMs":95,"memorySizeMB":512,"maxMemoryUsedMB":6,"initDurationMs":5.462},"status":"success"}}"#,
            ),
            (
                "users",
                r#"{"level":"ERROR","message":"request","requestId":"9e","route":"POST /users","status":500,"durationMs":3.2,"release":"3","error":"put user: access denied: not authorized to perform dynamodb:PutItem"}"#,
            ),
            ("users", r#"{"level":"WARN","message":"retrying","attempt":2}"#),
            (
                "api",
                r#"{"requestId":"x","route":"GET /tasks","status":"200","latencyMs":"297","integrationLatencyMs":"296","integrationError":"-","sourceIp":"10.0.0.1"}"#,
            ),
            ("users", "plain \u{1b}[31mtext\nsecond line"),
        ];
        let sources: BTreeSet<String> = messages.iter().map(|(source, _)| (*source).to_owned()).collect();
        let show = |how: fn(&Line, &LogEvent, &BTreeSet<String>, &Style) -> String, style: &Style| {
            let shown = |(source, message): &(&str, &str)| {
                let event = event(source, message);
                how(&Line::of(&event), &event, &sources, style)
            };
            messages.iter().map(shown).collect::<String>()
        };
        lines("logs_pretty", |style| show(Line::pretty, style));
        lines("logs_short", |style| show(Line::short, style));
    }

    #[test]
    fn metrics_alone_are_no_warning() {
        let message = r#"{"timestamp":"…","level":"WARN","message":"metrics","Route":"GET /x","Requests":1,"_aws":{}}"#;
        assert_eq!(Line::of(&event("tasks", message)).level(), Some(Level::Info));
        let message = r#"{"timestamp":"…","level":"WARN","message":"metrics"}"#;
        assert_eq!(Line::of(&event("tasks", message)).level(), Some(Level::Warn));
    }

    /// A User-Agent that closes its quotes, as the gateway of an account might leave it.
    #[test]
    fn who_calls_the_api_cannot_forge_its_log() {
        let agent = r#"","route":"DELETE /tasks/{taskId}","status":"204","sourceIp":"10.0.0.9","type":"platform.start","level":"TRACE","message":"x"#;
        let message = format!(
            r#"{{"requestId":"x","sourceIp":"1.2.3.4","route":"GET /tasks","status":"200","latencyMs":"2","integrationLatencyMs":"1","integrationError":"-","userAgent":"{agent}"}}"#
        );
        let access = event("api", &message);
        let line = Line::of(&access);
        assert_eq!((line.route(), line.level()), (Some("GET /tasks"), Some(Level::Info)));
        let shown = line.pretty(&access, &BTreeSet::from(["api".to_owned()]), &Style::PLAIN);
        assert!(shown.contains("API   GET /tasks 200 2 ms from 1.2.3.4"), "{shown}");
        assert_eq!(json(&access, &line)["message"]["status"], "200");
        // A line of a function is no line of the API, whatever is in it.
        let function = event("tasks", &message.replace("platform.start", "x"));
        assert!(matches!(Line::of(&function), Line::Function(_)));
        // What is no object of the gateway is shown as it is.
        let broken = event("api", r#"{"type":"platform.report","record":{}}"#);
        assert!(matches!(Line::of(&broken), Line::Text(_)));
    }
}
