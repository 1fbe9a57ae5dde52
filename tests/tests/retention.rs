//! What former releases need stays, and goes when none does.

use std::collections::BTreeSet;

use taskctl_tests::Project;

fn inline(project: &Project, function: &str) -> BTreeSet<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let role = format!("{}-dev-{function}-{}", project.app, project.region());
    let request = clients.iam.list_role_policies().role_name(role);
    runtime
        .block_on(request.send())
        .unwrap()
        .policy_names
        .into_iter()
        .collect()
}

fn policy(project: &Project, function: &str, name: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let role = format!("{}-dev-{function}-{}", project.app, project.region());
    let request = clients.iam.get_role_policy().role_name(role).policy_name(name);
    runtime.block_on(request.send()).unwrap().policy_document
}

fn versions(project: &Project, function: &str) -> BTreeSet<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let request = clients
        .lambda
        .list_versions_by_function()
        .function_name(project.name(function));
    let answer = runtime.block_on(request.send()).unwrap();
    answer
        .versions
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| one.version)
        .filter(|one| one != "$LATEST")
        .collect()
}

fn edit(project: &Project, from: &str, to: &str) {
    let text = project.template();
    assert!(text.contains(from), "{from} in {text}");
    project.write(&text.replacen(from, to, 1));
}

fn memory(project: &Project, before: u32, after: u32) {
    let (from, to) = (format!("    memory: {before}\n"), format!("    memory: {after}\n"));
    match before {
        0 => edit(project, "  function:\n", &format!("  function:\n{to}")),
        _ => edit(project, &from, &to),
    }
}

/// A text that was wrapped.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_grant_stays_as_long_as_a_release_that_can_be_live_needs_it() {
    let project = Project::platform("grants");
    // Release 1 may read the assets table from the users function, release 2 may not.
    edit(
        &project,
        "  users:\n    grants:\n",
        "  users:\n    grants:\n      - {table: assets, access: read}\n",
    );
    project.run(&["deploy"]).expect(0);
    edit(&project, "      - {table: assets, access: read}\n", "");
    let waiting = project.run(&["deploy", "--no-promote"]).expect(0);
    assert!(
        one_line(&waiting.err)
            .contains("keeping the permissions of release 1 for users until it can no longer be rolled back to"),
        "{}",
        waiting.err
    );
    let both = BTreeSet::from(["former-r1".to_owned(), "taskctl".to_owned()]);
    assert_eq!(inline(&project, "users"), both);
    assert!(policy(&project, "users", "former-r1").contains("grants-dev-assets"));
    assert!(!policy(&project, "users", "taskctl").contains("grants-dev-assets"));
    let plan = project.run(&["plan", "--no-promote", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new(), "what is deferred is no change");

    // Release 1 is the one before live: still there.
    project.run(&["promote", "--yes"]).expect(0);
    assert_eq!(inline(&project, "users"), both);
    memory(&project, 0, 640);
    project.run(&["deploy", "--no-promote"]).expect(0);
    assert_eq!(inline(&project, "users"), both);
    // Live 3, before it 2: nothing that can be live at once needs it.
    let promoted = project.run(&["promote", "--yes"]).expect(0);
    assert!(
        one_line(&promoted.err).contains("pruned: permissions of former releases for users"),
        "{}",
        promoted.err
    );
    let own = BTreeSet::from(["taskctl".to_owned()]);
    assert_eq!(inline(&project, "users"), own);
    // Release 1 is kept all the same, and gets back what it needs before it is live.
    project.run(&["rollback", "--to", "1", "--yes"]).expect(0);
    assert_eq!(inline(&project, "users"), both);
    assert!(policy(&project, "users", "former-r1").contains("grants-dev-assets"));
}

