//! Calls of EventBridge Scheduler.
//! <https://docs.aws.amazon.com/scheduler/latest/APIReference/Welcome.html>

use ::http::request::Parts;
use ::http::{Method, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::delivery::assumes;
use super::expression::Expression;
use super::{DEFAULT_GROUP, Group, Schedule, Schedules, State, group_arn, invalid, missing};
use crate::protocol::classify::{Call, query_parameter, query_parameters};
use crate::protocol::emulator_client::Caller;
use crate::protocol::http::Body;
use crate::services::reply::{Style, read, respond};
use crate::services::{Fault, Reply, Services, now_ms, now_seconds, page};

/// Largest page of a list.
const PAGE: usize = 100;
/// Members of a schedule that are kept as they are given.
const MEMBERS: [&str; 10] = [
    "ActionAfterCompletion",
    "Description",
    "EndDate",
    "FlexibleTimeWindow",
    "KmsKeyArn",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "StartDate",
    "State",
    "Target",
];

impl Services {
    pub(in crate::services) async fn call_scheduler(&self, call: &Call, parts: &Parts, body: Body) -> Response<Body> {
        let result = match read(body, "CreateSchedule").await {
            Ok(body) => self.answer_scheduler(call, parts, &body).await,
            Err(fault) => Err(fault),
        };
        respond(result, Style::Scheduler)
    }

    async fn answer_scheduler(&self, call: &Call, parts: &Parts, body: &[u8]) -> Result<Reply, Fault> {
        let caller = Caller::of(call);
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let query = parts.uri.query().unwrap_or_default();
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let of_query = |name: &str| query_parameter(query, name);
        let group = of_query("groupName").unwrap_or_else(|| DEFAULT_GROUP.to_owned());
        let schedules = &self.schedules;
        match (&parts.method, segments.as_slice()) {
            (&Method::GET, ["schedules"]) => schedules.list(&caller, query),
            (&Method::GET, ["schedules", name]) => schedules.get(&caller, &group, name),
            (&Method::DELETE, ["schedules", name]) => schedules.delete(&caller, &group, name),
            (&Method::POST, ["schedules", name]) => {
                let settings = self.checked_settings(&caller, &input).await?;
                schedules.create(&caller, name, &input, settings)
            }
            (&Method::PUT, ["schedules", name]) => {
                let settings = self.checked_settings(&caller, &input).await?;
                schedules.update(&caller, name, &input, settings)
            }
            (&Method::GET, ["schedule-groups"]) => schedules.list_groups(&caller, query),
            (&Method::GET, ["schedule-groups", name]) => schedules.get_group(&caller, name),
            (&Method::POST, ["schedule-groups", name]) => schedules.create_group(&caller, name, &input),
            (&Method::DELETE, ["schedule-groups", name]) => schedules.delete_group(&caller, name),
            (&Method::GET, ["tags", arn @ ..]) => {
                let tags = schedules.tags(&arn.join("/"), |_| ())?;
                let tags: Vec<Value> = tags
                    .iter()
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                Ok(Reply::json(200, &json!({"Tags": tags})))
            }
            (&Method::POST, ["tags", arn @ ..]) => {
                let given = tags_of(&input);
                schedules.tags(&arn.join("/"), |tags| tags.extend(given))?;
                Ok(Reply::json(200, &json!({})))
            }
            (&Method::DELETE, ["tags", arn @ ..]) => {
                let keys = query_parameters(query, "TagKeys");
                schedules.tags(&arn.join("/"), |tags| tags.retain(|key, _| !keys.contains(key)))?;
                Ok(Reply::json(200, &json!({})))
            }
            (method, _) => Err(invalid(format!("{method} {path} is not served by the local target"))),
        }
    }

    /// The settings of a schedule, with the service's defaults. Its role must let the service take it on.
    async fn checked_settings(&self, caller: &Caller, input: &Value) -> Result<Map<String, Value>, Fault> {
        let settings = settings(input)?;
        let role = settings["Target"]["RoleArn"].as_str().unwrap_or_default();
        let group = input["GroupName"].as_str().unwrap_or(DEFAULT_GROUP);
        let source = group_arn(&caller.account, &caller.region, group);
        match assumes(&self.emulator, caller, role, &source).await {
            true => Ok(settings),
            false => Err(invalid(
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
            )),
        }
    }
}

impl Schedules {
    fn create(&self, caller: &Caller, name: &str, input: &Value, settings: Map<String, Value>) -> Result<Reply, Fault> {
        check_name(name)?;
        let group = input["GroupName"].as_str().unwrap_or(DEFAULT_GROUP);
        let token = input["ClientToken"].as_str();
        let now = now_seconds();
        let schedule = Schedule {
            account: caller.account.clone(),
            region: caller.region.clone(),
            group: group.to_owned(),
            name: name.to_owned(),
            settings,
            created: now,
            modified: now,
            since: now,
            token: token.map(str::to_owned),
            fired: None,
            asked: false,
        };
        let arn = schedule.arn();
        self.change(|state| {
            check_group(state, caller, group)?;
            match state.schedules.iter().find(|one| one.arn() == arn) {
                // The same call again.
                Some(found) if found.token.is_some() && found.token == schedule.token => {}
                Some(_) => return Err(conflict(format!("Schedule {name} already exists."))),
                None => state.schedules.push(schedule),
            }
            Ok(())
        })?;
        Ok(Reply::json(200, &json!({"ScheduleArn": arn})))
    }

    /// What is not given becomes the default again.
    /// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html>
    fn update(&self, caller: &Caller, name: &str, input: &Value, settings: Map<String, Value>) -> Result<Reply, Fault> {
        let group = input["GroupName"].as_str().unwrap_or(DEFAULT_GROUP);
        let arn = self.change(|state| {
            let found = find(state, caller, group, name)?;
            let differs = |member: &str| found.settings.get(member) != settings.get(member);
            let begins = found.text("State") == "DISABLED" && settings["State"] == "ENABLED";
            let times = ["ScheduleExpression", "ScheduleExpressionTimezone", "StartDate"];
            if begins || times.into_iter().any(differs) {
                found.since = now_seconds();
                found.fired = None;
            }
            found.settings = settings;
            found.modified = now_seconds();
            Ok(found.arn())
        })?;
        Ok(Reply::json(200, &json!({"ScheduleArn": arn})))
    }

    fn get(&self, caller: &Caller, group: &str, name: &str) -> Result<Reply, Fault> {
        let shown = self.read(|state| {
            let mut all = state.schedules.iter();
            let found = all.find(|one| one.is_of(caller) && one.group == group && one.name == name);
            found.map(view).ok_or_else(|| unknown(name))
        })?;
        Ok(Reply::json(200, &shown))
    }

    fn delete(&self, caller: &Caller, group: &str, name: &str) -> Result<Reply, Fault> {
        self.change(|state| {
            let arn = find(state, caller, group, name)?.arn();
            state.schedules.retain(|one| one.arn() != arn);
            Ok(Reply::json(200, &json!({})))
        })
    }

    fn list(&self, caller: &Caller, query: &str) -> Result<Reply, Fault> {
        let (group, state) = (query_parameter(query, "ScheduleGroup"), query_parameter(query, "State"));
        let prefix = query_parameter(query, "NamePrefix").unwrap_or_default();
        let is_wanted = |one: &&Schedule| {
            one.is_of(caller)
                && one.name.starts_with(&prefix)
                && group.as_ref().is_none_or(|group| *group == one.group)
                && state.as_ref().is_none_or(|state| state == one.text("State"))
        };
        let summary = |one: &Schedule| {
            json!({
                "Arn": one.arn(), "CreationDate": one.created, "GroupName": one.group, "LastModificationDate": one.modified,
                "Name": one.name, "State": one.text("State"), "Target": {"Arn": one.target()["Arn"]},
            })
        };
        let all = self.read(|state| state.schedules.iter().filter(is_wanted).map(summary).collect());
        listed("Schedules", all, query)
    }

    fn create_group(&self, caller: &Caller, name: &str, input: &Value) -> Result<Reply, Fault> {
        check_name(name)?;
        let token = input["ClientToken"].as_str().map(str::to_owned);
        let now = now_seconds();
        let group = Group {
            account: caller.account.clone(),
            region: caller.region.clone(),
            name: name.to_owned(),
            tags: tags_of(input).into_iter().collect(),
            created: now,
            modified: now,
            token,
            deleted: None,
        };
        let arn = group.arn();
        self.change(|state| {
            match state.groups.iter().find(|one| one.arn() == arn) {
                Some(found) if found.token.is_some() && found.token == group.token && found.deleted.is_none() => {}
                None if name != DEFAULT_GROUP => state.groups.push(group),
                _ => return Err(conflict(format!("Schedule group {name} already exists."))),
            }
            Ok(())
        })?;
        Ok(Reply::json(200, &json!({"ScheduleGroupArn": arn})))
    }

    fn get_group(&self, caller: &Caller, name: &str) -> Result<Reply, Fault> {
        let mut groups = self.groups(caller).into_iter();
        let found = groups.find(|group| group["Name"] == name);
        let found = found.ok_or_else(|| unknown_group(name))?;
        Ok(Reply::json(200, &found))
    }

    fn list_groups(&self, caller: &Caller, query: &str) -> Result<Reply, Fault> {
        let prefix = query_parameter(query, "NamePrefix").unwrap_or_default();
        let mut all = self.groups(caller);
        all.retain(|group| group["Name"].as_str().is_some_and(|name| name.starts_with(&prefix)));
        listed("ScheduleGroups", all, query)
    }

    /// Takes its time; the schedules of a group go with it.
    /// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_DeleteScheduleGroup.html>
    fn delete_group(&self, caller: &Caller, name: &str) -> Result<Reply, Fault> {
        if name == DEFAULT_GROUP {
            return Err(invalid("The default schedule group cannot be deleted."));
        }
        let arn = group_arn(&caller.account, &caller.region, name);
        let until = now_ms().saturating_add_unsigned(self.settling_ms);
        self.change(|state| {
            let group = state.groups.iter_mut().find(|group| group.arn() == arn);
            let group = group.ok_or_else(|| unknown_group(name))?;
            if group.deleted.is_some() {
                return Err(conflict(format!("Schedule group {name} is being deleted.")));
            }
            group.deleted = Some(until);
            state.schedules.retain(|one| !(one.is_of(caller) && one.group == name));
            Ok(Reply::json(200, &json!({})))
        })
    }

    /// All groups of a caller, the one that is always there among them.
    fn groups(&self, caller: &Caller) -> Vec<Value> {
        let default = json!({
            "Arn": group_arn(&caller.account, &caller.region, DEFAULT_GROUP), "Name": DEFAULT_GROUP, "State": "ACTIVE",
        });
        let is_wanted =
            |group: &&Group| group.account == caller.account && group.region == caller.region && !group.is_gone();
        let shown = |group: &Group| {
            let state = if group.deleted.is_some() { "DELETING" } else { "ACTIVE" };
            json!({
                "Arn": group.arn(), "CreationDate": group.created, "LastModificationDate": group.modified, "Name": group.name,
                "State": state,
            })
        };
        let own: Vec<Value> = self.read(|state| state.groups.iter().filter(is_wanted).map(shown).collect());
        std::iter::once(default).chain(own).collect()
    }
}

/// The members of a call that make a schedule, checked, with the service's defaults.
fn settings(input: &Value) -> Result<Map<String, Value>, Fault> {
    let mut settings = json!({
        "ActionAfterCompletion": "NONE", "ScheduleExpressionTimezone": "UTC", "State": "ENABLED",
    });
    for member in MEMBERS {
        if let Some(value) = input.get(member).filter(|value| !value.is_null()) {
            settings[member] = value.clone();
        }
    }
    let text = |member: &str| settings[member].as_str().unwrap_or_default();
    let expression = text("ScheduleExpression");
    if expression.is_empty() {
        return Err(absent("scheduleExpression"));
    }
    if Expression::parse(expression).is_none() {
        return Err(invalid(format!("Invalid Schedule Expression {expression}.")));
    }
    let zone = text("ScheduleExpressionTimezone");
    if jiff::tz::TimeZone::get(zone).is_err() {
        return Err(invalid(format!("Invalid Schedule Expression Timezone {zone}.")));
    }
    one_of(text("State"), "state", &["ENABLED", "DISABLED"])?;
    one_of(
        text("ActionAfterCompletion"),
        "actionAfterCompletion",
        &["NONE", "DELETE"],
    )?;
    let window = &settings["FlexibleTimeWindow"];
    let mode = window["Mode"].as_str().ok_or_else(|| absent("flexibleTimeWindow"))?;
    one_of(mode, "flexibleTimeWindow.mode", &["OFF", "FLEXIBLE"])?;
    let minutes = window["MaximumWindowInMinutes"].as_i64();
    match (mode, minutes) {
        ("OFF", None) => {}
        ("FLEXIBLE", Some(minutes)) => {
            Fault::in_range(minutes, 1, 1_440, "flexibleTimeWindow.maximumWindowInMinutes")?;
        }
        ("OFF", _) => return Err(invalid("MaximumWindowInMinutes must be empty if Mode is OFF.")),
        _ => return Err(invalid("MaximumWindowInMinutes is required if Mode is FLEXIBLE.")),
    }
    let target = &mut settings["Target"];
    check_target(target)?;
    match settings {
        Value::Object(settings) => Ok(settings),
        _ => Err(absent("scheduleExpression")),
    }
}

/// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html>
fn check_target(target: &mut Value) -> Result<(), Fault> {
    if target.is_null() {
        return Err(absent("target"));
    }
    for (member, name) in [("Arn", "target.arn"), ("RoleArn", "target.roleArn")] {
        match target[member].as_str() {
            None => return Err(absent(name)),
            Some(arn) if !arn.starts_with("arn:") => {
                return Err(invalid(format!("Provided Arn is not in correct format. {arn}")));
            }
            Some(_) => {}
        }
    }
    let dead_letters = target["DeadLetterConfig"]["Arn"].as_str();
    if dead_letters.is_some_and(|arn| !arn.contains(":sqs:") || arn.ends_with(".fifo")) {
        return Err(invalid("Dead-letter queue must be an SQS standard queue."));
    }
    for (member, lowest, highest, default) in [
        ("MaximumEventAgeInSeconds", 60, 86_400, 86_400),
        ("MaximumRetryAttempts", 0, 185, 185),
    ] {
        let given = target["RetryPolicy"][member].as_i64().unwrap_or(default);
        Fault::in_range(given, lowest, highest, &format!("target.retryPolicy.{member}"))?;
        target["RetryPolicy"][member] = given.into();
    }
    Ok(())
}

/// Whether schedules can be put into a group.
fn check_group(state: &State, caller: &Caller, name: &str) -> Result<(), Fault> {
    let arn = group_arn(&caller.account, &caller.region, name);
    match state.groups.iter().find(|group| group.arn() == arn) {
        Some(group) if group.deleted.is_some() => Err(conflict(format!("Schedule group {name} is being deleted."))),
        None if name != DEFAULT_GROUP => Err(unknown_group(name)),
        _ => Ok(()),
    }
}

fn find<'state>(
    state: &'state mut State,
    caller: &Caller,
    group: &str,
    name: &str,
) -> Result<&'state mut Schedule, Fault> {
    let mut all = state.schedules.iter_mut();
    let found = all.find(|one| one.is_of(caller) && one.group == group && one.name == name);
    found.ok_or_else(|| unknown(name))
}

