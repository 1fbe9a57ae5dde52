//! One running `bootstrap` with its Runtime API and its output: starts it, hands it events, sees it end.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::api::{ApiCall, Delivery, RuntimeApi, Verdict};
use super::code;
use super::failure::{Failure, RESPONSE_LIMIT};
use super::host::Host;
use super::log::EnvironmentLog;
use super::process::{Process, Start};
use super::variables::variables;
use crate::ports::FunctionVersion;

/// A running `bootstrap`.
#[derive(Debug)]
pub(super) struct Sandbox {
    process: Process,
    /// `None` once the process and all it started have closed it.
    output: Option<pipe::Receiver>,
    calls: mpsc::Receiver<ApiCall>,
    /// The runtime's open request for the next event.
    next: Option<oneshot::Sender<Delivery>>,
    /// When the process was started.
    started: Instant,
    /// Closes the server with the sandbox.
    _api: RuntimeApi,
}

/// Events of a sandbox.
#[derive(Debug)]
enum Happening {
    Call(ApiCall),
    Exited(ExitStatus),
}

/// The result of an event.
#[derive(Debug)]
pub(super) enum Run {
    /// The function was given it, and answered or failed, after so long.
    Delivered {
        result: Result<Bytes, Failure>,
        duration: Duration,
    },
    /// The process was gone before it could be given.
    NotDelivered,
}

impl Sandbox {
    /// Starts the `bootstrap` of a version.
    pub(super) async fn start(
        host: &Host,
        version: &Arc<FunctionVersion>,
        log: &mut EnvironmentLog,
    ) -> Result<Self, Failure> {
        let internal = |error: std::io::Error| Failure::Internal(error.to_string());
        let directory = host.code.directory(&version.code).await?;
        let bootstrap = code::bootstrap(&directory, version.architecture)?;
        // The runtime makes one call at a time; the room is for connections of runtimes that do more.
        let (sender, calls) = mpsc::channel(16);
        let api = RuntimeApi::listen(sender).await.map_err(internal)?;
        log.init_start();
        let start = start(host, version, log.stream(), bootstrap, directory, &api);
        let started = Instant::now();
        let (process, output) = host
            .spawner
            .spawn(start, Arc::clone(&host.registry))
            .await
            .map_err(internal)?;
        Ok(Self {
            process,
            output: Some(output),
            calls,
            next: None,
            started,
            _api: api,
        })
    }

