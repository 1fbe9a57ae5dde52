//! Two stages of one application do not touch each other.

use taskctl_tests::Project;

#[test]
fn two_stages_stand_side_by_side() {
    let project = Project::platform("stages");
    project.run(&["deploy", "--stage", "dev"]).expect(0);
    project.run(&["deploy", "--stage", "prod", "--yes"]).expect(0);
    project.run(&["plan", "--stage", "dev"]).expect(0);
    project.run(&["plan", "--stage", "prod"]).expect(0);
    let (dev, prod) = (project.live("dev"), project.live("prod"));
    assert_ne!(dev, prod);
    let count = |url: &str| -> u64 {
        let body: serde_json::Value = ureq::get(format!("{url}/counter"))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap();
        body["count"].as_u64().unwrap()
    };
    assert_eq!((count(&dev), count(&dev), count(&prod)), (1, 2, 1));
    project
        .run(&["destroy", "--stage", "dev", "--yes", "--delete-data", "all"])
        .expect(0);
    assert_eq!(count(&prod), 2);
    project.run(&["plan", "--stage", "prod"]).expect(0);
}

/// With the credentials of another account than the template names nothing is read or changed.
#[test]
fn a_stage_belongs_to_its_account() {
    let project = Project::platform("accounts");
    let (key, secret) = project.local.credentials();
    let endpoint = project.local.endpoint();
    let environment = [
        ("AWS_ACCESS_KEY_ID", &*key),
        ("AWS_SECRET_ACCESS_KEY", &*secret),
        ("AWS_ENDPOINT_URL", &*endpoint),
    ];
    let run = |arguments: &[&str]| {
        let running = project.local.start_with(arguments, project.directory(), &environment);
        running.end()
    };
    let text = project.template();
    project.write(&text.replacen("  dev:\n", "  dev:\n    account: '111122223333'\n", 1));
    for command in [
        &["destroy", "--yes", "--trace"][..],
        &["promote", "--yes", "--trace"],
        &["rollback", "--yes", "--trace"],
        &["prune", "--yes", "--trace"],
        &["unlock", "--force", "--trace"],
    ] {
        let refused = run(&[command, &["--output", "json"]].concat()).expect(64);
        let said = "stage dev belongs to account 111122223333, but the credentials are of account 000000000000";
        assert!(refused.out.contains(said), "{command:?}: {}", refused.out);
        // Who has no second to lose looks for the API meanwhile.
        let meanwhile: &[&str] = match command[0] {
            "promote" | "rollback" => &["apigateway:GetApis"],
            _ => &[],
        };
        let events = refused.events();
        let calls = events.iter().filter(|event| event["event"] == "call");
        let mut others = calls.filter(|call| call["operation"] != "sts:GetCallerIdentity");
        assert!(
            others.all(|call| meanwhile.contains(&call["operation"].as_str().unwrap())),
            "{command:?}: {}",
            refused.out
        );
    }
    project.write(&text.replacen("  dev:\n", "  dev:\n    account: '000000000000'\n", 1));
    let there = run(&["destroy", "--yes", "--output", "json"]).expect(0);
    assert!(there.out.contains("finished"), "{}", there.out);
    // The local target has an account of its own.
    project.write(&text.replacen("  dev:\n", "  dev:\n    account: '111122223333'\n", 1));
    project.run(&["plan"]).expect(2);
}
