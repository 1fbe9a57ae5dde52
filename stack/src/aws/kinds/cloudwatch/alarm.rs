//! CloudWatch metric alarm, on one metric or on an expression over several. Composite alarms and anomaly detection are
//! not managed; one that was put in an alarm's place shows as drift.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, Metric, MetricAlarm, MetricDataQuery, MetricStat, StandardUnit, Statistic,
};
use serde::{Deserialize, Serialize};

use crate::aws::client::batch::Batches;
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::gone;
use crate::aws::client::op::op;
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::placeholder;
use crate::aws::kinds::placeholder::Mask;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};
use crate::template::model::{Comparison, MissingData};

/// The kind.
pub struct CloudwatchAlarm;

/// Settings of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–255 characters.
    pub name: String,
    /// What it means and what to do, at most 1,024 characters.
    pub description: String,
    /// What is compared with the threshold.
    pub measure: Measure,
    /// Periods looked at.
    pub evaluation_periods: i32,
    /// Breaching periods that trip it.
    pub datapoints_to_alarm: i32,
    /// Threshold.
    pub threshold: f64,
    /// CloudWatch's comparison operator.
    pub comparison: String,
    /// What a period without data counts as: `breaching`, `notBreaching`, `ignore`, `missing`.
    pub treat_missing_data: String,
    /// What a percentile of few samples counts as: `evaluate`, `ignore`.
    pub few_samples: String,
    /// Whether it tells anyone.
    pub actions: Actions,
    /// ARNs told on ALARM, sorted.
    pub alarm_actions: BTreeSet<String>,
    /// ARNs told on OK, sorted.
    pub ok_actions: BTreeSet<String>,
    /// ARNs told on INSUFFICIENT_DATA, sorted.
    pub insufficient_data_actions: BTreeSet<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What an alarm watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// One metric.
    Metric(Stat),
    /// An expression: queries by id (`[a-z][a-zA-Z0-9_]*`), at most 10, one of them the result.
    Queries(BTreeMap<String, Query>),
}

/// One metric over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// Namespace.
    pub namespace: String,
    /// Metric.
    pub metric: String,
    /// Dimensions; the API's id is [`placeholder::API_ID`].
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    pub statistic: String,
    /// Seconds: 10, 20, 30 or a multiple of 60.
    pub period_seconds: i32,
    /// Unit, when only data of one unit counts.
    pub unit: Option<String>,
}

/// One part of an expression alarm: a metric or an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The metric.
    pub stat: Option<Stat>,
    /// The expression over other queries.
    pub expression: Option<String>,
    /// Label.
    pub label: Option<String>,
    /// What it is for.
    pub role: QueryRole,
}

/// What a query is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryRole {
    /// Compared with the threshold.
    Result,
    /// Used by an expression.
    Input,
}

/// Whether an alarm tells anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actions {
    /// It does.
    Enabled,
    /// Somebody silenced it.
    Disabled,
}

/// Name of the kind.
pub const KIND: &str = "cloudwatch_alarm";

static SPEC: Spec = Spec {
    name: KIND,
    title: "alarm",
    documentation: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
    read_actions: &[
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListTagsForResource",
        "tag:GetResources",
        "apigateway:GET",
    ],
    write_actions: &[
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
    ],
    delete_actions: &["cloudwatch:DeleteAlarms"],
    rollback: Rollback::Immediate,
    replacement: Replacement::CreateFirst,
    replace_on: &["name"],
    usual: Duration::from_millis(300),
    needed_at_runtime: true,
    reach: Reach::Alarms,
    reaches: &[("cloudwatch:DescribeAlarms", Reach::Account)],
    ..Spec::of(&cloudwatch::SERVICE)
};

/// Alarms that one DeleteAlarms takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DeleteAlarms.html>
const DELETE_LIMIT: usize = 100;

/// An alarm's ARN.
pub fn arn(context: &Context, name: &str) -> String {
    context.identity().arn("cloudwatch", &format!("alarm:{name}"))
}

