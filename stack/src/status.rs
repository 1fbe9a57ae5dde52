//! What is deployed now, read from AWS alone: endpoints, releases in their slots, functions, alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricAlarm;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::kind::Discovered;
use crate::aws::kinds::lambda;
use crate::aws::read::metrics;
use crate::aws::read::metrics::Query;
use crate::aws::read::reader::Reader;
use crate::aws::registry;
use crate::aws::release::by_hand::{self, ByHand};
use crate::aws::release::control_bucket::ControlBucket;
use crate::aws::release::drift;
use crate::aws::release::lease::{self, GRACE, LIFETIME, LeaseRecord, Progress};
use crate::aws::release::ledger;
use crate::aws::release::presence::is_in_region;
use crate::aws::release::sight::Sight;
use crate::aws::release::traffic_shift;
use crate::event::Endpoints;
use crate::plan::Counts;
use crate::release::label::ReleaseLabel;
use crate::release::record::{Cause, MoveRecord, ReleaseRecord, newer};
use crate::release::slots::{ReleaseState, SlotState};
use crate::release::transition::{self, VersionAlias};
use crate::resource::ResourceId;

/// One screen about a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Application.
    pub app: String,
    /// Stage.
    pub stage: String,
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Where it answers.
    pub endpoints: Endpoints,
    /// What users reach; none before the first release.
    pub live: Option<SlotStatus>,
    /// What waits; the same as live when nothing does.
    pub preview: Option<SlotStatus>,
    /// Functions, by name.
    pub functions: Vec<FunctionStatus>,
    /// Alarms, by name.
    pub alarms: Vec<AlarmStatus>,
    /// What was deployed and does not exist any more: `taskctl plan` shows it, `taskctl deploy` recreates it.
    #[serde(default)]
    pub missing: BTreeSet<ResourceId>,
    /// Functions whose alias `live` is not at the release that live serves: a move was interrupted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub late: BTreeSet<String>,
    /// Who holds the lock of the stage.
    pub lock: Option<LockStatus>,
    /// The newest release, as the ledger remembers it.
    pub last_release: Option<LastRelease>,
    /// The newest movement of live, as the ledger remembers it.
    pub last_move: Option<MoveRecord>,
    /// The way back without taskctl, as command lines of the AWS CLI; none where there is no release to go back to.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
}

/// Who works on the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockStatus {
    /// Person or job.
    pub user: String,
    /// ARN of the AWS principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Machine.
    pub host: String,
    /// Command line, without secrets.
    pub command: String,
    /// Since when, by the holder's clock.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub since: Timestamp,
    /// Seconds since its last heartbeat.
    pub silent_seconds: i64,
    /// How far its canary is.
    #[serde(default)]
    pub progress: Option<Progress>,
}

impl LockStatus {
    /// Whether its holder is still at work: it renews the lease more often than the lease lasts.
    pub fn is_attended(&self) -> bool {
        self.is_silent_for_less_than(LIFETIME)
    }

    /// Whether the next command that needs the lock is still refused.
    pub fn is_held(&self) -> bool {
        self.is_silent_for_less_than(LIFETIME + GRACE)
    }

    fn is_silent_for_less_than(&self, time: Duration) -> bool {
        u64::try_from(self.silent_seconds).unwrap_or(0) < time.as_secs()
    }
}

/// What changed last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastRelease {
    /// Number.
    pub release: u64,
    /// Commit of its code.
    pub commit: Option<String>,
    /// Who deployed it.
    pub user: String,
    /// ARN of the AWS principal that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// When.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schemars(with = "jiff::Timestamp")]
    pub at: Timestamp,
    /// What changed with it.
    pub changes: Counts,
}

