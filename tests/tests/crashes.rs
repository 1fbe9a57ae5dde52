//! Every command is ended at every call that changes something: before the call is processed, after it was, and with the answer
//! lost while the command lives on. Then it is run again, and what stands is what stands after a run that nothing disturbed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taskctl_stack::aws::client::clients::Clients;
use taskctl_tests::{At, FaultProxy, Project, Run};

const TEMPLATE: &str = "app: APP
region: eu-central-1
tables:
  counter: {partition_key: counter_id, ttl: ItemExpireTTL, indexes: {by-date: {partition_key: created_date}}}
buckets:
  site: {website: true, cors: true}
functions:
  counter:
    grants: [{table: counter, access: increment}]
  health:
    grants: [{table: counter, access: get}]
topics:
  ops: {}
api:
  cors: true
  routes:
    GET /counter: counter
    GET /health: health
warmup: {every: 5m}
alarms:
  health-errors: false
  health-throttles: false
  counter-throttles: false
  counter-table-throttles: false
  api-5xx: false
  api-latency: false
";

/// Functions alone: releases stand in their aliases.
const WITHOUT_API: &str = "app: APP
region: eu-central-1
functions:
  counter: {}
  health: {}
";

/// Touches every kind that can change.
const CHANGED: [(&str, &str); 8] = [
    (
        "indexes: {by-date: {partition_key: created_date}}",
        "indexes: {by-date: {partition_key: created_date}, by-day: {partition_key: day}}",
    ),
    (
        "site: {website: true, cors: true}",
        "site: {website: true, cors: true, versioning: true}",
    ),
    (
        "access: increment}]",
        "access: increment}]\n    memory: 640\n    log_retention: 60d",
    ),
    (
        "  cors: true\n  routes:",
        "  cors: true\n  throttle: {rate: 50, burst: 60}\n  routes:",
    ),
    (
        "    GET /health: health",
        "    GET /health: health\n    GET /healthz: health",
    ),
    ("warmup: {every: 5m}", "warmup: {every: 7m}"),
    ("  health-errors: false\n", ""),
    ("tables:", "tags: {owner: crash}\ntables:"),
];

struct Case {
    project: Project,
    endpoint: String,
}

impl Case {
    fn new(app: &str, template: &str, relay: &FaultProxy) -> Self {
        let project = Project::platform(app);
        project.write(&template.replace("APP", app));
        let endpoint = relay.endpoint.clone();
        Self { project, endpoint }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.project.start_at(&self.endpoint, arguments).end()
    }

    /// Another release of functions alone.
    fn change_function(&self) {
        let text = self.project.template();
        self.project
            .write(&text.replace("counter: {}", "counter: {memory: 640}"));
    }

    fn change(&self) {
        let mut text = self.project.template();
        for (from, to) in CHANGED {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        self.project.write(&text);
        let page = self.project.directory().join("site/index.html");
        let html = std::fs::read_to_string(&page).unwrap();
        std::fs::write(page, html.replace("<title>Tasks", "<title>Changed")).unwrap();
    }

    fn dump(&self) -> Value {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(dump(&self.project))
    }
}

/// Everything of a stack as AWS lists it, without what differs from run to run.
async fn dump(project: &Project) -> Value {
    let mut inventory = Inventory {
        clients: project.clients().await,
        app: &project.app,
        prefix: format!("{}-dev-", project.app),
        all: BTreeMap::new(),
    };
    inventory.tables().await;
    inventory.buckets().await;
    inventory.roles().await;
    inventory.log_groups().await;
    inventory.functions().await;
    inventory.apis().await;
    inventory.alarms().await;
    inventory.dashboards().await;
    inventory.topics().await;
    inventory.rules().await;
    for names in inventory.all.values_mut() {
        names.sort();
    }
    json!(inventory.all)
}

/// The names of what a stack has, by what it is.
struct Inventory<'a> {
    clients: Clients,
    app: &'a str,
    prefix: String,
    all: BTreeMap<&'static str, Vec<String>>,
}

