//! The lease on a stage, around work that changes it.

use taskctl_stack::aws::release::lease::{Holder, Lease};
use taskctl_stack::engine::Engine;
use taskctl_stack::event::Event;

use crate::failure::Failure;
use crate::session::Session;

/// Who this is: the person or job, the machine, the command.
pub fn holder(session: &Session, command: &str) -> Holder {
    Holder {
        user: session.env.user.clone(),
        host: session.env.host.clone(),
        command: format!("taskctl {command}"),
        pid: std::process::id(),
        process: session.machine().this_process(),
        // The engine knows it.
        principal: None,
    }
}

/// Takes the lease on the stage.
pub async fn take(session: &Session, engine: &Engine, holder: Holder) -> Result<Lease, Failure> {
    let nonce = uuid::Uuid::new_v4().to_string();
    Ok(session
        .unless_stopped(engine.lock(holder, nonce, &session.machine()))
        .await??)
}

/// Gives it back. Failing to is no failure of the work: the lease frees itself.
pub async fn give_back(session: &Session, lease: Lease) {
    if let Err(error) = lease.release().await {
        session.reporter.emit(Event::Warning {
            message: format!("the lease could not be released; it expires within two minutes: {error}"),
        });
    }
}
