//! The program from outside: exit codes, streams, what wrong command lines and templates are told. Nothing here needs
//! AWS or the local target.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, in a directory, with nothing of the tester's environment that it would look at.
fn taskctl(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskctl"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for name in [
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "GITHUB_STEP_SUMMARY",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
    ] {
        command.env_remove(name);
    }
    // Credentials are never looked for beyond this.
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null");
    command
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("HOME", directory);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        command.env_remove(name);
    }
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    taskctl(directory, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Exit code, that standard output is empty, and what standard error must contain.
fn check_refused(directory: &Path, arguments: &[&str], exit: i32, said: &[&str]) {
    let output = run(directory, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {error}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    for part in said {
        assert!(error.contains(part), "{arguments:?} says not {part:?} but {error}");
    }
    assert!(!error.contains('\u{1b}') && !error.contains("panicked"), "{error}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    check_refused(dir, &["depoly"], 64, &["unrecognized subcommand 'depoly'", "'deploy'"]);
    check_refused(dir, &["plan", "--stag", "x"], 64, &["--stag", "'--stage'"]);
    check_refused(
        dir,
        &["plan", "--output", "jsno"],
        64,
        &["[possible values: human, json, github]"],
    );
    check_refused(
        dir,
        &["plan", "--local", "--endpoint-url", "http://127.0.0.1:1"],
        64,
        &["cannot be used with"],
    );
    check_refused(
        dir,
        &["plan", "--endpoint-url", "localhost:4566"],
        64,
        &["it must look like http://"],
    );
    check_refused(
        dir,
        &["deploy", "--promote", "--no-promote"],
        64,
        &["cannot be used with"],
    );
    check_refused(dir, &["templates", "platfrom"], 64, &["platform"]);
    check_refused(dir, &[], 64, &["Usage: taskctl"]);
    check_refused(dir, &["local"], 64, &["Usage: taskctl local"]);
    check_refused(dir, &["status", "--app", "shop"], 64, &["--region REGION"]);
}

#[test]
fn help_and_version_are_answers() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        ["--help"].as_slice(),
        &["--version"],
        &["deploy", "--help"],
        &["local", "up", "--help"],
    ] {
        let output = run(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
        let names_serve = text(&output.stdout)
            .lines()
            .any(|line| line.trim_start().starts_with("serve"));
        assert!(!names_serve, "{arguments:?}");
    }
}

#[test]
fn a_faulty_template_is_refused_with_its_places() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(
        dir.join("taskctl.yaml"),
        "app: shop\nregion: eu-central-1\ntabels: {}\nfunctions: []\n",
    )
    .unwrap();
    for command in ["plan", "deploy", "status", "destroy", "package"] {
        check_refused(
            dir,
            &[command, "--yes"],
            1,
            &["taskctl.yaml:3:1", "did you mean `tables`?", "taskctl.yaml:4:12"],
        );
    }
    fs::create_dir(dir.join("below")).unwrap();
    check_refused(&dir.join("below"), &["plan"], 1, &["taskctl.yaml:3:1"]);
    check_refused(
        dir,
        &["plan", "-f", "nowhere.yaml"],
        1,
        &["there is no template nowhere.yaml", "taskctl init"],
    );
    check_refused(dir, &["plan", "-f", "below"], 1, &["below is a directory"]);
    fs::write(dir.join("empty.yaml"), "").unwrap();
    check_refused(dir, &["plan", "-f", "empty.yaml"], 1, &["the template is empty"]);
}

#[test]
fn faults_are_events_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("taskctl.yaml"),
        "app: shop\nregion: eu-central-1\ntabels: {}\n",
    )
    .unwrap();
    let output = run(dir.path(), &["deploy", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"error".into(), &1.into()));
    assert_eq!(last["template"]["faults"][0]["code"], "unknown-key");
    let output = run(dir.path(), &["deploy", "--output", "github"]);
    assert!(text(&output.stdout).starts_with("::error file=taskctl.yaml,line=3,col=1::unknown key"));
}

#[test]
fn colours_come_when_forced_and_go_when_unwanted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("taskctl.yaml"), "").unwrap();
    let said = |change: &dyn Fn(&mut Command)| {
        let mut command = taskctl(dir.path(), &["plan"]);
        change(&mut command);
        text(&command.output().unwrap().stderr)
    };
    assert!(!said(&|_| {}).contains('\u{1b}'));
    assert!(said(&|command| _ = command.env("CLICOLOR_FORCE", "1")).contains('\u{1b}'));
    assert!(!said(&|command| _ = command.env("CLICOLOR_FORCE", "1").arg("--no-color")).contains('\u{1b}'));
    assert!(!said(&|command| _ = command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).contains('\u{1b}'));
}

#[test]
fn a_project_begins_from_every_template() {
    let names = text(&run(Path::new("/"), &["templates", "--output", "json"]).stdout);
    let names: serde_json::Value = serde_json::from_str(&names).unwrap();
    for template in names["templates"].as_array().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let name = template["name"].as_str().unwrap();
        let output = run(dir.path(), &["init", "shop", "--template", name]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let made = fs::read_to_string(dir.path().join("shop/taskctl.yaml")).unwrap();
        assert_eq!(made, text(&run(dir.path(), &["templates", name]).stdout));
        assert_eq!(
            fs::read_to_string(dir.path().join("shop/.gitignore")).unwrap(),
            "/.taskctl/\n"
        );
        check_refused(dir.path(), &["init", "shop"], 1, &["is there already"]);
    }
}

#[test]
fn what_must_be_agreed_to_is_refused_where_nobody_can_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    check_refused(dir.path(), &["local", "reset"], 64, &["give --yes"]);
}

#[test]
fn without_credentials_it_is_said_how_to_get_some() {
    let dir = tempfile::tempdir().unwrap();
    check_refused(
        dir.path(),
        &["status"],
        1,
        &["sts:GetCallerIdentity failed", "aws sso login"],
    );
}

#[test]
fn schema_completions_and_manual_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&run(dir.path(), &["schema"]).stdout).unwrap();
    assert!(schema["$schema"].is_string());
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&run(dir.path(), &["completions", shell]).stdout).contains("deploy"));
    }
    assert!(text(&run(dir.path(), &["man"]).stdout).starts_with(".ie "));
    assert_eq!(run(dir.path(), &["man", "--out", "man1"]).status.code(), Some(0));
    assert!(dir.path().join("man1/taskctl-deploy.1").is_file());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [["schema"].as_slice(), &["--help"], &["completions", "zsh"], &["man"]] {
        let mut child = taskctl(dir.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}
