//! The stop signal of a run.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks running work to stop after the calls in flight.
#[derive(Debug, Clone)]
pub struct Cancel {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Cancel {
    /// Asks to stop.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until a stop is asked for.
    pub async fn cancelled(&self) {
        let mut receiver = self.sender.subscribe();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
