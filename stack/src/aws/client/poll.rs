//! Polling until something is ready.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::on_behalf::on_whose_behalf;
use crate::aws::client::op::op;
use crate::event::Event;

/// First interval of a lone poller; several pollers take a multiple, to share the quota.
const ALONE: Duration = Duration::from_millis(100);
/// Longest first interval.
const OFTEN: Duration = Duration::from_millis(250);
/// How long the first interval lasts.
const OFTEN_FOR: Duration = Duration::from_secs(5);
/// Longest interval later.
const SELDOM: Duration = Duration::from_secs(2);

impl Context {
    /// Asks until there is an answer: often at first, since most things take a few seconds, every 2 s later. `reason` says
    /// what for, as in `waited 60 s for the table`.
    pub async fn poll<T, F>(&self, reason: &str, limit: Duration, ask: impl Fn() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<Option<T>, AwsError>>,
    {
        let began = Instant::now();
        let mut announced = false;
        let mut delay = OFTEN;
        let polling = Polling::begin(self.polling());
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if began.elapsed() > limit {
                return Err(AwsError::own(
                    "taskctl",
                    "wait",
                    ErrorKind::Busy,
                    format!("waited {} s for the {reason}", limit.as_secs()),
                ));
            }
            if !announced {
                announced = true;
                if let Some(id) = on_whose_behalf() {
                    self.emit(Event::Waiting {
                        id,
                        reason: reason.to_owned(),
                    });
                }
            }
            if began.elapsed() > OFTEN_FOR {
                delay = delay.mul_f64(1.3).min(SELDOM);
            } else {
                delay = (ALONE * polling.count()).min(OFTEN);
            }
            self.pause(op("taskctl", "wait"), delay).await?;
        }
    }
}

/// One of several pollers, counted as long as it lives.
pub(super) struct Polling<'a>(&'a AtomicU32);

impl<'a> Polling<'a> {
    pub(super) fn begin(all: &'a AtomicU32) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
