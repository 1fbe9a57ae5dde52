//! Answers and errors of commands that need no session.

use std::io::{ErrorKind, Write as _};

use super::failure_text;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::guard::guarded;

/// Writes an answer to standard output. A reader that went away is no failure.
pub fn print(env: &Env, text: &str) -> Exit {
    let text = guarded(text, env.out.reader, env.out.paint);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot write to standard output: {error}");
            Exit::Error
        }
    }
}

/// Writes an error to standard error.
pub fn fail(env: &Env, failure: &Failure) -> Exit {
    let text = failure_text(&failure.message, &env.err);
    let _ = std::io::stderr().write_all(guarded(&text, env.err.reader, env.err.paint).as_bytes());
    failure.exit
}