fn view(schedule: &Schedule) -> Value {
    let mut shown = Value::Object(schedule.settings.clone());
    shown["Arn"] = schedule.arn().into();
    shown["CreationDate"] = schedule.created.into();
    shown["GroupName"] = schedule.group.clone().into();
    shown["LastModificationDate"] = schedule.modified.into();
    shown["Name"] = schedule.name.clone().into();
    shown
}

fn listed(member: &str, all: Vec<Value>, query: &str) -> Result<Reply, Fault> {
    let size = match query_parameter(query, "MaxResults") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(size @ 1..=PAGE) => size,
            _ => {
                return Err(Fault::constraint(
                    &text,
                    "maxResults",
                    "Member must have value less than or equal to 100",
                ));
            }
        },
    };
    let token = query_parameter(query, "NextToken");
    let (items, next) = page(all, size, token.as_deref()).map_err(|()| invalid("Invalid NextToken."))?;
    let mut body = json!({member: items});
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    Ok(Reply::json(200, &body))
}

fn tags_of(input: &Value) -> Vec<(String, String)> {
    let tags = input["Tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned())))
        .collect()
}

fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match name.len() <= 64 && name.chars().all(allowed) {
        true => Ok(()),
        false => {
            let rule = "Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+";
            Err(Fault::constraint(name, "name", rule))
        }
    }
}

