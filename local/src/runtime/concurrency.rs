//! The concurrency limits: of the account and reserved ones of functions.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ports::ThrottleReason;

/// Counts running invocations.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: u32,
    running: Arc<Mutex<HashMap<String, u32>>>,
}

impl Concurrency {
    /// Counts against the limit of the account.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            running: Arc::default(),
        }
    }

    /// Lets an invocation of a function in, or says which limit keeps it out.
    pub(super) fn enter(&self, function_arn: &str, reserved: Option<u32>) -> Result<Slot, ThrottleReason> {
        let mut running = self.running.lock();
        let now = running.get(function_arn).copied().unwrap_or_default();
        match reserved {
            Some(reserved) if now >= reserved => {
                return Err(ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            Some(_) => {}
            None if running.values().sum::<u32>() >= self.limit => {
                return Err(ThrottleReason::ConcurrentInvocationLimitExceeded);
            }
            None => {}
        }
        match running.get_mut(function_arn) {
            Some(count) => *count += 1,
            None => drop(running.insert(function_arn.to_owned(), 1)),
        }
        Ok(Slot {
            function_arn: function_arn.to_owned(),
            at_entry: now + 1,
            running: Arc::clone(&self.running),
        })
    }
}

/// A running invocation, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    function_arn: String,
    at_entry: u32,
    running: Arc<Mutex<HashMap<String, u32>>>,
}

impl Slot {
    /// How many ran at once with this one when it came in.
    pub(super) fn at_entry(&self) -> u32 {
        self.at_entry
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(count) = running.get_mut(&self.function_arn) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.function_arn);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_concurrency_limits_one_function() {
        let concurrency = Concurrency::new(1_000);
        let reason = ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded;
        assert_eq!(concurrency.enter("a", Some(0)).err(), Some(reason));
        let slot = concurrency.enter("a", Some(1));
        assert_eq!(slot.as_ref().map(Slot::at_entry).ok(), Some(1));
        assert_eq!(concurrency.enter("a", Some(1)).err(), Some(reason));
        assert!(concurrency.enter("b", Some(1)).is_ok());
        drop(slot);
        assert!(concurrency.enter("a", Some(1)).is_ok());
    }

    #[test]
    fn account_limits_all_functions_together() {
        let concurrency = Concurrency::new(2);
        let slots = [concurrency.enter("a", None), concurrency.enter("b", None)];
        assert_eq!(
            concurrency.enter("a", None).err(),
            Some(ThrottleReason::ConcurrentInvocationLimitExceeded)
        );
        drop(slots);
        assert!(concurrency.enter("a", None).is_ok());
    }
}
