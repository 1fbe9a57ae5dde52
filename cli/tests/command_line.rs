//! The program from outside: exit codes, streams, what wrong command lines and templates are told. Nothing here needs
//! AWS or the local target.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The variables that stand in for arguments.
const VARIABLES: [&str; 7] = [
    "TASKCTL_STAGE",
    "TASKCTL_APP",
    "TASKCTL_PROFILE",
    "TASKCTL_REGION",
    "TASKCTL_OUTPUT",
    "TASKCTL_LOCAL_PORT",
    "TASKCTL_LOCAL_WEBSITE_PORT",
];

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
        "AWS_ENDPOINT_URL",
        "GITHUB_ACTIONS",
        "TASKCTL_CACHE",
        "XDG_CACHE_HOME",
        "TASKCTL_LOCAL_ROOT",
        "TASKCTL_LOCAL_PYTHON",
        "TASKCTL_LOCAL_SETTLING_MS",
    ]
    .into_iter()
    .chain(VARIABLES)
    {
        command.env_remove(name);
    }
    // Where the home is another one, a toolchain is not found by itself.
    command.env("CARGO", env!("CARGO"));
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
    // Long sentences are wrapped.
    let sentence = error.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in said {
        assert!(
            error.contains(part) || sentence.contains(part),
            "{arguments:?} says not {part:?} but {error}"
        );
    }
    assert!(!error.contains('\u{1b}') && !error.contains("panicked"), "{error}");
}

