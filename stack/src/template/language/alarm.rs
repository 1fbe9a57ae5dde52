//! Alarms and topics.

use super::{
    AlarmDescription, Dimension, DimensionValue, Email, Expression, IndexName, LogicalName, MetricId, MetricName,
    NameText, Namespace, Statistic,
};
use crate::template::grammar::{AnyScalar, Duration, Integer, Named, OneOf, Seconds, Spanned, Text, Variant, record};
use crate::template::model::{Comparison, MissingData};

/// Dimensions of a metric.
pub(crate) type Dimensions = Named<Dimension, Spanned<AnyScalar<DimensionValue>>>;

record! {
    /// A CloudWatch alarm on one metric (`metric`, `statistic`, and `function`, `table`, `api` or `namespace`) or on an
    /// expression over several (`expression`, `metrics`).
    pub(crate) struct AlarmSource as "alarm" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// What it means and what to do. The generated alarms say which commands to run.
        description: Option<Spanned<Text<AlarmDescription>>>,
        /// Metric name, e.g. `Errors`, `5xx`, `Latency`.
        metric: Option<Spanned<Text<MetricName>>>,
        /// Statistic over each period.
        statistic: Option<Spanned<Text<Statistic>>>,
        /// Metric of this function (namespace AWS/Lambda).
        function: Option<Spanned<Text<LogicalName>>>,
        /// Metric of this table (namespace AWS/DynamoDB).
        table: Option<Spanned<Text<LogicalName>>>,
        /// Of this index of the table: those of the table count no requests of its indexes.
        index: Option<Spanned<Text<IndexName>>>,
        /// Metric of the API (namespace AWS/ApiGateway).
        api: Option<Spanned<OneOf<ApiSlot>>>,
        /// Any other metric: its namespace.
        namespace: Option<Spanned<Text<Namespace>>>,
        /// Any other metric: its dimensions.
        dimensions: Option<Spanned<Dimensions>>,
        /// Metric math over `metrics`, e.g. `IF(inv > 20, 100 * err / inv, 0)`.
        expression: Option<Spanned<Text<Expression>>>,
        /// What the expression's result is called.
        label: Option<Spanned<Text<MetricName>>>,
        /// The metrics of the expression by their ids, at most 9.
        metrics: Option<Spanned<Named<MetricId, MetricSource>>>,
        /// Length of a period: 10, 20, 30 seconds or whole minutes.
        period: Spanned<Duration<Seconds, 10, 86400>> = "5m",
        /// How many periods are looked at.
        evaluation_periods: Spanned<Integer<1, 8640>> = "1",
        /// How many of them must breach. Without it: all.
        datapoints_to_alarm: Option<Spanned<Integer<1, 8640>>>,
        /// What the value is compared with.
        threshold: Spanned<f64>,
        /// How it is compared.
        comparison: Spanned<OneOf<Comparison>> = "greater-than-or-equal",
        /// What a period without data counts as.
        missing_data: Spanned<OneOf<MissingData>> = "not-breaching",
        /// Topics notified on ALARM and on OK. Without it: those of `defaults.alarm`.
        topics: Option<Spanned<Vec<Spanned<Text<LogicalName>>>>>,
    }
}

record! {
    /// A metric of an expression.
    pub(crate) struct MetricSource as "metric" {
        /// Metric name.
        metric: Spanned<Text<MetricName>>,
        /// Statistic over each period.
        statistic: Spanned<Text<Statistic>> = "Sum",
        /// Metric of this function (namespace AWS/Lambda).
        function: Option<Spanned<Text<LogicalName>>>,
        /// Metric of this table (namespace AWS/DynamoDB).
        table: Option<Spanned<Text<LogicalName>>>,
        /// Of this index of the table: those of the table count no requests of its indexes.
        index: Option<Spanned<Text<IndexName>>>,
        /// Metric of the API (namespace AWS/ApiGateway).
        api: Option<Spanned<OneOf<ApiSlot>>>,
        /// Any other metric: its namespace.
        namespace: Option<Spanned<Text<Namespace>>>,
        /// Any other metric: its dimensions.
        dimensions: Option<Spanned<Dimensions>>,
    }
}

record! {
    /// An SNS topic.
    pub(crate) struct TopicSource as "topic" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// Addresses that are notified; each must confirm once.
        emails: Spanned<Vec<Spanned<Text<Email>>>> = "[]",
    }
}

/// The slot of the API that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiSlot {
    Live,
}

impl Variant for ApiSlot {
    const WHAT: &'static str = "a slot of the API";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[("live", "what users get", Self::Live)];
}

impl Variant for Comparison {
    const WHAT: &'static str = "a comparison";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("greater-than-or-equal", "value ≥ threshold", Self::GreaterThanOrEqual),
        ("greater-than", "value > threshold", Self::GreaterThan),
        ("less-than", "value < threshold", Self::LessThan),
        ("less-than-or-equal", "value ≤ threshold", Self::LessThanOrEqual),
    ];
}

impl Variant for MissingData {
    const WHAT: &'static str = "a treatment of missing data";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("not-breaching", "counts as good", Self::NotBreaching),
        ("breaching", "counts as bad", Self::Breaching),
        ("ignore", "keeps the state", Self::Ignore),
        ("missing", "INSUFFICIENT_DATA", Self::Missing),
    ];
}
