//! `taskctl init`: a project from a template.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use taskctl_checks::{FILES, shipped as shipped_checks};
use taskctl_stack::template::{EMBEDDED, Options, Source, embedded_names, load};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::{self, Readers};
use crate::project::TEMPLATE_NAMES;
use crate::promotion_gate::StackParts;
use crate::report::direct::{fail, print};
use crate::session::Invocation;

const EXAMPLES: &str = "\
Examples:
  taskctl init shop
  taskctl init shop --template task-tracker";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory to create the project in
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Template to start from; `taskctl templates` lists them
    #[arg(long, short, value_name = "NAME", default_value = "platform", value_parser = PossibleValuesParser::new(embedded_names()))]
    template: String,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    match init(args) {
        Ok(text) => print(&invocation.env, &text),
        Err(failure) => fail(&invocation.env, &failure),
    }
}

fn init(args: &Args) -> Result<String, Failure> {
    let Args { directory, template } = args;
    let shipped = EMBEDDED.iter().find(|shipped| shipped.name == template);
    let (text, site) = shipped.map_or(("", &[][..]), |shipped| (shipped.text, shipped.site));
    let stack = load(&Source::new(template.clone(), text), "dev", &Options::default())?.stack;
    let checks = shipped_checks(&StackParts(Some(&stack)))
        .into_iter()
        .filter_map(|suite| {
            FILES
                .iter()
                .find(|(name, _)| name.strip_suffix(".yaml") == Some(&suite.name))
        })
        .map(|(name, text)| (format!("checks/{name}"), *text));
    fs::create_dir_all(directory).map_err(|error| Failure::io("making", directory, &error))?;
    let path = directory.join(TEMPLATE_NAMES[0]);
    if path.exists() {
        return Err(exists(&path));
    }
    let site = site.iter().map(|(path, text)| ((*path).to_owned(), *text));
    write_files(directory, site.chain(checks))?;
    ignore_what_is_kept(directory)?;
    // The template comes last: what was cut off before is made again by the same command.
    file::create(&path, text.as_bytes()).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(&path),
        _ => Failure::io("writing", &path, &error),
    })?;
    Ok(format!("created {}\nnext: taskctl plan --local\n", path.display()))
}

fn exists(path: &Path) -> Failure {
    Failure::new(
        Exit::Error,
        format!("{} already exists", path.display()),
        "remove it first, or use another directory: `taskctl init DIR`",
    )
}

/// Files of the web site and request checks; those that are there stay.
fn write_files(directory: &Path, files: impl Iterator<Item = (String, &'static str)>) -> Result<(), Failure> {
    for (path, text) in files {
        let path = directory.join(path);
        if path.exists() {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Failure::io("making", folder, &error))?;
        }
        file::write(&path, text.as_bytes(), Readers::Usual)?;
    }
    Ok(())
}

/// What taskctl keeps beside the project belongs in no repository.
fn ignore_what_is_kept(directory: &Path) -> Result<(), Failure> {
    let path = directory.join(".gitignore");
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known.lines().any(|line| line.trim_matches('/') == ".taskctl") {
        return Ok(());
    }
    let gap = if known.is_empty() || known.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    file::write(&path, format!("{known}{gap}/.taskctl/\n").as_bytes(), Readers::Usual)
}
