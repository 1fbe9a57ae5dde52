//! `taskctl init`: a project from a template, or a template for a project that is there.

mod here;

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use taskctl_checks::{FILES, shipped as shipped_checks};
use taskctl_stack::template::{EMBEDDED, Options, Source, embedded_names, load};
use tokio::runtime::Builder;

use crate::env::{Env, absolute};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::{self, Readers};
use crate::project::TEMPLATE_NAMES;
use crate::project_source;
use crate::promotion_gate::StackParts;
use crate::report::direct::{fail, print};
use crate::session::{self, Invocation};

const EXAMPLES: &str = "\
Examples:
  taskctl init shop
  taskctl init shop --template task-tracker
  taskctl init --here                        # in a Cargo project that has functions";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory to create the project in
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Template to start from; `taskctl templates` lists them
    #[arg(long, short, value_name = "NAME", default_value = embedded_names()[0], value_parser = PossibleValuesParser::new(embedded_names()))]
    template: String,
    /// Write only a template, for the functions of the Cargo project in DIR
    #[arg(long, conflicts_with = "template")]
    here: bool,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    let done = match args.here {
        true => session::runtime(&mut Builder::new_current_thread())
            .and_then(|runtime| runtime.block_on(here::init(&args.directory, &invocation.env))),
        false => init(args, &invocation.env),
    };
    match done {
        Ok(text) => print(&invocation.env, &text),
        Err(failure) => fail(&invocation.env, &failure),
    }
}

fn init(args: &Args, env: &Env) -> Result<String, Failure> {
    let Args {
        directory, template, ..
    } = args;
    let files = files(directory, template)?;
    let taken: Vec<&str> = files
        .iter()
        .filter(|(path, text)| is_taken(&directory.join(path), text))
        .map(|(path, _)| path.as_str())
        .collect();
    if !taken.is_empty() {
        return Err(exists(directory, &taken));
    }
    for (path, text) in &files {
        let path = directory.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Failure::io("making", folder, &error))?;
        }
        match file::create(&path, text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !is_taken(&path, text) => {}
            other => other.map_err(|error| Failure::io("writing", &path, &error))?,
        }
    }
    ignore(directory, &["/target/", "/.taskctl/"])?;
    let place = match absolute(directory) == env.directory {
        true => "this directory".to_owned(),
        false => directory.display().to_string(),
    };
    Ok(format!(
        "created a project of {} files in {place}\n{}",
        files.len(),
        next(directory, env)
    ))
}

/// All files of a project, the template last.
fn files(directory: &Path, template: &str) -> Result<Vec<(String, String)>, Failure> {
    let shipped = EMBEDDED.iter().find(|shipped| shipped.name == template);
    let (text, site) = shipped.map_or(("", &[][..]), |shipped| (shipped.text, shipped.site));
    let (app, text) = own_template(directory, template, text)?;
    let stack = load(
        &Source::new(template.to_owned(), text.clone()),
        "dev",
        &Options::default(),
    )?
    .stack;
    let checks = shipped_checks(&StackParts(Some(&stack)))
        .into_iter()
        .filter_map(|suite| {
            FILES
                .iter()
                .find(|(name, _)| name.strip_suffix(".yaml") == Some(&suite.name))
        });
    let mut files = project_source::files(template);
    files.extend(checks.map(|(name, text)| (format!("checks/{name}"), (*text).to_owned())));
    files.extend(site.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    files.push(("README.md".to_owned(), readme(&app, template, &files)));
    files.push((TEMPLATE_NAMES[0].to_owned(), text));
    Ok(files)
}

/// The template for the project: called like its folder, and built with the profile `release`, which is the functions' own there.
fn own_template(directory: &Path, template: &str, text: &str) -> Result<(String, String), Failure> {
    let text = text.replacen("handlers: {profile: handlers}\n", "", 1);
    let name = absolute(directory)
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let named = text.replacen(&format!("app: {template}\n"), &format!("app: {name}\n"), 1);
    let is_right = load(
        &Source::new(template.to_owned(), named.clone()),
        "dev",
        &Options::default(),
    )
    .is_ok_and(|loaded| loaded.stack.app == name);
    Ok(if is_right {
        (name, named)
    } else {
        (template.to_owned(), text)
    })
}

fn readme(app: &str, template: &str, files: &[(String, String)]) -> String {
    let has = |prefix: &str| files.iter().any(|(path, _)| path.starts_with(prefix));
    let rows = [
        (
            true,
            "`taskctl.yaml`",
            "what is deployed: functions, routes, tables and so on",
        ),
        (has("src/"), "`src/`", "the function"),
        (has("functions/"), "`functions/`", "the functions, a Cargo package"),
        (
            has("lambda/"),
            "`lambda/`",
            "what any function has around its code: log line, metrics, failures",
        ),
        (
            has("checks/"),
            "`checks/`",
            "request checks; they run before a release goes live",
        ),
        (has("site/"), "`site/`", "the web page"),
        (has("docs/"), "`docs/openapi.yaml`", "the API, for people and programs"),
    ];
    let rows: String = rows
        .into_iter()
        .filter(|(is, ..)| *is)
        .map(|(_, path, what)| format!("| {path} | {what} |\n"))
        .collect();
    format!(
        "# {app}\n\nMade from the template `{template}` of taskctl.\n\n| | |\n|---|---|\n{rows}\n\
         ```console\n$ cargo test\n$ taskctl deploy --local    # on this machine\n$ taskctl dev                # and again at each change\n\
         $ taskctl deploy             # on AWS, with the credentials of the AWS CLI\n$ taskctl rollback\n```\n"
    )
}

/// Whether something else is where a file of the project goes. What an interrupted run has written is no obstacle.
fn is_taken(path: &Path, text: &str) -> bool {
    match fs::read(path) {
        Ok(found) => found != text.as_bytes(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

fn exists(directory: &Path, taken: &[&str]) -> Failure {
    let first: Vec<&str> = taken.iter().take(3).copied().collect();
    let more = taken.len() - first.len();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let hint = if taken.contains(&"Cargo.toml") {
        "nothing was written; name another directory: `taskctl init DIR`; for the functions of the project that is there: `taskctl init --here`"
    } else {
        "nothing was written; name another directory: `taskctl init DIR`"
    };
    let message = format!("{} already has {}{more}", directory.display(), first.join(", "));
    Failure::new(Exit::Error, message, hint)
}

/// A path as it is read most easily.
fn shown(path: &Path) -> impl Display {
    path.strip_prefix(".").unwrap_or(path).display()
}

/// The commands that come next.
fn next(directory: &Path, env: &Env) -> String {
    let is_here = absolute(directory) == env.directory;
    let enter = if is_here {
        String::new()
    } else {
        let directory = directory.to_string_lossy();
        format!(
            "  cd {}\n",
            shlex::try_quote(&directory).unwrap_or_else(|_| directory.as_ref().into())
        )
    };
    format!("\nnext:\n{enter}  taskctl deploy --local\n")
}

/// What is made from the project belongs in no repository.
fn ignore(directory: &Path, paths: &[&str]) -> Result<(), Failure> {
    let path = directory.join(".gitignore");
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    let before = text.len();
    for one in paths {
        if text.lines().any(|line| line.trim_matches('/') == one.trim_matches('/')) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(one);
        text.push('\n');
    }
    if text.len() == before {
        return Ok(());
    }
    file::write(&path, text.as_bytes(), Readers::Usual)
}
