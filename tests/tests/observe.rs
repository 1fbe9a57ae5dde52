//! What people on call look at: status, metrics, alarms, queries, diagnosis, security; and `dev`.

use std::time::{Duration, Instant};

use serde_json::Value;
use taskctl_tests::{Project, eventually, settled};

fn json(project: &Project, arguments: &[&str]) -> Value {
    let run = project.run(&[arguments, &["--output", "json"]].concat()).expect(0);
    serde_json::from_str(&run.out).unwrap()
}

fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually(what, Duration::from_secs(90), look)
}

fn ask(live: &str, path: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.get(format!("{live}{path}")).call();
    answer.unwrap().status().as_u16()
}

/// Adds a policy to a function's role behind taskctl's back.
fn put_policy(project: &Project, function: &str, policy: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = project.clients().await;
        let path = format!("/taskctl/{}/", project.app);
        let roles = clients.iam.list_roles().path_prefix(path).send().await.unwrap();
        let role = roles
            .roles()
            .iter()
            .find(|role| role.role_name().contains(function))
            .unwrap();
        let put = clients.iam.put_role_policy().role_name(role.role_name());
        put.policy_name("added").policy_document(policy).send().await.unwrap();
    });
}

#[test]
fn what_happened_is_counted_and_what_is_wrong_is_named() {
    let project = Project::platform("observed");
    project.run(&["deploy"]).expect(0);
    // Somebody takes away what the counter may do: each of its requests fails.
    let denied =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"dynamodb:UpdateItem","Resource":"*"}]}"#;
    put_policy(&project, "counter", denied);
    let live = project.live("dev");
    // The deploy has asked live, too.
    let requests = |metrics: &Value, name: &str| {
        let functions = metrics["functions"].as_array().unwrap();
        let function = functions.iter().find(|function| function["name"] == name).unwrap();
        function["all"]["requests"]["total"].as_f64().unwrap_or(0.0)
    };
    let api_requests = |metrics: &Value| metrics["api"]["requests"]["total"].as_f64().unwrap_or(0.0);
    let (api_before, health_before, missed_before) = settled(
        "what the deploy asked",
        Duration::from_secs(5),
        Duration::from_secs(90),
        || {
            let metrics = json(&project, &["metrics", "--since", "15m"]);
            let missed = metrics["api"]["4xx"]["total"].as_f64().unwrap_or(0.0);
            let asked = (api_requests(&metrics), requests(&metrics, "health"), missed);
            (asked.0 >= 20.0 && asked.1 > 0.0).then_some(asked)
        },
    );
    for _ in 0..10 {
        assert_eq!(ask(&live, "/health"), 200);
        assert_eq!(ask(&live, "/counter"), 500);
    }
    assert_eq!(ask(&live, "/nowhere"), 404);

    let metrics = until("the metrics arrive", || {
        let metrics = json(&project, &["metrics", "--since", "15m"]);
        let is_all = api_requests(&metrics) == api_before + 21.0
            && requests(&metrics, "health") == health_before + 10.0
            && requests(&metrics, "counter") == 10.0;
        is_all.then_some(metrics)
    });
    assert_eq!(metrics["api"]["5xx"]["total"], 10.0);
    assert_eq!(metrics["api"]["4xx"]["total"], missed_before + 1.0);
    let functions = metrics["functions"].as_array().unwrap();
    let health = functions.iter().find(|function| function["name"] == "health").unwrap();
    assert_eq!(health["all"]["requests"]["total"], health_before + 10.0);
    assert_eq!(
        health["versions"][0]["measures"]["requests"]["total"],
        health_before + 10.0
    );
    assert_eq!(health["versions"][0]["releases"], serde_json::json!([1]));
    let counter = functions.iter().find(|function| function["name"] == "counter").unwrap();
    assert_eq!(counter["versions"][0]["measures"]["5xx"]["total"], 10.0);
    let shown = project.run(&["metrics", "health", "counter"]).expect(0).out;
    assert!(
        shown.contains("p99 ms") && shown.contains("health") && !shown.contains("tasks"),
        "{shown}"
    );
    project.run(&["metrics", "helth"]).expect(64);

    let status = json(&project, &["status"]);
    let functions = status["functions"].as_array().unwrap();
    let counter = functions.iter().find(|function| function["name"] == "counter").unwrap();
    assert_eq!(counter["recent"], serde_json::json!({"requests": 10.0, "errors": 10.0}));
    assert_eq!(counter["changed_since"], false);
    assert_eq!(status["last_release"]["release"], 1);

    // Logs as fields, and asked as a whole.
    let fields = project.run(&[
        "logs",
        "counter",
        "--fields",
        "source,route,status",
        "--route",
        "GET /counter",
    ]);
    assert_eq!(fields.expect(0).out, "counter\tGET /counter\t500\n".repeat(10));
    let query = "fields @message | filter @message like /GET \\/counter/ | sort @timestamp desc";
    let errors = json(&project, &["logs", "--query", query]);
    let errors = errors.as_array().unwrap();
    assert_eq!(errors.len(), 10);
    assert!(
        errors
            .iter()
            .all(|error| error["@message"].as_str().unwrap().contains("\"status\":500"))
    );
    let csv = project
        .run(&["logs", "--query", query, "--format", "csv"])
        .expect(0)
        .out;
    assert!(csv.starts_with("@message\r\n\"{"), "{csv}");
    let rows = |query: &str| match json(&project, &["logs", "--query", query]) {
        Value::Array(rows) => rows,
        other => panic!("{query}: {other}"),
    };
    let latency = rows("latency");
    let counter = latency.iter().find(|row| row["route"] == "GET /counter").unwrap();
    assert!(
        counter["requests"] == 10 && counter["p99"].as_f64().unwrap() > 0.0,
        "{counter}"
    );
    let millis: Vec<f64> = rows("slowest")
        .iter()
        .map(|row| row["durationMs"].as_f64().unwrap())
        .collect();
    assert!(millis.len() >= 10 && millis.is_sorted_by(|a, b| a >= b), "{millis:?}");
    let errors = rows("errors");
    let is_error = |row: &Value| row["status"] == 500 && row["error"].is_string();
    assert!(errors.len() == 1 && errors.iter().all(is_error), "{errors:?}");
    assert!(
        errors[0]["count"] == 10 && errors[0]["function"] == "counter" && errors[0]["example"].is_string(),
        "{errors:?}"
    );
    let starts = rows("cold-starts");
    let counts = |row: &Value| row["starts"].as_u64().unwrap() >= 1;
    assert!(starts.len() >= 2 && starts.iter().all(counts), "{starts:?}");
    let unknown = project
        .run(&["logs", "--query", "filter level = 'ERROR' | pattern @message"])
        .expect(1);
    let told = unknown.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("`pattern` is not known"), "{told}");
    project.run(&["logs", "--query", "nonsense"]).expect(64);

    // Where there is no Live Tail, it looks every second.
    let mut following = project.start(&["logs", "health", "--live", "--since", "1s", "--format", "json"]);
    let lines = following.lines();
    let mut shown: Vec<String> = Vec::new();
    let read = |shown: &mut Vec<String>| {
        shown.extend(
            lines
                .try_iter()
                .map(|(_, line)| line)
                .filter(|line| line.contains("GET /health")),
        );
    };
    until("a request is shown", || {
        ask(&live, "/health");
        read(&mut shown);
        (!shown.is_empty()).then_some(())
    });
    settled(
        "no more is shown",
        Duration::from_secs(4),
        Duration::from_secs(60),
        || {
            read(&mut shown);
            Some(shown.len())
        },
    );
    let all = shown.len();
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), all, "each once");
    following.signal("INT");
    let followed = following.end();
    assert!(
        followed.err.contains("polling every second instead"),
        "{}",
        followed.err
    );
    // Of a reader no call has to be finished.
    assert!(
        !followed.err.contains("in flight") && !followed.err.contains("resumes"),
        "{}",
        followed.err
    );

    // The red alarm says what to do.
    let red = until("an alarm turns red", || {
        // More than 10 within a minute turn it red: they are sent at once, however slow the commands are.
        for _ in 0..15 {
            ask(&live, "/counter");
        }
        let run = project.run(&["alarms", "--exit-code", "--history"]);
        // It may be calm again by the time that is asked.
        let status = project.run(&["status", "--exit-code"]);
        (run.code == 4 && status.code == 4).then_some(run.out)
    });
    assert!(red.contains("ALARM") && red.contains("help: taskctl "), "{red}");

    let doctor = project.run(&["doctor"]).expect(4).out;
    let doctor = doctor.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        doctor.contains("function counter may not dynamodb:UpdateItem")
            && doctor.contains("the template grants it: `taskctl plan --local` shows what is not as it was deployed"),
        "{doctor}"
    );
}

