//! Several operators, and operators that die: the lease, and what works without the ledger.

use std::time::{Duration, Instant};

use taskctl_tests::{Project, eventually};

fn second_release(project: &Project) {
    let text = project
        .template()
        .replacen("  function:\n", "  function:\n    memory: 640\n", 1);
    project.write(&text);
    project.run(&["deploy", "--no-promote"]).expect(0);
}

fn is_diverted(project: &Project) -> bool {
    let status = project.status("dev");
    status["functions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["diverted"] == 20)
}

#[test]
fn of_two_deploys_one_goes_on_and_the_other_is_told_who() {
    let project = Project::platform("two");
    let runs = [project.start(&["deploy"]), project.start(&["deploy"])].map(|run| run.end());
    let codes: Vec<i32> = runs.iter().map(|run| run.code).collect();
    assert!(
        codes.contains(&0) && codes.contains(&3),
        "{codes:?}\n{}\n{}",
        runs[0].err,
        runs[1].err
    );
    let other = runs.iter().find(|run| run.code == 3).unwrap();
    assert!(
        other.err.contains("two/dev is locked by ") && other.err.contains(": taskctl deploy, for "),
        "{}",
        other.err
    );
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
}

#[test]
fn the_lease_of_a_killed_holder_frees_itself() {
    let project = Project::platform("killed");
    let running = project.start(&["deploy"]);
    let began = Instant::now();
    // As soon as it has made something, it holds the lease.
    while project.run(&["status", "--output", "json"]).code != 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    running.signal("KILL");
    running.end();
    let killed = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(project.hold_elsewhere());
    let held = project.run(&["deploy"]).expect(3);
    assert!(
        held.err.contains("frees itself") && held.err.contains("unlock --force") && held.err.contains("--preempt"),
        "{}",
        held.err
    );
    let patience = Duration::from_secs(180).saturating_sub(killed.elapsed());
    eventually("the lease of who died is free", patience, || {
        let run = project.run(&["deploy"]);
        assert!(matches!(run.code, 0 | 3), "{}\n{}", run.code, run.err);
        (run.code == 0).then_some(())
    });
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());

    // On this machine it can be seen that the holder is gone.
    second_release(&project);
    let running = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "200s"]);
    eventually("the canary has its share", Duration::from_secs(60), || {
        is_diverted(&project).then_some(())
    });
    project.run(&["promote", "--abort"]).expect(3);
    running.signal("KILL");
    running.end();
    project.run(&["promote", "--abort"]).expect(0);
    assert!(!is_diverted(&project));
}

#[test]
fn a_holder_that_wakes_up_after_its_lease_does_nothing_more() {
    let project = Project::platform("asleep");
    project.run(&["deploy"]).expect(0);
    second_release(&project);
    let sleeper = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "200s"]);
    eventually("the canary has its share", Duration::from_secs(60), || {
        is_diverted(&project).then_some(())
    });
    sleeper.signal("STOP");
    let other = eventually("the lease of the sleeper is free", Duration::from_secs(180), || {
        let run = project.run(&["promote", "--yes", "--at-once"]);
        assert!(matches!(run.code, 0 | 3), "{}\n{}", run.code, run.err);
        (run.code == 0).then_some(run)
    });
    assert!(
        other.err.contains("an abandoned canary is ended first"),
        "{}",
        other.err
    );
    assert_eq!(project.status("dev")["live"]["release"], 2);
    sleeper.signal("CONT");
    let woken = sleeper.end();
    assert!(
        woken.code != 0 && woken.err.contains("lease"),
        "{} {}",
        woken.code,
        woken.err
    );
    assert_eq!(project.status("dev")["live"]["release"], 2);
    assert!(!is_diverted(&project));
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
}

#[test]
fn a_rollback_takes_the_stage_from_a_hanging_command() {
    let project = Project::platform("hangs");
    project.run(&["deploy"]).expect(0);
    second_release(&project);
    project.run(&["promote", "--yes"]).expect(0);
    let text = project.template().replacen("memory: 640", "memory: 704", 1);
    project.write(&text);
    project.run(&["deploy", "--no-promote"]).expect(0);
    let hanging = project.start(&["promote", "--yes", "--canary", "20%", "--bake", "300s"]);
    let began = Instant::now();
    while !is_diverted(&project) {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    project.run(&["rollback", "--yes"]).expect(3);
    project.run(&["rollback", "--yes", "--without-lock"]).expect(3);
    hanging.signal("STOP");
    let rolled = project.run(&["rollback", "--yes", "--preempt"]);
    hanging.signal("CONT");
    assert_ne!(hanging.end().code, 0);
    rolled.expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 1);
    assert!(!is_diverted(&project));
}

#[test]
fn everything_works_without_the_ledger() {
    let mut project = Project::platform("amnesia");
    project.control_bucket = Some("amnesia-control".to_owned());
    project.run(&["deploy"]).expect(0);
    second_release(&project);
    let lose = |project: &Project| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        let bucket = "amnesia-control";
        let listed = runtime
            .block_on(clients.s3.list_objects_v2().bucket(bucket).send())
            .unwrap();
        for key in listed
            .contents
            .unwrap_or_default()
            .into_iter()
            .filter_map(|object| object.key)
        {
            runtime
                .block_on(clients.s3.delete_object().bucket(bucket).key(key).send())
                .unwrap();
        }
        runtime
            .block_on(clients.s3.delete_bucket().bucket(bucket).send())
            .unwrap();
    };
    lose(&project);
    assert_eq!(project.status("dev")["preview"]["release"], 2);
    let plan = project.run(&["plan", "--no-promote", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
    project.run(&["promote", "--yes"]).expect(0);
    lose(&project);
    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 1);
    lose(&project);
    let releases = project.run(&["releases", "--output", "json"]).expect(0);
    assert!(releases.out.contains("\"release\": 2"), "{}", releases.out);
    let text = project.template().replacen("memory: 640", "memory: 704", 1);
    project.write(&text);
    project.run(&["deploy"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], 3);
    lose(&project);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}
