//! Every reporter over recorded events, with and without colours, at 80 and 120 columns.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use taskctl_stack::event::{ErrorReport, Event, Evidence};
use taskctl_stack::template::{Options, Source, load};

use super::plan::Details;
use super::*;
use crate::exit::Exit;
use crate::failure::{Failure, Message};
use crate::ui::progress::Live;
use crate::ui::progress::tests::Screen;
use crate::ui::style::{Motion, Paint, Reader, Style, lines};

/// A deploy in which something of everything happens.
const EVENTFUL: &str = include_str!("testdata/eventful.jsonl");
/// A deploy that had nothing to do.
const QUIET: &str = include_str!("testdata/quiet.jsonl");
/// A promotion by canary, and a rollback.
const CANARY: &str = include_str!("testdata/canary.jsonl");

fn recorded(lines: &str) -> Vec<(Timestamp, Event)> {
    let read = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = value["time"].as_str().unwrap().parse().unwrap();
        (time, serde_json::from_value(value).unwrap())
    };
    lines.lines().map(read).collect()
}

/// Collects what is written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn out(&self) -> Out {
        Box::new(self.clone())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn style(width: usize, paint: Paint) -> Style {
    Style {
        paint,
        width,
        reader: Reader::Terminal,
        ..Style::PLAIN
    }
}

fn command_hint() -> CommandHint {
    CommandHint {
        flags: " --stage prod".to_owned(),
        again: "taskctl deploy --stage prod --artifacts packages".to_owned(),
    }
}

