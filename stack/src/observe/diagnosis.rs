//! What people on call really meet, found in logs, metrics and settings: each with its fix.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use super::alarms;
use super::logs::{CloudWatchLogs, Group, LogEvent, LogSource, Window, stream};
use super::metrics::{self, FunctionMetrics, Measures, Series};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, found};
use crate::aws::kinds::{iam, sns};
use crate::aws::policy::document::Document;
use crate::aws::policy::evaluation::{allowed_on, allows};
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::aws::release::control_bucket::ControlBucket;
use crate::aws::release::sight::Sight;
use crate::aws::release::{drift, ledger};
use crate::release::grants::{Grants, Proof, prove};
use crate::resource::ResourceId;

/// Something that is wrong, or was lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symptom {
    /// Kind: `missing`, `grants`, `denied`, `library`, `crash`, `timeout`, `failing`, `throttled`, `cold-starts`, `unconfirmed`,
    /// `logs`.
    pub kind: &'static str,
    /// What was seen.
    pub found: String,
    /// How often it was seen in the last hour, and when last; none of what is so now.
    pub seen: Option<Seen>,
    /// What to do.
    pub fix: String,
    /// Whether requests fail of it.
    pub hurts: bool,
}

/// What was seen in logs or metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
    /// Why it counts as repaired.
    pub repaired: Option<Repaired>,
}

/// Why something that was seen counts as repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// The stage changed since, and it was not seen again.
    Changed(Timestamp),
    /// The roles allow it now.
    Allowed,
}

impl Symptom {
    /// Whether it is wrong now.
    pub fn is_wrong(&self) -> bool {
        self.hurts && self.seen.as_ref().is_none_or(|seen| seen.repaired.is_none())
    }
}

/// What a line of a log says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    kind: &'static str,
    function: String,
    found: String,
    fix: String,
    /// A call that was denied.
    denied: Option<Denied>,
}

/// A call that was denied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Denied {
    action: String,
    /// The resource; not every handler logs it.
    resource: Option<String>,
}

impl Denied {
    /// Whether documents allow it; where the resource is not known, on any resource.
    fn is_allowed_by(&self, documents: &[&Document]) -> bool {
        match &self.resource {
            Some(resource) => allows(documents, &self.action, resource),
            None => !allowed_on(documents, &self.action, "arn:aws:any:::any").is_empty(),
        }
    }
}

/// How far back it looks.
pub const BACK: Duration = Duration::from_secs(3_600);
/// Lines that say why something fails.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
const PATTERN: &str = r#"?"not authorized to perform" ?GLIBC_ ?"Runtime.ExitError" ?"Runtime.InvalidEntrypoint" ?"Task timed out" ?"\"status\":\"timeout\"""#;
/// Errors without a known cause that are older have passed.
const RECENT_SECONDS: i64 = 900;
/// A share of cold starts that users notice.
const COLD: f64 = 0.05;
/// Fewer requests say nothing about cold starts.
const ENOUGH: f64 = 50.0;
/// What to do about something that was deployed and was changed by others.
const RESTORE: &str = "`taskctl plan` shows what is not as it was deployed, `taskctl deploy` restores it";

