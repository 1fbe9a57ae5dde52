//! The command line. Each command's own arguments stand in its file under `commands/`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    alarms, check, completions, deploy, destroy, dev, export, init, invoke, load, local, logs, man, metrics, package,
    plan, promote, prune, rollback, schema, status, templates, unlock,
};
use crate::exit::Exit;
use taskctl_stack::aws::client::clients::is_in_the_clear;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Stands up and runs a serverless backend on AWS, or on this machine with --local.
#[derive(Debug, Parser)]
#[command(
    name = "taskctl",
    version,
    styles = STYLES,
    propagate_version = true,
    disable_help_subcommand = true,
    infer_subcommands = false,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = Exit::TABLE,
    max_term_width = 100
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Stage of the application.
    #[arg(long, short, global = true, default_value = "dev", value_name = "STAGE")]
    pub stage: String,
    /// AWS region instead of the template's.
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// One endpoint for all AWS calls, such as an emulator's; http only to this machine.
    #[arg(long, global = true, value_name = "URL", value_parser = endpoint_url, conflicts_with = "local")]
    pub endpoint_url: Option<String>,
    /// Use this machine instead of AWS; needs no account.
    #[arg(long, global = true)]
    pub local: bool,
    /// Port of the local target's AWS endpoint [default: 4580, or as before].
    #[arg(
        long,
        global = true,
        value_name = "PORT",
        env = "TASKCTL_LOCAL_PORT",
        hide_env_values = true
    )]
    pub local_port: Option<u16>,
    /// Template [default: the nearest taskctl.yaml up to the repository's root, else the shipped `platform`].
    #[arg(long, short, global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Application, for commands that need no template.
    #[arg(long, global = true, value_name = "APP", conflicts_with = "file")]
    pub app: Option<String>,
    /// Form of the output.
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Output,
    /// Do not ask.
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// No colours (NO_COLOR does the same).
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Tell every AWS call.
    #[arg(long, global = true)]
    pub trace: bool,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Human,
    /// For programs: JSON, one object per event and line.
    Json,
    /// For GitHub Actions.
    Github,
}

/// Where the functions' code comes from.
#[derive(Debug, Clone, Args)]
pub struct CodeArgs {
    /// Directory of the Cargo project with the functions [default: as the template says, else here].
    #[arg(long, value_name = "DIR", conflicts_with = "artifacts")]
    pub handlers: Option<PathBuf>,
    /// Deploy the packages that `taskctl package --out DIR` made, and build nothing.
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
}

/// Which request checks are run.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Folder of the checks [default: `checks` beside the template, else those shipped for its functions].
    #[arg(long, value_name = "DIR")]
    pub checks: Option<PathBuf>,
    /// Run checks that change data on a protected stage, too; they clean up after themselves.
    #[arg(long)]
    pub allow_writes: bool,
}

/// Whether a new release goes live.
#[derive(Debug, Clone, Args)]
pub struct PromotionArgs {
    /// Let the release go live at once, whatever the stage's policy.
    #[arg(long, conflicts_with = "no_promote")]
    pub promote: bool,
    /// Leave the release in preview, whatever the stage's policy.
    #[arg(long)]
    pub no_promote: bool,
}

/// The commands, in the order of a first day.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a project from a template.
    Init(init::Args),
    /// List the shipped templates, or print one.
    Templates(templates::Args),
    /// Show what deploy would change.
    Plan(plan::Args),
    /// Build the functions, bring the stack to what the template says, release.
    Deploy(deploy::Args),
    /// Move live to the release that waits in preview, after checking it.
    Promote(promote::Args),
    /// Move live back to the release before, or to a kept one.
    Rollback(rollback::Args),
    /// List the releases: number, commit, who, when, state.
    Releases,
    /// Take the lock of a stage from a holder that died.
    Unlock(unlock::Args),
    /// Show endpoints, releases, functions and alarms.
    Status(status::Args),
    /// Show requests, errors, latency and capacity as numbers and charts.
    Metrics(metrics::Args),
    /// Take away what no kept release needs: old releases, function versions, grants, pages.
    Prune(prune::Args),
    /// Run the request checks against live, preview or a URL.
    Check(check::Args),
    /// Make load, and show how long users waited.
    Load(load::Args),
    /// Show what functions and API say, merged by time.
    Logs(logs::Args),
    /// Show alarms: what they watch, since when they are red, and what to do.
    Alarms(alarms::Args),
    /// Print the link to the stage's CloudWatch dashboard.
    Dashboard,
    /// Call a function, and show its answer and what it logged.
    Invoke(invoke::Args),
    /// Print the API's document, or its checks for Postman.
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Export(export::Command),
    /// Delete everything of a stage, except data.
    Destroy(destroy::Args),
    /// Build and zip the functions.
    Package(package::Args),
    /// Check that this machine and account have what is needed.
    Doctor,
    /// Rebuild and deploy to the local target whenever a file is saved, and show what functions say.
    Dev(dev::Args),
    /// The local target: start, look at, end.
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Local(local::Command),
    /// Print the JSON Schema of templates, or of what a command answers with --output json.
    Schema(schema::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the manual page, or write one per command.
    Man(man::Args),
}

/// Why an endpoint is not called.
pub const IN_THE_CLEAR: &str = "credentials and data would go over the network in the clear";
/// What to do about it.
pub const BY_HTTPS: &str =
    "use https://, or forward a port of this machine (ssh -L 4566:127.0.0.1:4566 HOST) and name http://127.0.0.1:4566";

fn endpoint_url(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(_) if is_in_the_clear(text) => Err(format!("{IN_THE_CLEAR}; {BY_HTTPS}")),
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.trim_end_matches('/').to_owned()),
        Some(_) | None => Err("it must look like http://127.0.0.1:4566".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_default_stage_is_dev() {
        let cli = Cli::try_parse_from(["taskctl", "status"]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(cli.global.stage, "dev");
        assert_eq!(cli.global.output, Output::Human);
    }

    #[test]
    fn endpoints_are_urls() {
        assert_eq!(
            endpoint_url("http://127.0.0.1:4566/"),
            Ok("http://127.0.0.1:4566".to_owned())
        );
        for wrong in ["", "localhost:4566", "http://", "http:///x", "ftp://x"] {
            assert!(endpoint_url(wrong).is_err(), "{wrong}");
        }
    }
}