impl From<ReleaseRecord> for LastRelease {
    fn from(record: ReleaseRecord) -> Self {
        Self {
            release: record.release,
            commit: record.commit,
            user: record.user,
            principal: record.principal,
            at: record.at,
            changes: record.changes,
        }
    }
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotStatus {
    /// `blue` or `green`.
    pub color: Option<String>,
    /// Release number; none when the slot serves a deployment that is not ours.
    pub release: Option<u64>,
    /// Commit of the release's code.
    pub commit: Option<String>,
    /// Release that was live before.
    pub previous_release: Option<u64>,
    /// Of live: since when it serves this release, as the ledger remembers it.
    #[serde(serialize_with = "crate::time::serialize_known")]
    #[schemars(with = "Option<jiff::Timestamp>")]
    pub since: Option<Timestamp>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionStatus {
    /// Logical name.
    pub name: String,
    /// Physical name.
    pub function: String,
    /// Version that live serves.
    pub live_version: Option<String>,
    /// Version in preview.
    pub preview_version: Option<String>,
    /// Percent of live's traffic that goes to another version: a canary.
    #[serde(default)]
    pub diverted: Option<u8>,
    /// `Active`, `Pending`, `Failed`, … of the version that live serves; of the newest code before anything is live.
    pub state: String,
    /// MiB of the same.
    pub memory_mb: Option<i32>,
    /// Architecture of the same.
    pub architecture: Option<String>,
    /// Invocations of the last quarter of an hour; none without any.
    #[serde(default)]
    pub recent: Option<Recent>,
    /// Whether its code or configuration changed after the last deploy: not by taskctl, or by a deploy that did not end.
    #[serde(default)]
    pub changed_since: bool,
}

/// What happened lately.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recent {
    /// Invocations.
    pub requests: f64,
    /// Failed invocations, and 5xx responses of the versions in the slots.
    pub errors: f64,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlarmStatus {
    /// Name.
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub state: String,
    /// Since when.
    #[serde(serialize_with = "crate::time::serialize_known")]
    #[schemars(with = "Option<jiff::Timestamp>")]
    pub since: Option<Timestamp>,
    /// Why, as CloudWatch says it.
    pub reason: Option<String>,
}

impl Status {
    /// What is not as it should be, in words; empty when all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.live.as_ref().and_then(|slot| slot.release).is_none() && self.endpoints.live.is_some() {
            complaints.push("live serves no release".to_owned());
        }
        for function in self.functions.iter().filter(|function| function.state != "Active") {
            complaints.push(format!("function {} is {}", function.name, function.state));
        }
        for alarm in self.alarms.iter().filter(|alarm| alarm.state == "ALARM") {
            complaints.push(format!("alarm {} is red", alarm.name));
        }
        if self.has_abandoned_canary() {
            complaints.push(ABANDONED.to_owned());
        }
        for name in &self.late {
            complaints.push(format!(
                "alias live of function {name} is not at the release that live serves: `taskctl deploy` moves it"
            ));
        }
        for id in &self.missing {
            complaints.push(format!("{id} is gone"));
        }
        complaints
    }

    /// Whether a share of live's traffic is diverted, and nobody monitors it.
    pub fn has_abandoned_canary(&self) -> bool {
        let is_diverted = self.functions.iter().any(|function| function.diverted.is_some());
        is_diverted && !self.lock.as_ref().is_some_and(LockStatus::is_attended)
    }

    /// What ends a canary that was abandoned. Whoever left it may have left its lock, too.
    pub fn canary_advice(&self) -> &'static str {
        match self.lock.as_ref().is_some_and(LockStatus::is_held) {
            true => "`taskctl unlock --force` breaks its lock, then `taskctl promote --abort` ends it",
            false => "`taskctl promote --abort` ends it",
        }
    }
}

/// The complaint about a canary that nobody monitors.
pub const ABANDONED: &str = "the canary was abandoned";

/// How far back errors are counted.
pub const RECENT: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// How much later than the last deploy's end a change must be to be another's: clocks differ.
const CLOCKS: SignedDuration = SignedDuration::from_secs(10);

/// Reads the status once. `site` is the URL of the web site, where the stack has one.
pub async fn read(
    context: &Context,
    control: &ControlBucket,
    site: impl Fn(&str) -> String + Sync,
) -> Result<Option<Status>, AwsError> {
    read_with(context, control, site, None).await
}

/// Reads the status again, and lists what the inventory does not know or knows no longer.
pub async fn read_again(
    context: &Context,
    control: &ControlBucket,
    site: impl Fn(&str) -> String + Sync,
    inventory: &mut Inventory,
) -> Result<Option<Status>, AwsError> {
    read_with(context, control, site, Some(inventory)).await
}

/// What takes many calls, or costs, and seldom has anything new. Whoever reads the status again and again keeps it: it
/// is read at most once a minute, and at once when another release is live or something was deployed.
#[derive(Debug, Default)]
pub struct Inventory {
    listed: Option<Listed>,
    counted: Option<Counted>,
}

/// What functions did lately, by the function and its versions in the slots. CloudWatch counts by the minute, and every metric
/// that is asked for costs.
#[derive(Debug)]
struct Counted {
    at: Duration,
    recent: BTreeMap<CountedOf, Option<Recent>>,
}

