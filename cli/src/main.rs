//! `taskctl`: arguments in, one command per file, reporters out. What it does is in `taskctl-stack`.

mod above;
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

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::Exit;
use crate::look::Paint;
use crate::report::guarded;
use crate::surroundings::Surroundings;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli).into(),
        Err(error) => {
            tell(&error);
            if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            }
        }
    }
}

/// Says what is wrong with a command line, or answers with help. Nobody may be reading; that is no failure.
fn tell(error: &clap::Error) {
    let surroundings = Surroundings::read(false);
    let look = if error.use_stderr() {
        surroundings.err
    } else {
        surroundings.out
    };
    let text = match look.paint {
        Paint::Colored => error.render().ansi().to_string(),
        Paint::Plain => error.render().to_string(),
    };
    let text = guarded(&text, look.reader, look.paint);
    let _ = if error.use_stderr() {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
}
