//! A proxy in front of the AWS endpoint that disturbs one mutating call: it kills the caller before or after the call is
//! processed, or drops the answer.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::fault_profile::{Fault, FaultPlan, FaultProfile, Refusal};
use crate::log_fixture::LogFixture;

/// When it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The caller is killed before the call is processed.
    Before,
    /// The caller is killed after the call was processed, before the answer arrives.
    After,
    /// The answer is lost, and the caller lives on.
    AnswerLost,
}

/// The relay.
pub struct FaultProxy {
    /// URL to give as endpoint.
    pub endpoint: String,
    state: Arc<State>,
    _runtime: Runtime,
}

/// A call to be held.
struct Hold {
    operation: String,
    part: String,
    arrived: Sender<()>,
    released: tokio::sync::oneshot::Receiver<()>,
}

impl Hold {
    fn fits(&self, request: &hyper::http::request::Parts, body: &Bytes) -> bool {
        let operation = is_target(&request.headers, &self.operation) || request.method.as_str() == self.operation;
        let path = request.uri.path_and_query().map_or("", |path| path.as_str());
        operation && (path.contains(&self.part) || String::from_utf8_lossy(body).contains(&self.part))
    }
}

/// A call that is held, or will be. It goes on when this is let go of.
pub struct Held {
    call: String,
    arrival: Receiver<()>,
    release: tokio::sync::oneshot::Sender<()>,
}

impl Held {
    /// Waits until the call is there, does something, and lets the call go on.
    ///
    /// # Panics
    /// When the call does not come within a minute.
    pub fn meanwhile(self, act: impl FnOnce()) {
        if let Err(error) = self.arrival.recv_timeout(Duration::from_secs(60)) {
            panic!("{} did not come: {error}", self.call);
        }
        act();
        let _ = self.release.send(());
    }
}

struct State {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    strike: Mutex<Option<(usize, At)>>,
    holds: Mutex<Vec<Hold>>,
    plan: Mutex<Option<Arc<FaultPlan>>>,
    log_fixture: Mutex<Option<Arc<LogFixture>>>,
    mutating: AtomicUsize,
    /// Process id of the caller that is to be killed; 0 while it is not known.
    victim: watch::Sender<u32>,
    struck: Mutex<Option<String>>,
    seen: Mutex<BTreeSet<String>>,
    /// In the order of their arrival.
    passed: Mutex<Vec<Passed>>,
}

/// A call that was answered, or whose connection has ended.
struct Passed {
    name: String,
    arrived: Instant,
    answered: Instant,
}

