//! `taskctl promote`: what waits in preview goes live, after it was checked.

use taskctl_stack::engine::{Engine, Wanted};
use taskctl_stack::event::{Event, Outcome};
use taskctl_stack::release::driver::Moved;
use taskctl_stack::release::lease::Lease;
use taskctl_stack::release::machine::End;
use taskctl_stack::release::movement::Movement;

use crate::args::{Checks, Global};
use crate::commands::status::named;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::lock;
use crate::outside::Web;
use crate::place::Place;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Session};

/// Arguments of `promote`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    checks: Checks,
}

/// Runs it.
pub fn run(global: &Global, args: Args) -> Exit {
    session::run(global, Purpose::Change, Details::Changes, async |session| {
        let gate = Gate::open(&session, &args.checks)?;
        go(&session, "promote", Wanted::Promotion, gate).await
    })
}

/// Moves live, after asking, under the lease.
pub async fn go(session: &Session, command: &str, wanted: Wanted, gate: Gate) -> Result<Exit, Failure> {
    let named = named(session)?;
    let place = Place::of(&session.global, &session.surroundings);
    let web = Web::new(gate, session.cancel.clone())?;
    let engine = session.connect(command, &place, &named).await?;
    if !session.global.yes {
        match session.unless_stopped(engine.movement(wanted)).await?? {
            Some(movement) => consent(session, command, &named.app, &movement).await?,
            None if engine.late_pages().await?.is_empty() => return nothing(session, &engine, wanted).await,
            // Somebody was cut off after the switch: what was agreed to is finished.
            None => {}
        }
    }
    let holder = lock::holder(session, command);
    let user = holder.user.clone();
    let lease = lock::take(session, &engine, holder).await?;
    let result = locked(session, &engine, &lease, wanted, &web, &user).await;
    lock::give_back(session, lease).await;
    result
}

async fn locked(
    session: &Session,
    engine: &Engine,
    lease: &Lease,
    wanted: Wanted,
    web: &Web,
    user: &str,
) -> Result<Exit, Failure> {
    // Read again under the lease: nobody else moves anything from here on.
    let Some(movement) = engine.movement(wanted).await? else {
        engine.show_pages(&engine.late_pages().await?).await?;
        return nothing(session, engine, wanted).await;
    };
    let moved = engine.go(&movement, lease, web, user).await?;
    let (exit, outcome) = judged(session, &moved);
    session.finished(outcome, engine.context().calls(), movement.endpoints());
    Ok(exit)
}

async fn nothing(session: &Session, engine: &Engine, wanted: Wanted) -> Result<Exit, Failure> {
    let message = match wanted {
        Wanted::Promotion => "nothing waits: preview serves what live serves",
        Wanted::Rollback { .. } => "live serves that release already",
    };
    session.reporter.tell(Event::Note {
        message: message.to_owned(),
    });
    let endpoints = engine.endpoints(None).await?;
    session.finished(Outcome::NoChanges, engine.context().calls(), endpoints);
    Ok(Exit::Ok)
}

/// Says how it ended where that is not simply done.
fn judged(session: &Session, moved: &Moved) -> (Exit, Outcome) {
    let from = moved
        .from
        .map_or_else(|| "what it served".to_owned(), |number| format!("release {number}"));
    let to = moved.to;
    let (exit, text) = match &moved.end {
        End::Done => return (Exit::Ok, Outcome::Done),
        End::Refused(reason) => (
            Exit::CheckFailed,
            format!("release {to} failed its checks and does not go live: {reason}; live serves {from}"),
        ),
        End::Stopped(reason) => (
            Exit::RolledBack,
            format!("release {to} did not go live: {reason}; live serves {from}"),
        ),
        End::Returned(reason) => (
            Exit::RolledBack,
            format!("live went back to {from}, since release {to} did not answer as it should: {reason}"),
        ),
        End::Unconfirmed(reason) => (
            Exit::RolledBack,
            format!("live serves release {to}, which was not confirmed from outside: {reason}"),
        ),
    };
    session.reporter.tell(Event::Warning { message: text });
    if session.cancel.is_cancelled() {
        (Exit::Interrupted, Outcome::Interrupted)
    } else {
        (exit, Outcome::Failed)
    }
}

async fn consent(session: &Session, command: &str, app: &str, movement: &Movement) -> Result<(), Failure> {
    let stage = &session.global.stage;
    let from = movement
        .from
        .map(|number| format!(" from release {number}"))
        .unwrap_or_default();
    if !session.can_ask() {
        return Err(Failure::usage(
            format!(
                "moving live of {app}/{stage}{from} to release {} needs consent, and nobody can be asked here",
                movement.to
            ),
            "give --yes",
        ));
    }
    let question = format!(
        "Move live of {app}/{stage}{from} to release {} ({command})? [y/N] ",
        movement.to
    );
    match session.ask(&question).await?.as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) | None => Err(Failure::new(
            Exit::Error,
            "not moved: the answer was not y",
            "nothing was changed; answer y, or give --yes",
        )),
    }
}
