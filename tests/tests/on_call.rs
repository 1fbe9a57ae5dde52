//! What somebody on call meets: things break one after the other, and what they look at names the cause or the command that does.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use taskctl_stack::aws::client::cancel::Cancel;
use taskctl_stack::aws::client::clients::{Clients, Connection};
use taskctl_stack::aws::client::context::Clock;
use taskctl_stack::engine::{Engine, Target};
use taskctl_stack::event::Recorder;
use taskctl_stack::status::{Inventory, Status, read_again};
use taskctl_tests::{Project, Run, eventually, slow_packages};

/// Output as one line, whatever the width.
fn told(run: &Run) -> String {
    let all = format!("{} {}", run.out, run.err);
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stage_that_is_not_there_is_one_error_in_every_command() {
    let project = Project::platform("misplaced");
    project.run(&["deploy"]).expect(0);
    let commands: [&[&str]; 20] = [
        &["status"],
        &["status", "--exit-code"],
        &["status", "--watch"],
        &["alarms"],
        &["alarms", "--exit-code"],
        &["logs"],
        &["logs", "counter", "--follow"],
        &["logs", "--query", "errors"],
        &["metrics"],
        &["releases"],
        &["dashboard"],
        &["invoke", "health"],
        &["check"],
        &["check", "--preview"],
        &["load", "--duration", "1s"],
        &["prune", "--yes"],
        &["promote", "--yes"],
        &["promote", "--abort"],
        &["rollback", "--yes"],
        &["unlock"],
    ];
    let elsewhere =
        "misplaced/dev is not deployed in eu-west-1 (account 000000000000); it is deployed in: eu-central-1";
    for command in commands {
        let run = project.run(&[command, &["--region", "eu-west-1"]].concat());
        assert!(run.code == 1 && told(&run).contains(elsewhere), "{command:?}: {run:?}");
        assert!(
            told(&run).contains("help: add --region eu-central-1"),
            "{command:?}: {run:?}"
        );
    }
    let doctor = project.run(&["doctor", "--region", "eu-west-1"]).expect(4);
    assert!(told(&doctor).contains(elsewhere), "{}", doctor.out);
    // Not anywhere.
    let nowhere = ["--app", "misplaced", "--stage", "prod", "--region", "eu-central-1"];
    for command in ["status", "alarms", "logs", "metrics", "releases", "dashboard"] {
        let run = project.run(&[&[command], &nowhere[..]].concat()).expect(1);
        let told = told(&run);
        assert!(
            told.contains("misplaced/prod is not deployed in eu-central-1 (account 000000000000)")
                && !told.contains("it is deployed in"),
            "{command}: {told}"
        );
    }
}

/// A stage that breaks.
struct Stage {
    project: Project,
    runtime: tokio::runtime::Runtime,
    clients: Clients,
    live: String,
}

impl Stage {
    fn deployed(project: Project) -> Self {
        project.run(&["deploy"]).expect(0);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        let live = project.live("dev");
        Self {
            project,
            runtime,
            clients,
            live,
        }
    }

    fn ask(&self, path: &str) -> u16 {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = agent.get(format!("{}{path}", self.live)).call();
        answer.unwrap().status().as_u16()
    }

    /// What a command says once it says this, with its exit code; the screen is printed for whoever reads the test's output.
    #[track_caller]
    fn says(&self, command: &[&str], code: i32, wanted: &str) -> String {
        let screen = eventually(&format!("{command:?} says: {wanted}"), Duration::from_secs(90), || {
            let run = self.project.run(command);
            (run.code == code && told(&run).contains(wanted)).then_some(run)
        });
        println!("$ taskctl {}\n{}", command.join(" "), screen.out);
        told(&screen)
    }

    /// What `doctor` says of the stage once it says this. Whether the machine has all that it needs is not the question.
    #[track_caller]
    fn doctor(&self, is_wrong: bool, wanted: &str) -> String {
        let machine = ["template", "toolchain", "functions", "python", "local", "disk"];
        eventually(&format!("doctor says: {wanted}"), Duration::from_secs(90), || {
            let run = self.project.run(&["doctor", "--output", "json"]);
            let answer: Value = serde_json::from_str(&run.out).unwrap();
            let checks = answer["checks"].as_array().unwrap().iter();
            let of_stage: Vec<&Value> = checks
                .filter(|one| machine.iter().all(|name| one["check"] != *name))
                .collect();
            let wrong = of_stage.iter().any(|one| one["verdict"] == "bad");
            let lines = of_stage
                .iter()
                .map(|one| format!("{}: {} {}", one["verdict"], one["found"], one["fix"]));
            let text = lines.collect::<Vec<_>>().join("\n");
            let is_it = wrong == is_wrong && text.contains(wanted);
            println!("$ taskctl doctor{}\n{text}", if is_it { "" } else { " # not yet" });
            is_it.then_some(text)
        })
    }

    /// The role of a function, and the name of its own policy.
    fn role(&self, function: &str) -> (String, String) {
        self.runtime.block_on(async {
            let iam = &self.clients.iam;
            let path = format!("/taskctl/{}/dev/", self.project.app);
            let roles = iam.list_roles().path_prefix(path).send().await.unwrap();
            let role = roles
                .roles()
                .iter()
                .find(|role| role.role_name().contains(function))
                .unwrap();
            let name = role.role_name().to_owned();
            let policies = iam.list_role_policies().role_name(&name).send().await.unwrap();
            (name, policies.policy_names()[0].clone())
        })
    }

    /// What a command says while an alarm is red. Before each look the route that makes it so is asked.
    #[track_caller]
    fn red(&self, command: &[&str], wanted: &str, (path, status): (&str, u16)) -> String {
        let screen = eventually(&format!("{command:?} says: {wanted}"), Duration::from_secs(90), || {
            assert_eq!(self.ask(path), status, "{path}");
            let run = self.project.run(&[command, &["--exit-code"]].concat());
            (run.code == 4 && told(&run).contains(wanted)).then_some(run)
        });
        println!("$ taskctl {}\n{}", command.join(" "), screen.out);
        told(&screen)
    }
}

/// A clock that is turned by hand.
#[derive(Default)]
struct HandClock(Mutex<Duration>);

impl Clock for HandClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        *self.0.lock()
    }
}

