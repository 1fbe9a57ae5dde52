//! A share of live's traffic on other versions: weights on the aliases that live's integrations name, and what metrics and
//! alarms say meanwhile.
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use futures::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::by_hand::Place;
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, found};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::lambda::alias;
use crate::aws::read::metrics;
use crate::aws::read::metrics::{Query, mean};
use crate::aws::read::reader::Reader;
use crate::release::canary::{Compared, Counted, PERCENTILES, PERIOD, Sample};
use crate::release::transition::{Changed, VersionAlias};

/// Diverts a share of each function to its new version.
pub async fn divert(context: &Context, functions: &[Changed], percent: u8) -> Result<(), AwsError> {
    let aliases = functions.iter().filter_map(|one| {
        let weights = HashMap::from([(one.new?.to_string(), f64::from(percent) / 100.0)]);
        Some(one.live_aliases().map(move |alias| (alias, weights.clone())))
    });
    let weigh = aliases
        .flatten()
        .map(|(alias, weights)| async move { route(context, &alias, weights).await });
    try_join_all(weigh).await.map(drop)
}

/// How long AWS may take to show that weights are gone: an alias's reads lag behind its writes.
const CLEARED_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Weights that could not be cleared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("weights are STILL set: {}", .aliases.iter().map(StillWeighted::to_string).collect::<Vec<_>>().join("; "))]
pub struct StillSet {
    /// On these aliases.
    pub aliases: Vec<StillWeighted>,
    place: Place,
}

/// An alias that still sends a share elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillWeighted {
    /// The alias.
    pub alias: VersionAlias,
    /// Why it could not be cleared.
    pub error: AwsError,
}

impl fmt::Display for StillWeighted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alias, error } = self;
        write!(f, "alias {} of {}: {}", alias.alias(), alias.function, error.message)
    }
}

impl StillSet {
    /// That the stage is another's by now, who ends the canary.
    pub(super) fn lease_lost(&self) -> Option<&AwsError> {
        let mut errors = self.aliases.iter().map(|one| &one.error);
        errors.find(|error| error.kind == ErrorKind::LeaseLost)
    }

    /// Command lines that clear them without taskctl.
    pub fn commands(&self) -> Vec<String> {
        let aliases = self.aliases.iter();
        aliases.map(|one| self.place.clear(&one.alias)).collect()
    }
}

/// Takes all weights away and reads until they are gone. `weighted` are aliases that are known to have some, whatever a read
/// says: reads lag behind.
pub async fn clear(
    context: &Context,
    aliases: &[VersionAlias],
    weighted: &BTreeSet<VersionAlias>,
) -> Result<(), StillSet> {
    let all: BTreeSet<&VersionAlias> = aliases.iter().chain(weighted).collect();
    // All are tried, whatever becomes of one.
    let cleared = all.into_iter().map(|one| async move {
        let cleared = clear_one(context, one, weighted.contains(one)).await;
        cleared.err().map(|error| StillWeighted {
            alias: one.clone(),
            error,
        })
    });
    let aliases: Vec<StillWeighted> = join_all(cleared).await.into_iter().flatten().collect();
    match aliases.is_empty() {
        true => Ok(()),
        false => Err(StillSet {
            aliases,
            place: Place::of(context),
        }),
    }
}

