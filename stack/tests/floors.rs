//! Imports point down: each crate's modules are floors, and a module uses only floors below its own. What stands first imports
//! nothing of its crate; so `template`, `plan` and `release` cannot come to need AWS.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Floors of a crate, the lowest first. A longer path is a floor of its own.
struct House {
    source: &'static str,
    floors: &'static [&'static str],
    /// Folders whose modules do not import each other.
    apart: &'static [&'static str],
}

const HOUSES: &[House] = &[
    House {
        source: "stack/src",
        floors: &[
            "time",
            "digest",
            "partition",
            "template",
            "resource",
            "graph",
            "plan",
            "event",
            "aws/policy/document",
            "aws/policy/reach",
            "release",
            "site",
            "package",
            "aws/client",
            "aws/read",
            "aws/kinds",
            "aws",
            "aws/policy",
            "aws/release",
            "compile",
            "execute",
            "status",
            "observe",
            "engine",
        ],
        apart: &[],
    },
    House {
        source: "cli/src",
        floors: &[
            "exit",
            "failure",
            "file",
            "name_pattern",
            "answers",
            "cli",
            "project_discovery",
            "project_source",
            "ui",
            "env",
            "project",
            "code_source",
            "complete",
            "report",
            "stack_ref",
            "target",
            "machine",
            "session",
            "lease",
            "prepare",
            "web_site",
            "promotion_gate",
            "proxy",
            "http_probe",
            "deployment",
            "log_line",
            "log_view",
            "pruning",
            "refresh",
            "time_arg",
            "transition",
            "watch",
            "commands",
            "readme",
        ],
        apart: &["commands"],
    },
    House {
        source: "local/src",
        floors: &[
            "deps", "error", "files", "hosts", "options", "targets", "emulator", "keys", "protocol", "ports",
            "signing", "services", "endpoint", "gateway", "peer", "runtime", "daemon", "floors",
        ],
        apart: &[],
    },
];

/// The modules that a text imports, as paths from the crate's root. `module` is the text's own.
fn imports(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let code: String = text
        .lines()
        // Tests may look at what is above.
        .take_while(|line| *line != "#[cfg(test)]")
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let before = &code[..place];
        // `pub(in crate::aws)` is no import.
        if !before.ends_with("(in ") && !before.ends_with(|last: char| last.is_alphanumeric() || "_$:".contains(last)) {
            expand(&code[place + "crate::".len()..], Vec::new(), &mut found);
        }
    }
    for (place, _) in code.match_indices("super::") {
        // Of `super::super::` the first is the beginning.
        if code[..place].ends_with("super::") {
            continue;
        }
        let mut rest = &code[place..];
        let mut parent = module.to_vec();
        while let Some(shorter) = rest.strip_prefix("super::") {
            rest = shorter;
            parent.pop();
        }
        expand(rest, parent, &mut found);
    }
    found
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`. Returns what follows.
fn expand<'a>(text: &'a str, start: Vec<String>, found: &mut BTreeSet<Vec<String>>) -> &'a str {
    let mut path = start;
    let mut rest = text;
    loop {
        let name: String = rest
            .chars()
            .take_while(|one| one.is_alphanumeric() || *one == '_')
            .collect();
        rest = &rest[name.len()..];
        if !name.is_empty() {
            path.push(name);
        }
        if let Some(shorter) = rest.strip_prefix("::") {
            rest = shorter;
        } else if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = inner.trim_start_matches([' ', '\n', ',']);
                if let Some(after) = inner.strip_prefix('}') {
                    return after;
                }
                let after = expand(inner, path.clone(), found);
                if after.len() == inner.len() {
                    return after;
                }
                inner = after;
            }
        } else {
            found.insert(path);
            return rest;
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// The place of the floor that a module is on; none when it is on no floor.
fn floor(floors: &[&str], module: &[String]) -> Option<usize> {
    let path = module.join("/");
    let holds = |floor: &str| path == floor || path.starts_with(&format!("{floor}/"));
    let of = floors.iter().enumerate().filter(|(_, floor)| holds(floor));
    of.max_by_key(|(_, floor)| floor.len()).map(|(place, _)| place)
}

/// Everything in a house that points up or to a neighbour, and modules without a floor.
fn faults(house: &House) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(house.source);
    let mut faults = Vec::new();
    for file in sources(&root) {
        let place = file.strip_prefix(&root).expect("below the root").with_extension("");
        let mut module: Vec<String> = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| last == "mod");
        if ["lib", "main"].contains(&module.join("/").as_str()) || module.iter().any(|part| part.ends_with("tests")) {
            continue;
        }
        let Some(own) = floor(house.floors, &module) else {
            faults.push(format!("{}: `{}` is on no floor", house.source, module.join("::")));
            continue;
        };
        let text = fs::read_to_string(&file).expect("a source file");
        for import in imports(&text, &module) {
            let Some(other) = floor(house.floors, &import) else {
                continue;
            };
            let (from, to) = (house.floors[own], house.floors[other]);
            let line = |why: &str| {
                format!(
                    "{}: `{}` imports `{}`, {why}",
                    house.source,
                    module.join("::"),
                    import.join("::")
                )
            };
            if other > own {
                faults.push(line(&format!("and `{to}` is above `{from}`")));
            }
            let is_neighbour = |folder: &&str| {
                module.len() > 1
                    && import.len() > 1
                    && module[0] == **folder
                    && import[0] == **folder
                    && module[1] != import[1]
            };
            if house.apart.iter().any(is_neighbour) {
                faults.push(line("its neighbour: what both need goes down"));
            }
        }
    }
    faults
}

#[test]
fn imports_point_down() {
    let faults: Vec<String> = HOUSES.iter().flat_map(faults).collect();
    assert!(
        faults.is_empty(),
        "imports that point up (the floors are listed in stack/tests/floors.rs):\n  {}",
        faults.join("\n  ")
    );
}

#[test]
fn imports_are_read_from_braces_and_from_super() {
    let module = ["aws", "read", "reader"].map(str::to_owned);
    let text = "use crate::{plan::{Change, Plan}, release};\nuse super::super::client::pace;\n#[cfg(test)]\nuse crate::engine;";
    let found: Vec<String> = imports(text, &module).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["aws::client::pace", "plan::Change", "plan::Plan", "release"]);
}
