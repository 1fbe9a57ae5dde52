//! The request checks of a project: which there are, and whether those that change data are run.

use std::path::PathBuf;

use taskctl_checks::{Options, Parts, Suite, Writes, read_folder, shipped};

use taskctl_stack::aws::release::check_event::CheckEvents;
use taskctl_stack::template::model::{Hooks, Stack};

use crate::cli::CheckArgs;
use crate::failure::Failure;
use crate::session::Session;

/// Checks and how they are run.
#[derive(Debug, Clone)]
pub struct PromotionGate {
    pub suites: Vec<Suite>,
    pub options: Options,
    /// What is run before and after a promotion.
    pub hooks: Hooks,
    /// Where that is run.
    pub directory: PathBuf,
    /// Releases that are kept.
    pub keep: usize,
    /// What functions are called with that no request reaches.
    pub check_events: CheckEvents,
}

/// The functions and routes of a template. Without one they are unknown, and every suite applies.
pub struct StackParts<'a>(pub Option<&'a Stack>);

impl Parts for StackParts<'_> {
    fn has_function(&self, name: &str) -> bool {
        self.0.is_none_or(|stack| stack.functions.contains_key(name))
    }

    fn has_route(&self, key: &str) -> bool {
        self.0.is_none_or(|stack| {
            let mut routes = stack.api.iter().flat_map(|api| &api.routes);
            routes.any(|route| route.key == key)
        })
    }
}

/// Releases kept where there is no template.
pub const KEEP: usize = 10;

/// Folder of a project's checks.
pub const FOLDER: &str = "checks";

/// What a template says that its functions are called with.
pub fn check_events(stack: &Stack) -> CheckEvents {
    let functions = stack.functions.iter();
    functions
        .filter_map(|(name, function)| Some((name.clone(), function.check_event.clone()?)))
        .collect()
}

impl PromotionGate {
    /// Without checks.
    pub fn none() -> Self {
        Self {
            suites: Vec::new(),
            options: Options {
                folders: Vec::new(),
                writes: Writes::Refused,
            },
            hooks: Hooks::default(),
            directory: PathBuf::from("."),
            keep: KEEP,
            check_events: CheckEvents::new(),
        }
    }

    /// The checks of the command line, of the project, or those shipped for its functions.
    pub fn open(session: &Session, args: &CheckArgs) -> Result<Self, Failure> {
        let project = match &session.global.target.app {
            Some(_) => None,
            None => Some(session.project()?),
        };
        let stack = project.as_ref().map(|project| &project.template.stack);
        let parts = StackParts(stack);
        let suites = match (&args.checks, &project) {
            (Some(folder), _) => read_folder(folder)?,
            (None, Some(project)) => {
                let own = project.directory.join(FOLDER);
                match project.shipped.is_none() && own.is_dir() {
                    true => read_folder(own.strip_prefix(&session.env.directory).unwrap_or(&own))?,
                    false => shipped(&parts),
                }
            }
            // Without a template the functions are unknown.
            (None, None) => Vec::new(),
        };
        let hooks = stack.map(|stack| stack.hooks.clone()).unwrap_or_default();
        let directory = project
            .as_ref()
            .map_or_else(|| PathBuf::from("."), |project| project.directory.clone());
        let protected = stack.is_none_or(|stack| stack.protected);
        Ok(Self {
            suites: suites.into_iter().filter(|suite| suite.applies(&parts)).collect(),
            options: Options {
                folders: Vec::new(),
                writes: match args.allow_writes || !protected {
                    true => Writes::Allowed,
                    false => Writes::Refused,
                },
            },
            hooks,
            directory,
            keep: stack.map_or(KEEP, |stack| usize::try_from(stack.keep_releases).unwrap_or(KEEP)),
            check_events: stack.map(check_events).unwrap_or_default(),
        })
    }
}
