//! Runs checks against a URL: suites side by side, the checks of a suite one after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::assertion::{Assertion, Test};
use crate::model::{Capture, Check, Folder, Suite};
use crate::variables::{Variables, fill, fill_value};

/// A request on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Method.
    pub method: String,
    /// URL.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    /// Status.
    pub status: u16,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// From the request to the end of the body.
    pub elapsed: Duration,
}

impl Incoming {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(seen, _)| seen.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Sends requests.
#[async_trait]
pub trait Client: Send + Sync {
    /// Sends one. An error is a text for people.
    async fn send(&self, request: Outgoing) -> Result<Incoming, String>;
    /// Whether the operator wants to stop.
    fn is_stopped(&self) -> bool;
    /// Waits until the operator wants to stop.
    async fn stopped(&self);
}

/// Whether checks that change data are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// They are.
    Allowed,
    /// They are left out.
    Refused,
}

/// Options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only checks of these folders; empty = all.
    pub folders: Vec<Folder>,
    /// Whether checks that change data are run.
    pub writes: Writes,
}

/// The results of all checks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The URL that was checked.
    pub url: String,
    /// In the order of suites and checks.
    pub checks: Vec<Outcome>,
}

/// The result of a check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Outcome {
    /// Suite.
    pub suite: String,
    /// Folder.
    pub folder: Folder,
    /// Name.
    pub name: String,
    /// `POST /tasks`.
    pub request: String,
    /// How it ended.
    #[serde(flatten)]
    pub state: State,
    /// Status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Time until the answer was there, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// `x-request-id` of the answer: what logs are searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The verdicts.
    pub assertions: Vec<Verdict>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// All assertions hold.
    Passed,
    /// Some do not.
    Failed,
    /// There was no answer.
    Unanswered {
        /// Why.
        reason: String,
    },
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// The result of an assertion.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Verdict {
    /// What should hold.
    pub assertion: String,
    /// What was expected, and what was seen instead; none: it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.checks
            .iter()
            .all(|check| matches!(check.state, State::Passed | State::Skipped { .. }))
    }

    /// Whether a check that failed was answered with 5xx.
    pub fn has_server_error(&self) -> bool {
        let mut failed = self.checks.iter().filter(|check| check.state == State::Failed);
        failed.any(|check| check.status.is_some_and(|status| status >= 500))
    }

    /// Number of assertions that were judged.
    pub fn asserted(&self) -> usize {
        self.checks.iter().map(|check| check.assertions.len()).sum()
    }

    /// Number of assertions that do not hold.
    pub fn broken(&self) -> usize {
        let verdicts = self.checks.iter().flat_map(|check| &check.assertions);
        verdicts.filter(|verdict| verdict.failure.is_some()).count()
    }

    /// One line for each check that failed.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.checks.iter().filter_map(|check| {
            let what = match &check.state {
                State::Unanswered { reason } => reason.clone(),
                State::Failed => check
                    .assertions
                    .iter()
                    .filter_map(|verdict| verdict.failure.clone())
                    .collect::<Vec<_>>()
                    .join(", "),
                State::Passed | State::Skipped { .. } => return None,
            };
            Some(format!("{} ({}): {what}", check.name, check.request))
        });
        failures.collect()
    }
}

/// Runs the checks. Never an error: failures are part of the report.
pub async fn run(suites: &[Suite], url: &str, options: &Options, client: Arc<dyn Client>) -> Report {
    let url = url.trim_end_matches('/');
    let ran = suites
        .iter()
        .map(|suite| run_suite(suite, url, options, client.as_ref()));
    Report {
        url: url.to_owned(),
        checks: join_all(ran).await.into_iter().flatten().collect(),
    }
}

async fn run_suite(suite: &Suite, url: &str, options: &Options, client: &dyn Client) -> Vec<Outcome> {
    let mut variables = Variables::new();
    for (name, value) in &suite.variables {
        let filled = fill(value, &variables).unwrap_or_else(|_| value.clone());
        variables.insert(name.clone(), filled);
    }
    let mut outcomes = Vec::new();
    for check in &suite.checks {
        if !options.folders.is_empty() && !options.folders.contains(&check.folder) && !check.cleanup {
            continue;
        }
        outcomes.push(run_check(suite, check, url, options, client, &mut variables).await);
    }
    outcomes
}

