//! One run of a command that works on a stack: who reports, how it is stopped, what it asks.

use std::future::Future;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use taskctl_stack::aws::client::cancel::Cancel;
use taskctl_stack::aws::client::context::Clock;
use taskctl_stack::aws::release::sight::Found;
use taskctl_stack::engine::{self, Engine};
use taskctl_stack::event::{Endpoints, Event, Events, Outcome, millis};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Global, Output};
use crate::env::{Audience, Env};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine::ThisMachine;
use crate::project::Project;
use crate::report::plan::Details;
use crate::report::{
    CommandHint, Github, Human, Json, PipeAwareStdout, Purpose, Renderer, Reporter, StderrSink, Trace, direct,
};
use crate::stack_ref::StackRef;
use crate::target::Target;
use crate::ui::confirm::{Confirmation, Place, Unattended};
use crate::ui::guard::{Guard, Out, guarded};
use crate::ui::progress::Live;
use crate::ui::style::Motion;

/// What a command is started with.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub global: Global,
    pub env: Env,
}

pub struct Session {
    pub global: Global,
    pub env: Env,
    /// Where the stack is deployed.
    pub target: Target,
    pub reporter: Reporter,
    /// Asks running work to stop; never reset.
    pub cancel: Cancel,
    /// When the command began, or the round of one that goes round.
    began: Mutex<Instant>,
    out: PipeAwareStdout,
}

/// The clock that includes suspend.
#[cfg(target_os = "linux")]
const BOOT_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// macOS counts sleep in its monotonic clock.
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// The wall clock.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        // Milliseconds are what is written and shown.
        let now = jiff::Timestamp::now();
        jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn since_boot(&self) -> std::time::Duration {
        let now = rustix::time::clock_gettime(BOOT_CLOCK);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
        std::time::Duration::new(seconds, nanos)
    }
}

/// An async runtime, with time and input and output.
pub fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    let built = builder.enable_all().build();
    built.map_err(|error| Failure::caused("cannot start the async runtime", &error, None))
}

/// Runs a command to its end and reports how it ended.
pub fn run<F>(invocation: &Invocation, purpose: Purpose, details: Details, work: impl FnOnce(Arc<Session>) -> F) -> Exit
where
    F: Future<Output = Result<Exit, Failure>>,
{
    let Invocation { global, env } = invocation;
    let out = PipeAwareStdout::default();
    let command_hint = CommandHint::new(global, &env.arguments);
    let reporter = Reporter::start(
        renderer(global, env, purpose, details, &out, &command_hint),
        command_hint,
    );
    if let Some(refusal) = env.refusal() {
        let exit = refusal.exit;
        reporter.fail(refusal);
        reporter.finish();
        return exit;
    }
    let runtime = match runtime(Builder::new_multi_thread().worker_threads(2)) {
        Ok(runtime) => runtime,
        Err(failure) => {
            reporter.fail(failure);
            reporter.finish();
            return Exit::Error;
        }
    };
    let session = Arc::new(Session {
        global: global.clone(),
        target: Target::of(global, env),
        env: env.clone(),
        reporter,
        cancel: Cancel::default(),
        began: Mutex::new(Instant::now()),
        out: out.clone(),
    });
    let exit = runtime.block_on(async {
        tokio::spawn(stop_on_signal(
            session.reporter.events(),
            session.cancel.clone(),
            purpose,
        ));
        match work(Arc::clone(&session)).await {
            Ok(Exit::Interrupted) if session.is_unread() || out.lost().is_some() => Exit::Ok,
            Err(failure) if failure.exit == Exit::Interrupted && (session.is_unread() || out.lost().is_some()) => {
                Exit::Ok
            }
            // A reader that is stopped leaves nothing to resume.
            Err(failure) if failure.exit == Exit::Interrupted && purpose == Purpose::Answer => Exit::Interrupted,
            Ok(exit) => exit,
            Err(failure) => {
                let exit = failure.exit;
                session.reporter.fail(failure);
                exit
            }
        }
    });
    session.reporter.finish();
    let exit = match out.lost() {
        None => exit,
        Some(error) => {
            let failure = Failure::new(
                Exit::Error,
                format!("cannot write to standard output: {error}"),
                "write it elsewhere, or free some disk space, and run the command again; what it changed stays changed",
            );
            match (direct::fail(env, &failure), exit) {
                (failed, Exit::Ok | Exit::Changes) => failed,
                (_, exit) => exit,
            }
        }
    };
    // A thread that still waits for an answer on standard input must not hold up the end.
    runtime.shutdown_background();
    exit
}

