//! The main job: deploy, answer, nothing to do, destroy.

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