/// The name that an event has in JSON.
fn name(event: &Event) -> String {
    serde_json::to_value(event).unwrap()["event"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The names of all events, from their schema.
fn names() -> BTreeSet<String> {
    let schema = serde_json::to_value(schemars::schema_for!(Event)).unwrap();
    let name = |variant: &serde_json::Value| variant["properties"]["event"]["const"].as_str().unwrap().to_owned();
    schema["oneOf"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_recordings_have_every_event_and_the_document_too() {
    let recorded = [EVENTFUL, QUIET, CANARY].into_iter().flat_map(recorded);
    let recorded: BTreeSet<String> = recorded.map(|(_, event)| name(&event)).collect();
    assert_eq!(recorded, names());
    let document = include_str!("../../../docs/events.md");
    for name in recorded.iter().map(String::as_str).chain(["error"]) {
        assert!(
            document.contains(&format!("### `{name}`")),
            "docs/events.md lacks {name}"
        );
    }
}

fn human(lines: &str, purpose: Purpose, width: usize, paint: Paint, details: Details) -> String {
    let (out, err) = (Page::default(), Page::default());
    let style = style(width, paint);
    let mut human = Human::new(
        (out.out(), style),
        (StderrSink::Lines(err.out()), style),
        purpose,
        command_hint(),
        details,
        Trace::Off,
    );
    for (time, event) in recorded(lines) {
        human.event(time, &event);
    }
    human.rest();
    format!("--- stdout\n{}--- stderr\n{}", out.text(), err.text())
}

#[test]
fn readme_shows_a_promotion_and_a_rollback() {
    let screen = |events: &[Event]| {
        let err = Page::default();
        let mut human = Human::new(
            (Page::default().out(), Style::PLAIN),
            (StderrSink::Lines(err.out()), Style::PLAIN),
            Purpose::Change,
            command_hint(),
            Details::Changes,
            Trace::Off,
        );
        for event in events {
            human.event(Timestamp::UNIX_EPOCH, event);
        }
        err.text()
    };
    let promotion = screen(&[
        Event::Checked {
            release: 2,
            requests: 23,
            assertions: 59,
        },
        Event::Promoted {
            release: 2,
            color: "green".to_owned(),
            previous: Some(1),
        },
        Event::Confirmed {
            release: 2,
            requests: 20,
            tail_millis: 0,
            by: Evidence::Answers,
        },
    ]);
    insta::assert_snapshot!("promotion", promotion);
    crate::readme::check("taskctl promote --local --yes", &promotion);
    let unnamed = screen(&[Event::Confirmed {
        release: 2,
        requests: 20,
        tail_millis: 0,
        by: Evidence::Status,
    }]);
    insta::assert_snapshot!("confirmed_by_status", unnamed);
    let rollback = screen(&[Event::RolledBack {
        release: 1,
        color: "blue".to_owned(),
        from: Some(2),
    }]);
    insta::assert_snapshot!("rollback", rollback);
    crate::readme::check("taskctl rollback --local --yes", &rollback);
}

/// No line is wider than the terminal, but for what is meant to be copied whole and what others said.
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        let is_whole = line.contains("http") || line.contains("cargo build");
        assert!(
            is_whole || crate::ui::text::columns(line) <= width,
            "wider than {width}: {line}"
        );
    }
}

#[test]
fn a_person_without_a_terminal_reads_lines() {
    for width in [80, 120] {
        let text = human(EVENTFUL, Purpose::Change, width, Paint::Plain, Details::Changes);
        assert!(!text.contains('\u{1b}'));
        assert_fits(&text, width);
        insta::assert_snapshot!(format!("human_{width}_plain"), text);
        let colored = human(EVENTFUL, Purpose::Change, width, Paint::Colored, Details::Changes);
        assert_eq!(console::strip_ansi_codes(&colored), text);
        insta::assert_snapshot!(format!("human_{width}_colored"), colored.replace('\u{1b}', "ESC"));
    }
}

#[test]
fn a_plan_is_the_answer_of_plan() {
    let plan = |lines, details| {
        move |style: &Style| {
            let text = human(lines, Purpose::Plan, style.width, style.paint, details);
            assert_fits(&console::strip_ansi_codes(&text), style.width);
            text
        }
    };
    lines("plan", plan(EVENTFUL, Details::Changes));
    lines("plan_whole", plan(EVENTFUL, Details::Everything));
    lines("plan_nothing", plan(QUIET, Details::Changes));
}

#[test]
fn where_it_answers_is_the_answer_of_deploy() {
    lines("deploy_nothing", |style| {
        human(QUIET, Purpose::Change, style.width, style.paint, Details::Changes)
    });
}

#[test]
fn a_promotion_by_canary_and_a_rollback_are_reported() {
    lines("canary", |style| {
        let text = human(CANARY, Purpose::Change, style.width, style.paint, Details::Changes);
        assert_fits(&console::strip_ansi_codes(&text), style.width);
        text
    });
    insta::assert_snapshot!("github_canary", github(CANARY, None));
    insta::assert_snapshot!("json_canary", json(CANARY, Trace::Off));
}

fn live(style: &Style, until: &str) -> String {
    let width = u16::try_from(style.width).unwrap();
    let (terminal, out) = (Screen::new(width, 61), Page::default());
    let style = Style {
        motion: Motion::Live,
        ..*style
    };
    let talk = StderrSink::Live(Box::new(Live::on(Box::new(terminal.clone()), style)));
    let mut human = Human::new(
        (out.out(), style),
        (talk, style),
        Purpose::Change,
        command_hint(),
        Details::Changes,
        Trace::Off,
    );
    for (time, event) in recorded(EVENTFUL) {
        human.event(time, &event);
        if name(&event) == until && time.as_millisecond() % 60_000 > 4_000 {
            break;
        }
    }
    match style.paint {
        Paint::Plain => terminal.contents(),
        Paint::Colored => terminal.contents_formatted(),
    }
}

#[test]
fn a_person_at_a_terminal_sees_what_is_being_done() {
    lines("live_in_the_middle", |style| live(style, "retrying"));
    lines("live_at_the_end", |style| live(style, "finished"));
}

fn json(lines: &str, trace: Trace) -> String {
    let page = Page::default();
    let mut json = Json::new(page.out(), Box::new(std::io::sink()), Purpose::Change, trace);
    for (time, event) in recorded(lines) {
        json.event(time, &event);
    }
    json.failure(Timestamp::UNIX_EPOCH, &failure());
    page.text()
}

#[test]
fn a_program_reads_one_object_a_line() {
    let text = json(EVENTFUL, Trace::Off);
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let keys: Vec<&String> = object.as_object().unwrap().keys().take(3).collect();
        assert_eq!(keys, ["v", "time", "event"], "{line}");
    }
    assert!(!text.contains("\"call\""));
    assert!(json(EVENTFUL, Trace::Calls).contains("\"event\":\"call\""));
    insta::assert_snapshot!("json", text);
}

/// What a program read yesterday it reads tomorrow: a line is an event again.
#[test]
fn what_is_written_can_be_read_back() {
    let text = json(EVENTFUL, Trace::Calls);
    let events: Vec<Event> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let expected: Vec<Event> = recorded(EVENTFUL).into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, expected);
}

