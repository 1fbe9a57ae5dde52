//! The life of one execution environment: start, invocations one at a time, idleness, end.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::api::Delivery;
use super::concurrency::Slot;
use super::failure::{self, Failure};
use super::host::Host;
use super::log::EnvironmentLog;
use super::pool::{NextJob, PoolKey};
use super::report::{InitReport, Phase, Report};
use super::sandbox::{Run, Sandbox};
use crate::ports::{FunctionAddress, FunctionVersion, LogTail};

/// How long a starting environment keeps others from starting.
const START_TURN: Duration = Duration::from_millis(250);

/// An invocation on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request_id: String,
    pub(super) address: FunctionAddress,
    pub(super) trace_id: String,
    pub(super) client_context: Option<String>,
    pub(super) payload: Bytes,
    pub(super) log_tail: LogTail,
    /// When the invocation came in, milliseconds since the epoch.
    pub(super) begun_ms: i64,
    /// Its share of the concurrency limits.
    pub(super) slot: Slot,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The result of an invocation.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) result: Result<Bytes, Failure>,
    pub(super) duration: Duration,
    pub(super) log_tail: Option<Vec<u8>>,
}

/// A message to an environment.
#[derive(Debug)]
pub(super) enum Order {
    /// Run this.
    Invoke(Box<Job>),
    /// Its version is gone.
    End,
}

/// An execution environment.
#[derive(Debug)]
pub(super) struct Environment {
    id: u64,
    host: Arc<Host>,
    key: PoolKey,
    version: Arc<FunctionVersion>,
    orders: mpsc::UnboundedReceiver<Order>,
    handle: mpsc::UnboundedSender<Order>,
    log: EnvironmentLog,
    /// Time that the start took, until the first invocation has reported it.
    init: Option<Duration>,
}

/// Reasons for an idle environment to wake up.
#[derive(Debug)]
enum Idle {
    Job(Box<Job>),
    End,
}

impl Environment {
    /// An environment of a version that is yet to start.
    pub(super) fn new(id: u64, host: Arc<Host>, key: PoolKey, version: Arc<FunctionVersion>) -> Self {
        let (handle, orders) = mpsc::unbounded_channel();
        let log = EnvironmentLog::new(
            Arc::clone(&version),
            host.deps.clone(),
            Arc::clone(&host.logs),
            Arc::clone(&host.metrics),
        );
        Self {
            id,
            host,
            key,
            version,
            orders,
            handle,
            log,
            init: None,
        }
    }

