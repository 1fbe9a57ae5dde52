//! Bad days: every command ends right, or with an error that says what to do and can be gone on from. Nothing is doubled.

use std::time::Duration;

use taskctl_tests::{FaultProfile, FaultProxy, Project, Run, aws};

/// Runs a command until it ends well: as often as a person would.
fn persist(project: &Project, relay: &FaultProxy, arguments: &[&str]) -> Vec<Run> {
    let mut failed = Vec::new();
    loop {
        let run = project.start_at(&relay.endpoint, arguments).end();
        if run.code == 0 {
            return failed;
        }
        assert!(
            run.code == 1 && run.err.contains("help:"),
            "{arguments:?} ended with {}: {}",
            run.code,
            run.err
        );
        assert!(!run.err.contains("panicked"), "{}", run.err);
        failed.push(run);
        assert!(failed.len() < 4, "{arguments:?} fails for good: {}", failed[3].err);
    }
}

async fn apis(project: &Project) -> usize {
    let clients = project.clients().await;
    let name = format!("{}-dev", project.app);
    let apis = clients.apigateway.get_apis().max_results("500").send().await.unwrap();
    apis.items().iter().filter(|api| api.name() == Some(&name)).count()
}

fn live_through(name: &str, profile: FaultProfile) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let project = Project::platform(name);
    let relay = FaultProxy::before(&project.local.endpoint());
    relay.fault_profile(Some(profile));
    let mut failed = persist(&project, &relay, &["deploy", "--yes"]).len();
    assert_eq!(runtime.block_on(apis(&project)), 1, "one API");
    project.start_at(&project.local.endpoint(), &["plan"]).end().expect(0);
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    failed += persist(&project, &relay, &["deploy", "--yes", "--no-promote"]).len();
    failed += persist(&project, &relay, &["promote", "--yes"]).len();
    assert_eq!(project.status("dev")["live"]["release"], 2);
    failed += persist(&project, &relay, &["destroy", "--yes", "--delete-data", "all"]).len();
    assert_eq!(runtime.block_on(apis(&project)), 0, "no API");
    println!("{profile:?}: {failed} runs had to be repeated");
}

#[test]
fn internal_errors() {
    live_through("unreliable", FaultProfile::Errors);
}

#[test]
fn lost_connections() {
    live_through("reset", FaultProfile::Resets);
}

#[test]
fn a_quarter_of_the_quotas() {
    live_through("throttled", FaultProfile::Throttling);
}

#[test]
fn slow_answers() {
    live_through("slow", FaultProfile::Slow);
}

