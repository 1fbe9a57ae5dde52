//! What people on call really meet, found in logs, metrics and settings: each with its fix.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::alarms;
use super::logs::{CloudWatchLogs, LogEvent, Window, read};
use super::metrics::{self, FunctionMetrics, Measures};
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::sns;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Symptom {
    /// Kind: `denied`, `library`, `crash`, `timeout`, `throttled`, `cold-starts`, `unconfirmed`.
    pub kind: &'static str,
    /// What was seen.
    pub found: String,
    /// What to do.
    pub fix: String,
    /// Whether requests fail of it.
    pub hurts: bool,
}

/// How far back it looks.
pub const BACK: Duration = Duration::from_secs(3_600);
/// Lines that say why something fails.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
const PATTERN: &str = r#"?"not authorized to perform" ?GLIBC_ ?"Runtime.ExitError" ?"Runtime.InvalidEntrypoint" ?"Task timed out" ?"\"status\":\"timeout\"""#;
/// A share of cold starts that users notice.
const COLD: f64 = 0.05;
/// Fewer requests say nothing about cold starts.
const ENOUGH: f64 = 50.0;

/// Looks for what is wrong with a stage.
pub async fn examine(context: &Context) -> Result<Vec<Symptom>, AwsError> {
    let now = context.now();
    let logs = CloudWatchLogs::new(context.clone());
    let of_logs = async {
        let groups = logs.groups().await?;
        let window = Window {
            from: now.as_millisecond() - i64::try_from(BACK.as_millis()).unwrap_or(0),
            to: None,
            pattern: Some(PATTERN.to_owned()),
        };
        read(&logs, &groups, &window).await
    };
    let window = metrics::Window::of(BACK, now);
    let nothing = Default::default();
    let of_metrics = metrics::read(context, &window, &nothing);
    let (events, metrics, mails) = futures::try_join!(of_logs, of_metrics, unconfirmed(context))?;
    let mut symptoms = in_logs(&events);
    symptoms.extend(
        metrics
            .iter()
            .flat_map(|metrics| &metrics.functions)
            .flat_map(in_metrics),
    );
    symptoms.extend(mails);
    symptoms.sort_by(|a, b| (!a.hurts, a).cmp(&(!b.hurts, b)));
    Ok(symptoms)
}

async fn unconfirmed(context: &Context) -> Result<Vec<Symptom>, AwsError> {
    let mut topics: Vec<String> = alarms::read(context, None)
        .await?
        .into_iter()
        .flat_map(|alarm| alarm.notifies)
        .filter(|arn| arn.contains(":sns:"))
        .collect();
    topics.sort();
    topics.dedup();
    let mut symptoms = Vec::new();
    for topic in topics {
        for email in sns::topic::unconfirmed(context, &topic).await? {
            symptoms.push(Symptom {
                kind: "unconfirmed",
                found: format!("{email} is not told of alarms: the subscription waits for a yes"),
                fix: "open the mail `AWS Notification - Subscription Confirmation` and follow its link; it is asked again by \
                      removing the address, deploying, and adding it back"
                    .to_owned(),
                hurts: false,
            });
        }
    }
    Ok(symptoms)
}

/// What lines say: by function and cause, with how often.
fn in_logs(events: &[LogEvent]) -> Vec<Symptom> {
    let mut counts: BTreeMap<Symptom, u64> = BTreeMap::new();
    for event in events {
        if let Some(symptom) = of_line(&event.source, &event.message) {
            *counts.entry(symptom).or_default() += 1;
        }
    }
    let times = |count: u64| match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    counts
        .into_iter()
        .map(|(symptom, count)| Symptom {
            found: format!("{}, {} in the last hour", symptom.found, times(count)),
            ..symptom
        })
        .collect()
}

fn of_line(function: &str, message: &str) -> Option<Symptom> {
    let symptom = |kind, found: String, fix: String| Symptom {
        kind,
        found,
        fix,
        hurts: true,
    };
    if let Some((_, after)) = message.split_once("not authorized to perform") {
        let word = |text: &str| {
            let text = text.trim_start_matches(|one: char| one == ':' || one.is_whitespace());
            let end = text
                .find(|one: char| one.is_whitespace() || "\"\\,".contains(one))
                .unwrap_or(text.len());
            text[..end].to_owned()
        };
        let action = word(after);
        let resource = after
            .split_once("on resource")
            .map(|(_, resource)| format!(" on {}", word(resource)))
            .unwrap_or_default();
        return Some(symptom(
            "denied",
            format!("function {function} may not {action}{resource}"),
            format!("add the access to `functions.{function}.grants` in the template and deploy"),
        ));
    }
    if let Some((_, after)) = message.split_once("GLIBC_") {
        let version: String = after
            .chars()
            .take_while(|one| one.is_ascii_digit() || *one == '.')
            .collect();
        return Some(symptom(
            "library",
            format!("function {function} wants GLIBC {version}, Lambda's Amazon Linux 2023 has 2.34"),
            "build with taskctl (it links what Lambda has), or for a `-musl` target".to_owned(),
        ));
    }
    if message.contains("Runtime.ExitError") || message.contains("Runtime.InvalidEntrypoint") {
        return Some(symptom(
            "crash",
            format!("function {function} ends or does not begin: its runtime exits"),
            format!("taskctl logs {function} --format raw --since 1h; the lines before the exit say why"),
        ));
    }
    if message.contains("Task timed out") || message.contains("\"status\":\"timeout\"") {
        return Some(symptom(
            "timeout",
            format!("function {function} runs into its timeout"),
            format!(
                "taskctl logs --query slowest {function}; raise `timeout` or `memory` (which is also its share of a processor)"
            ),
        ));
    }
    None
}

