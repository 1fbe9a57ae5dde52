//! `taskctl unlock`: who holds the stage, and taking it away from a dead holder.

use taskctl_stack::aws::release::lease::Force;

use crate::answers::Unlocked;
use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::plan::Details;
use crate::report::{Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::ui::text::plain;

const EXAMPLES: &str = "\
Examples:
  taskctl unlock --stage prod
  taskctl unlock --stage prod --force";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Break the lock even if its holder is alive, which then starts no further call
    #[arg(long)]
    force: bool,
}

pub fn run(invocation: &Invocation, args: &Args) -> Exit {
    let force = if args.force { Force::Any } else { Force::Expired };
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        unlock(&session, force).await
    })
}

async fn unlock(session: &Session, force: Force) -> Result<Exit, Failure> {
    let stack_ref = session.stack_ref()?;
    let engine = session.connect_quietly(&stack_ref).await?;
    let taken = session
        .unless_stopped(engine.unlock(force, &session.machine()))
        .await??;
    if taken.is_none() {
        session.unless_stopped(engine.require_deployed()).await??;
    }
    if session.global.output == Output::Json {
        let answer = Unlocked { taken_from: taken };
        session
            .reporter
            .answer(json_answer("the answer", &answer, Lines::Many)?);
        return Ok(Exit::Ok);
    }
    let text = match taken {
        None => "the stage is not locked\n".to_owned(),
        Some(record) => format!(
            "lock of {}{} on {} broken (`{}`, process {}, since {})\n",
            plain(&record.holder.user),
            record
                .holder
                .session()
                .map(|session| format!(" ({})", plain(session)))
                .unwrap_or_default(),
            plain(&record.holder.host),
            plain(&record.holder.command),
            record.holder.pid,
            record.since
        ),
    };
    session.reporter.answer(text);
    Ok(Exit::Ok)
}