/// CloudWatch's word for a comparison.
pub fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::GreaterThanOrEqual => "GreaterThanOrEqualToThreshold",
        Comparison::GreaterThan => "GreaterThanThreshold",
        Comparison::LessThan => "LessThanThreshold",
        Comparison::LessThanOrEqual => "LessThanOrEqualToThreshold",
    }
}

/// CloudWatch's word for what a period without data counts as.
pub fn missing_data(missing: MissingData) -> &'static str {
    match missing {
        MissingData::NotBreaching => "notBreaching",
        MissingData::Breaching => "breaching",
        MissingData::Ignore => "ignore",
        MissingData::Missing => "missing",
    }
}

#[async_trait]
impl Kind for CloudwatchAlarm {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let stat = |metric: &str, statistic: &str| Stat {
            namespace: "AWS/Lambda".into(),
            metric: metric.into(),
            dimensions: BTreeMap::from([("FunctionName".to_owned(), "shop-dev-tasks".to_owned())]),
            statistic: statistic.into(),
            period_seconds: 300,
            unit: None,
        };
        let input = |metric| Query {
            stat: Some(stat(metric, "Sum")),
            expression: None,
            label: Some(metric.to_owned()),
            role: QueryRole::Input,
        };
        let result = Query {
            stat: None,
            expression: Some("IF(invocations > 20, 100 * errors / invocations, 0)".into()),
            label: Some("error rate".into()),
            role: QueryRole::Result,
        };
        let small = Model {
            name: "shop-dev-tasks-slow".into(),
            description: String::new(),
            measure: Measure::Metric(stat("Duration", "p99")),
            evaluation_periods: 1,
            datapoints_to_alarm: 1,
            threshold: 5.0,
            comparison: comparison(Comparison::GreaterThanOrEqual).into(),
            treat_missing_data: missing_data(MissingData::Missing).into(),
            few_samples: "evaluate".into(),
            actions: Actions::Enabled,
            alarm_actions: BTreeSet::new(),
            ok_actions: BTreeSet::new(),
            insufficient_data_actions: BTreeSet::new(),
            tags: BTreeMap::new(),
        };
        let topic = BTreeSet::from(["arn:aws:sns:us-east-1:000000000000:shop-dev-alarms".to_owned()]);
        let full = Model {
            name: "shop-dev-tasks-error-rate".into(),
            description: "Errors above 2.5 %. Look: taskctl logs tasks. Back: taskctl rollback".into(),
            measure: Measure::Queries(BTreeMap::from([
                ("errors".to_owned(), input("Errors")),
                ("invocations".to_owned(), input("Invocations")),
                ("rate".to_owned(), result),
            ])),
            evaluation_periods: 3,
            datapoints_to_alarm: 1,
            threshold: 2.5,
            comparison: comparison(Comparison::GreaterThan).into(),
            treat_missing_data: missing_data(MissingData::NotBreaching).into(),
            few_samples: "evaluate".into(),
            actions: Actions::Disabled,
            alarm_actions: topic.clone(),
            ok_actions: topic.clone(),
            insufficient_data_actions: topic,
            tags: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        };
        vec![small, full]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(alarm) = reader.alarm(&desired.name).await? else {
            return Ok(None);
        };
        let context = reader.context();
        let arn = arn(context, &desired.name);
        let tags = reader.tags(&arn, &desired.tags, async || {
            cloudwatch::tags::read(context, &arn).await
        });
        let (mask, tags) = futures::try_join!(Mask::read(reader), tags)?;
        let mut observed = Observed::ours(
            model(&alarm, &mask, tags.clone()),
            alarm_outputs(context, &desired.name),
        );
        observed.ownership = ownership(context, &tags);
        Ok(Some(observed))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let (alarms, _) = futures::try_join!(reader.alarms(), reader.tagged())?;
        let listed = alarms
            .iter()
            .filter_map(|alarm| alarm.alarm_name().map(str::to_owned))
            .collect();
        let own_tags = |name: String| async move {
            let arn = arn(context, &name);
            reader.own_tags(&arn, cloudwatch::tags::read(context, &arn)).await
        };
        let names = ours(reader, &Naming::of_any_characters(arn(context, "")), listed, own_tags).await?;
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(context.identity(), name, "")),
            outputs: alarm_outputs(context, name),
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        put(context, desired).await?;
        Ok(alarm_outputs(context, &desired.name))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        if changes.touch_beyond("tags") {
            put(context, desired).await?;
        }
        if changes.touch("tags") {
            cloudwatch::tags::change(
                context,
                &arn(context, &desired.name),
                &observed.model.tags,
                &desired.tags,
            )
            .await?;
        }
        Ok(alarm_outputs(context, &desired.name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let client = &context.clients().cloudwatch;
        Batches::join(
            context,
            "cloudwatch:DeleteAlarms",
            DELETE_LIMIT,
            name,
            |names| async move {
                let deleted = context
                    .call(op("cloudwatch", "DeleteAlarms"), || {
                        client.delete_alarms().set_alarm_names(Some(names.clone())).send()
                    })
                    .await;
                // Names that are not there do not keep the others from being deleted.
                gone(deleted.map(drop))
            },
        )
        .await
    }
}