/// Looks for what is wrong with a stage.
pub async fn examine(context: &Context, control: &ControlBucket) -> Result<Vec<Symptom>, AwsError> {
    let now = context.aws_now();
    let logs = CloudWatchLogs::new(context.clone());
    let of_logs = async {
        let groups = logs.groups().await?;
        let window = Window {
            from: now.as_millisecond() - i64::try_from(BACK.as_millis()).unwrap_or(0),
            to: None,
            pattern: Some(PATTERN.to_owned()),
        };
        causes_in(&logs, &groups, &window).await
    };
    let window = metrics::Window::of(BACK, now);
    let of_metrics = metrics::read(context, &window, None);
    let ((causes, is_whole), metrics, mails, deployed) = futures::try_join!(
        of_logs,
        of_metrics,
        unconfirmed(context),
        Deployed::read(context, control)
    )?;
    let allowed = deployed.allowed_now(context, causes.keys()).await?;
    let mut symptoms = deployed.symptoms();
    let explained: BTreeSet<String> = causes.keys().map(|cause| cause.function.clone()).collect();
    symptoms.extend(
        causes
            .into_iter()
            .map(|(cause, (count, last))| deployed.symptom(cause, count, last, &allowed)),
    );
    for function in metrics.iter().flat_map(|metrics| &metrics.functions) {
        symptoms.extend(in_metrics(function));
        if !explained.contains(&function.name) {
            symptoms.extend(failing(function, &window, deployed.changed, now));
        }
    }
    symptoms.extend(mails);
    if !is_whole {
        symptoms.push(Symptom {
            kind: "logs",
            found: "only the oldest part of the last hour's log lines was looked through: there are too many"
                .to_owned(),
            seen: None,
            fix: "`taskctl logs errors` groups the errors of any time".to_owned(),
            hurts: false,
        });
    }
    symptoms
        .sort_by(|a, b| (!a.is_wrong(), !a.hurts, a.kind, &a.found).cmp(&(!b.is_wrong(), !b.hurts, b.kind, &b.found)));
    Ok(symptoms)
}

/// What was deployed, as the ledger says, beside what there is now.
struct Deployed {
    /// Resources that are gone.
    missing: BTreeSet<ResourceId>,
    /// What roles lack of the live release's grants.
    lacking: Grants,
    /// The live release's grants.
    grants: Grants,
    /// When taskctl last changed the stage.
    changed: Option<Timestamp>,
}

impl Deployed {
    async fn read(context: &Context, control: &ControlBucket) -> Result<Self, AwsError> {
        let reader = Reader::new(context.clone());
        let live = async {
            let sight = Sight::read_with(&reader).await?;
            let live = sight.as_ref().and_then(|sight| sight.label(sight.facts.live.as_ref()));
            let Some(live) = live else {
                return Ok((Grants::new(), Grants::new()));
            };
            let record = ledger::of_release(context, control, live.number).await?;
            // What a record says is believed only as far as the release's label on AWS proves it.
            let grants = record
                .map(|record| record.grants)
                .filter(|grants| prove(live, grants) != Proof::Differs);
            let grants = grants.unwrap_or_default();
            let lacking = drift::lacking(context, &reader, live.number, &grants).await?;
            Ok::<_, AwsError>((grants, lacking))
        };
        let (missing, (grants, lacking), inventory, latest) = futures::try_join!(
            drift::missing(context, control, &reader),
            live,
            ledger::inventory(context, control),
            ledger::latest(context, control)
        )?;
        let completed = inventory.and_then(|inventory| inventory.completed);
        let changes = [completed, latest.released, latest.moved_at];
        Ok(Self {
            missing,
            lacking,
            grants,
            changed: changes.into_iter().flatten().max(),
        })
    }

    /// What is not as it was deployed.
    fn symptoms(&self) -> Vec<Symptom> {
        let symptom = |kind, found| Symptom {
            kind,
            found,
            seen: None,
            fix: RESTORE.to_owned(),
            hurts: true,
        };
        let missing = self
            .missing
            .iter()
            .map(|id| symptom("missing", format!("{id} was deployed and does not exist any more")));
        let lacking = self.lacking.iter().map(|(function, document)| {
            let actions: BTreeSet<&str> = document
                .statements()
                .values()
                .flat_map(|statement| &statement.actions)
                .map(String::as_str)
                .collect();
            let actions: Vec<&str> = actions.into_iter().collect();
            symptom(
                "grants",
                format!(
                    "the role of function {function} lost what it was deployed with: {}",
                    actions.join(", ")
                ),
            )
        });
        missing.chain(lacking).collect()
    }

