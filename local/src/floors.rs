//! Which module may import which. A test, so that a new arrow is a decision.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the ground up: a module imports only those above it in this list. `services`, `gateway` and `runtime` know each
/// other by `ports` alone.
const FLOORS: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("files", &["error"]),
    ("deps", &[]),
    ("hosts", &[]),
    ("peer", &[]),
    ("ports", &[]),
    ("options", &["error", "files", "hosts"]),
    ("targets", &["error", "files", "options"]),
    ("keys", &["error", "files", "options"]),
    ("signing", &["keys"]),
    ("emulator", &["error", "files", "options"]),
    ("protocol", &[]),
    ("gateway", &["deps", "hosts", "ports"]),
    ("runtime", &["deps", "hosts", "keys", "peer", "ports"]),
    (
        "services",
        &["error", "files", "hosts", "keys", "ports", "protocol", "signing"],
    ),
    ("endpoint", &["hosts", "keys", "protocol", "services", "signing"]),
    (
        "daemon",
        &[
            "deps", "emulator", "endpoint", "error", "files", "gateway", "keys", "options", "ports", "protocol",
            "runtime", "services", "signing", "targets",
        ],
    ),
    ("floors", &[]),
];

/// Shared by the services; beyond it only `tagging` imports others, whose tags it lists.
const SHARED: [&str; 9] = [
    "compat",
    "destinations",
    "fault",
    "iam",
    "pattern",
    "queues",
    "reply",
    "required",
    "rhythm",
];

#[test]
fn imports_point_down() {
    let known: Vec<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    for (place, (name, allowed)) in FLOORS.iter().enumerate() {
        for below in *allowed {
            let at = known.iter().position(|one| one == below);
            assert!(at.unwrap() < place, "{name} is below {below}");
        }
    }
    for file in sources(&root()) {
        let floor = top(&file);
        if floor == "lib" || floor == "floors" {
            continue;
        }
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            panic!("{floor} has no floor yet: {}", file.display());
        };
        for import in imports(&file, "crate::") {
            let is_module = known.contains(&import.as_str());
            let is_allowed = import == floor || allowed.contains(&import.as_str());
            assert!(!is_module || is_allowed, "{} imports {import}", file.display());
        }
    }
}

#[test]
fn services_do_not_import_each_other() {
    let services = root().join("services");
    let names: BTreeSet<String> = std::fs::read_dir(&services)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    for file in sources(&services) {
        let inner = file.strip_prefix(&services).unwrap();
        if inner.components().count() == 1 || inner.starts_with("tagging") {
            continue;
        }
        let own = inner.iter().next().unwrap().to_string_lossy().into_owned();
        for import in imports(&file, "crate::services::") {
            let is_other = names.contains(&import) && import != own && !SHARED.contains(&import.as_str());
            assert!(!is_other, "{} imports {import}", file.display());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The module of the crate that a file belongs to.
fn top(file: &Path) -> String {
    let inner = file.strip_prefix(root()).unwrap();
    let first = Path::new(inner.iter().next().unwrap());
    first.file_stem().unwrap().to_string_lossy().into_owned()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What follows `prefix` in the code of a file, comments and tests left out; lists in braces one by one.
fn imports(file: &Path, prefix: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join(" ");
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(name)),
            None => drop(found.insert(name(rest))),
        }
    }
    found
}
