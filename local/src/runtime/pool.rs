//! The execution environments of each function version, and the invocations that wait for one.
//!
//! An invocation takes the environment that became idle last. When none is idle it waits, and a new environment is
//! started for it; it runs in whichever is free first. Environments of a version that is gone end as soon as they have
//! nothing to do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::environment::{Environment, Job, Order};
use super::host::{EnvironmentCount, Host};
use crate::ports::FunctionVersion;

/// Names the pool of a version: ARN, version and revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    function_arn: String,
    version: String,
    revision: String,
}

impl PoolKey {
    pub(super) fn of(version: &FunctionVersion) -> Self {
        Self {
            function_arn: version.function_arn.clone(),
            version: version.version.clone(),
            revision: version.revision.clone(),
        }
    }
}

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    state: Mutex<State>,
    /// Notified when the last environment of a version has ended.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    pools: HashMap<PoolKey, Pool>,
    last_id: u64,
}

#[derive(Debug)]
struct Pool {
    version: Arc<FunctionVersion>,
    /// The last one became idle last.
    idle: Vec<(u64, mpsc::UnboundedSender<Order>)>,
    waiting: VecDeque<Box<Job>>,
    environments: HashSet<u64>,
    starting: HashSet<u64>,
    /// Those that have answered and will ask for their next event at once.
    settling: HashSet<u64>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    Retired,
}

/// The next step of an environment.
#[derive(Debug)]
pub(super) enum NextJob {
    /// This.
    Job(Box<Job>),
    /// Wait for orders.
    Parked,
    /// End.
    End,
}

impl Pools {
    /// Gives an invocation to an idle environment, or lets it wait for one.
    pub(super) fn admit(&self, host: &Arc<Host>, version: &Arc<FunctionVersion>, job: Box<Job>) {
        let key = PoolKey::of(version);
        let mut state = self.state.lock();
        if host.is_stopped() {
            // Dropping the job notifies its caller.
            return;
        }
        let pool = state
            .pools
            .entry(key.clone())
            .or_insert_with(|| Pool::new(Arc::clone(version)));
        let mut order = Order::Invoke(job);
        while let Some((_, environment)) = pool.idle.pop() {
            match environment.send(order) {
                Ok(()) => return,
                // It is ending.
                Err(returned) => order = returned.0,
            }
        }
        if let Order::Invoke(job) = order {
            pool.waiting.push_back(job);
        }
        scale(host, &key, &mut state);
    }

    /// The next waiting invocation for an environment that is ready; without one it counts as idle from now on.
    pub(super) fn next_job(
        &self,
        host: &Arc<Host>,
        key: &PoolKey,
        id: u64,
        handle: &mpsc::UnboundedSender<Order>,
    ) -> NextJob {
        let mut state = self.state.lock();
        let Some(pool) = state.pools.get_mut(key) else {
            return NextJob::End;
        };
        pool.settling.remove(&id);
        if let Some(job) = pool.waiting.pop_front() {
            scale(host, key, &mut state);
            return NextJob::Job(job);
        }
        match pool.standing {
            Standing::Current => {
                pool.idle.push((id, handle.clone()));
                NextJob::Parked
            }
            Standing::Retired => NextJob::End,
        }
    }

    /// Whether a start still serves someone.
    pub(super) fn is_start_wanted(&self, key: &PoolKey) -> bool {
        self.state
            .lock()
            .pools
            .get(key)
            .is_some_and(|pool| !pool.waiting.is_empty())
    }

    /// An environment has started.
    pub(super) fn started(&self, key: &PoolKey, id: u64) {
        if let Some(pool) = self.state.lock().pools.get_mut(key) {
            pool.starting.remove(&id);
        }
    }

    /// An environment has failed to start; the invocation that is to know.
    pub(super) fn take_waiting(&self, key: &PoolKey, id: u64) -> Option<Box<Job>> {
        let mut state = self.state.lock();
        let pool = state.pools.get_mut(key)?;
        pool.starting.remove(&id);
        pool.waiting.pop_front()
    }

