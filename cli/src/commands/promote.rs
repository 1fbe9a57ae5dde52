//! `taskctl promote`: what waits in preview goes live, after it was checked.

use std::time::Duration;

use taskctl_stack::aws::release::check_event::CheckEvents;
use taskctl_stack::aws::release::driver::{LATE_SHARES, RolloutOptions};
use taskctl_stack::engine::Wanted;
use taskctl_stack::event::{Event, Outcome};
use taskctl_stack::release::canary::Rollout;
use taskctl_stack::template::model::{Hooks, ReleasePolicy};

use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lease;
use crate::promotion_gate::{KEEP, PromotionGate};
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation, Session};
use crate::time_arg::duration;
use crate::transition::{self, Locking};

const EXAMPLES: &str = "\
Examples:
  taskctl promote --stage prod
  taskctl promote --stage prod --canary 10% --bake 10m
  taskctl promote --stage prod --linear 20%/2m
  taskctl promote --stage prod --abort";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Send this share of live's traffic to the release first, and monitor it
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["linear", "at_once"])]
    canary: Option<u8>,
    /// How long to monitor the canary [default: the stage's policy, else 5m]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "canary")]
    bake: Option<Duration>,
    /// Raise the share in steps and monitor each, such as 10%/3m
    #[arg(long, value_name = "PERCENT/TIME", value_parser = linear, conflicts_with = "at_once")]
    linear: Option<(u8, Duration)>,
    /// Move all traffic at once, overriding the stage's policy
    #[arg(long)]
    at_once: bool,
    /// End a canary: return all of live's traffic to the live release
    #[arg(long, conflicts_with_all = ["canary", "linear", "at_once", "checks", "allow_writes"])]
    abort: bool,
    #[command(flatten)]
    checks: CheckArgs,
}

/// `10%`, 1 to 99.
fn percent(text: &str) -> Result<u8, String> {
    let number = text
        .trim_end_matches('%')
        .parse()
        .ok()
        .filter(|share| (1..100).contains(share));
    number.ok_or_else(|| "expected a percentage from 1% to 99%, such as 10%".to_owned())
}

fn linear(text: &str) -> Result<(u8, Duration), String> {
    let (share, interval) = text
        .split_once('/')
        .ok_or_else(|| "expected a percentage and a duration, such as 10%/3m".to_owned())?;
    Ok((percent(share)?, duration(interval)?))
}

impl Args {
    /// How the release goes live: by the arguments, else by the stage's policy.
    fn options(&self, session: &Session) -> Result<RolloutOptions, Failure> {
        let metering = session.target.metering();
        let policy = match &session.global.target.app {
            // Without a template there is no policy.
            Some(_) => ReleasePolicy::Manual,
            None => session.project()?.template.stack.release_policy,
        };
        let usual = match policy {
            ReleasePolicy::Canary { bake_seconds, .. } => Duration::from_secs(bake_seconds.into()),
            _ => USUAL_BAKE,
        };
        let rollout = match (self.canary, self.linear, self.at_once) {
            (Some(percent), _, _) => Rollout::canary(percent, self.bake.unwrap_or(usual)),
            (None, Some((percent, interval)), _) => Rollout::linear(percent, interval),
            (None, None, true) => Rollout::at_once(),
            (None, None, false) => Rollout::of(&policy),
        };
        let shortest = metering.shortest_bake();
        if !rollout.steps.is_empty() && rollout.bake < shortest {
            return Err(Failure::usage(
                format!(
                    "a bake time of {} s is too short: metrics arrive later than that",
                    rollout.bake.as_secs()
                ),
                format!("use at least {} s", shortest.as_secs()),
            ));
        }
        Ok(RolloutOptions {
            rollout,
            metering,
            hooks: Hooks::default(),
            keep: KEEP,
            check_events: CheckEvents::new(),
        })
    }
}

/// Default bake time.
const USUAL_BAKE: Duration = Duration::from_secs(300);

pub fn run(invocation: &Invocation, args: Args) -> Exit {
    session::run(invocation, Purpose::Change, Details::Changes, async |session| {
        if args.abort {
            return abort(&session).await;
        }
        let gate = PromotionGate::open(&session, &args.checks)?;
        let options = RolloutOptions {
            hooks: gate.hooks.clone(),
            keep: gate.keep,
            check_events: gate.check_events.clone(),
            ..args.options(&session)?
        };
        transition::run(&session, "promote", Wanted::Promotion, options, gate, Locking::Locked).await
    })
}

/// Ends a canary under the lease.
async fn abort(session: &Session) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect("promote --abort", &stack_ref).await?;
    session.unless_stopped(engine.require_deployed()).await??;
    let lease = lease::take(session, &engine, lease::holder(session, "promote --abort")).await?;
    let aborted = engine.abort(&lease).await;
    lease::give_back(session, lease).await;
    let aborted = aborted?;
    let outcome = match aborted.is_empty() {
        true => {
            session.reporter.emit(Event::Note {
                message: "no canary is running".to_owned(),
            });
            Outcome::NoChanges
        }
        false => {
            let told: Vec<String> = aborted
                .iter()
                .map(|(name, percent)| format!("{percent}% of {name}"))
                .collect();
            session.reporter.emit(Event::Note {
                message: format!(
                    "canary ended: {} went to another release and is back on live",
                    told.join(", ")
                ),
            });
            if !session.target.metering().partial {
                session.reporter.emit(Event::Note {
                    message: LATE_SHARES.to_owned(),
                });
            }
            Outcome::Done
        }
    };
    let endpoints = engine.endpoints(None).await?;
    session.finished(outcome, engine.context().calls(), endpoints);
    Ok(Exit::Ok)
}
