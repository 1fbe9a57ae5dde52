//! What the template runs before and after the switch: shell commands and functions of the release.

use std::time::Duration;

use super::driver::Probe;
use crate::aws::client::context::Context;
use crate::aws::client::op::op;
use crate::aws::kinds::lambda;
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
            return match context.cancel().is_cancelled() {
                true => Outcome::Interrupted,
                false => Outcome::Bad(why),
            };
        }
    }
    if !hooks.is_empty() {
        context.emit(Event::Note {
            message: format!("{} hook{} passed", hooks.len(), if hooks.len() == 1 { "" } else { "s" }),
        });
    }
    Outcome::Good
}

/// How much longer than its function's own limit a hook may take: a new execution environment starts first.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>
const START: Duration = Duration::from_secs(20);

/// The longest that a function may take.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LONGEST: Duration = Duration::from_secs(900);

/// Calls a function in the version of the target.
async fn call_function(context: &Context, transition: &Transition, name: &str, url: &str) -> Result<(), String> {
    let Some(one) = transition.changed.iter().find(|one| one.name == name) else {
        return Err(format!("hook function {name} is not behind live"));
    };
    let version = one.new.unwrap_or(one.old);
    let payload = serde_json::json!({"taskctl": "hook", "release": transition.to, "url": url}).to_string();
    let version = version.to_string();
    let state = lambda::function::state(context, &one.function, Some(&version)).await;
    let state = state.map_err(|error| format!("hook function {name} cannot be called: {error}"))?;
    let limit = state.timeout.unwrap_or(LONGEST);
    // Once: a hook that ran and whose answer was lost would run again.
    let call = op("lambda", "Invoke").once().answering_within(limit + START);
    let calling = lambda::version::invoke(context, call, (&one.function, &version), &payload, None);
    let answer = tokio::select! {
        answer = calling => answer.map_err(|error| format!("hook function {name} cannot be called: {error}"))?,
        () = context.cancel().cancelled() => {
            return Err(format!("hook function {name} was not waited for; it runs to its end"));
        }
    };
    match answer.error {
        None => Ok(()),
        Some(kind) => Err(format!("hook function {name} failed ({kind}): {}", answer.payload)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;
    use crate::release::transition::tests::facts;
    use crate::release::transition::{Changed, Gateway, promotion};

    /// The answer to the call is lost; whether the hook ran is not known.
    #[tokio::test(start_paused = true)]
    async fn a_hook_is_called_once() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let clients = fake::clients("eu-central-1", move |call| {
            match call.operation.ends_with("/invocations") {
                true => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    (503, b"{}".to_vec())
                }
                false => (200, br#"{"Configuration":{"Timeout":300}}"#.to_vec()),
            }
        });
        let context = context_over(identity(), clients);
        let mut transition = promotion(&Gateway::default(), &facts(1, 2, None)).unwrap().unwrap();
        transition.changed = vec![Changed {
            callers: None,
            name: "reindex".to_owned(),
            function: "shop-dev-reindex".to_owned(),
            old: 1,
            new: Some(2),
        }];
        let failed = call_function(&context, &transition, "reindex", "https://live").await;
        assert!(
            failed
                .unwrap_err()
                .starts_with("hook function reindex cannot be called")
        );
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
