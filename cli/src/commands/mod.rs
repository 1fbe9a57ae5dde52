//! The commands, one file each. They import the floors below, never each other.

pub mod alarms;
pub mod check;
pub mod completions;
pub mod dashboard;
pub mod deploy;
pub mod destroy;
pub mod dev;
pub mod doctor;
pub mod export;
pub mod help;
pub mod init;
pub mod invoke;
pub mod load;
pub mod local;
pub mod logs;
pub mod man;
pub mod metrics;
pub mod package;
pub mod plan;
pub mod promote;
pub mod prune;
pub mod releases;
pub mod rollback;
pub mod schema;
pub mod status;
pub mod templates;
pub mod unlock;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Subcommand};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::cli::{Cli, VARIABLES};
use crate::complete;
use crate::exit::Exit;
use crate::session::Invocation;

/// The command line with all its commands.
pub type CommandLine = Cli<Command>;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a project from a template
    Init(init::Args),
    /// List the built-in templates, or print one
    Templates(templates::Args),
    /// Show what deploy would change
    Plan(plan::Args),
    /// Build the functions, apply the template, create a release
    Deploy(deploy::Args),
    /// Check the release in preview, then make it live
    Promote(promote::Args),
    /// Move live back to the previous release, or to a kept one
    Rollback(rollback::Args),
    /// List releases with commit, author, time and state
    Releases,
    /// Break a stale lock
    Unlock(unlock::Args),
    /// Show endpoints, releases, functions and alarms
    Status(status::Args),
    /// Show requests, errors, latency and capacity as numbers and charts
    Metrics(metrics::Args),
    /// Delete resources that no kept release uses
    Prune(prune::Args),
    /// Run the request checks against live, preview or a URL
    Check(check::Args),
    /// Generate load and report latency
    Load(load::Args),
    /// Show the logs of functions and the API, merged by time
    Logs(logs::Args),
    /// Show alarms: what they watch, since when they have been firing, and what to do
    Alarms(alarms::Args),
    /// Print the link to the stage's CloudWatch dashboard
    Dashboard,
    /// Invoke a function; show its answer and its logs
    Invoke(invoke::Args),
    /// Export documents for other tools: OpenAPI, IAM policies, Postman
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Export(export::Command),
    /// Delete all resources of a stage, except data
    Destroy(destroy::Args),
    /// Build and package the functions
    Package(package::Args),
    /// Check this machine, the account and the stage for problems
    Doctor,
    /// Rebuild and deploy to the local target on every change, and follow the logs
    Dev(dev::Args),
    /// Manage the local target
    #[command(
        subcommand,
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = local::EXAMPLES
    )]
    Local(local::Command),
    /// Print the JSON Schema of templates, or of a command's JSON output
    Schema(schema::Args),
    /// Show the help of a command, or of `exit-codes`
    Help(help::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one per command
    Man(man::Args),
}

/// The groups of `taskctl --help`. clap knows no groups of commands, so they are part of the template.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Start",
        &["init", "templates", "doctor", "schema", "completions", "man", "help"],
    ),
    (
        "Release",
        &["plan", "deploy", "promote", "rollback", "releases", "check", "package"],
    ),
    (
        "Operate",
        &["status", "logs", "metrics", "alarms", "dashboard", "invoke", "load"],
    ),
    ("Stage", &["prune", "unlock", "export", "destroy"]),
    ("Local", &["local", "dev"]),
];

/// The command line for a shell that completes it.
pub fn completing() -> clap::Command {
    let stages = ArgValueCandidates::new(complete::stages);
    let templates = |argument: clap::Arg| argument.add(ArgValueCompleter::new(complete::templates));
    CommandLine::command()
        .mut_arg("stage", |argument| argument.add(stages))
        .mut_arg("file", templates)
        .mut_subcommand("logs", |command| command.mut_arg("file", templates))
}

/// Parses the command line of this process.
pub fn parse() -> Result<CommandLine, clap::Error> {
    let mut command = without_empty_variables(grouped(CommandLine::command()));
    // Who names no command asks what there is.
    let arguments = match std::env::args_os().len() {
        0 | 1 => vec!["taskctl".into(), "help".into()],
        _ => std::env::args_os().collect(),
    };
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    let named = ["app", "file"].map(|id| matches.value_source(id));
    let mut parsed = CommandLine::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    match named {
        [Some(ValueSource::CommandLine), Some(_)] => {
            let text = "the argument '--app <APP>' cannot be used with '--file <FILE>'";
            Err(command.error(ErrorKind::ArgumentConflict, text))
        }
        // A template counts before an application that the environment names: it says what guards its stages.
        [Some(ValueSource::EnvVariable), file] => {
            let app = parsed.global.target.app.take();
            parsed.global.target.app_without_template = app.filter(|_| file.is_none());
            Ok(parsed)
        }
        _ => Ok(parsed),
    }
}

