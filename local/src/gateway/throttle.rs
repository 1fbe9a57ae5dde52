//! Rate limits: a token bucket for each stage and for each route with settings of its own.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html>

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::ports::{RouteSettings, StageSnapshot};

/// Requests a second of an account, where a stage says nothing.
const ACCOUNT_RATE: f64 = 10_000.0;

/// Burst of an account, where a stage says nothing.
const ACCOUNT_BURST: u32 = 5_000;

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    Throttled,
}

/// The buckets of one API.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: Mutex<HashMap<(String, Option<String>), Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
    rate: f64,
    burst: f64,
}

impl Throttle {
    /// Takes a token for a request to a route of a stage at this moment.
    pub(super) fn admit(&self, stage: &StageSnapshot, route_key: &str, now: Instant) -> Admission {
        let own = stage
            .route_settings
            .get(route_key)
            .filter(|settings| is_limited(settings));
        let settings = own.unwrap_or(&stage.default_route_settings);
        let rate = settings.throttling_rate_limit.unwrap_or(ACCOUNT_RATE);
        let burst = f64::from(settings.throttling_burst_limit.unwrap_or(ACCOUNT_BURST));
        let key = (stage.name.clone(), own.map(|_| route_key.to_owned()));
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: burst,
            filled: now,
            rate,
            burst,
        });
        bucket.take(rate, burst, now)
    }
}

fn is_limited(settings: &RouteSettings) -> bool {
    settings.throttling_rate_limit.is_some() || settings.throttling_burst_limit.is_some()
}

impl Bucket {
    fn take(&mut self, rate: f64, burst: f64, now: Instant) -> Admission {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        // Requests so far were judged by the former limits.
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled = self.filled.max(now);
        if burst > self.burst {
            self.tokens += burst - self.burst;
        }
        (self.rate, self.burst) = (rate, burst);
        self.tokens = self.tokens.min(burst);
        if self.tokens < 1.0 || rate <= 0.0 {
            return Admission::Throttled;
        }
        self.tokens -= 1.0;
        Admission::Granted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn limits(rate: Option<f64>, burst: Option<u32>) -> RouteSettings {
        RouteSettings {
            throttling_rate_limit: rate,
            throttling_burst_limit: burst,
            detailed_metrics: false,
        }
    }

    fn stage(default: RouteSettings, routes: &[(&str, RouteSettings)]) -> StageSnapshot {
        StageSnapshot {
            name: "$default".to_owned(),
            deployment: None,
            variables: BTreeMap::new(),
            default_route_settings: default,
            route_settings: routes
                .iter()
                .map(|(key, settings)| ((*key).to_owned(), *settings))
                .collect(),
            access_log: None,
        }
    }

    /// How many of `requests` at one moment pass.
    fn granted(throttle: &Throttle, stage: &StageSnapshot, route: &str, now: Instant, requests: usize) -> usize {
        (0..requests)
            .filter(|_| throttle.admit(stage, route, now) == Admission::Granted)
            .count()
    }

    #[test]
    fn burst_then_rate() {
        let throttle = Throttle::default();
        let stage = stage(limits(Some(10.0), Some(5)), &[]);
        let start = Instant::now();
        assert_eq!(granted(&throttle, &stage, "GET /", start, 20), 5);
        assert_eq!(
            granted(&throttle, &stage, "GET /", start + Duration::from_millis(100), 20),
            1
        );
        assert_eq!(
            granted(&throttle, &stage, "GET /", start + Duration::from_millis(350), 20),
            2
        );
        assert_eq!(
            granted(&throttle, &stage, "GET /", start + Duration::from_secs(60), 20),
            5
        );
    }

    #[test]
    fn a_route_with_its_own_limit_has_its_own_bucket() {
        let throttle = Throttle::default();
        let stage = stage(limits(Some(1.0), Some(2)), &[("GET /own", limits(Some(1.0), Some(3)))]);
        let now = Instant::now();
        assert_eq!(granted(&throttle, &stage, "GET /own", now, 9), 3);
        assert_eq!(granted(&throttle, &stage, "GET /a", now, 1), 1);
        // The others share one.
        assert_eq!(granted(&throttle, &stage, "GET /b", now, 9), 1);
    }

    #[test]
    fn no_limit_is_the_accounts() {
        let throttle = Throttle::default();
        let stage = stage(limits(None, None), &[("GET /", limits(None, None))]);
        assert_eq!(granted(&throttle, &stage, "GET /", Instant::now(), 6_000), 5_000);
    }

    #[test]
    fn zero_lets_nothing_pass() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for limits in [limits(Some(0.0), Some(5)), limits(Some(5.0), Some(0))] {
            assert_eq!(granted(&throttle, &stage(limits, &[]), "GET /", now, 5), 0);
        }
    }

    #[test]
    fn changed_limits_hold_at_once() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert_eq!(
            granted(&throttle, &stage(limits(Some(1.0), Some(2)), &[]), "GET /", now, 9),
            2
        );
        assert_eq!(
            granted(&throttle, &stage(limits(Some(1.0), Some(5)), &[]), "GET /", now, 9),
            3
        );
        assert_eq!(
            granted(&throttle, &stage(limits(Some(1.0), Some(1)), &[]), "GET /", now, 9),
            0
        );
    }
}