type CountedOf = (String, Option<String>, Option<String>);

impl Counted {
    fn of(function: &FunctionStatus) -> CountedOf {
        let FunctionStatus {
            function,
            live_version,
            preview_version,
            ..
        } = function;
        (function.clone(), live_version.clone(), preview_version.clone())
    }
}

/// What was listed, and for which releases.
#[derive(Debug, Clone)]
struct Listed {
    /// On the clock that counts suspension.
    at: Duration,
    changes: Changes,
    found: Found,
}

#[derive(Debug, Clone, Default)]
struct Found {
    functions: Vec<Discovered>,
    missing: BTreeSet<ResourceId>,
    /// The bucket that is the web site.
    website: Option<String>,
}

/// What is live, and when taskctl changed the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Changes {
    live: Option<u64>,
    released: Option<Timestamp>,
    moved: Option<Timestamp>,
    /// By a deploy, with a release or without.
    deployed: Option<Timestamp>,
}

/// How long a listing is good for.
const LISTED_FOR: Duration = Duration::from_secs(60);

impl Inventory {
    /// What is good at this time, whatever is live.
    fn fresh(&self, now: Duration) -> Option<&Listed> {
        let is_fresh = |listed: &&Listed| now.saturating_sub(listed.at) < LISTED_FOR;
        self.listed.as_ref().filter(is_fresh)
    }

    /// What all of these functions did lately, where that is known of a moment ago.
    fn recent(&self, now: Duration, functions: &[FunctionStatus]) -> Option<Vec<Option<Recent>>> {
        let counted = self.counted.as_ref()?;
        if now.saturating_sub(counted.at) >= LISTED_FOR {
            return None;
        }
        let found = functions
            .iter()
            .map(|one| counted.recent.get(&Counted::of(one)).copied());
        found.collect()
    }

    /// Keeps what functions did lately, unless it is of a moment ago.
    fn keep(&mut self, now: Duration, functions: &[FunctionStatus]) {
        if self.recent(now, functions).is_none() {
            let recent = functions.iter().map(|one| (Counted::of(one), one.recent)).collect();
            self.counted = Some(Counted { at: now, recent });
        }
    }
}

async fn list(context: &Context, control: &ControlBucket, reader: &Reader) -> Result<Found, AwsError> {
    let functions = registry().kind(lambda::function::KIND).enumerate(reader);
    let (functions, missing, website) = futures::try_join!(
        functions,
        drift::missing(context, control, reader),
        website(context, reader)
    )?;
    Ok(Found {
        functions,
        missing,
        website,
    })
}

