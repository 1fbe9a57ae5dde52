//! `taskctl prune`: what no kept release needs goes.

use taskctl_stack::engine::{Engine, Pruned};
use taskctl_stack::event::{Event, Outcome};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lease;
use crate::promotion_gate::KEEP;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Session};
use crate::ui::text::count;

/// Arguments of `prune`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Releases to keep, beside live, preview and the one before live [default: `release: {keep: …}` of the template, else 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    keep: Option<u32>,
}

/// Runs it.
pub fn run(global: &Global, args: &Args) -> Exit {
    let keep = args.keep;
    session::run(global, Purpose::Change, Details::Changes, async |session| {
        prune(&session, keep).await
    })
}

async fn prune(session: &Session, keep: Option<u32>) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let keep = match (keep, &session.global.app) {
        (Some(keep), _) => keep,
        (None, Some(_)) => u32::try_from(KEEP).unwrap_or(u32::MAX),
        (None, None) => session.project()?.template.stack.keep_releases,
    };
    let engine = session.connect("prune", &stack_ref).await?;
    consent(session, keep).await?;
    let lease = lease::take(session, &engine, lease::holder(session, "prune")).await?;
    let pruned = engine.prune(usize::try_from(keep).unwrap_or(usize::MAX)).await;
    lease::give_back(session, lease).await;
    let pruned = pruned?;
    let outcome = if pruned.is_nothing() {
        Outcome::NoChanges
    } else {
        Outcome::Done
    };
    tell(session, &pruned);
    session.finished(outcome, engine.context().calls(), engine.endpoints(None).await?);
    Ok(Exit::Ok)
}

async fn consent(session: &Session, keep: u32) -> Result<(), Failure> {
    if session.global.yes {
        return Ok(());
    }
    if !session.can_ask() {
        return Err(Failure::usage(
            format!("releases before the newest {keep} go for good, and nobody can be asked here"),
            "give --yes",
        ));
    }
    let question =
        format!("Take away all releases but the newest {keep}, live, preview and the one before live? [y/N] ");
    match session.ask(&question).await?.as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) | None => Err(Failure::new(
            Exit::Error,
            "nothing was pruned",
            "answer y, or give --yes",
        )),
    }
}

/// Prunes after a promotion. What cannot be taken away now goes the next time.
pub async fn after_promotion(session: &Session, engine: &Engine, keep: usize) {
    match engine.prune(keep).await {
        Ok(pruned) => tell(session, &pruned),
        Err(error) => session.reporter.tell(Event::Warning {
            message: format!("old releases were not pruned: {error}; `taskctl prune` does it"),
        }),
    }
}

fn tell(session: &Session, pruned: &Pruned) {
    if pruned.is_nothing() {
        return;
    }
    let large = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let parts = [
        (pruned.releases.len(), "release"),
        (pruned.versions, "function version"),
        (pruned.grants, "former grant"),
        (pruned.files, "page file"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(large(number), noun))
        .collect();
    session.reporter.tell(Event::Note {
        message: format!("pruned, since nothing needs it any more: {}", told.join(", ")),
    });
}
