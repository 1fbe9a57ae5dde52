//! Wrong input gets one clear error with what to do, and nothing is called on AWS.

use std::fs;

use taskctl_tests::Project;

/// A template that must be refused, with what the error must say.
#[track_caller]
fn check(template: &str, said: &[&str]) {
    let project = Project::platform("bad-input");
    project.write(template);
    let run = project.run(&["plan"]).expect(1);
    for part in said {
        assert!(run.err.contains(part), "`{part}` is missing in:\n{}", run.err);
    }
    assert!(!run.err.contains("panicked"), "{}", run.err);
}

fn platform() -> String {
    Project::platform("bad-input").template()
}

#[test]
fn templates_that_cannot_be_meant() {
    check("", &["taskctl.yaml", "empty"]);
    check(&format!("# {}\n", "x".repeat(5_000_000)), &["taskctl.yaml"]);
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n\
                d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    check(bomb, &["taskctl.yaml"]);
    check(
        &platform().replacen("functions:", "functoins:", 1),
        &["taskctl.yaml:", "functoins", "functions"],
    );
    check(
        &format!("{}\nregion: us-east-1\n", platform()),
        &["taskctl.yaml:", "region"],
    );
    check(
        &platform().replacen("GET /counter", "GET /tasks", 1),
        &["taskctl.yaml:", "GET /tasks"],
    );
}

#[test]
fn a_function_without_a_binary_names_those_there_are() {
    let project = Project::platform("no-binary");
    let out = project.directory().join("dist");
    let text = project
        .template()
        .replacen("  counter:\n", "  counter:\n    binary: conter\n", 1);
    project.write(&text);
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let run = project
        .run(&[
            "package",
            "--out",
            &out.to_string_lossy(),
            "--handlers",
            &repository.to_string_lossy(),
        ])
        .expect(1);
    assert!(run.err.contains("conter") && run.err.contains("counter"), "{}", run.err);
    assert!(!out.join("manifest.json").exists());
}

#[test]
fn usage_errors_have_their_own_code() {
    let project = Project::platform("usage");
    project.run(&["depoly"]).expect(64);
    project.run(&["deploy", "--stag", "dev"]).expect(64);
    let unknown = project.run(&["plan", "--stage", "porduction"]).expect(64);
    assert!(unknown.err.contains("prod"), "{}", unknown.err);
    // Pieces of advice are joined as sentences are.
    for command in [&["plan"][..], &["status", "--app", "usage"]] {
        let run = project.run(&[command, &["--region", "Frankfurt"]].concat()).expect(64);
        let told = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            told.contains("help: did you mean `eu-central-1`? Regions look like"),
            "{told}"
        );
    }
}

#[test]
fn no_credentials_are_said_as_such() {
    let project = Project::platform("no-credentials");
    let home = project.directory().join("home");
    fs::create_dir(&home).unwrap();
    let run = project.local.run_with(
        &["plan", "--endpoint-url", &project.local.endpoint()],
        project.directory(),
        &[
            ("HOME", &home.to_string_lossy()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ],
    );
    let run = run.expect(1);
    assert!(
        run.err.contains("credentials") && run.err.contains("AWS_PROFILE"),
        "{}",
        run.err
    );
}
