//! `taskctl man`: manual pages.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::{Man, generate_to};

use super::print;
use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;

/// Arguments of `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write the pages of all commands into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> Exit {
    let Some(directory) = &args.out else {
        let mut page = Vec::new();
        return match Man::new(Cli::command()).render(&mut page) {
            Ok(()) => print(&String::from_utf8_lossy(&page)),
            Err(_) => Exit::Error,
        };
    };
    let written = fs::create_dir_all(directory).and_then(|()| generate_to(Cli::command(), directory));
    match written {
        Ok(()) => Exit::Ok,
        Err(error) => super::fail(&Failure::io("writing", directory, &error)),
    }
}
