//! EventBridge Scheduler: schedules and their groups are kept here, fired by [`clock`].
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html>

mod actions;
mod calls;
pub(crate) mod clock;
mod delivery;
mod expression;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::expression::Expression;
use super::{Fault, now_ms};
use crate::error::LocalError;
use crate::files;
use crate::protocol::emulator_client::Caller;

/// The group of schedules that name none.
const DEFAULT_GROUP: &str = "default";

/// All schedules.
pub(crate) struct Schedules {
    file: PathBuf,
    /// How long a group is being deleted.
    settling_ms: u64,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

/// The state on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    schedules: Vec<Schedule>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Schedule {
    account: String,
    region: String,
    group: String,
    name: String,
    /// The members of `CreateSchedule` that are not named here, with their defaults.
    settings: Map<String, Value>,
    /// Seconds since the epoch.
    created: f64,
    modified: f64,
    /// Since when its times count, seconds since the epoch.
    since: f64,
    /// The token of the call that made it: the same call again succeeds.
    token: Option<String>,
    /// When it was fired last, milliseconds since the epoch.
    fired: Option<i64>,
    /// Operators want it fired now.
    #[serde(default)]
    asked: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Group {
    account: String,
    region: String,
    name: String,
    tags: BTreeMap<String, String>,
    created: f64,
    modified: f64,
    token: Option<String>,
    /// When its deletion is over, milliseconds since the epoch.
    deleted: Option<i64>,
}

impl Group {
    fn arn(&self) -> String {
        group_arn(&self.account, &self.region, &self.name)
    }

    fn is_gone(&self) -> bool {
        self.deleted.is_some_and(|until| now_ms() >= until)
    }
}

impl Schedule {
    fn arn(&self) -> String {
        let Self {
            account,
            region,
            group,
            name,
            ..
        } = self;
        format!("arn:aws:scheduler:{region}:{account}:schedule/{group}/{name}")
    }

    fn is_of(&self, caller: &Caller) -> bool {
        self.account == caller.account && self.region == caller.region
    }

    fn text(&self, member: &str) -> &str {
        self.settings.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    fn target(&self) -> &Value {
        self.settings.get("Target").unwrap_or(&Value::Null)
    }

    /// Its time zone and expression.
    fn times(&self) -> Option<(TimeZone, Expression)> {
        let zone = TimeZone::get(self.text("ScheduleExpressionTimezone")).ok()?;
        Some((zone, Expression::parse(self.text("ScheduleExpression"))?))
    }

    /// When it is due after it was fired last, or since its times count.
    fn due(&self) -> Option<Timestamp> {
        let (zone, expression) = self.times()?;
        let moment = |member: &str| {
            let seconds = self.settings.get(member)?.as_f64()?;
            Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()
        };
        let made = Timestamp::from_millisecond((self.since * 1000.0) as i64).ok()?;
        let start = moment("StartDate").filter(|_| !expression.is_once());
        let anchor = start.unwrap_or(made);
        let fired = self.fired.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let just_before = anchor.checked_sub(jiff::SignedDuration::from_millis(1)).ok()?;
        if fired.is_some() && expression.is_once() {
            return None;
        }
        let due = expression.next(&zone, anchor, fired.unwrap_or(just_before).max(just_before))?;
        let end = moment("EndDate").filter(|_| !expression.is_once());
        end.is_none_or(|end| due <= end).then_some(due)
    }
}

impl Schedules {
    /// Reads the state on disk. A group takes so many milliseconds to be deleted.
    pub(crate) fn open(file: PathBuf, settling_ms: u64) -> Result<Self, LocalError> {
        let state = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            settling_ms,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
        })
    }

    /// ARN and tags of every group of an account and region: schedules have none.
    pub(crate) fn tagged(&self, caller: &Caller) -> Vec<(String, BTreeMap<String, String>)> {
        let state = self.state.lock();
        let of_caller = |group: &&Group| group.account == caller.account && group.region == caller.region;
        let groups = state.groups.iter().filter(of_caller).filter(|group| !group.is_gone());
        groups.map(|group| (group.arn(), group.tags.clone())).collect()
    }

