//! What a person sees at a terminal: what was drawn while a command ran is gone when it has ended.

use std::collections::BTreeSet;
use std::fs;

use taskctl_tests::{Project, Terminal, artifacts};

/// How the lines below the plan begin.
const SAID: [&str; 8] = [
    "live: ", "Done: ", "live ", "preview ", "site ", "next: ", "       ", "note: ",
];

/// Asserts that nothing is below the plan but what was said.
fn check(screen: &[String]) {
    let text = screen.join("\n");
    let plan = screen.iter().position(|line| line.starts_with("Plan: ")).unwrap();
    let (_, below) = screen.split_at(plan + 1);
    let below: Vec<&String> = below.iter().filter(|line| !line.is_empty()).collect();
    for line in &below {
        assert!(
            SAID.iter().any(|said| line.starts_with(said)),
            "{line:?} was left behind:\n{text}"
        );
    }
    let distinct: BTreeSet<&&String> = below.iter().collect();
    assert_eq!(distinct.len(), below.len(), "{text}");
    assert!(below.iter().any(|line| line.starts_with("Done: ")), "{text}");
}

#[test]
fn no_frame_is_left_behind_by_deploy_and_destroy() {
    let project = Project::platform("drawn");
    let mut terminal = project.start_on_screen(80, &["deploy", "--yes"]);
    terminal.wait_for("creating ");
    terminal.resize(132);
    let (code, screen) = terminal.end_on_screen();
    assert_eq!(code, 0, "{screen:?}");
    check(&screen);

    let (code, screen) = project.start_on_screen(120, &["destroy", "--yes"]).end_on_screen();
    assert_eq!(code, 0, "{screen:?}");
    check(&screen);
}

/// Checks that no release passes.
const TEAPOT: &str = "\
checks:
  - name: a teapot
    folder: functional
    request: {method: GET, path: /health}
    expect: {status: 418}
";

#[test]
fn a_release_that_does_not_go_live_is_said_not_to() {
    let project = Project::platform("waiting");
    project.run(&["deploy"]).expect(0);
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));

    let deployed = project.run(&["deploy", "--no-promote"]).expect(0);
    let waits = "Release 2 (green) is in preview; live is still release 1.";
    assert!(deployed.err.contains(waits), "{}", deployed.err);
    assert!(deployed.err.contains("/preview/health\n"), "{}", deployed.err);
    assert!(deployed.err.ends_with("taskctl promote --local\n"), "{}", deployed.err);

    // Who declines changes nothing.
    let mut terminal = project.start_on_screen(100, &["promote"]);
    terminal.wait_for("where  the local target, on this machine");
    terminal.wait_for("Promote release 2 to live on waiting/dev? (live now: release 1) [y/N] ");
    terminal.type_line("n");
    let (code, screen) = terminal.end_on_screen();
    assert_eq!(code, 130, "{screen:?}");
    assert!(
        screen.contains(&"Cancelled. Nothing was changed.".to_owned()),
        "{screen:?}"
    );

    // A promotion that is refused is an error in every form, with its reason.
    let checks = project.directory().join("checks");
    fs::create_dir_all(&checks).unwrap();
    fs::write(checks.join("teapot.yaml"), TEAPOT).unwrap();
    let reason = "status: expected 418, got 200";
    let json = project.run(&["promote", "--yes", "--output", "json"]).expect(4);
    let events = json.events();
    let error = events.last().unwrap();
    assert_eq!(
        (&error["event"], &error["exit"]),
        (&"error".into(), &4.into()),
        "{error}"
    );
    assert!(
        error["error"]["causes"][0].as_str().unwrap().ends_with(reason),
        "{error}"
    );
    let github = project.run(&["promote", "--yes", "--output", "github"]).expect(4);
    let annotation = github.out.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(
        annotation.contains("release 2 failed its checks in preview") && annotation.contains(reason),
        "{annotation}"
    );
    fs::write(checks.join("teapot.yaml"), TEAPOT.replace("path: /", "path: ")).unwrap();
    let github = project.run(&["promote", "--yes", "--output", "github"]).expect(1);
    assert!(
        github
            .out
            .contains("::error file=checks/teapot.yaml,line=2,col=5,title=taskctl::"),
        "{}",
        github.out
    );
    assert_eq!(project.status("dev")["live"]["release"], 1);

    // Data that is to be deleted is named as it is.
    let unknown = project.run(&["destroy", "--yes", "--delete-data", "nope"]).expect(64);
    assert!(
        unknown.err.contains("no table or bucket of this stage") && unknown.err.contains("assets"),
        "{}",
        unknown.err
    );
}

