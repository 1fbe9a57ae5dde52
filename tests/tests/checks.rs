//! Request checks: against live, before a release goes live, and as a Postman collection under Newman.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

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
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
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
    assert!(shown.out.contains("$.color: expected blue, got green"), "{}", shown.out);

    let refused = project.run(&["promote", "--yes"]).expect(4);
    assert!(
        refused.err.contains("$.color: expected blue, got green"),
        "{}",
        refused.err
    );
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

/// What of HTTP the two could read differently: a server that redirects, sets cookies, repeats headers, and says what it was sent.
fn peculiar_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            let header = |name: &str| {
                let of = |line: &str| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                };
                head.lines().find_map(of)
            };
            let length: usize = header("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let echo = serde_json::json!({
                "path": path, "cookie": header("cookie"), "contentType": header("content-type"), "userAgent": header("user-agent"),
                "body": String::from_utf8_lossy(&body),
            });
            let (status, headers, body) = match path {
                "/redirect" => ("302 Found", "location: /echo/target\r\n", "moved".to_owned()),
                "/text" => ("200 OK", "", "Just a text".to_owned()),
                "/cookies" => ("200 OK", "set-cookie: a=1\r\nset-cookie: b=2\r\n", String::new()),
                "/name" => ("200 OK", "x-name: grün\r\n", String::new()),
                _ => ("200 OK", "content-type: application/json\r\n", echo.to_string()),
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
            // Whoever asked may be gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

const PECULIAR: &str = r#"
variables:
  name: "Zoë & Co \"q\" \\ 日本"
checks:
  - name: a redirect is seen, not followed
    folder: functional
    request: {path: /redirect}
    expect: {status: 302, headers: {location: /echo/target}}
  - name: flags of a regular expression
    folder: functional
    request: {path: /text}
    expect: {status: 200, body: {matches: "(?i)^JUST A"}}
  - name: what a regular expression does not match
    folder: functional
    request: {path: /text}
    expect: {status: 200, body: {matches: "^JUST A"}}
  - name: a body is sent as it is written
    folder: functional
    request: {method: POST, path: /echo, body: "plain"}
    expect: {status: 200, json: {$.body: plain, $.contentType: null, $.userAgent: null}}
  - name: a variable within JSON
    folder: functional
    request: {method: POST, path: /echo, json: {name: "{{name}}"}}
    expect: {status: 200, json: {$.contentType: application/json, $.body: {contains: "Zoë & Co \\\"q\\\" \\\\ 日本"}}}
  - name: the first of repeated headers
    folder: functional
    request: {path: /cookies}
    expect: {status: 200, headers: {set-cookie: {contains: "a=1"}}}
  - name: cookies are not kept
    folder: functional
    request: {path: /echo}
    expect: {status: 200, json: {$.cookie: null}}
  - name: a header beyond ASCII
    folder: functional
    request: {path: /name}
    expect: {status: 200, headers: {x-name: grün}}
  - name: a header that is not there
    folder: functional
    request: {path: /name}
    expect: {status: 200, headers: {x-other: {present: false}}}
"#;

#[test]
fn newman_reads_checks_as_check_does() {
    let project = Project::platform("peculiar");
    let folder = project.directory().join("own");
    fs::create_dir_all(&folder).unwrap();
    // As some editors begin a file.
    fs::write(folder.join("http.yaml"), format!("\u{feff}{PECULIAR}")).unwrap();
    let url = peculiar_server();
    let checked = report(&project, &["--checks", "own", "--url", &url], 4);
    let verdicts: Vec<(String, bool)> = checked["checks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|check| check["assertions"].as_array().unwrap())
        .map(|one| (one["assertion"].as_str().unwrap().to_owned(), one["failure"].is_null()))
        .collect();
    let failed = verdicts.iter().filter(|(_, holds)| !holds).count();
    assert_eq!(failed, 1, "{checked:#}");

    let collection = project.run(&["export", "postman", "--checks", "own"]).expect(0).out;
    let file = |name: &str| project.directory().join(name);
    fs::write(file("collection.json"), collection).unwrap();
    let output = newman()
        .arg("run")
        .arg(file("collection.json"))
        .args([
            "--env-var",
            &format!("baseUrl={url}"),
            "--reporters",
            "json",
            "--reporter-json-export",
        ])
        .arg(file("run.json"))
        .output()
        .unwrap();
    let run: Value = serde_json::from_str(&fs::read_to_string(file("run.json")).unwrap()).unwrap();
    let seen: Vec<(String, bool)> = run["run"]["executions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|execution| execution["assertions"].as_array().unwrap())
        .map(|one| (one["assertion"].as_str().unwrap().to_owned(), one["error"].is_null()))
        .collect();
    assert_eq!(seen, verdicts, "{}", String::from_utf8_lossy(&output.stdout));
}
