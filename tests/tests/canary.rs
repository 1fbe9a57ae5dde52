//! Canary releases: a share of live's traffic, judged; back by itself, after an interrupt, after a death.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aws_sdk_lambda::types::AliasRoutingConfiguration;
use taskctl_tests::{Project, eventually, settled, slow_packages};

/// Visitors who ask one route all the time.
pub(crate) struct Visitors {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<(u16, String)>>>,
}

impl Visitors {
    pub(crate) fn of(url: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let visit = |_| {
            let (stop, answers, url) = (Arc::clone(&stop), Arc::clone(&answers), url.to_owned());
            thread::spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(answer) = agent.get(&url).call() {
                        let version = answer
                            .headers()
                            .get("x-version")
                            .map(|value| value.to_str().unwrap().to_owned());
                        seen.push((answer.status().as_u16(), version.unwrap_or_default()));
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
                seen
            })
        };
        let threads = (0..count).map(visit).collect();
        Self { stop, answers, threads }
    }

    /// How many answers there were so far.
    fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// How often each version answered, and how.
    pub(crate) fn end(self) -> BTreeMap<(String, u16), usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = BTreeMap::new();
        for thread in self.threads {
            for (status, version) in thread.join().unwrap() {
                *seen.entry((version, status)).or_default() += 1;
            }
        }
        seen
    }
}

const GRANTS: &str = "  counter:\n    grants:";
const LARGER: &str = "  counter:\n    memory: 640\n    grants:";

/// Deploys release 1, and release 2 with another counter into preview.
fn two_releases(app: &str, from: &str, to: &str) -> Project {
    let project = Project::platform(app);
    project.run(&["deploy"]).expect(0);
    let text = project.template();
    assert!(text.contains(from));
    project.write(&text.replacen(from, to, 1));
    project.run(&["deploy", "--no-promote"]).expect(0);
    project
}

fn weights(project: &Project) -> Vec<(String, f64)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let request = clients
        .lambda
        .get_alias()
        .function_name(project.name("counter"))
        .name("v1");
    let alias = runtime.block_on(request.send()).unwrap();
    let weights = alias
        .routing_config
        .and_then(|routing| routing.additional_version_weights);
    weights.unwrap_or_default().into_iter().collect()
}

/// Half of what reaches version 1 of the counter goes to version 2.
fn divert_half(project: &Project) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let half = AliasRoutingConfiguration::builder().additional_version_weights("2", 0.5);
    let request = clients
        .lambda
        .update_alias()
        .function_name(project.name("counter"))
        .name("v1")
        .function_version("1")
        .routing_config(half.build());
    runtime.block_on(request.send()).unwrap();
    assert_eq!(weights(project).len(), 1);
}

#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    eventually(what, Duration::from_secs(90), || is().then_some(()));
}

#[test]
fn a_good_release_takes_a_share_and_then_all() {
    let project = two_releases("canary", GRANTS, LARGER);
    let visitors = Visitors::of(&format!("{}/counter", project.live("dev")), 2);
    let promoting = project.start(&[
        "promote", "--yes", "--canary", "30%", "--bake", "8s", "--output", "json",
    ]);
    until("the progress is told", || {
        let progress = &project.status("dev")["lock"]["progress"];
        (progress["percent"] == 30) && progress["step"] == 1 && progress["steps"] == 1 && progress["release"] == 2
    });
    let promoted = promoting.end().expect(0);
    let seen = visitors.end();
    let told: Vec<String> = promoted
        .events()
        .iter()
        .filter_map(|event| event["event"].as_str().map(str::to_owned))
        .filter(|name| ["checked", "diverted", "judged", "promoted", "confirmed"].contains(&name.as_str()))
        .collect();
    assert_eq!(told, ["checked", "diverted", "judged", "promoted", "confirmed"]);
    let of = |version: &str| seen.get(&(version.to_owned(), 200)).copied().unwrap_or(0);
    // Nearly all of the time was the canary.
    assert!(of("1") > 50 && of("2") > 10, "{seen:?}");
    assert!(seen.keys().all(|(_, status)| *status == 200), "{seen:?}");
    assert_eq!(weights(&project), []);
    assert_eq!(project.status("dev")["live"]["release"], 2);
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
}

#[test]
fn a_bad_release_goes_back_by_itself() {
    // No request that surely changes nothing reaches the counter: preview's probes cannot see that it fails.
    let project = two_releases(
        "bad-canary",
        "{table: counter, access: increment}",
        "{table: users, access: increment}",
    );
    std::fs::create_dir(project.directory().join("checks")).unwrap();
    let visitors = Visitors::of(&format!("{}/counter", project.live("dev")), 2);
    let began = Instant::now();
    let returned = project
        .run(&["promote", "--yes", "--canary", "50%", "--bake", "3m"])
        .expect(5);
    assert!(
        began.elapsed() < Duration::from_secs(180),
        "it does not wait for the end: {:?}",
        began.elapsed()
    );
    // Whichever is first: the comparison of the versions, or the stack's own alarms.
    let said = returned.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("counter fails") || said.contains("turned red"), "{said}");
    assert_eq!(weights(&project), []);
    let after = Visitors::of(&format!("{}/counter", project.live("dev")), 1);
    until("some have visited since", || after.answers() > 20);
    let after = after.end();
    assert!(
        after.keys().all(|(version, status)| version == "1" && *status == 200),
        "{after:?}"
    );
    let failed = visitors.end();
    assert!(failed.keys().any(|(_, status)| *status == 500), "{failed:?}");
    let status = project.status("dev");
    assert_eq!(
        (
            status["live"]["release"].as_u64(),
            status["preview"]["release"].as_u64()
        ),
        (Some(1), Some(2))
    );
    let releases = project.run(&["releases", "--output", "json"]).expect(0);
    assert!(releases.out.contains("\"stopped: "), "{}", releases.out);
}