/// What command lines say that are refused, whole: for texts that name no path of the machine.
fn refusals(directory: &Path, exit: i32, command_lines: &[&[&str]]) -> String {
    let mut said = String::new();
    for arguments in command_lines {
        check_refused(directory, arguments, exit, &[]);
        let error = text(&run(directory, arguments).stderr);
        said.push_str(&format!("$ taskctl {}\n{}\n", arguments.join(" "), error.trim_end()));
    }
    said
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    check_refused(dir, &["local"], 64, &["Usage: taskctl local"]);
    let said = refusals(
        dir,
        64,
        &[
            &["depoly"],
            &["plan", "--stag", "x"],
            &["plan", "--output", "jsno"],
            &["plan", "--local", "--endpoint-url", "http://127.0.0.1:1"],
            &["plan", "--endpoint-url", "localhost:4566"],
            &["deploy", "--promote", "--no-promote"],
            &["templates", "platfrom"],
            &["status", "--app", "shop"],
            &["help", "depoly"],
            &["local", "reset"],
            &["status", "-f", "platform", "--endpoint-url", "http://10.0.0.7"],
        ],
    );
    insta::assert_snapshot!(said, @r#"
    $ taskctl depoly
    error: unrecognized subcommand 'depoly'

      tip: some similar subcommands exist: 'destroy', 'deploy'

    Usage: taskctl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    $ taskctl plan --stag x
    error: unexpected argument '--stag' found

      tip: a similar argument exists: '--stage'

    Usage: taskctl plan --stage <STAGE>

    For more information, try '--help'.
    $ taskctl plan --output jsno
    error: invalid value 'jsno' for '--output <FORMAT>'
      [possible values: human, json, github]

      tip: a similar value exists: 'json'

    For more information, try '--help'.
    $ taskctl plan --local --endpoint-url http://127.0.0.1:1
    error: the argument '--local' cannot be used with '--endpoint-url <URL>'

    Usage: taskctl plan --local

    For more information, try '--help'.
    $ taskctl plan --endpoint-url localhost:4566
    error: invalid value 'localhost:4566' for '--endpoint-url <URL>': expected a URL such as http://127.0.0.1:4566

    For more information, try '--help'.
    $ taskctl deploy --promote --no-promote
    error: the argument '--promote' cannot be used with '--no-promote'

    Usage: taskctl deploy --promote

    For more information, try '--help'.
    $ taskctl templates platfrom
    error: invalid value 'platfrom' for '[NAME]'
      [possible values: hello, platform, task-tracker, task-manager, backend, visitor-counter]

      tip: a similar value exists: 'platform'

    For more information, try '--help'.
    $ taskctl status --app shop
    error: --app needs a region, since no template is read
     help: add --region REGION, or set AWS_REGION
    $ taskctl help depoly
    error: there is no command or topic `depoly`
     help: commands and topics: init, templates, plan, deploy, promote, rollback,
           releases, unlock, status, metrics, prune, check, load, logs, alarms,
           dashboard, invoke, export, destroy, package, doctor, dev, local,
           schema, help, completions, man, exit-codes
    $ taskctl local reset
    error: deleting all local tables, objects and releases needs confirmation, and
           there is no terminal to ask on
     help: add --yes to proceed without a prompt
    $ taskctl status -f platform --endpoint-url http://10.0.0.7
    error: invalid value 'http://10.0.0.7' for '--endpoint-url <URL>': credentials and data would cross the network in the clear; use https://, or forward a local port (ssh -L 4566:127.0.0.1:4566 HOST) and use http://127.0.0.1:4566

    For more information, try '--help'.
    "#);
}

#[test]
fn help_and_version_are_answers() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        [].as_slice(),
        &["--help"],
        &["help"],
        &["help", "deploy"],
        &["help", "local", "up"],
        &["help", "exit-codes"],
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
    let help = text(&run(dir.path(), &["--help"]).stdout);
    for asked in [[].as_slice(), &["help"]] {
        assert_eq!(text(&run(dir.path(), asked).stdout), help);
    }
    for part in ["Usage: taskctl", "Release:", "Examples:", "taskctl help exit-codes"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(text(&run(dir.path(), &["help", "exit-codes"]).stdout).contains("130  interrupted"));
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
    let faults = refusals(dir, 1, &[&["plan"]]);
    insta::assert_snapshot!(faults, @r"
    $ taskctl plan
    error[unknown-key]: unknown key `tabels`
     --> taskctl.yaml:3:1
      |
    2 | region: eu-central-1
    3 | tabels: {}
      | ^^^^^^
    4 | functions: []
      |
      = help: did you mean `tables`?
      = help: keys of `stack`: app, region, account, requires, handlers, tags, protected, release, defaults, stages, tables, buckets, functions, api, alarms, topics, dashboard, warmup, queries

    error[wrong-type]: `functions` must be a mapping of names, not an empty list
     --> taskctl.yaml:4:12
      |
    3 | tabels: {}
    4 | functions: []
      |            ^^

    error: template taskctl.yaml has 2 faults
    ");
    for command in ["deploy", "status", "destroy", "package"] {
        assert_eq!(refusals(dir, 1, &[&[command]]), faults.replace("plan", command));
    }
    fs::create_dir(dir.join("below")).unwrap();
    fs::create_dir(dir.join(".git")).unwrap();
    check_refused(&dir.join("below"), &["plan"], 1, &["taskctl.yaml:3:1"]);
    check_refused(
        dir,
        &["plan", "-f", "nowhere.yaml"],
        1,
        &["template nowhere.yaml does not exist", "taskctl init"],
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

/// Of commands that need no stack, and of command lines that cannot be parsed.
#[test]
fn no_color_holds_without_a_session() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("taskctl.yaml"), "").unwrap();
    for arguments in [["init"], ["depoly"]] {
        let said = |flags: &[&str]| {
            let mut command = taskctl(dir.path(), &arguments);
            text(&command.args(flags).env("CLICOLOR_FORCE", "1").output().unwrap().stderr)
        };
        assert!(said(&[]).contains('\u{1b}'), "{arguments:?}");
        assert!(!said(&["--no-color"]).contains('\u{1b}'), "{arguments:?}");
    }
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
        let made = |path: &str| fs::read_to_string(dir.path().join("shop").join(path)).unwrap();
        let shown = text(&run(dir.path(), &["templates", name]).stdout);
        // Called like its folder; a project of its own needs no profile beside `release`.
        let own = shown
            .replace(&format!("app: {name}\n"), "app: shop\n")
            .replace("handlers: {profile: handlers}\n", "");
        assert_eq!(made("taskctl.yaml"), own);
        assert_eq!(made(".gitignore"), "/target/\n/.taskctl/\n");
        assert!(made("README.md").starts_with("# shop\n"));
        // The same again is what is there already; something else is not written over.
        assert_eq!(
            run(dir.path(), &["init", "shop", "--template", name]).status.code(),
            Some(0)
        );
        fs::write(dir.path().join("shop/Cargo.toml"), "[workspace]\n").unwrap();
        check_refused(
            dir.path(),
            &["init", "shop", "--template", name],
            1,
            &[
                "shop already has Cargo.toml",
                "nothing was written",
                "taskctl init --here",
            ],
        );
        assert_eq!(made("Cargo.toml"), "[workspace]\n");
    }
}

#[test]
fn a_project_that_is_there_gets_a_template() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    check_refused(
        dir.path(),
        &["init", "--here"],
        1,
        &["is not inside a Cargo project", "taskctl init --here DIR"],
    );
    let whole = "taskctl init DIR --template platform";
    let package = ["package", "-f", "platform"];
    check_refused(dir.path(), &package, 1, &["is not inside a Cargo project", whole]);
    write("src/main.rs", "fn main() {}");
    write("Cargo.toml", "[package]\nname = \"Shop_API\"\n");
    check_refused(
        dir.path(),
        &package,
        1,
        &["which the Cargo project does not have", whole],
    );
    check_refused(
        dir.path(),
        &["init", "--here"],
        1,
        &["has no function", "lambda_runtime"],
    );
    let manifest = r#"[package]
        name = "Shop_API"
        edition = "2024"
        [dependencies]
        lambda_http = "1"
        [package.metadata.lambda.deploy]
        memory = 256
        timeout = 20
        vpc = "vpc-1"
        env = { GREETING = "Hello: #1", LIMIT = "5" }
    "#;
    write("Cargo.toml", manifest);
    let output = run(dir.path(), &["init", "--here"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r"
    created taskctl.yaml for Shop_API
    not taken over from package.metadata.lambda: vpc of Shop_API

    next:
      taskctl deploy --local
    ");
    insta::assert_snapshot!(fs::read_to_string(dir.path().join("taskctl.yaml")).unwrap(), @r#"
    # The functions of this Cargo project.
    # All keys, for people and for completion in editors: `taskctl schema > taskctl.schema.json`.
    app: shop-api
    region: eu-central-1

    stages:
      dev: {}
      prod:
        protected: true

    functions:
      shop-api:
        binary: Shop_API
        memory: 256
        timeout: 20s
        environment:
          GREETING: "Hello: #1"
          LIMIT: "5"

    api:
      routes:
        $default: shop-api
    "#);
    assert_eq!(
        fs::read_to_string(dir.path().join(".gitignore")).unwrap(),
        "/.taskctl/\n"
    );
    check_refused(dir.path(), &["init", "--here"], 1, &["already has taskctl.yaml"]);
}

/// The built-in template is used where it is named, never because there is no other.
#[test]
fn without_a_template_nothing_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for command in ["plan", "deploy", "status", "destroy", "dev"] {
        check_refused(
            dir,
            &[command, "--endpoint-url", "http://127.0.0.1:1"],
            1,
            &["there is no taskctl.yaml in", "`taskctl init`", "-f platform"],
        );
    }
    check_refused(
        dir,
        &["plan", "-f", "platfrom"],
        1,
        &["platfrom does not exist", "platform"],
    );
    let named = run(dir, &["plan", "-f", "platform"]);
    assert!(
        text(&named.stderr).contains("sts:GetCallerIdentity"),
        "{}",
        text(&named.stderr)
    );
}

#[test]
fn without_credentials_it_is_said_how_to_get_some() {
    let dir = tempfile::tempdir().unwrap();
    check_refused(
        dir.path(),
        &["status", "-f", "platform"],
        1,
        &["sts:GetCallerIdentity failed", "aws sso login"],
    );
}

/// The environment stands in for arguments, and the command line counts before it.
#[test]
fn variables_stand_in_for_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let template = "app: shop\nregion: eu-central-1\nfunctions: {tasks: }\nstages: {dev: {}, prod: {}}\n";
    fs::write(dir.path().join("taskctl.yaml"), template).unwrap();
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = taskctl(dir.path(), arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for name in VARIABLES {
        for arguments in [["--help"].as_slice(), &["status", "--help"]] {
            let help = said(arguments, &[]).1;
            assert!(help.contains(&format!("[env: {name}]")), "{arguments:?}: {help}");
        }
    }

    // Nothing is reached here: what is said tells where it was looked for.
    let status = |arguments: &[&str], variables: &[(&str, &str)]| {
        let all = [&["status", "--endpoint-url", "http://127.0.0.1:9"], arguments].concat();
        let variables = [
            variables,
            &[
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                ("AWS_MAX_ATTEMPTS", "1"),
            ],
        ]
        .concat();
        let (code, out, err) = said(&all, &variables);
        assert_ne!(code, Some(0), "{out}{err}");
        (out, err.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let wrong_stage = |err: &str, stage: &str| assert!(err.contains(stage), "{err}");
    wrong_stage(&status(&[], &[("TASKCTL_STAGE", "Wrong!")]).1, "Wrong!");
    wrong_stage(&status(&["--stage", "Bad?"], &[("TASKCTL_STAGE", "Wrong!")]).1, "Bad?");
    let (out, _) = status(&[], &[("TASKCTL_OUTPUT", "json"), ("TASKCTL_STAGE", "Wrong!")]);
    assert!(out.is_empty() || out.starts_with('{'), "{out}");
    // What is set to nothing is not set.
    let empty: Vec<(&str, &str)> = VARIABLES.iter().map(|name| (*name, "")).collect();
    let (_, err) = status(&[], &empty);
    assert!(!err.contains("invalid value"), "{err}");

    // An application that the environment names is for where there is no template: that says what guards its stages.
    let app = [("TASKCTL_APP", "blog")];
    let elsewhere = tempfile::tempdir().unwrap();
    let output = taskctl(elsewhere.path(), &["status"]).envs(app).output().unwrap();
    let err = text(&output.stderr);
    assert!(
        output.status.code() == Some(64) && err.contains("--app needs a region"),
        "{err}"
    );
    for arguments in [["status"], ["plan"]] {
        let (code, _, err) = said(&arguments, &app);
        assert!(
            code == Some(64) && err.contains("the template is of application shop, not blog"),
            "{err}"
        );
    }
    let (_, err) = status(&["-f", "taskctl.yaml"], &app);
    assert!(!err.contains("blog"), "{err}");
    let (code, _, err) = said(&["status", "-f", "taskctl.yaml", "--app", "blog"], &[]);
    assert!(
        code == Some(64) && err.contains("'--app <APP>' cannot be used with '--file <FILE>'"),
        "{err}"
    );
}

#[test]
fn schema_completions_and_manual_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&run(dir.path(), &["schema"]).stdout).unwrap();
    assert!(schema["$schema"].is_string());
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(dir.path(), &["completions", shell]).stdout);
        assert!(
            script.contains("COMPLETE=") && script.contains("taskctl"),
            "{shell}: {script}"
        );
    }
    // The scripts ask the program: for commands, and for what a template has.
    let completed = |line: &[&str]| {
        let arguments = [&["--", "taskctl"], line].concat();
        let mut command = taskctl(dir.path(), &arguments);
        text(&command.env("COMPLETE", "fish").output().unwrap().stdout)
    };
    assert!(completed(&["dep"]).lines().any(|line| line.starts_with("deploy")));
    assert!(
        completed(&["logs", "-f", "--file", "platform", "ta"])
            .lines()
            .any(|line| line.starts_with("tasks"))
    );
    assert!(
        completed(&["status", "--stage", ""])
            .lines()
            .any(|line| line.starts_with("dev"))
    );
    fs::write(dir.path().join("plain.yaml"), "").unwrap();
    for line in [["status", "-f", "pla"], ["logs", "--file", "pla"]] {
        let offered = completed(&line);
        let names: Vec<&str> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(names, ["platform", "plain.yaml"], "{line:?}");
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

/// A template that does nothing but be found: its fault names it.
const FAULTY: &str = "app: shop\nregion: eu-central-1\ntabels: {}\n";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// Gives a file to another user, which only root may do. False where that is somebody else.
fn given_away(path: &Path) -> bool {
    std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).is_ok()
}

#[test]
fn a_template_above_counts_up_to_the_repository_and_from_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let outer = dir.path();
    let (inner, below) = (outer.join("inner"), outer.join("inner/src"));
    fs::create_dir_all(&below).unwrap();
    let template = outer.join("taskctl.yaml");
    fs::write(&template, FAULTY).unwrap();
    mode(&template, 0o644);
    let shown = template.display().to_string();

    // No repository: what lies above is named, and not used.
    check_refused(
        &below,
        &["plan"],
        1,
        &[&shown, "is above the working directory", &format!("-f {shown}")],
    );
    // The root of the Cargo workspace bounds where there is no repository.
    fs::write(outer.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    check_refused(&below, &["plan"], 1, &["taskctl.yaml:3:1"]);
    // The repository bounds before: beyond it nothing is looked at.
    fs::create_dir(inner.join(".git")).unwrap();
    check_refused(&below, &["status"], 1, &["there is no taskctl.yaml in"]);
    fs::remove_dir(inner.join(".git")).unwrap();
    fs::create_dir(outer.join(".git")).unwrap();
    check_refused(&below, &["plan"], 1, &["taskctl.yaml:3:1"]);

    // Others may write the file, or replace it.
    mode(&template, 0o666);
    check_refused(
        &below,
        &["plan"],
        1,
        &[&shown, "it is writable by others", &format!("chmod go-w {shown}")],
    );
    check_refused(outer, &["plan"], 1, &["taskctl.yaml", "it is writable by others"]);
    mode(&template, 0o644);
    mode(outer, 0o777);
    check_refused(
        &below,
        &["plan"],
        1,
        &["is writable by others", &format!("chmod go-w {}", outer.display())],
    );
    mode(outer, 0o755);
    // What is named is used, whoever wrote it.
    mode(&template, 0o666);
    check_refused(&below, &["plan", "-f", &shown], 1, &["taskctl.yaml:3:1"]);
    mode(&template, 0o644);
    check_refused(&below, &["plan"], 1, &["taskctl.yaml:3:1"]);
    if given_away(&template) {
        check_refused(
            &below,
            &["plan"],
            1,
            &[&shown, "belongs to another user (65534)", &format!("-f {shown}")],
        );
        check_refused(outer, &["plan"], 1, &["belongs to another user (65534)"]);
    }
}

/// What a folder `.taskctl` says is run by nobody: not the Python in its `options.json`, not one in its installation.
#[test]
fn nothing_that_a_folder_names_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (outer, below) = (dir.path(), dir.path().join("below"));
    fs::create_dir_all(&below).unwrap();
    fs::create_dir(outer.join(".git")).unwrap();
    let (root, proof) = (outer.join(".taskctl/local"), outer.join("proof"));
    fs::create_dir_all(&root).unwrap();
    let script = outer.join("python3");
    fs::write(&script, format!("#!/bin/sh\ntouch {}\nexit 1\n", proof.display())).unwrap();
    mode(&script, 0o755);
    let options = serde_json::json!({
        "port": 4580, "website_port": 1580, "first_api_port": 4600,
        "python": script, "venv": outer.join("venv"),
    });
    fs::write(root.join("options.json"), options.to_string()).unwrap();
    // No Python is to be found, so nothing is installed and nothing started.
    let lonely = |directory: &Path, arguments: &[&str]| {
        let mut command = taskctl(directory, arguments);
        let output = command.env("PATH", outer.join("nowhere")).output().unwrap();
        let said = text(&output.stderr);
        (
            output.status.code(),
            said.split_whitespace().collect::<Vec<_>>().join(" "),
        )
    };
    for arguments in [
        ["local", "up"].as_slice(),
        &["doctor", "--local", "-f", "platform"],
        &["status", "--local", "-f", "platform"],
    ] {
        let (_, said) = lonely(outer, arguments);
        assert!(!proof.exists(), "{arguments:?} ran what options.json names: {said}");
    }

    // Nor is the emulator's program run from a cache folder that others can write.
    let cache = outer.join("cache");
    fs::create_dir(&cache).unwrap();
    mode(&cache, 0o777);
    let mut command = taskctl(outer, &["local", "up"]);
    let output = command.env("TASKCTL_CACHE", &cache).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("writable by others") && said.contains("TASKCTL_CACHE=DIR"),
        "{said}"
    );

    // A folder that others can write is not used at all.
    mode(&outer.join(".taskctl"), 0o777);
    for arguments in [
        ["local", "up"].as_slice(),
        &["local", "status"],
        &["status", "--local", "-f", "platform"],
    ] {
        let (code, said) = lonely(&below, arguments);
        assert_eq!(code, Some(1), "{said}");
        let shown = outer.join(".taskctl").display().to_string();
        for part in [&*shown, "it is writable by others", &format!("chmod go-w {shown}")] {
            assert!(said.contains(part), "{said}");
        }
    }
    mode(&outer.join(".taskctl"), 0o755);
    // Nor one that is named.
    mode(&root, 0o777);
    let mut command = taskctl(&below, &["local", "status"]);
    let output = command.env("TASKCTL_LOCAL_ROOT", &root).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    mode(&root, 0o700);
    if given_away(&root) {
        let (code, said) = lonely(outer, &["local", "up"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("belongs to another user (65534)"), "{said}");
    }
}

