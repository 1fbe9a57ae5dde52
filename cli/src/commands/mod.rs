//! The commands, one file each.

pub mod alarms;
pub mod check;
pub mod completions;
pub mod dashboard;
pub mod deploy;
pub mod destroy;
pub mod dev;
pub mod doctor;
pub mod export;
pub mod init;
pub mod invoke;
pub mod load;
pub mod local;
pub mod logs;
pub mod man;
pub mod metrics;
pub mod package;
pub mod plan;
pub mod promote;
pub mod prune;
pub mod releases;
pub mod rollback;
pub mod schema;
pub mod status;
pub mod templates;
pub mod unlock;

use std::io::{ErrorKind, Write as _};

use crate::cli::{Cli, Command};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::failure_text;
use crate::ui::guard::guarded;

/// Runs the command of a command line.
pub fn run(cli: Cli) -> Exit {
    let global = &cli.global;
    match cli.command {
        Command::Init(args) => init::run(global, &args),
        Command::Templates(args) => templates::run(global, &args),
        Command::Plan(args) => plan::run(global, args),
        Command::Deploy(args) => deploy::run(global, args),
        Command::Promote(args) => promote::run(global, args),
        Command::Rollback(args) => rollback::run(global, &args),
        Command::Releases => releases::run(global),
        Command::Unlock(args) => unlock::run(global, &args),
        Command::Status(args) => status::run(global, args),
        Command::Metrics(args) => metrics::run(global, args),
        Command::Prune(args) => prune::run(global, &args),
        Command::Dashboard => dashboard::run(global),
        Command::Alarms(args) => alarms::run(global, args),
        Command::Check(args) => check::run(global, args),
        Command::Logs(args) => logs::run(global, args),
        Command::Invoke(args) => invoke::run(global, args),
        Command::Load(args) => load::run(global, args),
        Command::Export(command) => export::run(global, command),
        Command::Destroy(args) => destroy::run(global, args),
        Command::Dev(args) => dev::run(global, args),
        Command::Package(args) => package::run(global, args),
        Command::Doctor => doctor::run(global),
        Command::Local(command) => local::run(global, command),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Prints the answer of a command that needs no reporter. A reader that went away is no failure.
fn print(text: &str) -> Exit {
    let style = Env::read(false).out;
    let text = guarded(text, style.reader, style.paint);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: writing the answer failed: {error}");
            Exit::Error
        }
    }
}

/// Tells the error of a command that needs no reporter.
pub fn fail(failure: &Failure) -> Exit {
    let style = Env::read(false).err;
    let text = failure_text(&failure.message, &style);
    let _ = std::io::stderr().write_all(guarded(&text, style.reader, style.paint).as_bytes());
    failure.exit
}