/// Somebody who looks at a stage every few seconds, as `status --watch` does.
struct Watcher<'a> {
    stage: &'a Stage,
    engine: Engine,
    clock: Arc<HandClock>,
    inventory: Inventory,
}

impl<'a> Watcher<'a> {
    fn of(stage: &'a Stage) -> Self {
        let project = &stage.project;
        let target = Target {
            app: project.app.clone(),
            stage: "dev".to_owned(),
            account: None,
            connection: Connection {
                region: project.region(),
                profile: None,
                endpoint_url: Some(project.local.endpoint()),
                credentials: Some(project.local.credentials()),
                session_ends: None,
            },
            control_bucket: None,
        };
        let clock = Arc::new(HandClock::default());
        let (events, shared) = (Arc::new(Recorder::default()), Arc::clone(&clock) as Arc<dyn Clock>);
        let connecting = Engine::connect(&target, events, shared, Cancel::default());
        let engine = stage.runtime.block_on(connecting).unwrap();
        Self {
            stage,
            engine,
            clock,
            inventory: Inventory::default(),
        }
    }

    /// What is seen so many seconds later, and how many calls it takes.
    fn looks(&mut self, seconds: u64) -> (Status, u64) {
        *self.clock.0.lock() += Duration::from_secs(seconds);
        let (context, control) = (self.engine.context(), self.engine.control());
        let before = context.calls();
        let reading = read_again(context, control, str::to_owned, &mut self.inventory);
        let status = self.stage.runtime.block_on(reading).unwrap().unwrap();
        (status, context.calls() - before)
    }
}