#[test]
fn nobody_visits_and_nothing_moves() {
    let project = two_releases("lonely", GRANTS, LARGER);
    let stopped = project
        .run(&["promote", "--yes", "--canary", "10%", "--bake", "4s"])
        .expect(5);
    assert!(stopped.err.contains("too few"), "{}", stopped.err);
    assert_eq!(project.status("dev")["live"]["release"], 1);
}

#[test]
fn a_canary_that_is_interrupted_or_killed_is_ended() {
    let project = two_releases("cut-off", GRANTS, LARGER);
    let interrupted = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "60s"]);
    until("the share is diverted", || !weights(&project).is_empty());
    let status = project.run(&["status"]).expect(0).out;
    let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        status.contains("canary 20% of counter to release 2, step 1 of 1") && status.contains("monitored by"),
        "{status}"
    );
    interrupted.signal("INT");
    interrupted.end().expect(130);
    assert_eq!(weights(&project), []);

    let killed = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "60s"]);
    until("the share is diverted", || !weights(&project).is_empty());
    killed.signal("KILL");
    killed.end().expect(-1);
    assert_eq!(weights(&project).len(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(project.hold_elsewhere());
    project.run(&["promote", "--abort"]).expect(3);
    project.run(&["unlock", "--force"]).expect(0);
    let status = project.run(&["status"]).expect(0);
    assert!(status.out.contains("the canary was abandoned"), "{}", status.out);
    let drift = project.run(&["plan", "--output", "json"]).expect(2);
    assert!(
        drift
            .changes()
            .iter()
            .any(|change| change.contains("lambda_version.counter")),
        "{:?}",
        drift.changes()
    );
    project.run(&["promote", "--abort"]).expect(0);
    assert_eq!(weights(&project), []);
    // The other way: whoever promotes next ends it first.
    project.run(&["promote", "--yes", "--at-once"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 2);

    // Died after the switch and before the weights were cleared: the way back must not lead onto them.
    divert_half(&project);
    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(weights(&project), []);
    assert_eq!(project.status("dev")["live"]["release"], 1);
    project.run(&["promote", "--yes", "--at-once"]).expect(0);
    divert_half(&project);
    project.run(&["promote", "--abort"]).expect(0);
    assert_eq!(weights(&project), []);
}

#[test]
fn a_slow_release_goes_back_by_itself() {
    let project = Project::platform("slow-canary");
    project.run(&["deploy"]).expect(0);
    let packages = project.directory().join("slow");
    slow_packages(&packages);
    let waiting = [
        "deploy",
        "--no-promote",
        "--local",
        "--artifacts",
        packages.to_str().unwrap(),
    ];
    project.local.run(&waiting, project.directory()).expect(0);
    std::fs::create_dir(project.directory().join("checks")).unwrap();
    let visitors = Visitors::of(&format!("{}/counter", project.live("dev")), 6);
    let returned = project
        .run(&["promote", "--yes", "--canary", "50%", "--bake", "60s"])
        .expect(5);
    visitors.end();
    assert!(returned.err.contains(" of counter is "), "{}", returned.err);
    assert_eq!(weights(&project), []);
    assert_eq!(project.status("dev")["live"]["release"], 1);
}

#[test]
fn a_fix_passes_while_the_alarm_of_what_it_fixes_is_red() {
    let project = two_releases(
        "fixed-canary",
        "{table: counter, access: increment}",
        "{table: users, access: increment}",
    );
    std::fs::create_dir(project.directory().join("checks")).unwrap();
    // The bad release is live, and the stack's alarms turn red.
    project.run(&["promote", "--yes", "--at-once"]).expect(0);
    let visitors = Visitors::of(&format!("{}/counter", project.live("dev")), 2);
    let red = || -> Vec<String> {
        let status = project.status("dev");
        let alarms = status["alarms"].as_array().unwrap().iter();
        let red = alarms.filter(|alarm| alarm["state"] == "ALARM");
        red.map(|alarm| alarm["name"].to_string()).collect()
    };
    // One that turns red only during the canary would be held against it.
    settled(
        "all alarms that turn red are red",
        Duration::from_secs(8),
        Duration::from_secs(90),
        || Some(red()).filter(|red| !red.is_empty()),
    );
    let text = project.template().replacen(
        "{table: users, access: increment}",
        "{table: counter, access: increment}",
        1,
    );
    project.write(&text.replacen(GRANTS, LARGER, 1));
    project.run(&["deploy", "--no-promote"]).expect(0);
    assert_ne!(red(), Vec::<String>::new());
    project
        .run(&["promote", "--yes", "--canary", "50%", "--bake", "6s"])
        .expect(0);
    visitors.end();
    assert_eq!(project.status("dev")["live"]["release"], 3);
}
