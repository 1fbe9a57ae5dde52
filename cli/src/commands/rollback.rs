//! `taskctl rollback`: live goes back to the release before, or to a kept one, with one call.

use clap_complete::ArgValueCandidates;
use taskctl_stack::aws::release::check_event::CheckEvents;
use taskctl_stack::aws::release::driver::RolloutOptions;
use taskctl_stack::engine::Wanted;
use taskctl_stack::release::canary::Rollout;
use taskctl_stack::template::model::Hooks;

use crate::complete;
use crate::exit::Exit;
use crate::promotion_gate::{KEEP, PromotionGate};
use crate::report::Purpose;
use crate::report::plan::Details;
use crate::session::{self, Invocation};
use crate::transition::{self, Locking};

const EXAMPLES: &str = "\
Examples:
  taskctl rollback --stage prod
  taskctl rollback --stage prod --to 41
  taskctl rollback --stage prod --without-lock";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Release to go back to [default: the previous one]; `taskctl releases` lists those kept
    #[arg(long, value_name = "RELEASE", add = ArgValueCandidates::new(complete::releases))]
    to: Option<u64>,
    /// Take the lock from a hanging command, which then starts no further call
    #[arg(long)]
    preempt: bool,
    /// Move live although the control bucket, which holds the lock, cannot be reached
    #[arg(long, conflicts_with = "preempt")]
    without_lock: bool,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    let (to, preempt) = (args.to, args.preempt);
    let locking = match args.without_lock {
        true => Locking::Unlocked,
        false => Locking::Locked,
    };
    session::run(invocation, Purpose::Change, Details::Changes, async |session| {
        let options = RolloutOptions {
            rollout: Rollout::at_once(),
            metering: session.target.metering(),
            hooks: Hooks::default(),
            keep: KEEP,
            check_events: CheckEvents::new(),
        };
        if preempt {
            transition::preempt(&session).await?;
        }
        transition::run(
            &session,
            "rollback",
            Wanted::Rollback { to },
            options,
            PromotionGate::none(),
            locking,
        )
        .await
    })
}
