//! Bad days: every command ends right, or with an error that says what to do and can be gone on from. Nothing is doubled.

use taskctl_tests::{FaultProfile, FaultProxy, Project, Run};

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