fn renderer(
    global: &Global,
    env: &Env,
    purpose: Purpose,
    details: Details,
    out: &PipeAwareStdout,
    command_hint: &CommandHint,
) -> Box<dyn Renderer> {
    let trace = if global.trace { Trace::Calls } else { Trace::Off };
    match global.output {
        Output::Json => Box::new(Json::new(
            Box::new(Guard::new(Box::new(out.clone()), &env.out)),
            Box::new(Guard::new(Box::new(std::io::stderr()), &env.err)),
            purpose,
            trace,
        )),
        Output::Github => {
            let outs = || -> Out { Box::new(out.clone()) };
            Box::new(Github::new(
                &outs,
                env.github_summary.clone(),
                command_hint.clone(),
                details,
                trace,
            ))
        }
        Output::Human => {
            let stderr = match env.err.motion {
                Motion::Live => StderrSink::Live(Box::new(Live::stderr(env.err))),
                Motion::Lines => StderrSink::Lines(Box::new(std::io::stderr())),
            };
            let out: Out = Box::new(out.clone());
            Box::new(Human::new(
                (out, env.out),
                (stderr, env.err),
                purpose,
                command_hint.clone(),
                details,
                trace,
            ))
        }
    }
}

/// The first signal asks to stop after the calls in flight, the second stops at once.
async fn stop_on_signal(events: Events, cancel: Cancel, purpose: Purpose) {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return;
    };
    let mut stopping = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if stopping {
            std::process::exit(Exit::Interrupted.code().into());
        }
        stopping = true;
        cancel.cancel();
        // Of a reader no call has to be finished.
        if purpose == Purpose::Change {
            events.emit(Event::Stopping);
        }
    }
}

impl Session {
    /// Where the events of the engine go.
    pub fn events(&self) -> Events {
        self.reporter.events()
    }

    /// The project of the command line.
    pub fn project(&self) -> Result<Project, Failure> {
        Project::open(&self.global, &self.env)
    }

    /// The stack that the command line names.
    pub fn stack_ref(&self) -> Result<StackRef, Failure> {
        StackRef::resolve(&self.global, &self.env)
    }

    /// Connects to the target of a stack, and reports which command starts.
    pub async fn connect(&self, command: &str, stack_ref: &StackRef) -> Result<Engine, Failure> {
        let engine = self.connect_quietly(stack_ref).await?;
        self.started(command, &engine);
        Ok(engine)
    }

    /// The same for a command that moves live, with the API that was found meanwhile.
    pub async fn connect_to_move(&self, command: &str, stack_ref: &StackRef) -> Result<(Engine, Found), Failure> {
        let connecting = async {
            let target = self.engine_target(stack_ref).await?;
            let (clock, cancel) = (Arc::new(SystemClock), self.cancel.clone());
            Ok::<_, Failure>(Engine::connect_to_move(&target, self.events(), clock, cancel).await?)
        };
        let (engine, found) = self.unless_stopped(connecting).await??;
        self.started(command, &engine);
        Ok((engine, found))
    }

    fn started(&self, command: &str, engine: &Engine) {
        let identity = engine.context().identity();
        self.reporter.emit(Event::Started {
            command: command.to_owned(),
            app: identity.app.clone(),
            stage: identity.stage.clone(),
            region: identity.region.clone(),
            account: Some(identity.account.clone()),
        });
    }

    /// Connects to the target of a stack.
    pub async fn connect_quietly(&self, stack_ref: &StackRef) -> Result<Engine, Failure> {
        let connecting = async {
            let target = self.engine_target(stack_ref).await?;
            Ok::<_, Failure>(Engine::connect(&target, self.events(), Arc::new(SystemClock), self.cancel.clone()).await?)
        };
        self.unless_stopped(connecting).await?
    }

