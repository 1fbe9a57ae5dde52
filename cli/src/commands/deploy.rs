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

/// Arguments of `deploy`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Apply a plan kept by `plan --save`, if nothing has moved since.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Show the fields of what is created, too.
    #[arg(long)]
    details: bool,
    /// Show at the end where the time went: the chain that decided it, and what each resource waited for.
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    promotion: PromotionArgs,
}

/// Runs it.
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
