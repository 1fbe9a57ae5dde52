//! `taskctl deploy`: builds, plans, applies.

use std::fs;
use std::path::PathBuf;

use taskctl_stack::plan::SavedPlan;

use crate::cli::{CodeArgs, PromotionArgs};
use crate::deployment::{Request, deploy};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation};

const EXAMPLES: &str = "\
Examples:
  taskctl deploy --local
  taskctl deploy --stage prod --no-promote
  taskctl deploy --stage prod --plan plan.json
  taskctl deploy --stage prod --artifacts packages --yes";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Apply a plan written by `plan --save`, if it is still current
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Show the fields of created resources, too
    #[arg(long)]
    details: bool,
    /// Show timings of each resource at the end, and the critical path
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    promotion: PromotionArgs,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    let details = if args.details {
        Details::Everything
    } else {
        Details::Changes
    };
    session::run(invocation, Purpose::Change, details, async |session| {
        let request = Request {
            saved: args.plan.as_ref().map(read_plan).transpose()?,
            code: args.code,
            promotion: args.promotion,
            timings: args.timings,
        };
        deploy(&session, &request).await
    })
}

fn read_plan(path: &PathBuf) -> Result<SavedPlan, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io("reading", path, &error))?;
    Ok(SavedPlan::parse(&text)?)
}