/// Writes the whole alarm: what PutMetricAlarm is not told falls back to its default. Tags count on creation only.
async fn put(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let Model {
        name,
        description,
        measure,
        evaluation_periods,
        datapoints_to_alarm,
        threshold,
        comparison,
        treat_missing_data,
        few_samples,
        actions,
        alarm_actions,
        ok_actions,
        insufficient_data_actions,
        tags,
    } = desired;
    let client = &context.clients().cloudwatch;
    let list = |arns: &BTreeSet<String>| Some(arns.iter().cloned().collect::<Vec<_>>());
    let request = client
        .put_metric_alarm()
        .alarm_name(name)
        .alarm_description(description)
        .evaluation_periods(*evaluation_periods)
        .datapoints_to_alarm(*datapoints_to_alarm)
        .threshold(*threshold)
        .comparison_operator(ComparisonOperator::from(comparison.as_str()))
        .treat_missing_data(treat_missing_data)
        .actions_enabled(*actions == Actions::Enabled)
        .set_alarm_actions(list(alarm_actions))
        .set_ok_actions(list(ok_actions))
        .set_insufficient_data_actions(list(insufficient_data_actions))
        .set_tags((!tags.is_empty()).then(|| cloudwatch::tags::build(tags)));
    let request = match measure {
        Measure::Metric(Stat {
            namespace,
            metric,
            dimensions,
            statistic,
            period_seconds,
            unit,
        }) => {
            let request = request
                .namespace(namespace)
                .metric_name(metric)
                .set_dimensions(Some(to_dimensions(context, dimensions)?))
                .period(*period_seconds)
                .set_unit(unit.as_deref().map(StandardUnit::from));
            if is_percentile(statistic) {
                request
                    .extended_statistic(statistic)
                    .evaluate_low_sample_count_percentile(few_samples)
            } else {
                request.statistic(Statistic::from(statistic.as_str()))
            }
        }
        Measure::Queries(queries) => {
            let queries: Result<Vec<_>, _> = queries.iter().map(|(id, query)| to_query(context, id, query)).collect();
            request.set_metrics(Some(queries?))
        }
    };
    context
        .call(op("cloudwatch", "PutMetricAlarm"), || request.clone().send())
        .await
        .map(drop)
}

fn to_query(context: &Context, id: &str, query: &Query) -> Result<MetricDataQuery, AwsError> {
    let Query {
        stat,
        expression,
        label,
        role,
    } = query;
    let stat = stat.as_ref().map(|stat| to_stat(context, stat)).transpose()?;
    Ok(MetricDataQuery::builder()
        .id(id)
        .set_metric_stat(stat)
        .set_expression(expression.clone())
        .set_label(label.clone())
        .return_data(*role == QueryRole::Result)
        .build())
}