    async fn engine_target(&self, stack_ref: &StackRef) -> Result<engine::Target, Failure> {
        let mut connection = self
            .target
            .connection(&self.global, &stack_ref.region, &self.env.endpoints, &self.events())
            .await?;
        connection.session_ends = self.env.session_ends;
        Ok(engine::Target {
            app: stack_ref.app.clone(),
            stage: self.global.target.stage.clone(),
            // The local target and named emulators have accounts of their own.
            account: stack_ref
                .account
                .clone()
                .filter(|_| !self.target.has_own_account(&self.global)),
            connection,
            control_bucket: self.env.control_bucket.clone(),
        })
    }

    /// The work is for the reader of the output alone: it ends when the pipe is closed, as by `head`.
    pub fn end_when_unread(&self) {
        self.out.end_when_unread(self.cancel.clone());
    }

    /// Whether the output pipe was closed.
    pub fn is_unread(&self) -> bool {
        self.out.is_unread()
    }

    /// Work that may be dropped at any point.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            // A call in flight may have seen the cancellation first: its error is no result.
            result = work => match self.cancel.is_cancelled() {
                true => Err(Failure::interrupted()),
                false => Ok(result),
            },
            () = self.cancel.cancelled() => Err(Failure::interrupted()),
        }
    }

    /// Reports that the command ended.
    pub fn finished(&self, outcome: Outcome, calls: u64, endpoints: Endpoints) {
        self.finished_with_next(outcome, calls, endpoints, Vec::new());
    }

    /// The same, with what can be done next: command lines that work as they are.
    pub fn finished_with_next(&self, outcome: Outcome, calls: u64, endpoints: Endpoints, next: Vec<String>) {
        let began = *self.began.lock();
        let took = millis(began.elapsed());
        self.reporter.emit(Event::Finished {
            outcome,
            millis: took,
            calls,
            endpoints,
            next,
        });
    }

    /// A round begins: what took its time before does not count.
    pub fn begin_round(&self) {
        *self.began.lock() = Instant::now();
    }

    /// The machine that this runs on.
    pub fn machine(&self) -> ThisMachine {
        ThisMachine {
            host: self.env.host.clone(),
        }
    }

    /// How to write command lines about the same stack.
    pub fn command_hint(&self) -> CommandHint {
        CommandHint::new(&self.global, &self.env.arguments)
    }

    /// Whether there is an operator to prompt.
    fn can_ask(&self) -> bool {
        self.env.audience == Audience::Person && self.global.output == Output::Human
    }

    /// Where an engine changes something, and as whom.
    pub fn place(&self, engine: &Engine) -> Place {
        let context = engine.context();
        let identity = context.identity();
        match self.target {
            Target::Local(_) => Place::Local,
            Target::Aws => Place::Account {
                account: identity.account.clone(),
                region: identity.region.clone(),
                principal: engine.principal().to_owned(),
                endpoint: context.clients().endpoint_url.clone(),
            },
        }
    }

    /// Asks the operator to agree to a change, below where it is made and as whom.
    pub async fn confirm_change(&self, place: &Place, confirmation: Confirmation) -> Result<(), Failure> {
        let question = place.above(&confirmation.question);
        self.confirm(Confirmation {
            question,
            ..confirmation
        })
        .await
    }

    /// Asks the operator to agree. `--yes` agrees; without a terminal, the confirmation decides.
    pub async fn confirm(&self, confirmation: Confirmation) -> Result<(), Failure> {
        let Confirmation {
            question,
            expected,
            unattended,
        } = confirmation;
        if self.global.yes {
            return Ok(());
        }
        if !self.can_ask() {
            return match unattended {
                Unattended::Proceed => Ok(()),
                Unattended::Refuse(message) => Err(Failure::usage(message, "add --yes to proceed without a prompt")),
            };
        }
        match self.ask(&expected.prompt(&question)).await? {
            Some(answer) if expected.accepts(&answer) => Ok(()),
            Some(_) | None => Err(Failure::cancelled()),
        }
    }

    /// Asks for a line. None when the input ended.
    async fn ask(&self, question: &str) -> Result<Option<String>, Failure> {
        self.reporter.rest();
        let (sender, answer) = tokio::sync::oneshot::channel();
        let style = self.env.err;
        let question = guarded(question, style.reader, style.paint).into_owned();
        std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), question.as_bytes());
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            let _ = sender.send(matches!(read, Ok(1..)).then(|| line.trim().to_owned()));
        });
        Ok(self.unless_stopped(answer).await?.unwrap_or(None))
    }
}
