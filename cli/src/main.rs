//! `taskctl`: arguments in, one command per file, reporters out. What it does is in `taskctl-stack`.

mod cli;
mod code_source;
mod commands;
mod env;
mod exit;
mod failure;
mod http_probe;
mod lease;
mod prepare;
mod project;
mod project_discovery;
mod promotion_gate;
mod refresh;
mod report;
mod session;
mod stack_ref;
mod target;
mod time_arg;
mod ui;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::guard::guarded;
use crate::ui::style::Paint;

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
    let env = Env::read(false);
    let style = if error.use_stderr() { env.err } else { env.out };
    let text = match style.paint {
        Paint::Colored => error.render().ansi().to_string(),
        Paint::Plain => error.render().to_string(),
    };
    let text = guarded(&text, style.reader, style.paint);
    let _ = if error.use_stderr() {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
}