async fn read_with(
    context: &Context,
    control: &ControlBucket,
    site: impl Fn(&str) -> String + Sync,
    mut inventory: Option<&mut Inventory>,
) -> Result<Option<Status>, AwsError> {
    let reader = Reader::new(context.clone());
    let now = context.clock().since_boot();
    let fresh = inventory.as_ref().and_then(|inventory| inventory.fresh(now));
    let deployment = async {
        match &inventory {
            Some(_) => ledger::inventory(context, control).await,
            None => Ok(None),
        }
    };
    let listing = async {
        match fresh {
            Some(_) => Ok(None),
            None => list(context, control, &reader).await.map(Some),
        }
    };
    let (sight, alarms, holder, latest, deployment, listed) = futures::try_join!(
        Sight::read_with(&reader),
        reader.alarms(),
        lease::holder(context, control),
        ledger::latest(context, control),
        deployment,
        listing
    )?;
    let ledger::Latest {
        release: last_release,
        released: deployed,
        moved: last_move,
        moved_at: _,
    } = latest;
    let facts = sight.as_ref().map(|sight| &sight.facts);
    let last_move = newer(last_move, facts.and_then(ReleaseState::unrecorded));
    let (in_live, in_preview) = (
        facts.and_then(|facts| facts.live.as_ref()),
        facts.and_then(|facts| facts.preview.as_ref()),
    );
    let label = |slot: Option<&SlotState>| sight.as_ref().and_then(|sight| sight.label(slot));
    let slot = |slot: Option<&SlotState>| Some(slot_status(slot?, label(slot)));
    let since = |live: &SlotStatus| live_since(live.release?, last_move.as_ref(), last_release.as_ref());
    let live_slot = slot(in_live).map(|live| SlotStatus {
        since: since(&live),
        ..live
    });
    let (live, preview) = (label(in_live), label(in_preview));
    let changes = Changes {
        live: live.map(|label| label.number),
        released: deployed,
        moved: last_move.as_ref().map(|moved| moved.at),
        deployed: deployment.and_then(|inventory| inventory.completed),
    };
    let known = fresh.filter(|listed| listed.changes == changes).cloned();
    let listed = match (listed, known) {
        (Some(found), _) => Listed {
            at: now,
            changes,
            found,
        },
        (None, Some(known)) => known,
        // What was listed is of the time before a change.
        (None, None) => {
            let found = list(context, control, &reader).await?;
            Listed {
                at: now,
                changes,
                found,
            }
        }
    };
    let Found {
        functions,
        missing,
        website,
    } = listed.found.clone();
    let is_here = |arn: &String| is_in_region(arn, &context.identity().region);
    if sight.is_none() && functions.is_empty() && !reader.tagged().await?.keys().any(is_here) {
        return Ok(None);
    }
    if let Some(inventory) = inventory.as_deref_mut() {
        inventory.listed = Some(listed);
    }
    let on_live = sight
        .as_ref()
        .map(|sight| transition::live_aliases(&sight.gateway, &sight.facts))
        .unwrap_or_default();
    let mut functions: Vec<FunctionStatus> = stream::iter(functions)
        .map(|found| {
            let aliases = on_live.iter().filter(|alias| alias.name == found.id.name).cloned();
            function_status(context, found.clone(), (live, preview), aliases.collect(), deployed)
        })
        .buffered(32)
        .try_collect()
        .await?;
    match inventory
        .as_ref()
        .and_then(|inventory| inventory.recent(now, &functions))
    {
        Some(recent) => functions
            .iter_mut()
            .zip(recent)
            .for_each(|(one, recent)| one.recent = recent),
        None => count_recent(context, &mut functions).await?,
    }
    if let Some(inventory) = inventory {
        inventory.keep(now, &functions);
    }
    let site = website.map(|bucket| site(&bucket));
    let identity = context.identity();
    Ok(Some(Status {
        app: identity.app.clone(),
        stage: identity.stage.clone(),
        region: identity.region.clone(),
        account: identity.account.clone(),
        endpoints: Endpoints {
            site,
            ..sight
                .as_ref()
                .map(|sight| sight.gateway.endpoints.clone())
                .unwrap_or_default()
        },
        live: live_slot,
        preview: slot(in_preview),
        functions,
        alarms: alarms.iter().map(alarm_status).collect(),
        missing,
        lock: holder.map(|(record, silent_seconds)| lock_status(record, silent_seconds)),
        last_release: last_release.map(LastRelease::from),
        last_move,
        late: facts.map(|facts| facts.late.clone()).unwrap_or_default(),
        by_hand: sight.as_ref().and_then(|sight| by_hand::of(context, sight)),
    }))
}

/// Reads a function. `slots` are the releases in live and preview, `deployed` is when the last deploy ended.
async fn function_status(
    context: &Context,
    found: Discovered,
    (live, preview): (Option<&ReleaseLabel>, Option<&ReleaseLabel>),
    on_live: Vec<VersionAlias>,
    deployed: Option<Timestamp>,
) -> Result<FunctionStatus, AwsError> {
    let physical = found.outputs.get("name").cloned().unwrap_or_default();
    let version = |label: Option<&ReleaseLabel>| label.and_then(|label| label.versions.get(&found.id.name).cloned());
    let live_version = version(live);
    let (newest, of_live, diverted) = futures::try_join!(
        lambda::function::state(context, &physical, None),
        async {
            match live_version.as_deref() {
                Some(version) => lambda::function::state(context, &physical, Some(version))
                    .await
                    .map(Some),
                None => Ok(None),
            }
        },
        traffic_shift::diverted(context, &on_live)
    )?;
    // As 2026-01-30T10:15:00.000+0000.
    let modified = newest
        .last_modified
        .as_deref()
        .and_then(|text| text.parse::<Timestamp>().ok());
    // What users get, not what was deployed last.
    let state = of_live.unwrap_or(newest);
    Ok(FunctionStatus {
        recent: None,
        changed_since: matches!((modified, deployed), (Some(modified), Some(at)) if modified > at + CLOCKS),
        diverted: diverted.into_values().next(),
        live_version,
        preview_version: version(preview),
        state: state.state,
        memory_mb: state.memory_mb,
        architecture: state.architecture,
        name: found.id.name,
        function: physical,
    })
}

