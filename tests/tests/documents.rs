//! Documents that name files and tests name ones that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use taskctl_tests::repository;

/// What a document has between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn files_that_documents_name_exist() {
    let mut missing = BTreeSet::new();
    for document in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        for word in quoted(&text) {
            let top = word.split('/').next().unwrap_or_default();
            let is_path = [
                "cli",
                "stack",
                "local",
                "checks",
                "handlers",
                "tests",
                "docs",
                "templates",
                ".ci",
            ]
            .contains(&top)
                && word.contains('/')
                && !word.contains(['<', '{', '*', ' '])
                && !["NAME", "KIND", "SERVICE"]
                    .iter()
                    .any(|placeholder| word.contains(placeholder));
            if is_path && !repository().join(word).exists() {
                missing.insert(format!("{document}: {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_invariant_names_a_test() {
    let text = fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let mut code = String::new();
    for folder in ["stack", "cli", "local", "tests"] {
        sources(&repository().join(folder), &mut code);
    }
    let invariants: Vec<&str> = text.split("- **Invariant:**").skip(1).collect();
    assert!(invariants.len() >= 8, "{}", invariants.len());
    for invariant in invariants {
        let invariant = invariant.split("\n\n").next().unwrap_or_default();
        let tests: Vec<&str> = quoted(invariant)
            .into_iter()
            .filter(|word| word.ends_with(".rs") || word.matches('_').count() > 1)
            .collect();
        assert!(!tests.is_empty(), "{invariant}");
        for test in tests {
            let exists = repository().join(test).exists() || code.contains(test);
            assert!(exists, "no test `{test}`: {invariant}");
        }
    }
}
