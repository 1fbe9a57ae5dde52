//! README and the pages for operators, walked as they are written: every command line in them is run, in their order, on one
//! local target, and prints the lines that the page shows below it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use taskctl_tests::{Project, artifacts, binary, eventually, projects_target, repository};

/// A command line of a page.
#[derive(Debug)]
struct Step {
    page: &'static str,
    command: String,
    /// The lines below it.
    shown: Vec<String>,
}

/// The command lines of a page, and what it shows below each: in the same block, or in a block of text right after it.
fn steps(page: &'static str) -> Vec<Step> {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let (mut block, mut is_commands, mut is_shown) = (None, false, false);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            is_shown = block.is_none() && kind == "text" && is_commands && page == "README.md";
            if block.is_none() && kind == "console" {
                is_commands = true;
            }
            block = match block {
                Some(_) => None,
                None => Some(kind.to_owned()),
            };
            continue;
        }
        match block.as_deref() {
            Some("console") => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step {
                    page,
                    command: without_comment(command).to_owned(),
                    shown: Vec::new(),
                }),
                None => steps.last_mut().unwrap().shown.push(line.to_owned()),
            },
            Some("text") if is_shown => steps.last_mut().unwrap().shown.push(line.to_owned()),
            None if line.starts_with('#') => is_commands = false,
            _ => {}
        }
    }
    assert!(!steps.is_empty(), "{page} has no command lines");
    steps
}

fn without_comment(command: &str) -> &str {
    command.split(" #").next().unwrap_or(command).trim_end()
}

/// The shell in which a reader follows the pages.
struct Reader {
    project: Project,
    /// Programs that take the place of what is not at hand.
    programs: PathBuf,
    /// Where the reader is.
    directory: PathBuf,
}

impl Reader {
    /// One who has built this repository, and need not build its functions.
    fn in_the_repository() -> Self {
        let reader = Self::new("platform", &format!(" --artifacts {}", artifacts().display()));
        // taskctl is built, and its tests run: this is one.
        reader.program(
            "cargo",
            "case \"$*\" in\n  'test --workspace') exit 0 ;;\n  'run -- '*) shift 2; exec taskctl \"$@\" ;;\n\
             esac\nexit 64",
        );
        reader
    }

