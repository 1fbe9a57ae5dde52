//! What a stack's dashboard shows: the live API, the functions, the tables and the alarms, in rows of a 24-column grid.
//! Pure. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>

use serde_json::{Map, Value, json};

use super::Inputs;
use crate::aws::kinds::cloudwatch::dashboard::Body;
use crate::aws::kinds::placeholder::API_ID;
use crate::partition::console_domain;

/// Columns of the grid.
const COLUMNS: usize = 24;
/// Lines in one chart: more could not be distinguished.
const LINES: usize = 10;
/// Functions and tables that are drawn; a dashboard holds 500 widgets and 2,500 metrics.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>
const DRAWN: usize = 150;
/// Alarms in one widget.
const ALARMS: usize = 100;
/// Seconds that a point covers.
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
    let domain = console_domain(region);
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
    let names = identity.names();
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
        for index in table.settings.indexes.keys() {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    use super::*;
    use crate::aws::client::identity::Identity;
    use crate::release::slots::GoLive;
    use crate::template::{Options, Source, embedded, load, model::Stack};

    fn platform() -> Stack {
        let source = Source::new("platform", embedded("platform").unwrap());
        load(
            &source,
            "dev",
            &Options {
                region: Some("eu-central-1".into()),
            },
        )
        .unwrap()
        .stack
    }

    fn body(stack: &Stack) -> Body {
        let identity = Identity {
            app: stack.app.clone(),
            stage: stack.stage.clone(),
            region: stack.region.clone(),
            account: "123456789012".into(),
            partition: "aws".into(),
        };
        let inputs = Inputs {
            stack,
            identity: &identity,
            packages: &BTreeMap::new(),
            website_url: &|bucket| format!("http://{bucket}.example"),
            commit: None,
            go_live: GoLive::AtOnce,
            sites: &BTreeMap::new(),
        };
        compile(&inputs)
    }

    /// Place, title and lines of each widget.
    fn drawn(body: &Body) -> String {
        let mut text = String::new();
        for widget in body.widgets.values() {
            let at = |field: &str| widget[field].as_u64().unwrap();
            let properties = &widget["properties"];
            let title = properties["title"]
                .as_str()
                .or(properties["markdown"].as_str())
                .unwrap();
            let title = title.lines().next().unwrap();
            let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for line in properties["metrics"].as_array().into_iter().flatten() {
                let line = line.as_array().unwrap();
                let label = line.last().unwrap()["label"].as_str().unwrap();
                lines.entry(line[1].as_str().unwrap()).or_default().push(label);
            }
            let place = format!("{},{} {}x{}", at("x"), at("y"), at("width"), at("height"));
            writeln!(text, "{place} {title}").unwrap();
            for (metric, labels) in lines {
                writeln!(text, "  {metric}: {}", labels.join(", ")).unwrap();
            }
        }
        text
    }

    #[test]
    fn the_platform() {
        insta::assert_snapshot!(drawn(&body(&platform())), @r"
        0,0 24x5 # platform · dev
        0,5 24x10 Alarms
        0,15 24x1 ## API, live
        0,16 8x6 Requests
          Count: requests
        8,16 8x6 Errors
          4xx: 4xx
          5xx: 5xx
        16,16 8x6 Latency
          IntegrationLatency: functions p99
          Latency: p50, p90, p99
        0,22 24x1 ## Functions
        0,23 8x6 Invocations
          Invocations: assets, counter, health, tasks, users
        8,23 8x6 Errors
          Errors: assets, counter, health, tasks, users
        16,23 8x6 Throttles
          Throttles: assets, counter, health, tasks, users
        0,29 8x6 Duration p50
          Duration: assets, counter, health, tasks, users
        8,29 8x6 Duration p99
          Duration: assets, counter, health, tasks, users
        16,29 8x6 Concurrency
          ConcurrentExecutions: assets, counter, health, tasks, users
        0,35 24x1 ## Tables
        0,36 8x6 Read units
          ConsumedReadCapacityUnits: assets, assets createdAt-index, assets status-index, counter, tasks, tasks createdAt-index, tasks status-index, users, users createdAt-index, users email-index
        8,36 8x6 Write units
          ConsumedWriteCapacityUnits: assets, assets createdAt-index, assets status-index, counter, tasks, tasks createdAt-index, tasks status-index, users, users createdAt-index, users email-index
        16,36 8x6 Throttled
          ReadThrottleEvents: assets, reads, assets createdAt-index, reads, assets status-index, reads, counter, reads, tasks, reads, tasks createdAt-index, reads, tasks status-index, reads, users, reads, users createdAt-index, reads, users email-index, reads
          WriteThrottleEvents: assets, writes, assets createdAt-index, writes, assets status-index, writes, counter, writes, tasks, writes, tasks createdAt-index, writes, tasks status-index, writes, users, writes, users createdAt-index, writes, users email-index, writes
        ");
    }

    #[test]
    fn a_stack_of_any_size_fits() {
        let mut stack = platform();
        let function = stack.functions.values().next().unwrap().clone();
        let table = stack
            .tables
            .values()
            .find(|table| !table.settings.indexes.is_empty())
            .unwrap()
            .clone();
        let alarm = stack.alarms.values().next().unwrap().clone();
        for n in 0..400 {
            stack.functions.insert(format!("function-{n}"), function.clone());
            stack.tables.insert(format!("table-{n}"), table.clone());
            stack.alarms.insert(format!("alarm-{n}"), alarm.clone());
        }
        let body = body(&stack);
        assert!(body.widgets.len() <= 500, "{}", body.widgets.len());
        let metrics = body
            .widgets
            .values()
            .filter_map(|widget| widget["properties"]["metrics"].as_array());
        let metrics = metrics.map(Vec::len).sum::<usize>();
        assert!(metrics <= 2_500, "{metrics}");
        let mut taken = std::collections::BTreeSet::new();
        for widget in body.widgets.values() {
            let at = |field: &str| widget[field].as_u64().unwrap();
            assert!(at("x") + at("width") <= 24);
            for x in at("x")..at("x") + at("width") {
                for y in at("y")..at("y") + at("height") {
                    assert!(taken.insert((x, y)), "{x},{y} is taken twice");
                }
            }
        }
    }
}
