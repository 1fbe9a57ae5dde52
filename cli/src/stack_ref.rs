//! The stack a command works on, by name.

use taskctl_stack::event::joined_advice;
use taskctl_stack::template::model::Stack;
use taskctl_stack::template::wrong_region;

use crate::cli::Global;
use crate::env::Env;
use crate::failure::Failure;
use crate::project::Project;

/// Application, region and what guards the stage; the stage is a global argument.
#[derive(Debug, Clone)]
pub struct StackRef {
    pub app: String,
    pub region: String,
    /// The account that the template names for the stage.
    pub account: Option<String>,
    /// Whether the template protects the stage.
    pub is_protected: bool,
}

impl StackRef {
    /// From `--app`, or from the template.
    pub fn resolve(global: &Global, env: &Env) -> Result<Self, Failure> {
        let Some(app) = &global.target.app else {
            return Ok(Self::of(&Project::open(global, env)?.template.stack));
        };
        if let Some(fault) = global.target.region.as_deref().and_then(wrong_region) {
            return Err(Failure::usage(fault.message, joined_advice(&fault.help)));
        }
        let Some(region) = global.target.region.clone().or_else(|| env.region.clone()) else {
            return Err(Failure::usage(
                "--app needs a region, since no template is read",
                "add --region REGION, or set AWS_REGION",
            ));
        };
        Ok(Self {
            app: app.clone(),
            region,
            account: None,
            is_protected: false,
        })
    }

    /// Of a template.
    pub fn of(stack: &Stack) -> Self {
        Self {
            app: stack.app.clone(),
            region: stack.region.clone(),
            account: stack.account.clone(),
            is_protected: stack.protected,
        }
    }
}
