//! Metrics of CloudWatch, read many at once.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use aws_smithy_types::DateTime;
use futures::future::try_join_all;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;

/// One metric, as one statistic per period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What the answer is called: a small letter, then letters, digits and `_`.
    pub id: String,
    /// Such as `AWS/Lambda`.
    pub namespace: String,
    /// Such as `Invocations`.
    pub name: String,
    /// `Sum`, `Maximum`, `p99`, …
    pub statistic: String,
    /// Whose.
    pub dimensions: Vec<(String, String)>,
    /// Length of a period: whole minutes.
    pub period: Duration,
}

/// Most queries of one request.
const QUERIES: usize = 500;

/// Values by the query's id and the begin of the period, Unix seconds. Periods without data are left out.
pub async fn fetch(
    context: &Context,
    queries: &[Query],
    from: i64,
    to: i64,
) -> Result<BTreeMap<String, BTreeMap<i64, f64>>, AwsError> {
    let some = queries.chunks(QUERIES).map(|some| values(context, some, from, to));
    Ok(try_join_all(some).await?.into_iter().flatten().collect())
}

async fn values(
    context: &Context,
    queries: &[Query],
    from: i64,
    to: i64,
) -> Result<BTreeMap<String, BTreeMap<i64, f64>>, AwsError> {
    let client = &context.clients().cloudwatch;
    let queries: &Vec<MetricDataQuery> = &queries.iter().map(Query::request).collect();
    let results = context.pages(|token| async move {
        let answer = context
            .call(op("cloudwatch", "GetMetricData"), || {
                client
                    .get_metric_data()
                    .set_metric_data_queries(Some(queries.clone()))
                    .start_time(DateTime::from_secs(from))
                    .end_time(DateTime::from_secs(to))
                    .scan_by(ScanBy::TimestampAscending)
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((answer.metric_data_results.unwrap_or_default(), answer.next_token))
    });
    let mut values: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    // A metric may come in parts, over several pages.
    for result in results.await? {
        let times = result.timestamps.unwrap_or_default();
        let times = times.iter().map(DateTime::secs);
        values
            .entry(result.id.unwrap_or_default())
            .or_default()
            .extend(times.zip(result.values.unwrap_or_default()));
    }
    Ok(values)
}

/// The mean of values, each with its weight.
pub fn mean(values: &BTreeMap<i64, f64>, weights: &BTreeMap<i64, f64>) -> Option<f64> {
    let weighed = values
        .iter()
        .filter_map(|(time, value)| Some((weights.get(time)?, value)));
    let (weight, sum) = weighed.fold((0.0, 0.0), |(weight, sum), (one, value)| {
        (weight + one, sum + one * value)
    });
    (weight > 0.0).then(|| sum / weight)
}

impl Query {
    fn request(&self) -> MetricDataQuery {
        let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
        let metric = Metric::builder()
            .namespace(&self.namespace)
            .metric_name(&self.name)
            .set_dimensions(Some(self.dimensions.iter().map(dimension).collect()))
            .build();
        let statistic = MetricStat::builder()
            .metric(metric)
            .period(i32::try_from(self.period.as_secs()).unwrap_or(60))
            .stat(&self.statistic)
            .build();
        MetricDataQuery::builder().id(&self.id).metric_stat(statistic).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_counts_as_much_as_it_has_requests() {
        let values = BTreeMap::from([(0, 10.0), (60, 100.0), (120, 7.0)]);
        let weights = BTreeMap::from([(0, 90.0), (60, 10.0)]);
        assert_eq!(mean(&values, &weights), Some(19.0));
        assert_eq!(mean(&values, &BTreeMap::new()), None);
    }
}
