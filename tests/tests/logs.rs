//! Logs, merged and followed; functions called by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use taskctl_tests::{Entry, FaultProxy, LogFixture, Project, Run, Running, eventually, settled};

/// The time between two requests.
const PACE: Duration = Duration::from_millis(150);

fn lines(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let all = [&["logs", "--format", "json"], arguments].concat();
    let run = project.run(&all).expect(0);
    run.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ask(project: &Project, path: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.get(format!("{}{path}", project.live("dev"))).call().unwrap();
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// Waits until the lines of a request are there and no more lines come.
fn settle(project: &Project, request: &str) {
    settled(
        "the lines arrive",
        Duration::from_secs(2),
        Duration::from_secs(60),
        || {
            let of_request = lines(project, &["--request-id", request]).len();
            let all = lines(project, &[]).len() + lines(project, &["--api"]).len();
            (of_request > 0).then_some(all)
        },
    );
}

#[test]
fn what_functions_say_is_found_by_request_release_and_route() {
    let project = Project::platform("told");
    project.run(&["deploy"]).expect(0);
    let first = ask(&project, "/health");
    ask(&project, "/tasks");
    let text = project
        .template()
        .replacen("  function:\n", "  function:\n    memory: 640\n", 1);
    project.write(&text);
    project.run(&["deploy"]).expect(0);
    let second = ask(&project, "/health");
    settle(&project, &second);
    let of_first = lines(&project, &["--request-id", &first]);
    assert!(
        of_first
            .iter()
            .all(|line| line["source"] == "health" && line["version"] == "1"),
        "{of_first:?}"
    );
    assert!(of_first.iter().any(|line| line["message"]["route"] == "GET /health"));
    let of_release = lines(&project, &["--release", "2"]);
    assert!(
        !of_release.is_empty() && of_release.iter().all(|line| line["version"] == "2"),
        "{of_release:?}"
    );
    let of_live = lines(&project, &["--slot", "live"]);
    assert_eq!(of_live.len(), of_release.len());
    let of_route = lines(&project, &["--route", "GET /tasks"]);
    assert!(of_route.iter().all(|line| line["source"] == "tasks") && !of_route.is_empty());
    let access = lines(&project, &["--api"]);
    assert!(access.iter().all(|line| line["source"] == "api") && access.len() >= 3);
    let all = lines(&project, &[]);
    assert!(all.is_sorted_by_key(|line| line["time"].as_str().unwrap().to_owned()));
    let pretty = project.run(&["logs", "health"]).expect(0);
    assert!(
        pretty.out.contains("GET /health 200") && pretty.out.contains("billed"),
        "{}",
        pretty.out
    );
    assert!(!pretty.out.contains('\u{1b}'), "piped output is plain");
    let unknown = project.run(&["logs", "helth"]).expect(64);
    assert!(
        unknown.err.contains("functions: assets, counter, health"),
        "{}",
        unknown.err
    );
    project.run(&["logs", "--since", "yesterday"]).expect(64);
    project.run(&["logs", "--since", "1h", "--until", "2h"]).expect(64);
    project.run(&["logs", "--grep", "("]).expect(64);
}

/// The requests that a tail of lines in JSON shows, as they come.
struct Tail {
    running: Running,
    lines: Receiver<(Instant, String)>,
    requests: Vec<String>,
}

impl Tail {
    fn of(mut running: Running) -> Self {
        let lines = running.lines();
        let requests = Vec::new();
        Self {
            running,
            lines,
            requests,
        }
    }

    fn read(&mut self) -> &[String] {
        let lines = self.lines.try_iter();
        self.requests.extend(lines.map(|(_, line)| request_of(&line)));
        &self.requests
    }

    /// Interrupts it when all of these are shown and nothing more comes: what is shown twice comes soon after the first time.
    fn end_after(mut self, asked: &[String]) -> (Run, Vec<String>) {
        settled(
            "all lines are shown",
            Duration::from_secs(2),
            Duration::from_secs(30),
            || {
                let seen = self.read();
                asked.iter().all(|one| seen.contains(one)).then_some(seen.len())
            },
        );
        self.running.signal("INT");
        let mut requests = self.requests;
        let run = self.running.end();
        assert_eq!(run.code, 130, "{}", run.err);
        requests.extend(self.lines.iter().map(|(_, line)| request_of(&line)));
        (run, requests)
    }
}

fn request_of(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["message"]["requestId"].as_str().unwrap().to_owned()
}

#[test]
fn following_shows_each_line_once() {
    let project = Project::platform("followed");
    project.run(&["deploy"]).expect(0);
    ask(&project, "/health");
    let running = project.start(&[
        "logs",
        "health",
        "--follow",
        "--format",
        "json",
        "--grep",
        "GET /health",
    ]);
    let mut asked = BTreeSet::new();
    for _ in 0..40 {
        asked.insert(ask(&project, "/health"));
        sleep(PACE);
    }
    let asked_for: Vec<String> = asked.iter().cloned().collect();
    let (_, mut seen) = Tail::of(running).end_after(&asked_for);
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "nothing twice");
    let seen: BTreeSet<String> = seen.into_iter().collect();
    assert!(
        asked.is_subset(&seen),
        "{} of {} were shown",
        asked.intersection(&seen).count(),
        asked.len()
    );
}

#[test]
fn following_a_slot_goes_over_to_its_next_release() {
    let project = Project::platform("slot");
    project.run(&["logs", "--slot", "live"]).expect(1);
    project.run(&["deploy"]).expect(0);
    let mut asked = vec![ask(&project, "/health")];
    let running = project.start(&[
        "logs",
        "health",
        "--follow",
        "--slot",
        "live",
        "--format",
        "json",
        "--grep",
        "GET /health",
    ]);
    let text = project
        .template()
        .replacen("  function:\n", "  function:\n    memory: 640\n", 1);
    project.write(&text);
    project.run(&["deploy"]).expect(0);
    // Before, while and after it goes over.
    for _ in 0..60 {
        asked.push(ask(&project, "/health"));
        sleep(PACE);
    }
    let (run, mut seen) = Tail::of(running).end_after(&asked);
    // The deploy asks live, too.
    seen.retain(|id| asked.contains(id));
    seen.sort();
    asked.sort();
    assert_eq!(seen, asked, "{}", run.err);
    assert!(run.err.contains("release 2 is now in live"), "{}", run.err);
}

#[test]
fn a_function_is_called_by_hand() {
    let project = Project::platform("called");
    project.run(&["deploy"]).expect(0);
    let run = project
        .run(&["invoke", "health", "--route", "GET /health", "--output", "json"])
        .expect(0);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        (told["version"].as_str(), told["payload"]["statusCode"].as_u64()),
        (Some("1"), Some(200))
    );
    assert_eq!(told["payload"]["headers"]["x-release"], "1", "{told}");
    let missing = "GET /tasks/0192f0c1-8d3e-7cc3-98c4-dc0c0c07398f";
    let run = project
        .run(&["invoke", "tasks", "--route", missing, "--output", "json"])
        .expect(0);
    let told_of_task: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(told_of_task["payload"]["statusCode"], 404, "{told_of_task}");
    assert!(run.out.contains("Task with ID"), "{}", run.out);
    let no_path = project.run(&["invoke", "tasks", "--route", "tasks"]).expect(64);
    assert!(no_path.err.contains("`tasks` is not a request"), "{}", no_path.err);
    assert!(
        told["log"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().contains("platform.report"))
    );
    let shown = project.run(&["invoke", "counter", "--route", "GET /counter"]).expect(0);
    assert!(shown.out.contains("\"statusCode\": 200"), "{}", shown.out);
    let unknown = project.run(&["invoke", "nobody"]).expect(64);
    assert!(
        unknown.err.contains("assets, counter, health, tasks, users"),
        "{}",
        unknown.err
    );
}