    /// Changes the tags of a group, named by ARN, and returns them.
    pub(crate) fn tags(
        &self,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<BTreeMap<String, String>, Fault> {
        self.change(|state| {
            let mut groups = state.groups.iter_mut().filter(|group| !group.is_gone());
            let group = groups.find(|group| group.arn() == arn);
            let group = group.ok_or_else(|| missing(format!("Resource {arn} does not exist.")))?;
            change(&mut group.tags);
            if group.tags.len() > 50 {
                return Err(invalid("A schedule group has at most 50 tags."));
            }
            Ok(group.tags.clone())
        })
    }

    /// Has a schedule fired now: one of this name, or else the only one whose name ends with it. Returns its ARN.
    pub(crate) fn ask(&self, name: &str) -> Result<String, Fault> {
        self.change(|state| {
            let ends = format!("-{name}");
            let exact = |schedule: &&mut Schedule| schedule.name == name;
            let found: Vec<&mut Schedule> = match state.schedules.iter().any(|one| one.name == name) {
                true => state.schedules.iter_mut().filter(exact).collect(),
                false => {
                    let all = state.schedules.iter_mut();
                    all.filter(|one| one.name.ends_with(&ends)).collect()
                }
            };
            let names: Vec<String> = found.iter().map(|one| format!("{}/{}", one.group, one.name)).collect();
            match found.into_iter().collect::<Vec<_>>().as_mut_slice() {
                [] => Err(missing(format!("no schedule is named {name}"))),
                [one] => {
                    one.asked = true;
                    Ok(one.arn())
                }
                _ => Err(Fault::new(
                    409,
                    "ConflictException",
                    format!("several schedules are named so: {}", names.join(", ")),
                )),
            }
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    /// Changes the state: on disk, then visible. Nothing changes when `change` or the disk refuses.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        next.groups.retain(|group| !group.is_gone());
        let result = change(&mut next)?;
        files::write_json(&self.file, &next)?;
        *state = next;
        self.changes.send_modify(|count| *count += 1);
        Ok(result)
    }
}

fn group_arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{region}:{account}:schedule-group/{name}")
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", message)
}

fn missing(message: impl Into<String>) -> Fault {
    Fault::new(404, "ResourceNotFoundException", message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;

    fn schedule(name: &str, settings: Value) -> Schedule {
        let mut all = json!({"ScheduleExpressionTimezone": "UTC", "ScheduleExpression": "rate(1 hour)"});
        all.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        Schedule {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
            group: "app-dev".to_owned(),
            name: name.to_owned(),
            settings: all.as_object().unwrap().clone(),
            created: 1_000.0,
            modified: 1_000.0,
            since: 1_000.0,
            token: None,
            fired: None,
            asked: false,
        }
    }

    fn seconds(schedule: &Schedule) -> Option<i64> {
        schedule.due().map(Timestamp::as_second)
    }

    #[test]
    fn due_is_what_was_not_fired() {
        let mut rate = schedule("a", json!({}));
        assert_eq!(seconds(&rate), Some(1_000));
        rate.fired = Some(1_000_000);
        assert_eq!(seconds(&rate), Some(4_600));
        assert_eq!(seconds(&schedule("a", json!({"StartDate": 2_000}))), Some(2_000));
        assert_eq!(seconds(&schedule("a", json!({"EndDate": 999}))), None);
        let mut once = schedule("a", json!({"ScheduleExpression": "at(1970-01-01T00:20:00)"}));
        assert_eq!(seconds(&once), Some(1_200));
        once.fired = Some(1_200_000);
        assert_eq!(seconds(&once), None);
    }

    #[test]
    fn a_schedule_is_fired_by_its_name_or_the_end_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let schedules = Schedules::open(directory.path().join("schedules.json"), 0).unwrap();
        schedules
            .change(|state| {
                state.schedules = ["app-dev-tick", "app-dev-tock", "app-prod-tock", "tock"]
                    .map(|name| schedule(name, json!({})))
                    .into();
                Ok(())
            })
            .unwrap();
        let asked = |name: &str| schedules.ask(name).map_err(|fault| fault.status);
        assert_eq!(
            asked("tick"),
            Ok("arn:aws:scheduler:eu-central-1:000000000000:schedule/app-dev/app-dev-tick".to_owned())
        );
        assert_eq!(asked("none"), Err(404));
        assert!(asked("tock").is_ok());
        assert!(schedules.read(|state| state.schedules[0].asked));
        schedules
            .change(|state| {
                state.schedules.pop();
                Ok(())
            })
            .unwrap();
        assert_eq!(asked("tock"), Err(409));
    }
}
