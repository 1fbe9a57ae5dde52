//! Fires schedules on the clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Schedule, Schedules, State};
use crate::ports::{Invoker, MetricSink};
use crate::protocol::emulator_client::EmulatorClient;
use crate::services::now_ms;

/// How long it waits at most: the clock of the machine may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Fires schedules.
pub(crate) struct Clock {
    pub schedules: Arc<Schedules>,
    pub emulator: EmulatorClient,
    pub invoker: Arc<dyn Invoker>,
    pub metrics: Arc<dyn MetricSink>,
}

impl Clock {
    /// Fires due schedules until `stop`. What was due while the local target did not run is not made up for, unless it is due
    /// only once.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let clock = Arc::new(self);
        let schedules = Arc::clone(&clock.schedules);
        schedules.skip_missed();
        let mut changes = schedules.changes.subscribe();
        let mut deliveries = JoinSet::new();
        loop {
            for (schedule, due) in schedules.take_due() {
                let clock = Arc::clone(&clock);
                deliveries.spawn(async move { clock.deliver(&schedule, due).await });
            }
            tokio::select! {
                () = tokio::time::sleep(schedules.until_due()) => {}
                _ = changes.changed() => {}
                Some(_) = deliveries.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

impl Schedules {
    /// Due schedules with when they were, which count as fired from now on. Those that are over are deleted if they should be.
    fn take_due(&self) -> Vec<(Schedule, Timestamp)> {
        let now = Timestamp::now();
        let is_due = |one: &Schedule| one.asked || due(one).is_some_and(|due| due <= now);
        if !self.read(|state| state.schedules.iter().any(is_due)) {
            return Vec::new();
        }
        let taken = self.change(|state| {
            let mut taken = Vec::new();
            for one in &mut state.schedules {
                if let Some(at) = due(one).filter(|at| *at <= now) {
                    one.fired = Some(now.as_millisecond());
                    taken.push((one.clone(), at));
                } else if one.asked {
                    taken.push((one.clone(), now));
                }
                one.asked = false;
            }
            state.schedules.retain(|one| !is_over(one));
            Ok(taken)
        });
        taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "due schedules could not be saved, and are not fired");
            Vec::new()
        })
    }

    fn until_due(&self) -> Duration {
        let next = self.read(|state| state.schedules.iter().filter_map(due).min());
        let wait = next.map(|next| next.duration_since(Timestamp::now()));
        let wait = wait.map(|wait| Duration::try_from(wait).unwrap_or_default());
        wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    fn skip_missed(&self) {
        let skip = |state: &mut State| {
            for one in &mut state.schedules {
                let is_once = one.times().is_some_and(|(_, expression)| expression.is_once());
                if !is_once && due(one).is_some_and(|due| due.as_millisecond() < now_ms()) {
                    one.fired = Some(now_ms());
                }
            }
            Ok(())
        };
        if let Err(error) = self.change(skip) {
            tracing::warn!(%error, "missed schedules could not be saved");
        }
    }
}

/// When a schedule that is enabled is due.
fn due(schedule: &Schedule) -> Option<Timestamp> {
    (schedule.text("State") == "ENABLED").then(|| schedule.due())?
}

/// Whether a schedule is fired never again and is to be deleted then.
fn is_over(schedule: &Schedule) -> bool {
    schedule.text("ActionAfterCompletion") == "DELETE"
        && schedule.text("State") == "ENABLED"
        && schedule.fired.is_some()
        && schedule.due().is_none()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;

    fn put(schedules: &Schedules, name: &str, expression: &str, state: &str, since: f64) {
        let settings = json!({
            "ScheduleExpression": expression, "ScheduleExpressionTimezone": "UTC", "State": state, "ActionAfterCompletion": "DELETE",
        });
        let schedule = Schedule {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
            group: "default".to_owned(),
            name: name.to_owned(),
            settings: settings.as_object().unwrap().clone(),
            created: since,
            modified: since,
            since,
            token: None,
            fired: None,
            asked: false,
        };
        schedules
            .change(|state| {
                state.schedules.push(schedule);
                Ok(())
            })
            .unwrap();
    }

    fn names(taken: &[(Schedule, Timestamp)]) -> Vec<&str> {
        taken.iter().map(|(schedule, _)| schedule.name.as_str()).collect()
    }

    #[test]
    fn each_time_is_fired_once() {
        let directory = tempfile::tempdir().unwrap();
        let schedules = Schedules::open(directory.path().join("schedules.json"), 0).unwrap();
        let now = crate::services::now_seconds();
        put(&schedules, "rate", "rate(1 hour)", "ENABLED", now);
        put(&schedules, "off", "rate(1 hour)", "DISABLED", now);
        put(&schedules, "once", "at(2026-01-01T00:00:00)", "ENABLED", 0.0);
        assert_eq!(names(&schedules.take_due()), ["rate", "once"]);
        assert!(schedules.take_due().is_empty());
        // One that is over and should be deleted is.
        let left = schedules.read(|state| state.schedules.len());
        assert_eq!(left, 2);
        schedules.ask("off").unwrap();
        assert_eq!(names(&schedules.take_due()), ["off"]);
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let directory = tempfile::tempdir().unwrap();
        let schedules = Schedules::open(directory.path().join("schedules.json"), 0).unwrap();
        put(&schedules, "rate", "rate(1 hour)", "ENABLED", 0.0);
        put(&schedules, "once", "at(2026-01-01T00:00:00)", "ENABLED", 0.0);
        schedules.skip_missed();
        assert_eq!(names(&schedules.take_due()), ["once"]);
    }
}
