//! `taskctl destroy`: everything of a stage goes, except data that was not named. A store that filled after the plan was shown
//! stays, and the exit code is that of a failed check.

use std::collections::BTreeSet;

use taskctl_stack::aws::release::lease::Lease;
use taskctl_stack::engine::{Applied, DeleteData, Engine};
use taskctl_stack::event::{Endpoints, Event, Outcome};
use taskctl_stack::plan::{Action, Data, Plan};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::lease;
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::ui::confirm::{Confirmation, Expected, Unattended};

const EXAMPLES: &str = "\
Examples:
  taskctl destroy --stage test
  taskctl destroy --stage test --delete-data tasks --delete-data assets
  taskctl destroy --local --delete-data all --yes";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Delete this table or bucket even if it holds data; may be repeated; `all` means every one
    #[arg(long, value_name = "NAME")]
    delete_data: Vec<String>,
}

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Change, Details::Changes, async |session| {
        destroy(&session, &args).await
    })
}

async fn destroy(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    if stack_ref.is_protected {
        let stage = &session.global.target.stage;
        return Err(Failure::usage(
            format!("{}/{stage} is protected: it is not destroyed", stack_ref.app),
            format!(
                "set `protected: false` for stage {stage} in the template and run `taskctl deploy`, then destroy it"
            ),
        ));
    }
    let engine = session.connect("destroy", &stack_ref).await?;
    let holder = lease::holder(session, "destroy");
    let user = holder.user.clone();
    let lease = lease::take(session, &engine, holder).await?;
    let result = go(session, args, &engine, &lease, &stack_ref.app, &user).await;
    lease::give_back(session, lease).await;
    result
}

async fn go(
    session: &Session,
    args: &Args,
    engine: &Engine,
    lease: &Lease,
    app: &str,
    user: &str,
) -> Result<Exit, Failure> {
    let planned = engine.plan_destroy(&delete_data(&args.delete_data)).await?;
    session.reporter.emit(Event::Planned {
        plan: planned.plan.clone(),
    });
    refuse_unknown(session, &args.delete_data, &planned.plan)?;
    if !planned.errors.is_empty() {
        return Err(taskctl_stack::engine::EngineError::Lint(planned.errors).into());
    }
    if !planned.plan.has_changes() {
        session.finished(Outcome::NoChanges, engine.context().calls(), Endpoints::default());
        return Ok(Exit::Ok);
    }
    consent(session, engine, app).await?;
    let Applied { execution, .. } = engine.apply(&planned, lease, user, None).await?;
    let (outcome, exit) = match (execution.is_complete(), session.cancel.is_cancelled()) {
        (true, _) => (Outcome::Done, Exit::Ok),
        (false, _) if execution.has_only_kept() => (Outcome::Kept, Exit::CheckFailed),
        (false, true) => (Outcome::Interrupted, Exit::Interrupted),
        (false, false) => (Outcome::Failed, Exit::Error),
    };
    session.finished(outcome, engine.context().calls(), Endpoints::default());
    Ok(exit)
}

/// A name that nothing has would leave the data that was meant, or be that of another stage. What the template declares may be
/// gone already, by a run that was stopped.
fn refuse_unknown(session: &Session, named: &[String], plan: &Plan) -> Result<(), Failure> {
    let stores = plan.steps.iter().filter(|step| match &step.action {
        Action::Delete { data, .. } => *data != Data::None,
        Action::Keep { .. } => true,
        _ => false,
    });
    let found: BTreeSet<&str> = stores.map(|step| step.id.name.as_str()).collect();
    let declared = match session.global.target.app {
        Some(_) => None,
        None => Some(session.project()?.template.stack),
    };
    let is_declared = |name: &String| {
        let stack = declared.as_ref();
        stack.is_some_and(|stack| stack.tables.contains_key(name) || stack.buckets.contains_key(name))
    };
    let is_known = |name: &&String| *name == ALL || found.contains(name.as_str()) || is_declared(name);
    let Some(unknown) = named.iter().find(|name| !is_known(name)) else {
        return Ok(());
    };
    let found: Vec<&str> = found.into_iter().collect();
    Err(Failure::usage(
        format!("--delete-data {unknown}: no table or bucket of this stage has this name"),
        match found.is_empty() {
            true => "the stage has no table and no bucket: leave the option out".to_owned(),
            false => format!("name one of those that the stage has: {}; or `{ALL}`", found.join(", ")),
        },
    ))
}

/// Names every data store.
const ALL: &str = "all";

fn delete_data(names: &[String]) -> DeleteData {
    if names.iter().any(|name| name == ALL) {
        DeleteData::All
    } else {
        DeleteData::Named(names.iter().cloned().collect::<BTreeSet<_>>())
    }
}

/// The stage's name must be typed, or `--yes` given.
async fn consent(session: &Session, engine: &Engine, app: &str) -> Result<(), Failure> {
    let stage = &session.global.target.stage;
    let confirmation = Confirmation {
        question: format!("This cannot be undone. Type the stage's name ({stage}) to destroy {app}/{stage}"),
        expected: Expected::Word(stage.clone()),
        unattended: Unattended::Refuse(format!(
            "destroying {app}/{stage} needs confirmation, and there is no terminal to ask on"
        )),
    };
    session.confirm_change(&session.place(engine), confirmation).await
}
