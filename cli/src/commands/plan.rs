//! `taskctl plan`: what deploy would change.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use taskctl_stack::event::{Endpoints, Event, Outcome};
use taskctl_stack::plan::SavedPlan;

use crate::cli::{CodeArgs, PromotionArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::prepare::{Prepared, prepare};
use crate::report::Purpose;
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
    session.finished(outcome, prepared.engine.context().calls(), Endpoints::default());
    Ok(exit)
}

fn save(session: &Session, prepared: &Prepared, path: &PathBuf) -> Result<(), Failure> {
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
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, &text))
        .map_err(|error| Failure::io("writing", path, &error))?;
    let apply = session
        .command_hint()
        .command(&format!("deploy --plan {}", path.display()));
    session.reporter.emit(Event::Note {
        message: format!("plan written to {}; apply it with `{apply}`", path.display()),
    });
    Ok(())
}