    /// Waits until the runtime asks for its first event.
    pub(super) async fn initialise(&mut self, limit: Duration, log: &mut EnvironmentLog) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        timeout_at(deadline, self.initialised(log))
            .await
            .unwrap_or(Err(Failure::InitTimeout(limit)))
    }

    async fn initialised(&mut self, log: &mut EnvironmentLog) -> Result<(), Failure> {
        loop {
            match self.happening(log).await {
                Happening::Call(ApiCall::Next(reply)) => {
                    self.next = Some(reply);
                    return Ok(());
                }
                Happening::Call(ApiCall::InitError {
                    error_type,
                    body,
                    reply,
                }) => {
                    let _ = reply.send(Verdict::Accepted);
                    return Err(Failure::Init { error_type, body });
                }
                Happening::Call(ApiCall::Response { reply, .. } | ApiCall::Error { reply, .. }) => {
                    let _ = reply.send(Verdict::UnknownRequest);
                }
                Happening::Exited(status) => return Err(Failure::Exited(status)),
            }
        }
    }

    /// Sends the runtime an event and waits for the result, until `deadline`.
    pub(super) async fn run(
        &mut self,
        delivery: Delivery,
        deadline: Instant,
        limit: Duration,
        log: &mut EnvironmentLog,
    ) -> Run {
        let request_id = delivery.request_id.clone();
        let begun = Instant::now();
        match timeout_at(deadline, self.deliver(delivery, log)).await {
            Ok(Ok(())) => {}
            Ok(Err(NotDelivered)) => return Run::NotDelivered,
            Err(_) => {
                log.start(&request_id);
                return Run::Delivered {
                    result: Err(Failure::Timeout(limit)),
                    duration: begun.elapsed(),
                };
            }
        }
        let result = timeout_at(deadline, self.result(&request_id, log)).await;
        let duration = begun.elapsed();
        Run::Delivered {
            result: result.unwrap_or(Err(Failure::Timeout(limit))),
            duration,
        }
    }

    async fn deliver(&mut self, mut delivery: Delivery, log: &mut EnvironmentLog) -> Result<(), NotDelivered> {
        let request_id = delivery.request_id.clone();
        loop {
            if let Some(next) = self.next.take() {
                match next.send(delivery) {
                    Ok(()) => {
                        // Only this task reads the output, so no output of this invocation precedes the line.
                        log.start(&request_id);
                        return Ok(());
                    }
                    // The runtime has dropped that connection and will ask again.
                    Err(returned) => delivery = returned,
                }
            }
            self.ready(log).await?;
        }
    }

    /// Waits until the runtime asks for an event.
    pub(super) async fn ready(&mut self, log: &mut EnvironmentLog) -> Result<(), NotDelivered> {
        while self.next.as_ref().is_none_or(oneshot::Sender::is_closed) {
            match self.happening(log).await {
                Happening::Call(call) => self.between(call),
                Happening::Exited(_) => return Err(NotDelivered),
            }
        }
        Ok(())
    }

    /// Watches an environment that has nothing to do; returns when its process has ended.
    pub(super) async fn exited(&mut self, log: &mut EnvironmentLog) {
        loop {
            match self.happening(log).await {
                Happening::Call(call) => self.between(call),
                Happening::Exited(_) => return,
            }
        }
    }

    /// A call while no invocation runs.
    fn between(&mut self, call: ApiCall) {
        match call {
            ApiCall::Next(reply) => self.next = Some(reply),
            ApiCall::Response { reply, .. } | ApiCall::Error { reply, .. } => {
                let _ = reply.send(Verdict::UnknownRequest);
            }
            ApiCall::InitError { reply, .. } => {
                let _ = reply.send(Verdict::WrongState);
            }
        }
    }

    async fn result(&mut self, current: &str, log: &mut EnvironmentLog) -> Result<Bytes, Failure> {
        loop {
            match self.happening(log).await {
                Happening::Call(ApiCall::Response {
                    request_id,
                    body,
                    reply,
                }) if request_id == current => {
                    if body.len() > RESPONSE_LIMIT {
                        let _ = reply.send(Verdict::TooLarge);
                        return Err(Failure::ResponseTooLarge);
                    }
                    let _ = reply.send(Verdict::Accepted);
                    return Ok(body);
                }
                Happening::Call(ApiCall::Error {
                    request_id,
                    error_type,
                    body,
                    reply,
                }) if request_id == current => {
                    let _ = reply.send(Verdict::Accepted);
                    return Err(Failure::Function { error_type, body });
                }
                Happening::Call(call) => self.between(call),
                Happening::Exited(status) => return Err(Failure::Exited(status)),
            }
        }
    }

    async fn happening(&mut self, log: &mut EnvironmentLog) -> Happening {
        loop {
            tokio::select! {
                biased;
                // The sender lives as long as the server, which lives as long as `self`.
                Some(call) = self.calls.recv() => return Happening::Call(call),
                () = readable(self.output.as_ref()), if self.output.is_some() => self.read_output(log),
                status = self.process.wait() => {
                    self.read_output(log);
                    log.end_output();
                    // A process that cannot be waited for is gone without telling why.
                    return Happening::Exited(status.unwrap_or_default());
                }
            }
        }
    }

    /// Takes the output of the process so far.
    pub(super) fn read_output(&mut self, log: &mut EnvironmentLog) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0; 16 * 1024];
        loop {
            match output.try_read(&mut buffer) {
                Ok(0) => {
                    self.output = None;
                    break;
                }
                Ok(count) => log.output(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.output = None;
                    break;
                }
            }
        }
        log.flush();
    }

    /// Time since the process was started.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Largest resident memory so far, MiB, where the system reports it.
    pub(super) fn max_memory_mib(&self) -> Option<u64> {
        self.process.max_memory_mib()
    }

    /// Ends the process and takes its last output.
    pub(super) async fn end(mut self, log: &mut EnvironmentLog) {
        self.process.end().await;
        self.read_output(log);
        log.end_output();
        log.flush();
    }
}

/// The process is gone.
#[derive(Debug)]
pub(super) struct NotDelivered;

async fn readable(output: Option<&pipe::Receiver>) {
    match output {
        // An error shows itself in the read that follows.
        Some(output) => drop(output.readable().await),
        None => std::future::pending().await,
    }
}

fn start(
    host: &Host,
    version: &FunctionVersion,
    stream: &str,
    bootstrap: PathBuf,
    directory: PathBuf,
    api: &RuntimeApi,
) -> Start {
    let variables = variables(&host.config, version, stream, &directory, api.address());
    Start {
        bootstrap,
        directory,
        variables,
    }
}
