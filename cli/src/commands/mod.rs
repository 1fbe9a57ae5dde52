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

use clap::{CommandFactory as _, FromArgMatches as _, Subcommand};

use crate::cli::Cli;
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
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one per command
    Man(man::Args),
}

/// The groups of `taskctl --help`. clap knows no groups of commands, so they are part of the template.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Start",
        &["init", "templates", "doctor", "schema", "completions", "man"],
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

/// Parses the command line of this process.
pub fn parse() -> Result<CommandLine, clap::Error> {
    let mut command = grouped(CommandLine::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    CommandLine::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
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
        Command::Completions(args) => completions::run(invocation, &args, CommandLine::command()),
        Command::Man(args) => man::run(invocation, &args, CommandLine::command()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Output;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
        grouped(CommandLine::command()).debug_assert();
    }

    #[test]
    fn the_default_stage_is_dev() {
        let cli = CommandLine::try_parse_from(["taskctl", "status"]).unwrap();
        assert_eq!(cli.global.target.stage, "dev");
        assert_eq!(cli.global.output, Output::Human);
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
