//! `taskctl templates`: the shipped templates.

use clap::builder::PossibleValuesParser;
use serde_json::json;
use taskctl_stack::template::{EMBEDDED, embedded, embedded_names};

use super::print;
use crate::args::{Global, Output};
use crate::exit::Exit;

/// Arguments of `templates`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print this template.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(embedded_names()))]
    name: Option<String>,
}

/// Runs it.
pub fn run(global: &Global, args: &Args) -> Exit {
    if let Some(text) = args.name.as_deref().and_then(embedded) {
        return print(text);
    }
    let text = match global.output {
        Output::Json => {
            let list: Vec<_> = EMBEDDED
                .iter()
                .map(|template| json!({"name": template.name, "summary": template.summary}))
                .collect();
            format!("{:#}\n", json!({ "templates": list }))
        }
        Output::Human | Output::Github => EMBEDDED
            .iter()
            .map(|template| format!("{:<16} {}\n", template.name, template.summary))
            .collect(),
    };
    print(&text)
}