fn github(lines: &str, failure: Option<&Failure>) -> String {
    let (page, dir) = (Page::default(), tempfile::tempdir().unwrap());
    let summary = dir.path().join("summary.md");
    let mut github = Github::new(
        &|| page.out(),
        Some(summary.clone()),
        command_hint(),
        Details::Changes,
        Trace::Off,
    );
    for (time, event) in recorded(lines) {
        github.event(time, &event);
    }
    if let Some(failure) = failure {
        github.failure(Timestamp::UNIX_EPOCH, failure);
    }
    github.rest();
    format!(
        "{}--- summary\n{}",
        page.text(),
        std::fs::read_to_string(summary).unwrap()
    )
}

#[test]
fn github_gets_groups_annotations_and_a_summary() {
    insta::assert_snapshot!("github_eventful", github(EVENTFUL, None));
    insta::assert_snapshot!("github_quiet", github(QUIET, None));
    insta::assert_snapshot!("github_faults", github("", Some(&faults())));
}

#[test]
fn nobody_else_can_give_github_commands() {
    let text = github(EVENTFUL, Some(&failure()));
    let commands: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("::"))
        .filter_map(|line| line.split([' ', ':']).nth(2))
        .collect();
    assert_eq!(commands, BTreeSet::from(["endgroup", "error", "group", "warning"]));
    assert!(!text.contains("\n::error::not from here"), "{text}");
}

fn failure() -> Failure {
    let report = ErrorReport {
        message: "the functions do not compile".to_owned(),
        causes: vec!["error[E0425]: cannot find function `missing`\n --> src/bin/counter.rs:1:13\n  |\n1 | fn main() { missing(); }".to_owned()],
        hint: Some("fix the errors; to see only the build: (cd /work/platform && cargo build)".to_owned()),
    };
    Failure {
        exit: Exit::Error,
        message: Message::Report(report),
    }
}

fn faults() -> Failure {
    let source = Source::new("taskctl.yaml", "app: shop\nregion: eu-central-1\ntabels: {}\n");
    load(&source, "dev", &Options::default()).unwrap_err().into()
}

#[test]
fn an_error_is_told_once_with_its_cause_and_what_to_do() {
    for (name, failure) in [("error", failure()), ("faults", faults())] {
        lines(name, |style| {
            let (out, err) = (Page::default(), Page::default());
            let mut human = Human::new(
                (out.out(), *style),
                (StderrSink::Lines(err.out()), *style),
                Purpose::Change,
                command_hint(),
                Details::Changes,
                Trace::Off,
            );
            human.failure(Timestamp::UNIX_EPOCH, &failure);
            assert_eq!(out.text(), "");
            err.text()
        });
    }
}