    /// Lives until nothing more is to be done here.
    pub(super) async fn live(mut self) {
        let mut stop = self.host.stopped();
        tokio::select! {
            () = self.serve() => {}
            // Dropping what `serve` holds ends the process.
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
        self.log.flush();
        self.orders.close();
        let host = Arc::clone(&self.host);
        host.pools.ended(&host, &self.key, self.id);
        // A job that was handed over while this environment ended has not begun: another one takes it.
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Invoke(job) => host.pools.admit(&host, &self.version, job),
                Order::End => {}
            }
        }
    }

    async fn serve(&mut self) {
        let Some(mut sandbox) = self.start().await else { return };
        let host = Arc::clone(&self.host);
        loop {
            let job = match host.pools.next_job(&host, &self.key, self.id, &self.handle) {
                NextJob::Job(job) => job,
                NextJob::End => break,
                NextJob::Parked => match self.idle(&mut sandbox).await {
                    Idle::Job(job) => job,
                    Idle::End => break,
                },
            };
            let deadline = Instant::now() + self.version.timeout;
            match self.invoke(sandbox, job, deadline).await {
                Some(settled) => sandbox = settled,
                None => return,
            }
        }
        sandbox.end(&mut self.log).await;
    }

    /// Starts the process. When that fails, one waiting invocation tries again within its own time, as Lambda does:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib>.
    async fn start(&mut self) -> Option<Sandbox> {
        let host = Arc::clone(&self.host);
        let turn = host.start_turns.acquire().await;
        if !host.pools.is_start_wanted(&self.key) {
            return None;
        }
        let begun = Instant::now();
        let started = {
            let mut starting = pin!(start_within(
                &host,
                &self.version,
                host.config.init_timeout,
                &mut self.log
            ));
            match timeout(START_TURN, &mut starting).await {
                Ok(started) => started,
                Err(_) => {
                    drop(turn);
                    starting.await
                }
            }
        };
        match started {
            Ok(sandbox) => {
                // Unpacking the code is no part of the start.
                let duration = sandbox.age();
                self.init = Some(duration);
                self.log.init_report(&InitReport {
                    phase: Phase::Init,
                    duration,
                    failure: None,
                });
                host.pools.started(&self.key, self.id);
                Some(sandbox)
            }
            Err(failure) => {
                let duration = begun.elapsed();
                self.log.init_report(&InitReport {
                    phase: Phase::Init,
                    duration,
                    failure: Some(&failure),
                });
                self.log.flush();
                let job = host.pools.take_waiting(&self.key, self.id)?;
                self.start_again(job).await
            }
        }
    }

    /// Starts the process within an invocation, under the function's own limit.
    async fn start_again(&mut self, job: Box<Job>) -> Option<Sandbox> {
        let limit = self.version.timeout;
        let begun = Instant::now();
        let host = Arc::clone(&self.host);
        match start_within(&host, &self.version, limit, &mut self.log).await {
            Ok(sandbox) => self.invoke(sandbox, job, begun + limit).await,
            Err(failure) => {
                let duration = begun.elapsed();
                let failure = match failure {
                    Failure::InitTimeout(limit) => Failure::Timeout(limit),
                    other => other,
                };
                self.log.init_report(&InitReport {
                    phase: Phase::Invoke,
                    duration,
                    failure: Some(&failure),
                });
                self.log.start(&job.request_id);
                self.finish(None, job, Err(failure), duration).await
            }
        }
    }

    /// Runs one invocation. The sandbox comes back ready for the next one, or not at all.
    async fn invoke(&mut self, mut sandbox: Sandbox, job: Box<Job>, deadline: Instant) -> Option<Sandbox> {
        if job.log_tail == LogTail::Include {
            self.log.collect_tail();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        let delivery = Delivery {
            request_id: job.request_id.clone(),
            deadline_ms: self.host.deps.now_ms().saturating_add(left_ms),
            invoked_function_arn: job.address.qualified_arn(),
            trace_id: job.trace_id.clone(),
            client_context: job.client_context.clone(),
            payload: job.payload.clone(),
        };
        match sandbox
            .run(delivery, deadline, self.version.timeout, &mut self.log)
            .await
        {
            Run::Delivered { result, duration } => self.finish(Some(sandbox), job, result, duration).await,
            Run::NotDelivered => {
                // Nothing has begun: another environment takes it.
                let host = Arc::clone(&self.host);
                host.pools.admit(&host, &self.version, job);
                sandbox.end(&mut self.log).await;
                None
            }
        }
    }

    async fn finish(
        &mut self,
        sandbox: Option<Sandbox>,
        job: Box<Job>,
        result: Result<Bytes, Failure>,
        duration: Duration,
    ) -> Option<Sandbox> {
        let Job {
            request_id,
            address,
            log_tail,
            begun_ms,
            slot,
            answer,
            ..
        } = *job;
        let fate = match &result {
            Ok(_) => failure::Environment::Reusable,
            Err(failure) => failure.environment(),
        };
        let sandbox = match fate {
            failure::Environment::Reusable => sandbox.map(Fate::Settles),
            failure::Environment::Lost => sandbox.map(Fate::Ends),
        };
        if let Some(Fate::Settles(_)) = &sandbox {
            self.host.pools.settling(&self.key, self.id);
        }
        let failure = result.as_ref().err().cloned();
        self.host
            .measure
            .invocation(&address, &self.version.version, begun_ms, duration, failure.as_ref());
        // The caller comes before the rest. Its slot is free before it can ask again.
        drop(slot);
        let reply = move |log_tail| {
            // A caller that has gone does not matter.
            let _ = answer.send(Answer {
                result,
                duration,
                log_tail,
            });
        };
        let pending = match log_tail {
            LogTail::Omit => {
                reply(None);
                None
            }
            LogTail::Include => Some(reply),
        };
        let max_memory_used_mib = match &sandbox {
            Some(Fate::Settles(sandbox) | Fate::Ends(sandbox)) => sandbox.max_memory_mib().unwrap_or_default(),
            None => 0,
        };
        let sandbox = match sandbox {
            Some(fate) => fate.collect(&mut self.log).await,
            None => None,
        };
        if let Some(failure) = &failure {
            self.log.failure(&request_id, failure);
        }
        self.log.report(&Report {
            request_id: &request_id,
            duration,
            init: self.init.take(),
            memory_size_mib: self.version.memory_mb,
            max_memory_used_mib,
            failure: failure.as_ref(),
        });
        let tail = self.log.take_tail();
        self.log.flush();
        if let Some(reply) = pending {
            reply(tail);
        }
        self.settle(sandbox?).await
    }

    /// Waits until the runtime asks for its next event.
    async fn settle(&mut self, mut sandbox: Sandbox) -> Option<Sandbox> {
        let host = Arc::clone(&self.host);
        let soon = timeout(host.config.settle_time, sandbox.ready(&mut self.log)).await;
        let ready = match soon {
            Ok(ready) => ready,
            Err(_) => {
                host.pools.is_late(&host, &self.key, self.id);
                sandbox.ready(&mut self.log).await
            }
        };
        if ready.is_err() {
            host.pools.is_late(&host, &self.key, self.id);
            sandbox.end(&mut self.log).await;
            return None;
        }
        Some(sandbox)
    }

    /// Waits for work, for a limited time.
    async fn idle(&mut self, sandbox: &mut Sandbox) -> Idle {
        let idle_timeout = self.host.config.idle_timeout;
        tokio::select! {
            order = self.orders.recv() => {
                return match order {
                    Some(Order::Invoke(job)) => Idle::Job(job),
                    Some(Order::End) | None => Idle::End,
                };
            }
            () = sandbox.exited(&mut self.log) => return Idle::End,
            () = tokio::time::sleep(idle_timeout) => {}
        }
        if self.host.pools.withdraw(&self.key, self.id) {
            return Idle::End;
        }
        // It was given something at the last moment.
        match self.orders.recv().await {
            Some(Order::Invoke(job)) => Idle::Job(job),
            Some(Order::End) | None => Idle::End,
        }
    }
}

/// The state of a sandbox after an invocation.
#[derive(Debug)]
enum Fate {
    Settles(Sandbox),
    Ends(Sandbox),
}

impl Fate {
    /// Collects what the invocation wrote. Of a sandbox that ends nothing is left after it.
    async fn collect(self, log: &mut EnvironmentLog) -> Option<Sandbox> {
        match self {
            Self::Settles(mut sandbox) => {
                sandbox.read_output(log);
                Some(sandbox)
            }
            Self::Ends(sandbox) => {
                sandbox.end(log).await;
                None
            }
        }
    }
}

async fn start_within(
    host: &Host,
    version: &Arc<FunctionVersion>,
    limit: Duration,
    log: &mut EnvironmentLog,
) -> Result<Sandbox, Failure> {
    let mut sandbox = Sandbox::start(host, version, log).await?;
    match sandbox.initialise(limit, log).await {
        Ok(()) => Ok(sandbox),
        Err(failure) => {
            sandbox.end(log).await;
            Err(failure)
        }
    }
}