/// Things break one after the other on one stage, are found and repaired.
#[test]
fn whatever_breaks_is_named_with_what_to_do() {
    let project = Project::platform("broken");
    let slow = "{function: counter, metric: Duration, statistic: p99, threshold: 1400, period: 1m}";
    project.write(&format!("{}\nalarms:\n  counter-slow: {slow}\n", project.template()));
    let stage = Stage::deployed(project);
    let project = &stage.project;
    for path in ["/health", "/counter", "/tasks"] {
        assert_eq!(stage.ask(path), 200, "{path}");
    }
    // Who watches lists what is missing once a minute, and asks for the rest each time.
    let mut watcher = Watcher::of(&stage);
    let (_, all) = watcher.looks(0);
    let (_, few) = watcher.looks(5);
    let (_, again) = watcher.looks(55);
    println!("status --watch: {all} calls, then {few} every 5 s and {again} once a minute");
    assert!(few + 10 <= all && again == all, "{all} {few} {again}");
    stage.doctor(false, "no denied calls");
    let dashboard = stage.says(&["dashboard"], 0, "the local target has no console");
    assert!(!dashboard.contains("https://"), "{dashboard}");

    // A table is deleted: requests fail, and what is gone is named.
    let delete = stage.clients.dynamodb.delete_table().table_name(project.name("users"));
    stage.runtime.block_on(delete.send()).unwrap();
    stage.says(&["status", "--exit-code"], 4, "missing dynamodb_table.users");
    assert_eq!(stage.ask("/users"), 500);
    let (watched, _) = watcher.looks(59);
    assert!(watched.missing.is_empty(), "{:?}", watched.missing);
    let (watched, _) = watcher.looks(1);
    assert_eq!(watched.missing.len(), 1, "{:?}", watched.missing);
    stage.says(&["status"], 0, "help: `taskctl doctor --local` names the causes");
    let doctor = stage.doctor(true, "dynamodb_table.users was deployed and does not exist any more");
    assert!(doctor.contains("`taskctl deploy --local` restores it"), "{doctor}");
    // A handler fails: its errors are gathered by cause, with an id that leads to its lines.
    let failing = stage.doctor(true, "function users answers with errors");
    assert!(failing.contains("taskctl logs --query errors users"), "{failing}");
    let errors = project
        .run(&["logs", "--query", "errors", "users", "--output", "json"])
        .expect(0);
    let errors: Value = serde_json::from_str(&errors.out).unwrap();
    assert_eq!(errors[0]["function"], "users");
    let example = errors[0]["example"].as_str().unwrap();
    stage.says(
        &["logs", "--query", "errors", "users"],
        0,
        &format!("help: taskctl logs --request-id {example}"),
    );
    stage.says(&["logs", "--request-id", example], 0, example);
    project.run(&["deploy", "--yes"]).expect(0);
    assert_eq!(stage.ask("/users"), 200);
    // After a deploy what is missing is listed at once.
    let (watched, calls) = watcher.looks(5);
    assert!(
        watched.missing.is_empty() && calls > few,
        "{:?} {calls}",
        watched.missing
    );
    let status = stage.says(&["status", "--exit-code"], 0, "broken/dev");
    assert!(!status.contains("missing"), "{status}");

    // A grant is removed by hand: deploy is the fix, and after it nothing is wrong.
    let (role, policy) = stage.role("counter");
    let delete = stage
        .clients
        .iam
        .delete_role_policy()
        .role_name(&role)
        .policy_name(&policy);
    stage.runtime.block_on(delete.send()).unwrap();
    eventually("the counter is refused", Duration::from_secs(30), || {
        (stage.ask("/counter") == 500).then_some(())
    });
    stage.says(&["status"], 0, "1 failed");
    let doctor = stage.doctor(true, "function counter may not dynamodb:UpdateItem");
    assert!(
        doctor.contains("the role of function counter lost what it was deployed with: dynamodb:UpdateItem")
            && doctor.contains("the template grants it: `taskctl plan --local` shows"),
        "{doctor}"
    );
    project.run(&["deploy", "--yes"]).expect(0);
    assert_eq!(stage.ask("/counter"), 200);
    let doctor = stage.doctor(false, "its role allows it now");
    assert!(doctor.contains("; its role allows it now"), "{doctor}");

    // The table is deleted once more, and requests fail until an alarm is red: it leads to the lines and to what is gone.
    let delete = stage.clients.dynamodb.delete_table().table_name(project.name("users"));
    stage.runtime.block_on(delete.send()).unwrap();
    for _ in 0..11 {
        assert_eq!(stage.ask("/users"), 500);
    }
    let failing = ("/users", 500);
    let alarms = stage.red(&["alarms"], "ALARM broken-dev-api-5xx for ", failing);
    assert!(
        alarms.contains("Sum of 5xx of the API, live > 10")
            && alarms.contains("help: taskctl logs --level error --since 30m --local")
            && alarms.contains("help: taskctl plan --local # gone: dynamodb_table.users"),
        "{alarms}"
    );
    let status = stage.red(&["status"], "1 of 17 firing broken-dev-api-5xx for ", failing);
    assert!(
        status.contains("`taskctl alarms --local` says what they watch"),
        "{status}"
    );
    // A handler is slow: the alarm of its time is red, and leads to the slowest requests.
    let packages = project.directory().join("slow");
    slow_packages(&packages);
    let deploy = ["deploy", "--yes", "--local", "--artifacts", packages.to_str().unwrap()];
    project.local.run(&deploy, project.directory()).expect(0);
    let late = ("/counter", 200);
    let alarms = stage.red(&["alarms"], "ALARM broken-dev-counter-slow for ", late);
    assert!(
        alarms.contains("p99 of Duration of function counter >= 1400")
            && alarms.contains("help: taskctl logs --query slowest counter --local")
            && alarms.contains("help: taskctl rollback --local # to 1; 2 went live "),
        "{alarms}"
    );
    stage.red(&["status"], "broken-dev-counter-slow for ", late);
    let metrics = project.run(&["metrics", "counter", "--output", "json"]).expect(0);
    let metrics: Value = serde_json::from_str(&metrics.out).unwrap();
    let p99 = metrics["functions"][0]["all"]["p99"]["values"].as_array().unwrap();
    assert!(
        p99.iter()
            .any(|value| value.as_f64().is_some_and(|millis| millis >= 1400.0)),
        "{p99:?}"
    );
}

