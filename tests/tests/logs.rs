//! Logs, merged and followed; functions called by hand.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use taskctl_tests::Project;

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
    let began = Instant::now();
    let (mut before, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        assert!(began.elapsed() < Duration::from_secs(60), "the lines arrive");
        let now = lines(project, &[]).len() + lines(project, &["--api"]).len();
        if now != before || lines(project, &["--request-id", request]).is_empty() {
            (before, since) = (now, Instant::now());
        }
        sleep(Duration::from_millis(200));
    }
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
    project.run(&["logs", "--grep", "("]).expect(64);
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
        sleep(Duration::from_millis(100));
    }
    sleep(Duration::from_secs(5));
    running.signal("INT");
    let run = running.end();
    assert_eq!(run.code, 130, "{}", run.err);
    let mut seen: Vec<String> = run
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["message"]["requestId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
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
