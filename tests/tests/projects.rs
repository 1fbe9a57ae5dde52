//! Several projects on one machine, each with a local target of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use taskctl_tests::{Local, artifacts, binary, cache, repository};
use tempfile::TempDir;

/// A project for which nothing is set: no root, no ports. It has the same application and stage as every other one.
struct Stranger {
    directory: TempDir,
}

impl Stranger {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let template = repository().join("templates/visitor-counter.yaml");
        fs::copy(template, directory.path().join("taskctl.yaml")).unwrap();
        Self { directory }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TASKCTL_CACHE", cache())
            .env("NO_COLOR", "1")
            .env_remove("GITHUB_ACTIONS");
        for name in ["TASKCTL_LOCAL_ROOT", "TASKCTL_LOCAL_PORT", "TASKCTL_LOCAL_WEBSITE_PORT"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    fn deploy(&self) {
        let packages = artifacts().to_string_lossy().into_owned();
        self.run(&["deploy", "--local", "--artifacts", &packages]);
    }

    fn live(&self) -> String {
        let status = self.json(&["status", "--local"]);
        status["endpoints"]["live"].as_str().unwrap().to_owned()
    }

    fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(".taskctl/local")
    }

    /// As the list of all local targets shows this one.
    fn listed(&self) -> Value {
        let all = self.json(&["local", "list"]);
        let found = all
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["root"] == *self.root().to_string_lossy());
        found
            .unwrap_or_else(|| panic!("{} is not in {all}", self.root().display()))
            .clone()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.run(&["local", "down"]);
    }
}

fn visits(live: &str) -> Value {
    let text = ureq::get(&format!("{live}/counter"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["count"].clone()
}

#[test]
fn two_projects_start_at_once_from_nothing() {
    // The emulator is installed by then; that it is installed once is a unit test.
    let _shared = Local::shared();
    let (shop, blog) = (Stranger::new(), Stranger::new());
    std::thread::scope(|scope| {
        let starts = [scope.spawn(|| shop.deploy()), scope.spawn(|| blog.deploy())];
        starts.into_iter().for_each(|start| start.join().unwrap());
    });

    // Each has its own ports and data, though application and stage are the same.
    let (of_shop, of_blog) = (shop.listed(), blog.listed());
    for port in ["endpoint", "websites", "first_api"] {
        assert_ne!(of_shop["ports"][port], of_blog["ports"][port], "{port}");
    }
    assert_eq!(
        (&of_shop["state"], &of_blog["state"]),
        (&"running".into(), &"running".into())
    );
    let first = visits(&shop.live());
    assert_ne!(visits(&shop.live()), first);
    assert_eq!(visits(&blog.live()), first);

    // What rests keeps its ports, and has the same URLs when it is back.
    let before = blog.live();
    blog.run(&["local", "down"]);
    let rests = blog.listed();
    assert_eq!(
        (&rests["state"], &rests["ports"]),
        (&"stopped".into(), &of_blog["ports"])
    );
    assert_eq!(shop.listed()["state"], "running");
    blog.run(&["local", "up"]);
    assert_eq!(blog.live(), before);
    assert_eq!(blog.listed()["ports"], of_blog["ports"]);
}
