//! `taskctl`: arguments in, one command per file, reporters out. What it does is in `taskctl-stack`.

mod answers;
mod cli;
mod code_source;
mod commands;
mod complete;
mod deployment;
mod env;
mod exit;
mod failure;
mod file;
mod http_probe;
mod lease;
mod log_line;
mod log_view;
mod machine;
mod name_pattern;
mod prepare;
mod project;
mod project_discovery;
mod project_source;
mod promotion_gate;
mod proxy;
mod pruning;
#[cfg(test)]
mod readme;
mod refresh;
mod report;
mod session;
mod stack_ref;
mod target;
mod time_arg;
mod transition;
mod ui;
mod watch;
mod web_site;

use std::io::Write as _;
use std::process::ExitCode;

use clap_complete::CompleteEnv;

use crate::commands::CommandLine;
use crate::env::Env;
use crate::exit::Exit;
use crate::report::direct;
use crate::session::Invocation;
use crate::ui::guard::guarded;
use crate::ui::style::Paint;

fn main() -> ExitCode {
    // Asked by a shell, it answers with what can follow, and ends.
    CompleteEnv::with_factory(commands::completing).complete();
    match commands::parse() {
        Ok(CommandLine { mut global, command }) => {
            let env = Env::read(global.no_color);
            project::name_app(&mut global, &env);
            commands::run(&Invocation { global, env }, command).into()
        }
        Err(error) => show(&error).into(),
    }
}

/// Shows help, the version, or what is wrong with a command line.
fn show(error: &clap::Error) -> Exit {
    // Nothing was parsed, but colors are unwanted all the same.
    let env = Env::read(std::env::args().any(|argument| argument == "--no-color"));
    let style = if error.use_stderr() { env.err } else { env.out };
    let text = match style.paint {
        Paint::Colored => error.render().ansi().to_string(),
        Paint::Plain => error.render().to_string(),
    };
    if !error.use_stderr() {
        return direct::print(&env, &text);
    }
    let _ = std::io::stderr().write_all(guarded(&text, style.reader, style.paint).as_bytes());
    Exit::Usage
}