async fn clear_one(context: &Context, one: &VersionAlias, is_weighted: bool) -> Result<(), AwsError> {
    if !is_weighted && weights(context, one).await?.is_empty() {
        return Ok(());
    }
    // An alias that is gone diverts nothing.
    found(route(context, one, HashMap::new()).await)?;
    let began = Instant::now();
    loop {
        let left = weights(context, one).await?;
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= CLEARED_WITHIN {
            let seconds = CLEARED_WITHIN.as_secs();
            let message = format!("{}, as AWS shows it {seconds} s after they were cleared", shares(&left));
            return Err(AwsError::own("lambda", "UpdateAlias", ErrorKind::Busy, message));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// `version 4 gets 10%`.
fn shares(weights: &HashMap<String, f64>) -> String {
    let mut shares: Vec<String> = weights
        .iter()
        .map(|(version, weight)| format!("version {version} gets {:.0}%", weight * 100.0))
        .collect();
    shares.sort();
    shares.join(", ")
}

/// Aliases that send a share elsewhere, with the percentage.
pub type Shares = BTreeMap<VersionAlias, u8>;

/// The aliases that send a share elsewhere.
pub async fn diverted(context: &Context, aliases: &[VersionAlias]) -> Result<Shares, AwsError> {
    Ok(see(context, aliases).await?.shares)
}

/// The same for what must not wait: a Lambda that fails is an error soon.
pub async fn diverted_now(context: &Context, aliases: &[VersionAlias]) -> Result<Shares, AwsError> {
    Ok(see_now(context, aliases).await?.shares)
}

/// Aliases as AWS shows them.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Those that send a share elsewhere.
    pub shares: Shares,
    /// Descriptions of those that are there.
    pub descriptions: BTreeMap<VersionAlias, String>,
}

/// Reads aliases.
pub async fn see(context: &Context, aliases: &[VersionAlias]) -> Result<Seen, AwsError> {
    see_by(context, aliases, GET_ALIAS).await
}

/// The same for what must not wait: a Lambda that fails is an error soon.
pub async fn see_now(context: &Context, aliases: &[VersionAlias]) -> Result<Seen, AwsError> {
    see_by(context, aliases, GET_ALIAS.dispensable()).await
}

async fn see_by(context: &Context, aliases: &[VersionAlias], call: Op) -> Result<Seen, AwsError> {
    let read = aliases.iter().map(|one| async move { get(context, one, call).await });
    let mut seen = Seen::default();
    for (one, alias) in aliases.iter().zip(try_join_all(read).await?) {
        let Some(alias) = alias else { continue };
        let description = alias.description.clone().unwrap_or_default();
        seen.descriptions.insert(one.clone(), description);
        let weights = weights_of(alias);
        if !weights.is_empty() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 100")]
            let percent = (weights.values().sum::<f64>() * 100.0).round() as u8;
            seen.shares.insert(one.clone(), percent);
        }
    }
    Ok(seen)
}

const GET_ALIAS: Op = op("lambda", "GetAlias").even_when_stopped();

async fn weights(context: &Context, one: &VersionAlias) -> Result<HashMap<String, f64>, AwsError> {
    // An alias that is gone diverts nothing.
    let alias = get(context, one, GET_ALIAS).await?;
    Ok(alias.map(weights_of).unwrap_or_default())
}

/// An alias; none where it is gone.
async fn get(context: &Context, one: &VersionAlias, call: Op) -> Result<Option<GetAliasOutput>, AwsError> {
    alias::get(context, call, &one.function, &one.alias()).await
}

fn weights_of(alias: GetAliasOutput) -> HashMap<String, f64> {
    let routing = alias.routing_config;
    routing
        .and_then(|routing| routing.additional_version_weights)
        .unwrap_or_default()
}

async fn route(context: &Context, one: &VersionAlias, weights: HashMap<String, f64>) -> Result<(), AwsError> {
    let call = match weights.is_empty() {
        true => op("lambda", "UpdateAlias").even_when_stopped(),
        false => op("lambda", "UpdateAlias"),
    };
    let _turn = context.serial(format!("lambda/{}", one.function)).await;
    let version = one.version.to_string();
    let change = alias::Change {
        function: &one.function,
        alias: &one.alias(),
        // It may have moved meanwhile.
        version: (!one.is_live).then_some(version.as_str()),
        description: None,
        shares: weights,
    };
    change.send(context, call).await
}

/// The stack's alarms that are red.
pub async fn red(context: &Context) -> Result<BTreeSet<String>, AwsError> {
    let reader = Reader::new(context.clone());
    let alarms = reader.alarms().await?.iter();
    let red = alarms.filter(|alarm| alarm.state_value() == Some(&StateValue::Alarm));
    Ok(red.filter_map(|alarm| alarm.alarm_name().map(str::to_owned)).collect())
}

const INVOCATIONS: (&str, &str) = ("AWS/Lambda", "Invocations");
const ERRORS: (&str, &str) = ("AWS/Lambda", "Errors");
const THROTTLES: (&str, &str) = ("AWS/Lambda", "Throttles");
const DURATION: (&str, &str) = ("AWS/Lambda", "Duration");
const REQUESTS: (&str, &str) = ("Taskctl", "Requests");
const RESPONSES_5XX: (&str, &str) = ("Taskctl", "Responses5xx");

fn query(id: String, (namespace, name): (&str, &str), statistic: &str, dimensions: &[(&str, String)]) -> Query {
    Query {
        id,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        statistic: statistic.to_owned(),
        dimensions: dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        period: PERIOD,
    }
}

/// The dimensions of a version's own metrics.
fn of_version(one: &Changed, version: u64) -> [(&'static str, String); 2] {
    [("FunctionName", one.function.clone()), ("Version", version.to_string())]
}

/// How far back a function is looked for that counts its requests.
const COUNTED_WITHIN: i64 = 24 * 3_600;

/// The functions whose live versions count their requests and 5xx responses, by logical name. To Lambda a response of 500 is
/// no error: without that count nothing shows it.
pub async fn counting(context: &Context, functions: &[Changed]) -> Result<BTreeSet<String>, AwsError> {
    let hour = Duration::from_secs(3_600);
    let taking = || functions.iter().filter(|one| one.new.is_some()).enumerate();
    let queries: Vec<Query> = taking()
        .map(|(place, one)| Query {
            period: hour,
            ..query(format!("counted_{place}"), REQUESTS, "Sum", &of_version(one, one.old))
        })
        .collect();
    let now = context.aws_now().as_second();
    let values = metrics::fetch(context, &queries, now - COUNTED_WITHIN, now).await?;
    let counts = |place: usize| {
        let counted = values.get(&format!("counted_{place}"));
        counted.is_some_and(|counted| counted.values().sum::<f64>() > 0.0)
    };
    let counting = taking().filter(|(place, _)| counts(*place));
    Ok(counting.map(|(_, one)| one.name.clone()).collect())
}

/// What the old and new versions did between two Unix times, whole periods. `counting` are functions that count their
/// requests; one that is not among them does so from its first count on.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
pub async fn compare(
    context: &Context,
    functions: &[Changed],
    counting: &BTreeSet<String>,
    from: i64,
    to: i64,
) -> Result<Vec<Compared>, AwsError> {
    let changed = functions.iter().filter_map(|one| {
        let new = one.new?;
        Some(one.live_aliases().map(move |alias| (one, alias, new)))
    });
    let changed: Vec<(&Changed, VersionAlias, u64)> = changed.flatten().collect();
    let mut queries = Vec::new();
    for (place, (one, alias, new)) in changed.iter().enumerate() {
        for (side, version) in [("old", one.old), ("new", *new)] {
            queries.extend(queries_of((one, alias), side, version, place));
        }
    }
    let values = metrics::fetch(context, &queries, from, to).await?;
    let compared = changed.iter().enumerate().map(|(place, (one, ..))| {
        let is_counting = counting.contains(&one.name);
        Compared {
            function: one.name.clone(),
            old: sample(&values, "old", place, is_counting),
            new: sample(&values, "new", place, is_counting),
        }
    });
    Ok(compared.collect())
}

/// What is asked about one side of a function.
fn queries_of((one, alias): (&Changed, &VersionAlias), side: &str, version: u64, place: usize) -> Vec<Query> {
    let id = |what: &str| format!("{side}_{what}_{place}");
    let function = ("FunctionName", one.function.clone());
    let resource = |alias: String| ("Resource", format!("{}:{alias}", one.function));
    let of_share = [
        function.clone(),
        resource(alias.alias()),
        ("ExecutedVersion", version.to_string()),
    ];
    let own = of_version(one, version);
    let mut queries = vec![
        query(id("requests"), INVOCATIONS, "Sum", &of_share),
        query(id("errors"), ERRORS, "Sum", &of_share),
        query(id("throttles"), THROTTLES, "Sum", &of_share),
        query(id("counted"), REQUESTS, "Sum", &own),
        query(id("responses"), RESPONSES_5XX, "Sum", &own),
    ];
    for percentile in PERCENTILES {
        let stat = format!("p{percentile}");
        queries.push(query(id(&stat), DURATION, &stat, &of_share));
    }
    // Through the new version's own alias: the checks of preview, which it counts as well.
    if version != one.old {
        let of_alias = [function, resource(format!("v{version}"))];
        queries.push(query(id("beside"), INVOCATIONS, "Sum", &of_alias));
    }
    queries
}

/// Values by query and period, as they were fetched.
type Values = BTreeMap<String, BTreeMap<i64, f64>>;

fn sample(values: &Values, side: &str, place: usize, is_counting: bool) -> Sample {
    let none = BTreeMap::new();
    let of = |what: &str| values.get(&format!("{side}_{what}_{place}")).unwrap_or(&none);
    let total = |what: &str| of(what).values().sum::<f64>();
    let invocations = of("requests");
    // Of all periods: each one's counts as much as it has requests.
    let mean = |percentile: u8| Some((percentile, mean(of(&format!("p{percentile}")), invocations)?));
    let counted = Counted {
        requests: total("counted"),
        invocations: total("requests") + total("beside"),
    };
    Sample {
        requests: total("requests") + total("throttles"),
        errors: total("errors") + total("throttles") + total("responses"),
        failed: total("errors") + total("throttles"),
        counted: (is_counting || counted.requests > 0.0).then_some(counted),
        durations: PERCENTILES.into_iter().filter_map(mean).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;
    use crate::release::canary::{Judgement, judge};

    fn alias(name: &str) -> VersionAlias {
        VersionAlias {
            name: name.to_owned(),
            function: format!("shop-dev-{name}"),
            version: 3,
            is_live: false,
        }
    }

    /// AWS whose aliases show their weights for a while after they were cleared; and the calls that it gets.
    fn lagging(shown: impl Fn(Option<Duration>) -> bool + Send + Sync + 'static) -> (Context, Arc<Mutex<Vec<String>>>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let cleared: Mutex<Option<Instant>> = Mutex::new(None);
        let log = Arc::clone(&calls);
        let clients = fake::clients("eu-central-1", move |call| {
            let method = call.operation.split(' ').next().unwrap_or_default().to_owned();
            log.lock().push(method.clone());
            if method == "PUT" {
                cleared.lock().get_or_insert_with(Instant::now);
            }
            let weights = match shown(cleared.lock().map(|at| at.elapsed())) {
                true => r#"{"4":0.1}"#,
                false => "{}",
            };
            let body = format!(r#"{{"Name":"v3","RoutingConfig":{{"AdditionalVersionWeights":{weights}}}}}"#);
            (200, body.into_bytes())
        });
        (context_over(identity(), clients), calls)
    }

    #[tokio::test(start_paused = true)]
    async fn weights_are_cleared_and_looked_at_until_they_are_gone() {
        let (context, calls) = lagging(|since| since.is_none_or(|since| since < Duration::from_secs(40)));
        let cleared = clear(&context, &[alias("orders")], &BTreeSet::new()).await;
        assert_eq!(cleared, Ok(()));
        let calls = calls.lock();
        assert_eq!(calls.iter().filter(|call| *call == "PUT").count(), 1);
        assert!(calls.len() > 20, "{}", calls.len());
    }

    #[tokio::test(start_paused = true)]
    async fn weights_that_this_run_set_are_cleared_whatever_a_read_shows() {
        let (context, calls) = lagging(|_| false);
        let weighted = BTreeSet::from([alias("orders")]);
        assert_eq!(
            clear(&context, &[alias("orders"), alias("users")], &weighted).await,
            Ok(())
        );
        let calls = calls.lock();
        assert_eq!(calls.iter().filter(|call| *call == "PUT").count(), 1, "{calls:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn weights_that_stay_are_said_with_the_command_that_clears_them() {
        let (context, _) = lagging(|_| true);
        let began = Instant::now();
        let left = clear(&context, &[alias("orders")], &BTreeSet::new()).await.unwrap_err();
        assert!((120..130).contains(&began.elapsed().as_secs()));
        assert_eq!(
            left.to_string(),
            "weights are STILL set: alias v3 of shop-dev-orders: version 4 gets 10%, as AWS shows it 120 s after they were \
             cleared"
        );
        assert_eq!(
            left.commands(),
            [
                "aws lambda update-alias --region eu-central-1 --function-name shop-dev-orders --name v3 --routing-config \
              AdditionalVersionWeights={}"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_alias_that_cannot_be_cleared_keeps_no_other_from_it() {
        let clients = fake::clients("eu-central-1", |call| match call.operation.contains("orders") {
            true => (403, br#"{"message":"no"}"#.to_vec()),
            false => (200, b"{}".to_vec()),
        });
        let context = context_over(identity(), clients);
        let weighted = BTreeSet::from([alias("orders"), alias("users")]);
        let left = clear(&context, &[], &weighted).await.unwrap_err();
        assert_eq!(
            left.aliases
                .iter()
                .map(|one| one.alias.name.as_str())
                .collect::<Vec<_>>(),
            ["orders"]
        );
    }

    /// Values of one function, a period each.
    fn values(of: &[(&str, f64)]) -> Values {
        let of = of.iter();
        of.map(|(id, value)| (format!("{id}_0"), BTreeMap::from([(0, *value)])))
            .collect()
    }

    fn judged(values: &Values, is_counting: bool) -> Judgement {
        let compared = Compared {
            function: "orders".to_owned(),
            old: sample(values, "old", 0, is_counting),
            new: sample(values, "new", 0, is_counting),
        };
        judge(&[compared], &BTreeSet::new(), &BTreeSet::new())
    }

    /// Lambda has counted the invocations, and what says that all of them were answered with 5xx is on its way.
    #[test]
    fn a_release_that_answers_5xx_alone_never_passes() {
        let mut seen = values(&[("old_requests", 900.0), ("old_counted", 900.0), ("new_requests", 100.0)]);
        assert!(matches!(judged(&seen, true), Judgement::Incomplete(_)));
        // Requests of preview's checks are counted, too, and do not stand for those of the share.
        seen.extend(values(&[("new_beside", 48.0), ("new_counted", 48.0)]));
        assert!(matches!(judged(&seen, true), Judgement::Incomplete(_)));
        seen.extend(values(&[("new_counted", 148.0), ("new_responses", 100.0)]));
        assert!(matches!(judged(&seen, true), Judgement::Bad(_)));
    }

    #[test]
    fn a_function_that_counts_nothing_is_judged_by_what_lambda_counts() {
        let seen = values(&[("old_requests", 900.0), ("new_requests", 100.0)]);
        assert_eq!(judged(&seen, false), Judgement::Good);
        let failing = [("new_errors", 9.0), ("new_throttles", 9.0)];
        for one in failing {
            let mut seen = seen.clone();
            seen.extend(values(&[one]));
            assert!(matches!(judged(&seen, false), Judgement::Bad(_)), "{one:?}");
        }
        // A release that begins to count is judged by that.
        let mut counting = seen;
        counting.extend(values(&[("new_counted", 10.0)]));
        assert!(matches!(judged(&counting, false), Judgement::Incomplete(_)));
    }
}
