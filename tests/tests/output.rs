//! What log lines say stays text: on a terminal, for GitHub's runner, in a spreadsheet, and in the access log.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use serde_json::Value;
use taskctl_stack::aws::client::clients::Clients;
use taskctl_tests::{Project, eventually};

/// Obeyed by terminals (C0, C1, directions), by GitHub's runner in both of its forms, and by spreadsheets.
const EVIL: &str = "=cmd|' /C calc'!A0\u{1b}]0;t\u{7}\u{1b}[31m\u{9b}31m\u{202e}\r::error::forged\n  ::add-mask::x\n##[error]forged\u{2028}::error::forged";
/// A User-Agent that closes its quotes and tells of a request that never was.
const FORGED: &str = r#"x","route":"DELETE /tasks/{taskId}","status":"204","sourceIp":"10.9.9.9","z":"\"#;

async fn put(clients: &Clients, group: &str, messages: &[String]) {
    let logs = &clients.logs;
    let made = logs.create_log_stream().log_group_name(group).log_stream_name("evil");
    made.send().await.unwrap();
    for message in messages {
        let event = InputLogEvent::builder().timestamp(jiff::Timestamp::now().as_millisecond());
        let event = event.message(message).build().unwrap();
        let put = logs.put_log_events().log_group_name(group).log_stream_name("evil");
        put.log_events(event).send().await.unwrap();
    }
}

fn access(project: &Project) -> Vec<Value> {
    let run = project.run(&["logs", "--api", "--format", "json"]).expect(0);
    run.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn is_obeyed(character: char) -> bool {
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn log_lines_stay_text_in_every_form() {
    let project = Project::platform("spoken");
    project.run(&["deploy"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();

    // The gateway keeps what a client says within its quotes, and in its place.
    let agent: ureq::Agent = ureq::Agent::config_builder().user_agent(FORGED).build().into();
    agent.get(format!("{}/health", project.live("dev"))).call().unwrap();
    let began = Instant::now();
    let line = loop {
        let found = access(&project)
            .into_iter()
            .find(|line| line["message"]["userAgent"] == FORGED);
        if let Some(line) = found {
            break line;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", access(&project));
    };
    assert_eq!(
        (&line["message"]["route"], &line["message"]["status"]),
        (&"GET /health".into(), &"200".into())
    );
    assert!(line["message"]["z"].is_null(), "{line}");

    // So does a reader where no gateway escaped anything.
    runtime.block_on(async {
        let clients = project.clients().await;
        let prefix = format!("/aws/vendedlogs/taskctl/{}/dev/", project.app);
        let groups = clients
            .logs
            .describe_log_groups()
            .log_group_name_prefix(prefix)
            .send()
            .await
            .unwrap();
        let group = groups.log_groups()[0].log_group_name().unwrap().to_owned();
        let format = clients.apigateway.get_apis().max_results("500").send().await.unwrap();
        let api = format
            .items()
            .iter()
            .find(|api| api.name() == Some("spoken-dev"))
            .unwrap()
            .api_id()
            .unwrap()
            .to_owned();
        let stages = clients.apigateway.get_stages().api_id(api).send().await.unwrap();
        let live = stages
            .items()
            .iter()
            .find(|stage| stage.stage_name() == Some("$default"))
            .unwrap();
        let format = live.access_log_settings().unwrap().format().unwrap().to_owned();
        let last = [
            r#""method":"$context.httpMethod""#,
            r#""path":"$context.path""#,
            r#""userAgent":"$context.identity.userAgent"}"#,
        ];
        assert!(
            format.ends_with(&last.join(",")),
            "what the client controls comes last: {format}"
        );
        let told = [
            ("routeKey", "GET /unescaped"),
            ("identity.userAgent", FORGED.trim_end_matches('\\')),
        ];
        let told = told.iter().fold(format, |line, (name, value)| {
            line.replace(&format!("$context.{name}"), value)
        });
        put(&clients, &group, &[told.replace("$context.status", "200")]).await;
        let text = serde_json::json!({"level": "ERROR", "message": EVIL, "error": EVIL, EVIL: EVIL}).to_string();
        put(
            &clients,
            &format!("/aws/lambda/{}", project.name("health")),
            &[EVIL.to_owned(), text],
        )
        .await;
    });
    let shown = project.run(&["logs", "--api"]).expect(0);
    assert!(
        shown.out.contains("GET /unescaped 200") && !shown.out.contains("DELETE"),
        "{}",
        shown.out
    );
    assert!(
        access(&project)
            .iter()
            .all(|line| line["message"]["route"] != "DELETE /tasks/{taskId}")
    );

    // No form but that of the raw bytes has anything that is obeyed, and to GitHub's runner not even that.
    let query = "fields @message, level | filter @message like /forged/";
    let forms: [&[&str]; 9] = [
        &["logs", "health"],
        &["logs", "health", "--format", "short"],
        &["logs", "health", "--format", "json"],
        &["logs", "health", "--fields", "source,message,error"],
        &["logs", "health", "--template", "{message}|{error}"],
        &["logs", "health", "--query", query],
        &["logs", "health", "--query", query, "--format", "json"],
        &["logs", "health", "--query", query, "--format", "csv"],
        &["logs", "health", "--format", "raw"],
    ];
    for form in forms {
        for output in ["human", "json", "github"] {
            let run = project.run(&[form, &["--output", output]].concat()).expect(0);
            let text = run.out.replace("\r\n", "\n");
            let is_raw = form.last() == Some(&"raw") && output == "human";
            assert!(
                is_raw || !text.chars().any(is_obeyed),
                "{form:?} {output}: {}",
                text.escape_debug()
            );
            assert!(
                text.contains("forged") && (!is_raw || text.contains(EVIL)),
                "{form:?} {output}: {text}"
            );
            if output == "github" {
                let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
                let own = ["::warning::", "::group::", "::endgroup::"];
                let commands: Vec<&str> = text.lines().filter(|line| is_command(line)).collect();
                assert!(
                    commands.iter().all(|line| own.iter().any(|own| line.starts_with(own))),
                    "{form:?}: {commands:?}"
                );
            }
            if form.last() == Some(&"csv") {
                assert!(
                    text.contains("\n\"'=cmd|' /C calc'!A0") && !text.contains("\n\"=cmd"),
                    "{text}"
                );
            }
        }
    }

    // A group of access logs that was deleted is not made again by the requests that follow.
    runtime.block_on(async {
        let logs = project.clients().await.logs;
        let prefix = format!("/aws/vendedlogs/taskctl/{}/dev/", project.app);
        let groups = || logs.describe_log_groups().log_group_name_prefix(&prefix).send();
        let name = groups().await.unwrap().log_groups()[0]
            .log_group_name()
            .unwrap()
            .to_owned();
        logs.delete_log_group().log_group_name(name).send().await.unwrap();
        // The lines of the second request are brought over after those of the first.
        for _ in 0..2 {
            let answer = ureq::get(format!("{}/health", project.live("dev"))).call().unwrap();
            let request = answer.headers()["x-request-id"].to_str().unwrap();
            eventually("the request is logged", Duration::from_secs(30), || {
                let run = project.run(&["logs", "health", "--request-id", request, "--format", "json"]);
                (!run.out.is_empty()).then_some(())
            });
        }
        assert_eq!(groups().await.unwrap().log_groups().len(), 0);
    });
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}
