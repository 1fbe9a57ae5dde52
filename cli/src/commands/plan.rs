//! `taskctl plan`: what deploy would change.

use std::path::{Path, PathBuf};

use taskctl_stack::event::{Endpoints, Event, Outcome};
use taskctl_stack::plan::SavedPlan;

use crate::cli::{CodeArgs, PromotionArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file;
use crate::prepare::{Prepared, prepare};
use crate::report::Purpose;
use crate::report::command_hint::{deploy_flags, quoted};
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};

const EXAMPLES: &str = "\
Examples:
  taskctl plan --stage prod
  taskctl plan --stage prod --save plan.json
  taskctl plan --local --details";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write the plan to a file; `deploy --plan FILE` applies it if it is still current
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Show the fields of created resources, too
    #[arg(long)]
    details: bool,
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
    session::run(invocation, Purpose::Plan, details, async |session| {
        plan(&session, &args).await
    })
}

async fn plan(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let prepared = prepare(session, "plan", &args.code, &args.promotion).await?;
    prepared.refuse_errors(session)?;
    if let Some(path) = &args.save {
        save(session, &prepared, path)?;
    }
    let (outcome, exit) = if prepared.planned.plan.has_changes() {
        (Outcome::Changes, Exit::Changes)
    } else {
        (Outcome::NoChanges, Exit::Ok)
    };
    let next = prepared.planned.plan.has_changes().then(|| next(session, args));
    session.finished_with_next(
        outcome,
        prepared.engine.context().calls(),
        Endpoints::default(),
        next.into_iter().collect(),
    );
    Ok(exit)
}

/// The command line that applies what was planned, from the same code and with the same promotion.
fn next(session: &Session, args: &Args) -> String {
    let plan = args
        .save
        .as_ref()
        .map(|path| format!(" --plan {}", quoted(&path.display().to_string())));
    let flags = deploy_flags(&args.code, &args.promotion);
    session
        .command_hint()
        .command(&format!("deploy{}{flags}", plan.unwrap_or_default()))
}

fn save(session: &Session, prepared: &Prepared, path: &Path) -> Result<(), Failure> {
    let identity = prepared.engine.context().identity();
    let saved = SavedPlan::new(
        &identity.app,
        &identity.stage,
        &identity.region,
        &identity.account,
        &prepared.planned.plan,
    );
    let mut text = serde_json::to_vec_pretty(&saved)
        .map_err(|error| Failure::caused("the plan cannot be serialized", &error, None))?;
    text.push(b'\n');
    // A plan names every resource of a stack, so only its owner may read it.
    file::write(path, &text, file::Readers::Owner)?;
    session.reporter.emit(Event::Note {
        message: format!("plan written to {}", path.display()),
    });
    Ok(())
}
