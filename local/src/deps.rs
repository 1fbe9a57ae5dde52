//! Dependencies on the outside world, injected in tests: the wall clock, ids and randomness.
//!
//! Durations and timers are tokio's; they are not here.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

/// The wall clock, fresh ids and chance.
#[derive(Clone)]
pub struct Deps {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    id: Arc<dyn Fn() -> Uuid + Send + Sync>,
    chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Deps {
    /// The real ones.
    pub fn system() -> Self {
        Self {
            now: Arc::new(Timestamp::now),
            id: Arc::new(Uuid::new_v4),
            chance: Arc::new(|| {
                // 53 random bits make a double in 0.0..1.0.
                let bits = Uuid::new_v4().as_u64_pair().1 & ((1 << 53) - 1);
                bits as f64 / (1_u64 << 53) as f64
            }),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            ..self
        }
    }

    /// The same with other ids.
    #[must_use]
    pub fn with_ids(self, id: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self {
            id: Arc::new(id),
            ..self
        }
    }

    /// The same with other chance, in 0.0..1.0.
    #[must_use]
    pub fn with_chance(self, chance: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self {
            chance: Arc::new(chance),
            ..self
        }
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The wall clock, milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// A fresh id.
    pub fn id(&self) -> Uuid {
        (self.id)()
    }

    /// A number in 0.0..1.0.
    pub fn chance(&self) -> f64 {
        (self.chance)()
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Deps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_below_one() {
        let deps = Deps::system();
        for _ in 0..1_000 {
            let chance = deps.chance();
            assert!((0.0..1.0).contains(&chance), "{chance}");
        }
    }

    #[test]
    fn system_chance_spreads() {
        // The variant and version bits of a UUID must not be among the 53 that are used.
        let deps = Deps::system();
        let low = (0..1_000).filter(|_| deps.chance() < 0.5).count();
        assert!((350..650).contains(&low), "{low}");
    }
}
