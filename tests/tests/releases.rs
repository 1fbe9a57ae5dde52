//! Live moves by one call, forward and back, and says so.

use serde_json::{Value, json};
use taskctl_tests::Project;

fn release_of(url: &str) -> (u16, String, String) {
    let mut answer = ureq::get(format!("{url}/health")).call().unwrap();
    let header = answer.headers()["x-release"].to_str().unwrap().to_owned();
    let body: Value = answer.body_mut().read_json().unwrap();
    (
        answer.status().as_u16(),
        header,
        body["color"].as_str().unwrap().to_owned(),
    )
}

/// Deploys with another memory, and leaves the release in preview.
fn deploy_waiting(project: &Project, memory: u32) {
    let text = project.template();
    let line = text.lines().find(|line| line.trim_start().starts_with("memory:"));
    let changed = match line {
        Some(line) => text.replacen(line, &format!("    memory: {memory}"), 1),
        None => text.replacen("  function:\n", &format!("  function:\n    memory: {memory}\n"), 1),
    };
    project.write(&changed);
    project.run(&["deploy", "--no-promote"]).expect(0);
}

fn states(project: &Project) -> Vec<(u64, String)> {
    let run = project.run(&["releases", "--output", "json"]).expect(0);
    let all: Vec<Value> = serde_json::from_str(&run.out).unwrap();
    all.iter()
        .map(|one| {
            (
                one["release"].as_u64().unwrap(),
                one["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// `UpdateStage` calls of a run with `--trace`.
fn switches(run: &taskctl_tests::Run) -> usize {
    let is_switch = |event: &&Value| event["operation"] == json!("apigateway:UpdateStage");
    run.events().iter().filter(is_switch).count()
}

#[test]
fn what_waits_is_promoted_and_rolled_back_with_one_call_each() {
    let project = Project::platform("release");
    project.run(&["deploy"]).expect(0);
    let (live, preview) = (project.live("dev"), format!("{}/preview", project.live("dev")));

    deploy_waiting(&project, 640);
    assert_eq!(release_of(&live), (200, "1".to_owned(), "blue".to_owned()));
    assert_eq!(release_of(&preview), (200, "2".to_owned(), "green".to_owned()));
    assert_eq!(states(&project), [(2, "waiting".to_owned()), (1, "live".to_owned())]);

    let unasked = project.run(&["promote"]).expect(64);
    insta::assert_snapshot!(unasked.err, @r"
    promote release/dev in eu-central-1, account 000000000000
    error: moving live of release/dev to release 2 needs confirmation, and there
           is no terminal to ask on
     help: add --yes to proceed without a prompt
    ");
    let promoted = project
        .run(&["promote", "--yes", "--output", "json", "--trace"])
        .expect(0);
    assert_eq!(switches(&promoted), 1);
    assert_eq!(release_of(&live), (200, "2".to_owned(), "green".to_owned()));
    assert_eq!(states(&project), [(2, "live".to_owned()), (1, "previous".to_owned())]);
    let after = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(after.changes(), Vec::<String>::new());
    project.run(&["promote", "--yes"]).expect(0);

    // Another release waits; the rollback is not about it.
    deploy_waiting(&project, 704);
    let back = project
        .run(&["rollback", "--yes", "--output", "json", "--trace"])
        .expect(0);
    assert_eq!(switches(&back), 1);
    assert_eq!(release_of(&live), (200, "1".to_owned(), "blue".to_owned()));
    assert_eq!(
        states(&project),
        [
            (3, "waiting".to_owned()),
            (2, "kept".to_owned()),
            (1, "live".to_owned())
        ]
    );
    // A second one does not land on what the first one left.
    let refused = project.run(&["rollback", "--yes"]).expect(1);
    insta::assert_snapshot!(refused.err, @r"
    rollback release/dev in eu-central-1, account 000000000000
    error: live serves release 1, and nothing says what was live before it
     help: releases that are kept: 2, 3; name one with --to
    ");
    project.run(&["rollback", "--to", "2", "--yes"]).expect(0);
    assert_eq!(release_of(&live).1, "2");
    let unknown = project.run(&["rollback", "--to", "9", "--yes"]).expect(1);
    insta::assert_snapshot!(unknown.err, @r"
    rollback release/dev in eu-central-1, account 000000000000
    error: release 9 is not kept
     help: releases that are kept: 1, 3; name one with --to
    ");

    // Tab offers what a rollback can go back to: neither what is live nor what waits.
    let tab = ["--", "taskctl", "rollback", "--local", "--to", ""];
    let offered = project
        .local
        .run_with(&tab, project.directory(), &[("COMPLETE", "fish")])
        .expect(0);
    let offered: Vec<&str> = offered.out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(offered, ["1"]);

    let unlocked = project.run(&["unlock"]).expect(0);
    insta::assert_snapshot!(unlocked.out, @"the stage is not locked");
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// A stage that was destroyed and is deployed again begins again: nothing of the former one is told of it.
#[test]
fn a_stage_that_was_destroyed_begins_again() {
    let project = Project::platform("reborn");
    project.run(&["deploy"]).expect(0);
    deploy_waiting(&project, 640);
    project.run(&["promote", "--yes"]).expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    project.run(&["deploy"]).expect(0);
    assert_eq!(moves(&project), [(1, vec![("deploy".to_owned(), None)])]);
    let status = project.status("dev");
    assert_eq!(status["last_release"]["release"], 1);
    let of_now = |at: &Value| at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let moved = of_now(&status["last_move"]["at"]);
    assert!(
        (of_now(&status["last_release"]["at"]) - moved).get_seconds().abs() < 5,
        "{status}"
    );
}

/// Releases, each with the movements of live to it.
type Moves = Vec<(u64, Vec<(String, Option<u64>)>)>;

/// Movements of live by release: cause and release before, oldest first.
fn moves(project: &Project) -> Moves {
    let run = project.run(&["releases", "--output", "json"]).expect(0);
    let all: Vec<Value> = serde_json::from_str(&run.out).unwrap();
    let of = |one: &Value| {
        let moves = one["moves"].as_array().unwrap().iter();
        let moves = moves.map(|one| (one["cause"].as_str().unwrap().to_owned(), one["from"].as_u64()));
        (one["release"].as_u64().unwrap(), moves.collect())
    };
    all.iter().map(of).collect()
}

/// Whatever the command: what is live went live at a time that is known. A plan after a rollback says what a deploy would do.
#[test]
fn every_move_of_live_is_recorded() {
    let project = Project::platform("moved");
    let deployed = |from| ("deploy".to_owned(), from);
    project.run(&["deploy"]).expect(0);
    assert_eq!(moves(&project), [(1, vec![deployed(None)])]);
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    project.run(&["deploy"]).expect(0);
    assert_eq!(
        moves(&project),
        [(2, vec![deployed(Some(1))]), (1, vec![deployed(None)])]
    );

    project.run(&["rollback", "--yes"]).expect(0);
    let plan = project.run(&["plan"]).expect(2);
    let said = "release 2 was rolled back; deploy makes it live again";
    let words = |run: &taskctl_tests::Run| run.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&plan).contains(said), "{}", plan.err);
    let shown = format!("{}{}", plan.out, plan.err);
    assert!(
        shown.contains("release: 1 → 2") && !shown.contains("previousRelease"),
        "{shown}"
    );
    project.run(&["deploy"]).expect(0);
    let rolled_back = ("rollback".to_owned(), Some(2));
    assert_eq!(
        moves(&project),
        [
            (2, vec![deployed(Some(1)), deployed(Some(1))]),
            (1, vec![deployed(None), rolled_back])
        ]
    );
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// The targets of the stack's warm-up rules: ARN of the version, event.
async fn pings(project: &Project) -> Vec<(String, String)> {
    let events = project.clients().await.events;
    let prefix = format!("{}-dev-", project.app);
    let rules = events.list_rules().name_prefix(&prefix).send().await.unwrap();
    let mut pings = Vec::new();
    for rule in rules.rules().iter().filter_map(|rule| rule.name()) {
        let targets = events.list_targets_by_rule().rule(rule).send().await.unwrap();
        let targets = targets.targets().iter();
        pings.extend(targets.map(|target| (target.arn().to_owned(), target.input().unwrap_or_default().to_owned())));
    }
    pings.sort();
    pings
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_up_follows_live_and_no_function_takes_it_for_a_request() {
    let project = Project::platform("warmup");
    project.write(&format!("{}\nwarmup: {{every: 5m}}\n", project.template()));
    project.run(&["deploy"]).expect(0);
    let first = pings(&project).await;
    assert_eq!(first.len(), 5, "{first:?}");
    let lambda = project.clients().await.lambda;
    for (arn, input) in &first {
        let call = lambda
            .invoke()
            .function_name(arn)
            .payload(input.clone().into_bytes().into());
        let answer = call.send().await.unwrap();
        let answer: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert_eq!(answer["statusCode"], json!(204), "{arn}: {answer}");
    }

    deploy_waiting(&project, 640);
    assert_eq!(pings(&project).await, first, "what waits is not kept warm");
    project.run(&["promote", "--yes"]).expect(0);
    let second = pings(&project).await;
    assert_ne!(second, first);
    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(pings(&project).await, first);
}
