//! The log of one execution environment: its own lines, the platform's lines, the tail for `Invoke`, embedded metrics.
//!
//! Formats: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html> (levels, JSON
//! records) and <https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html> (text lines).

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::emf;
use super::failure::Failure;
use super::report::{InitReport, Report};
use super::variables::region_of;
use crate::deps::Deps;
use crate::ports::{FunctionVersion, LogEvent, LogFormat, LogSink, MetricSink, MissingGroup};

/// Bytes of log that `Invoke` returns at most.
const TAIL_LIMIT: usize = 4 * 1024;

/// Largest log event, bytes; a longer line becomes several events.
const EVENT_LIMIT: usize = 256 * 1024;

/// Levels of log lines, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    fn parse(name: &str) -> Option<Self> {
        let names = [
            ("TRACE", Self::Trace),
            ("DEBUG", Self::Debug),
            ("INFO", Self::Info),
            ("WARN", Self::Warn),
            ("WARNING", Self::Warn),
            ("ERROR", Self::Error),
            ("FATAL", Self::Fatal),
        ];
        names
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, level)| level)
    }
}

/// Writes the log of one environment.
pub(super) struct EnvironmentLog {
    version: Arc<FunctionVersion>,
    region: String,
    stream: String,
    deps: Deps,
    logs: Arc<dyn LogSink>,
    metrics: Arc<dyn MetricSink>,
    application_level: Level,
    system_level: Level,
    /// Bytes of a line whose end has not come yet.
    partial: Vec<u8>,
    events: Vec<LogEvent>,
    tail: Option<Vec<u8>>,
}

impl EnvironmentLog {
    /// A log with a stream of its own.
    pub(super) fn new(
        version: Arc<FunctionVersion>,
        deps: Deps,
        logs: Arc<dyn LogSink>,
        metrics: Arc<dyn MetricSink>,
    ) -> Self {
        let level = |name: &Option<String>| name.as_deref().and_then(Level::parse).unwrap_or(Level::Info);
        let day = deps.now().strftime("%Y/%m/%d").to_string();
        Self {
            region: region_of(&version),
            stream: format!("{day}/[{}]{}", version.version, deps.id().simple()),
            application_level: level(&version.application_log_level),
            system_level: level(&version.system_log_level),
            version,
            deps,
            logs,
            metrics,
            partial: Vec::new(),
            events: Vec::new(),
            tail: None,
        }
    }

    /// Name of the log stream.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Starts to collect the tail of an invocation.
    pub(super) fn collect_tail(&mut self) {
        self.tail = Some(Vec::new());
    }

    /// The collected tail.
    pub(super) fn take_tail(&mut self) -> Option<Vec<u8>> {
        self.tail.take()
    }