impl Inventory<'_> {
    fn add(&mut self, what: &'static str, name: &str) {
        self.all.entry(what).or_default().push(name.replace(self.app, "APP"));
    }

    async fn tables(&mut self) {
        let clients = self.clients.clone();
        for table in clients
            .dynamodb
            .list_tables()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap()
        {
            if table.starts_with(&self.prefix) {
                let table = clients
                    .dynamodb
                    .describe_table()
                    .table_name(table)
                    .send()
                    .await
                    .unwrap()
                    .table
                    .unwrap();
                let mut indexes: Vec<&str> = table
                    .global_secondary_indexes()
                    .iter()
                    .filter_map(|one| one.index_name())
                    .collect();
                indexes.sort_unstable();
                self.add("table", &format!("{} {indexes:?}", table.table_name().unwrap()));
            }
        }
    }

    async fn buckets(&mut self) {
        let clients = self.clients.clone();
        for bucket in clients.s3.list_buckets().send().await.unwrap().buckets() {
            let name = bucket.name().unwrap();
            if !name.starts_with(&self.prefix) {
                continue;
            }
            self.add("bucket", name);
            let mut keys: Vec<String> = clients
                .s3
                .list_objects_v2()
                .bucket(name)
                .send()
                .await
                .unwrap()
                .contents
                .unwrap_or_default()
                .into_iter()
                .map(|object| {
                    let key = object.key.unwrap();
                    // A page carries the API's URL, whose port differs.
                    let size = match name.contains("site") && !key.ends_with(".html") {
                        true => object.size.unwrap_or(0),
                        false => 0,
                    };
                    format!("{key} {size}")
                })
                .filter(|key| !key.contains("config.json"))
                .collect();
            keys.sort();
            for key in keys {
                self.add("object", &key);
            }
        }
    }

    async fn roles(&mut self) {
        let clients = self.clients.clone();
        for role in clients
            .iam
            .list_roles()
            .path_prefix(format!("/taskctl/{}/", self.app))
            .send()
            .await
            .unwrap()
            .roles()
        {
            let policies = clients
                .iam
                .list_role_policies()
                .role_name(role.role_name())
                .send()
                .await
                .unwrap();
            self.add("role", &format!("{} {:?}", role.role_name(), policies.policy_names()));
        }
    }

    async fn log_groups(&mut self) {
        let clients = self.clients.clone();
        for group in clients
            .logs
            .describe_log_groups()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap()
        {
            let name = group.log_group_name().unwrap();
            if name.contains(&format!("{}-dev-", self.app)) || name.contains(&format!("/{}/dev/", self.app)) {
                self.add("log group", &format!("{name} {:?}", group.retention_in_days()));
            }
        }
    }

    async fn functions(&mut self) {
        let clients = self.clients.clone();
        for function in clients
            .lambda
            .list_functions()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap()
        {
            let name = function.function_name().unwrap();
            if !name.starts_with(&self.prefix) {
                continue;
            }
            self.add("function", &format!("{name} {:?}", function.memory_size()));
            let versions = clients
                .lambda
                .list_versions_by_function()
                .function_name(name)
                .send()
                .await
                .unwrap();
            for version in versions.versions() {
                self.add("version", &format!("{name} {}", version.version().unwrap()));
            }
            for alias in clients
                .lambda
                .list_aliases()
                .function_name(name)
                .send()
                .await
                .unwrap()
                .aliases()
            {
                let alias_name = alias.name().unwrap();
                let policy = clients
                    .lambda
                    .get_policy()
                    .function_name(name)
                    .qualifier(alias_name)
                    .send()
                    .await;
                let statements = policy.ok().and_then(|policy| {
                    let policy: Value = serde_json::from_str(policy.policy()?).ok()?;
                    policy["Statement"].as_array().map(Vec::len)
                });
                self.add("alias", &format!("{name} {alias_name} {statements:?}"));
            }
        }
    }

    async fn apis(&mut self) {
        let clients = self.clients.clone();
        for api in clients
            .apigateway
            .get_apis()
            .max_results("500")
            .send()
            .await
            .unwrap()
            .items()
        {
            let app = api.tags().and_then(|tags| tags.get("app"));
            if app.map(String::as_str) != Some(self.app) {
                continue;
            }
            let id = api.api_id().unwrap();
            self.add("api", api.name().unwrap());
            for route in clients.apigateway.get_routes().api_id(id).send().await.unwrap().items() {
                self.add("route", route.route_key().unwrap());
            }
            for integration in clients
                .apigateway
                .get_integrations()
                .api_id(id)
                .send()
                .await
                .unwrap()
                .items()
            {
                self.add("integration", integration.integration_uri().unwrap());
            }
            let deployments = clients.apigateway.get_deployments().api_id(id).send().await.unwrap();
            for deployment in deployments.items() {
                let words: Vec<&str> = deployment.description().unwrap().split(' ').collect();
                self.add("deployment", &format!("{} {}", words[0], words[2]));
            }
            for stage in clients.apigateway.get_stages().api_id(id).send().await.unwrap().items() {
                let deployment = deployments
                    .items()
                    .iter()
                    .find(|one| one.deployment_id() == stage.deployment_id());
                let release = deployment
                    .and_then(|one| one.description())
                    .unwrap_or_default()
                    .split(' ')
                    .next();
                let mut variables: Vec<_> = stage
                    .stage_variables()
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| *key != "previousDeployment")
                    .collect();
                variables.sort();
                self.add(
                    "stage",
                    &format!("{} {release:?} {variables:?}", stage.stage_name().unwrap()),
                );
            }
        }
    }

    async fn alarms(&mut self) {
        let clients = self.clients.clone();
        for alarm in clients
            .cloudwatch
            .describe_alarms()
            .alarm_name_prefix(&self.prefix)
            .send()
            .await
            .unwrap()
            .metric_alarms()
        {
            self.add("alarm", alarm.alarm_name().unwrap());
        }
    }

    async fn dashboards(&mut self) {
        let clients = self.clients.clone();
        for dashboard in clients
            .cloudwatch
            .list_dashboards()
            .dashboard_name_prefix(&self.prefix)
            .send()
            .await
            .unwrap()
            .dashboard_entries()
        {
            self.add("dashboard", dashboard.dashboard_name().unwrap());
        }
    }

    async fn topics(&mut self) {
        let clients = self.clients.clone();
        for topic in clients.sns.list_topics().send().await.unwrap().topics() {
            if topic.topic_arn().unwrap().contains(&self.prefix) {
                self.add("topic", topic.topic_arn().unwrap());
            }
        }
    }

    async fn rules(&mut self) {
        let clients = self.clients.clone();
        for rule in clients
            .events
            .list_rules()
            .name_prefix(&self.prefix)
            .send()
            .await
            .unwrap()
            .rules()
        {
            self.add(
                "rule",
                &format!(
                    "{} {}",
                    rule.name().unwrap(),
                    rule.schedule_expression().unwrap_or_default()
                ),
            );
        }
    }
}

