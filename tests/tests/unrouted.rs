//! Functions that no route reaches are released like the others, with an API beside them and without one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use taskctl_tests::{Project, Run, python_function};

/// Says which version it is; `MODE: broken` fails.
const WORKER: &str = r#"
def answer(event):
    if os.environ["MODE"] == "broken":
        raise SystemExit(1)
    return {"version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "mode": os.environ["MODE"]}
"#;

const FUNCTIONS: &str = "functions:
  jobs: {code: code, runtime: provided.al2023, environment: {MODE: one}, check_event: '{\"Records\": []}'}
  mail: {code: code, runtime: provided.al2023, environment: {MODE: mail}}
";

fn project(app: &str) -> Project {
    let project = Project::platform(app);
    python_function(&project.directory().join("code"), WORKER);
    project.write(&format!("app: {app}\nregion: eu-central-1\n{FUNCTIONS}"));
    project
}

fn set_mode(project: &Project, from: &str, to: &str) {
    let text = project.template();
    assert!(text.contains(&format!("MODE: {from}")), "{text}");
    project.write(&text.replace(&format!("MODE: {from}"), &format!("MODE: {to}")));
}

/// What a slot's version of a function answers, through the alias that callers name.
fn answer(project: &Project, function: &str, alias: &str) -> Value {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lambda = project.clients().await.lambda;
        let call = lambda.invoke().function_name(project.name(function)).qualifier(alias);
        let answer = call.payload(b"{}".to_vec().into()).send().await.unwrap();
        serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap()
    })
}

fn live(project: &Project) -> Value {
    let status: Value = serde_json::from_str(&run(project, &["status", "--output", "json"]).expect(0).out).unwrap();
    json!([status["live"]["release"], status["preview"]["release"], status["late"]])
}

/// What was told, whatever the width.
fn told(run: &Run) -> String {
    run.err.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing is built, so the packages of the others have no part in it.
fn run(project: &Project, arguments: &[&str]) -> Run {
    let local = &project.local;
    local.run(&[arguments, &["--local"]].concat(), project.directory())
}

/// Calls `jobs` through the alias `live` until `doing` is done; the modes of what answered.
fn while_called(project: &Project, doing: impl FnOnce()) -> BTreeSet<String> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !is_done.load(Ordering::Relaxed) {
                let mode = &answer(project, "jobs", "live")["mode"];
                seen.insert(mode.as_str().unwrap().to_owned());
            }
            seen
        });
        doing();
        is_done.store(true, Ordering::Relaxed);
        calling.join().unwrap()
    })
}

/// Beside an API it is the alias `live` that moves with the stage.
#[test]
fn functions_beside_an_api_move_with_it() {
    let project = project("beside");
    let text = project.template();
    let routed = "  greet: {code: code, runtime: provided.al2023, environment: {MODE: greet}}\napi:\n  routes: {GET /greet: greet}\n";
    project.write(&format!("{text}{routed}"));
    run(&project, &["deploy"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["version"], "1");
    run(&project, &["plan"]).expect(0);
    set_mode(&project, "one", "two");
    let deployed = run(&project, &["deploy", "--no-promote"]).expect(0);
    assert!(told(&deployed).contains("Release 2"), "{}", deployed.err);
    assert_eq!(answer(&project, "jobs", "live")["version"], "1");
    run(&project, &["promote", "--yes"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["version"], "2");
    run(&project, &["plan"]).expect(0);
    run(&project, &["rollback", "--yes"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["version"], "1");

    // An alias that was left behind is brought where live is by whatever runs next.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lambda = project.clients().await.lambda;
        let moved = lambda.update_alias().function_name(project.name("jobs")).name("live");
        moved.function_version("2").send().await.unwrap();
    });
    run(&project, &["rollback", "--yes", "--to", "1"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["version"], "1");
    run(&project, &["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn a_stack_without_an_api_has_releases() {
    let project = project("hidden");
    run(&project, &["deploy"]).expect(0);
    assert_eq!(live(&project), json!([1, 1, null]));
    assert_eq!(answer(&project, "jobs", "live"), json!({"version": "1", "mode": "one"}));
    run(&project, &["plan"]).expect(0);

    // What waits is called through preview, and live stays.
    set_mode(&project, "one", "two");
    run(&project, &["deploy", "--no-promote"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["mode"], "one");
    assert_eq!(answer(&project, "jobs", "preview")["mode"], "two");
    let promoted = run(&project, &["promote", "--yes"]).expect(0);
    assert!(
        told(&promoted).contains("preview passed: 1 request"),
        "{}",
        promoted.err
    );
    assert!(
        told(&promoted).contains("confirmed by the alias live of 2 functions"),
        "{}",
        promoted.err
    );
    assert_eq!(answer(&project, "jobs", "live"), json!({"version": "2", "mode": "two"}));
    assert_eq!(answer(&project, "mail", "live")["version"], "1");

    // What fails its check event does not go live, neither by promote nor by deploy.
    set_mode(&project, "two", "broken");
    run(&project, &["deploy", "--no-promote"]).expect(0);
    let refused = run(&project, &["promote", "--yes"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(
        told(&refused).contains("jobs failed its check event"),
        "{}",
        refused.err
    );
    let refused = run(&project, &["deploy"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(told(&refused).contains("release 3 stays in preview"), "{}", refused.err);
    assert_eq!(live(&project), json!([2, 3, null]));

    run(&project, &["rollback", "--yes"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["mode"], "one");
    run(&project, &["rollback", "--yes", "--to", "2"]).expect(0);
    assert_eq!(answer(&project, "jobs", "live")["mode"], "two");

    // A move that somebody else cut off: half of the aliases are where live is.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lambda = project.clients().await.lambda;
        let moved = lambda.update_alias().function_name(project.name("mail")).name("live");
        let text = "taskctl move=99 color=green previousRelease=2 release=3";
        moved.function_version("1").description(text).send().await.unwrap();
    });
    let status = run(&project, &["status"]);
    assert!(status.out.contains("release 3"), "{}", status.out);
    assert_eq!(live(&project), json!([3, 3, ["jobs"]]));
    run(&project, &["rollback", "--yes"]).expect(0);
    assert_eq!(live(&project), json!([2, 3, null]));

    // A canary's share goes through the alias that callers name.
    set_mode(&project, "broken", "three");
    run(&project, &["deploy", "--no-promote"]).expect(0);
    let seen = while_called(&project, || {
        let promoted = run(&project, &["promote", "--yes", "--canary", "50%", "--bake", "4s"]);
        assert_eq!(promoted.code, 0, "{}", promoted.err);
        assert!(told(&promoted).contains("50%"), "{}", promoted.err);
    });
    assert_eq!(seen, ["three", "two"].map(str::to_owned).into());
    assert_eq!(answer(&project, "jobs", "live")["mode"], "three");
    run(&project, &["prune", "--yes", "--keep", "1"]).expect(0);
    let releases = run(&project, &["releases", "--output", "json"]).expect(0).out;
    let releases: Value = serde_json::from_str(&releases).unwrap();
    let kept = releases.as_array().unwrap().iter().filter(|one| one["state"] != "gone");
    let kept: Vec<&Value> = kept.map(|one| &one["release"]).collect();
    assert_eq!(kept, [&json!(4), &json!(2)]);
    run(&project, &["plan"]).expect(0);
    run(&project, &["destroy", "--yes", "--delete-data", "all"]).expect(0);
}