const EVENTS: u32 = 20_000;
const FUNCTIONS: [&str; 5] = ["assets", "counter", "health", "tasks", "users"];

/// Events of all functions over a time, in an order that is not the one they are read in: most arrive within two seconds,
/// one in fifty up to twelve seconds late. In many moments there are several.
fn told(project: &Project, begin: i64, millis: i64) -> Vec<Entry> {
    (0..i64::from(EVENTS))
        .map(|number| {
            let mixed = number
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())
                .unsigned_abs();
            let function = FUNCTIONS[usize::try_from(mixed % 5).unwrap()];
            let late = match mixed / 5 % 50 {
                0 => 2_000 + i64::try_from(mixed / 250 % 10_000).unwrap(),
                _ => i64::try_from(mixed / 250 % 2_000).unwrap(),
            };
            let timestamp = begin + number * millis / i64::from(EVENTS);
            let record =
                serde_json::json!({"level": "INFO", "message": "said", "number": number, "filling": "x".repeat(80)});
            Entry {
                id: format!("{number:056}"),
                group: format!("/aws/lambda/{}", project.name(function)),
                stream: format!("2026/01/30/[{}]{:032x}", number % 3 + 1, mixed % 7),
                timestamp,
                visible: timestamp + late,
                message: record.to_string(),
            }
        })
        .collect()
}

