//! Live loses no request and never answers as the wrong release, whatever is deployed, promoted and rolled back meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use taskctl_tests::{Project, eventually};

/// Rounds of deploy, promote, deploy, canary, rollback, rollback --to: a few, or as many as `TASKCTL_TEST_ROUNDS` says.
fn rounds() -> u32 {
    let asked = std::env::var("TASKCTL_TEST_ROUNDS").ok();
    asked.map_or(4, |rounds| rounds.parse().unwrap())
}
/// Visitors, each asking every [`PACE`].
const VISITORS: usize = 16;
const PACE: Duration = Duration::from_millis(45);
/// Answers from which the rate at rest is taken.
const SAMPLE: u32 = 1_500;

struct Visit {
    began: Instant,
    ended: Instant,
    /// Status and release, or what went wrong.
    answer: Result<(u16, String), String>,
    version: String,
}

struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU32>,
    visitors: Vec<JoinHandle<Vec<Visit>>>,
    began: Instant,
}

impl Load {
    fn on(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU32::new(0));
        let visitor = |_| {
            let (stop, answers, url) = (Arc::clone(&stop), Arc::clone(&answers), url.to_owned());
            thread::spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let mut visits = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = agent.get(&url).call();
                    let header = |answer: &ureq::http::Response<ureq::Body>, name: &str| {
                        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
                        value.unwrap_or_default().to_owned()
                    };
                    let version = answer
                        .as_ref()
                        .map(|answer| header(answer, "x-version"))
                        .unwrap_or_default();
                    let answer = answer
                        .map(|answer| (answer.status().as_u16(), header(&answer, "x-release")))
                        .map_err(|error| error.to_string());
                    let ended = Instant::now();
                    answers.fetch_add(1, Ordering::Relaxed);
                    visits.push(Visit {
                        began,
                        ended,
                        answer,
                        version,
                    });
                    thread::sleep(PACE.saturating_sub(ended - began));
                }
                visits
            })
        };
        Self {
            visitors: (0..VISITORS).map(visitor).collect(),
            stop,
            answers,
            began: Instant::now(),
        }
    }

    /// Answers a second while nothing else happens.
    fn at_rest(&self) -> f64 {
        // The first answers wait for processes to start.
        let before = self.answers_from(SAMPLE);
        let began = Instant::now();
        let after = self.answers_from(before + SAMPLE);
        f64::from(after - before) / began.elapsed().as_secs_f64()
    }

    /// The number of answers, once there are so many.
    fn answers_from(&self, least: u32) -> u32 {
        eventually("answers come", Duration::from_secs(60), || {
            Some(self.answers.load(Ordering::Relaxed)).filter(|answers| *answers >= least)
        })
    }

    fn end(self) -> (Vec<Visit>, f64) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let visits: Vec<Visit> = self.visitors.into_iter().flat_map(|one| one.join().unwrap()).collect();
        let rate = f64::from(u32::try_from(visits.len()).unwrap()) / seconds;
        (visits, rate)
    }
}

/// A movement of live: between these times either release may answer.
struct Moved {
    began: Instant,
    ended: Instant,
    to: u64,
}

struct Operator {
    project: Project,
    moves: Vec<Moved>,
    memory: u32,
}

impl Operator {
    fn deploy(&mut self) -> u64 {
        let (from, to) = (
            format!("    memory: {}\n", self.memory),
            format!("    memory: {}\n", self.memory + 1),
        );
        self.memory += 1;
        let text = self.project.template();
        assert!(text.contains(&from));
        self.project.write(&text.replacen(&from, &to, 1));
        self.project.run(&["deploy", "--no-promote"]).expect(0);
        self.project.status("dev")["preview"]["release"].as_u64().unwrap()
    }

    fn go(&mut self, to: u64, arguments: &[&str]) {
        let began = Instant::now();
        self.project.run(arguments).expect(0);
        let ended = Instant::now();
        self.moves.push(Moved { began, ended, to });
    }

    /// A canary. Where the machine is so busy that its metrics come late, or that the new processes are slow, the release goes
    /// back: as the command says, it is promoted again. Neither may lose a request.
    fn canary(&mut self, from: u64, to: u64) {
        let arguments = ["promote", "--yes", "--canary", "20%", "--bake", "5s"];
        for last in [false, false, true] {
            let began = Instant::now();
            let run = self.project.run(&arguments);
            let ended = Instant::now();
            self.moves.push(Moved { began, ended, to });
            if run.code == 0 {
                return;
            }
            let said = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_busy = said.contains("too few to judge them") || said.contains(" ms, before it was ");
            if last || !is_busy {
                run.expect(0);
            }
            self.moves.push(Moved { began, ended, to: from });
        }
    }
}

#[test]
fn no_request_is_lost_or_answered_by_the_wrong_release() {
    let project = Project::platform("lossless");
    project.write(
        &project
            .template()
            .replacen("  function:\n", "  function:\n    memory: 600\n", 1),
    );
    project.run(&["deploy"]).expect(0);
    let load = Load::on(&format!("{}/health", project.live("dev")));
    let at_rest = load.at_rest();
    let mut operator = Operator {
        project,
        moves: vec![Moved {
            began: load.began,
            ended: load.began,
            to: 1,
        }],
        memory: 600,
    };
    let mut live = 1;
    for _ in 0..rounds() {
        let before = live;
        let first = operator.deploy();
        operator.go(first, &["promote", "--yes", "--at-once"]);
        let second = operator.deploy();
        operator.canary(first, second);
        operator.go(first, &["rollback", "--yes"]);
        operator.go(before, &["rollback", "--yes", "--to", &before.to_string()]);
        operator.go(second, &["rollback", "--yes", "--to", &second.to_string()]);
        live = second;
    }
    let (visits, rate) = load.end();
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for visit in &visits {
        *versions.entry(visit.version.clone()).or_default() += 1;
        let fault = match &visit.answer {
            Err(error) => Some(error.clone()),
            Ok((200, release)) => wrong(&operator.moves, visit, release),
            Ok((status, _)) => Some(format!("status {status}")),
        };
        if let Some(fault) = fault {
            *faults.entry(fault).or_default() += 1;
        }
    }
    println!(
        "{} requests, {rate:.0} a second ({at_rest:.0} at rest), {} movements of live",
        visits.len(),
        operator.moves.len() - 1
    );
    assert!(faults.is_empty(), "{faults:#?} of {} requests", visits.len());
    // A machine that cannot answer so many even at rest says nothing about movements, unless they halve what it can.
    assert!(
        rate >= 200.0 || at_rest < 300.0 && rate >= at_rest / 2.0,
        "only {rate:.0} requests a second, {at_rest:.0} at rest"
    );
    assert!(versions.len() > usize::try_from(rounds()).unwrap(), "{versions:?}");
}

/// What is wrong with the release that answered: the one before the last movement that had ended may answer only until then,
/// the next one only once its movement has begun.
fn wrong(moves: &[Moved], visit: &Visit, release: &str) -> Option<String> {
    let settled = moves.iter().rposition(|one| one.ended <= visit.began)?;
    let allowed: Vec<String> = moves[settled..]
        .iter()
        .enumerate()
        .take_while(|(place, one)| *place == 0 || one.began <= visit.ended)
        .map(|(_, one)| one.to.to_string())
        .collect();
    (!allowed.iter().any(|one| one == release)).then(|| format!("release {release} answered instead of {allowed:?}"))
}
