//! The platform's reports: duration and memory of invocations and of starts of environments.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Failure;

/// The end of an invocation.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) request_id: &'a str,
    /// Time from handing over the event to the answer.
    pub(super) duration: Duration,
    /// Time that starting the environment took, for its first invocation.
    pub(super) init: Option<Duration>,
    pub(super) memory_size_mib: u32,
    pub(super) max_memory_used_mib: u64,
    pub(super) failure: Option<&'a Failure>,
}

impl Report<'_> {
    /// Whole milliseconds, the start of the environment included (billed since August 2025).
    fn billed_ms(&self) -> u128 {
        let total = self.duration + self.init.unwrap_or_default();
        total.as_micros().div_ceil(1_000).max(1)
    }

    /// The record of `platform.report`.
    pub(super) fn record(&self) -> Value {
        let mut metrics = json!({
            "durationMs": milliseconds(self.duration),
            "billedDurationMs": self.billed_ms() as u64,
            "memorySizeMB": self.memory_size_mib,
            "maxMemoryUsedMB": self.max_memory_used_mib,
        });
        if let Some(init) = self.init {
            metrics["initDurationMs"] = json!(milliseconds(init));
        }
        let mut record = json!({"requestId": self.request_id, "metrics": metrics});
        self.add_status(&mut record);
        record
    }

    /// The record of `platform.runtimeDone`.
    pub(super) fn runtime_done(&self) -> Value {
        let mut record = json!({"requestId": self.request_id, "metrics": {"durationMs": milliseconds(self.duration)}});
        self.add_status(&mut record);
        record
    }

    fn add_status(&self, record: &mut Value) {
        match self.failure {
            Some(failure) => {
                record["status"] = json!(failure.status());
                record["errorType"] = json!(failure.error_type());
            }
            None => record["status"] = json!("success"),
        }
    }
}

/// The `REPORT` line.
impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB",
            self.request_id,
            milliseconds(self.duration),
            self.billed_ms(),
            self.memory_size_mib,
            self.max_memory_used_mib,
        )?;
        if let Some(init) = self.init {
            write!(formatter, "\tInit Duration: {:.2} ms", milliseconds(init))?;
        }
        if let Some(failure) = self.failure {
            write!(formatter, "\tStatus: {}", report_status(failure))?;
            if report_status(failure) == "error" {
                write!(formatter, "\tError Type: {}", failure.error_type())?;
            }
        }
        formatter.write_str("\t")
    }
}

/// The start of an environment.
#[derive(Debug)]
pub(super) struct InitReport<'a> {
    pub(super) phase: Phase,
    pub(super) duration: Duration,
    pub(super) failure: Option<&'a Failure>,
}

/// When an environment was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the invocation, under the limit of the start.
    Init,
    /// Again within the invocation, under the function's own limit, because the first start failed.
    Invoke,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

impl InitReport<'_> {
    /// The record of `platform.initReport`.
    pub(super) fn record(&self) -> Value {
        let mut record = json!({
            "initializationType": "on-demand",
            "phase": self.phase.name(),
            "status": self.failure.map_or("success", Failure::status),
            "metrics": {"durationMs": milliseconds(self.duration)},
        });
        if let Some(failure) = self.failure {
            record["errorType"] = json!(failure.error_type());
        }
        record
    }
}

/// The `INIT_REPORT` line.
impl fmt::Display for InitReport<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "INIT_REPORT Init Duration: {:.2} ms\tPhase: {}",
            milliseconds(self.duration),
            self.phase.name()
        )?;
        if let Some(failure) = self.failure {
            write!(formatter, "\tStatus: {}", report_status(failure))?;
            if report_status(failure) == "error" {
                write!(formatter, "\tError Type: {}", failure.error_type())?;
            }
        }
        Ok(())
    }
}

/// The text lines know two ways to fail only.
fn report_status(failure: &Failure) -> &'static str {
    match failure {
        Failure::Timeout(_) | Failure::InitTimeout(_) => "timeout",
        Failure::NoBootstrap
        | Failure::NotExecutable(_)
        | Failure::Exited(_)
        | Failure::Init { .. }
        | Failure::Function { .. }
        | Failure::ResponseTooLarge
        | Failure::Internal(_) => "error",
    }
}

/// Milliseconds with three digits after the point, as the records have them.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report<'a>(init: Option<Duration>, failure: Option<&'a Failure>) -> Report<'a> {
        Report {
            request_id: "id-1",
            duration: Duration::from_micros(1_444),
            init,
            memory_size_mib: 512,
            max_memory_used_mib: 23,
            failure,
        }
    }

    #[test]
    fn report_line_of_a_cold_start() {
        insta::assert_snapshot!(
            report(Some(Duration::from_micros(18_451)), None).to_string().replace('\t', " | "),
            @"REPORT RequestId: id-1 | Duration: 1.44 ms | Billed Duration: 20 ms | Memory Size: 512 MB | Max Memory Used: 23 MB | Init Duration: 18.45 ms |"
        );
    }

    #[test]
    fn report_line_of_a_timeout() {
        let failure = Failure::Timeout(Duration::from_secs(3));
        insta::assert_snapshot!(report(None, Some(&failure)).to_string().replace('\t', " | "), @"REPORT RequestId: id-1 | Duration: 1.44 ms | Billed Duration: 2 ms | Memory Size: 512 MB | Max Memory Used: 23 MB | Status: timeout |");
    }

    #[test]
    fn report_record() {
        let failure = Failure::ResponseTooLarge;
        insta::assert_snapshot!(report(Some(Duration::from_millis(2)), Some(&failure)).record().to_string(), @r#"{"requestId":"id-1","metrics":{"durationMs":1.444,"billedDurationMs":4,"memorySizeMB":512,"maxMemoryUsedMB":23,"initDurationMs":2.0},"status":"error","errorType":"Function.ResponseSizeTooLarge"}"#);
    }

    #[test]
    fn init_report_line() {
        let failure = Failure::NoBootstrap;
        let report = InitReport {
            phase: Phase::Invoke,
            duration: Duration::from_millis(7),
            failure: Some(&failure),
        };
        insta::assert_snapshot!(report.to_string().replace('\t', " | "), @"INIT_REPORT Init Duration: 7.00 ms | Phase: invoke | Status: error | Error Type: Runtime.InvalidEntrypoint");
    }
}
