//! What a shell completes beyond commands and options: stages and functions of the template at hand, releases of the stage that
//! the line names. Whatever goes wrong, there is nothing to offer: who presses Tab reads no error.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use serde_json::Value;
use taskctl_stack::template::EMBEDDED;

use crate::project::TEMPLATE_NAMES;
use crate::project_discovery::{Nearest, nearest};

/// How long somebody who pressed Tab waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// Options that say which stack is meant, and how it is reached; with a value, but for `--local`.
const TARGET: [&str; 11] = [
    "--stage",
    "-s",
    "--region",
    "--profile",
    "--endpoint-url",
    "--local-port",
    "--local-website-port",
    "--file",
    "-f",
    "--app",
    "--local",
];

/// The stages of the template.
pub fn stages() -> Vec<CompletionCandidate> {
    let template = template(&words());
    let stages = template
        .as_ref()
        .map(|template| names(template, "stages"))
        .unwrap_or_default();
    // The default stage needs no place in the template.
    let default = Some("dev".to_owned()).filter(|dev| !stages.contains(dev));
    candidates(stages.into_iter().chain(default))
}

/// The functions of the template.
pub fn functions() -> Vec<CompletionCandidate> {
    let template = template(&words());
    candidates(template.iter().flat_map(|template| names(template, "functions")))
}

/// Templates that can be named: shipped ones, and files.
pub fn templates(current: &OsStr) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    let shipped = EMBEDDED
        .iter()
        .filter(|shipped| shipped.name.starts_with(&*begun))
        .map(|shipped| CompletionCandidate::new(shipped.name).help(Some(shipped.summary.into())));
    shipped.chain(PathCompleter::file().complete(current)).collect()
}

/// The releases that the stage of the line can go back to, newest first.
pub fn releases() -> Vec<CompletionCandidate> {
    let target = target(&words());
    // Tab starts no emulator.
    if target.iter().any(|word| word == "--local") && !answered(&["local", "status"], &[]).is_some_and(is_running) {
        return Vec::new();
    }
    let releases = answered(&["releases"], &target).unwrap_or_default();
    let kept = releases.as_array().into_iter().flatten().filter(|one| {
        let state = one["state"].as_str();
        matches!(state, Some("previous" | "kept"))
    });
    kept.filter_map(|one| {
        let commit = one["commit"].as_str().map(|commit| commit.to_owned().into());
        Some(CompletionCandidate::new(one["release"].as_u64()?.to_string()).help(commit))
    })
    .collect()
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn is_running(status: Value) -> bool {
    status["state"] == "running"
}

/// The words of the line that is being completed: the shell gives them after `--`.
fn words() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != OsStr::new("--")).skip(2);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The options of a line that name its stack.
fn target(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_logs = false;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        is_logs |= name == "logs";
        // There it follows.
        let is_follow = is_logs && name == "-f";
        if is_follow || !TARGET.contains(&name) {
            continue;
        }
        found.push(word.clone());
        if name != "--local" && !word.contains('=') {
            found.extend(words.next().filter(|value| !value.is_empty()).cloned());
        }
    }
    found
}

/// The template that the line names, or the nearest; not checked.
fn template(words: &[String]) -> Option<Value> {
    let target = target(words);
    let mut pairs = target.windows(2);
    let given = pairs
        .find(|pair| matches!(pair[0].as_str(), "-f" | "--file"))
        .map(|pair| pair[1].as_str());
    let given = given.or_else(|| target.iter().find_map(|word| word.strip_prefix("--file=")));
    let text = match given {
        Some(name) => match EMBEDDED.iter().find(|shipped| shipped.name == name) {
            Some(shipped) => shipped.text.to_owned(),
            None => std::fs::read_to_string(name).ok()?,
        },
        None => std::fs::read_to_string(nearest_template()?).ok()?,
    };
    serde_yaml::from_str(&text).ok()
}

fn nearest_template() -> Option<PathBuf> {
    let find = |folder: &std::path::Path| {
        let paths = TEMPLATE_NAMES.map(|name| folder.join(name));
        paths.into_iter().find(|path| path.is_file())
    };
    match nearest(&std::env::current_dir().ok()?, find) {
        Ok(Nearest::Found(path)) => Some(path),
        Ok(Nearest::Nothing | Nearest::OutOfReach(_)) | Err(_) => None,
    }
}

/// The keys of a map of the template.
fn names(template: &Value, key: &str) -> Vec<String> {
    let map = template.get(key).and_then(Value::as_object);
    map.into_iter().flat_map(|map| map.keys()).cloned().collect()
}

/// What a command of this program answers, if it does so in time.
fn answered(command: &[&str], target: &[String]) -> Option<Value> {
    let mut child = Command::new(std::env::current_exe().ok()?)
        .args(command)
        .args(target)
        .args(["--output", "json"])
        .env_remove("COMPLETE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut out = child.stdout.take()?;
    let (sender, text) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.read_to_end(&mut text).map(|_| sender.send(text));
    });
    let text = text.recv_timeout(PATIENCE).ok();
    let _ = child.kill();
    let _ = child.wait();
    serde_json::from_slice(&text?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_stack_of_a_line_is_known_before_its_end() {
        let check = |text: &str, expected: &[&str]| assert_eq!(target(&line(text)), expected, "{text}");
        check("rollback --local --to ", &["--local"]);
        check(
            "rollback --stage prod --region=eu-west-1 --to ",
            &["--stage", "prod", "--region=eu-west-1"],
        );
        check("status --stage ", &["--stage"]);
        check("logs tasks --since 5m", &[]);
        check("status -f platform ", &["-f", "platform"]);
        check("logs -f tasks ", &[]);
        check(
            "-f platform logs -f --file minimal ",
            &["-f", "platform", "--file", "minimal"],
        );
    }

    #[test]
    fn names_come_from_the_template_of_the_line() {
        let named = |text: &str, key: &str| template(&line(text)).map(|template| names(&template, key));
        let functions = named("logs -f --file platform ", "functions").unwrap_or_default();
        assert!(functions.contains(&"tasks".to_owned()), "{functions:?}");
        assert_eq!(named("logs --file missing.yaml ", "functions"), None);
    }
}
