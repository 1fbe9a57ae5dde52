//! When functions were last given something in this run that AWS takes a while to know everywhere: an invoke permission, a
//! statement of their role.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::aws::client::context::Context;

/// By logical name.
#[derive(Default)]
struct Granted(Mutex<BTreeMap<String, Instant>>);

impl Context {
    /// A function was given something now.
    pub(in crate::aws) fn grant(&self, function: &str) {
        let granted = self.extension::<Granted>();
        granted.0.lock().insert(function.to_owned(), Instant::now());
    }

    /// When a function was last given something; none when that was not in this run.
    pub(in crate::aws) fn granted(&self, function: &str) -> Option<Instant> {
        self.extension::<Granted>().0.lock().get(function).copied()
    }
}