fn alarm_status(alarm: &MetricAlarm) -> AlarmStatus {
    AlarmStatus {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: alarm
            .state_value()
            .map_or("INSUFFICIENT_DATA", |state| state.as_str())
            .to_owned(),
        since: alarm
            .state_updated_timestamp()
            .and_then(|time| time.to_millis().ok())
            .and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        reason: alarm.state_reason().map(str::to_owned),
    }
}

fn lock_status(record: LeaseRecord, silent_seconds: i64) -> LockStatus {
    LockStatus {
        user: record.holder.user,
        principal: record.holder.principal,
        host: record.holder.host,
        command: record.holder.command,
        since: record.since,
        silent_seconds,
        progress: record.progress,
    }
}

/// Counts what the functions did lately.
async fn count_recent(context: &Context, functions: &mut [FunctionStatus]) -> Result<(), AwsError> {
    let mut queries = Vec::new();
    for (place, function) in functions.iter().enumerate() {
        let versions: BTreeSet<&String> = [&function.live_version, &function.preview_version]
            .into_iter()
            .flatten()
            .collect();
        let name = ("FunctionName".to_owned(), function.function.clone());
        let mut add = |what: String, namespace: &str, metric: &str, dimensions: Vec<(String, String)>| {
            queries.push(Query {
                id: format!("f{place}_{what}"),
                namespace: namespace.to_owned(),
                name: metric.to_owned(),
                statistic: "Sum".to_owned(),
                dimensions,
                period: MINUTE,
            });
        };
        add("requests".to_owned(), "AWS/Lambda", "Invocations", vec![name.clone()]);
        add("errors".to_owned(), "AWS/Lambda", "Errors", vec![name.clone()]);
        for version in versions {
            let dimensions = vec![name.clone(), ("Version".to_owned(), version.clone())];
            add(format!("errors_{version}"), "Taskctl", "Responses5xx", dimensions);
        }
    }
    let now = context.aws_now().as_second();
    let from = now - i64::try_from(RECENT.as_secs()).unwrap_or(900);
    let found = metrics::fetch(context, &queries, from, now).await?;
    for (place, function) in functions.iter_mut().enumerate() {
        let sum = |what: &str| {
            let prefix = format!("f{place}_{what}");
            let of = found
                .iter()
                .filter(|(id, _)| **id == prefix || id.starts_with(&format!("{prefix}_")));
            of.flat_map(|(_, values)| values.values()).sum::<f64>()
        };
        let (requests, errors) = (sum("requests"), sum("errors"));
        function.recent = (requests > 0.0).then_some(Recent { requests, errors });
    }
    Ok(())
}

/// Since when a release is live: the newest movement of live went to it, or it went live with its own deploy. The ledger has the
/// newest of each only; of anything older it is not known.
fn live_since(release: u64, moved: Option<&MoveRecord>, deployed: Option<&ReleaseRecord>) -> Option<Timestamp> {
    let moved = moved
        .filter(|moved| moved.to == release && moved.cause != Cause::Unlock)
        .map(|moved| moved.at);
    let deployed = deployed
        .filter(|deployed| deployed.release == release)
        .map(|deployed| deployed.at);
    moved.or(deployed)
}

fn slot_status(slot: &SlotState, label: Option<&ReleaseLabel>) -> SlotStatus {
    let variables = &slot.variables;
    SlotStatus {
        color: variables.color().map(|color| color.as_str().to_owned()),
        release: label.map(|label| label.number),
        commit: label.and_then(|label| label.commit.clone()),
        previous_release: variables.previous_release(),
        since: None,
    }
}

