//! Functions that no request reaches are called with an event that changes nothing before live moves.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::kinds::lambda::version::{Invoked, invoke};
use crate::release::machine::Outcome;
use crate::release::transition::{Follower, Transition};

/// Events by the logical names of their functions, JSON.
pub type CheckEvents = BTreeMap<String, String>;

/// Pause after a call that failed.
const CALL_AGAIN: Duration = Duration::from_secs(1);

impl Transition {
    /// Functions whose version changes, that no route reaches and that have no event to be checked with.
    pub fn unchecked<'a>(&'a self, events: &'a CheckEvents) -> impl Iterator<Item = &'a str> {
        let unchecked = self.unrouted().filter(|one| !events.contains_key(&one.name));
        unchecked.map(|one| one.name.as_str())
    }

    /// Functions that are new or have another version, which no route reaches.
    fn unrouted(&self) -> impl Iterator<Item = &Follower> {
        let changed = self.followers.iter().filter(|one| one.from.as_ref() != Some(&one.to));
        changed.filter(|one| !one.is_routed)
    }
}

/// Calls those that have an event in the target's version; one that fails is called again for `within`. Returns how many were.
pub(super) async fn check(
    context: &Context,
    transition: &Transition,
    events: &CheckEvents,
    within: Duration,
) -> Result<usize, Outcome> {
    let mut called = 0;
    for one in transition.unrouted() {
        let Some(event) = events.get(&one.name) else { continue };
        let began = Instant::now();
        loop {
            if context.cancel().is_cancelled() {
                return Err(Outcome::Interrupted);
            }
            let why = match call(context, one, event).await {
                Ok(None) => break,
                Ok(Some(why)) => format!("function {} failed its check event: {why}", one.name),
                Err(error) => format!("function {} cannot be called: {error}", one.name),
            };
            if began.elapsed() >= within {
                return Err(Outcome::Bad(why));
            }
            // A role or a version of a moment ago may not be known everywhere.
            tokio::time::sleep(CALL_AGAIN).await;
        }
        called += 1;
    }
    Ok(called)
}

/// Calls a function; what it failed with.
async fn call(context: &Context, one: &Follower, event: &str) -> Result<Option<String>, AwsError> {
    let called = op("lambda", "Invoke").once().upload();
    let Invoked { payload, error, .. } = invoke(context, called, (&one.function, &one.to), event, None).await?;
    Ok(error.map(|kind| format!("{kind} {payload}")))
}