#[test]
fn a_clock_that_is_wrong() {
    let project = Project::platform("skewed");
    let relay = FaultProxy::before(&project.local.endpoint());
    relay.fault_profile(Some(FaultProfile::Skewed));
    let run = project.start_at(&relay.endpoint, &["deploy", "--yes"]).end();
    if run.code != 0 {
        assert!(run.err.contains("clock"), "{}", run.err);
        relay.fault_profile(None);
        project.start_at(&relay.endpoint, &["deploy", "--yes"]).end().expect(0);
    }
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn credentials_that_end_in_the_middle() {
    let project = Project::platform("expired");
    let relay = FaultProxy::before(&project.local.endpoint());
    for after in [3, 40, 120] {
        relay.fault_profile(Some(FaultProfile::Expiring(after)));
        let run = project.start_at(&relay.endpoint, &["deploy", "--yes"]).end().expect(1);
        assert!(
            run.err.contains("expired") && run.err.contains("aws sso login"),
            "after {after} calls: {}",
            run.err
        );
        relay.fault_profile(None);
        project.run(&["unlock", "--force", "--yes"]);
    }
    project.start_at(&relay.endpoint, &["deploy", "--yes"]).end().expect(0);
    project.start_at(&relay.endpoint, &["plan"]).end().expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// The bad minute: live is bad, and AWS is not well either.
#[test]
fn the_way_back_is_short_and_needs_api_gateway_alone() {
    let project = Project::shipped("visitor-counter", "wayback");
    project.run(&["deploy", "--yes"]).expect(0);
    let text = project.template();
    project.write(&text.replacen("  health:\n", "  health:\n    memory: 640\n", 1));
    project.run(&["deploy", "--yes", "--no-promote"]).expect(0);
    let relay = FaultProxy::before(&project.local.endpoint());
    let through = |arguments: &[&str]| {
        println!("$ taskctl {}", arguments.join(" "));
        let run = project.start_at(&relay.endpoint, arguments).end();
        print!("{}{}", run.out, run.err);
        run
    };
    let live = |release: u64| assert_eq!(project.status("dev")["live"]["release"], release);

    // Who calls and which API; the lock and the state; the state under the lock; the switch.
    relay.fault_profile(Some(FaultProfile::Distant(Duration::from_millis(300))));
    for (command, release) in [("promote", 2), ("rollback", 1)] {
        relay.chain("");
        through(&[command, "--yes"]).expect(0);
        live(release);
        let chain = relay.chain("PATCH /v2/apis/");
        assert!(chain.is_some_and(|calls| calls <= 4), "{command}: {chain:?}");
    }

    for service in ["sts", "monitoring", "iam", "events", "logs"] {
        project.run(&["promote", "--yes"]).expect(0);
        relay.fault_profile(Some(FaultProfile::Down(service)));
        let run = through(&["rollback", "--yes"]);
        assert!(run.code == 0, "without {service}: {run:?}");
        live(1);
    }

    // Without the control bucket there is no lock, and no history.
    project.run(&["promote", "--yes"]).expect(0);
    relay.fault_profile(Some(FaultProfile::Down("s3")));
    let refused = through(&["rollback", "--yes"]).expect(1);
    let told = |run: &Run| run.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told(&refused).contains("taskctl rollback --without-lock"),
        "{}",
        refused.err
    );
    live(2);
    let run = through(&["rollback", "--yes", "--without-lock"]).expect(0);
    assert!(told(&run).contains("live moves without the lock"), "{}", run.err);
    relay.fault_profile(None);
    let status = project.status("dev");
    assert_eq!(
        (&status["live"]["release"], &status["last_move"]["cause"]),
        (&1.into(), &"rollback".into())
    );
    let moves = || {
        let releases = project.run(&["releases", "--output", "json"]).expect(0);
        let answer: serde_json::Value = serde_json::from_str(&releases.out).unwrap();
        let first = answer.as_array().unwrap().last().unwrap().clone();
        (first["moves"].as_array().unwrap().len(), first["moves"].to_string())
    };
    let before = moves();
    let plan = project.run(&["plan"]).expect(2);
    assert!(told(&plan).contains("release 2 was rolled back"), "{}", plan.err);
    println!("{}", plan.out);
    // The next command that holds the lock writes it down, once.
    project.run(&["promote", "--yes"]).expect(0);
    assert_eq!(moves(), before);

    // Without taskctl.
    let status = project.status("dev");
    assert_eq!(status["by_hand"]["release"], 1);
    let runbook = project.run(&["status", "--runbook"]).expect(0);
    let lines = status["by_hand"]["end_canary"].as_array().unwrap().iter();
    for line in lines.chain([&status["by_hand"]["rollback"], &status["by_hand"]["show"]]) {
        let line = line.as_str().unwrap();
        assert!(runbook.out.contains(line), "{line}: {}", runbook.out);
        aws(&project.local, line);
    }
    live(1);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn a_name_that_leads_nowhere() {
    let project = Project::platform("nowhere");
    let run = project
        .start_at("https://aws.invalid:4580", &["deploy", "--yes"])
        .end()
        .expect(1);
    assert!(
        run.err.contains("aws.invalid") || run.err.contains("dns") || run.err.contains("resolve"),
        "{}",
        run.err
    );
    assert!(run.err.contains("help:"), "{}", run.err);
}
