//! What a stack's dashboard shows: the live API, the functions, the tables and the alarms, in rows of a 24-column grid.
//! Pure. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>

use serde_json::{Map, Value, json};

use super::cloudwatch_dashboard::Body;
use super::placeholder::API_ID;
use crate::compile::Inputs;
use crate::template::names::Names;

/// Columns of the grid.
const COLUMNS: usize = 24;
/// Lines in one chart: more could not be told apart.
const LINES: usize = 10;
/// Functions and tables that are drawn; a dashboard holds 500 widgets and 2,500 metrics.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
const DRAWN: usize = 150;
/// Alarms in one widget.
const ALARMS: usize = 100;
/// Seconds a point stands for.
const PERIOD: u32 = 60;

/// The dashboard of a stack.
pub fn compile(inputs: &Inputs<'_>) -> Body {
    let mut grid = Grid::default();
    grid.row(5, [text(&title(inputs))]);
    for arns in alarm_arns(inputs).chunks(ALARMS) {
        grid.row(2 + 2 * arns.len().div_ceil(4).min(9), [alarms(arns)]);
    }
    if inputs.stack.api.is_some() {
        api(inputs, &mut grid);
    }
    functions(inputs, &mut grid);
    tables(inputs, &mut grid);
    Body::new(
        grid.widgets,
        Map::from_iter([("periodOverride".to_owned(), json!("inherit"))]),
    )
}

/// Widgets, row after row.
#[derive(Default)]
struct Grid {
    widgets: Vec<Value>,
    y: usize,
}

/// A widget without its place.
struct Widget {
    kind: &'static str,
    properties: Value,
}

impl Grid {
    /// Puts widgets side by side, each with its share of the width.
    fn row<const N: usize>(&mut self, height: usize, widgets: [Widget; N]) {
        let width = COLUMNS / N.max(1);
        for (place, Widget { kind, properties }) in widgets.into_iter().enumerate() {
            self.widgets.push(json!({
                "type": kind, "x": place * width, "y": self.y, "width": width, "height": height, "properties": properties,
            }));
        }
        self.y += height;
    }
}

fn text(markdown: &str) -> Widget {
    Widget {
        kind: "text",
        properties: json!({"markdown": markdown}),
    }
}

fn alarms(arns: &[String]) -> Widget {
    Widget {
        kind: "alarm",
        properties: json!({"title": "Alarms", "alarms": arns}),
    }
}

/// A chart over time. `metrics` are lines as CloudWatch writes them.
fn chart(inputs: &Inputs<'_>, title: &str, statistic: &str, unit: &str, metrics: Vec<Value>) -> Widget {
    let properties = json!({
        "title": title,
        "region": inputs.identity.region,
        "view": "timeSeries",
        "stacked": false,
        "stat": statistic,
        "period": PERIOD,
        "yAxis": {"left": {"min": 0, "label": unit, "showUnits": false}},
        "metrics": metrics,
    });
    Widget {
        kind: "metric",
        properties,
    }
}

