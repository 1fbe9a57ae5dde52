//! When something that runs in the background has its next turn.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When to bring something over next. A turn that took long delays the next one: half of the time stays for others.
pub(super) struct Rhythm {
    interval: Duration,
    began: Instant,
    stop: watch::Receiver<bool>,
}

impl Rhythm {
    pub(super) fn new(interval: Duration, stop: watch::Receiver<bool>) -> Self {
        Self {
            interval,
            began: Instant::now(),
            stop,
        }
    }

    /// Waits for the next turn; false once it is time to stop.
    pub(super) async fn next(&mut self) -> bool {
        let pause = self.began.elapsed().max(self.interval);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.stop.changed() => return false,
        }
        self.began = Instant::now();
        true
    }
}