    /// Which of the denied calls the functions' roles allow now.
    async fn allowed_now(
        &self,
        context: &Context,
        causes: impl Iterator<Item = &Cause>,
    ) -> Result<BTreeSet<Cause>, AwsError> {
        let denied: Vec<&Cause> = causes.filter(|cause| cause.denied.is_some()).collect();
        if denied.is_empty() {
            return Ok(BTreeSet::new());
        }
        let reader = Reader::new(context.clone());
        let roles = registry().kind(iam::role::KIND).enumerate(&reader).await?;
        let mut policies: BTreeMap<String, Vec<Document>> = BTreeMap::new();
        for mut role in roles {
            let Some(name) = role.outputs.remove("name") else {
                continue;
            };
            if denied.iter().any(|cause| cause.function == role.id.name) {
                let read = iam::role::all_policies(context, &name).await?;
                policies.insert(
                    role.id.name,
                    read.into_iter().flat_map(|read| read.inline.into_values()).collect(),
                );
            }
        }
        let is_allowed = |cause: &&Cause| {
            let documents: Vec<&Document> = policies.get(&cause.function).into_iter().flatten().collect();
            cause
                .denied
                .as_ref()
                .is_some_and(|denied| denied.is_allowed_by(&documents))
        };
        Ok(denied.into_iter().filter(is_allowed).cloned().collect())
    }

    fn symptom(&self, cause: Cause, count: u64, last: Timestamp, allowed: &BTreeSet<Cause>) -> Symptom {
        let repaired = match allowed.contains(&cause) {
            true => Some(Repaired::Allowed),
            false => self.changed.filter(|changed| last < *changed).map(Repaired::Changed),
        };
        let was_granted = |denied: &Denied| {
            let granted = self.grants.get(&cause.function);
            granted.is_some_and(|granted| denied.is_allowed_by(&[granted]))
        };
        let fix = match cause.denied.as_ref().is_some_and(was_granted) {
            true => format!("the template grants it: {RESTORE}"),
            false => cause.fix,
        };
        Symptom {
            kind: cause.kind,
            found: cause.found,
            seen: Some(Seen { count, last, repaired }),
            fix,
            hurts: true,
        }
    }
}

async fn unconfirmed(context: &Context) -> Result<Vec<Symptom>, AwsError> {
    let own = context.identity().arn("sns", "");
    let mut topics: Vec<String> = alarms::read(context, None)
        .await?
        .into_iter()
        .flat_map(|alarm| alarm.notifies)
        // Those of other regions and accounts cannot be asked from here.
        .filter(|arn| arn.starts_with(&own))
        .collect();
    topics.sort();
    topics.dedup();
    let mut symptoms = Vec::new();
    for topic in topics {
        // An alarm may name a topic that is gone.
        for email in found(sns::topic::unconfirmed(context, &topic).await)?.unwrap_or_default() {
            symptoms.push(Symptom {
                kind: "unconfirmed",
                found: format!("{email} gets no alarms: the subscription was never confirmed"),
                seen: None,
                fix: format!(
                    "open the mail `AWS Notification - Subscription Confirmation` and follow its link; to have it sent again: `aws sns \
                     subscribe --topic-arn {topic} --protocol email --notification-endpoint {email}`"
                ),
                hurts: false,
            });
        }
    }
    Ok(symptoms)
}

/// What lines say: by function and cause, with how often and when last.
type Causes = BTreeMap<Cause, (u64, Timestamp)>;

/// Most lines that are looked through.
const LINES: usize = 20_000;
/// How long that may take: CloudWatch searches a large group for minutes.
const LOOKED_FOR: Duration = Duration::from_secs(20);

/// What the lines of groups say, and whether all of them were looked through.
async fn causes_in(source: &dyn LogSource, groups: &[Group], window: &Window) -> Result<(Causes, bool), AwsError> {
    let mut causes = Causes::new();
    let mut lines = 0;
    let until = Instant::now() + LOOKED_FOR;
    let mut pages = Box::pin(stream(source, groups, window));
    while lines < LINES {
        match tokio::time::timeout_at(until, pages.try_next()).await {
            Ok(page) => match page? {
                Some(events) => {
                    lines += events.len();
                    count(&mut causes, &events);
                }
                None => return Ok((causes, true)),
            },
            Err(_) => break,
        }
    }
    Ok((causes, false))
}

