//! The main job: deploy, answer, nothing to do, destroy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use taskctl_tests::Project;

fn get(url: &str) -> (u16, Value) {
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let mut answer = agent.get(url).call().unwrap();
    let status = answer.status().as_u16();
    (status, answer.body_mut().read_json().unwrap_or(Value::Null))
}

#[test]
fn a_first_deploy_answers_and_a_second_has_nothing_to_do() {
    let project = Project::platform("first");
    project.run(&["deploy"]).expect(0);
    let status = project.status("dev");
    assert_eq!(
        (&status["live"]["color"], &status["live"]["release"]),
        (&json!("blue"), &json!(1))
    );
    assert_eq!(status["functions"].as_array().map(Vec::len), Some(5));
    let live = project.live("dev");
    let (code, health) = get(&format!("{live}/health"));
    assert_eq!(
        (code, &health["status"], &health["release"]),
        (200, &json!("healthy"), &json!("1"))
    );
    let (code, counter) = get(&format!("{live}/counter"));
    assert_eq!((code, &counter["count"]), (200, &json!(1)));
    let created: Value = ureq::post(format!("{live}/tasks"))
        .send_json(json!({"title": "write the tests"}))
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap();
    let id = created["taskId"].as_str().unwrap().to_owned();
    let (code, task) = get(&format!("{live}/tasks/{id}"));
    assert_eq!((code, &task["title"]), (200, &json!("write the tests")));

    let again = project.run(&["deploy", "--output", "json"]).expect(0);
    assert_eq!(again.changes(), Vec::<String>::new());
    project.run(&["plan"]).expect(0);

    // With data in a table, destroy keeps the table; named, it goes, and nothing is left.
    let kept = project.run(&["destroy", "--yes"]).expect(0);
    assert!(
        kept.out.contains("dynamodb_table.tasks") || kept.err.contains("dynamodb_table.tasks"),
        "{}{}",
        kept.out,
        kept.err
    );
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    let nothing = project
        .run(&["destroy", "--yes", "--delete-data", "all", "--output", "json"])
        .expect(0);
    assert_eq!(nothing.changes(), Vec::<String>::new());
}

#[test]
fn a_changed_setting_makes_a_release_that_goes_live() {
    let project = Project::platform("change");
    // What has a name of its own is found again as anything else is.
    let text = project
        .template()
        .replace("  health:\n", "  health:\n    name: own-health\n");
    let text = format!(
        "{text}\ndashboard: {{name: own-dashboard}}\nalarms:\n  own: {{name: own-alarm, metric: Errors, statistic: Sum, function: health, threshold: 9}}\n"
    );
    project.write(&text);
    project.run(&["deploy"]).expect(0);
    project.run(&["plan"]).expect(0);
    let named = project.status("dev");
    for (list, name) in [("functions", "own-health"), ("alarms", "own-alarm")] {
        let all = named[list].as_array().unwrap();
        assert!(all.iter().any(|one| one["name"] == name), "no {name} in {all:?}");
    }
    assert_eq!(
        named["missing"].as_array().map_or(0, Vec::len),
        0,
        "{}",
        named["missing"]
    );
    let dashboards = project.run(&["dashboard", "--output", "json"]).expect(0);
    assert!(dashboards.out.contains("own-dashboard"), "{}", dashboards.out);
    let live = project.live("dev");
    let changed = text.replacen("  function:\n", "  function:\n    memory: 640\n", 1);
    assert_ne!(changed, text, "the template must have something to change");
    project.write(&changed);
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    assert!(
        plan.changes()
            .iter()
            .any(|change| change.starts_with("update lambda_function.") && change.contains("memory_mb"))
    );
    project.run(&["deploy"]).expect(0);
    let status = project.status("dev");
    assert_eq!(
        (&status["live"]["color"], &status["live"]["release"]),
        (&json!("green"), &json!(2))
    );
    let (code, health) = get(&format!("{live}/health"));
    assert_eq!(
        (code, &health["release"], &health["color"]),
        (200, &json!("2"), &json!("green"))
    );
    project.run(&["plan"]).expect(0);
    // Taken back by deploying what was before: its versions are there, and no others are published.
    project.write(&text);
    project.run(&["deploy"]).expect(0);
    let versions = |status: &Value| -> Vec<Value> {
        let functions = status["functions"].as_array().unwrap().iter();
        functions.map(|one| one["live_version"].clone()).collect()
    };
    assert_eq!(versions(&project.status("dev")), versions(&named));
    project.run(&["plan"]).expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn a_saved_plan_is_applied_only_while_nothing_has_moved() {
    let project = Project::platform("saved");
    project.run(&["plan", "--save", "first.plan"]).expect(2);
    project.run(&["deploy", "--plan", "first.plan"]).expect(0);
    let refused = project.run(&["deploy", "--plan", "first.plan"]).expect(1);
    // What stands before it has the times of this run.
    let refusal = &refused.err[refused.err.find("error: ").unwrap()..];
    insta::assert_snapshot!(refusal, @r"
    error: the template, the code or AWS has changed since the plan was saved
     help: review the current plan and save it: `taskctl plan --save FILE --local`
    ");
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// The runtime API's loop, as a script that answers with the word in the file beside it.
const GIVEN: &str = r#"#!/usr/bin/env python3
import json, os, urllib.request
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
word = open(os.path.join(os.environ["LAMBDA_TASK_ROOT"], "word.txt")).read()
while True:
    with urllib.request.urlopen(f"{base}/next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        event.read()
    answer = {"statusCode": 200, "headers": {"x-version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"]}, "body": json.dumps(word)}
    body = json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(f"{base}/{request}/response", data=body, method="POST")).read()
"#;

/// Nothing is built: there is no Cargo project.
#[test]
fn code_that_is_not_built_here_is_deployed_and_changed() {
    let project = Project::platform("given");
    let template = "app: given\nregion: eu-central-1\nfunctions:\n  hello: {code: hello, runtime: provided.al2023}\napi:\n  routes: {GET /hello: hello}\n";
    project.write(template);
    let folder = project.directory().join("hello");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("bootstrap"), GIVEN).unwrap();
    fs::set_permissions(folder.join("bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        project
            .local
            .run(&[arguments, &["--local"]].concat(), project.directory())
    };
    for word in ["first", "second"] {
        fs::write(folder.join("word.txt"), word).unwrap();
        run(&["deploy", "--promote"]).expect(0);
        assert_eq!(get(&format!("{}/hello", project.live("dev"))), (200, json!(word)));
        run(&["plan"]).expect(0);
    }

    // What surrounds the code is part of a release, and goes as it came.
    let around = ", layers: ['arn:aws:lambda:eu-central-1:123456789012:layer:tools:3'], vpc: {subnets: [subnet-0a], security_groups: [sg-0a]}}";
    for text in [
        template.replace("al2023}", &format!("al2023{around}")),
        template.to_owned(),
    ] {
        project.write(&text);
        let deployed = run(&["deploy", "--promote"]).expect(0);
        assert!(
            deployed.err.contains("changed  lambda_function.hello"),
            "{}",
            deployed.err
        );
        run(&["plan"]).expect(0);
    }

    // A runtime that only Lambda has, before anything is changed.
    project.write(&template.replace("provided.al2023", "python3.13, handler: app.handler"));
    let refused = run(&["deploy"]).expect(1);
    assert!(
        refused.err.contains("runs on python3.13, which only Lambda has"),
        "{}",
        refused.err
    );
    assert_eq!(get(&format!("{}/hello", project.live("dev"))), (200, json!("second")));
}
