//! Functions that know nothing of taskctl: they name no release, write no metrics, and answer 404 to an unknown id.

use serde_json::Value;
use taskctl_tests::{Project, Run, foreign_packages};

use crate::canary::Visitors;

const TEMPLATE: &str = "\
app: foreign
region: eu-central-1
functions:
  orders:
    architecture: x86_64
    environment: {LISTING: 200}
api:
  routes:
    GET /orders: orders
    GET /orders/{id}: orders
";

fn place(run: &Run, is: impl Fn(&Value) -> bool) -> Option<usize> {
    run.events().iter().position(is)
}

#[test]
fn foreign_functions_are_promoted_watched_and_rolled_back() {
    let project = Project::platform("foreign");
    let packages = project.directory().join("packages");
    foreign_packages(&packages);
    let deploy = |listing: &str, more: &[&str]| {
        project.write(&TEMPLATE.replace("200", listing));
        let artifacts = ["--artifacts", packages.to_str().unwrap()];
        let arguments = [&["deploy", "--local"], &artifacts[..], more].concat();
        project.local.run(&arguments, project.directory()).expect(0);
    };
    deploy("200", &[]);
    let live = project.live("dev");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let unknown = agent.get(format!("{live}/orders/7")).call().unwrap();
    assert_eq!(
        (unknown.status().as_u16(), unknown.headers().get("x-release")),
        (404, None)
    );

    deploy("202", &["--no-promote"]);
    let promoted = project.run(&["promote", "--yes", "--output", "json"]).expect(0);
    let by = |event: &Value| event["event"] == "confirmed" && event["by"] == "status" && event["release"] == 2;
    assert!(place(&promoted, by).is_some(), "{}", promoted.out);
    assert_eq!(
        agent.get(format!("{live}/orders")).call().unwrap().status().as_u16(),
        202
    );
    let back = project.run(&["rollback", "--yes"]).expect(0);
    assert!(
        back.err.contains("confirmed by status: live serves release 1"),
        "{}",
        back.err
    );

    // Every list of this release is answered with 500. Lambda counts no error, and the function counts nothing.
    deploy("500", &["--no-promote"]);
    let visitors = Visitors::of(&format!("{live}/orders"), 2);
    let canary = project.run(&[
        "promote", "--yes", "--canary", "50%", "--bake", "6s", "--output", "json",
    ]);
    visitors.end();
    let said = |event: &Value| {
        event["message"]
            .as_str()
            .is_some_and(|text| text.contains("no responses with a status of 5xx"))
    };
    let said = place(&canary, said);
    let diverted = place(&canary, |event| event["event"] == "diverted");
    assert!(said.is_some() && said < diverted, "{}", canary.out);
}
