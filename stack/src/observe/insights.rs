//! Logs Insights: a question about many log lines, asked of CloudWatch.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>

use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::{QueryStatistics, QueryStatus, ResultField};
use serde::Serialize;

use super::logs::Group;
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;

/// A question that needs no writing.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Name.
    pub name: &'static str,
    /// What it answers.
    pub about: &'static str,
    /// The query.
    pub query: &'static str,
}

/// The built-in questions.
pub const KNOWN: [Known; 4] = [
    Known {
        name: "errors",
        about: "failed requests, by cause",
        query: r#"fields @timestamp, @log, route, status, error, message, requestId, record.status, record.errorType, record.requestId
| filter level = "ERROR" and (not ispresent(message) or message != "metrics") or type = "platform.report" and record.status != "success"
| sort @timestamp desc
| limit 10000"#,
    },
    Known {
        name: "slowest",
        about: "the slowest requests",
        query: r"fields @timestamp, route, status, durationMs, coldStart, requestId
| filter ispresent(durationMs) and ispresent(route)
| sort durationMs desc
| limit 20",
    },
    Known {
        name: "cold-starts",
        about: "how many environments began, and how long that took",
        query: r#"filter type = "platform.report" and ispresent(record.metrics.initDurationMs)
| stats count(*) as starts, avg(record.metrics.initDurationMs) as avg_ms, max(record.metrics.initDurationMs) as max_ms by @log
| sort starts desc"#,
    },
    Known {
        name: "latency",
        about: "requests and latency by route",
        query: r"filter ispresent(route) and ispresent(durationMs)
| stats count(*) as requests, pct(durationMs, 50) as p50, pct(durationMs, 90) as p90, pct(durationMs, 99) as p99, max(durationMs) as max by route
| sort p99 desc",
    },
];

/// The answer: rows of texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    /// Names of the columns, in the order of the query.
    pub columns: Vec<String>,
    /// Values by column; none where a row has none.
    pub rows: Vec<Vec<Option<String>>>,
    /// Lines that matched.
    pub matched: f64,
    /// Lines that were looked at.
    pub scanned: f64,
    /// Bytes that were looked at: what AWS charges for.
    pub bytes: f64,
}

/// Most groups of one query.
const GROUPS: usize = 50;
/// Most rows of an answer.
const ROWS: i32 = 10_000;
/// AWS gives up after an hour.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Asks, and waits for the answer. `from` and `to` are Unix seconds.
pub async fn ask(context: &Context, groups: &[Group], query: &str, from: i64, to: i64) -> Result<Answer, AwsError> {
    if groups.len() > GROUPS {
        return Err(AwsError::own(
            "logs",
            "StartQuery",
            ErrorKind::Invalid,
            format!(
                "a query takes at most {GROUPS} log groups, here are {}: name the functions",
                groups.len()
            ),
        ));
    }
    let client = &context.clients().logs;
    let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    let started = context
        .call(op("logs", "StartQuery"), || {
            client
                .start_query()
                .set_log_group_names(Some(names.clone()))
                .query_string(query)
                .start_time(from)
                .end_time(to)
                .limit(ROWS)
                .send()
        })
        .await?;
    let id = started.query_id.unwrap_or_default();
    let polling = context.poll("query's answer", LIMIT, || async {
        let answer = context
            .call(op("logs", "GetQueryResults"), || {
                client.get_query_results().query_id(&id).send()
            })
            .await?;
        match answer.status() {
            Some(QueryStatus::Complete) => Ok(Some(answer)),
            Some(status @ (QueryStatus::Failed | QueryStatus::Cancelled | QueryStatus::Timeout)) => Err(failed(
                ErrorKind::Invalid,
                format!("the query ended as {}", status.as_str()),
            )),
            _ => Ok(None),
        }
    });
    let answer = tokio::select! {
        answer = polling => answer?,
        () = context.cancel().cancelled() => {
            // Nobody waits for it any more, and AWS charges for what it looks at.
            let stop = op("logs", "StopQuery").even_when_stopped();
            let _ = context.call(stop, || client.stop_query().query_id(&id).send()).await;
            return Err(failed(ErrorKind::Interrupted, "stopped".to_owned()));
        }
    };
    let statistics = answer.statistics;
    let of = |what: fn(&QueryStatistics) -> f64| statistics.as_ref().map_or(0.0, what);
    Ok(Answer {
        matched: of(QueryStatistics::records_matched),
        scanned: of(QueryStatistics::records_scanned),
        bytes: of(QueryStatistics::bytes_scanned),
        ..table(answer.results.unwrap_or_default())
    })
}

fn failed(kind: ErrorKind, why: String) -> AwsError {
    AwsError::own("logs", "GetQueryResults", kind, why)
}

/// Rows hold only the fields they have; the columns are all that occur. `@ptr` leads nowhere here.
fn table(results: Vec<Vec<ResultField>>) -> Answer {
    let mut columns: Vec<String> = Vec::new();
    for field in results.iter().flatten().filter_map(ResultField::field) {
        if field != "@ptr" && !columns.iter().any(|column| column == field) {
            columns.push(field.to_owned());
        }
    }
    let rows = results.iter().map(|row| {
        let value = |column: &String| {
            row.iter()
                .find(|one| one.field() == Some(column))?
                .value()
                .map(str::to_owned)
        };
        columns.iter().map(value).collect()
    });
    Answer {
        rows: rows.collect(),
        columns: columns.clone(),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_lack_fields() {
        let row = |fields: &[(&str, &str)]| -> Vec<ResultField> {
            fields
                .iter()
                .map(|(field, value)| ResultField::builder().field(*field).value(*value).build())
                .collect()
        };
        let answer = table(vec![
            row(&[("route", "GET /a"), ("@ptr", "xyz")]),
            row(&[("route", "GET /b"), ("p99", "12")]),
        ]);
        assert_eq!(answer.columns, ["route", "p99"]);
        assert_eq!(answer.rows[0], [Some("GET /a".to_owned()), None]);
        assert_eq!(answer.rows[1], [Some("GET /b".to_owned()), Some("12".to_owned())]);
    }
}
