//! What comes from outside – templates, the environment, AWS – is shown, never obeyed; what is secret is not shown at all.

use std::os::unix::fs::PermissionsExt as _;

use taskctl_tests::{FaultProfile, FaultProxy, Project, Run};

/// Colours, clears the screen, sets the title, forges a line and a workflow command, and does so in C1 too.
const EVIL: &str = "\u{1b}[31mred\u{1b}[2J\u{1b}]0;title\u{7}\r\n::error::forged\u{9b}31m\u{202e}";
const TOKEN: &str = "tok-5ecret-value-of-a-function";

/// Neither stream has a control character beside line feeds, and no line begins as a forged one would.
fn check(run: &Run) {
    for text in [&run.out, &run.err] {
        let bad: Vec<char> = text
            .chars()
            .filter(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c))
            .collect();
        assert!(bad.is_empty(), "{bad:?} in {text}");
        assert!(!text.lines().any(|line| line.starts_with("::error::forged")), "{text}");
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_it_is() {
    let project = Project::platform("hostile");
    let run = |arguments: &[&str]| {
        let (key, secret) = project.local.credentials();
        let environment = [
            ("USER", EVIL),
            ("AWS_ACCESS_KEY_ID", &*key),
            ("AWS_SECRET_ACCESS_KEY", &*secret),
        ];
        let run = project
            .start_as(&project.local.endpoint(), arguments, &environment)
            .end();
        check(&run);
        run
    };
    run(&["deploy", "--yes"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clients = project.clients().await;
        let set = clients.lambda.update_function_configuration();
        let set = set.function_name(project.name("health")).description(EVIL);
        set.send().await.unwrap();
        let group = format!("/aws/lambda/{}", project.name("health"));
        let now = jiff::Timestamp::now().as_millisecond();
        clients
            .logs
            .create_log_stream()
            .log_group_name(&group)
            .log_stream_name("evil")
            .send()
            .await
            .unwrap();
        for message in [
            EVIL.to_owned(),
            serde_json::json!({"level": "ERROR", "message": EVIL}).to_string(),
        ] {
            let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder();
            let event = event.timestamp(now).message(message).build().unwrap();
            let put = clients.logs.put_log_events().log_group_name(&group);
            put.log_stream_name("evil").log_events(event).send().await.unwrap();
        }
    });
    for arguments in [
        &["plan"][..],
        &["plan", "--details"],
        &["plan", "--output", "github"],
        &["plan", "--output", "json"],
        &["status"],
        &["releases"],
        &["logs", "health"],
        &["logs", "health", "--format", "short"],
        &["logs", "health", "--format", "json"],
        &["status", "--stage", EVIL],
        &["status", "--app", EVIL],
        &["logs", EVIL],
        &["deploy", "--yes", "--trace"],
    ] {
        run(arguments);
    }
    let text = project.template();
    let described = serde_json::json!(EVIL).to_string();
    project.write(&format!("{text}\nunknown: {described}\n"));
    run(&["plan"]).expect(1);
    project.write(&text);
    let relay = FaultProxy::before(&project.local.endpoint());
    relay.fault_profile(Some(FaultProfile::Hostile));
    for format in ["human", "json", "github"] {
        check(
            &project
                .start_at(&relay.endpoint, &["plan", "--output", format])
                .end()
                .expect(1),
        );
    }
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

#[test]
fn secrets_are_never_shown() {
    let project = Project::platform("secrets");
    let with = |token: &str| {
        let text = project.template();
        let plain = text.replace(&format!("    environment: {{API_TOKEN: {TOKEN}}}\n"), "");
        project.write(&plain.replacen(
            "  function:\n",
            &format!("  function:\n    environment: {{API_TOKEN: {token}}}\n"),
            1,
        ));
    };
    let plan = project.directory().join("plan.json");
    let saved = plan.to_string_lossy().into_owned();
    let (id, key) = project.local.credentials();
    let credentials = [("AWS_ACCESS_KEY_ID", &*id), ("AWS_SECRET_ACCESS_KEY", &*key)];
    let run = |arguments: &[&str]| {
        let run = project
            .start_as(&project.local.endpoint(), arguments, &credentials)
            .end();
        for secret in [&*key, TOKEN] {
            assert!(
                !run.out.contains(secret) && !run.err.contains(secret),
                "{arguments:?}: {}{}",
                run.out,
                run.err
            );
        }
        run
    };
    with(TOKEN);
    run(&["plan", "--details"]).expect(2);
    run(&["plan", "--save", &saved, "--output", "json"]).expect(2);
    assert!(!std::fs::read_to_string(&plan).unwrap().contains(TOKEN));
    assert_eq!(std::fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o600);
    run(&["deploy", "--yes", "--trace", "--details", "--timings"]).expect(0);
    with("another");
    for format in ["human", "json", "github"] {
        run(&["plan", "--details", "--output", format]).expect(2);
        run(&["status", "--output", format]).expect(0);
    }
    run(&["deploy", "--yes", "--output", "json", "--trace"]).expect(0);
    run(&["doctor"]);
    run(&["releases", "--output", "json"]).expect(0);
    run(&["logs", "--since", "1h"]).expect(0);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}
