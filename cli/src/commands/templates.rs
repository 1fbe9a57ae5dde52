//! `taskctl templates`: the shipped templates.

use clap::builder::PossibleValuesParser;
use taskctl_stack::template::{EMBEDDED, embedded, embedded_names};

use crate::answers::{ShippedTemplate, Templates};
use crate::cli::Output;
use crate::exit::Exit;
use crate::report::direct::print;
use crate::session::Invocation;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print this template
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(embedded_names()))]
    name: Option<String>,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    if let Some(text) = args.name.as_deref().and_then(embedded) {
        return print(&invocation.env, text);
    }
    let text = match invocation.global.output {
        Output::Json => {
            let templates = EMBEDDED.iter().map(|template| ShippedTemplate {
                name: template.name,
                summary: template.summary,
            });
            let list = Templates {
                templates: templates.collect(),
            };
            format!("{:#}\n", serde_json::json!(list))
        }
        Output::Human | Output::Github => EMBEDDED
            .iter()
            .map(|template| format!("{:<16} {}\n", template.name, template.summary))
            .collect(),
    };
    print(&invocation.env, &text)
}
