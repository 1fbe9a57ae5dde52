//! The embedded metric format: metrics that a function writes into its log.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::Deserialize;
use serde_json::Value;

use crate::ports::MetricDatum;

/// Values of one namespace.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) namespace: String,
    pub(super) data: Vec<MetricDatum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    #[serde(default)]
    dimensions: Vec<Vec<String>>,
    #[serde(default)]
    metrics: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
    unit: Option<String>,
}

/// The metrics in a line; none when the line is not in the format. A member that a directive names and the line lacks
/// leaves out that metric or dimension set, not the others.
pub(super) fn extract(line: &str) -> Vec<Batch> {
    if !line.starts_with('{') || !line.contains("\"_aws\"") {
        return Vec::new();
    }
    let Ok(root) = serde_json::from_str::<Value>(line) else {
        return Vec::new();
    };
    let Some(metadata) = root.get("_aws").and_then(|value| Metadata::deserialize(value).ok()) else {
        return Vec::new();
    };
    metadata
        .cloud_watch_metrics
        .iter()
        .map(|directive| Batch {
            namespace: directive.namespace.clone(),
            data: directive_data(directive, &root, metadata.timestamp),
        })
        .filter(|batch| !batch.data.is_empty())
        .collect()
}

fn directive_data(directive: &Directive, root: &Value, timestamp_ms: i64) -> Vec<MetricDatum> {
    let sets: Vec<Vec<(String, String)>> = directive
        .dimensions
        .iter()
        .filter_map(|names| dimension_set(names, root))
        .collect();
    let sets = if directive.dimensions.is_empty() {
        vec![Vec::new()]
    } else {
        sets
    };
    let mut data = Vec::new();
    for definition in &directive.metrics {
        for value in values(root.get(&definition.name)) {
            data.extend(sets.iter().map(|dimensions| MetricDatum {
                name: definition.name.clone(),
                dimensions: dimensions.clone(),
                timestamp_ms,
                value,
                unit: definition.unit.clone().unwrap_or_else(|| "None".to_owned()),
            }));
        }
    }
    data
}

fn dimension_set(names: &[String], root: &Value) -> Option<Vec<(String, String)>> {
    names
        .iter()
        .map(|name| Some((name.clone(), root.get(name)?.as_str()?.to_owned())))
        .collect()
}

fn values(member: Option<&Value>) -> Vec<f64> {
    match member {
        Some(Value::Number(number)) => number.as_f64().into_iter().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_f64).collect(),
        Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_a_line() {
        let line = r#"{"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"app","Dimensions":[["function"],["function","version"],["missing"]],"Metrics":[{"Name":"Requests","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds"},{"Name":"Absent"}]}]},"function":"tasks","version":"7","Requests":1,"Latency":[1.5,2]}"#;
        let batches = extract(line);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].namespace, "app");
        let seen: Vec<String> = batches[0]
            .data
            .iter()
            .map(|datum| {
                let dimensions: Vec<String> = datum
                    .dimensions
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!(
                    "{} {} {} [{}] {}",
                    datum.timestamp_ms,
                    datum.name,
                    datum.value,
                    dimensions.join(","),
                    datum.unit
                )
            })
            .collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        1700000000000 Requests 1 [function=tasks] Count
        1700000000000 Requests 1 [function=tasks,version=7] Count
        1700000000000 Latency 1.5 [function=tasks] Milliseconds
        1700000000000 Latency 1.5 [function=tasks,version=7] Milliseconds
        1700000000000 Latency 2 [function=tasks] Milliseconds
        1700000000000 Latency 2 [function=tasks,version=7] Milliseconds
        "#);
    }

    #[test]
    fn other_lines_have_none() {
        for line in [
            "",
            "{}",
            "plain _aws",
            r#"{"_aws":1}"#,
            r#"{"_aws":{"Timestamp":1}}"#,
            r#"{"_aws": broken"#,
        ] {
            assert_eq!(extract(line), Vec::new(), "{line}");
        }
    }
}
