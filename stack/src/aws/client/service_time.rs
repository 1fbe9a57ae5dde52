//! The time as AWS has it, by the `Date` of its last answer. An operator's clock may be minutes off, and metrics carry AWS's.

use std::sync::Arc;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The time of the services. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ServiceTime(Arc<Mutex<Option<(Timestamp, Instant)>>>);

impl ServiceTime {
    /// What time it is there; none before the first answer.
    pub fn now(&self) -> Option<Timestamp> {
        let (at, since) = (*self.0.lock())?;
        SignedDuration::try_from(since.elapsed())
            .ok()
            .and_then(|since| at.checked_add(since).ok())
    }

    /// Takes the `Date` of an answer that arrived just now.
    pub(super) fn learn(&self, date: &str) {
        let seconds = DateTime::from_str(date, Format::HttpDate).map(|date| date.secs());
        if let Some(at) = seconds.ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            *self.0.lock() = Some((at, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_between_answers() {
        let time = ServiceTime::default();
        assert_eq!(time.now(), None);
        time.learn("Thu, 01 Jan 2026 00:00:30 GMT");
        tokio::time::advance(Duration::from_secs(90)).await;
        let now = |time: &ServiceTime| time.now().map(Timestamp::as_second);
        assert_eq!(now(&time), Some(1_767_225_720));
        time.learn("not a date");
        assert_eq!(now(&time), Some(1_767_225_720));
        time.learn("Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(now(&time), Some(1_767_225_600));
    }
}
