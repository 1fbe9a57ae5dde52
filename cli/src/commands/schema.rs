//! `taskctl schema`: the JSON Schema of templates, and of what commands answer with `--output json`.

use clap::ValueEnum;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use taskctl_checks::{LoadReport, Report};
use taskctl_local::LocalStatus;
use taskctl_stack::observe::alarms::Alarm;
use taskctl_stack::observe::metrics::Metrics;
use taskctl_stack::release::history::Release;
use taskctl_stack::status::Status;
use taskctl_stack::template::json_schema;

use crate::answers::{DashboardLink, Findings, InvokeResult, Templates, Unlocked};
use crate::exit::Exit;
use crate::log_line::Record;
use crate::report;
use crate::report::direct::print;
use crate::session::Invocation;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Document to describe: templates, or the JSON output of a command
    #[arg(value_name = "OF", value_enum, default_value_t)]
    of: Of,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Of {
    /// Templates, for editors
    #[default]
    Template,
    /// An output line of plan, deploy, promote, rollback, prune, destroy, package and dev
    Events,
    /// The output of status
    Status,
    /// The output of metrics
    Metrics,
    /// The output of alarms
    Alarms,
    /// The output of releases
    Releases,
    /// The output of check
    Check,
    /// The output of load
    Load,
    /// An output line of logs
    Logs,
    /// The output of invoke
    Invoke,
    /// The output of dashboard
    Dashboard,
    /// The output of doctor
    Doctor,
    /// The output of templates
    Templates,
    /// The output of unlock
    Unlock,
    /// The output of local status
    LocalStatus,
    /// The output of local list
    LocalList,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    print(&invocation.env, &format!("{:#}\n", schema(args.of)))
}

/// The schema of something.
pub fn schema(of: Of) -> Value {
    let generator = || SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema: Schema = match of {
        Of::Template => return json_schema(),
        Of::Events => generator().into_root_schema_for::<report::Line<'_>>(),
        Of::Status => generator().into_root_schema_for::<Status>(),
        Of::Metrics => generator().into_root_schema_for::<Metrics>(),
        Of::Alarms => generator().into_root_schema_for::<Vec<Alarm>>(),
        Of::Releases => generator().into_root_schema_for::<Vec<Release>>(),
        Of::Check => generator().into_root_schema_for::<Report>(),
        Of::Load => generator().into_root_schema_for::<LoadReport>(),
        Of::Logs => generator().into_root_schema_for::<Record<'_>>(),
        Of::Invoke => generator().into_root_schema_for::<InvokeResult>(),
        Of::Dashboard => generator().into_root_schema_for::<Vec<DashboardLink>>(),
        Of::Doctor => generator().into_root_schema_for::<Findings<'_>>(),
        Of::Templates => generator().into_root_schema_for::<Templates>(),
        Of::Unlock => generator().into_root_schema_for::<Unlocked>(),
        Of::LocalStatus => generator().into_root_schema_for::<LocalStatus>(),
        Of::LocalList => generator().into_root_schema_for::<Vec<LocalStatus>>(),
    };
    schema.to_value()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_schemas_in_the_documentation_are_these() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
        // That of templates is large, and docs/template.md says the same.
        for of in Of::value_variants().iter().filter(|of| **of != Of::Template) {
            let name = of.to_possible_value().unwrap().get_name().to_owned();
            let file = folder.join(format!("{name}.json"));
            let text = format!("{:#}\n", schema(*of));
            if std::env::var_os("TASKCTL_UPDATE_DOCS").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, &text).unwrap();
            }
            assert!(
                fs::read_to_string(&file).unwrap_or_default() == text,
                "docs/schemas/{name}.json is not current: run TASKCTL_UPDATE_DOCS=1 cargo test --workspace schema"
            );
        }
    }
}
