//! Moves live from one release to another: asks, holds the lease, reports how it ended. Used by `promote` and `rollback`.

use std::time::Duration;

use taskctl_stack::aws::release::driver::{Moved, RolloutOptions};
use taskctl_stack::aws::release::lease::{Force, LIFETIME, Lease};
use taskctl_stack::engine::{Engine, Wanted};
use taskctl_stack::event::{Event, Outcome};
use taskctl_stack::release::grants::Restoration;
use taskctl_stack::release::machine::End;
use taskctl_stack::release::transition::Transition;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::http_probe::HttpProbe;
use crate::lease;
use crate::promotion_gate::PromotionGate;
use crate::pruning;
use crate::session::Session;
use crate::ui::confirm::{Confirmation, Expected, Unattended};

/// How long IAM takes until a changed policy is known everywhere, usually. There is no documented bound.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
const IAM_SETTLES: Duration = Duration::from_secs(10);

/// Takes the lease from whoever has it, and waits until that one can start no call any more: one that is alive notices at its
/// next renewal, one that was suspended sees by its clock that its lease is over.
pub async fn preempt(session: &Session) -> Result<(), Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let silent = engine.holder().await?.map_or(0, |(_, silent)| silent);
    let Some(record) = engine.unlock(Force::Any).await? else {
        return Ok(());
    };
    let wait = LIFETIME.saturating_sub(Duration::from_secs(u64::try_from(silent).unwrap_or(0)));
    session.reporter.emit(Event::Note {
        message: format!(
            "lease of {} on {} (`{}`) taken over; waiting {} s for it to expire",
            record.holder.user,
            record.holder.host,
            record.holder.command,
            wait.as_secs()
        ),
    });
    session.unless_stopped(tokio::time::sleep(wait)).await
}

/// Moves live, after asking, under the lease.
pub async fn run(
    session: &Session,
    command: &str,
    wanted: Wanted,
    options: RolloutOptions,
    gate: PromotionGate,
) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let web = HttpProbe::new(gate, session.cancel.clone())?;
    let engine = session.connect(command, &stack_ref).await?;
    // The lease alone would make a control bucket where nothing is deployed.
    session.unless_stopped(engine.require_deployed()).await??;
    if !session.global.yes {
        match session.unless_stopped(engine.transition(wanted)).await?? {
            Some(transition) => {
                if matches!(wanted, Wanted::Rollback { .. }) {
                    note_restoration(
                        session,
                        &session.unless_stopped(engine.restoration(&transition)).await??,
                    );
                }
                consent(session, command, &stack_ref.app, &transition).await?;
            }
            None if engine.late_pages().await?.is_empty() => return nothing(session, &engine, wanted).await,
            // A run was interrupted after the switch: what was confirmed then is finished now.
            None => {}
        }
    }
    let holder = lease::holder(session, command);
    let user = holder.user.clone();
    let lease = lease::take(session, &engine, holder).await?;
    let result = locked(session, &engine, &lease, wanted, &options, &web, &user).await;
    lease::give_back(session, lease).await;
    result
}

async fn locked(
    session: &Session,
    engine: &Engine,
    lease: &Lease,
    wanted: Wanted,
    options: &RolloutOptions,
    web: &HttpProbe,
    user: &str,
) -> Result<Exit, Failure> {
    // Read again under the lease, which excludes every other change.
    let Some(transition) = engine.transition(wanted).await? else {
        engine.show_pages(&engine.late_pages().await?).await?;
        return nothing(session, engine, wanted).await;
    };
    if matches!(wanted, Wanted::Rollback { .. }) {
        give_back(session, engine, &transition, options).await?;
    }
    let moved = engine.run(&transition, lease, options, web, user).await?;
    let (exit, outcome) = judged(session, &moved);
    if exit == Exit::Ok && wanted == Wanted::Promotion {
        pruning::after_promotion(session, engine, options.keep).await;
    }
    session.finished(outcome, engine.context().calls(), transition.endpoints());
    Ok(exit)
}