/// A variable that is set to nothing is as one that is not set: CI systems set those that have no value.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    VARIABLES
        .into_iter()
        .filter(|(_, name)| is_empty(name))
        .fold(command, |command, (id, _)| {
            command.mut_arg(id, |argument| argument.env(Resettable::Reset))
        })
}

/// The same command line, whose help lists the commands in groups. Completions and manual pages are made from the other one,
/// since the commands are hidden here.
fn grouped(command: clap::Command) -> clap::Command {
    let styles = command.get_styles().clone();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max();
    let mut template = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (title, names) in GROUPS {
        template.push_str(&format!("\n{header}{title}:{header:#}\n"));
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let gap = " ".repeat(width.unwrap_or(0) - name.len());
            template.push_str(&format!("  {literal}{name}{literal:#}{gap}  {about}\n"));
        }
    }
    template.push_str("\n{all-args}{after-help}");
    command
        .help_template(template)
        .override_usage("taskctl [OPTIONS] <COMMAND>")
        .mut_subcommands(|command| command.hide(true))
}

pub fn run(invocation: &Invocation, command: Command) -> Exit {
    match command {
        Command::Init(args) => init::run(invocation, &args),
        Command::Templates(args) => templates::run(invocation, &args),
        Command::Plan(args) => plan::run(invocation, args),
        Command::Deploy(args) => deploy::run(invocation, args),
        Command::Promote(args) => promote::run(invocation, args),
        Command::Rollback(args) => rollback::run(invocation, &args),
        Command::Releases => releases::run(invocation),
        Command::Unlock(args) => unlock::run(invocation, &args),
        Command::Status(args) => status::run(invocation, args),
        Command::Metrics(args) => metrics::run(invocation, args),
        Command::Prune(args) => prune::run(invocation, &args),
        Command::Dashboard => dashboard::run(invocation),
        Command::Alarms(args) => alarms::run(invocation, args),
        Command::Check(args) => check::run(invocation, args),
        Command::Logs(args) => logs::run(invocation, args),
        Command::Invoke(args) => invoke::run(invocation, args),
        Command::Load(args) => load::run(invocation, args),
        Command::Export(command) => export::run(invocation, command),
        Command::Destroy(args) => destroy::run(invocation, args),
        Command::Dev(args) => dev::run(invocation, args),
        Command::Package(args) => package::run(invocation, args),
        Command::Doctor => doctor::run(invocation),
        Command::Local(command) => local::run(invocation, command),
        Command::Schema(args) => schema::run(invocation, &args),
        Command::Completions(args) => completions::run(invocation, &args),
        Command::Help(args) => help::run(invocation, &args, grouped(CommandLine::command())),
        Command::Man(args) => man::run(invocation, &args, CommandLine::command()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::cli::Output;
    use crate::report::CommandHint;
    use clap::Parser as _;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
        grouped(CommandLine::command()).debug_assert();
    }

    /// Folders whose texts operators read, and those that test them.
    const READ: [&str; 8] = [
        "cli/src",
        "stack/src",
        "local/src",
        "checks/src",
        "templates",
        "docs",
        "README.md",
        "CONTRIBUTING.md",
    ];

    fn texts(path: &Path, found: &mut Vec<(PathBuf, String)>) {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            entries.for_each(|entry| texts(&entry.unwrap().path(), found));
            return;
        }
        let is_text = |ending| ["rs", "snap", "md", "yaml"].iter().any(|text| ending == *text);
        if path.extension().is_some_and(is_text) {
            found.push((path.to_owned(), fs::read_to_string(path).unwrap()));
        }
    }

    /// The command lines that a text tells its reader to run: those in backticks, after a prompt, and after `next:`, `help:` and
    /// `to resume:`. What is put in when the text is made stands as 1.
    fn command_lines(text: &str) -> Vec<String> {
        let filled = regex_lite::Regex::new(r"\{[a-z_.()]*(:[^}]*)?\}").unwrap();
        let folded = regex_lite::Regex::new(r"\\?\n\s*(//[/!]?)?\s*").unwrap();
        let quoted = regex_lite::Regex::new(r#"`(taskctl [^`"]*)`"#).unwrap();
        let said = regex_lite::Regex::new(r"(?m)^\s*(?:\$|next:|help:|to resume:)\s+(taskctl .*)$").unwrap();
        let colored = regex_lite::Regex::new(r"ESC\[[0-9;]*m").unwrap();
        let text = &colored.replace_all(text, "");
        let one_line = folded.replace_all(text, " ");
        let quoted = quoted.captures_iter(&one_line).map(|found| found[1].to_owned());
        let said = said.captures_iter(text).map(|found| found[1].to_owned());
        quoted
            .chain(said)
            .map(|line| filled.replace_all(&line, "1").into_owned())
            .collect()
    }

    /// The words of a command line up to what is for the shell.
    fn words(line: &str) -> Vec<String> {
        let is_for_shell = |word: &String| ["|", "&&", ">", "#", "…", "||", ";"].contains(&word.as_str());
        let words = shlex::split(&line.replace("\\\"", "\"")).unwrap_or_default();
        let number = |word: String| if word == "N" { "1".to_owned() } else { word };
        words
            .into_iter()
            .take_while(|word| !is_for_shell(word))
            .map(number)
            .collect()
    }

    /// Whether a text names a command or an option instead of telling to run it.
    fn is_mention(words: &[String], error: ErrorKind) -> bool {
        let is_placeholder = |word: &String| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        match error {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
            ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                words.iter().all(|word| !word.starts_with('-'))
            }
            ErrorKind::InvalidValue => {
                words.last().is_some_and(|last| last.starts_with("--")) || words.iter().any(is_placeholder)
            }
            // What a shell or the reader puts in.
            ErrorKind::ValueValidation => words.iter().any(|word| word.starts_with('$') || word.ends_with('…')),
            // A command that is put in.
            ErrorKind::InvalidSubcommand => words[1] == "1",
            _ => false,
        }
    }

    #[test]
    fn every_command_line_that_is_told_can_be_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        READ.iter().for_each(|path| texts(&root.join(path), &mut found));
        let (mut tried, mut wrong) = (0, Vec::new());
        for (path, text) in found {
            for line in command_lines(&text) {
                let words = words(&line);
                tried += 1;
                let known = CommandLine::command().try_get_matches_from(&words);
                if let Err(error) = known.map_err(|error| error.kind())
                    && !is_mention(&words, error)
                {
                    wrong.push(format!("{}: {line}: {error:?}", path.display()));
                }
            }
        }
        assert!(tried > 100, "{tried}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Command lines that name a stack, and how it is reached.
    const TARGETS: [&str; 2] = [
        "taskctl status --local --stage prod --region eu-west-1 -f 'my stack.yaml'",
        "taskctl status --profile ops --stage prod --region eu-west-1 --app shop",
    ];

    /// Asserts that a screen tells to run these commands, and each about the stack that it is itself about, reached in the same way.
    #[track_caller]
    pub fn assert_same_stack(told: &[&str], draw: impl Fn(&CommandHint) -> String) {
        for target in TARGETS {
            let target = words(target);
            let asked = CommandLine::try_parse_from(&target).unwrap();
            let screen = draw(&CommandHint::new(&asked.global, &target[1..]));
            let lines = command_lines(&screen);
            let named: Vec<String> = lines.iter().map(|line| words(line)[1].clone()).collect();
            assert_eq!(named, told, "{screen}");
            for line in lines {
                let named = CommandLine::try_parse_from(words(&line)).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(named.global.target, asked.global.target, "{line}");
            }
        }
    }

    #[test]
    fn the_default_stage_is_dev() {
        let cli = CommandLine::try_parse_from(["taskctl", "status"]).unwrap();
        assert_eq!(cli.global.target.stage, "dev");
        assert_eq!(cli.global.output, Output::Human);
    }

    #[test]
    fn logs_follows_with_f_and_takes_a_template_by_its_long_name() {
        let parsed = |line: &str| {
            let cli = CommandLine::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
            let Command::Logs(args) = cli.command else {
                panic!("{line}")
            };
            (args.follow, cli.global.target.file)
        };
        let file = Some(PathBuf::from("shop.yaml"));
        assert_eq!(parsed("taskctl logs"), (false, None));
        for line in ["taskctl logs -f", "taskctl logs -F", "taskctl logs tasks --follow"] {
            assert_eq!(parsed(line), (true, None), "{line}");
        }
        for line in [
            "taskctl logs --file shop.yaml",
            "taskctl --file shop.yaml logs",
            "taskctl -f shop.yaml logs",
        ] {
            assert_eq!(parsed(line), (false, file.clone()), "{line}");
        }
        for line in ["taskctl logs -f --file shop.yaml", "taskctl -f shop.yaml logs -f"] {
            assert_eq!(parsed(line), (true, file.clone()), "{line}");
        }
        for line in ["taskctl status -f shop.yaml", "taskctl status --file shop.yaml"] {
            let cli = CommandLine::try_parse_from(words(line)).unwrap();
            assert_eq!(cli.global.target.file, file, "{line}");
        }
    }

    #[test]
    fn every_command_is_in_one_group() {
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        listed.sort_unstable();
        let command = CommandLine::command();
        let mut known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