/// What numbers say of a function.
fn in_metrics(function: &FunctionMetrics) -> Vec<Symptom> {
    let name = &function.name;
    let total = |measures: &Measures, what: &str| measures.get(what).and_then(|series| series.total).unwrap_or(0.0);
    let mut symptoms = Vec::new();
    let throttles = total(&function.all, "throttles");
    if throttles > 0.0 {
        symptoms.push(Symptom {
            kind: "throttled",
            found: format!("{throttles:.0} calls of function {name} were turned away in the last hour"),
            fix: format!(
                "raise `functions.{name}.reserved_concurrency`, or the account's concurrency: \
                 https://console.aws.amazon.com/servicequotas/home/services/lambda/quotas/L-B99A9384"
            ),
            hurts: true,
        });
    }
    let sum = |what: &str| {
        function
            .versions
            .iter()
            .map(|version| total(&version.measures, what))
            .sum::<f64>()
    };
    let (cold, requests) = (sum("cold_starts"), sum(metrics::REQUESTS));
    if requests >= ENOUGH && cold > requests * COLD {
        symptoms.push(Symptom {
            kind: "cold-starts",
            found: format!(
                "{:.0} % of the requests of function {name} wait for a cold start",
                cold * 100.0 / requests
            ),
            fix: format!(
                "`warmup: true` keeps one environment warm; more `functions.{name}.memory` makes starts faster"
            ),
            hurts: false,
        });
    }
    symptoms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Series, VersionMetrics};

    #[test]
    fn lines_name_their_cause() {
        let lines = [
            r#"{"level":"ERROR","error":"put user: User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: dynamodb:PutItem on resource: arn:aws:dynamodb:eu-central-1:1:table/users because no identity-based policy allows it"}"#,
            "/var/task/bootstrap: /lib64/libc.so.6: version `GLIBC_2.38' not found (required by /var/task/bootstrap)",
            r#"{"type":"platform.report","record":{"status":"error","errorType":"Runtime.ExitError"}}"#,
            r#"{"type":"platform.report","record":{"requestId":"1","status":"timeout"}}"#,
            "all is well",
        ];
        let event = |message: &&str| LogEvent {
            id: String::new(),
            source: "users".to_owned(),
            stream: String::new(),
            timestamp: 0,
            message: (*message).to_owned(),
        };
        let mut events: Vec<LogEvent> = lines.iter().map(event).collect();
        events.extend(events.first().cloned());
        let found: Vec<String> = in_logs(&events).into_iter().map(|symptom| symptom.found).collect();
        assert_eq!(
            found,
            [
                "function users ends or does not begin: its runtime exits, once in the last hour",
                "function users may not dynamodb:PutItem on arn:aws:dynamodb:eu-central-1:1:table/users, 2 times in the last hour",
                "function users wants GLIBC 2.38, Lambda's Amazon Linux 2023 has 2.34, once in the last hour",
                "function users runs into its timeout, once in the last hour",
            ]
        );
    }

    #[test]
    fn numbers_name_throttling_and_cold_starts() {
        let measures = |values: &[(&str, f64)]| -> Measures {
            let series = |total: f64| Series {
                unit: "count".to_owned(),
                total: Some(total),
                values: Vec::new(),
            };
            values
                .iter()
                .map(|(name, total)| ((*name).to_owned(), series(*total)))
                .collect()
        };
        let function = |throttles: f64, cold: f64| FunctionMetrics {
            name: "tasks".to_owned(),
            all: measures(&[("throttles", throttles)]),
            versions: vec![VersionMetrics {
                version: "1".to_owned(),
                releases: vec![1],
                measures: measures(&[("cold_starts", cold), ("requests", 100.0)]),
            }],
        };
        let kinds = |function: &FunctionMetrics| in_metrics(function).iter().map(|one| one.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&function(3.0, 20.0)), ["throttled", "cold-starts"]);
        assert_eq!(kinds(&function(0.0, 4.0)), Vec::<&str>::new());
    }
}
