//! `taskctl completions`: a completion script for a shell.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::direct::{fail, print};
use crate::session::Invocation;

const EXAMPLES: &str = "\
Examples:
  source <(taskctl completions bash)
  taskctl completions zsh > ~/.zfunc/_taskctl";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// The script asks this program itself for what can follow: names of a template and releases of a stage are in no script.
pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    let shells = Shells::builtins();
    let name = args.shell.to_string();
    let mut script = Vec::new();
    let written = match shells.completer(&name) {
        Some(completer) => completer.write_registration("COMPLETE", "taskctl", "taskctl", "taskctl", &mut script),
        None => Err(std::io::Error::other("there is no script for this shell")),
    };
    match written {
        Ok(()) => print(&invocation.env, &String::from_utf8_lossy(&script)),
        Err(error) => fail(
            &invocation.env,
            &Failure::caused(format!("no completions for {name}"), &error, None),
        ),
    }
}