#[test]
fn what_somebody_added_is_not_kept() {
    let project = Project::platform("added");
    project.run(&["deploy"]).expect(0);
    memory(&project, 0, 640);
    project.run(&["deploy"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let role = format!("added-dev-users-{}", project.region());
    let wide =
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"Wide","Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let request = clients
        .iam
        .put_role_policy()
        .role_name(&role)
        .policy_name("taskctl")
        .policy_document(wide);
    runtime.block_on(request.send()).unwrap();
    memory(&project, 640, 704);
    project.run(&["deploy"]).expect(0);
    assert_eq!(inline(&project, "users"), BTreeSet::from(["taskctl".to_owned()]));
    assert!(!policy(&project, "users", "taskctl").contains("s3:*"));
}

#[test]
fn old_releases_go_and_what_can_be_reached_stays() {
    let project = Project::platform("pruned");
    edit(
        &project,
        "stages:\n  dev:\n",
        "stages:\n  dev:\n    release: {policy: manual, keep: 2}\n",
    );
    project.run(&["deploy"]).expect(0);
    let mut before = 0;
    for size in [640, 704, 768, 832] {
        memory(&project, before, size);
        before = size;
        project.run(&["deploy"]).expect(0);
        project.run(&["promote", "--yes"]).expect(0);
    }
    // Releases 4 and 5, of which 5 is live and 4 the one before.
    assert_eq!(
        versions(&project, "tasks"),
        BTreeSet::from(["4".to_owned(), "5".to_owned()])
    );
    let refused = project.run(&["rollback", "--to", "2", "--yes"]).expect(1);
    insta::assert_snapshot!(refused.err, @r"
    rollback pruned/dev in eu-central-1, account 000000000000
    error: release 2 is not kept
     help: releases that are kept: 4; name one with --to
    ");
    project.run(&["rollback", "--yes"]).expect(0);
    let nothing = project.run(&["prune", "--yes"]).expect(0);
    assert!(!nothing.err.contains("pruned: "), "{}", nothing.err);
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
    project.run(&["prune"]).expect(64);
}

#[test]
fn hooks_run_before_and_after() {
    let project = Project::platform("hooked");
    edit(
        &project,
        "stages:\n  dev:\n",
        "stages:\n  dev:\n    release:\n      policy: manual\n      before: [{run: 'echo \"$TASKCTL_RELEASE $TASKCTL_URL\" > before; test ! -e refuse'}]\n      after: [{run: 'test ! -e return || { echo no such luck; exit 3; }'}]\n",
    );
    let file = |name: &str| project.directory().join(name);
    project.run(&["deploy"]).expect(0);
    memory(&project, 0, 640);
    project.run(&["deploy"]).expect(0);
    std::fs::write(file("refuse"), "").unwrap();
    let refused = project.run(&["promote", "--yes"]).expect(4);
    assert!(refused.err.contains("hook `echo"), "{}", refused.err);
    let told = std::fs::read_to_string(file("before")).unwrap();
    assert_eq!(told.trim(), format!("2 {}/preview", project.live("dev")));
    assert_eq!(project.status("dev")["live"]["release"], 1);

    std::fs::remove_file(file("refuse")).unwrap();
    std::fs::write(file("return"), "").unwrap();
    let returned = project.run(&["promote", "--yes"]).expect(5);
    assert!(returned.err.contains("no such luck"), "{}", returned.err);
    assert_eq!(project.status("dev")["live"]["release"], 1);
    std::fs::remove_file(file("return")).unwrap();
    project.run(&["promote", "--yes"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 2);
}

#[test]
fn an_index_stays_as_long_as_a_release_that_can_be_live_queries_it() {
    let project = Project::platform("indexed");
    let indexes = || -> BTreeSet<String> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        let table = clients.dynamodb.describe_table().table_name(project.name("assets"));
        let table = runtime.block_on(table.send()).unwrap().table.unwrap();
        let indexes = table.global_secondary_indexes();
        indexes.iter().filter_map(|one| one.index_name.clone()).collect()
    };
    let both = BTreeSet::from(["createdAt-index".to_owned(), "status-index".to_owned()]);
    project.run(&["deploy"]).expect(0);
    // Release 1 queries the index, release 2 may not any more.
    let index = "      status-index: {partition_key: statusPartition, sort_key: assetId, projection: keys-only}\n";
    edit(&project, index, "");
    memory(&project, 0, 640);
    let waiting = project.run(&["deploy", "--no-promote"]).expect(0);
    assert!(
        one_line(&waiting.err).contains("keeping the index status-index of assets until no release that queries it"),
        "{}",
        waiting.err
    );
    assert_eq!(indexes(), both);
    project.run(&["plan", "--no-promote"]).expect(0);
    project.run(&["promote", "--yes"]).expect(0);
    memory(&project, 640, 704);
    project.run(&["deploy", "--no-promote"]).expect(0);
    assert_eq!(indexes(), both, "release 1 is the one before live");
    project.run(&["promote", "--yes"]).expect(0);
    let plan = project.run(&["plan", "--no-promote", "--output", "json"]).expect(2);
    assert_eq!(plan.changes(), ["update dynamodb_table.assets indexes.status-index"]);
    project.run(&["deploy", "--no-promote"]).expect(0);
    assert_eq!(indexes(), BTreeSet::from(["createdAt-index".to_owned()]));
}
