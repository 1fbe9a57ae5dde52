//! Stages that earlier versions of taskctl made: local roots recorded by `tests/fixtures/recorded/record.py`. This version
//! plans them without taking anything away, promotes what waits in them, and rolls back to what they had.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use taskctl_tests::{Local, Run, repository};
use tempfile::TempDir;

/// The recorded plan has the website's URL in it.
const WEBSITE_PORT: u16 = 18_567;

struct Recorded {
    local: Local,
    project: TempDir,
    _root: TempDir,
}

impl Recorded {
    fn of(archive: &Path) -> Self {
        let project = TempDir::new().unwrap();
        let root = TempDir::new().unwrap();
        let from = repository().join("tests/fixtures/recorded");
        for file in ["taskctl.yaml", "site/index.html"] {
            let to = project.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from.join(file), to).unwrap();
        }
        Self {
            local: Local::recorded(archive, root.path(), WEBSITE_PORT),
            project,
            _root: root,
        }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let packages = repository().join("tests/fixtures/recorded/packages");
        let packages = packages.to_string_lossy().into_owned();
        let mut all = vec!["--local"];
        if matches!(arguments[0], "plan" | "deploy") {
            all.extend(["--artifacts", &packages]);
        }
        self.local.run(&[arguments, &all].concat(), self.project.path())
    }

    fn status(&self) -> Value {
        let run = self.run(&["status", "--output", "json"]).expect(0);
        serde_json::from_str(&run.out).unwrap()
    }

    /// What a function says of itself through live: which release's environment it has.
    fn greeting(&self) -> String {
        let url = format!("{}/notes", self.status()["endpoints"]["live"].as_str().unwrap());
        let mut answer = ureq::get(&url).call().unwrap();
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        answer["greeting"].as_str().unwrap().to_owned()
    }
}

#[test]
fn stages_of_earlier_versions_are_carried_on() {
    let folder = repository().join("tests/fixtures/recorded");
    let mut archives: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    archives.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    archives.sort();
    assert!(!archives.is_empty());
    for archive in archives {
        let stage = Recorded::of(&archive);
        assert_eq!(stage.greeting(), "second", "{}", archive.display());

        let plan = stage.run(&["plan", "--output", "json"]);
        assert!(matches!(plan.code, 0 | 2), "{plan:?}");
        let taken: Vec<String> = plan
            .changes()
            .into_iter()
            .filter(|change| !change.starts_with("update ") && !change.starts_with("create "))
            .collect();
        assert!(taken.is_empty(), "{}: {taken:?}", archive.display());

        stage.run(&["promote", "--yes"]).expect(0);
        assert_eq!(stage.greeting(), "third", "what waited goes live");
        stage.run(&["rollback", "--yes"]).expect(0);
        assert_eq!(stage.greeting(), "second", "what was live comes back");
        stage.run(&["rollback", "--to", "1", "--yes"]).expect(0);
        assert_eq!(stage.greeting(), "first", "also further back");

        stage.run(&["deploy", "--promote"]).expect(0);
        assert_eq!(stage.greeting(), "third");
        let again = stage.run(&["plan", "--output", "json"]);
        assert_eq!(again.changes(), Vec::<String>::new(), "{}", archive.display());

        // Its data is known as data, and stays.
        let destroyed = stage.run(&["destroy", "--yes"]).expect(0);
        for store in ["dynamodb_table.notes", "s3_bucket.files"] {
            let kept = format!("· {store}: it holds data");
            assert!(destroyed.err.contains(&kept), "{}{}", destroyed.out, destroyed.err);
        }
    }
}