/// The bucket of ours that is a web site.
async fn website(context: &Context, reader: &Reader) -> Result<Option<String>, AwsError> {
    let prefix = format!("arn:{}:s3:::", context.identity().partition);
    let buckets: Vec<&str> = reader
        .tagged()
        .await?
        .keys()
        .filter_map(|arn| arn.strip_prefix(&prefix))
        .collect();
    for bucket in buckets {
        if crate::aws::kinds::s3::bucket::is_website(context, bucket).await? {
            return Ok(Some(bucket.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::client::context::Clock;
    use crate::aws::client::context::tests::{identity, recorded_by};
    use crate::aws::client::fake::{self, cbor};

    #[test]
    fn a_listing_is_good_for_a_minute() {
        let at = Duration::from_secs(1_000);
        let listed = Listed {
            at,
            changes: Changes {
                live: Some(1),
                released: None,
                moved: None,
                deployed: None,
            },
            found: Found::default(),
        };
        let inventory = Inventory {
            listed: Some(listed),
            ..Inventory::default()
        };
        let is_fresh = |seconds: u64| inventory.fresh(at + Duration::from_secs(seconds)).is_some();
        assert_eq!([0, 5, 59, 60, 300].map(is_fresh), [true, true, true, false, false]);
        assert!(Inventory::default().fresh(at).is_none());
    }

    /// A clock that is set.
    #[derive(Default)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn since_boot(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// `status --watch` looks every five seconds. Without an API releases are found in the functions, which each look lists.
    #[tokio::test(start_paused = true)]
    async fn functions_are_listed_and_counted_once_a_minute() {
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let made = Arc::clone(&calls);
        let clients = fake::clients("eu-central-1", move |call| {
            let arn = "arn:aws:lambda:eu-central-1:123456789012:function:shop-dev-tasks";
            let tags = json!({"app": "shop", "stage": "dev", "managed-by": "taskctl"});
            let listed: Vec<Value> = tags
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect();
            made.lock().push(call.operation.clone());
            let body = match (call.service.as_str(), call.operation.as_str()) {
                ("s3", _) if call.bucket.is_none() => {
                    return (
                        200,
                        b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>".to_vec(),
                    );
                }
                ("s3", _) => return (404, b"<Error><Code>NoSuchBucket</Code></Error>".to_vec()),
                ("monitoring", _) => return (200, cbor(&json!({}))),
                ("sns" | "iam", operation) => {
                    let body =
                        format!("<{operation}Response><{operation}Result></{operation}Result></{operation}Response>");
                    return (200, body.into_bytes());
                }
                ("tagging", _) => json!({"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": listed}]}),
                ("lambda", "GET /2015-03-31/functions" | "GET /2015-03-31/functions/") => {
                    json!({"Functions": [{"FunctionName": "shop-dev-tasks"}]})
                }
                ("lambda", operation) if operation.contains("/tags/") => json!({"Tags": tags}),
                ("lambda", _) => json!({"Configuration": {"State": "Active"}, "Tags": tags}),
                ("apigateway", "GET /v2/apis") => {
                    json!({"items": [{"apiId": "a1", "name": "shop-dev", "protocolType": "HTTP", "tags": tags}]})
                }
                _ => json!({"items": []}),
            };
            (200, body.to_string().into_bytes())
        });
        let clock = Arc::new(Set::default());
        let (context, _) = recorded_by(identity(), clients, Arc::clone(&clock) as Arc<dyn Clock>);
        let control = ControlBucket::new(&context, None);
        let mut inventory = Inventory::default();
        let mut counts = Vec::new();
        for seconds in (0..=60).step_by(5) {
            clock.0.store(seconds, Ordering::Relaxed);
            let status = read_again(&context, &control, str::to_owned, &mut inventory)
                .await
                .unwrap();
            assert_eq!(status.unwrap().functions.len(), 1);
            let calls = calls.lock();
            let of = |asked: &dyn Fn(&str) -> bool| calls.iter().filter(|call| asked(call)).count();
            counts.push((
                of(&|call| call == "GetMetricData"),
                of(&|call| call.ends_with("/functions") || call.ends_with("/functions/")),
            ));
        }
        let (counted, listed) = counts[0];
        assert!(counted == 1 && listed > 0, "{counts:?}");
        assert_eq!(counts[11], (counted, listed), "{counts:?}");
        assert_eq!(counts[12], (2 * counted, 2 * listed), "{counts:?}");
    }

    #[test]
    fn a_lock_is_held_longer_than_it_is_attended() {
        let lock = |silent_seconds: i64| LockStatus {
            user: "ada".to_owned(),
            principal: None,
            host: "build-7".to_owned(),
            command: "taskctl promote".to_owned(),
            since: "2026-03-01T12:00:00Z".parse().unwrap(),
            silent_seconds,
            progress: None,
        };
        let states = [-1, 0, 59, 60, 99, 100].map(|silent| (lock(silent).is_attended(), lock(silent).is_held()));
        let (at_work, dead, free) = ((true, true), (false, true), (false, false));
        assert_eq!(states, [at_work, at_work, at_work, dead, dead, free]);
    }
}