async fn run_check(
    suite: &Suite,
    check: &Check,
    url: &str,
    options: &Options,
    client: &dyn Client,
    variables: &mut Variables,
) -> Outcome {
    let mut outcome = Outcome {
        suite: suite.name.clone(),
        folder: check.folder,
        name: check.name.clone(),
        request: check.line(),
        state: State::Passed,
        status: None,
        millis: None,
        request_id: None,
        assertions: Vec::new(),
    };
    let skipped = |reason: String| State::Skipped { reason };
    if check.writes && options.writes == Writes::Refused {
        outcome.state = skipped("it changes data; --allow-writes runs it".to_owned());
        return outcome;
    }
    if client.is_stopped() && !check.cleanup {
        outcome.state = skipped("stopped".to_owned());
        return outcome;
    }
    let prepared = prepare(check, url, variables).and_then(|request| Ok((request, filled(check, variables)?)));
    let (request, assertions) = match prepared {
        Ok(prepared) => prepared,
        Err(missing) => {
            outcome.state = skipped(format!("no earlier check captured `{missing}`"));
            return outcome;
        }
    };
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(reason) => {
            outcome.state = State::Unanswered { reason };
            return outcome;
        }
    };
    outcome.status = Some(answer.status);
    outcome.millis = u64::try_from(answer.elapsed.as_millis()).ok();
    outcome.request_id = answer.header("x-request-id").map(str::to_owned);
    for assertion in &assertions {
        let failure = assertion.judge(&answer).err();
        if failure.is_some() {
            outcome.state = State::Failed;
        }
        outcome.assertions.push(Verdict {
            assertion: assertion.to_string(),
            failure,
        });
    }
    // What a wrong answer says is not built upon.
    if outcome.state == State::Passed {
        capture(check, &answer, variables);
    }
    outcome
}

/// What a URL cannot carry as it is; what is encoded already stays so. Postman does the same.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

pub(crate) fn prepare(check: &Check, url: &str, variables: &Variables) -> Result<Outgoing, String> {
    let request = &check.request;
    let target = match (&request.path, &request.url) {
        (Some(path), _) => format!("{url}{}", fill(path, variables)?),
        (None, Some(whole)) => fill(whole, variables)?,
        (None, None) => url.to_owned(),
    };
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| Ok((name.to_ascii_lowercase(), fill(value, variables)?)))
        .collect::<Result<_, String>>()?;
    let body = match (&request.json, &request.body) {
        (Some(json), _) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            Some(fill_value(json, variables)?.to_string())
        }
        (None, Some(body)) => Some(fill(body, variables)?),
        (None, None) => None,
    };
    Ok(Outgoing {
        method: request.method.clone(),
        url: utf8_percent_encode(&target, UNSAFE).to_string(),
        headers,
        body,
    })
}

fn filled(check: &Check, variables: &Variables) -> Result<Vec<Assertion>, String> {
    check
        .assertions
        .iter()
        .map(|assertion| {
            let test = match &assertion.test {
                Test::Equals(value) => Test::Equals(fill_value(value, variables)?),
                Test::Contains(value) => Test::Contains(fill_value(value, variables)?),
                Test::Lacks(value) => Test::Lacks(fill_value(value, variables)?),
                other => other.clone(),
            };
            let subject = assertion.subject.clone();
            Ok(Assertion { subject, test })
        })
        .collect()
}