/// Credentials do not go over the network in the clear, however the endpoint was named.
#[test]
fn an_endpoint_elsewhere_is_called_by_https() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for url in [
        "http://aws.example.com:4566",
        "http://10.0.0.7",
        "http://[2001:db8::1]:4566",
        "http://localhost.example.com",
        "http://127.0.0.1@aws.example.com",
        "http://0x7f000001.example",
    ] {
        check_refused(
            dir,
            &["status", "-f", "platform", "--endpoint-url", url],
            64,
            &["in the clear", "https://"],
        );
    }
    for url in [
        "http://127.8.9.10:1",
        "http://localhost:1",
        "http://s3.localhost:1",
        "http://[::1]:1",
        "https://aws.example.com",
    ] {
        let output = taskctl(dir, &["plan", "-f", "nowhere.yaml", "--endpoint-url", url])
            .output()
            .unwrap();
        assert!(
            text(&output.stderr).contains("template nowhere.yaml does not exist"),
            "{url}: {}",
            text(&output.stderr)
        );
    }
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_DYNAMODB"] {
        let mut command = taskctl(dir, &["status", "-f", "platform"]);
        let output = command
            .env(name, "http://aws.example.com:4566")
            .env("AWS_ACCESS_KEY_ID", "AKIA")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name}: {said}");
        assert!(said.contains(name) && said.contains("in the clear"), "{name}: {said}");
    }
    let profile = dir.join("config");
    fs::write(&profile, "[default]\nendpoint_url = http://aws.example.com:4566\n").unwrap();
    let mut command = taskctl(dir, &["status", "-f", "platform"]);
    let command = command.env("AWS_CONFIG_FILE", &profile);
    let output = command
        .env("AWS_ACCESS_KEY_ID", "AKIA")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("in the clear"),
        "{}",
        text(&output.stderr)
    );
}

