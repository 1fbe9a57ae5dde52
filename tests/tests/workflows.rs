//! The workflows, the action and the installer, as far as they can be tried without GitHub: their form, that they agree on what a
//! release is called, and the installer with releases of a folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use taskctl_tests::repository;
use tempfile::TempDir;

const WORKFLOWS: [&str; 2] = [".github/workflows/ci.yml", ".github/workflows/release.yml"];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// That the shell can read it. What GitHub puts in is a word.
fn check_script(place: &str, script: &str) {
    let put_in = regex_lite::Regex::new(r"\$\{\{[^}]*\}\}").unwrap();
    let script = put_in.replace_all(script, "x");
    let output = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
    assert!(
        output.status.success(),
        "{place}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn check_step(place: &str, step: &Value) {
    match (step["uses"].as_str(), step["run"].as_str()) {
        (Some(uses), None) => {
            let (name, version) = uses.split_once('@').unwrap_or_default();
            let is_pinned = version
                .strip_prefix('v')
                .is_some_and(|number| number.parse::<u32>().is_ok());
            assert!(name.starts_with("actions/") && is_pinned, "{place}: {uses}");
        }
        (None, Some(run)) => check_script(place, run),
        (uses, run) => panic!("{place}: a step has either `uses` or `run`: {uses:?} {run:?}"),
    }
}

#[test]
fn workflows_have_their_form() {
    for path in WORKFLOWS {
        let workflow = yaml(path);
        assert!(workflow["on"].is_object(), "{path}");
        assert_eq!(
            workflow["permissions"]["contents"], "read",
            "{path}: the least by default"
        );
        let jobs = workflow["jobs"].as_object().unwrap();
        for (name, job) in jobs {
            let place = format!("{path}: {name}");
            assert!(job["runs-on"].is_string() && job["timeout-minutes"].is_u64(), "{place}");
            for needed in list(&job["needs"]) {
                assert!(jobs.contains_key(needed.as_str().unwrap()), "{place} needs {needed}");
            }
            assert!(list(&job["steps"]).count() > 0, "{place}");
            list(&job["steps"]).for_each(|step| check_step(&place, step));

            // What a job takes of its matrix is in each of its entries.
            let text = job.to_string();
            let asked = regex_lite::Regex::new(r"matrix\.([a-z]+)").unwrap();
            for key in asked.captures_iter(&text).map(|found| found[1].to_owned()) {
                let entries: Vec<&Value> = list(&job["strategy"]["matrix"]["include"]).collect();
                assert!(
                    !entries.is_empty() && entries.iter().all(|entry| entry[&key].is_string()),
                    "{place}: {key}"
                );
            }
        }
    }
}

#[test]
fn the_action_runs_the_installer() {
    let action = yaml("action.yml");
    assert_eq!(action["runs"]["using"], "composite");
    for input in ["version", "stage"] {
        assert!(action["inputs"][input]["description"].is_string(), "{input}");
    }
    let script = repository().join(".ci/install.sh");
    assert_ne!(fs::metadata(script).unwrap().permissions().mode() & 0o111, 0);
    for step in list(&action["runs"]["steps"]) {
        assert_eq!(step["shell"], "bash");
        check_step("action.yml", step);
        assert!(step["run"].as_str().unwrap().contains(".ci/install.sh"));
        // What others name is never put into a script, where it would be run.
        assert!(!step["run"].as_str().unwrap().contains("${{"));
    }
}

#[test]
fn all_agree_on_what_a_release_is_called() {
    let release = yaml(WORKFLOWS[1]);
    let built: BTreeSet<String> = list(&release["jobs"]["build"]["strategy"]["matrix"]["include"])
        .map(|entry| entry["target"].as_str().unwrap().to_owned())
        .collect();
    let installer = read(".ci/install.sh");
    let target = regex_lite::Regex::new(r"target=([a-z0-9_-]+)").unwrap();
    let installed: BTreeSet<String> = target
        .captures_iter(&installer)
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(built, installed);

    let named = "taskctl-$GITHUB_REF_NAME-$TARGET";
    assert!(read(WORKFLOWS[1]).contains(named));
    assert!(installer.contains("taskctl-$tag-$target"));
    let manifest = read("cli/Cargo.toml");
    for part in [
        "/releases/download/v{ version }/taskctl-v{ version }-{ target }.tar.gz",
        "taskctl-v{ version }-{ target }/{ bin }",
    ] {
        assert!(manifest.contains(part), "{part}");
    }
}

/// A runner, and releases in a folder that a `gh` of its own gives out.
struct Runner {
    folder: TempDir,
}

impl Runner {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["bin", "temp", "release"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let gh = r#"#!/bin/sh
case "$2" in
view) echo v1.2.3 ;;
download) [ "$3" = v1.2.3 ] && cp "$RELEASE"/* . ;;
esac
"#;
        let runner = Self { folder };
        runner.program("bin/gh", gh);
        runner
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Publishes a release for this machine, with the checksum of other bytes if it is tampered with.
    fn publish(&self, is_tampered: bool) {
        let machine = std::env::consts::ARCH;
        let name = format!("taskctl-v1.2.3-{machine}-unknown-linux-gnu");
        self.program(&format!("{name}/taskctl"), "#!/bin/sh\necho taskctl 1.2.3\n");
        let archive = self.path(&format!("release/{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(self.folder.path())
            .arg(&name);
        assert!(tar.status().unwrap().success());
        let mut bytes = fs::read(&archive).unwrap();
        if is_tampered {
            bytes.push(0);
        }
        let sum: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(self.path("release/SHA256SUMS"), format!("{sum}  {name}.tar.gz\n")).unwrap();
    }

    fn install(&self, version: &str, stage: &str) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new(repository().join(".ci/install.sh"))
            .env("PATH", path)
            .env("RELEASE", self.path("release"))
            .env("RUNNER_TEMP", self.path("temp"))
            .env("GITHUB_ENV", self.path("env"))
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_PATH", self.path("path"))
            .env("GH_REPO", "ada/taskctl")
            .env("VERSION", version)
            .env("STAGE", stage)
            .output()
            .unwrap()
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

#[test]
fn the_installer_takes_what_has_its_checksum() {
    let runner = Runner::new();
    runner.publish(false);
    let output = runner.install("", "prod");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("taskctl 1.2.3"));
    assert_eq!(runner.written("output"), "version=1.2.3\n");
    assert_eq!(runner.written("env"), "TASKCTL_OUTPUT=github\nTASKCTL_STAGE=prod\n");
    let folder = runner.written("path");
    assert!(Path::new(folder.trim()).join("taskctl").is_file(), "{folder}");

    let refused = |runner: &Runner, version: &str, stage: &str, why: &str| {
        let output = runner.install(version, stage);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused(
        &runner,
        "9.9.9",
        "",
        "release v9.9.9 of ada/taskctl has no taskctl-v9.9.9",
    );
    // A line of its own would set another variable.
    refused(&runner, "1.2.3", "prod\nPATH=/evil", "is not of lower-case letters");
    assert!(!runner.written("env").contains("evil"));
    let tampered = Runner::new();
    tampered.publish(true);
    refused(&tampered, "v1.2.3", "", "does not have the checksum");
    assert_eq!(tampered.written("path"), "");
}