    /// An environment is about to answer and will be ready soon.
    pub(super) fn settling(&self, key: &PoolKey, id: u64) {
        if let Some(pool) = self.state.lock().pools.get_mut(key) {
            pool.settling.insert(id);
        }
    }

    /// An environment that has answered is not ready as soon as expected.
    pub(super) fn is_late(&self, host: &Arc<Host>, key: &PoolKey, id: u64) {
        let mut state = self.state.lock();
        if let Some(pool) = state.pools.get_mut(key) {
            pool.settling.remove(&id);
        }
        scale(host, key, &mut state);
    }

    /// Takes an environment out of the idle ones. `false` when it is not among them: it has just been given an order.
    pub(super) fn withdraw(&self, key: &PoolKey, id: u64) -> bool {
        let mut state = self.state.lock();
        let Some(pool) = state.pools.get_mut(key) else {
            return true;
        };
        let before = pool.idle.len();
        pool.idle.retain(|(idle, _)| *idle != id);
        pool.idle.len() < before
    }

    /// An environment has ended.
    pub(super) fn ended(&self, host: &Arc<Host>, key: &PoolKey, id: u64) {
        let mut state = self.state.lock();
        if let Some(pool) = state.pools.get_mut(key) {
            pool.environments.remove(&id);
            pool.starting.remove(&id);
            pool.settling.remove(&id);
            pool.idle.retain(|(idle, _)| *idle != id);
        }
        scale(host, key, &mut state);
        if state
            .pools
            .get(key)
            .is_some_and(|pool| pool.environments.is_empty() && pool.waiting.is_empty())
        {
            state.pools.remove(key);
            self.emptied.notify_waiters();
        }
    }

    /// Waits until no version has environments or invocations.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.state.lock().pools.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Ends the idle environments of every version that is not among `current`; busy ones end when they are done.
    pub(super) fn retain(&self, current: &HashSet<PoolKey>) {
        let mut state = self.state.lock();
        for (key, pool) in &mut state.pools {
            if current.contains(key) {
                continue;
            }
            pool.standing = Standing::Retired;
            for (_, environment) in pool.idle.drain(..) {
                // One that is ending already needs no order.
                let _ = environment.send(Order::End);
            }
        }
    }

    /// Drops every waiting invocation.
    pub(super) fn abandon(&self) {
        self.state.lock().pools.retain(|_, pool| {
            pool.waiting.clear();
            !pool.environments.is_empty()
        });
    }

    /// The environments of a version.
    pub(super) fn environments(&self, key: &PoolKey) -> EnvironmentCount {
        self.state
            .lock()
            .pools
            .get(key)
            .map_or_else(EnvironmentCount::default, |pool| EnvironmentCount {
                total: pool.environments.len(),
                starting: pool.starting.len(),
                idle: pool.idle.len(),
            })
    }
}

impl Pool {
    fn new(version: Arc<FunctionVersion>) -> Self {
        Self {
            version,
            idle: Vec::new(),
            waiting: VecDeque::new(),
            environments: HashSet::new(),
            starting: HashSet::new(),
            settling: HashSet::new(),
            standing: Standing::Current,
        }
    }
}

/// Starts environments for waiting invocations that none is on its way for.
fn scale(host: &Arc<Host>, key: &PoolKey, state: &mut State) {
    if host.is_stopped() {
        return;
    }
    let Some(pool) = state.pools.get_mut(key) else { return };
    while pool.waiting.len() > pool.starting.len() + pool.settling.len()
        && pool.environments.len() < host.config.max_environments
    {
        state.last_id += 1;
        let id = state.last_id;
        pool.environments.insert(id);
        pool.starting.insert(id);
        let environment = Environment::new(id, Arc::clone(host), key.clone(), Arc::clone(&pool.version));
        tokio::spawn(environment.live());
    }
}
