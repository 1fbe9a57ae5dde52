//! Request checks: against live, before a release goes live, and as a Postman collection under Newman.

use std::fs;

use serde_json::Value;
use taskctl_tests::{Project, newman};

fn report(project: &Project, arguments: &[&str], code: i32) -> Value {
    let all = [&["check", "--output", "json"], arguments].concat();
    let run = project.run(&all).expect(code);
    serde_json::from_str(&run.out).unwrap()
}

fn number(report: &Value, state: &str) -> usize {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().filter(|check| check["state"] == state).count()
}

/// Assertions of a report.
fn asserted(report: &Value) -> usize {
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .map(|check| check["assertions"].as_array().unwrap().len())
        .sum()
}

/// The exported collection holds under Newman, with as many assertions.
fn newman_asserts_as_much(project: &Project, asserted: usize) {
    project.run(&["export", "postman", "--out", "postman"]).expect(0);
    let file = |name: &str| project.directory().join("postman").join(name);
    for environment in ["dev-live", "dev-preview"] {
        let output = newman()
            .arg("run")
            .arg(file(&format!("{}.postman_collection.json", project.app)))
            .arg("-e")
            .arg(file(&format!("{environment}.postman_environment.json")))
            .args(["--reporters", "json", "--reporter-json-export"])
            .arg(file("run.json"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let run: Value = serde_json::from_str(&fs::read_to_string(file("run.json")).unwrap()).unwrap();
        let assertions = &run["run"]["stats"]["assertions"];
        assert_eq!(
            (assertions["total"].as_u64(), assertions["failed"].as_u64()),
            (u64::try_from(asserted).ok(), Some(0))
        );
    }
}

#[test]
fn the_shipped_checks_hold_here_and_under_newman() {
    let project = Project::platform("checked");
    project.run(&["deploy"]).expect(0);
    let junit = project.directory().join("report.xml");
    let all = report(&project, &["--junit", junit.to_str().unwrap()], 0);
    assert_eq!(number(&all, "passed"), all["checks"].as_array().unwrap().len());
    let asserted = asserted(&all);
    assert!(asserted >= 36, "{asserted}");
    assert!(fs::read_to_string(junit).unwrap().contains("failures=\"0\""));

    newman_asserts_as_much(&project, asserted);

    let document = project.run(&["export", "openapi", "--output", "json"]).expect(0);
    let document: Value = serde_json::from_str(&document.out).unwrap();
    assert_eq!(document["servers"][0]["url"], project.live("dev"));
    assert!(document["paths"]["/tasks/{taskId}"]["patch"].is_object());
}

#[test]
fn a_release_whose_checks_fail_does_not_go_live() {
    let project = Project::platform("gated");
    project.run(&["deploy"]).expect(0);
    project.write(
        &project
            .template()
            .replacen("  function:\n", "  function:\n    memory: 640\n", 1),
    );
    project.run(&["deploy", "--no-promote"]).expect(0);
    let folder = project.directory().join("checks");
    fs::create_dir_all(&folder).unwrap();
    let text = "checks:\n  - name: health is blue\n    folder: functional\n    request: {path: /health}\n    expect: {status: 200, json: {$.color: blue}}\n";
    fs::write(folder.join("own.yaml"), text).unwrap();

    let live = report(&project, &[], 0);
    assert_eq!(number(&live, "passed"), 1);
    let preview = report(&project, &["--preview"], 4);
    assert_eq!(number(&preview, "failed"), 1);
    let shown = project.run(&["check", "--preview"]).expect(4);
    assert!(shown.out.contains("$.color is blue: it is green"), "{}", shown.out);

    let refused = project.run(&["promote", "--yes"]).expect(4);
    assert!(refused.err.contains("$.color is blue: it is green"), "{}", refused.err);
    assert_eq!(project.status("dev")["live"]["release"], 1);
    fs::write(folder.join("own.yaml"), text.replace("blue", "green")).unwrap();
    project.run(&["promote", "--yes"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 2);

    fs::write(folder.join("own.yaml"), text.replace("expect:", "expects:")).unwrap();
    let wrong = project.run(&["check"]).expect(1);
    assert!(
        wrong.err.contains("own.yaml") && wrong.err.contains("expects"),
        "{}",
        wrong.err
    );
}

#[test]
fn what_changes_data_is_left_out_on_protected_stages() {
    let project = Project::platform("guarded");
    let text = project.template().replace("  dev:\n", "  dev:\n    protected: true\n");
    project.write(&text);
    project.run(&["deploy", "--yes"]).expect(0);
    let report = report(&project, &[], 0);
    assert!(
        number(&report, "skipped") > 5 && number(&report, "passed") > 10,
        "{report:#}"
    );
    project.run(&["check", "--allow-writes"]).expect(0);
}

#[test]
fn a_visitor_counter_forbids_everything_else() {
    let project = Project::shipped("visitor-counter", "visited");
    project.run(&["deploy"]).expect(0);
    let live = project.live("dev");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (method, path, status) in [
        ("GET", "/counter", 200),
        ("GET", "/health", 200),
        ("GET", "/", 403),
        ("GET", "/nowhere", 403),
        ("POST", "/counter", 403),
        ("DELETE", "/health", 403),
    ] {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{live}{path}"));
        let answer = agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
    }
    let all = report(&project, &[], 0);
    let checks = all["checks"].as_array().unwrap();
    assert_eq!(number(&all, "passed"), checks.len(), "{all:#}");
    for folder in ["functional", "performance", "security", "integration"] {
        assert!(checks.iter().any(|check| check["folder"] == folder), "{folder}");
    }
    let own: Vec<Value> = checks
        .iter()
        .filter(|check| check["suite"] == "visitor-counter")
        .cloned()
        .collect();
    let own = asserted(&serde_json::json!({ "checks": own }));
    assert!(own >= 36, "{own}");
    newman_asserts_as_much(&project, asserted(&all));
}
