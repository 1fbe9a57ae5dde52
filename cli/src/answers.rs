//! What commands answer with `--output json`, as far as it is of the command line alone. Their schemas are in
//! `docs/schemas`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use taskctl_stack::aws::release::lease::LeaseRecord;
use taskctl_stack::event::ErrorReport;

use crate::failure::{CANCELLED, Failure, Message};

/// What was looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Findings<'a> {
    /// What was found out about each thing.
    pub checks: &'a [Finding],
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Something that is needed for a part only.
    Attention,
    /// Something does not work.
    Bad,
}

impl Finding {
    pub fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            found: found.into(),
            fix: None,
        }
    }

    pub fn attention(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Attention,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    pub fn bad(check: &'static str, report: &ErrorReport) -> Self {
        let found = std::iter::once(&report.message)
            .chain(&report.causes)
            .cloned()
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            check,
            verdict: Verdict::Bad,
            found,
            fix: report.hint.clone(),
        }
    }

    pub fn failed(check: &'static str, failure: &Failure) -> Self {
        match &failure.message {
            Message::Report(report) | Message::At(report, _) => Self::bad(check, report),
            Message::Cancelled => Self::bad(
                check,
                &ErrorReport {
                    message: CANCELLED.to_owned(),
                    causes: Vec::new(),
                    hint: None,
                },
            ),
            Message::Faults(faults) => Self::bad(
                check,
                &ErrorReport {
                    message: faults.to_string(),
                    causes: Vec::new(),
                    hint: Some("`taskctl plan` shows them".to_owned()),
                },
            ),
        }
    }
}

/// Where a dashboard is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DashboardLink {
    /// Name of the dashboard.
    pub name: String,
    /// Its page in the console; null where there is none, as on the local target.
    pub url: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Unlocked {
    /// The lease that was taken away; null when nobody held it.
    pub taken_from: Option<LeaseRecord>,
}

/// The shipped templates.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Templates {
    /// In the order they are listed.
    pub templates: Vec<ShippedTemplate>,
}

/// A shipped template.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShippedTemplate {
    /// Name, for `taskctl init`.
    pub name: &'static str,
    /// What it makes.
    pub summary: &'static str,
}

/// What came of a call.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InvokeResult {
    /// Physical name of the function.
    pub function: String,
    /// Its version.
    pub version: String,
    /// `Unhandled` when the function failed.
    pub error: Option<String>,
    /// What it answered.
    pub payload: Value,
    /// How long it took.
    pub duration_ms: Option<f64>,
    /// How much of it is paid for.
    pub billed_ms: Option<f64>,
    /// Memory it may use.
    pub memory_mb: Option<f64>,
    /// Memory it used at most.
    pub max_memory_used_mb: Option<f64>,
    /// How long its environment took to begin; null when there was one already.
    pub init_ms: Option<f64>,
    /// The last 4 KB that it logged, by lines.
    pub log: Vec<String>,
}

impl InvokeResult {
    /// The log, and what the platform's report in it says.
    pub fn of_log(log: &str) -> Self {
        let report = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["type"] == "platform.report")
            .unwrap_or_default();
        let metric = |name: &str| report["record"]["metrics"][name].as_f64();
        Self {
            function: String::new(),
            version: String::new(),
            error: None,
            payload: Value::Null,
            duration_ms: metric("durationMs"),
            billed_ms: metric("billedDurationMs"),
            memory_mb: metric("memorySizeMB"),
            max_memory_used_mb: metric("maxMemoryUsedMB"),
            init_ms: metric("initDurationMs"),
            log: log.lines().map(str::to_owned).collect(),
        }
    }
}
