//! The stack a command works on, by name.

use taskctl_stack::template::model::Stack;

use crate::cli::Global;
use crate::env::Env;
use crate::failure::Failure;
use crate::project::Project;

/// Application and region; the stage is a global argument.
#[derive(Debug, Clone)]
pub struct StackRef {
    pub app: String,
    pub region: String,
}

impl StackRef {
    /// From `--app`, or from the template.
    pub fn resolve(global: &Global, env: &Env) -> Result<Self, Failure> {
        let Some(app) = &global.target.app else {
            return Ok(Self::of(&Project::open(global, env)?.template.stack));
        };
        let Some(region) = global.target.region.clone().or_else(|| env.region.clone()) else {
            return Err(Failure::usage(
                "--app needs a region, since no template is read",
                "add --region REGION, or set AWS_REGION",
            ));
        };
        Ok(Self {
            app: app.clone(),
            region,
        })
    }

    /// Of a template.
    pub fn of(stack: &Stack) -> Self {
        Self {
            app: stack.app.clone(),
            region: stack.region.clone(),
        }
    }
}
