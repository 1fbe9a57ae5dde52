//! The lease on a stage, around work that changes it.

use taskctl_stack::engine::Engine;
use taskctl_stack::event::Event;
use taskctl_stack::release::lease::{Holder, Lease};

use crate::failure::Failure;
use crate::session::Session;

/// Who this is: the person or job, the machine, the command.
pub fn holder(command: &str) -> Holder {
    let named = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .unwrap_or_else(|| "unknown".to_owned())
    };
    Holder {
        user: named(&["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"]),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        command: format!("taskctl {command}"),
        pid: std::process::id(),
    }
}

/// Takes the lease on the stage.
pub async fn take(session: &Session, engine: &Engine, holder: Holder) -> Result<Lease, Failure> {
    let nonce = uuid::Uuid::new_v4().to_string();
    Ok(session.unless_stopped(engine.lock(holder, nonce)).await??)
}

/// Gives it back. Failing to is no failure of the work: the lease frees itself.
pub async fn give_back(session: &Session, lease: Lease) {
    if let Err(error) = lease.release().await {
        session.reporter.tell(Event::Warning {
            message: format!("the lease was not given back and frees itself within two minutes: {error}"),
        });
    }
}
