//! A deployment: plans under the lease, asks, applies. Used by `deploy` and `dev`.

use taskctl_stack::aws::release::lease::Lease;
use taskctl_stack::engine::Engine;
use taskctl_stack::event::{Endpoints, Outcome};
use taskctl_stack::execute::{Execution, Timing};
use taskctl_stack::plan::{Plan, SavedPlan};
use taskctl_stack::resource::ResourceId;

use crate::cli::{CodeArgs, Output, PromotionArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lease;
use crate::prepare::{Prepared, prepare_locked};
use crate::session::Session;
use crate::ui::confirm::{Confirmation, Expected, Unattended};
use crate::ui::style::Style;
use crate::ui::table::table;
use crate::ui::text::duration;

/// What is deployed, and how.
pub struct Request {
    /// A plan that was reviewed before; applied only if it is still what is planned.
    pub saved: Option<SavedPlan>,
    pub code: CodeArgs,
    pub promotion: PromotionArgs,
    /// Whether the time of each resource is shown at the end.
    pub timings: bool,
}

pub async fn deploy(session: &Session, request: &Request) -> Result<Exit, Failure> {
    let holder = lease::holder(session, "deploy");
    let user = holder.user.clone();
    let (prepared, lease) = prepare_locked(session, "deploy", &request.code, &request.promotion, holder).await?;
    let result = apply(
        session,
        &prepared,
        &lease,
        &user,
        request.saved.as_ref(),
        request.timings,
    )
    .await;
    lease::give_back(session, lease).await;
    result
}

async fn apply(
    session: &Session,
    prepared: &Prepared,
    lease: &Lease,
    user: &str,
    saved: Option<&SavedPlan>,
    timings: bool,
) -> Result<Exit, Failure> {
    prepared.refuse_errors(session)?;
    let Prepared {
        project,
        engine,
        planned,
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
        let endpoints = engine.endpoints(planned.site_url.clone()).await?;
        session.finished(Outcome::NoChanges, engine.context().calls(), endpoints);
        return Ok(Exit::Ok);
    }
    if saved.is_none() && wants_consent(&planned.plan, project.template.stack.protected) {
        consent(session).await?;
    }
    let execution = engine.apply(planned, lease, user).await?;
    let exit = conclude(session, engine, &execution, planned.site_url.clone()).await?;
    // Programs have them in the events.
    if timings && session.global.output != Output::Json {
        session.reporter.answer(timings_table(&execution, &session.env.out));
    }
    Ok(exit)
}

/// Where the time went, in the order of beginning. What decided the whole is marked.
fn timings_table(execution: &Execution, style: &Style) -> String {
    let critical: Vec<&ResourceId> = execution.critical_path().into_iter().map(|one| &one.id).collect();
    let mut timings: Vec<&Timing> = execution.timings.iter().collect();
    timings.sort_by_key(|one| (one.began, one.took));
    let mut table = table(
        style,
        &["", "resource", "began", "took", "calls", "calling", "waiting", "after"],
    );
    for one in timings {
        let shown = |time: std::time::Duration| duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        table.add_row([
            if critical.contains(&&one.id) { "*" } else { "" }.to_owned(),
            one.id.to_string(),
            shown(one.began),
            shown(one.took),
            one.spent.calls.to_string(),
            shown(one.spent.calling),
            shown(one.spent.waiting),
            one.after.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        ]);
    }
    format!("{}\n* on the critical path\n", table.trim_fmt())
}

async fn conclude(
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

/// Without a terminal the command line was consent enough.
async fn consent(session: &Session) -> Result<(), Failure> {
    let confirmation = Confirmation {
        question: "Apply this plan?".to_owned(),
        expected: Expected::Yes,
        unattended: Unattended::Proceed,
        declined: "the plan was not applied: not confirmed",
    };
    session.confirm(confirmation).await
}