pub(crate) fn capture(check: &Check, answer: &Incoming, variables: &mut Variables) {
    let json = answer.json();
    let captured: BTreeMap<&String, String> = check
        .capture
        .iter()
        .filter_map(|(name, place)| {
            let value = match place {
                Capture::Header(header) => answer.header(header)?.to_owned(),
                Capture::Json(path) => match path.of(json.as_ref()?)? {
                    Value::String(text) => text.clone(),
                    Value::Null => return None,
                    other => other.to_string(),
                },
            };
            Some((name, value))
        })
        .collect();
    for (name, value) in captured {
        variables.insert(name.clone(), value);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::parse;

    /// Answers from a list; keeps what it was asked.
    struct Scripted {
        answers: Mutex<Vec<Result<Incoming, String>>>,
        asked: Mutex<Vec<Outgoing>>,
        stops_after: usize,
    }

    #[async_trait]
    impl Client for Scripted {
        async fn send(&self, request: Outgoing) -> Result<Incoming, String> {
            self.asked.lock().unwrap().push(request);
            self.answers.lock().unwrap().remove(0)
        }

        fn is_stopped(&self) -> bool {
            self.asked.lock().unwrap().len() >= self.stops_after
        }

        async fn stopped(&self) {
            std::future::pending().await
        }
    }

    fn answer(status: u16, body: &str) -> Result<Incoming, String> {
        Ok(Incoming {
            status,
            headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
            body: body.as_bytes().to_vec(),
            elapsed: Duration::from_millis(7),
        })
    }

    const SUITE: &str = r#"
variables: {title: "Check {{uuid}}"}
checks:
  - name: create
    folder: functional
    writes: true
    request: {method: POST, path: /tasks, json: {title: "{{title}}"}}
    expect: {status: 201, json: {$.data.title: "{{title}}"}, latency: 1s}
    capture: {id: $.taskId, tag: header ETag}
  - name: read
    folder: functional
    request: {path: "/tasks/{{id}}", headers: {If-Match: "{{tag}}"}}
    expect: {status: 200}
  - name: delete
    folder: integration
    writes: true
    cleanup: true
    request: {method: DELETE, path: "/tasks/{{id}}"}
    expect: {status: 204}
"#;

    async fn ran(
        answers: Vec<Result<Incoming, String>>,
        writes: Writes,
        stops_after: usize,
    ) -> (Report, Vec<Outgoing>) {
        let client = Arc::new(Scripted {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
            stops_after,
        });
        let suite = parse("tasks.yaml", SUITE).unwrap();
        let options = Options {
            folders: Vec::new(),
            writes,
        };
        let report = run(
            &[suite],
            "http://x/preview/",
            &options,
            Arc::clone(&client) as Arc<dyn Client>,
        )
        .await;
        let asked = client.asked.lock().unwrap().clone();
        (report, asked)
    }

    fn states(report: &Report) -> Vec<&'static str> {
        let told = report.checks.iter().map(|check| match check.state {
            State::Passed => "passed",
            State::Failed => "failed",
            State::Unanswered { .. } => "unanswered",
            State::Skipped { .. } => "skipped",
        });
        told.collect()
    }

    #[tokio::test]
    async fn what_is_captured_is_used_and_what_fails_is_told() {
        let body = r#"{"taskId": "t1", "data": {"title": "another"}}"#;
        let (report, _) = ran(vec![answer(201, body)], Writes::Allowed, 9).await;
        assert_eq!(states(&report), ["failed", "skipped", "skipped"]);
        assert!(report.failures()[0].contains("got another"), "{:?}", report.failures());
        assert_eq!((report.asserted(), report.broken()), (3, 1));
    }

    #[tokio::test]
    async fn a_stop_still_cleans_up() {
        let suite = parse("tasks.yaml", SUITE).unwrap();
        let title = suite.variables["title"].clone();
        assert!(title.contains("{{uuid}}"));
        let body = r#"{"taskId": "t1"}"#;
        let without = SUITE.replace("json: {$.data.title: \"{{title}}\"}, ", "");
        let suite = parse("tasks.yaml", &without).unwrap();
        let client = Arc::new(Scripted {
            answers: Mutex::new(vec![answer(201, body), answer(204, "")]),
            asked: Mutex::default(),
            stops_after: 1,
        });
        let options = Options {
            folders: Vec::new(),
            writes: Writes::Allowed,
        };
        let report = run(&[suite], "http://x", &options, Arc::clone(&client) as Arc<dyn Client>).await;
        assert_eq!(states(&report), ["passed", "skipped", "passed"]);
        let asked = client.asked.lock().unwrap().clone();
        assert_eq!(asked[1].url, "http://x/tasks/t1");
        assert!(asked[0].body.as_ref().unwrap().contains("Check "));
    }

    #[tokio::test]
    async fn paths_and_queries_are_encoded() {
        let sent = |path: &str| {
            let text = format!(
                "checks:\n  - {{name: a, folder: functional, request: {{path: {}}}, expect: {{status: 200}}}}",
                serde_json::json!(path)
            );
            let suite = parse("a.yaml", &text).unwrap();
            prepare(&suite.checks[0], "http://x", &Variables::new()).unwrap().url
        };
        for (path, url) in [
            (
                "/tasks?tag=b\u{fc}ro und \"mehr\"",
                "http://x/tasks?tag=b%C3%BCro%20und%20%22mehr%22",
            ),
            ("/a b/\u{1f600}/[1]", "http://x/a%20b/%F0%9F%98%80/[1]"),
            (
                "/a%20b?c=1&d=e+f;g=@:~!$'()*,-._",
                "http://x/a%20b?c=1&d=e+f;g=@:~!$'()*,-._",
            ),
            ("/{id}|<x>\\^`", "http://x/%7Bid%7D%7C%3Cx%3E%5C%5E%60"),
        ] {
            assert_eq!(sent(path), url, "{path}");
        }
    }

    #[tokio::test]
    async fn what_changes_data_needs_leave() {
        let (report, asked) = ran(Vec::new(), Writes::Refused, 9).await;
        assert_eq!(states(&report), ["skipped", "skipped", "skipped"]);
        assert!(asked.is_empty() && report.is_good());
        let (report, _) = ran(vec![Err("connection refused".to_owned())], Writes::Allowed, 9).await;
        assert_eq!(states(&report)[0], "unanswered");
        assert!(!report.is_good());
    }
}
