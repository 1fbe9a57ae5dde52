//! A deploy that moves live: preview is asked before, live afterwards, as a promotion does. What a deploy makes (permissions,
//! aliases, statements of roles) is not known everywhere at once.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::check_event::CheckEvents;
use super::confirm::{Asker, PERMITTED_WITHIN, ask_preview, confirm};
use super::driver::Probe;
use super::error::MoveError;
use super::sight::Sight;
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::before_live::BeforeLive;
use crate::event::Event;
use crate::release::machine::Outcome;
use crate::release::transition::{self, Transition};

/// Asks preview and live from outside.
#[derive(Clone)]
pub struct Outside {
    /// How.
    pub probe: Arc<dyn Probe>,
    /// How long a change of a stage may take until it is served everywhere, usually; zero where it is at once.
    pub settling: Duration,
    /// What functions are called with that no request reaches.
    pub check_events: CheckEvents,
}

/// How long what a function was given a moment ago may take to be known everywhere. No request shows it of functions that no
/// probe reaches.
const GRANTED_WITHIN: Duration = Duration::from_secs(15);

/// What a deploy asks.
pub struct GoingLive {
    outside: Outside,
    /// The move that was found good in preview.
    transition: Mutex<Option<Transition>>,
}

impl GoingLive {
    /// Asks before live moves in this run.
    pub fn begin(context: &Context, outside: Outside) -> Arc<Self> {
        let asked = Arc::new(Self {
            outside,
            transition: Mutex::default(),
        });
        context.before_live(Arc::clone(&asked) as Arc<dyn BeforeLive>);
        asked
    }

    /// Asks live after it has moved. Returns what is wrong with it.
    pub async fn confirm(&self, context: &Context) -> Result<Option<String>, MoveError> {
        let known = self.transition.lock().take();
        let is_first = known.is_none();
        let transition = match known {
            Some(transition) => transition,
            None => {
                let Sight { gateway, facts } = Sight::read(context).await?;
                transition::arrived(&gateway, &facts)?
            }
        };
        let Outside { probe, settling, .. } = &self.outside;
        let outcome = confirm(context, &transition, &**probe, *settling, self.asker(context)).await;
        Ok(match outcome {
            Outcome::Good => None,
            // Nothing was live before it that it could harm, or that could be gone back to.
            Outcome::Bad(why) if is_first => {
                context.emit(Event::Note {
                    message: format!("not confirmed from outside: {why}"),
                });
                None
            }
            Outcome::Bad(why) | Outcome::Unsettled(why) => Some(why),
            Outcome::Interrupted => Some("stopped by the operator".to_owned()),
        })
    }

    /// A function that fails may lack what it was given a moment ago; on this machine that is known at once.
    fn asker(&self, context: &Context) -> Asker {
        Asker::Deploy(match self.is_known_at_once(context) {
            true => Duration::from_secs(1),
            false => PERMITTED_WITHIN,
        })
    }

    fn is_known_at_once(&self, context: &Context) -> bool {
        self.outside.settling.is_zero() || context.clients().are_of_this_machine()
    }
}

#[async_trait]
impl BeforeLive for GoingLive {
    async fn ask(&self, context: &Context) -> Result<(), AwsError> {
        let error = |kind, why: String| AwsError::own("taskctl", "release", kind, why);
        let sight = Sight::read(context).await;
        let Sight { gateway, facts } = sight.map_err(|failed| match failed {
            MoveError::Aws(failed) => failed,
            other => error(ErrorKind::Invalid, other.to_string()),
        })?;
        // Live serves it already, or preview serves something of others: nothing to ask for.
        let Ok(Some(transition)) = transition::promotion(&gateway, &facts) else {
            return Ok(());
        };
        let release = transition.to;
        let Outside {
            probe, check_events, ..
        } = &self.outside;
        match ask_preview(context, &transition, &**probe, check_events, self.asker(context)).await {
            Ok(_) => {}
            Err(Outcome::Interrupted) => {
                return Err(error(ErrorKind::Interrupted, "stopped before live moved".to_owned()));
            }
            Err(Outcome::Bad(why) | Outcome::Unsettled(why)) => {
                let why = format!("release {release} stays in preview, and live as it was: {why}");
                return Err(error(ErrorKind::Invalid, why));
            }
            Err(Outcome::Good) => {}
        }
        if !self.is_known_at_once(context) {
            wait_for_grants(context, &transition, &gateway).await?;
        }
        *self.transition.lock() = Some(transition);
        Ok(())
    }
}

/// Waits until what was given in this run to functions that no probe reaches is known everywhere.
async fn wait_for_grants(
    context: &Context,
    transition: &Transition,
    gateway: &transition::Gateway,
) -> Result<(), AwsError> {
    let functions = gateway.functions.iter();
    let unreached = functions.filter(|(_, physical)| transition.unreached.contains(*physical));
    let granted: Option<Instant> = unreached.filter_map(|(logical, _)| context.granted(logical)).max();
    let Some(until) = granted
        .map(|at| at + GRANTED_WITHIN)
        .filter(|until| *until > Instant::now())
    else {
        return Ok(());
    };
    context.emit(Event::Note {
        message: format!(
            "waiting {} s before live moves: what was granted to functions that no probe reaches is not known everywhere yet",
            (until - Instant::now()).as_secs() + 1
        ),
    });
    tokio::select! {
        () = sleep_until(until) => Ok(()),
        () = context.cancel().cancelled() => Err(AwsError::own(
            "apigateway",
            "UpdateStage",
            ErrorKind::Interrupted,
            "stopped before live moved",
        )),
    }
}
