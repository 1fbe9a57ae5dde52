//! Calls and time by the resource that they are made for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::aws::client::context::Context;
use crate::resource::ResourceId;

tokio::task_local! {
    /// The resource on whose behalf this task calls AWS, and what that has taken.
    static ON_BEHALF: (ResourceId, Arc<Mutex<Spent>>);
}

/// What a resource has taken so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Calls, repeated ones included.
    pub calls: u32,
    /// How long they took, one after the other.
    pub calling: Duration,
    /// How long it waited: for quotas, for AWS to get ready, before repeating a call.
    pub waiting: Duration,
}

/// Adds to what the resource of this task has taken.
pub(super) fn spend(add: impl FnOnce(&mut Spent)) {
    let _ = ON_BEHALF.try_with(|(_, spent)| add(&mut spent.lock()));
}

/// The resource on whose behalf this task calls AWS.
pub(super) fn on_whose_behalf() -> Option<ResourceId> {
    ON_BEHALF.try_with(|(id, _)| id.clone()).ok()
}

impl Context {
    /// Runs work on behalf of a resource, so that its retries are told with its name; tells what it took.
    pub async fn on_behalf<T>(id: ResourceId, work: impl Future<Output = T>) -> (T, Spent) {
        let spent = Arc::new(Mutex::new(Spent::default()));
        let done = ON_BEHALF.scope((id, Arc::clone(&spent)), work).await;
        let spent = *spent.lock();
        (done, spent)
    }
}
