//! A report as JUnit XML, as build servers read it: <https://github.com/testmoapp/junitxml>.

use std::fmt::Write as _;

use crate::run::{Report, State};

/// The report as XML.
pub fn junit(report: &Report) -> String {
    let seconds = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
    let millis = |check: &crate::run::Outcome| check.millis.unwrap_or(0);
    let failed = |state: &State| matches!(state, State::Failed);
    let total: u64 = report.checks.iter().map(millis).sum();
    let mut suites: Vec<&str> = report.checks.iter().map(|check| check.suite.as_str()).collect();
    suites.dedup();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" time=\"{}\">",
        escaped(&report.url),
        report.checks.len(),
        report.checks.iter().filter(|check| failed(&check.state)).count(),
        seconds(total)
    );
    for suite in suites {
        let of_suite: Vec<_> = report.checks.iter().filter(|check| check.suite == suite).collect();
        let count = |is: fn(&State) -> bool| of_suite.iter().filter(|check| is(&check.state)).count();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\">",
            escaped(suite),
            of_suite.len(),
            count(|state| matches!(state, State::Failed)),
            count(|state| matches!(state, State::Unanswered { .. })),
            count(|state| matches!(state, State::Skipped { .. })),
            seconds(of_suite.iter().map(|check| millis(check)).sum())
        );
        for check in of_suite {
            let _ = write!(
                xml,
                "    <testcase classname=\"{}.{}\" name=\"{}\" assertions=\"{}\" time=\"{}\"",
                escaped(suite),
                check.folder.as_str(),
                escaped(&check.name),
                check.assertions.len(),
                seconds(millis(check))
            );
            let _ = match &check.state {
                State::Passed => writeln!(xml, "/>"),
                State::Skipped { reason } => {
                    writeln!(xml, "><skipped message=\"{}\"/></testcase>", escaped(reason))
                }
                State::Unanswered { reason } => {
                    writeln!(xml, "><error message=\"{}\"/></testcase>", escaped(reason))
                }
                State::Failed => {
                    let broken: Vec<String> = check
                        .assertions
                        .iter()
                        .filter_map(|one| Some(format!("{}: {}", one.assertion, one.failure.as_ref()?)))
                        .collect();
                    let all = broken.join("\n");
                    let first = broken.first().map(String::as_str).unwrap_or_default();
                    writeln!(
                        xml,
                        "><failure message=\"{}\">{}</failure></testcase>",
                        escaped(first),
                        escaped(&format!("{}\n{all}", check.request))
                    )
                }
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text in XML; what XML 1.0 cannot carry becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Folder;
    use crate::run::{Outcome, Verdict};

    #[test]
    fn a_report_is_well_formed() {
        let outcome = |name: &str, state: State, failure: Option<&str>| Outcome {
            suite: "tasks".to_owned(),
            folder: Folder::Functional,
            name: name.to_owned(),
            request: "GET /tasks".to_owned(),
            state,
            status: Some(200),
            millis: Some(1042),
            request_id: None,
            assertions: vec![Verdict {
                assertion: "status is 200".to_owned(),
                failure: failure.map(str::to_owned),
            }],
        };
        let skipped = State::Skipped {
            reason: "it \"writes\"".to_owned(),
        };
        let report = Report {
            url: "http://x".to_owned(),
            checks: vec![
                outcome("a <good> one", State::Passed, None),
                outcome("bad", State::Failed, Some("it is 500 & \u{1b}[31m")),
                outcome("not run", skipped, None),
                outcome(
                    "gone",
                    State::Unanswered {
                        reason: "connection refused".to_owned(),
                    },
                    None,
                ),
            ],
        };
        insta::assert_snapshot!(junit(&report));
    }
}
