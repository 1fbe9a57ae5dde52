//! What Cargo says on stdout with `--message-format=json`, as far as it is of use here. Pure.
//! <https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// One line of Cargo's.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-message")]
    Diagnostic {
        package_id: String,
        target: Target,
        message: Diagnostic,
    },
    #[serde(rename = "compiler-artifact")]
    Artifact {
        package_id: String,
        manifest_path: PathBuf,
        target: Target,
        fresh: bool,
        executable: Option<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// What was gathered from a build.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Executables by their package's manifest and the name of their target.
    pub executables: BTreeMap<(PathBuf, String), PathBuf>,
    /// Errors as the compiler renders them.
    pub errors: Vec<String>,
    /// Warnings of a target that is not known to be built or fresh yet.
    waiting: BTreeMap<(String, String), Vec<String>>,
}

impl Gathered {
    /// Takes a line and gives back what a person wants to see of it at once: warnings. Errors are kept for the end of the
    /// build. Cargo repeats the warnings of what it did not have to compile; they are left out.
    pub fn take(&mut self, line: &str) -> Vec<String> {
        let Ok(message) = serde_json::from_str(line) else {
            return Vec::new();
        };
        match message {
            Message::Diagnostic {
                package_id,
                target,
                message,
            } => {
                let Some(rendered) = message.rendered else {
                    return Vec::new();
                };
                let rendered = rendered.trim_end().to_owned();
                if message.level.starts_with("error") {
                    self.errors.push(rendered);
                } else {
                    self.waiting
                        .entry((package_id, target.name))
                        .or_default()
                        .push(rendered);
                }
                Vec::new()
            }
            Message::Artifact {
                package_id,
                manifest_path,
                target,
                fresh,
                executable,
            } => {
                let warnings = self
                    .waiting
                    .remove(&(package_id, target.name.clone()))
                    .unwrap_or_default();
                if let Some(executable) = executable
                    && target.kind.iter().any(|kind| kind == "bin")
                {
                    self.executables.insert((manifest_path, target.name), executable);
                }
                if fresh { Vec::new() } else { warnings }
            }
            Message::Other => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARNING: &str = r#"{"reason":"compiler-message","package_id":"p","target":{"kind":["bin"],"name":"tasks"},"message":{"level":"warning","rendered":"warning: unused\n\n"}}"#;
    const ERROR: &str = r#"{"reason":"compiler-message","package_id":"p","target":{"kind":["bin"],"name":"tasks"},"message":{"level":"error","rendered":"error[E0425]: no\n"}}"#;

    fn artifact(fresh: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/p/Cargo.toml","target":{{"kind":["bin"],"name":"tasks"}},"fresh":{fresh},"executable":"/t/tasks"}}"#
        )
    }

    #[test]
    fn executables_are_found_and_warnings_told_when_it_was_compiled() {
        for (fresh, told) in [(false, vec!["warning: unused".to_owned()]), (true, vec![])] {
            let mut gathered = Gathered::default();
            assert_eq!(gathered.take(WARNING), Vec::<String>::new());
            assert_eq!(gathered.take(&artifact(fresh)), told);
            let of = ("/p/Cargo.toml".into(), "tasks".to_owned());
            assert_eq!(gathered.executables[&of], PathBuf::from("/t/tasks"));
        }
    }

    #[test]
    fn errors_are_kept_for_the_end() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.take(ERROR), Vec::<String>::new());
        assert_eq!(gathered.errors, ["error[E0425]: no"]);
    }

    #[test]
    fn other_lines_say_nothing() {
        let mut gathered = Gathered::default();
        for line in [
            "",
            "not json",
            r#"{"reason":"build-finished","success":true}"#,
            r#"{"reason":"new","x":1}"#,
        ] {
            assert!(gathered.take(line).is_empty());
        }
    }
}