/// A canary whose operator is gone, and the lock that it left.
#[test]
fn an_abandoned_canary_and_its_stale_lock_are_named() {
    let stage = Stage::deployed(Project::platform("abandoned"));
    let project = &stage.project;
    project.write(&project.template().replacen(
        "  counter:\n    grants:",
        "  counter:\n    memory: 640\n    grants:",
        1,
    ));
    project.run(&["deploy", "--no-promote"]).expect(0);
    let memory = |status: &Value| {
        let functions = status["functions"].as_array().unwrap();
        functions.iter().find(|function| function["name"] == "counter").unwrap()["memory_mb"].clone()
    };
    // What waits has more memory; what is live is shown.
    assert_eq!(memory(&project.status("dev")), 512);
    let killed = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "120s"]);
    stage.says(&["status"], 0, "canary 20% of counter to release 2");
    killed.signal("KILL");
    killed.end().expect(-1);
    let stale = eventually("the lock is stale", Duration::from_secs(180), || {
        let run = project.run(&["status", "--exit-code"]);
        told(&run).contains("no heartbeat for").then_some(run)
    });
    println!("$ taskctl status\n{}", stale.out);
    assert!(
        stale.code == 4
            && told(&stale).contains(
                "the canary was abandoned: `taskctl unlock --force --local` breaks its lock, then `taskctl promote --abort --local` ends it"
            ),
        "{stale:?}"
    );
    // The lock frees itself a while later; nobody has to wait for it.
    project.run(&["unlock", "--force"]).expect(0);
    stage.says(
        &["status"],
        0,
        "the canary was abandoned: `taskctl promote --abort --local` ends it",
    );
    project.run(&["promote", "--abort"]).expect(0);
    project.run(&["promote", "--yes", "--at-once"]).expect(0);
    let status = project.status("dev");
    assert_eq!(memory(&status), 640);
    assert_eq!(status["live"]["since"], status["last_move"]["at"]);
    let time = status["live"]["since"].as_str().unwrap();
    assert!(
        time.len() == "2026-03-01T12:00:00.000Z".len() && time.ends_with('Z'),
        "{time}"
    );
}