/// What is interrupted, after what.
struct Scenario {
    name: &'static str,
    template: &'static str,
    prepare: fn(&Case),
    command: &'static [&'static str],
}

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "first",
        template: TEMPLATE,
        prepare: |_| {},
        command: &["deploy", "--yes"],
    },
    Scenario {
        name: "change",
        template: TEMPLATE,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change();
        },
        command: &["deploy", "--yes"],
    },
    Scenario {
        name: "promote",
        template: TEMPLATE,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change();
            case.run(&["deploy", "--yes", "--no-promote"]).expect(0);
        },
        command: &["promote", "--yes"],
    },
    Scenario {
        name: "rollback",
        template: TEMPLATE,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change();
            case.run(&["deploy", "--yes"]).expect(0);
        },
        command: &["rollback", "--yes", "--to", "1"],
    },
    Scenario {
        name: "destroy",
        template: TEMPLATE,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
        },
        command: &["destroy", "--yes", "--delete-data", "all"],
    },
    Scenario {
        name: "aliases",
        template: WITHOUT_API,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change_function();
        },
        command: &["deploy", "--yes"],
    },
    Scenario {
        name: "ahead",
        template: WITHOUT_API,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change_function();
            case.run(&["deploy", "--yes", "--no-promote"]).expect(0);
        },
        command: &["promote", "--yes"],
    },
    Scenario {
        name: "back",
        template: WITHOUT_API,
        prepare: |case| {
            case.run(&["deploy", "--yes"]).expect(0);
            case.change_function();
            case.run(&["deploy", "--yes"]).expect(0);
        },
        command: &["rollback", "--yes", "--to", "1"],
    },
];

/// Which points are tried: all of them with `TASKCTL_TEST_ALL_POINTS`, else one in so many.
fn stride(scenario: &Scenario) -> usize {
    match (std::env::var_os("TASKCTL_TEST_ALL_POINTS"), scenario.name) {
        (Some(_), _) => 1,
        (None, "promote" | "rollback") => 2,
        (None, "first" | "aliases" | "ahead" | "back") => 4,
        (None, _) => 6,
    }
}