impl FaultProxy {
    /// Starts a relay before an endpoint (`http://127.0.0.1:4580`).
    ///
    /// # Panics
    /// When no port can be listened on.
    pub fn before(upstream: &str) -> Self {
        let runtime = match tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => panic!("no runtime for the relay: {error}"),
        };
        let listener = match runtime.block_on(TcpListener::bind("127.0.0.1:0")) {
            Ok(listener) => listener,
            Err(error) => panic!("the relay cannot listen: {error}"),
        };
        let port = listener.local_addr().map_or(0, |address| address.port());
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            strike: Mutex::default(),
            holds: Mutex::default(),
            plan: Mutex::default(),
            log_fixture: Mutex::default(),
            mutating: AtomicUsize::new(0),
            victim: watch::Sender::new(0),
            struck: Mutex::default(),
            seen: Mutex::default(),
            passed: Mutex::default(),
        });
        runtime.spawn(serve(listener, Arc::clone(&state)));
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            state,
            _runtime: runtime,
        }
    }

    /// Strikes at the mutating call of this number, from 1, counted from now on.
    pub fn arm(&self, number: usize, at: At) {
        self.state.mutating.store(0, Ordering::SeqCst);
        self.state.victim.send_replace(0);
        *self.state.struck.lock() = None;
        *self.state.strike.lock() = Some((number, at));
    }

    /// Who is killed.
    pub fn aim(&self, pid: u32) {
        self.state.victim.send_replace(pid);
    }

    /// Lets everything pass. Returns the call that was struck, if one was.
    pub fn disarm(&self) -> Option<String> {
        *self.state.strike.lock() = None;
        self.state.struck.lock().take()
    }

    /// Holds the next call of an operation (`Scan`, or the method of a REST call: `DELETE`) that has `part` in its path or
    /// body, until it is let go of.
    pub fn hold(&self, operation: &str, part: &str) -> Held {
        let (arrived, arrival) = channel();
        let (release, released) = tokio::sync::oneshot::channel();
        self.state.holds.lock().push(Hold {
            operation: operation.to_owned(),
            part: part.to_owned(),
            arrived,
            released,
        });
        Held {
            call: format!("{operation} {part}"),
            arrival,
            release,
        }
    }

    /// Applies this profile to all calls from now on; `None` lets them pass unharmed.
    pub fn fault_profile(&self, profile: Option<FaultProfile>) {
        *self.state.plan.lock() = profile.map(|profile| Arc::new(FaultPlan::new(profile)));
    }

    /// How many calls, one after the other, the first call of this operation waited for, itself included: of the calls since the
    /// last time this was asked.
    pub fn chain(&self, operation: &str) -> Option<usize> {
        let calls = std::mem::take(&mut *self.state.passed.lock());
        let mut depths: Vec<usize> = Vec::new();
        for call in &calls {
            let before = calls
                .iter()
                .zip(&depths)
                .filter(|(other, _)| other.answered <= call.arrived);
            let depth = 1 + before.map(|(_, depth)| *depth).max().unwrap_or(0);
            if call.name.contains(operation) {
                return Some(depth);
            }
            depths.push(depth);
        }
        None
    }

    /// Serves log events from this fixture instead of the endpoint.
    pub fn log_fixture(&self, fixture: Arc<LogFixture>) {
        *self.state.log_fixture.lock() = Some(fixture);
    }

    /// Operations that changed something, as far as they were seen.
    pub fn operations(&self) -> BTreeSet<String> {
        self.state.seen.lock().clone()
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| relay(request, Arc::clone(&state)));
            // A connection that is cut is what this is for.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn relay(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Cut> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let log_fixture = state.log_fixture.lock().clone();
    if let Some(log_fixture) = log_fixture.filter(|_| is_target(&parts.headers, "FilterLogEvents")) {
        let (status, answer) = log_fixture.answer(&body);
        let mut response = Response::new(Full::new(answer.to_string().into()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let json = HeaderValue::from_static("application/x-amz-json-1.1");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
        return Ok(response);
    }
    let held = {
        let mut holds = state.holds.lock();
        let place = holds.iter().position(|hold| hold.fits(&parts, &body));
        place.map(|place| holds.remove(place))
    };
    if let Some(Hold { arrived, released, .. }) = held {
        let _ = arrived.send(());
        // Nobody waits for it any more: it goes on.
        let _ = released.await;
    }
    let operation = operation(&parts.method, parts.uri.path(), &parts.headers, &body);
    let passing = Passing {
        name: format!("{} {}", parts.method, parts.uri.path()),
        arrived: Instant::now(),
        state: Arc::clone(&state),
    };
    let strike = operation.as_ref().and_then(|name| {
        state.seen.lock().insert(name.clone());
        let number = state.mutating.fetch_add(1, Ordering::SeqCst) + 1;
        let armed = *state.strike.lock();
        let (_, at) = armed.filter(|(wanted, _)| *wanted == number)?;
        *state.struck.lock() = Some(name.clone());
        Some(at)
    });
    if strike == Some(At::Before) {
        kill(&state).await;
        return Err(Cut);
    }
    let plan = state.plan.lock().clone();
    let fault = plan
        .as_ref()
        .map_or(Fault::Pass, |plan| plan.next(&parts.headers, operation.is_none()));
    let date = plan.and_then(|plan| plan.date());
    match &fault {
        Fault::Refuse(refusal) => return Ok(dated(refused(refusal), date.as_deref())),
        Fault::Cut(false) => return Err(Cut),
        Fault::Delay(delay) => tokio::time::sleep(*delay).await,
        Fault::Cut(true) | Fault::RefuseAfter(_) | Fault::Pass => {}
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("{}{path}", state.upstream).parse().map_err(|_| Cut)?;
    parts.headers.remove(hyper::header::TRANSFER_ENCODING);
    let answer = state.client.request(Request::from_parts(parts, Full::new(body))).await;
    let (mut parts, body) = answer.map_err(|_| Cut)?.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    match fault {
        Fault::RefuseAfter(refusal) => return Ok(refused(&refusal)),
        Fault::Cut(_) => return Err(Cut),
        _ => {}
    }
    drop(passing);
    match strike {
        Some(At::After) => {
            kill(&state).await;
            Err(Cut)
        }
        Some(At::AnswerLost) => Err(Cut),
        Some(At::Before) | None => {
            parts.headers.remove(hyper::header::TRANSFER_ENCODING);
            Ok(dated(Response::from_parts(parts, Full::new(body)), date.as_deref()))
        }
    }
}

/// A call between its arrival and its answer.
struct Passing {
    name: String,
    arrived: Instant,
    state: Arc<State>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        let mut passed = self.state.passed.lock();
        passed.push(Passed {
            name: std::mem::take(&mut self.name),
            arrived: self.arrived,
            answered: Instant::now(),
        });
        passed.sort_by_key(|call| call.arrived);
    }
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(refusal.body.clone()));
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &refusal.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn dated(mut response: Response<Full<Bytes>>, date: Option<&str>) -> Response<Full<Bytes>> {
    if let Some(value) = date.and_then(|date| HeaderValue::from_str(date).ok()) {
        response.headers_mut().insert(hyper::header::DATE, value);
    }
    response
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn kill(state: &State) {
    // The caller may have been quicker than whoever aims.
    let mut victim = state.victim.subscribe();
    if let Ok(pid) = victim.wait_for(|pid| *pid != 0).await {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
    }
}

fn is_target(headers: &hyper::HeaderMap, operation: &str) -> bool {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    target.is_some_and(|target| target.rsplit('.').next() == Some(operation))
}

/// The name of an operation that changes something; none for one that only reads.
fn operation(method: &Method, path: &str, headers: &hyper::HeaderMap, body: &Bytes) -> Option<String> {
    const READS: [&str; 9] = [
        "Get", "List", "Describe", "Query", "Scan", "BatchGet", "Filter", "Head", "Lookup",
    ];
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let named = target
        .and_then(|target| target.rsplit('.').next().map(str::to_owned))
        .or_else(|| {
            path.contains("/operation/")
                .then(|| path.rsplit('/').next().unwrap_or_default().to_owned())
        })
        .or_else(|| {
            let text = std::str::from_utf8(body)
                .ok()
                .filter(|_| path == "/" && method == Method::POST)?;
            let action = text.split('&').find_map(|pair| pair.strip_prefix("Action="))?;
            Some(action.to_owned())
        });
    match named {
        Some(name) => (!READS.iter().any(|read| name.starts_with(read))).then_some(name),
        None => (![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)).then(|| {
            // Ids differ from run to run; the first parts of the path say enough.
            let short: Vec<&str> = path.split('/').take(5).collect();
            format!("{method} {}", short.join("/"))
        }),
    }
}
