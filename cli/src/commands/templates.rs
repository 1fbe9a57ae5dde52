//! `taskctl templates`: the shipped templates.

use clap::builder::PossibleValuesParser;
use schemars::JsonSchema;
use serde::Serialize;
use taskctl_stack::template::{EMBEDDED, embedded, embedded_names};

use super::print;
use crate::cli::{Global, Output};
use crate::exit::Exit;

/// Arguments of `templates`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print this template.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(embedded_names()))]
    name: Option<String>,
}

/// The shipped templates.
#[derive(Debug, Serialize, JsonSchema)]
pub struct List {
    /// In the order they are listed.
    templates: Vec<Shipped>,
}

/// A shipped template.
#[derive(Debug, Serialize, JsonSchema)]
struct Shipped {
    /// Name, for `taskctl init`.
    name: &'static str,
    /// What it makes.
    summary: &'static str,
}

/// Runs it.
pub fn run(global: &Global, args: &Args) -> Exit {
    if let Some(text) = args.name.as_deref().and_then(embedded) {
        return print(text);
    }
    let text = match global.output {
        Output::Json => {
            let templates = EMBEDDED.iter().map(|template| Shipped {
                name: template.name,
                summary: template.summary,
            });
            let list = List {
                templates: templates.collect(),
            };
            format!("{:#}\n", serde_json::json!(list))
        }
        Output::Human | Output::Github => EMBEDDED
            .iter()
            .map(|template| format!("{:<16} {}\n", template.name, template.summary))
            .collect(),
    };
    print(&text)
}
