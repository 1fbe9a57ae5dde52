//! Arguments that several commands share. Each command's own are in its file under `commands/`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, Args, Parser, Subcommand, ValueEnum, value_parser};

use taskctl_stack::aws::client::clients::is_in_the_clear;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Examples:
  taskctl init shop && cd shop
  taskctl deploy --local
  taskctl plan --stage prod
  taskctl promote --stage prod --canary 10%
  taskctl logs -f --level warn

`taskctl help COMMAND` describes a command, `taskctl help exit-codes` the exit codes.";

/// Deploy and operate a serverless backend on AWS, or on this machine with --local
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
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub struct Cli<C: Subcommand> {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: C,
}

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Output format
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "TASKCTL_OUTPUT",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    pub output: Output,
    /// Assume yes; never prompt
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub yes: bool,
    /// Disable colors (as NO_COLOR does)
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub no_color: bool,
    /// Log every AWS call
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub trace: bool,
}

const GLOBAL: &str = "Global options";
const TARGET: &str = "Target options";

/// Which stack a command works on, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = TARGET)]
pub struct TargetArgs {
    /// Stage of the application
    #[arg(
        long,
        short,
        global = true,
        default_value = "dev",
        value_name = "STAGE",
        env = "TASKCTL_STAGE",
        hide_env_values = true
    )]
    pub stage: String,
    /// AWS region [default: the template's]
    #[arg(
        long,
        global = true,
        value_name = "REGION",
        env = "TASKCTL_REGION",
        hide_env_values = true
    )]
    pub region: Option<String>,
    /// Profile of the AWS configuration files
    #[arg(
        long,
        global = true,
        value_name = "PROFILE",
        env = "TASKCTL_PROFILE",
        hide_env_values = true
    )]
    pub profile: Option<String>,
    /// Endpoint for all AWS calls, such as an emulator's; https unless it is on this machine
    #[arg(long, global = true, value_name = "URL", value_parser = endpoint_url, conflicts_with = "local")]
    pub endpoint_url: Option<String>,
    /// Use this machine instead of AWS; needs no account
    #[arg(long, global = true)]
    pub local: bool,
    /// Port of the local target's AWS endpoint [default: the last one used, else the first free one from 4580]
    #[arg(
        long,
        global = true,
        value_name = "PORT",
        env = "TASKCTL_LOCAL_PORT",
        hide_env_values = true
    )]
    pub local_port: Option<u16>,
    /// Port of the local target's web sites [default: the last one used, else the first free one from 1580]
    #[arg(
        long,
        global = true,
        value_name = "PORT",
        env = "TASKCTL_LOCAL_WEBSITE_PORT",
        hide_env_values = true
    )]
    pub local_website_port: Option<u16>,
    #[arg(long, short, global = true, value_name = "FILE", help = FILE)]
    pub file: Option<PathBuf>,
    /// Application name, for commands that need no template
    #[arg(long, global = true, value_name = "APP", env = "TASKCTL_APP", hide_env_values = true)]
    pub app: Option<String>,
    /// The application that the environment names, for where there is no template.
    #[arg(skip)]
    pub app_without_template: Option<String>,
}

/// The variables of the environment that stand in for arguments, by the arguments' ids.
pub const VARIABLES: [(&str, &str); 7] = [
    ("stage", "TASKCTL_STAGE"),
    ("app", "TASKCTL_APP"),
    ("profile", "TASKCTL_PROFILE"),
    ("region", "TASKCTL_REGION"),
    ("output", "TASKCTL_OUTPUT"),
    ("local_port", "TASKCTL_LOCAL_PORT"),
    ("local_website_port", "TASKCTL_LOCAL_WEBSITE_PORT"),
];

const FILE: &str =
    "Template file, or the name of a built-in template [default: the nearest taskctl.yaml up to the repository root]";

/// The `--file` of a command whose `-f` means something else. It stands in for the one of every command, and its value is taken for
/// that one's.
pub fn file_without_short() -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(FILE)
        .help_heading(TARGET)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// Text for people
    #[default]
    Human,
    /// JSON for programs, one object per event and line
    Json,
    /// Groups and annotations for GitHub Actions
    Github,
}

/// How the functions are built.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Directory of the functions' Cargo project [default: the template's, else the template's directory]
    #[arg(long, value_name = "DIR")]
    pub handlers: Option<PathBuf>,
    /// With --local: build with the template's profile, as for AWS, instead of `dev`
    #[arg(long, requires = "local")]
    pub release: bool,
}

/// Where the functions' code comes from.
#[derive(Debug, Clone, Args)]
pub struct CodeArgs {
    #[command(flatten)]
    pub build: BuildArgs,
    /// Use packages from `taskctl package --out DIR` instead of building
    #[arg(long, value_name = "DIR", conflicts_with_all = ["handlers", "release"])]
    pub artifacts: Option<PathBuf>,
}

/// Which request checks are run.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Directory of checks [default: `checks` beside the template, else the built-in ones for its functions]
    #[arg(long, value_name = "DIR")]
    pub checks: Option<PathBuf>,
    /// Run checks that change data even on a protected stage; they clean up after themselves
    #[arg(long)]
    pub allow_writes: bool,
}

/// Whether a new release goes live.
#[derive(Debug, Clone, Args)]
pub struct PromotionArgs {
    /// Make the release live at once, overriding the stage's policy
    #[arg(long, conflicts_with = "no_promote")]
    pub promote: bool,
    /// Leave the release in preview, overriding the stage's policy
    #[arg(long)]
    pub no_promote: bool,
}

/// Why an endpoint is not called.
pub const IN_THE_CLEAR: &str = "credentials and data would cross the network in the clear";
/// What to do about it.
pub const BY_HTTPS: &str =
    "use https://, or forward a local port (ssh -L 4566:127.0.0.1:4566 HOST) and use http://127.0.0.1:4566";

fn endpoint_url(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(_) if is_in_the_clear(text) => Err(format!("{IN_THE_CLEAR}; {BY_HTTPS}")),
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.trim_end_matches('/').to_owned()),
        Some(_) | None => Err("expected a URL such as http://127.0.0.1:4566".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