fn count(causes: &mut Causes, events: &[LogEvent]) {
    for event in events {
        let at = Timestamp::from_millisecond(event.timestamp).unwrap_or(Timestamp::UNIX_EPOCH);
        if let Some(cause) = of_line(&event.source, &event.message) {
            let (count, last) = causes.entry(cause).or_insert((0, at));
            *count += 1;
            *last = at.max(*last);
        }
    }
}

fn of_line(function: &str, message: &str) -> Option<Cause> {
    let cause = |kind, found: String, fix: String| Cause {
        kind,
        function: function.to_owned(),
        found,
        fix,
        denied: None,
    };
    if let Some((_, after)) = message.split_once("not authorized to perform") {
        let word = |text: &str| {
            let text = text.trim_start_matches(|one: char| one == ':' || one.is_whitespace());
            let end = text
                .find(|one: char| one.is_whitespace() || "\"\\,".contains(one))
                .unwrap_or(text.len());
            text[..end].to_owned()
        };
        let action = word(after);
        let resource = after.split_once("on resource").map(|(_, resource)| word(resource));
        let on = resource
            .as_ref()
            .map(|resource| format!(" on {resource}"))
            .unwrap_or_default();
        return Some(Cause {
            denied: Some(Denied {
                action: action.clone(),
                resource,
            }),
            ..cause(
                "denied",
                format!("function {function} may not {action}{on}"),
                format!("add the access to `functions.{function}.grants` in the template and deploy"),
            )
        });
    }
    if let Some((_, after)) = message.split_once("GLIBC_") {
        let version: String = after
            .chars()
            .take_while(|one| one.is_ascii_digit() || *one == '.')
            .collect();
        return Some(cause(
            "library",
            format!("function {function} needs GLIBC {version}; Lambda's Amazon Linux 2023 has 2.34"),
            "build with taskctl (it links what Lambda has), or for a `-musl` target".to_owned(),
        ));
    }
    if message.contains("Runtime.ExitError") || message.contains("Runtime.InvalidEntrypoint") {
        return Some(cause(
            "crash",
            format!("function {function} exits while it handles a request or before"),
            format!("`taskctl logs {function} --format raw --since 1h`: the lines before the exit say why"),
        ));
    }
    if message.contains("Task timed out") || message.contains("\"status\":\"timeout\"") {
        return Some(cause(
            "timeout",
            format!("function {function} runs into its timeout"),
            format!(
                "`taskctl logs --query slowest {function}` shows which requests; raise `timeout` or `memory` (which is also its share of a processor)"
            ),
        ));
    }
    None
}

/// Failed requests that no line explains. A period that has both a failure and a repair counts as before: the next one tells.
fn failing(
    function: &FunctionMetrics,
    window: &metrics::Window,
    changed: Option<Timestamp>,
    now: Timestamp,
) -> Option<Symptom> {
    let of_versions = function
        .versions
        .iter()
        .filter_map(|version| version.measures.get("5xx"));
    let series: Vec<&Series> = function.all.get("errors").into_iter().chain(of_versions).collect();
    let failed: f64 = series.iter().filter_map(|series| series.total).sum();
    let period = i64::try_from(window.period.as_secs()).unwrap_or(60);
    let periods = series.iter().flat_map(|series| series.values.iter().enumerate());
    let last = periods
        .filter(|(_, value)| value.is_some_and(|value| value > 0.0))
        .map(|(place, _)| place)
        .max()?;
    let before = i64::try_from(last).unwrap_or(0);
    let last = Timestamp::from_second(window.from.as_second() + before * period).ok()?;
    let is_recent = now.as_second() - last.as_second() <= RECENT_SECONDS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of requests fit"
    )]
    let count = failed as u64;
    let name = &function.name;
    Some(Symptom {
        kind: "failing",
        found: format!("function {name} answers with errors"),
        seen: Some(Seen {
            count,
            last,
            repaired: changed.filter(|changed| last < *changed).map(Repaired::Changed),
        }),
        fix: format!("`taskctl logs --query errors {name} --since 1h` shows the causes"),
        hurts: is_recent,
    })
}