fn to_stat(context: &Context, stat: &Stat) -> Result<MetricStat, AwsError> {
    let Stat {
        namespace,
        metric,
        dimensions,
        statistic,
        period_seconds,
        unit,
    } = stat;
    let metric = Metric::builder()
        .namespace(namespace)
        .metric_name(metric)
        .set_dimensions(Some(to_dimensions(context, dimensions)?))
        .build();
    Ok(MetricStat::builder()
        .metric(metric)
        .period(*period_seconds)
        .stat(statistic)
        .set_unit(unit.as_deref().map(StandardUnit::from))
        .build())
}

fn to_dimensions(context: &Context, dimensions: &BTreeMap<String, String>) -> Result<Vec<Dimension>, AwsError> {
    dimensions
        .iter()
        .map(|(name, value)| {
            Ok(Dimension::builder()
                .name(name)
                .value(placeholder::fill(context, value)?)
                .build())
        })
        .collect()
}

/// An alarm as AWS describes it, with what it leaves out filled in.
fn model(alarm: &MetricAlarm, mask: &Mask, tags: BTreeMap<String, String>) -> Model {
    let list = |arns: &[String]| arns.iter().cloned().collect();
    let evaluation_periods = alarm.evaluation_periods().unwrap_or_default();
    let measure = if alarm.metrics().is_empty() {
        Measure::Metric(Stat {
            namespace: text(alarm.namespace()),
            metric: text(alarm.metric_name()),
            dimensions: from_dimensions(alarm.dimensions(), mask),
            statistic: text(alarm.extended_statistic().or(alarm.statistic().map(Statistic::as_str))),
            period_seconds: alarm.period().unwrap_or_default(),
            unit: alarm.unit().map(|unit| unit.as_str().to_owned()),
        })
    } else {
        Measure::Queries(alarm.metrics().iter().map(|query| from_query(query, mask)).collect())
    };
    Model {
        name: text(alarm.alarm_name()),
        description: text(alarm.alarm_description()),
        measure,
        evaluation_periods,
        datapoints_to_alarm: alarm.datapoints_to_alarm().unwrap_or(evaluation_periods),
        threshold: alarm.threshold().unwrap_or_default(),
        comparison: text(alarm.comparison_operator().map(ComparisonOperator::as_str)),
        treat_missing_data: alarm.treat_missing_data().unwrap_or("missing").to_owned(),
        few_samples: alarm
            .evaluate_low_sample_count_percentile()
            .unwrap_or("evaluate")
            .to_owned(),
        actions: if alarm.actions_enabled().unwrap_or(true) {
            Actions::Enabled
        } else {
            Actions::Disabled
        },
        alarm_actions: list(alarm.alarm_actions()),
        ok_actions: list(alarm.ok_actions()),
        insufficient_data_actions: list(alarm.insufficient_data_actions()),
        tags,
    }
}

fn from_query(query: &MetricDataQuery, mask: &Mask) -> (String, Query) {
    let stat = query.metric_stat().map(|stat| Stat {
        namespace: text(stat.metric().and_then(Metric::namespace)),
        metric: text(stat.metric().and_then(Metric::metric_name)),
        dimensions: from_dimensions(stat.metric().map(Metric::dimensions).unwrap_or_default(), mask),
        statistic: text(stat.stat()),
        period_seconds: stat.period().unwrap_or_default(),
        unit: stat.unit().map(|unit| unit.as_str().to_owned()),
    });
    let role = if query.return_data().unwrap_or(true) {
        QueryRole::Result
    } else {
        QueryRole::Input
    };
    let filled = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    (
        text(query.id()),
        Query {
            stat,
            expression: filled(query.expression()),
            label: filled(query.label()),
            role,
        },
    )
}

fn from_dimensions(dimensions: &[Dimension], mask: &Mask) -> BTreeMap<String, String> {
    dimensions
        .iter()
        .map(|one| (text(one.name()), mask.apply(one.value().unwrap_or_default())))
        .collect()
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// Everything but the five plain statistics is an extended one: `p99`, `tm99`, `IQM`, …
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html>
fn is_percentile(statistic: &str) -> bool {
    !Statistic::values().contains(&statistic)
}

fn alarm_outputs(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}
