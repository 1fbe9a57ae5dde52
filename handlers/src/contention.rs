//! Trying a transaction again when another one was in its way.

use std::time::Duration;

use crate::http::Failure;
use crate::record::RecordId;

/// Attempts before giving up; 16 writers of one record all get through long before.
const ATTEMPTS: u32 = 24;
/// Longest pause between attempts, before jitter.
const LONGEST_PAUSE_MILLIS: u64 = 160;

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempt<T> {
    /// With this result.
    Finished(T),
    /// Something else changed meanwhile: read again and repeat.
    Again,
}

/// Gave up.
#[derive(Debug, thiserror::Error)]
#[error("the record was changed by others {ATTEMPTS} times in a row")]
struct TooMuchContention;

/// Repeats an attempt until it finishes, with growing, jittered pauses.
pub async fn until_finished<T>(mut attempt: impl AsyncFnMut() -> Result<Attempt<T>, Failure>) -> Result<T, Failure> {
    for number in 0..ATTEMPTS {
        if let Attempt::Finished(result) = attempt().await? {
            return Ok(result);
        }
        let longest = LONGEST_PAUSE_MILLIS.min(4 << number.min(8));
        let pause = RecordId::new().spread() % (longest * 1000);
        tokio::time::sleep(Duration::from_micros(pause)).await;
    }
    Err(Failure::Unavailable(Box::new(TooMuchContention)))
}