/// Asserts that a command at a terminal names account, region and principal, asks this, and leaves everything as it is when it is
/// answered so.
#[track_caller]
fn declined(mut terminal: Terminal, question: &str, answer: &str) -> Vec<String> {
    terminal.wait_for(question);
    terminal.type_line(answer);
    let (code, screen) = terminal.end_on_screen();
    assert_eq!(code, 130, "{screen:?}");
    assert!(
        screen.contains(&"Cancelled. Nothing was changed.".to_owned()),
        "{screen:?}"
    );
    screen
}

#[test]
fn whoever_is_asked_reads_where_and_as_whom() {
    let project = Project::shipped("visitor-counter", "asked");
    let text = project.template();
    let topic = format!("{text}\ntopics: {{notices: {{}}}}\n");
    let packages = artifacts().to_string_lossy().into_owned();
    let deletions = || {
        let changes = project.run(&["plan", "--output", "json"]).changes();
        let deletes = |change: &String| change.contains("sns_topic.notices");
        changes.into_iter().filter(deletes).count()
    };
    // In an account: the local target is one when it is reached by its URL.
    let account = |arguments: &[&str]| project.start_at_terminal(&project.local.endpoint(), arguments);
    let is_named = |screen: &[String]| {
        let where_to = "where  account 000000000000, region eu-central-1".to_owned();
        let is_principal = |line: &String| line.starts_with("as     arn:aws:") && line.contains(":000000000000:");
        assert!(
            screen.contains(&where_to) && screen.iter().any(is_principal),
            "{screen:?}"
        );
    };

    // Where there is nobody to ask, the command line is consent enough.
    project.write(&topic);
    project.run(&["deploy"]).expect(0);
    project.write(&text);
    // Who only presses Enter declines.
    let question = "Apply this plan to asked/dev? (1 to delete or replace) [y/N] ";
    let screen = declined(project.start_on_screen(80, &["deploy"]), question, "");
    let deletion = screen
        .iter()
        .any(|line| line.starts_with("  - delete  sns_topic.notices"));
    assert!(deletion, "{screen:?}");
    assert!(
        screen.contains(&"where  the local target, on this machine".to_owned()),
        "{screen:?}"
    );
    assert_eq!(deletions(), 1);
    let mut terminal = account(&["deploy", "--artifacts", &packages]);
    terminal.wait_for(question);
    terminal.type_line("y");
    let (code, screen) = terminal.end_on_screen();
    assert_eq!(code, 0, "{screen:?}");
    is_named(&screen);
    assert!(
        screen.iter().any(|line| line.starts_with("Done: 1 deleted in ")),
        "{screen:?}"
    );
    assert_eq!(deletions(), 0);

    // Every other command that asks.
    project.write(&text.replacen("  counter:\n    grants:", "  counter:\n    memory: 640\n    grants:", 1));
    project.run(&["deploy", "--no-promote"]).expect(0);
    is_named(&declined(
        account(&["promote"]),
        "Promote release 2 to live on asked/dev? (live now: release 1) [y/N] ",
        "n",
    ));
    project.run(&["promote", "--yes"]).expect(0);
    is_named(&declined(
        account(&["rollback"]),
        "Roll live back to release 1 on asked/dev? (live now: release 2) [y/N] ",
        "n",
    ));
    is_named(&declined(
        account(&["prune", "--keep", "1"]),
        "Delete all releases of asked/dev except the newest 1, live, preview and the one before live? [y/N] ",
        "n",
    ));
    is_named(&declined(
        account(&["destroy"]),
        "This cannot be undone. Type the stage's name (dev) to destroy asked/dev: ",
        "prod",
    ));
    let reset = project.start_on_screen(80, &["local", "reset"]);
    let screen = declined(reset, "Delete all local tables, objects and releases? [y/N] ", "n");
    assert!(
        screen.contains(&"where  the local target, on this machine".to_owned()),
        "{screen:?}"
    );
    assert_eq!(project.status("dev")["live"]["release"], 2);
}