/// The reporter as the commands use it: from many threads, in order of each, nothing lost.
#[test]
fn events_from_many_threads_all_arrive() {
    let page = Page::default();
    let reporter = Reporter::start(
        Box::new(Json::new(
            page.out(),
            Box::new(std::io::sink()),
            Purpose::Change,
            Trace::Off,
        )),
        CommandHint::default(),
    );
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let events = reporter.events();
            std::thread::spawn(move || {
                for number in 0..250 {
                    events.emit(Event::Note {
                        message: format!("{thread} {number:03}"),
                    });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    reporter.finish();
    let text = page.text();
    assert_eq!(text.lines().count(), 1_000);
    for thread in 0..4 {
        let mine: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(&format!("\"{thread} ")))
            .collect();
        let messages: Vec<&str> = mine
            .iter()
            .filter_map(|line| line.split("\"message\":").nth(1))
            .collect();
        assert!(messages.is_sorted() && messages.len() == 250);
    }
}

/// A reader that goes away ends neither the work nor the talk.
#[test]
fn a_closed_pipe_is_survived() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let reporter = Reporter::start(
        Box::new(Json::new(
            Box::new(Closed),
            Box::new(std::io::sink()),
            Purpose::Change,
            Trace::Off,
        )),
        CommandHint::default(),
    );
    for _ in 0..10 {
        reporter.emit(Event::Stopping);
    }
    reporter.finish();
}

/// An event whose texts all end as somebody else wants, but for those that name something.
fn with_text(value: &serde_json::Value, text: &str) -> Event {
    fn places(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
        use serde_json::Value::{Array, Object, String};
        match value {
            String(_) => found.push(at),
            Array(list) => (0..)
                .zip(list)
                .for_each(|(index, value): (usize, _)| places(value, format!("{at}/{index}"), found)),
            Object(fields) => fields.iter().for_each(|(name, value)| {
                places(
                    value,
                    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                )
            }),
            _ => {}
        }
    }
    let (mut found, mut changed) = (Vec::new(), value.clone());
    places(value, std::string::String::new(), &mut found);
    for place in found {
        let before = changed.clone();
        let Some(serde_json::Value::String(here)) = changed.pointer_mut(&place) else {
            continue;
        };
        here.push_str(text);
        // Words of a list, such as a verb, can only be themselves.
        if serde_json::from_value::<Event>(changed.clone()).is_err() {
            changed = before;
        }
    }
    serde_json::from_value(changed).unwrap()
}

mod fuzz {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::ui::guard::tests::{commands, hostile, obeyed};

    static EVENTS: LazyLock<Vec<serde_json::Value>> = LazyLock::new(|| {
        EVENTFUL
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    });

    fn failure(text: &str) -> Failure {
        Failure {
            exit: Exit::Error,
            message: Message::Report(ErrorReport {
                message: text.to_owned(),
                causes: vec![text.to_owned(), format!("a\n{text}")],
                hint: Some(text.to_owned()),
            }),
        }
    }

    fn template(text: &str) -> Failure {
        let source = Source::new(
            format!("{text}.yaml"),
            format!("app: shop\nregion: eu-central-1\n# {text}\n{text}: {{}}\ntabels: {{}}\n"),
        );
        load(&source, "dev", &Options::default()).map_or_else(Failure::from, |_| Failure::interrupted())
    }

    fn all(mut renderer: Box<dyn Renderer>, text: &str) {
        for value in EVENTS.iter() {
            renderer.event(Timestamp::UNIX_EPOCH, &with_text(value, text));
        }
        renderer.failure(Timestamp::UNIX_EPOCH, &self::failure(text));
        renderer.failure(Timestamp::UNIX_EPOCH, &template(text));
        renderer.annotation(text, text);
        renderer.data(&format!("{text}\n"));
        renderer.rest();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_terminal_obeys_nobody_else(text in hostile()) {
            for paint in [Paint::Plain, Paint::Colored] {
                let (out, err) = (Page::default(), Page::default());
                let style = Style { reader: Reader::Terminal, ..style(80, paint) };
                let human = Human::new((out.out(), style), (StderrSink::Lines(err.out()), style), Purpose::Change, command_hint(), Details::Everything, Trace::Calls);
                all(Box::new(human), &text);
                for page in [out.text(), err.text()] {
                    prop_assert!(obeyed(&page, paint).is_empty(), "{}", page.escape_debug());
                }
            }
        }

        /// Before the last gate already: what is drawn in place does not pass it, and files are read on terminals later.
        #[test]
        fn events_are_told_without_controls(text in hostile()) {
            let (out, err) = (Page::default(), Page::default());
            let style = style(80, Paint::Plain);
            let mut human = Human::new((out.out(), style), (StderrSink::Lines(err.out()), style), Purpose::Change, command_hint(), Details::Everything, Trace::Calls);
            for value in EVENTS.iter() {
                human.event(Timestamp::UNIX_EPOCH, &with_text(value, &text));
            }
            human.failure(Timestamp::UNIX_EPOCH, &self::failure(&text));
            for page in [out.text(), err.text()] {
                prop_assert!(obeyed(&page, Paint::Plain).is_empty(), "{}", page.escape_debug());
            }
        }

        #[test]
        fn the_runner_obeys_nobody_else(text in hostile()) {
            let (page, dir) = (Page::default(), tempfile::tempdir().unwrap());
            let summary = dir.path().join("summary.md");
            let github = Github::new(&|| page.out(), Some(summary.clone()), command_hint(), Details::Changes, Trace::Off);
            all(Box::new(github), &text);
            let page = page.text();
            prop_assert!(obeyed(&page, Paint::Plain).is_empty(), "{}", page.escape_debug());
            let own = ["::group::", "::endgroup::", "::error title=", "::error file=", "::warning::", "::warning title="];
            for line in commands(&page) {
                prop_assert!(own.iter().any(|own| line.starts_with(own)), "{line}");
            }
            prop_assert!(!page.contains("##["), "{page}");
            // One command for each thing that was said, however many lines it has.
            let count = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
            prop_assert_eq!(count("::endgroup::"), count("::group::"));
            let summary = std::fs::read_to_string(summary).unwrap();
            prop_assert!(obeyed(&summary, Paint::Plain).is_empty(), "{}", summary.escape_debug());
            // A block of code is shown as it is, and nobody else ends one.
            let (prose, blocks): (Vec<_>, Vec<_>) = summary.split("```").enumerate().partition(|(index, _)| index % 2 == 0);
            prop_assert_eq!((prose.len(), blocks.len()), (2, 1));
            prop_assert!(prose.iter().all(|(_, text)| !text.contains("<img") && !text.contains("![")), "{summary}");
        }

        #[test]
        fn json_is_plain_and_keeps_every_character(text in hostile()) {
            let (out, err) = (Page::default(), Page::default());
            let json = Json::new(out.out(), err.out(), Purpose::Change, Trace::Calls);
            let mut json: Box<dyn Renderer> = Box::new(json);
            let warning = Event::Warning { message: text.clone() };
            json.event(Timestamp::UNIX_EPOCH, &warning);
            let page = out.text();
            prop_assert!(obeyed(&page, Paint::Plain).is_empty() && commands(&page).is_empty(), "{}", page.escape_debug());
            let read: serde_json::Value = serde_json::from_str(&page).unwrap();
            prop_assert_eq!(&read["message"], &serde_json::Value::String(text));
        }
    }
}

/// Events of a deploy whose release waits.
fn waiting() -> String {
    let lines = [
        r#"{"time": "2026-03-01T12:00:00Z", "event": "started", "command": "deploy", "app": "shop", "stage": "prod", "region": "eu-central-1", "account": "123456789012"}"#,
        r#"{"time": "2026-03-01T12:00:09Z", "event": "in-preview", "release": 2, "color": "green", "live": 1}"#,
        r#"{"time": "2026-03-01T12:00:09Z", "event": "finished", "outcome": "done", "millis": 9000, "calls": 61, "endpoints": {"live": "https://a.example", "preview": "https://a.example/preview", "site": null}, "next": ["curl https://a.example/preview/orders", "taskctl promote --stage prod"]}"#,
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

#[test]
fn a_release_that_waits_is_said_to_wait() {
    let screen = human(&waiting(), Purpose::Change, 80, Paint::Plain, Details::Changes);
    insta::assert_snapshot!(screen, @r"
    --- stdout
    live     https://a.example
    preview  https://a.example/preview
    --- stderr
    deploy shop/prod in eu-central-1, account 123456789012
    Release 2 (green) is in preview; live is still release 1.
    Done in 9.0 s, 61 AWS calls
    next:  curl https://a.example/preview/orders
           taskctl promote --stage prod
    ");
    insta::assert_snapshot!("github_in_preview", github(&waiting(), None));
}

#[test]
fn a_refused_promotion_is_an_error_in_every_form() {
    let refused = Failure {
        exit: Exit::CheckFailed,
        message: Message::Report(ErrorReport {
            message: "release 2 failed its checks in preview and was not promoted; live is still release 1".to_owned(),
            causes: vec!["create an order (POST /orders): status: expected 418, got 200".to_owned()],
            hint: Some("fix it and deploy again; `taskctl check --preview` runs the checks alone".to_owned()),
        }),
    };
    let refused = completed_failure(refused, &command_hint());
    insta::assert_snapshot!("github_refused", github("", Some(&refused)));
    let page = Page::default();
    let mut json = Json::new(page.out(), Box::new(std::io::sink()), Purpose::Change, Trace::Off);
    json.failure(Timestamp::UNIX_EPOCH, &refused);
    insta::assert_snapshot!("json_refused", page.text());
}

#[test]
fn a_broken_file_of_checks_is_annotated_where_it_is_broken() {
    let error =
        taskctl_checks::parse("checks/orders.yaml", "checks:\n  - name: a\n    expect: {status: 200\n").unwrap_err();
    let failure = Failure::from(error);
    insta::assert_snapshot!("github_broken_checks", github("", Some(&failure)));
    let error = taskctl_checks::parse(
        "checks/orders.yaml",
        "checks:\n  - name: a\n    folder: functional\n    request: {method: GET, path: orders}\n    expect: {status: 200}\n",
    )
    .unwrap_err();
    assert_eq!(error.place(), Some(("checks/orders.yaml", 2, 5)), "{error}");
}

#[test]
fn who_stopped_is_told_how_to_resume() {
    let screen = |failure: &Failure, purpose| {
        let err = Page::default();
        let mut human = Human::new(
            (Page::default().out(), Style::PLAIN),
            (StderrSink::Lines(err.out()), Style::PLAIN),
            purpose,
            command_hint(),
            Details::Changes,
            Trace::Off,
        );
        human.failure(Timestamp::UNIX_EPOCH, failure);
        err.text()
    };
    let resume = "error: stopped\nto resume: taskctl deploy --stage prod --artifacts packages\n";
    assert_eq!(screen(&Failure::interrupted(), Purpose::Change), resume);
    assert_eq!(screen(&Failure::interrupted(), Purpose::Answer), "error: stopped\n");
    assert_eq!(
        screen(&Failure::cancelled(), Purpose::Change),
        "Cancelled. Nothing was changed.\n"
    );
}
