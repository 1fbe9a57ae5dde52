//! From arguments to a plan, as `plan` and `deploy` both need it: template, place, code, connection, plan.

use taskctl_stack::aws::release::lease::{Holder, Lease};
use taskctl_stack::engine::{Engine, PlanInputs, Planned};
use taskctl_stack::event::{Event, Outcome, joined_advice};
use taskctl_stack::package::{PackageError, SourceVersion, functions_of};
use taskctl_stack::release::slots::GoLive;

use crate::cli::{CodeArgs, PromotionArgs};
use crate::code_source::CodeSource;
use crate::failure::Failure;
use crate::lease;
use crate::project::{Project, Sites};
use crate::session::Session;
use crate::stack_ref::StackRef;

/// A plan, with what it takes to carry it out.
pub struct Prepared {
    pub project: Project,
    /// The engine, connected.
    pub engine: Engine,
    pub planned: Planned,
}

/// Plans, and reports the plan.
pub async fn prepare(
    session: &Session,
    command: &str,
    code: &CodeArgs,
    promotion: &PromotionArgs,
) -> Result<Prepared, Failure> {
    let opened = open(session, command, code).await?;
    planned(session, opened, promotion).await
}

/// Acquires the lease on the stage, plans, and reports the plan.
pub async fn prepare_locked(
    session: &Session,
    command: &str,
    code: &CodeArgs,
    promotion: &PromotionArgs,
    holder: Holder,
) -> Result<(Prepared, Lease), Failure> {
    let opened = open(session, command, code).await?;
    // What is read before the lease is held may already be changing.
    let lease = lease::take(session, &opened.engine, holder).await?;
    match planned(session, opened, promotion).await {
        Ok(prepared) => Ok((prepared, lease)),
        Err(failure) => {
            lease::give_back(session, lease).await;
            Err(failure)
        }
    }
}

/// A project and the engine for it.
struct Opened {
    project: Project,
    code: CodeSource,
    engine: Engine,
    version: Option<SourceVersion>,
    sites: Sites,
}

async fn open(session: &Session, command: &str, code: &CodeArgs) -> Result<Opened, Failure> {
    let project = session.project()?;
    for fault in project.template.warnings.list() {
        let place = project.template.warnings.place(fault);
        let parts = std::iter::once(&fault.message).chain(&fault.help);
        let message = joined_advice(parts);
        session.reporter.emit(Event::Warning {
            message: format!("{place}: {message}"),
        });
    }
    let (sites, missing) = project.sites()?;
    for folder in missing {
        session.reporter.emit(Event::Warning {
            message: format!(
                "the web site has no content: directory {} does not exist; `website: {{source: DIR}}` sets another",
                folder.display()
            ),
        });
    }
    let stack = &project.template.stack;
    let code = code_of(session, &project, code)?;
    let stack_ref = StackRef::of(stack);
    let (engine, version) = futures::join!(session.connect(command, &stack_ref), code.version());
    let engine = engine?;
    Ok(Opened {
        project,
        code,
        engine,
        version,
        sites,
    })
}

async fn planned(session: &Session, opened: Opened, promotion: &PromotionArgs) -> Result<Prepared, Failure> {
    let Opened {
        project,
        code,
        engine,
        version,
        sites,
    } = opened;
    let stack = &project.template.stack;
    let website_url = |bucket: &str| session.target.website_url(bucket, &stack.region);
    let inputs = PlanInputs {
        stack,
        website_url: &website_url,
        commit: version.map(|version| version.short()),
        go_live: go_live(promotion),
        sites,
    };
    let events = session.events();
    let packages = async {
        tokio::select! {
            packages = code.packages(&events) => packages,
            () = session.cancel.cancelled() => Err(PackageError::Interrupted),
        }
    };
    let planned = engine
        .plan(&inputs, packages)
        .await
        .map_err(|error| project.failure(error))?;
    for message in &planned.notes {
        session.reporter.emit(Event::Note {
            message: message.clone(),
        });
    }
    session.reporter.emit(Event::Planned {
        plan: planned.plan.clone(),
    });
    Ok(Prepared {
        project,
        engine,
        planned,
    })
}

impl Prepared {
    /// Refuses a plan that must not be carried out.
    pub fn refuse_errors(&self, session: &Session) -> Result<(), Failure> {
        if self.planned.errors.is_empty() {
            return Ok(());
        }
        session.finished(Outcome::Failed, self.engine.context().calls(), Default::default());
        Err(taskctl_stack::engine::EngineError::Lint(self.planned.errors.clone()).into())
    }
}

fn code_of(session: &Session, project: &Project, args: &CodeArgs) -> Result<CodeSource, Failure> {
    Ok(match &args.artifacts {
        Some(directory) => CodeSource::artifacts(
            directory,
            &functions_of(&project.template.stack),
            session.target.destination(),
        )?,
        None => CodeSource::build(project, &args.build, session.target.destination(), &session.env),
    })
}

fn go_live(promotion: &PromotionArgs) -> Option<GoLive> {
    match (promotion.promote, promotion.no_promote) {
        (true, _) => Some(GoLive::AtOnce),
        (false, true) => Some(GoLive::Wait),
        (false, false) => None,
    }
}
