//! `taskctl deploy`: builds, plans, applies.

use std::fs;
use std::path::PathBuf;

use taskctl_stack::engine::Engine;
use taskctl_stack::event::{Endpoints, Outcome};
use taskctl_stack::execute::Execution;
use taskctl_stack::plan::{Plan, SavedPlan};
use taskctl_stack::release::lease::Lease;

use crate::args::{Code, Global, Promotion};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lock;
use crate::prepare::{Prepared, prepare_locked};
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Session};

/// Arguments of `deploy`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Apply a plan kept by `plan --save`, if nothing has moved since.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Show the fields of what is created, too.
    #[arg(long)]
    details: bool,
    #[command(flatten)]
    code: Code,
    #[command(flatten)]
    promotion: Promotion,
}

/// Runs it.
pub fn run(global: &Global, args: Args) -> Exit {
    let details = if args.details {
        Details::Everything
    } else {
        Details::Changes
    };
    session::run(global, Purpose::Change, details, async |session| {
        deploy(&session, &args).await
    })
}

async fn deploy(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let saved = args.plan.as_ref().map(read_plan).transpose()?;
    let holder = lock::holder(session, "deploy");
    let user = holder.user.clone();
    let (prepared, lease) = prepare_locked(session, "deploy", &args.code, &args.promotion, holder).await?;
    let result = apply(session, &prepared, &lease, &user, saved.as_ref()).await;
    lock::give_back(session, lease).await;
    result
}

async fn apply(
    session: &Session,
    prepared: &Prepared,
    lease: &Lease,
    user: &str,
    saved: Option<&SavedPlan>,
) -> Result<Exit, Failure> {
    prepared.refuse_errors(session)?;
    let Prepared {
        project,
        engine,
        planned,
        site,
    } = prepared;
    if let Some(saved) = saved {
        let identity = engine.context().identity();
        saved.check(
            &identity.app,
            &identity.stage,
            &identity.region,
            &identity.account,
            &planned.plan,
        )?;
    }
    if !planned.plan.has_changes() {
        let endpoints = engine.endpoints(site.clone()).await?;
        session.finished(Outcome::NoChanges, engine.context().calls(), endpoints);
        return Ok(Exit::Ok);
    }
    if saved.is_none() && wants_consent(&planned.plan, project.template.stack.protected) {
        consent(session).await?;
    }
    let execution = engine.apply(planned, lease, user).await?;
    conclude(session, engine, &execution, site.clone()).await
}

/// Tells how it ended.
pub async fn conclude(
    session: &Session,
    engine: &Engine,
    execution: &Execution,
    site: Option<String>,
) -> Result<Exit, Failure> {
    let calls = || engine.context().calls();
    if execution.is_complete() {
        let endpoints = engine.endpoints(site).await?;
        session.finished(Outcome::Done, calls(), endpoints);
        return Ok(Exit::Ok);
    }
    let (outcome, exit) = match session.cancel.is_cancelled() {
        true => (Outcome::Interrupted, Exit::Interrupted),
        false => (Outcome::Failed, Exit::Error),
    };
    session.finished(outcome, calls(), Endpoints::default());
    Ok(exit)
}

/// Whether a person should agree first: something goes, or the stage is protected.
fn wants_consent(plan: &Plan, protected: bool) -> bool {
    let counts = plan.counts();
    protected || counts.delete > 0 || counts.replace > 0
}

/// Asks a person at the terminal. Where nobody can be asked, the command line was the answer.
async fn consent(session: &Session) -> Result<(), Failure> {
    if session.global.yes || !session.can_ask() {
        return Ok(());
    }
    match session.ask("Apply this? [y/N] ").await?.as_deref() {
        Some("y" | "Y" | "yes" | "Yes") => Ok(()),
        Some(_) | None => Err(Failure::new(
            Exit::Error,
            "not applied",
            "nothing was changed; answer `y`, or give --yes",
        )),
    }
}

fn read_plan(path: &PathBuf) -> Result<SavedPlan, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::io("reading", path, &error))?;
    Ok(SavedPlan::parse(&text)?)
}
