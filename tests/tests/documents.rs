//! Documents that name files and tests name ones that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use taskctl_handlers::http::Function;
use taskctl_stack::template::{Options, Source, embedded, load};
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
                "lambda",
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

/// The pages of a folder, and of the folders in it.
fn pages(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

/// What links point to: `[text](target)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^()\s]+)\)").unwrap();
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if !is_code {
            let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            found.extend(link.captures_iter(&plain).map(|found| found[1].to_owned()));
        }
    }
    found
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn links_lead_somewhere_and_the_book_has_every_page() {
    let root = repository();
    let mut all: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    pages(&root.join("docs"), &mut all);
    let mut broken = Vec::new();
    for page in &all {
        for target in links(&fs::read_to_string(page).unwrap()) {
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let is_right = path.exists()
                && (heading.is_empty() || {
                    let text = fs::read_to_string(&path).unwrap();
                    let mut headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading)
                });
            if !is_right {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");

    let summary = root.join("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> = links(&fs::read_to_string(&summary).unwrap())
        .iter()
        .map(|path| root.join("docs").join(path))
        .collect();
    let left: Vec<_> = all
        .iter()
        .filter(|page| page.starts_with(root.join("docs")) && **page != summary && !listed.contains(*page))
        .collect();
    assert!(left.is_empty(), "not in docs/SUMMARY.md: {left:#?}");
}

/// The routes of a function, and its name.
fn served<F: Function, E>(name: &'static str, _: fn() -> Result<F, E>) -> impl Iterator<Item = (String, String)> {
    F::ROUTES
        .iter()
        .map(move |(key, _)| ((*key).to_owned(), name.to_owned()))
}

#[test]
fn the_platform_template_sends_each_route_to_the_function_that_serves_it() {
    let options = Options {
        region: Some("eu-central-1".into()),
    };
    let source = Source::new("platform", embedded("platform").unwrap());
    let api = load(&source, "dev", &options).unwrap().stack.api.unwrap();
    let sent: BTreeSet<(String, String)> = api
        .routes
        .into_iter()
        .map(|route| (route.key, route.function))
        .collect();
    let served: BTreeSet<(String, String)> = served("tasks", taskctl_handlers::tasks::function)
        .chain(served("users", taskctl_handlers::users::function))
        .chain(served("assets", taskctl_handlers::assets::function))
        .chain(served("counter", taskctl_handlers::counter::function))
        .chain(served("health", taskctl_handlers::health::function))
        .collect();
    assert_eq!(sent, served);
}
