//! The users function.

use std::process::ExitCode;

fn main() -> ExitCode {
    taskctl_handlers::runtime::serve(taskctl_handlers::users::function)
}
