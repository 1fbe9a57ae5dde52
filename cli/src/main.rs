//! `taskctl`: arguments in, one command per file, reporters out. What it does is in `taskctl-stack`.

mod args;
mod code;
mod commands;
mod exit;
mod failure;
mod gate;
mod lock;
mod look;
mod outside;
mod place;
mod prepare;
mod project;
mod report;
mod session;
mod surroundings;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::Exit;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli).into(),
        Err(error) => {
            // Nobody may be reading; that is no failure.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            }
        }
    }
}
