//! Derived names follow the rule of each service, whatever the parts are.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::template::names::Names;

/// Text by the rule of applications, stages and logical names.
fn part(longest: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[a-z]([a-z0-9-]{{0,{}}}[a-z0-9])?", longest - 2)).unwrap()
}

fn region() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "us-east-1",
            "eu-central-1",
            "ap-southeast-3",
            "us-gov-west-1",
            "cn-northwest-1",
            "eusc-de-east-1",
        ][..],
    )
}

fn made_of(name: &str, allowed: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || allowed.contains(c))
}

proptest! {
    #[test]
    fn every_name_follows_its_rule(app in part(31), stage in part(16), logical in part(40), region in region()) {
        let names = Names { app: &app, stage: &stage, region, account: "123456789012" };
        let bucket = names.bucket(&logical);
        prop_assert!((3..=63).contains(&bucket.len()) && made_of(&bucket, "-"), "{bucket}");
        let suffix = format!("-123456789012-{region}");
        prop_assert!(bucket.ends_with(&suffix) && bucket.starts_with(|c: char| c.is_ascii_lowercase()), "{bucket}");
        for (name, longest) in [
            (names.table(&logical), 255),
            (names.function(&logical), 64),
            (names.role(&logical), 64),
            (names.alarm(&logical), 255),
            (names.topic(&logical), 256),
            (names.dashboard(&logical), 255),
            (names.rule(&logical), 64),
            (names.api(), 128),
        ] {
            prop_assert!((3..=longest).contains(&name.len()) && made_of(&name, "-"), "{name}");
        }
        prop_assert!(names.function_log_group(&names.function(&logical)).len() <= 512);
        prop_assert!(names.access_log_group().len() <= 512 && names.role_path().len() <= 512);
    }

    #[test]
    fn two_parts_of_a_stack_never_share_a_name(app in part(31), stage in part(16), logicals in prop::collection::btree_set(part(40), 2..20), region in region()) {
        let names = Names { app: &app, stage: &stage, region, account: "123456789012" };
        for derive in [Names::table, Names::bucket, Names::function, Names::role, Names::alarm, Names::topic, Names::dashboard, Names::rule] {
            let derived: BTreeSet<String> = logicals.iter().map(|logical| derive(&names, logical)).collect();
            prop_assert_eq!(derived.len(), logicals.len());
        }
    }

    #[test]
    fn regions_do_not_share_what_is_global_to_an_account(app in part(31), stage in part(16), logical in part(40)) {
        let here = Names { app: &app, stage: &stage, region: "us-east-1", account: "123456789012" };
        let there = Names { region: "us-west-2", ..here };
        prop_assert_ne!(here.role(&logical), there.role(&logical));
        prop_assert_ne!(here.dashboard(&logical), there.dashboard(&logical));
        prop_assert_ne!(here.bucket(&logical), there.bucket(&logical));
        let elsewhere = Names { account: "210987654321", ..here };
        prop_assert_ne!(here.bucket(&logical), elsewhere.bucket(&logical));
    }
}

#[test]
fn names_are_what_they_were() {
    let names = Names {
        app: "platform",
        stage: "dev",
        region: "eu-central-1",
        account: "123456789012",
    };
    assert_eq!(names.table("tasks"), "platform-dev-tasks");
    assert_eq!(names.bucket("assets"), "platform-dev-assets-123456789012-eu-central-1");
    assert_eq!(names.role("tasks"), "platform-dev-tasks-eu-central-1");
    assert_eq!(names.role_path(), "/taskctl/platform/dev/");
    assert_eq!(names.api(), "platform-dev");
    let long = "a-logical-name-of-no-less-than-forty-one";
    assert_eq!(
        names.bucket(long),
        "platform-dev-a-logical-name-276d9d00-123456789012-eu-central-1"
    );
}
