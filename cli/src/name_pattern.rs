//! Names of functions on the command line, with the wildcards of a shell: `task*`, `?ounter`.

use std::collections::BTreeSet;

use crate::failure::Failure;

/// Whether a name is meant by a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place) = (0, 0);
    // Where the last `*` is, and up to where it has matched.
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(one) if *one == '?' || *one == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((from, matched)) => {
                    *matched += 1;
                    at = *from + 1;
                    place = *matched;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|one| *one == '*')
}

/// The names that patterns mean. Each must mean one at least.
pub fn select<'a>(patterns: &[String], known: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<String>, Failure> {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let mut selected = BTreeSet::new();
    for pattern in patterns {
        let meant: Vec<&str> = known.iter().copied().filter(|name| matches(pattern, name)).collect();
        if meant.is_empty() {
            return Err(unknown(pattern, &known));
        }
        selected.extend(meant.into_iter().map(str::to_owned));
    }
    Ok(selected)
}

fn unknown(pattern: &str, known: &BTreeSet<&str>) -> Failure {
    let message = match pattern.contains(['*', '?']) {
        true => format!("no function matches {pattern}"),
        false => format!("no function named {pattern}"),
    };
    let names: Vec<&str> = known.iter().copied().collect();
    Failure::usage(
        message,
        match names.as_slice() {
            [] => "the stage has no functions".to_owned(),
            names => format!("functions: {}", names.join(", ")),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_a_shell() {
        for (pattern, name, is_meant) in [
            ("tasks", "tasks", true),
            ("tasks", "tasks2", false),
            ("task*", "tasks", true),
            ("*", "tasks", true),
            ("*s", "tasks", true),
            ("t*k*", "tasks", true),
            ("t*x*", "tasks", false),
            ("?asks", "tasks", true),
            ("tasks?", "tasks", false),
            ("a*b*ab", "aabbab", true),
            ("", "tasks", false),
        ] {
            assert_eq!(matches(pattern, name), is_meant, "{pattern} {name}");
        }
    }

    #[test]
    fn each_pattern_means_something() {
        let known = ["counter", "tasks", "users"];
        let select = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|one| (*one).to_owned()).collect();
            select(&patterns, known).map_err(|failure| failure.summary())
        };
        let names = |names: &[&str]| Ok(names.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(select(&["task*", "users"]), names(&["tasks", "users"]));
        assert_eq!(select(&["*"]), names(&known));
        assert_eq!(select(&["task*", "x*"]), Err("no function matches x*".to_owned()));
        assert_eq!(select(&["task"]), Err("no function named task".to_owned()));
    }
}
