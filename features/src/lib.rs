//! Nothing but features. Cargo compiles a crate once for each set of features, and what is built alone has a set of its own: without this
//! crate, which taskctl and the shipped functions both depend on, the functions would compile the AWS SDK a second time.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Command;

    /// What a package is built from when it is built alone: each dependency with its sets of features.
    fn dependencies(package: &str) -> BTreeMap<String, BTreeSet<String>> {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none"])
            .args(["--format", "{p}\t{f}", "--package", package])
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in String::from_utf8(tree.stdout).unwrap().lines() {
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
}
