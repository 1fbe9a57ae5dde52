//! `taskctl completions`: a completion script for a shell.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::report::direct::print;
use crate::session::Invocation;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(invocation: &Invocation, args: &Args, mut command_line: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line, "taskctl", &mut script);
    print(&invocation.env, &String::from_utf8_lossy(&script))
}
