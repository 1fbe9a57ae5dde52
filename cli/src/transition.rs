//! Moves live from one release to another: asks, holds the lease, reports how it ended. Used by `promote` and `rollback`.

use std::time::Duration;

use taskctl_stack::aws::release::driver::{Hold, Moved, Proposal, RolloutOptions};
use taskctl_stack::aws::release::error::clear_by_hand;
use taskctl_stack::aws::release::lease::{Force, LIFETIME};
use taskctl_stack::aws::release::sight::Found;
use taskctl_stack::engine::{Engine, Wanted};
use taskctl_stack::event::{ErrorReport, Event, Outcome};
use taskctl_stack::release::grants::Restoration;
use taskctl_stack::release::machine::End;
use taskctl_stack::release::transition::Transition;

use crate::exit::Exit;
use crate::failure::{Failure, Message};
use crate::http_probe::HttpProbe;
use crate::lease;
use crate::promotion_gate::PromotionGate;
use crate::pruning;
use crate::report::CommandHint;
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
    let Some(record) = engine.unlock(Force::Any, &session.machine()).await? else {
        return Ok(());
    };
    let wait = LIFETIME.saturating_sub(Duration::from_secs(u64::try_from(silent).unwrap_or(0)));
    session.reporter.emit(Event::Note {
        message: format!(
            "lock taken from {}@{} ({}); waiting {} s until it can start no further call",
            record.holder.user,
            record.holder.host,
            record.holder.command,
            wait.as_secs()
        ),
    });
    session.unless_stopped(tokio::time::sleep(wait)).await
}

/// Whether the stage is locked meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Nobody else changes it.
    Locked,
    /// It is moved at once: the control bucket cannot be reached, and live is bad.
    Unlocked,
}

/// What carries a transition out.
struct Means<'a> {
    session: &'a Session,
    engine: &'a Engine,
    found: &'a Found,
    wanted: Wanted,
    options: &'a RolloutOptions,
    web: &'a HttpProbe,
    user: &'a str,
}

/// Moves live, after asking.
pub async fn run(
    session: &Session,
    command: &str,
    wanted: Wanted,
    options: RolloutOptions,
    gate: PromotionGate,
    locking: Locking,
) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let web = HttpProbe::new(gate, session.cancel.clone())?;
    let (engine, found) = session.connect_to_move(command, &stack_ref).await?;
    // The lease alone would make a control bucket where nothing is deployed.
    session.unless_stopped(engine.require_found(&found)).await??;
    if locking == Locking::Unlocked {
        session.reporter.emit(Event::Warning {
            message: UNLOCKED.to_owned(),
        });
    }
    if !session.global.yes {
        match session.unless_stopped(engine.proposal(&found, wanted)).await?? {
            Some(proposal) => {
                session
                    .unless_stopped(engine.require_runnable(&proposal, wanted))
                    .await??;
                if matches!(wanted, Wanted::Rollback { .. }) {
                    note_restoration(session, &session.unless_stopped(engine.restoration(&proposal)).await??);
                }
                note_unchecked(session, &proposal.transition, &options);
                consent(session, &engine, command, &stack_ref.app, &proposal.transition).await?;
            }
            None if engine.late().await?.is_empty() => return nothing(session, &engine, wanted).await,
            // A run was interrupted after the switch: what was confirmed then is finished now.
            None => {}
        }
    }
    let holder = lease::holder(session, command);
    let user = holder.user.clone();
    let means = Means {
        session,
        engine: &engine,
        found: &found,
        wanted,
        options: &options,
        web: &web,
        user: &user,
    };
    // What will be found under the lease, nearly always: it says which aliases to look at then.
    let expecting = engine.proposal(&found, wanted);
    if locking == Locking::Unlocked {
        let machine = session.machine();
        let looking = async { futures::join!(engine.refuse_known_holder(HOLDER_WITHIN, &machine), expecting) };
        let (free, expected) = session.unless_stopped(looking).await?;
        free?;
        let expected = expected?;
        return means.carry_out(Hold::Unlocked, expected.as_ref()).await;
    }
    let taking = async {
        let taking = lease::take(session, &engine, holder);
        match wanted {
            Wanted::Promotion => taking.await,
            Wanted::Rollback { .. } => {
                let taken = tokio::time::timeout(LOCK_WITHIN, taking).await;
                taken
                    .unwrap_or_else(|_| Err(no_answer(&engine)))
                    .map_err(|failure| without_lock(failure, session.command_hint()))
            }
        }
    };
    let (lease, expected) = futures::join!(taking, expecting);
    let lease = lease?;
    let expected = expected.ok().flatten();
    let result = means.carry_out(Hold::Lease(&lease), expected.as_ref()).await;
    lease::give_back(session, lease).await;
    result
}

/// How long the control bucket is asked who holds the lock where it is not waited for.
const HOLDER_WITHIN: Duration = Duration::from_secs(2);

const UNLOCKED: &str = "live moves without the lock: nothing keeps another command from changing the stage meanwhile. The move is \
                        written into the history by the next command that holds the lock";

/// How long a rollback waits for its lock: users are waiting, too.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

fn no_answer(engine: &Engine) -> Failure {
    Failure::new(
        Exit::Error,
        format!(
            "the lock was not taken within {} s: the control bucket {} does not answer",
            LOCK_WITHIN.as_secs(),
            engine.control().name()
        ),
        "run it again",
    )
}