/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
#[test]
fn failed_checks_are_annotations_on_github() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing listens there.
    let arguments = [
        "check",
        "-f",
        "platform",
        "--url",
        "http://127.0.0.1:1/a%b",
        "--output",
        "github",
    ];
    let output = run(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let annotations: Vec<&str> = out.lines().filter(|line| line.starts_with("::error ")).collect();
    assert!(!annotations.is_empty(), "{out}");
    for line in annotations {
        assert!(line.starts_with("::error title=request check::"), "{line}");
    }
    assert!(!out.contains(": :error"), "{out}");
}

/// GitHub's runner reads the lines of any step, whatever form of output was asked for.
#[test]
fn the_runner_obeys_no_check_and_no_template() {
    let dir = tempfile::tempdir().unwrap();
    let checks = dir.path().join("checks");
    fs::create_dir(&checks).unwrap();
    let suite = r#"checks: [{name: "a ##[add-mask]b", folder: functional, request: {path: /}, expect: {status: 200}}]"#;
    fs::write(checks.join("health.yaml"), suite).unwrap();
    let arguments = [
        "check",
        "-f",
        "platform",
        "--url",
        "http://127.0.0.1:1",
        "--checks",
        "checks",
    ];
    for form in ["human", "json", "github"] {
        let mut command = taskctl(dir.path(), &arguments);
        let output = command
            .args(["--output", form])
            .env("GITHUB_ACTIONS", "true")
            .output()
            .unwrap();
        let out = text(&output.stdout);
        assert!(out.contains("add-mask") && !out.contains("##["), "{form}: {out}");
    }
    let mut command = taskctl(dir.path(), &["plan", "-f", "platform", "--stage", "x\n::error::forged"]);
    let said = text(&command.env("GITHUB_ACTIONS", "true").output().unwrap().stderr);
    assert!(!said.lines().any(|line| line.trim_start().starts_with("::")), "{said}");
}
