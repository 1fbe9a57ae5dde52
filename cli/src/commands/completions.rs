//! `taskctl completions`: a completion script for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::print;
use crate::cli::Cli;
use crate::exit::Exit;

/// Arguments of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs it.
pub fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "taskctl", &mut script);
    print(&String::from_utf8_lossy(&script))
}
