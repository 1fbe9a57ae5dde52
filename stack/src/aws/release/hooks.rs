//! What the template runs before and after the switch: shell commands and functions of the release.

use super::driver::Probe;
use crate::aws::client::context::Context;
use crate::aws::client::op::op;
use crate::event::Event;
use crate::release::machine::Outcome;
use crate::release::transition::Transition;
use crate::template::model::Hook;

/// Runs hooks one after another; the first failure is the judgement.
pub(super) async fn run_hooks(
    context: &Context,
    transition: &Transition,
    hooks: &[Hook],
    url: &str,
    outside: &dyn Probe,
) -> Outcome {
    for hook in hooks {
        if context.cancel().is_cancelled() {
            return Outcome::Interrupted;
        }
        let identity = context.identity();
        let ran = match hook {
            Hook::Run(command) => {
                let variables = [
                    ("TASKCTL_URL", url.to_owned()),
                    ("TASKCTL_RELEASE", transition.to.to_string()),
                    ("TASKCTL_APP", identity.app.clone()),
                    ("TASKCTL_STAGE", identity.stage.clone()),
                ];
                let ran = tokio::select! {
                    ran = outside.run(command, &variables) => ran,
                    () = context.cancel().cancelled() => return Outcome::Interrupted,
                };
                ran.map_err(|why| format!("hook `{command}` {why}"))
            }
            Hook::Function(name) => call_function(context, transition, name, url).await,
        };
        if let Err(why) = ran {
            return Outcome::Bad(why);
        }
    }
    if !hooks.is_empty() {
        context.emit(Event::Note {
            message: format!("{} hook{} passed", hooks.len(), if hooks.len() == 1 { "" } else { "s" }),
        });
    }
    Outcome::Good
}

/// Calls a function in the version of the target.
async fn call_function(context: &Context, transition: &Transition, name: &str, url: &str) -> Result<(), String> {
    let Some(one) = transition.changed.iter().find(|one| one.name == name) else {
        return Err(format!("hook function {name} is not behind live"));
    };
    let version = one.new.unwrap_or(one.old);
    let payload = serde_json::json!({"taskctl": "hook", "release": transition.to, "url": url}).to_string();
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "Invoke").upload(), || {
            client
                .invoke()
                .function_name(&one.function)
                .qualifier(format!("v{version}"))
                .payload(payload.clone().into_bytes().into())
                .send()
        })
        .await
        .map_err(|error| format!("hook function {name} cannot be called: {error}"))?;
    match answer.function_error() {
        None => Ok(()),
        Some(kind) => {
            let payload = answer
                .payload()
                .map(|payload| String::from_utf8_lossy(payload.as_ref()).into_owned());
            Err(format!(
                "hook function {name} failed ({kind}): {}",
                payload.unwrap_or_default()
            ))
        }
    }
}
