//! `taskctl prune`: what no kept release needs goes.

use taskctl_stack::engine::Engine;
use taskctl_stack::event::Outcome;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::lease;
use crate::promotion_gate::KEEP;
use crate::pruning;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::ui::confirm::{Confirmation, Expected, Unattended};

const EXAMPLES: &str = "\
Examples:
  taskctl prune --stage prod
  taskctl prune --stage prod --keep 3";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of newest releases to keep, besides live, preview and the one before live [default: the template's `release: {keep: …}`, else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    keep: Option<u32>,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    let keep = args.keep;
    session::run(invocation, Purpose::Change, Details::Changes, async |session| {
        prune(&session, keep).await
    })
}

async fn prune(session: &Session, keep: Option<u32>) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let keep = match (keep, &session.global.target.app) {
        (Some(keep), _) => keep,
        (None, Some(_)) => u32::try_from(KEEP).unwrap_or(u32::MAX),
        (None, None) => session.project()?.template.stack.keep_releases,
    };
    let engine = session.connect("prune", &stack_ref).await?;
    session.unless_stopped(engine.require_deployed()).await??;
    consent(session, &engine, keep).await?;
    let lease = lease::take(session, &engine, lease::holder(session, "prune")).await?;
    let pruned = engine.prune(usize::try_from(keep).unwrap_or(usize::MAX)).await;
    lease::give_back(session, lease).await;
    let pruned = pruned?;
    let outcome = if pruned.is_nothing() {
        Outcome::NoChanges
    } else {
        Outcome::Done
    };
    pruning::report(session, &pruned);
    session.finished(outcome, engine.context().calls(), engine.endpoints(None).await?);
    Ok(Exit::Ok)
}

async fn consent(session: &Session, engine: &Engine, keep: u32) -> Result<(), Failure> {
    let identity = engine.context().identity();
    let confirmation = Confirmation {
        question: format!(
            "Delete all releases of {}/{} except the newest {keep}, live, preview and the one before live?",
            identity.app, identity.stage
        ),
        expected: Expected::Yes,
        unattended: Unattended::Refuse(format!(
            "deleting releases older than the newest {keep} needs confirmation, and there is no terminal to ask on"
        )),
    };
    session.confirm_change(&session.place(engine), confirmation).await
}
