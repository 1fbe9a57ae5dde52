//! `taskctl init --here`: a template for the functions of a Cargo project.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use taskctl_stack::package::{FoundFunction, FoundFunctions, PackageError};
use taskctl_stack::template::model::Architecture;
use taskctl_stack::template::{Options, Source, load};

use crate::env::{Env, absolute};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file;
use crate::project::TEMPLATE_NAMES;

/// Where the account's region is not known.
const REGION: &str = "eu-central-1";

pub async fn init(directory: &Path, env: &Env) -> Result<String, Failure> {
    let path = directory.join(TEMPLATE_NAMES[0]);
    if path.exists() {
        return Err(super::exists(directory, &[TEMPLATE_NAMES[0]]));
    }
    let found = FoundFunctions::of(&env.cargo(&absolute(directory))).await;
    let found = found.map_err(|error| match error {
        PackageError::NotAProject { .. } => Failure::new(
            Exit::Error,
            error.to_string(),
            "name the project's directory: `taskctl init --here DIR`; `taskctl init DIR` creates one",
        ),
        other => other.into(),
    })?;
    if found.functions.is_empty() {
        return Err(Failure::new(
            Exit::Error,
            format!("the Cargo project in {} has no function", directory.display()),
            "a function is a binary of a package that depends on lambda_runtime or lambda_http; `taskctl init DIR` creates a project with one",
        ));
    }
    let region = env.region.as_deref().unwrap_or(REGION);
    let text = template(&found, region);
    load(
        &Source::new(TEMPLATE_NAMES[0].to_owned(), text.clone()),
        "dev",
        &Options::default(),
    )?;
    file::create(&path, text.as_bytes()).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => super::exists(directory, &[TEMPLATE_NAMES[0]]),
        _ => Failure::io("writing", &path, &error),
    })?;
    super::ignore(directory, &["/.taskctl/"])?;
    let names: Vec<&str> = found
        .functions
        .iter()
        .map(|function| function.binary.as_str())
        .collect();
    let mut said = format!("created {} for {}\n", super::shown(&path), names.join(", "));
    for function in found.functions.iter().filter(|function| !function.left.is_empty()) {
        let _ = writeln!(
            said,
            "not taken over from package.metadata.lambda: {} of {}",
            function.left.join(", "),
            function.binary
        );
    }
    Ok(said + &super::next(directory, env))
}

fn template(found: &FoundFunctions, region: &str) -> String {
    let app = fitting(&found.name, "app");
    let mut text = format!(
        "# The functions of this Cargo project.\n\
         # All keys, for people and for completion in editors: `taskctl schema > taskctl.schema.json`.\n\
         app: {app}\nregion: {region}\n\nstages:\n  dev: {{}}\n  prod:\n    protected: true\n\nfunctions:\n"
    );
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for function in &found.functions {
        let name = fitting(&function.binary, "function");
        text.push_str(&settings(&name, function));
        names.insert(&function.binary, name);
    }
    let routes = routes(found);
    if !routes.is_empty() {
        text.push_str("\napi:\n  routes:\n");
        for (route, binary) in routes {
            let _ = writeln!(
                text,
                "    {route}: {}",
                names.get(binary).map_or(binary, String::as_str)
            );
        }
    }
    text
}

fn settings(name: &str, function: &FoundFunction) -> String {
    let mut keys = Vec::new();
    if name.replace('-', "_") != function.binary.replace('-', "_") {
        keys.push(format!("binary: {}", function.binary));
    }
    if function.architecture == Some(Architecture::Arm64) {
        keys.push("architecture: arm64".to_owned());
    }
    if let Some(memory) = function.memory {
        keys.push(format!("memory: {memory}"));
    }
    if let Some(timeout) = function.timeout {
        keys.push(format!("timeout: {timeout}s"));
    }
    if function.tracing {
        keys.push("tracing: true".to_owned());
    }
    if !function.environment.is_empty() {
        keys.push("environment:".to_owned());
        // A text in JSON is one in YAML.
        let line = |(name, value): (&String, &String)| format!("  {name}: {}", serde_json::json!(value));
        keys.extend(function.environment.iter().map(line));
    }
    if keys.is_empty() {
        return format!("  {name}: {{}}\n");
    }
    let lines: String = keys.into_iter().map(|key| format!("    {key}\n")).collect();
    format!("  {name}:\n{lines}")
}

/// The routes that the project has; without any, a single function gets all requests and several get a path each.
fn routes(found: &FoundFunctions) -> Vec<(String, &str)> {
    let own: Vec<(String, &str)> = found
        .functions
        .iter()
        .flat_map(|function| {
            function
                .routes
                .iter()
                .map(|route| (route.clone(), function.binary.as_str()))
        })
        .collect();
    if !own.is_empty() {
        return own;
    }
    // What is not known to answer HTTP requests may be called by anything; a project of one function is taken for an API.
    let has_one = found.functions.len() == 1;
    let web: Vec<&FoundFunction> = found
        .functions
        .iter()
        .filter(|function| function.is_http || has_one)
        .collect();
    match web[..] {
        [one] => vec![("$default".to_owned(), &one.binary)],
        _ => web
            .into_iter()
            .flat_map(|function| {
                let path = format!("/{}", function.binary);
                [
                    (format!("ANY {path}"), function.binary.as_str()),
                    (format!("ANY {path}/{{proxy+}}"), &function.binary),
                ]
            })
            .collect(),
    }
}

/// A name that templates take, as near to another as can be.
fn fitting(name: &str, without: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).take(31).collect();
    let name = name
        .trim_start_matches(|letter: char| !letter.is_ascii_lowercase())
        .trim_end_matches('-');
    if name.is_empty() {
        without.to_owned()
    } else {
        name.to_owned()
    }
}