/// What numbers say of a function.
fn in_metrics(function: &FunctionMetrics) -> Vec<Symptom> {
    let name = &function.name;
    let total = |measures: &Measures, what: &str| measures.get(what).and_then(|series| series.total).unwrap_or(0.0);
    let mut symptoms = Vec::new();
    let throttles = total(&function.all, "throttles");
    if throttles > 0.0 {
        symptoms.push(Symptom {
            kind: "throttled",
            found: format!("{throttles:.0} calls of function {name} were turned away in the last hour"),
            seen: None,
            fix: format!(
                "raise `functions.{name}.reserved_concurrency`, or the account's concurrency: \
                 https://console.aws.amazon.com/servicequotas/home/services/lambda/quotas/L-B99A9384"
            ),
            hurts: true,
        });
    }
    let sum = |what: &str| {
        function
            .versions
            .iter()
            .map(|version| total(&version.measures, what))
            .sum::<f64>()
    };
    let (cold, requests) = (sum("cold_starts"), sum(metrics::REQUESTS));
    if requests >= ENOUGH && cold > requests * COLD {
        symptoms.push(Symptom {
            kind: "cold-starts",
            found: format!(
                "{:.0} % of the requests of function {name} wait for a cold start",
                cold * 100.0 / requests
            ),
            seen: None,
            fix: format!(
                "`warmup: true` keeps one environment warm; more `functions.{name}.memory` makes starts faster"
            ),
            hurts: false,
        });
    }
    symptoms
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::kinds::dynamodb;
    use crate::aws::policy::document::Statement;
    use crate::observe::metrics::VersionMetrics;

    #[test]
    fn lines_name_their_cause() {
        let lines = [
            r#"{"level":"ERROR","error":"put user: User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: dynamodb:PutItem on resource: arn:aws:dynamodb:eu-central-1:1:table/users because no identity-based policy allows it"}"#,
            "/var/task/bootstrap: /lib64/libc.so.6: version `GLIBC_2.38' not found (required by /var/task/bootstrap)",
            r#"{"type":"platform.report","record":{"status":"error","errorType":"Runtime.ExitError"}}"#,
            r#"{"type":"platform.report","record":{"requestId":"1","status":"timeout"}}"#,
            "all is well",
        ];
        let event = |message: &&str| LogEvent {
            id: String::new(),
            source: "users".to_owned(),
            stream: String::new(),
            timestamp: 0,
            message: (*message).to_owned(),
        };
        let mut events: Vec<LogEvent> = lines.iter().map(event).collect();
        events.extend(events.first().cloned());
        let mut causes = Causes::new();
        count(&mut causes, &events);
        let found: Vec<(String, u64)> = causes
            .into_iter()
            .map(|(cause, (count, _))| (cause.found, count))
            .collect();
        let found: Vec<(&str, u64)> = found.iter().map(|(found, count)| (found.as_str(), *count)).collect();
        assert_eq!(
            found,
            [
                ("function users exits while it handles a request or before", 1),
                (
                    "function users may not dynamodb:PutItem on arn:aws:dynamodb:eu-central-1:1:table/users",
                    2
                ),
                (
                    "function users needs GLIBC 2.38; Lambda's Amazon Linux 2023 has 2.34",
                    1
                ),
                ("function users runs into its timeout", 1),
            ]
        );
    }

    const TABLE: &str = "arn:aws:dynamodb:eu-central-1:1:table/users";

    fn denied() -> Cause {
        let line = format!("x is not authorized to perform: dynamodb:PutItem on resource: {TABLE} because");
        of_line("users", &line).unwrap()
    }

    fn deployed(changed: Option<&str>) -> Deployed {
        let statement = Statement::allow(&["dynamodb:PutItem"], [TABLE.to_owned()]);
        let granted = Document::new([("Users".to_owned(), statement)]);
        Deployed {
            missing: BTreeSet::from([ResourceId::new(dynamodb::table::KIND, "users")]),
            lacking: Grants::from([("users".to_owned(), granted.clone())]),
            grants: Grants::from([("users".to_owned(), granted)]),
            changed: changed.map(|at| at.parse().unwrap()),
        }
    }

    #[test]
    fn what_was_changed_by_hand_is_named_and_deploy_is_the_fix() {
        let deployed = deployed(None);
        let found: Vec<String> = deployed.symptoms().into_iter().map(|symptom| symptom.found).collect();
        assert_eq!(
            found,
            [
                "dynamodb_table.users was deployed and does not exist any more",
                "the role of function users lost what it was deployed with: dynamodb:PutItem",
            ]
        );
        assert!(
            deployed
                .symptoms()
                .iter()
                .all(|symptom| symptom.is_wrong() && symptom.fix == RESTORE)
        );
        let last = "2026-03-01T12:00:00Z".parse().unwrap();
        let symptom = deployed.symptom(denied(), 2, last, &BTreeSet::new());
        assert_eq!(symptom.fix, format!("the template grants it: {RESTORE}"));
        let other = Cause {
            denied: Some(Denied {
                action: "dynamodb:DeleteItem".to_owned(),
                resource: Some(TABLE.to_owned()),
            }),
            ..denied()
        };
        let without_resource = of_line(
            "users",
            "AccessDeniedException: not authorized to perform dynamodb:PutItem",
        )
        .unwrap();
        let symptom = deployed.symptom(without_resource, 2, last, &BTreeSet::new());
        assert_eq!(symptom.fix, format!("the template grants it: {RESTORE}"));
        let symptom = deployed.symptom(other, 2, last, &BTreeSet::new());
        assert!(
            symptom.fix.starts_with("add the access to `functions.users.grants`"),
            "{}",
            symptom.fix
        );
    }

    #[test]
    fn what_was_not_seen_since_the_last_change_is_not_wrong() {
        let wrong_at = |last: &str, allowed: bool| {
            let allowed = allowed.then(denied).into_iter().collect();
            let deployed = deployed(Some("2026-03-01T12:00:00Z"));
            let symptom = deployed.symptom(denied(), 2, last.parse().unwrap(), &allowed);
            (symptom.is_wrong(), symptom.seen.unwrap().repaired)
        };
        let change = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(wrong_at("2026-03-01T12:00:01Z", false), (true, None));
        assert_eq!(
            wrong_at("2026-03-01T11:59:59Z", false),
            (false, Some(Repaired::Changed(change)))
        );
        assert_eq!(wrong_at("2026-03-01T12:00:01Z", true), (false, Some(Repaired::Allowed)));
    }

    #[test]
    fn errors_that_no_line_explains_are_named() {
        let window = metrics::Window {
            from: "2026-03-01T11:00:00Z".parse().unwrap(),
            to: "2026-03-01T12:00:00Z".parse().unwrap(),
            period: Duration::from_secs(60),
        };
        let mut values = vec![Some(0.0); 60];
        values[9] = Some(3.0);
        let errors = Series {
            unit: "count".to_owned(),
            total: Some(3.0),
            values,
        };
        let function = FunctionMetrics {
            name: "tasks".to_owned(),
            all: Measures::from([("errors".to_owned(), errors)]),
            versions: Vec::new(),
        };
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let symptom = |changed: &str, now: &str| failing(&function, &window, Some(at(changed)), at(now)).unwrap();
        let repaired = symptom("2026-03-01T11:09:30Z", "2026-03-01T11:12:00Z");
        let seen = repaired.seen.as_ref().map(|seen| (seen.count, seen.last));
        assert_eq!(seen, Some((3, at("2026-03-01T11:09:00Z"))));
        assert!(!repaired.is_wrong());
        assert!(symptom("2026-03-01T11:08:30Z", "2026-03-01T11:12:00Z").is_wrong());
        assert!(!symptom("2026-03-01T11:08:30Z", "2026-03-01T11:30:00Z").is_wrong());
    }

    #[test]
    fn numbers_name_throttling_and_cold_starts() {
        let measures = |values: &[(&str, f64)]| -> Measures {
            let series = |total: f64| Series {
                unit: "count".to_owned(),
                total: Some(total),
                values: Vec::new(),
            };
            values
                .iter()
                .map(|(name, total)| ((*name).to_owned(), series(*total)))
                .collect()
        };
        let function = |throttles: f64, cold: f64| FunctionMetrics {
            name: "tasks".to_owned(),
            all: measures(&[("throttles", throttles)]),
            versions: vec![VersionMetrics {
                version: "1".to_owned(),
                releases: vec![1],
                measures: measures(&[("cold_starts", cold), ("requests", 100.0)]),
            }],
        };
        let kinds = |function: &FunctionMetrics| in_metrics(function).iter().map(|one| one.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&function(3.0, 20.0)), ["throttled", "cold-starts"]);
        assert_eq!(kinds(&function(0.0, 4.0)), Vec::<&str>::new());
    }

    /// Answers pages with one line for ever.
    struct Endless;

    #[async_trait::async_trait]
    impl LogSource for Endless {
        async fn page(
            &self,
            _: &Group,
            _: &Window,
            token: Option<String>,
        ) -> Result<super::super::logs::Page, AwsError> {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let place: u64 = token.and_then(|token| token.parse().ok()).unwrap_or_default();
            let event = LogEvent {
                id: place.to_string(),
                source: "users".to_owned(),
                stream: String::new(),
                timestamp: 0,
                message: "Task timed out after 3.00 seconds".to_owned(),
            };
            Ok(super::super::logs::Page {
                events: vec![event],
                next: Some((place + 1).to_string()),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn logs_without_end_are_looked_through_in_part() {
        let group = Group {
            source: "users".to_owned(),
            name: "/aws/lambda/users".to_owned(),
        };
        let window = Window {
            from: 0,
            to: None,
            pattern: None,
        };
        let began = Instant::now();
        let (causes, is_whole) = causes_in(&Endless, &[group], &window).await.unwrap();
        assert!(
            !is_whole && began.elapsed() <= Duration::from_secs(21),
            "{:?}",
            began.elapsed()
        );
        assert!(causes.values().all(|(count, _)| *count > 50), "{causes:?}");
    }

    /// An alarm may notify a topic of another account, and one that is gone.
    #[tokio::test(start_paused = true)]
    async fn topics_that_cannot_be_asked_do_not_end_the_examination() {
        use crate::aws::client::context::tests::{context_over, identity};
        use crate::aws::client::fake::{cbor, clients};

        let fake = clients("eu-central-1", |call| match call.operation.as_str() {
            "DescribeAlarms" => {
                let topics = [
                    "arn:aws:sns:eu-central-1:999988887777:theirs",
                    "arn:aws:sns:eu-central-1:123456789012:gone",
                ];
                let alarm = serde_json::json!({"AlarmName": "shop-dev-a", "AlarmActions": topics});
                (200, cbor(&serde_json::json!({"MetricAlarms": [alarm]})))
            }
            "GetResources" => (200, b"{}".to_vec()),
            "ListSubscriptionsByTopic" => {
                assert!(call.fields["TopicArn"].ends_with(":gone"), "{call:?}");
                let error = "<ErrorResponse><Error><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>";
                (404, error.as_bytes().to_vec())
            }
            other => panic!("not expected: {other}"),
        });
        let symptoms = unconfirmed(&context_over(identity(), fake)).await.unwrap();
        assert_eq!(symptoms, []);
    }
}