fn title(inputs: &Inputs<'_>) -> String {
    let identity = inputs.identity;
    let (app, stage, region) = (&identity.app, &identity.stage, &identity.region);
    let domain = match identity.partition.as_str() {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    let console = format!("https://{region}.{domain}");
    let mut links = Vec::new();
    if let Some(site) = inputs.site_url() {
        links.push(format!("[Site]({site})"));
    }
    if inputs.stack.api.is_some() {
        links.push(format!(
            "[API]({console}/apigateway/main/develop/routes?api={API_ID}&region={region})"
        ));
    }
    let search = format!("{app}-{stage}-");
    if !inputs.stack.functions.is_empty() {
        links.push(format!("[Functions]({console}/lambda/home?region={region}#/functions?f0=true&k0=functionName&n0=false&op=and&o0=%3A&v0={search})"));
        links.push(format!(
            "[Logs]({console}/cloudwatch/home?region={region}#logsV2:log-groups$3FlogGroupNameFilter$3D{search})"
        ));
    }
    if !inputs.stack.tables.is_empty() {
        links.push(format!("[Tables]({console}/dynamodbv2/home?region={region}#tables)"));
    }
    if !inputs.stack.alarms.is_empty() {
        links.push(format!(
            "[Alarms]({console}/cloudwatch/home?region={region}#alarmsV2:?search={search})"
        ));
    }
    let commands = ["status", "logs --follow", "rollback"].map(|command| match command.split_once(' ') {
        Some((verb, rest)) => format!("`taskctl {verb} --stage {stage} {rest}`"),
        None => format!("`taskctl {command} --stage {stage}`"),
    });
    let mut lines = vec![
        format!("# {app} · {stage}"),
        format!("Region {region}. {}", links.join(" · ")),
        commands.join(" · "),
    ];
    for (what, count) in [
        ("functions", inputs.stack.functions.len()),
        ("tables", inputs.stack.tables.len()),
    ] {
        if count > DRAWN {
            lines.push(format!("The first {DRAWN} of {count} {what} are drawn."));
        }
    }
    lines.join("\n\n")
}

fn alarm_arns(inputs: &Inputs<'_>) -> Vec<String> {
    let identity = inputs.identity;
    let names = Names {
        app: &identity.app,
        stage: &identity.stage,
        region: &identity.region,
        account: &identity.account,
    };
    let name = |(logical, alarm): (&String, &crate::template::model::Alarm)| {
        alarm.name.clone().unwrap_or_else(|| names.alarm(logical))
    };
    inputs
        .stack
        .alarms
        .iter()
        .map(name)
        .map(|name| identity.arn("cloudwatch", &format!("alarm:{name}")))
        .collect()
}

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>
fn api(inputs: &Inputs<'_>, grid: &mut Grid) {
    let live =
        |metric: &str, options: Value| json!(["AWS/ApiGateway", metric, "ApiId", API_ID, "Stage", "$default", options]);
    let requests = vec![live("Count", json!({"label": "requests", "color": "#1f77b4"}))];
    let errors = vec![
        live("4xx", json!({"label": "4xx", "color": "#ff7f0e"})),
        live("5xx", json!({"label": "5xx", "color": "#d62728"})),
    ];
    let latency = vec![
        live("Latency", json!({"label": "p50", "stat": "p50"})),
        live("Latency", json!({"label": "p90", "stat": "p90"})),
        live("Latency", json!({"label": "p99", "stat": "p99"})),
        live("IntegrationLatency", json!({"label": "functions p99", "stat": "p99"})),
    ];
    grid.row(1, [text("## API, live")]);
    grid.row(
        6,
        [
            chart(inputs, "Requests", "Sum", "per minute", requests),
            chart(inputs, "Errors", "Sum", "per minute", errors),
            chart(inputs, "Latency", "p99", "ms", latency),
        ],
    );
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
fn functions(inputs: &Inputs<'_>, grid: &mut Grid) {
    let names: Vec<(&String, String)> = inputs
        .stack
        .functions
        .keys()
        .take(DRAWN)
        .map(|logical| (logical, inputs.function(logical)))
        .collect();
    for group in names.chunks(LINES) {
        let lines = |metric: &str| -> Vec<Value> {
            let line = |(logical, name): &(&String, String)| json!(["AWS/Lambda", metric, "FunctionName", name, {"label": logical}]);
            group.iter().map(line).collect()
        };
        grid.row(1, [text("## Functions")]);
        grid.row(
            6,
            [
                chart(inputs, "Invocations", "Sum", "per minute", lines("Invocations")),
                chart(inputs, "Errors", "Sum", "per minute", lines("Errors")),
                chart(inputs, "Throttles", "Sum", "per minute", lines("Throttles")),
            ],
        );
        grid.row(
            6,
            [
                chart(inputs, "Duration p50", "p50", "ms", lines("Duration")),
                chart(inputs, "Duration p99", "p99", "ms", lines("Duration")),
                chart(
                    inputs,
                    "Concurrency",
                    "Maximum",
                    "at once",
                    lines("ConcurrentExecutions"),
                ),
            ],
        );
    }
}

/// Indexes consume and are throttled on their own.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html>
fn tables(inputs: &Inputs<'_>, grid: &mut Grid) {
    let mut sources: Vec<(String, Vec<Value>)> = Vec::new();
    for (logical, table) in inputs.stack.tables.iter().take(DRAWN) {
        let name = inputs.table(logical);
        sources.push((logical.clone(), vec![json!("TableName"), json!(name)]));
        for index in table.indexes.keys() {
            let dimensions = vec![
                json!("TableName"),
                json!(name),
                json!("GlobalSecondaryIndexName"),
                json!(index),
            ];
            sources.push((format!("{logical} {index}"), dimensions));
        }
    }
    sources.truncate(2 * DRAWN);
    for group in sources.chunks(LINES) {
        let lines = |metric: &str, suffix: &str| -> Vec<Value> {
            let line = |(label, dimensions): &(String, Vec<Value>)| {
                let mut line = vec![json!("AWS/DynamoDB"), json!(metric)];
                line.extend(dimensions.iter().cloned());
                line.push(json!({"label": format!("{label}{suffix}")}));
                Value::Array(line)
            };
            group.iter().map(line).collect()
        };
        let mut throttles = lines("ReadThrottleEvents", ", reads");
        throttles.extend(lines("WriteThrottleEvents", ", writes"));
        grid.row(1, [text("## Tables")]);
        grid.row(
            6,
            [
                chart(
                    inputs,
                    "Read units",
                    "Sum",
                    "per minute",
                    lines("ConsumedReadCapacityUnits", ""),
                ),
                chart(
                    inputs,
                    "Write units",
                    "Sum",
                    "per minute",
                    lines("ConsumedWriteCapacityUnits", ""),
                ),
                chart(inputs, "Throttled", "Sum", "per minute", throttles),
            ],
        );
    }
}