fn run_case(name: &str, at: At) {
    let scenario = SCENARIOS.iter().find(|one| one.name == name).unwrap();
    let letter = match at {
        At::Before => "b",
        At::After => "a",
        At::AnswerLost => "l",
    };
    let local = Project::platform("none").local;
    let relay = FaultProxy::before(&local.endpoint());
    let whole = Case::new(&format!("{name}-{letter}"), scenario.template, &relay);
    (scenario.prepare)(&whole);
    whole.run(scenario.command).expect(0);
    let expected = whole.dump();
    whole.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    let mut tried = 0;
    for number in (1..).step_by(stride(scenario)) {
        let case = Case::new(&format!("{name}-{letter}{number}"), scenario.template, &relay);
        (scenario.prepare)(&case);
        relay.arm(number, at);
        let running = case.project.start_at(&relay.endpoint, scenario.command);
        relay.aim(running.pid());
        let run = running.end();
        let Some(call) = relay.disarm() else {
            run.expect(0);
            break;
        };
        tried += 1;
        again(
            &case,
            scenario,
            at,
            &run,
            &format!("{name} {at:?} {number}: {call}"),
            &expected,
        );
        case.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    }
    println!("{name}, {at:?}: {tried} points");
    assert!(tried > 1);
}

fn again(case: &Case, scenario: &Scenario, at: At, first: &Run, point: &str, expected: &Value) {
    if at == At::AnswerLost {
        assert!(
            first.code == 0 || first.code == 1,
            "{point}: {}\n{}",
            first.code,
            first.err
        );
    } else {
        assert_eq!(first.code, -1, "{point}: it was killed\n{}", first.err);
        case.run(&["unlock", "--force"]);
    }
    let run = case.run(scenario.command);
    assert!(
        run.code == 0,
        "{point}: {}\n{}\n--- first\n{}",
        run.code,
        run.err,
        first.err
    );
    let seen = case.dump();
    let text = |value: &Value| format!("{value:#}").replace(&case.project.app, "APP");
    similar_or_panic(point, &text(expected), &text(&seen));
}

fn similar_or_panic(point: &str, expected: &str, seen: &str) {
    if expected == seen {
        return;
    }
    let wanted: Vec<&str> = expected.lines().collect();
    let found: Vec<&str> = seen.lines().collect();
    let missing: Vec<&&str> = wanted.iter().filter(|line| !found.contains(line)).collect();
    let surplus: Vec<&&str> = found.iter().filter(|line| !wanted.contains(line)).collect();
    panic!("{point}\nmissing: {missing:#?}\nsurplus: {surplus:#?}");
}

macro_rules! crashes {
    ($($name:ident: $scenario:literal, $at:ident;)*) => {
        $(
            #[test]
            fn $name() {
                run_case($scenario, At::$at);
            }
        )*
    };
}

crashes! {
    a_first_deploy_killed_before_each_call: "first", Before;
    a_first_deploy_killed_after_each_call: "first", After;
    a_first_deploy_that_misses_an_answer: "first", AnswerLost;
    a_change_killed_before_each_call: "change", Before;
    a_change_killed_after_each_call: "change", After;
    a_change_that_misses_an_answer: "change", AnswerLost;
    a_promotion_killed_before_each_call: "promote", Before;
    a_promotion_killed_after_each_call: "promote", After;
    a_promotion_that_misses_an_answer: "promote", AnswerLost;
    a_rollback_killed_before_each_call: "rollback", Before;
    a_rollback_killed_after_each_call: "rollback", After;
    a_rollback_that_misses_an_answer: "rollback", AnswerLost;
    a_destroy_killed_before_each_call: "destroy", Before;
    a_destroy_killed_after_each_call: "destroy", After;
    a_destroy_that_misses_an_answer: "destroy", AnswerLost;
    a_change_without_an_api_killed_before_each_call: "aliases", Before;
    a_change_without_an_api_killed_after_each_call: "aliases", After;
    a_change_without_an_api_that_misses_an_answer: "aliases", AnswerLost;
    a_promotion_without_an_api_killed_before_each_call: "ahead", Before;
    a_promotion_without_an_api_killed_after_each_call: "ahead", After;
    a_promotion_without_an_api_that_misses_an_answer: "ahead", AnswerLost;
    a_rollback_without_an_api_killed_before_each_call: "back", Before;
    a_rollback_without_an_api_killed_after_each_call: "back", After;
    a_rollback_without_an_api_that_misses_an_answer: "back", AnswerLost;
}
