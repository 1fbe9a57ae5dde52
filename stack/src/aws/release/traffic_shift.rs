//! A share of live's traffic on other versions: weights on the aliases that live's integrations name, and what metrics and
//! alarms say meanwhile.
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html>

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_lambda::types::AliasRoutingConfiguration;
use futures::future::try_join_all;

use crate::aws::client::context::Context;
use crate::aws::client::error::found;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::read::metrics;
use crate::aws::read::metrics::{Query, mean};
use crate::aws::read::reader::Reader;
use crate::release::canary::{Compared, PERCENTILES, PERIOD, Sample};
use crate::release::transition::{Changed, VersionAlias};

/// The alias of live whose weights divert.
fn live_alias(one: &Changed) -> VersionAlias {
    VersionAlias {
        name: one.name.clone(),
        function: one.function.clone(),
        version: one.old,
    }
}

/// Diverts a share of each function to its new version.
pub async fn divert(context: &Context, functions: &[Changed], percent: u8) -> Result<(), AwsError> {
    let weigh = functions.iter().filter_map(|one| {
        let weights = HashMap::from([(one.new?.to_string(), f64::from(percent) / 100.0)]);
        Some(async move { route(context, &live_alias(one), weights).await })
    });
    try_join_all(weigh).await.map(drop)
}

/// Takes all weights away and reads that they are gone.
pub async fn clear(context: &Context, aliases: &[VersionAlias]) -> Result<(), AwsError> {
    let cleared = aliases.iter().map(|one| async move {
        if weights(context, one).await?.is_empty() {
            return Ok(());
        }
        route(context, one, HashMap::new()).await?;
        let left = weights(context, one).await?;
        if left.is_empty() {
            return Ok(());
        }
        let message = format!(
            "alias {} of {} still sends a share to {left:?}",
            one.alias(),
            one.function
        );
        Err(AwsError::own("lambda", "UpdateAlias", ErrorKind::Busy, message))
    });
    try_join_all(cleared).await.map(drop)
}

/// The functions of which an alias sends a share elsewhere, with the percentage.
pub async fn diverted(context: &Context, aliases: &[VersionAlias]) -> Result<BTreeMap<String, u8>, AwsError> {
    let read = aliases.iter().map(|one| async move {
        let weights = weights(context, one).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 100")]
        let percent = (weights.values().sum::<f64>() * 100.0).round() as u8;
        Ok::<_, AwsError>((!weights.is_empty()).then(|| (one.name.clone(), percent)))
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}

async fn weights(context: &Context, one: &VersionAlias) -> Result<HashMap<String, f64>, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(op("lambda", "GetAlias").even_when_stopped(), || {
            client.get_alias().function_name(&one.function).name(one.alias()).send()
        })
        .await;
    // An alias that is gone diverts nothing.
    let routing = found(answer)?.and_then(|alias| alias.routing_config);
    Ok(routing
        .and_then(|routing| routing.additional_version_weights)
        .unwrap_or_default())
}

async fn route(context: &Context, one: &VersionAlias, weights: HashMap<String, f64>) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let call = match weights.is_empty() {
        true => op("lambda", "UpdateAlias").even_when_stopped(),
        false => op("lambda", "UpdateAlias"),
    };
    let _turn = context.serial(format!("lambda/{}", one.function)).await;
    let routing = AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights));
    let routing = routing.build();
    context
        .call(call, || {
            client
                .update_alias()
                .function_name(&one.function)
                .name(one.alias())
                .function_version(one.version.to_string())
                .routing_config(routing.clone())
                .send()
        })
        .await
        .map(drop)
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
const DURATION: (&str, &str) = ("AWS/Lambda", "Duration");
const RESPONSES_5XX: (&str, &str) = ("Taskctl", "Responses5xx");

fn query(id: &str, (namespace, name): (&str, &str), statistic: &str, dimensions: &[(&str, String)]) -> Query {
    Query {
        id: id.to_owned(),
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

/// What the old and new versions did between two Unix times, whole periods.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
pub async fn compare(context: &Context, functions: &[Changed], from: i64, to: i64) -> Result<Vec<Compared>, AwsError> {
    let changed: Vec<(&Changed, u64)> = functions.iter().filter_map(|one| Some((one, one.new?))).collect();
    let mut queries = Vec::new();
    for (place, (one, new)) in changed.iter().enumerate() {
        for (side, version) in [("old", one.old), ("new", *new)] {
            let id = |what: &str| format!("{side}_{what}_{place}");
            let of_alias = [
                ("FunctionName", one.function.clone()),
                ("Resource", format!("{}:{}", one.function, live_alias(one).alias())),
                ("ExecutedVersion", version.to_string()),
            ];
            let of_version = [("FunctionName", one.function.clone()), ("Version", version.to_string())];
            queries.push(query(&id("requests"), INVOCATIONS, "Sum", &of_alias));
            queries.push(query(&id("errors"), ERRORS, "Sum", &of_alias));
            for percentile in PERCENTILES {
                let stat = format!("p{percentile}");
                queries.push(query(&id(&stat), DURATION, &stat, &of_alias));
            }
            queries.push(query(&id("responses"), RESPONSES_5XX, "Sum", &of_version));
        }
    }
    let values = metrics::fetch(context, &queries, from, to).await?;
    let none = BTreeMap::new();
    let sample = |side: &str, place: usize| {
        let of = |what: &str| values.get(&format!("{side}_{what}_{place}")).unwrap_or(&none);
        let total = |what: &str| of(what).values().sum::<f64>();
        let requests = of("requests");
        // Of all periods: each one's counts as much as it has requests.
        let mean = |percentile: u8| Some((percentile, mean(of(&format!("p{percentile}")), requests)?));
        Sample {
            requests: total("requests"),
            errors: total("errors") + total("responses"),
            durations: PERCENTILES.into_iter().filter_map(mean).collect(),
        }
    };
    let compared = changed.iter().enumerate().map(|(place, (one, _))| Compared {
        function: one.name.clone(),
        old: sample("old", place),
        new: sample("new", place),
    });
    Ok(compared.collect())
}