    fn new(app: &str, code: &str) -> Self {
        let project = Project::platform(app);
        let programs = project.directory().join("programs");
        fs::create_dir(&programs).unwrap();
        let reader = Self {
            directory: project.directory().to_owned(),
            project,
            programs,
        };
        let taskctl = binary().display();
        // What the pages leave out: the target, and packages that are made already.
        reader.program(
            "taskctl",
            &format!(
                "local=--local\nfor argument in \"$@\"; do [ \"$argument\" = --local ] && local=; done\n\
                 case \"$1\" in\n  init|templates|schema) exec {taskctl} \"$@\" ;;\n  \
                 plan|deploy) exec {taskctl} \"$@\" $local{code} ;;\nesac\nexec {taskctl} \"$@\" $local"
            ),
        );
        // The control bucket of a real account.
        reader.program("aws", "case \"$*\" in *'\"Statement\"'*) exit 0 ;; esac\nexit 64");
        reader.program("page", "exit 0");
        let event = r#"{"version": "2.0", "routeKey": "GET /tasks", "rawPath": "/tasks", "rawQueryString": "", "headers": {}, "requestContext": {"http": {"method": "GET", "path": "/tasks"}, "stage": "preview"}, "isBase64Encoded": false}"#;
        fs::write(reader.directory.join("event.json"), event).unwrap();
        reader
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn shell(&self, script: &str) -> Command {
        let path = format!(
            "{}:{}",
            self.programs.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .current_dir(&self.directory)
            .envs(self.project.local.variables())
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", projects_target())
            .env("NO_COLOR", "1")
            .env("COLUMNS", "120")
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null());
        shell
    }

    /// Runs a command line and stays where it leads. Returns its exit code and everything that it printed.
    fn run(&mut self, command: &str) -> (i32, String) {
        let place = self.programs.join("place");
        let script = format!(
            "{{ {command}\n}} 2>&1\ncode=$?\npwd > '{}'\nexit $code",
            place.display()
        );
        let output = self.shell(&script).output().unwrap();
        self.directory = fs::read_to_string(&place).unwrap().trim_end().into();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    /// Runs a command without an end until it has printed something, and interrupts it.
    fn watch(&self, command: &str) -> i32 {
        let out = tempfile::NamedTempFile::new().unwrap();
        let mut child = self
            .shell(&format!("exec {command}"))
            .stdout(out.reopen().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually(command, Duration::from_secs(30), || {
            let written = fs::metadata(out.path()).unwrap().len() > 0;
            (written || child.try_wait().unwrap().is_some()).then_some(())
        });
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        interrupted.unwrap();
        child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Where live answers, of the stack of the reader's directory.
    fn live(&self) -> String {
        let output = self.shell("taskctl status --output json").output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        status["endpoints"]["live"].as_str().unwrap().to_owned()
    }

    /// A command line with what is particular to the page replaced by what is here.
    fn here(&self, step: &Step) -> String {
        let mut command = step.command.clone();
        if command.contains("127.0.0.1:4600") {
            command = command.replace("http://127.0.0.1:4600", &self.live());
        }
        if command.contains("8d7f6a1e-…") {
            let lines = self
                .project
                .run(&["logs", "--since", "1h", "--format", "json", "--grep", "GET /health"]);
            let first: serde_json::Value = serde_json::from_str(lines.expect(0).out.lines().next().unwrap()).unwrap();
            command = command.replace("8d7f6a1e-…", first["message"]["requestId"].as_str().unwrap());
        }
        command.replace("--duration 60s", "--duration 1s")
    }

    fn follow(&mut self, step: &Step) {
        let command = self.here(step);
        let follows = command.contains("--follow") || command.contains("logs -f");
        if command.contains("--watch") || follows {
            assert_eq!(self.watch(&command), 130, "{step:?}");
            return;
        }
        let (code, text) = self.run(&command);
        let expected: &[i32] = match command.split_whitespace().nth(1) {
            // A machine that is busy with other tests is slow.
            Some("load") => &[0, 4],
            // It asks, and here is nobody to answer.
            Some("destroy") => &[64],
            _ => &[0],
        };
        assert!(expected.contains(&code), "{step:?} ended with {code}:\n{text}");
        let printed: Vec<String> = text.lines().map(normalized).collect();
        let mut rest = printed.iter();
        for line in &step.shown {
            let line = normalized(line);
            if line.is_empty() || line == "…" {
                continue;
            }
            assert!(
                rest.any(|printed| *printed == line),
                "{}: below `$ {}` this line is not printed, or not in this place:\n{line}\nPrinted was:\n{}",
                step.page,
                step.command,
                printed.join("\n")
            );
        }
    }
}

/// A line without what differs from run to run: times, durations, ports, ids, names of people.
fn normalized(line: &str) -> String {
    let rules = [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\.localhost:\d+", ".localhost:PORT"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
        (
            r"\((blue|green)\) ([0-9a-f]{7,}(-dirty|\+)?|-)( \(.*\))?$",
            "($1) COMMIT",
        ),
        (r"\((blue|green)\)$", "($1) COMMIT"),
        (
            r"\((blue|green)\)( [0-9a-f]{7,}(-dirty|\+)?| -)?, for ",
            "($1) COMMIT, for ",
        ),
        (r"\(since [^)]*\)", "(since WHEN)"),
        (r"(last +release \d+ deployed) .*$", "$1 WHEN"),
        (r"(\d+, none failed|no requests)$", "RECENT"),
        (r#""(count|counter_value)":\d+"#, "\"$1\":N"),
        (r"\d+(\.\d+)? (ms|s|min|h)\b", "DURATION"),
        (r"\d+ AWS calls", "CALLS"),
        (r"account \d{12}", "account ACCOUNT"),
        (r"^alarms +(all )?\d+ OK.*$", "alarms WHEN"),
        (r"\s+", " "),
    ];
    let mut line = line.trim_end().to_owned();
    for (pattern, by) in rules {
        line = Regex::new(pattern).unwrap().replace_all(&line, by).into_owned();
    }
    line
}

/// Another content for every function.
fn change(template: &Path) {
    let text = fs::read_to_string(template).unwrap();
    let changed = text.replacen("  function:\n", "  function:\n    memory: 640\n", 1);
    assert_ne!(text, changed);
    fs::write(template, changed).unwrap();
}

#[test]
fn the_pages_for_newcomers_and_operators_are_true() {
    let mut reader = Reader::in_the_repository();
    let root = reader.directory.clone();
    for step in steps("README.md") {
        reader.follow(&step);
    }
    reader.directory.clone_from(&root);
    // A release that waits, as the page on releases begins with.
    change(&root.join("taskctl.yaml"));
    assert_eq!(reader.run("taskctl deploy --no-promote").0, 0);
    for step in steps("docs/releases.md") {
        reader.follow(&step);
    }
    for step in steps("docs/operating.md") {
        reader.follow(&step);
    }
}

/// In an empty folder, outside of this repository, with nothing but the binary: the project is made, built and released.
#[test]
fn the_tutorial_is_true() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut reader = Reader::new("tutorial", "");
    reader.directory = elsewhere.path().canonicalize().unwrap();
    for step in steps("docs/tutorial.md") {
        reader.follow(&step);
    }
    assert_eq!(reader.run("taskctl destroy --yes").0, 0);
    let (code, text) = reader.run("cargo test --locked --offline");
    assert_eq!(code, 0, "{text}");
}

/// The same for the other templates. Their functions are one crate, which takes minutes to build the first time.
#[test]
#[ignore = "compiles the AWS SDK: `just templates`"]
fn every_template_makes_a_project_that_is_deployed_and_released() {
    for (template, path) in [
        ("task-tracker", "/tasks"),
        ("task-manager", "/tasks"),
        ("backend", "/users"),
        ("visitor-counter", "/counter"),
        ("platform", "/counter"),
    ] {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut reader = Reader::new("elsewhere", "");
        reader.directory = elsewhere.path().canonicalize().unwrap();
        let ends_well = |reader: &mut Reader, command: &str| {
            let began = Instant::now();
            let (code, text) = reader.run(command);
            println!("{template}: {command}: {:.1} s", began.elapsed().as_secs_f64());
            assert_eq!(code, 0, "{template}: {command}: {text}");
            text
        };
        let app = format!("own-{template}");
        ends_well(&mut reader, &format!("taskctl init {app} --template {template}"));
        ends_well(&mut reader, &format!("cd {app}"));
        ends_well(&mut reader, "taskctl deploy --local");
        let ask = format!("curl -sf {}{path}", reader.live());
        ends_well(&mut reader, &ask);
        ends_well(
            &mut reader,
            "sed -i '0,/^    grants:/s//    memory: 640\\n    grants:/' taskctl.yaml",
        );
        ends_well(&mut reader, "taskctl deploy --local --no-promote");
        ends_well(&mut reader, "taskctl promote --yes");
        let live = ends_well(&mut reader, "taskctl status");
        assert!(live.contains("release 2"), "{live}");
        ends_well(&mut reader, "taskctl rollback --yes");
        ends_well(&mut reader, &ask);
        ends_well(&mut reader, "taskctl destroy --yes --delete-data all");
        if template == "task-tracker" {
            ends_well(&mut reader, "cargo test --locked");
        }
    }
}
