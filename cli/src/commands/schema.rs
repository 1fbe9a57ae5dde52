//! `taskctl schema`: the JSON Schema of templates.

use taskctl_stack::template::json_schema;

use super::print;
use crate::exit::Exit;

/// Runs it.
pub fn run() -> Exit {
    print(&format!("{:#}\n", json_schema()))
}