#[test]
fn what_must_not_be_possible_is_asked() {
    let project = Project::platform("secured");
    project.run(&["deploy"]).expect(0);
    let run = project.run(&["check", "--security", "--folder", "security"]).expect(0);
    assert!(
        run.out.contains("counter cannot touch table users") && run.out.contains("requests from null are not allowed"),
        "{}",
        run.out
    );
    // Somebody opens a function's role behind its back.
    let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}]}"#;
    put_policy(&project, "counter", open);
    let run = project.run(&["check", "--security", "--folder", "security"]).expect(4);
    assert!(run.out.contains("its role allows dynamodb:"), "{}", run.out);
}

#[test]
fn a_save_is_live_a_moment_later_and_a_mistake_is_not() {
    let project = Project::platform("watched");
    let packages = taskctl_tests::artifacts().to_string_lossy().into_owned();
    let mut dev = project.start(&["dev", "--artifacts", &packages]);
    let (lines, messages) = (dev.lines(), dev.messages());
    let mut said: Vec<String> = Vec::new();
    // It watches again once a round is over, however that ended.
    let mut watches = |rounds: usize| {
        until("it watches for changes", || {
            said.extend(messages.try_iter());
            let watching = said.iter().filter(|line| line.contains("watching ")).count();
            (watching >= rounds).then(|| said.join("\n"))
        })
    };
    let release = || {
        // By name, since the template is wrong for a while.
        let run = project.run(&[
            "status",
            "--output",
            "json",
            "--app",
            "watched",
            "--region",
            "eu-central-1",
        ]);
        let status: Value = serde_json::from_str(&run.out).ok()?;
        status["live"]["release"].as_u64()
    };
    until("the first release is live", || {
        release().filter(|release| *release == 1)
    });
    watches(1);
    let text = project.template();
    project.write(&text.replacen("functions:", "functions: [", 1));
    watches(2);
    assert_eq!(release(), Some(1), "a template that is wrong changes nothing");
    let saved = Instant::now();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    until("the second release is live", || {
        release().filter(|release| *release == 2)
    });
    let took = saved.elapsed();
    println!("from save to live: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(ask(&project.live("dev"), "/health"), 200);
    until("what functions log is shown", || {
        lines
            .try_iter()
            .any(|(_, line)| line.contains("GET /health"))
            .then_some(())
    });
    let said = watches(3);
    // Each round counts its own calls: a change needs fewer than all that is new.
    let calls: Vec<u64> = said
        .lines()
        .filter(|line| line.contains(" in ") && line.ends_with(" AWS calls") && !line.starts_with("read "))
        .filter_map(|line| line.trim_end_matches(" AWS calls").rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(
        matches!(calls[..], [first, second] if second < first),
        "{calls:?}: {said}"
    );
    dev.signal("INT");
    let run = dev.end();
    assert_eq!(run.code, 130, "{said}");
    assert!(said.contains("changed: taskctl.yaml"), "{said}");
}