/// Gives the functions back what a kept release needs, as far as its label proves that it was allowed.
async fn give_back(
    session: &Session,
    engine: &Engine,
    transition: &Transition,
    options: &RolloutOptions,
) -> Result<(), Failure> {
    let restoration = engine.restoration(transition).await?;
    if restoration.is_unknown {
        session.reporter.emit(Event::Warning {
            message: format!(
                "the ledger has no record of the grants of release {}; calls that needed more than the current grants will be \
                 denied",
                restoration.release
            ),
        });
    }
    if restoration.is_nothing() {
        return Ok(());
    }
    if session.global.yes {
        note_restoration(session, &restoration);
    }
    engine.restore(&restoration).await?;
    if !options.metering.partial {
        session.reporter.emit(Event::Note {
            message: "grants of the release restored; waiting for IAM to propagate them".to_owned(),
        });
        session.unless_stopped(tokio::time::sleep(IAM_SETTLES)).await?;
    }
    Ok(())
}

/// Notes which grants are restored.
fn note_restoration(session: &Session, restoration: &Restoration) {
    if restoration.is_nothing() {
        return;
    }
    let mut message = format!(
        "release {} needs grants that its functions' roles lack; restored before live moves:",
        restoration.release
    );
    for line in restoration.lines() {
        message.push_str("\n  ");
        message.push_str(&line);
    }
    session.reporter.emit(Event::Note { message });
}

async fn nothing(session: &Session, engine: &Engine, wanted: Wanted) -> Result<Exit, Failure> {
    let message = match wanted {
        Wanted::Promotion => "nothing to promote: preview and live serve the same release",
        Wanted::Rollback { .. } => "live already serves that release",
    };
    session.reporter.emit(Event::Note {
        message: message.to_owned(),
    });
    let endpoints = engine.endpoints(None).await?;
    session.finished(Outcome::NoChanges, engine.context().calls(), endpoints);
    Ok(Exit::Ok)
}

/// Reports any ending other than success.
fn judged(session: &Session, moved: &Moved) -> (Exit, Outcome) {
    let from = moved
        .from
        .map_or_else(|| "the same as before".to_owned(), |number| format!("release {number}"));
    let to = moved.to;
    let (exit, text) = match &moved.end {
        End::Done => return (Exit::Ok, Outcome::Done),
        End::Refused(reason) => (
            Exit::CheckFailed,
            format!("release {to} failed its checks and was not promoted: {reason}; live still serves {from}"),
        ),
        End::Stopped(reason) => (
            Exit::RolledBack,
            format!("release {to} was not promoted: {reason}; live still serves {from}"),
        ),
        End::Returned(reason) => (
            Exit::RolledBack,
            format!("live was rolled back to {from}, because release {to} did not respond as expected: {reason}"),
        ),
        End::Unconfirmed(reason) => (
            Exit::RolledBack,
            format!("live serves release {to}, but this could not be confirmed by request: {reason}"),
        ),
    };
    session.reporter.emit(Event::Warning { message: text });
    if session.cancel.is_cancelled() {
        (Exit::Interrupted, Outcome::Interrupted)
    } else {
        (exit, Outcome::Failed)
    }
}

async fn consent(session: &Session, command: &str, app: &str, transition: &Transition) -> Result<(), Failure> {
    let stage = &session.global.target.stage;
    let to = transition.to;
    let from = transition
        .from
        .map(|number| format!(" from release {number}"))
        .unwrap_or_default();
    let confirmation = Confirmation {
        question: format!("Move live of {app}/{stage}{from} to release {to} ({command})?"),
        expected: Expected::Yes,
        unattended: Unattended::Refuse(format!(
            "moving live of {app}/{stage}{from} to release {to} needs confirmation, and there is no terminal to ask on"
        )),
        declined: "live was not moved: not confirmed",
    };
    session.confirm(confirmation).await
}