    /// Takes output of the process.
    pub(super) fn output(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_line();
        }
        self.partial.extend_from_slice(bytes);
        // A line without an end is not kept as a whole.
        while self.partial.len() > EVENT_LIMIT {
            let rest = self.partial.split_off(boundary(&self.partial));
            let part = std::mem::replace(&mut self.partial, rest);
            self.write(&String::from_utf8_lossy(&part));
        }
    }

    /// Ends a line that the process left without an end.
    pub(super) fn end_output(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }

    /// Delivers the collected events.
    pub(super) fn flush(&mut self) {
        if !self.events.is_empty() {
            self.logs.put(
                &self.region,
                &self.version.log_group,
                &self.stream,
                std::mem::take(&mut self.events),
                MissingGroup::MadeAs(self.version.role.clone()),
            );
        }
    }

    /// An environment starts.
    pub(super) fn init_start(&mut self) {
        let runtime = self.version.runtime.replacen('.', ":", 1);
        let arn = format!("arn:aws:lambda:{}::runtime:local", self.region);
        let version = format!("{runtime}.local");
        match self.version.log_format {
            LogFormat::Text => {
                self.push(format!(
                    "INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}"
                ));
            }
            LogFormat::Json => {
                let record = json!({
                    "initializationType": "on-demand",
                    "phase": "init",
                    "runtimeVersion": version,
                    "runtimeVersionArn": arn,
                    "functionName": self.version.function_name,
                    "functionVersion": self.version.version,
                });
                self.platform(Level::Info, "platform.initStart", record);
            }
        }
    }

    /// An environment has started, or has not. Lambda shows the text form for failures only.
    pub(super) fn init_report(&mut self, report: &InitReport<'_>) {
        let level = if report.failure.is_some() {
            Level::Warn
        } else {
            Level::Debug
        };
        match self.version.log_format {
            LogFormat::Text if report.failure.is_some() => self.push(report.to_string()),
            LogFormat::Text => {}
            LogFormat::Json => self.platform(level, "platform.initReport", report.record()),
        }
    }

    /// An invocation starts.
    pub(super) fn start(&mut self, request_id: &str) {
        match self.version.log_format {
            LogFormat::Text => self.push(format!(
                "START RequestId: {request_id} Version: {}",
                self.version.version
            )),
            LogFormat::Json => {
                let record = json!({"requestId": request_id, "functionArn": self.version.function_arn, "version": self.version.version});
                self.platform(Level::Info, "platform.start", record);
            }
        }
        // An invocation that runs for long shows from its beginning.
        self.flush();
    }

    /// The invocation failed in a way that the platform logs.
    pub(super) fn failure(&mut self, request_id: &str, failure: &Failure) {
        if self.version.log_format == LogFormat::Json {
            // The report record carries it.
            return;
        }
        match failure {
            Failure::Timeout(_) | Failure::InitTimeout(_) => {
                let time = self.deps.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
                self.push(format!("{time} {request_id} {}", failure.message()));
            }
            Failure::NoBootstrap | Failure::NotExecutable(_) | Failure::Exited(_) | Failure::Internal(_) => {
                self.push(format!("RequestId: {request_id} Error: {}", failure.message()));
                self.push(failure.error_type().to_owned());
            }
            Failure::Init { .. } | Failure::Function { .. } | Failure::ResponseTooLarge => {}
        }
    }

    /// An invocation has ended.
    pub(super) fn report(&mut self, report: &Report<'_>) {
        let failed = report.failure.is_some();
        match self.version.log_format {
            LogFormat::Text => {
                self.push(format!("END RequestId: {}", report.request_id));
                self.push(report.to_string());
            }
            LogFormat::Json => {
                let level = if failed { Level::Warn } else { Level::Debug };
                self.platform(level, "platform.runtimeDone", report.runtime_done());
                let level = if failed { Level::Warn } else { Level::Info };
                self.platform(level, "platform.report", report.record());
            }
        }
    }

    fn platform(&mut self, level: Level, kind: &str, record: Value) {
        if level >= self.system_level {
            let time = self.deps.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            self.push(json!({"time": time, "type": kind, "record": record}).to_string());
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.write(&String::from_utf8_lossy(line));
    }

    /// Writes a line: as one event, or as several where it is longer than an event may be.
    fn write(&mut self, line: &str) {
        let mut rest = line;
        while rest.len() > EVENT_LIMIT {
            let (event, after) = rest.split_at(boundary(rest.as_bytes()));
            self.event(event);
            rest = after;
        }
        self.event(rest);
    }

    fn event(&mut self, line: &str) {
        if line.is_empty() || !self.passes(line) {
            return;
        }
        for batch in emf::extract(line) {
            self.metrics.put(&self.region, &batch.namespace, batch.data);
        }
        self.push(line.to_owned());
    }

    /// Whether a line of the function is severe enough. Lambda judges JSON lines; one without a level, or without a time in RFC 3339, is INFO:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>.
    fn passes(&self, line: &str) -> bool {
        if self.version.log_format == LogFormat::Text || !line.starts_with('{') {
            return true;
        }
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            return true;
        };
        let text = |name| line.get(name).and_then(Value::as_str);
        let timed = text("timestamp").is_some_and(|time| time.parse::<Timestamp>().is_ok());
        let level = text("level").filter(|_| timed).and_then(Level::parse);
        level.unwrap_or(Level::Info) >= self.application_level
    }

    fn push(&mut self, message: String) {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(message.as_bytes());
            tail.push(b'\n');
            let excess = tail.len().saturating_sub(TAIL_LIMIT);
            let rest = tail
                .iter()
                .skip(excess)
                .take_while(|byte| is_continuation(**byte))
                .count();
            // The first character stays whole, too.
            tail.drain(..excess + if excess > 0 { rest } else { 0 });
        }
        self.events.push(LogEvent {
            timestamp_ms: self.deps.now_ms(),
            message,
        });
    }
}

/// Where a text that is longer than an event is cut: at its limit, or before a character that lies across it.
fn boundary(text: &[u8]) -> usize {
    let character = text[EVENT_LIMIT - 3..=EVENT_LIMIT].iter().rev();
    let inside = character.take_while(|byte| is_continuation(**byte)).count();
    // Four of them in a row are not UTF-8.
    if inside == 4 { EVENT_LIMIT } else { EVENT_LIMIT - inside }
}

/// Whether a byte is in the middle of a character of UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

impl fmt::Debug for EnvironmentLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnvironmentLog")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
