//! `taskctl man`: manual pages.

use std::fs;
use std::path::PathBuf;

use clap_mangen::{Man, generate_to};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::direct::{fail, print};
use crate::session::Invocation;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write one page per command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(invocation: &Invocation, args: &Args, command_line: clap::Command) -> Exit {
    let env = &invocation.env;
    let Some(directory) = &args.out else {
        let mut page = Vec::new();
        return match Man::new(command_line).render(&mut page) {
            Ok(()) => print(env, &String::from_utf8_lossy(&page)),
            Err(_) => Exit::Error,
        };
    };
    let written = fs::create_dir_all(directory).and_then(|()| generate_to(command_line, directory));
    match written {
        Ok(()) => Exit::Ok,
        Err(error) => fail(env, &Failure::io("writing", directory, &error)),
    }
}
