//! A template's alarm as CloudWatch knows it: subjects become namespaces and dimensions.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::cloudwatch::alarm::{Actions, Measure, Model, Query, QueryRole, Stat, comparison, missing_data};
use crate::aws::kinds::placeholder::API_ID;
use crate::resource::ResourceId;
use crate::template::model::{Alarm, AlarmMetric, MetricStat, MetricSubject};

/// The model of an alarm and what must exist before it.
pub fn compile(inputs: &Inputs<'_>, name: &str, alarm: &Alarm) -> (Model, Vec<ResourceId>) {
    let Alarm {
        name: given,
        description,
        metric,
        period_seconds,
        evaluation_periods,
        datapoints_to_alarm,
        threshold,
        comparison: operator,
        treat_missing_data,
        topics,
    } = alarm;
    let period = number(*period_seconds);
    let told: BTreeSet<String> = topics
        .iter()
        .map(|topic| inputs.identity.arn("sns", &inputs.topic(topic)))
        .collect();
    let mut stats: Vec<&MetricStat> = Vec::new();
    let measure = match metric {
        AlarmMetric::Single(stat) => {
            stats.push(stat);
            Measure::Metric(self::stat(inputs, stat, period))
        }
        AlarmMetric::Math {
            expression,
            label,
            metrics,
        } => {
            let mut queries = BTreeMap::new();
            for (id, stat) in metrics {
                let query = Query {
                    stat: Some(self::stat(inputs, stat, period)),
                    expression: None,
                    label: None,
                    role: QueryRole::Input,
                };
                queries.insert(id.clone(), query);
                stats.push(stat);
            }
            let result = Query {
                stat: None,
                expression: Some(expression.clone()),
                label: label.clone(),
                role: QueryRole::Result,
            };
            queries.insert(result_id(metrics), result);
            Measure::Queries(queries)
        }
    };
    let needs = if stats.iter().any(|stat| stat.subject == MetricSubject::ApiLive) {
        vec![apigateway::api::id()]
    } else {
        Vec::new()
    };
    let model = Model {
        name: given.clone().unwrap_or_else(|| inputs.names().alarm(name)),
        description: description.clone(),
        measure,
        evaluation_periods: number(*evaluation_periods),
        datapoints_to_alarm: number(*datapoints_to_alarm),
        threshold: *threshold,
        comparison: comparison(*operator).to_owned(),
        treat_missing_data: missing_data(*treat_missing_data).to_owned(),
        few_samples: "evaluate".to_owned(),
        actions: Actions::Enabled,
        alarm_actions: told.clone(),
        ok_actions: told,
        insufficient_data_actions: BTreeSet::new(),
        tags: inputs.tags(),
    };
    (model, needs)
}

/// An id for the result that no metric of the alarm has.
fn result_id(metrics: &BTreeMap<String, MetricStat>) -> String {
    let mut id = "result".to_owned();
    while metrics.contains_key(&id) {
        id.push('_');
    }
    id
}

fn stat(inputs: &Inputs<'_>, stat: &MetricStat, period_seconds: i32) -> Stat {
    let MetricStat {
        subject,
        metric,
        statistic,
    } = stat;
    let dimension = |name: &str, value: String| BTreeMap::from([(name.to_owned(), value)]);
    let (namespace, dimensions) = match subject {
        MetricSubject::Function(name) => (
            "AWS/Lambda".to_owned(),
            dimension("FunctionName", inputs.function(name)),
        ),
        MetricSubject::Table(name) => ("AWS/DynamoDB".to_owned(), dimension("TableName", inputs.table(name))),
        MetricSubject::Index { table, index } => {
            let mut dimensions = dimension("TableName", inputs.table(table));
            dimensions.insert("GlobalSecondaryIndexName".to_owned(), index.clone());
            ("AWS/DynamoDB".to_owned(), dimensions)
        }
        MetricSubject::ApiLive => {
            let mut dimensions = dimension("ApiId", API_ID.to_owned());
            dimensions.insert("Stage".to_owned(), "$default".to_owned());
            ("AWS/ApiGateway".to_owned(), dimensions)
        }
        MetricSubject::Custom { namespace, dimensions } => (namespace.clone(), dimensions.clone()),
    };
    Stat {
        namespace,
        metric: metric.clone(),
        dimensions,
        statistic: statistic.clone(),
        period_seconds,
        unit: None,
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
