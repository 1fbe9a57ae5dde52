//! A report as JUnit XML, as build servers read it: <https://github.com/testmoapp/junitxml>.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::run::{Outcome, Report, State};

type Xml = Writer<Vec<u8>>;

/// The report as XML.
pub fn junit(report: &Report) -> io::Result<String> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all: Vec<&Outcome> = report.checks.iter().collect();
    let mut suites: Vec<&str> = report.checks.iter().map(|check| check.suite.as_str()).collect();
    suites.dedup();
    xml.create_element("testsuites")
        .with_attribute(("name", printable(&report.url).as_str()))
        .with_attribute(("tests", all.len().to_string().as_str()))
        .with_attribute(("failures", failures(&all).as_str()))
        .with_attribute(("time", time(&all).as_str()))
        .write_inner_content(|xml| suites.iter().try_for_each(|name| suite(xml, name, &all)))?;
    let mut text = String::from_utf8(xml.into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

fn suite(xml: &mut Xml, name: &str, all: &[&Outcome]) -> io::Result<()> {
    let checks: Vec<&Outcome> = all.iter().filter(|check| check.suite == name).copied().collect();
    xml.create_element("testsuite")
        .with_attribute(("name", printable(name).as_str()))
        .with_attribute(("tests", checks.len().to_string().as_str()))
        .with_attribute(("failures", failures(&checks).as_str()))
        .with_attribute((
            "errors",
            count(&checks, |state| matches!(state, State::Unanswered { .. })).as_str(),
        ))
        .with_attribute((
            "skipped",
            count(&checks, |state| matches!(state, State::Skipped { .. })).as_str(),
        ))
        .with_attribute(("time", time(&checks).as_str()))
        .write_inner_content(|xml| checks.iter().try_for_each(|check| test_case(xml, check)))?;
    Ok(())
}

fn test_case(xml: &mut Xml, check: &Outcome) -> io::Result<()> {
    let case = xml
        .create_element("testcase")
        .with_attribute((
            "classname",
            printable(&format!("{}.{}", check.suite, check.folder.as_str())).as_str(),
        ))
        .with_attribute(("name", printable(&check.name).as_str()))
        .with_attribute(("assertions", check.assertions.len().to_string().as_str()))
        .with_attribute(("time", time(&[check]).as_str()));
    let element = |xml: &mut Xml, name: &str, message: &str| {
        let message = printable(message);
        let element = xml.create_element(name).with_attribute(("message", message.as_str()));
        element.write_empty().map(|_| ())
    };
    match &check.state {
        State::Passed => case.write_empty(),
        State::Skipped { reason } => case.write_inner_content(|xml| element(xml, "skipped", reason)),
        State::Unanswered { reason } => case.write_inner_content(|xml| element(xml, "error", reason)),
        State::Failed => case.write_inner_content(|xml| failure(xml, check)),
    }?;
    Ok(())
}

fn failure(xml: &mut Xml, check: &Outcome) -> io::Result<()> {
    let failed = check.assertions.iter();
    let failed = failed.filter_map(|one| one.failure.clone());
    let failed: Vec<String> = failed.collect();
    let first = printable(failed.first().map(String::as_str).unwrap_or_default());
    let text = printable(&format!("{}\n{}", check.request, failed.join("\n")));
    xml.create_element("failure")
        .with_attribute(("message", first.as_str()))
        .write_text_content(BytesText::new(&text))?;
    Ok(())
}

fn count(checks: &[&Outcome], is: fn(&State) -> bool) -> String {
    checks.iter().filter(|check| is(&check.state)).count().to_string()
}

fn failures(checks: &[&Outcome]) -> String {
    count(checks, |state| matches!(state, State::Failed))
}

/// Seconds that the answers took.
fn time(checks: &[&Outcome]) -> String {
    let millis: u64 = checks.iter().filter_map(|check| check.millis).sum();
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Text that XML 1.0 can carry: other characters become the replacement character.
fn printable(text: &str) -> String {
    let is_other = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(is_other, "\u{fffd}")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::Folder;
    use crate::run::Verdict;

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
                outcome("bad", State::Failed, Some("status: expected 200, got 500 & \u{1b}[31m")),
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
        insta::assert_snapshot!(junit(&report).unwrap());
    }
}
