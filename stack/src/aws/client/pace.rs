//! Pacing: each API is called a little below its documented quota instead of being throttled. Rates are requests a
//! second per account and region, from the quota pages of each service; where AWS publishes none, a careful guess.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Calls that share a quota.
struct Group {
    service: &'static str,
    /// Operations, or prefixes ending in `*`; empty means the rest of the service.
    operations: &'static [&'static str],
    rate: f64,
    burst: f64,
}

const fn group(service: &'static str, operations: &'static [&'static str], rate: f64, burst: f64) -> Group {
    Group {
        service,
        operations,
        rate,
        burst,
    }
}

/// The quotas. First match wins.
const GROUPS: &[Group] = &[
    // https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    group("lambda", &["GetFunction"], 100.0, 100.0),
    group("lambda", &["GetPolicy"], 15.0, 15.0),
    group("lambda", &["Invoke"], 1000.0, 1000.0),
    group("lambda", &[], 15.0, 15.0),
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    group("apigateway", &["CreateDeployment"], 0.2, 1.0),
    group("apigateway", &[], 10.0, 40.0),
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
    group("cloudwatch", &["PutMetricAlarm"], 3.0, 3.0),
    group("cloudwatch", &["DeleteAlarms"], 3.0, 3.0),
    group("cloudwatch", &["DescribeAlarms"], 9.0, 9.0),
    group("cloudwatch", &["DescribeAlarmHistory"], 3.0, 3.0),
    group("cloudwatch", &["GetMetricData"], 50.0, 50.0),
    group("cloudwatch", &[], 10.0, 10.0),
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
    group("logs", &["CreateLogGroup"], 10.0, 10.0),
    group("logs", &["DeleteLogGroup"], 10.0, 10.0),
    group("logs", &["DescribeLogGroups"], 10.0, 10.0),
    group("logs", &["FilterLogEvents"], 5.0, 5.0),
    group("logs", &[], 5.0, 10.0),
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    group("dynamodb", &["TagResource", "UntagResource"], 5.0, 5.0),
    group("dynamodb", &["ListTagsOfResource"], 10.0, 10.0),
    group("dynamodb", &["DescribeTable"], 1000.0, 1000.0),
    group(
        "dynamodb",
        &["DescribeTimeToLive", "DescribeContinuousBackups", "Update*"],
        10.0,
        20.0,
    ),
    group("dynamodb", &[], 10.0, 50.0),
    // IAM publishes no rates.
    group("iam", &["Get*", "List*"], 40.0, 80.0),
    group("iam", &[], 15.0, 30.0),
    group("tag", &[], 15.0, 15.0),
    group("s3", &["CreateBucket", "DeleteBucket"], 10.0, 20.0),
    group(
        "s3",
        &["GetObject", "PutObject", "DeleteObject", "DeleteObjects", "HeadObject"],
        3000.0,
        3000.0,
    ),
    group("s3", &[], 50.0, 100.0),
    group("sns", &["TagResource", "UntagResource"], 10.0, 10.0),
    group("sns", &[], 30.0, 30.0),
    group("events", &[], 50.0, 50.0),
];

/// Share of a quota, rate and burst, that is used: so that a colleague's console does not trip over us, and because calls that
/// start one after the other may arrive side by side.
const SHARE: f64 = 0.9;

/// Lets calls start no faster than their quota.
#[derive(Debug, Default)]
pub struct Pacer {
    /// When each group's bucket would be full again, by index in [`GROUPS`].
    full_at: Mutex<HashMap<usize, Instant>>,
}

impl Pacer {
    /// Waits until the call may start.
    pub async fn pace(&self, service: &str, operation: &str) {
        let Some(index) = GROUPS
            .iter()
            .position(|group| group.service == service && group.covers(operation))
        else {
            return;
        };
        let start = self.reserve(index, Instant::now());
        tokio::time::sleep_until(start).await;
    }

    /// Takes a place in the group's queue and tells when it comes up (generic cell rate algorithm).
    fn reserve(&self, index: usize, now: Instant) -> Instant {
        let group = &GROUPS[index];
        let interval = Duration::from_secs_f64(1.0 / (group.rate * SHARE));
        let slack = interval.mul_f64((group.burst * SHARE - 1.0).max(0.0));
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full = full_at.entry(index).or_insert(now);
        let base = (*full).max(now);
        *full = base + interval;
        base.checked_sub(slack).map_or(now, |start| start.max(now))
    }
}

impl Group {
    fn covers(&self, operation: &str) -> bool {
        self.operations.is_empty()
            || self.operations.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => operation.starts_with(prefix),
                None => *name == operation,
            })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let pacer = Pacer::default();
        let began = Instant::now();
        for _ in 0..36 {
            pacer.pace("apigateway", "CreateRoute").await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..90 {
            pacer.pace("apigateway", "CreateRoute").await;
        }
        let took = began.elapsed().as_secs_f64();
        assert!((9.9..=10.2).contains(&took), "90 calls at 9 a second took {took}");
    }

    #[tokio::test(start_paused = true)]
    async fn quotas_are_kept_apart() {
        let pacer = Pacer::default();
        let began = Instant::now();
        for _ in 0..2 {
            pacer.pace("cloudwatch", "PutMetricAlarm").await;
        }
        pacer.pace("cloudwatch", "DescribeAlarms").await;
        pacer.pace("unknown", "Anything").await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        pacer.pace("cloudwatch", "PutMetricAlarm").await;
        assert!(began.elapsed() > Duration::from_millis(100));
    }

    /// What a service counts: a bucket of tokens for each quota, as documented.
    #[derive(Default)]
    struct Service {
        tokens: HashMap<usize, (f64, Instant)>,
        refused: usize,
    }

    impl Service {
        fn take(&mut self, index: usize) {
            let (group, now) = (&GROUPS[index], Instant::now());
            let (tokens, counted) = self.tokens.entry(index).or_insert((group.burst, now));
            *tokens = (*tokens + (now - *counted).as_secs_f64() * group.rate).min(group.burst);
            *counted = now;
            match *tokens >= 1.0 {
                true => *tokens -= 1.0,
                false => self.refused += 1,
            }
        }
    }

    /// The calls of a first deploy of 40 functions and 120 routes all come at once, and arrive up to 100 ms after they started.
    #[tokio::test(start_paused = true)]
    async fn forty_functions_and_120_routes_are_not_throttled_and_take_little_longer_than_the_quotas_make_them() {
        const CALLS: [(&str, &str, usize); 16] = [
            ("iam", "GetRole", 40),
            ("iam", "CreateRole", 40),
            ("iam", "PutRolePolicy", 40),
            ("logs", "CreateLogGroup", 41),
            ("logs", "PutRetentionPolicy", 41),
            ("lambda", "GetFunction", 240),
            ("lambda", "CreateFunction", 40),
            ("lambda", "PublishVersion", 40),
            ("lambda", "CreateAlias", 40),
            ("lambda", "AddPermission", 80),
            ("apigateway", "CreateApi", 1),
            ("apigateway", "CreateIntegration", 40),
            ("apigateway", "CreateRoute", 120),
            ("apigateway", "CreateStage", 2),
            ("cloudwatch", "PutMetricAlarm", 80),
            ("tag", "GetResources", 30),
        ];
        let pacer = std::sync::Arc::new(Pacer::default());
        let service = std::sync::Arc::new(Mutex::new(Service::default()));
        let began = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        let mut wanted: HashMap<usize, f64> = HashMap::new();
        for (name, operation, count) in CALLS {
            let covering = |group: &Group| group.service == name && group.covers(operation);
            let index = GROUPS.iter().position(covering).unwrap();
            for number in 0..count {
                *wanted.entry(index).or_default() += 1.0;
                let (pacer, service) = (std::sync::Arc::clone(&pacer), std::sync::Arc::clone(&service));
                calls.spawn(async move {
                    pacer.pace(name, operation).await;
                    // No two calls take the same way.
                    tokio::time::sleep(Duration::from_millis((number as u64 * 7919 + 13) % 100)).await;
                    service.lock().unwrap().take(index);
                });
            }
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        let took = began.elapsed().as_secs_f64();
        assert_eq!(service.lock().unwrap().refused, 0);
        let least = |(index, count): (&usize, &f64)| (count - GROUPS[*index].burst).max(0.0) / GROUPS[*index].rate;
        let bound = wanted.iter().map(least).fold(0.0, f64::max);
        assert!(took <= bound * 1.15 + 0.5, "{took} s, by the quotas {bound} s");
    }
}
