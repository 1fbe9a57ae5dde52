//! A deployment: plans under the lease, asks, applies. Used by `deploy` and `dev`.

use std::sync::Arc;

use taskctl_stack::aws::release::driver::Probe;
use taskctl_stack::aws::release::going_live::Outside;
use taskctl_stack::aws::release::lease::Lease;
use taskctl_stack::engine::{Applied, Engine};
use taskctl_stack::event::{Endpoints, ErrorReport, Event, Outcome, millis};
use taskctl_stack::execute::{Execution, Timing};
use taskctl_stack::plan::{Plan, SavedPlan};
use taskctl_stack::resource::ResourceId;
use taskctl_stack::template::model::Route;

use crate::cli::{CodeArgs, Output, PromotionArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Message};
use crate::http_probe::HttpProbe;
use crate::lease;
use crate::prepare::{Prepared, prepare_locked};
use crate::promotion_gate::{PromotionGate, check_events};
use crate::session::Session;
use crate::ui::confirm::{Confirmation, Expected, Unattended};
use crate::ui::style::Style;
use crate::ui::table::table;
use crate::ui::text::duration;
use crate::web_site;

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
    let result = apply(session, &prepared, &lease, &user, request).await;
    lease::give_back(session, lease).await;
    result
}

async fn apply(
    session: &Session,
    prepared: &Prepared,
    lease: &Lease,
    user: &str,
    request: &Request,
) -> Result<Exit, Failure> {
    prepared.refuse_errors(session)?;
    let Prepared { engine, planned, .. } = prepared;
    if let Some(saved) = &request.saved {
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
        succeeded(session, prepared, Outcome::NoChanges).await?;
        return Ok(Exit::Ok);
    }
    // A saved plan was reviewed before.
    if request.saved.is_none() {
        consent(session, engine, &planned.plan).await?;
    }
    let probe = Arc::new(HttpProbe::new(PromotionGate::none(), session.cancel.clone())?);
    let outside = Outside {
        probe: Arc::clone(&probe) as Arc<dyn Probe>,
        settling: session.target.metering().settling,
        check_events: check_events(&prepared.project.template.stack),
    };
    let Applied { execution, unconfirmed } = engine.apply(planned, lease, user, Some(outside)).await?;
    if let Some(why) = unconfirmed {
        session.finished(Outcome::Failed, engine.context().calls(), Endpoints::default());
        let live = planned.slots.as_ref().map(|slots| slots.live.release);
        return Err(unconfirmed_live(session, live, &why));
    }
    if execution.is_complete() {
        web_site::fetch(session, prepared, &execution, &*probe).await;
    }
    let exit = conclude(session, prepared, &execution).await?;
    // Programs have them in the events.
    if request.timings && session.global.output != Output::Json {
        session.reporter.answer(timings_table(&execution, &session.env.out));
    }
    Ok(exit)
}

/// Live has moved, and does not answer as it should.
fn unconfirmed_live(session: &Session, release: Option<u64>, why: &str) -> Failure {
    let release = release.map(|number| number.to_string()).unwrap_or_default();
    let help = "`taskctl rollback` moves live back, `taskctl logs --level error --since 30m` shows what failed";
    Failure {
        exit: Exit::RolledBack,
        message: Message::Report(ErrorReport {
            message: format!("live serves release {release}, but requests did not confirm it"),
            causes: vec![why.to_owned()],
            hint: Some(session.command_hint().complete(help)),
        }),
    }
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
        let shown = |time: std::time::Duration| duration(millis(time));
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
    format!("{table}* on the critical path\n")
}

async fn conclude(session: &Session, prepared: &Prepared, execution: &Execution) -> Result<Exit, Failure> {
    if execution.is_complete() {
        succeeded(session, prepared, Outcome::Done).await?;
        return Ok(Exit::Ok);
    }
    let (outcome, exit) = match session.cancel.is_cancelled() {
        true => (Outcome::Interrupted, Exit::Interrupted),
        false => (Outcome::Failed, Exit::Error),
    };
    let calls = prepared.engine.context().calls();
    session.finished(outcome, calls, Endpoints::default());
    Ok(exit)
}

/// The stage is as the template says. What waits in preview is not live: that is said, and how it gets there.
async fn succeeded(session: &Session, prepared: &Prepared, outcome: Outcome) -> Result<(), Failure> {
    let Prepared {
        project,
        engine,
        planned,
    } = prepared;
    let endpoints = engine.endpoints(planned.site_url.clone()).await?;
    let waits = planned
        .slots
        .as_ref()
        .filter(|slots| slots.preview.release != slots.live.release);
    if let Some(slots) = waits {
        session.reporter.emit(Event::InPreview {
            release: slots.preview.release,
            color: slots.color.as_str().to_owned(),
            live: slots.live.release,
        });
    }
    let hint = session.command_hint();
    let (url, command) = match waits {
        Some(_) => (&endpoints.preview, "promote"),
        None => (&endpoints.live, "status"),
    };
    let route = project
        .template
        .stack
        .api
        .as_ref()
        .and_then(|api| asked_by(&api.routes));
    let ask = url.iter().zip(route).map(|(url, path)| format!("curl {url}{path}"));
    let next = ask.chain([hint.command(command)]).collect();
    session.finished_with_next(outcome, engine.context().calls(), endpoints, next);
    Ok(())
}

/// The path of the first route that a plain GET reaches.
fn asked_by(routes: &[Route]) -> Option<&str> {
    let gets = routes.iter().filter_map(|route| route.key.strip_prefix("GET "));
    gets.filter(|path| !path.contains('{'))
        .min_by_key(|path| *path != "/health")
}

/// Without a terminal the command line was consent enough.
async fn consent(session: &Session, engine: &Engine, plan: &Plan) -> Result<(), Failure> {
    let identity = engine.context().identity();
    let counts = plan.counts();
    let gone = counts.delete + counts.replace;
    let warning = match gone {
        0 => String::new(),
        gone => format!(" ({gone} to delete or replace)"),
    };
    let confirmation = Confirmation {
        question: format!("Apply this plan to {}/{}?{warning}", identity.app, identity.stage),
        expected: Expected::Yes,
        unattended: Unattended::Proceed,
    };
    session.confirm_change(&session.place(engine), confirmation).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_next_is_a_route_of_the_template() {
        let check = |keys: &[&str], expected: Option<&str>| {
            let routes: Vec<Route> = keys
                .iter()
                .map(|key| Route {
                    key: (*key).to_owned(),
                    function: "f".to_owned(),
                    throttle_rate: None,
                    throttle_burst: None,
                })
                .collect();
            assert_eq!(asked_by(&routes), expected, "{keys:?}");
        };
        check(&["POST /orders", "GET /orders/{id}", "GET /orders"], Some("/orders"));
        check(&["GET /a", "GET /health"], Some("/health"));
        check(&["GET /orders/{id}", "ANY /x", "$default"], None);
        check(&[], None);
    }
}
