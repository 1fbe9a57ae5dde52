//! Nothing but features. Cargo compiles a crate once for each set of features, and what is built alone has a set of its own: without this
//! crate, which taskctl and the shipped functions both depend on, the functions would compile the AWS SDK a second time, and the tests a
//! third time.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Command;

    /// What a package is built from when it is built alone: each dependency with its sets of features.
    fn dependencies(package: &str) -> BTreeMap<String, BTreeSet<String>> {
        tree(&["--edges", "normal,build", "--package", package])
    }

    fn tree(selection: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--prefix", "none", "--format", "{p}\t{f}"])
            .args(selection)
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let lines = String::from_utf8(tree.stdout).unwrap();
        for line in lines.lines().filter(|line| !line.is_empty()) {
            // What was shown before is marked.
            let (name, features) = line.trim_end_matches(" (*)").split_once('\t').unwrap();
            found.entry(name.to_owned()).or_default().insert(features.to_owned());
        }
        found
    }

    /// When this fails: the features that one of the two has more belong into this crate's manifest.
    #[test]
    fn functions_and_taskctl_are_built_from_the_same_crates() {
        let (taskctl, functions) = (dependencies("taskctl"), dependencies("taskctl-handlers"));
        let common = functions.keys().filter(|name| taskctl.contains_key(*name)).count();
        assert!(common > 150, "{common}");
        for (name, built) in &functions {
            if let Some(shared) = taskctl.get(name) {
                assert!(built.is_subset(shared), "{name}: {built:?}, in taskctl {shared:?}");
            }
        }
    }

    /// When this fails: the features that tests add belong into this crate's manifest, or the test does without them.
    #[test]
    fn tests_are_built_from_the_same_crates() {
        let tests = tree(&["--edges", "normal,build,dev", "--workspace"]);
        for package in ["taskctl", "taskctl-handlers"] {
            for (name, built) in dependencies(package) {
                // The workspace's own crates are built in seconds.
                if !name.contains("(/") {
                    assert!(
                        tests.get(&name).is_some_and(|shared| built.is_subset(shared)),
                        "{name}: {built:?}, in tests {:?}",
                        tests.get(&name)
                    );
                }
            }
        }
    }
}
