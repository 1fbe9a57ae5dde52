//! The metrics in the namespace `AWS/Lambda`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>. Their time is when the invocation began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use crate::ports::{FunctionAddress, MetricDatum, MetricSink};

const NAMESPACE: &str = "AWS/Lambda";

/// Reports invocations as metrics.
pub(super) struct Measure {
    sink: Arc<dyn MetricSink>,
}

impl Measure {
    pub(super) fn new(sink: Arc<dyn MetricSink>) -> Self {
        Self { sink }
    }

    /// An invocation has ended.
    pub(super) fn invocation(
        &self,
        address: &FunctionAddress,
        executed_version: &str,
        begun_ms: i64,
        duration: Duration,
        failure: Option<&Failure>,
    ) {
        let errors = if failure.is_some() { 1.0 } else { 0.0 };
        let values = [
            ("Invocations", 1.0, "Count"),
            ("Errors", errors, "Count"),
            ("Duration", duration.as_secs_f64() * 1_000.0, "Milliseconds"),
        ];
        self.put(address, dimension_sets(address, executed_version), begun_ms, &values);
    }

    /// An invocation has been turned away.
    pub(super) fn throttle(&self, address: &FunctionAddress, version: &str, now_ms: i64) {
        self.put(
            address,
            dimension_sets(address, version),
            now_ms,
            &[("Throttles", 1.0, "Count")],
        );
    }

    /// Something happened to an event that was taken for the background.
    pub(super) fn event(&self, address: &FunctionAddress, name: &'static str, now_ms: i64) {
        let mut sets = dimension_sets(address, "");
        // No version ran it for this.
        sets.truncate(2);
        self.put(address, sets, now_ms, &[(name, 1.0, "Count")]);
    }

    /// So many invocations of a function run at once.
    pub(super) fn concurrency(&self, address: &FunctionAddress, now_ms: i64, concurrent: u32) {
        let function = vec![("FunctionName".to_owned(), address.function_name().to_owned())];
        self.put(
            address,
            vec![function],
            now_ms,
            &[("ConcurrentExecutions", f64::from(concurrent), "Count")],
        );
    }

    fn put(
        &self,
        address: &FunctionAddress,
        sets: Vec<Vec<(String, String)>>,
        timestamp_ms: i64,
        values: &[(&str, f64, &str)],
    ) {
        let mut data = Vec::with_capacity(sets.len() * values.len());
        for (name, value, unit) in values {
            data.extend(sets.iter().map(|dimensions| MetricDatum {
                name: (*name).to_owned(),
                dimensions: dimensions.clone(),
                timestamp_ms,
                value: *value,
                unit: (*unit).to_owned(),
            }));
        }
        self.sink.put(address.region(), NAMESPACE, data);
    }
}

impl fmt::Debug for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Measure")
    }
}

/// The function; the address that was invoked; and, for an alias, the version that ran.
fn dimension_sets(address: &FunctionAddress, executed_version: &str) -> Vec<Vec<(String, String)>> {
    let function = ("FunctionName".to_owned(), address.function_name().to_owned());
    let resource = match &address.qualifier {
        Some(qualifier) => format!("{}:{qualifier}", address.function_name()),
        None => address.function_name().to_owned(),
    };
    let resource = ("Resource".to_owned(), resource);
    let mut sets = vec![vec![function.clone()], vec![function.clone(), resource.clone()]];
    if address.qualifier.as_deref().is_some_and(is_alias) {
        sets.push(vec![
            function,
            resource,
            ("ExecutedVersion".to_owned(), executed_version.to_owned()),
        ]);
    }
    sets
}

/// An alias name holds something besides digits.
fn is_alias(qualifier: &str) -> bool {
    qualifier != "$LATEST" && !qualifier.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(qualifier: Option<&str>, expected: &[&str]) {
        let address = FunctionAddress {
            function_arn: "arn:aws:lambda:eu-central-1:000000000000:function:tasks".to_owned(),
            qualifier: qualifier.map(str::to_owned),
        };
        let sets: Vec<String> = dimension_sets(&address, "7")
            .into_iter()
            .map(|set| set.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(sets, expected);
    }

    #[test]
    fn dimensions_by_qualifier() {
        check(None, &["tasks", "tasks tasks"]);
        check(Some("7"), &["tasks", "tasks tasks:7"]);
        check(Some("$LATEST"), &["tasks", "tasks tasks:$LATEST"]);
        check(Some("v7"), &["tasks", "tasks tasks:v7", "tasks tasks:v7 7"]);
    }
}