fn one_of(value: &str, member: &str, known: &[&str]) -> Result<(), Fault> {
    match known.contains(&value) {
        true => Ok(()),
        false => {
            let rule = format!("Member must satisfy enum value set: [{}]", known.join(", "));
            Err(Fault::constraint(value, member, &rule))
        }
    }
}

fn absent(member: &str) -> Fault {
    invalid(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

fn conflict(message: String) -> Fault {
    Fault::new(409, "ConflictException", message)
}

fn unknown(name: &str) -> Fault {
    missing(format!("Schedule {name} does not exist."))
}

fn unknown_group(name: &str) -> Fault {
    missing(format!("Schedule group {name} does not exist."))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn caller() -> Caller {
        Caller {
            account: "000000000000".to_owned(),
            region: "eu-central-1".to_owned(),
        }
    }

    fn input(changes: Value) -> Value {
        let mut input = json!({
            "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}, "GroupName": "g", "ClientToken": "t",
            "Target": {"Arn": "arn:aws:lambda:eu-central-1:000000000000:function:f:live", "RoleArn": "arn:aws:iam::000000000000:role/r"},
        });
        for (member, value) in changes.as_object().unwrap() {
            input[member] = value.clone();
        }
        input
    }

    fn opened(directory: &std::path::Path, settling_ms: u64) -> Schedules {
        Schedules::open(directory.join("schedules.json"), settling_ms).unwrap()
    }

    fn body(reply: Result<Reply, Fault>) -> Value {
        reply.unwrap().body.unwrap()
    }

    #[test]
    fn settings_have_the_defaults_of_the_service() {
        let settings = settings(&input(json!({}))).unwrap();
        assert_eq!(
            settings["Target"]["RetryPolicy"],
            json!({"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185})
        );
        assert_eq!(
            (&settings["State"], &settings["ScheduleExpressionTimezone"]),
            (&json!("ENABLED"), &json!("UTC"))
        );
    }

    #[test]
    fn what_is_refused() {
        for (changes, expected) in [
            (
                json!({"ScheduleExpression": "rate(1 second)"}),
                "Invalid Schedule Expression rate(1 second).",
            ),
            (json!({"ScheduleExpressionTimezone": "Mars"}), "Timezone Mars"),
            (
                json!({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}),
                "MaximumWindowInMinutes",
            ),
            (json!({"State": "ON"}), "enum value set: [ENABLED, DISABLED]"),
            (json!({"Target": null}), "'target'"),
            (
                json!({"Target": {"Arn": "f", "RoleArn": "arn:r"}}),
                "not in correct format",
            ),
        ] {
            let fault = settings(&input(changes)).unwrap_err();
            assert!(fault.message.contains(expected), "{}", fault.message);
        }
    }

    #[test]
    fn schedules_are_in_groups_and_go_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let schedules = opened(directory.path(), 60_000);
        let make = |name: &str, token: &str| {
            let input = input(json!({"ClientToken": token}));
            schedules.create(&caller(), name, &input, settings(&input).unwrap())
        };
        assert_eq!(make("tick", "1").unwrap_err().status, 404);
        let group = json!({"Tags": [{"Key": "app", "Value": "x"}], "ClientToken": "g"});
        body(schedules.create_group(&caller(), "g", &group));
        body(schedules.create_group(&caller(), "g", &group));
        assert_eq!(
            schedules.create_group(&caller(), "g", &json!({})).unwrap_err().status,
            409
        );
        assert_eq!(schedules.tagged(&caller()).len(), 1);
        body(make("tick", "1"));
        body(make("tick", "1"));
        assert_eq!(make("tick", "2").unwrap_err().code, "ConflictException");
        assert_eq!(body(schedules.get(&caller(), "g", "tick"))["GroupName"], "g");
        assert_eq!(
            body(schedules.list(&caller(), "ScheduleGroup=g"))["Schedules"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );

        schedules.delete_group(&caller(), "g").unwrap();
        assert_eq!(body(schedules.get_group(&caller(), "g"))["State"], "DELETING");
        assert_eq!(schedules.get(&caller(), "g", "tick").unwrap_err().status, 404);
        assert_eq!(make("tock", "3").unwrap_err().status, 409);
        assert_eq!(
            schedules.delete_group(&caller(), DEFAULT_GROUP).unwrap_err().status,
            400
        );
    }

    #[test]
    fn an_update_keeps_the_times_unless_it_changes_them() {
        let directory = tempfile::tempdir().unwrap();
        let schedules = opened(directory.path(), 0);
        let input = input(json!({"GroupName": null, "Description": "first"}));
        let (name, given) = ("tick", settings(&input).unwrap());
        body(schedules.create(&caller(), name, &input, given.clone()));
        let fired = |ms: Option<i64>| {
            schedules
                .change(|state| {
                    state.schedules[0].fired = ms;
                    Ok(())
                })
                .unwrap()
        };
        let known = || schedules.read(|state| state.schedules[0].fired);
        fired(Some(5));
        let mut changed = given.clone();
        changed.remove("Description");
        body(schedules.update(&caller(), name, &input, changed.clone()));
        assert_eq!(known(), Some(5));
        assert_eq!(
            body(schedules.get(&caller(), DEFAULT_GROUP, name))["Description"],
            Value::Null
        );
        changed["ScheduleExpression"] = json!("rate(2 hours)");
        body(schedules.update(&caller(), name, &input, changed));
        assert_eq!(known(), None);
    }
}
