//! The shipped templates are right, for all their stages.

use super::read;
use crate::template::model::{ReleasePolicy, Stack};
use crate::template::{EMBEDDED, embedded};

/// AWS resources that a stack comes to, counted as a person would: the parts of a bucket or table count once.
fn resources(stack: &Stack) -> usize {
    let functions = stack.functions.len();
    let api = stack.api.as_ref().map_or(0, |api| {
        let used: std::collections::BTreeSet<_> = api.routes.iter().map(|route| &route.function).collect();
        // Integrations, routes, permissions; API, deployment, two slots, access log group.
        2 * used.len() + api.routes.len() + 4 + usize::from(api.access_log_retention_days.is_some())
    });
    // Function, role, log group, version, alias.
    5 * functions
        + api
        + stack.tables.len()
        + stack.buckets.len()
        + stack.alarms.len()
        + stack.topics.len()
        + stack.dashboards.len()
}

#[test]
fn every_shipped_template_is_right_for_every_stage() {
    for template in EMBEDDED {
        let dev = read(template.text, "dev");
        assert!(dev.stages.len() >= 2, "{} has dev and prod", template.name);
        for stage in &dev.stages {
            let loaded = read(template.text, stage);
            assert!(
                loaded.warnings.is_empty(),
                "{}: {}",
                template.name,
                loaded.warnings.render(super::Color::Plain)
            );
            // The smallest one has one route, and that is not about its health.
            assert!(
                template.name == "hello" || loaded.stack.functions.contains_key("health"),
                "{} has a health route",
                template.name
            );
        }
    }
}

#[test]
fn the_platform_has_about_75_resources() {
    let loaded = read(embedded("platform").unwrap(), "dev");
    let count = resources(&loaded.stack);
    assert!((70..=90).contains(&count), "{count}");
}

#[test]
fn the_platform_differs_by_stage() {
    let text = embedded("platform").unwrap();
    let (dev, prod) = (read(text, "dev").stack, read(text, "prod").stack);
    assert_eq!(dev.release_policy, ReleasePolicy::Immediate);
    assert_eq!(
        prod.release_policy,
        ReleasePolicy::Canary {
            percent: 10,
            bake_seconds: 300
        }
    );
    assert!(!dev.tables["tasks"].settings.deletion_protection);
    assert!(prod.tables["tasks"].settings.deletion_protection);
    let origins = |stack: &Stack| {
        stack
            .api
            .as_ref()
            .and_then(|api| api.cors.clone())
            .map(|cors| cors.allow_origins)
    };
    assert_eq!(
        origins(&dev).unwrap(),
        ["http://localhost:1580", "http://127.0.0.1:1580"]
    );
    assert_eq!(origins(&prod).unwrap(), Vec::<String>::new());
}
