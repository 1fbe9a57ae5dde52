//! Waiting for a condition, instead of for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pause between two looks grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Looks until there is something, and returns it.
///
/// # Panics
/// When there is nothing after `patience`; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Looks until what is seen has stayed the same for `quiet`, and returns it. `None` is nothing to settle on.
///
/// # Panics
/// When it still changes after `patience`.
#[track_caller]
pub fn settled<T: PartialEq>(
    what: &str,
    quiet: Duration,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let mut before: Option<T> = None;
    let mut since = Instant::now();
    eventually(what, patience, || {
        let now = look();
        if now.is_none() || now != before {
            (before, since) = (now, Instant::now());
        }
        (since.elapsed() >= quiet).then(|| before.take()).flatten()
    })
}