/// Where the control bucket fails, live can go back all the same.
fn without_lock(mut failure: Failure, command_hint: CommandHint) -> Failure {
    if let Message::Report(report) = &mut failure.message
        && failure.exit != Exit::LockHeld
        && failure.exit != Exit::Interrupted
    {
        let advice = command_hint.complete("to move live back all the same: `taskctl rollback --without-lock`");
        report.hint = Some(match report.hint.take() {
            Some(hint) => format!("{hint}; {advice}"),
            None => advice,
        });
    }
    failure
}

impl Means<'_> {
    async fn carry_out(&self, hold: Hold<'_>, expected: Option<&Proposal>) -> Result<Exit, Failure> {
        let Self {
            session,
            engine,
            found,
            wanted,
            options,
            ..
        } = self;
        // Read again under the lease, which excludes every other change.
        let Some(proposal) = engine.settled_proposal(found, *wanted, expected).await? else {
            engine.finish(&engine.late().await?).await?;
            return nothing(session, engine, *wanted).await;
        };
        if matches!(wanted, Wanted::Rollback { .. }) {
            give_back(session, engine, &proposal, options).await?;
        }
        if session.global.yes {
            note_unchecked(session, &proposal.transition, options);
        }
        let endpoints = proposal.transition.endpoints();
        let moved = engine.run(proposal, hold, options, self.web, self.user).await?;
        let calls = || engine.context().calls();
        match failure(&moved, session.command_hint()) {
            None => {
                if *wanted == Wanted::Promotion {
                    pruning::after_promotion(session, engine, options.keep).await;
                }
                session.finished(Outcome::Done, calls(), endpoints);
                Ok(Exit::Ok)
            }
            Some(failure) if session.cancel.is_cancelled() => {
                session.reporter.emit(Event::Warning {
                    message: failure.summary(),
                });
                session.finished(Outcome::Interrupted, calls(), endpoints);
                Ok(Exit::Interrupted)
            }
            Some(failure) => {
                session.finished(Outcome::Failed, calls(), endpoints);
                Err(failure)
            }
        }
    }
}

/// Gives the functions back what a kept release needs, as far as its label proves that it was allowed.
async fn give_back(
    session: &Session,
    engine: &Engine,
    proposal: &Proposal,
    options: &RolloutOptions,
) -> Result<(), Failure> {
    let restoration = engine.restoration(proposal).await?;
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

/// Notes which functions go live without having been called.
fn note_unchecked(session: &Session, transition: &Transition, options: &RolloutOptions) {
    if !transition.is_promotion() {
        return;
    }
    let unchecked: Vec<&str> = transition.unchecked(&options.check_events).collect();
    if !unchecked.is_empty() {
        session.reporter.emit(Event::Note {
            message: format!(
                "not called before the switch, since they have neither a route nor a `check_event`: {}",
                unchecked.join(", ")
            ),
        });
    }
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

/// Any ending other than success: what did not happen, why, what live serves, and what to do.
fn failure(moved: &Moved, command_hint: CommandHint) -> Option<Failure> {
    let still = match moved.from {
        Some(number) => format!("live is still release {number}"),
        None => "live is as before".to_owned(),
    };
    let to = moved.to;
    let (exit, message, reason, hint) = match &moved.end {
        End::Done => return None,
        End::Refused(reason) => (
            Exit::CheckFailed,
            format!("release {to} failed its checks in preview and was not promoted; {still}"),
            reason.to_string(),
            command_hint.complete("fix it and deploy again; `taskctl check --preview` runs the checks alone"),
        ),
        End::Stopped(reason) => (
            Exit::RolledBack,
            format!("release {to} was not promoted; {still}"),
            reason.to_string(),
            command_hint.complete("`taskctl logs --level error --since 30m` shows what failed"),
        ),
        End::Returned(reason) => (
            Exit::RolledBack,
            format!("release {to} did not respond as expected, so live was moved back; {still}"),
            reason.to_string(),
            command_hint.complete("`taskctl logs --level error --since 30m` shows what failed"),
        ),
        End::Unconfirmed(reason) => (
            Exit::RolledBack,
            format!("live serves release {to}, but requests did not confirm it"),
            reason.to_string(),
            command_hint.complete("`taskctl status` shows what is live, `taskctl check` asks it"),
        ),
        End::StillDiverted { at_target, why } => (
            Exit::RolledBack,
            match at_target {
                true => format!("live serves release {to}, but weights of its canary are STILL set"),
                false => {
                    format!("weights of a canary are STILL set, so a share of live's traffic may go elsewhere; {still}")
                }
            },
            why.clone(),
            command_hint.complete(&clear_by_hand(&moved.clear_with)),
        ),
    };
    let report = ErrorReport {
        message,
        causes: reason.split("; ").map(str::to_owned).collect(),
        hint: Some(hint),
    };
    Some(Failure {
        exit,
        message: Message::Report(report),
    })
}

/// What will be true afterwards, and what is now.
fn question(app: &str, stage: &str, command: &str, transition: &Transition) -> String {
    let to = transition.to;
    let now = match transition.from {
        Some(number) => format!(" (live now: release {number})"),
        None => String::new(),
    };
    match command {
        "promote" => format!("Promote release {to} to live on {app}/{stage}?{now}"),
        _ => format!("Roll live back to release {to} on {app}/{stage}?{now}"),
    }
}

async fn consent(
    session: &Session,
    engine: &Engine,
    command: &str,
    app: &str,
    transition: &Transition,
) -> Result<(), Failure> {
    let stage = &session.global.target.stage;
    let confirmation = Confirmation {
        question: question(app, stage, command, transition),
        expected: Expected::Yes,
        unattended: Unattended::Refuse(format!(
            "moving live of {app}/{stage} to release {} needs confirmation, and there is no terminal to ask on",
            transition.to
        )),
    };
    session.confirm_change(&session.place(engine), confirmation).await
}
