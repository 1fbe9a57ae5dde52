//! Pacing: each API is called a little below its documented quota instead of being throttled. Rates are requests a
//! second per account and region, from the quota pages of each service; where AWS publishes none, a careful guess.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::client::service::{Quota, Service};

/// Share of a quota, rate and burst, that is used: so that a colleague's console does not trip over us, and because calls that
/// start one after the other may arrive side by side.
const SHARE: f64 = 0.9;

/// Lets calls start no faster than their quota.
#[derive(Debug)]
pub struct Pacer {
    quotas: Vec<(&'static str, &'static Quota)>,
    /// When each quota's bucket would be full again, by index in `quotas`.
    full_at: Mutex<HashMap<usize, Instant>>,
}

impl Pacer {
    /// Keeps the quotas of these services; calls to others are not paced.
    pub fn new(services: &[&'static Service]) -> Self {
        let quotas = services
            .iter()
            .flat_map(|service| service.quotas.iter().map(|quota| (service.name, quota)));
        Self {
            quotas: quotas.collect(),
            full_at: Mutex::default(),
        }
    }

    fn covering(&self, service: &str, operation: &str) -> Option<usize> {
        self.quotas
            .iter()
            .position(|(name, quota)| *name == service && quota.covers(operation))
    }

    /// Waits until the call may start.
    pub async fn pace(&self, service: &str, operation: &str) {
        let Some(index) = self.covering(service, operation) else {
            return;
        };
        let start = self.reserve(index, Instant::now());
        tokio::time::sleep_until(start).await;
    }

    /// Takes a place in the quota's queue and returns when it comes up (generic cell rate algorithm).
    fn reserve(&self, index: usize, now: Instant) -> Instant {
        let (_, quota) = self.quotas[index];
        let interval = Duration::from_secs_f64(1.0 / (quota.rate * SHARE));
        let slack = interval.mul_f64((quota.burst * SHARE - 1.0).max(0.0));
        let mut full_at = self.full_at.lock();
        let full = full_at.entry(index).or_insert(now);
        let base = (*full).max(now);
        *full = base + interval;
        base.checked_sub(slack).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::kinds::registry::services;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let pacer = Pacer::new(services());
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
        let pacer = Pacer::new(services());
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
    struct Counter {
        tokens: HashMap<usize, (f64, Instant)>,
        refused: usize,
    }

    impl Counter {
        fn take(&mut self, index: usize, quota: &Quota) {
            let now = Instant::now();
            let (tokens, counted) = self.tokens.entry(index).or_insert((quota.burst, now));
            *tokens = (*tokens + (now - *counted).as_secs_f64() * quota.rate).min(quota.burst);
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
        let pacer = std::sync::Arc::new(Pacer::new(services()));
        let service = std::sync::Arc::new(Mutex::new(Counter::default()));
        let began = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        let mut wanted: HashMap<usize, f64> = HashMap::new();
        for (name, operation, count) in CALLS {
            let index = pacer.covering(name, operation).unwrap();
            let (_, quota) = pacer.quotas[index];
            for number in 0..count {
                *wanted.entry(index).or_default() += 1.0;
                let (pacer, service) = (std::sync::Arc::clone(&pacer), std::sync::Arc::clone(&service));
                calls.spawn(async move {
                    pacer.pace(name, operation).await;
                    // No two calls take the same way.
                    tokio::time::sleep(Duration::from_millis((number as u64 * 7919 + 13) % 100)).await;
                    service.lock().take(index, quota);
                });
            }
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        let took = began.elapsed().as_secs_f64();
        assert_eq!(service.lock().refused, 0);
        let least = |(index, count): (&usize, &f64)| {
            (count - pacer.quotas[*index].1.burst).max(0.0) / pacer.quotas[*index].1.rate
        };
        let bound = wanted.iter().map(least).fold(0.0, f64::max);
        assert!(took <= bound * 1.15 + 0.5, "{took} s, by the quotas {bound} s");
    }
}
