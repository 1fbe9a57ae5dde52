//! Standard output that takes nothing: a full disk, a pipe that nobody reads. Every command ends, and says why.

use std::fs::OpenOptions;
use std::io::pipe;
use std::process::Stdio;
use std::time::Duration;

use taskctl_tests::{Project, Run, Running, artifacts, eventually};

/// Commands that write, those without an end included.
const COMMANDS: [&[&str]; 22] = [
    &["status"],
    &["status", "--watch"],
    &["status", "--watch", "--output", "json"],
    &["metrics"],
    &["metrics", "--watch"],
    &["alarms"],
    &["releases"],
    &["logs"],
    &["logs", "--format", "json"],
    &["logs", "--follow"],
    &["logs", "--query", "latency"],
    &["doctor"],
    &["check"],
    &["check", "--output", "json"],
    &["load", "--users", "2", "--duration", "1s", "--request", "GET /health"],
    &["invoke", "health", "--route", "GET /health"],
    &["plan"],
    &["plan", "--output", "json"],
    &["deploy", "--output", "json"],
    &["deploy", "--output", "github"],
    &["export", "openapi"],
    &["export", "policy"],
];
/// Those that need no target.
const ALONE: [&[&str]; 4] = [&["schema"], &["schema", "events"], &["templates"], &["--help"]];

fn end(mut running: Running, command: &[&str]) -> Run {
    eventually(&format!("{command:?} ends"), Duration::from_secs(60), || {
        running.has_ended().then_some(())
    });
    let run = running.end();
    assert!(!run.err.contains("panicked"), "{command:?}: {}", run.err);
    run
}

/// Exit codes of a command that ends so. One that has found something says that in its code, written or not.
fn codes(command: &[&str], code: i32) -> Vec<i32> {
    match command {
        ["doctor"] => vec![code, 4],
        _ => vec![code],
    }
}

fn start(project: &Project, command: &[&str], out: Stdio) -> Running {
    let packages = artifacts().to_string_lossy().into_owned();
    let mut all = command.to_vec();
    if !ALONE.contains(&command) {
        all.push("--local");
    }
    if matches!(command.first(), Some(&"plan" | &"deploy")) {
        all.extend(["--artifacts", &packages]);
    }
    project.local.start_into(&all, project.directory(), out)
}

#[test]
fn a_full_disk_is_an_error_and_a_reader_that_left_is_none() {
    let project = Project::platform("unwritten");
    project.run(&["deploy"]).expect(0);
    ureq::get(format!("{}/health", project.live("dev"))).call().unwrap();
    eventually("the request is logged", Duration::from_secs(30), || {
        let logged = project.run(&["logs", "health"]).expect(0);
        logged.out.contains("GET /health").then_some(())
    });
    for command in COMMANDS.into_iter().chain(ALONE) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = end(start(&project, command, full.into()), command);
        assert!(codes(command, 1).contains(&run.code), "{command:?}: {}", run.err);
        assert!(
            run.err.contains("cannot write to standard output") && run.err.contains("No space left"),
            "{command:?}: {}",
            run.err
        );

        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let run = end(start(&project, command, writer.into()), command);
        assert!(codes(command, 0).contains(&run.code), "{command:?}: {}", run.err);
        assert!(!run.err.contains("cannot write"), "{command:?}: {}", run.err);
    }
}