fn number(line: &str) -> u32 {
    let line: Value = serde_json::from_str(line).unwrap();
    u32::try_from(line["message"]["number"].as_u64().unwrap()).unwrap()
}

#[test]
fn twenty_thousand_events_are_shown_once_and_in_order() {
    let project = Project::platform("paged");
    project.run(&["deploy"]).expect(0);
    let relay = FaultProxy::before(&project.local.endpoint());
    let now = jiff::Timestamp::now().as_millisecond();
    let events = told(&project, now - 900_000, 600_000);
    let fixture = Arc::new(LogFixture::of(events.clone(), 700));
    relay.log_fixture(Arc::clone(&fixture));
    let mut running = project.start_at(&relay.endpoint, &["logs", "--format", "json", "--since", "1h"]);
    let lines: Vec<String> = running.lines().into_iter().map(|(_, line)| line).collect();
    running.end().expect(0);
    // Events of one moment may come in any order.
    let mut at: Vec<i64> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in &lines {
        let number = number(line);
        assert!(seen.insert(number), "{number} is shown twice");
        at.push(events[usize::try_from(number).unwrap()].timestamp);
    }
    assert_eq!(seen.len(), usize::try_from(EVENTS).unwrap());
    assert!(at.is_sorted());
    let of = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
    assert!(
        of(&fixture.refused) > 3 && of(&fixture.empty) > 5 && of(&fixture.pages) >= 30,
        "{fixture:?}"
    );
}

#[test]
fn following_twenty_thousand_events_shows_each_once_and_soon() {
    let project = Project::platform("streamed");
    project.run(&["deploy"]).expect(0);
    let relay = FaultProxy::before(&project.local.endpoint());
    let begin = jiff::Timestamp::now().as_millisecond() + 3_000;
    let began = Instant::now() + Duration::from_secs(3);
    let events = told(&project, begin, 20_000);
    relay.log_fixture(Arc::new(LogFixture::of(events.clone(), 10_000)));
    let mut running = project.start_at(
        &relay.endpoint,
        &["logs", "--follow", "--format", "json", "--since", "1s"],
    );
    let lines = running.lines();
    let mut came: BTreeMap<u32, Instant> = BTreeMap::new();
    let mut order = Vec::new();
    while came.len() < usize::try_from(EVENTS).unwrap() {
        let (at, line) = lines.recv_timeout(Duration::from_secs(60)).expect("all events come");
        let number = number(&line);
        assert!(came.insert(number, at).is_none(), "{number} is shown twice");
        order.push(number);
    }
    // A deep look comes after all, and shows nothing again.
    assert!(lines.recv_timeout(Duration::from_secs(12)).is_err(), "nothing twice");
    running.signal("INT");
    let run = running.end().expect(130);
    assert!(run.err.contains("20000 lines"), "{}", run.err);
    let visible = |number: &u32| {
        let entry = &events[usize::try_from(*number).unwrap()];
        let after = u64::try_from(entry.visible - begin).unwrap();
        (entry.timestamp, began + Duration::from_millis(after))
    };
    // Within what could be read at the same time, the order is that of the events.
    let mut newest = (i64::MIN, Instant::now());
    for number in &order {
        let (timestamp, readable) = visible(number);
        if timestamp < newest.0 {
            assert!(
                readable + Duration::from_secs(20) > newest.1,
                "{number} comes after a later one without need"
            );
        } else {
            newest = (timestamp, came[number]);
        }
    }
    let mut late: Vec<Duration> = came
        .iter()
        .map(|(number, at)| at.saturating_duration_since(visible(number).1))
        .collect();
    late.sort();
    let rank = |percent: usize| late[(late.len() - 1) * percent / 100];
    println!(
        "from readable to shown: p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
        rank(50),
        rank(90),
        rank(99),
        rank(100)
    );
    assert!(rank(50) < Duration::from_secs(10), "{:?}", rank(50));
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let project = Project::platform("left");
    project.run(&["deploy"]).expect(0);
    ask(&project, "/health");
    let mut running = project.start(&["logs", "--follow", "--since", "5m"]);
    let lines = running.lines();
    lines.recv_timeout(Duration::from_secs(30)).expect("a line");
    drop(lines);
    eventually("it ends", Duration::from_secs(30), || {
        ask(&project, "/health");
        running.has_ended().then_some(())
    });
    let run = running.end().expect(0);
    assert_eq!(run.err, "", "nobody is told");
}
