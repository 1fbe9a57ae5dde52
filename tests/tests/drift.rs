//! Whatever is changed behind taskctl's back, plan shows exactly that, and deploy repairs it.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, Statistic};
use aws_sdk_dynamodb::types::{DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, TimeToLiveSpecification};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;
use taskctl_stack::aws::client::clients::Clients;
use taskctl_tests::Project;

/// A deployed stack, and clients to change it behind the back of taskctl.
struct Stack<'a> {
    project: &'a Project,
    clients: Clients,
}

impl Stack<'_> {
    async fn api_id(&self) -> String {
        api_id(&self.clients, &format!("{}-dev", self.project.app)).await
    }
}

/// A change behind the back of taskctl, and the line of the plan that shows it.
struct Case {
    expected: &'static str,
    change: for<'a> fn(Stack<'a>) -> LocalBoxFuture<'a, ()>,
}

const CASES: [Case; 10] = [
    Case {
        expected: "update lambda_function.tasks timeout_seconds",
        change: |stack| function_timeout(stack).boxed_local(),
    },
    Case {
        expected: "update iam_role.tasks policy.Logs",
        change: |stack| role_statement(stack).boxed_local(),
    },
    Case {
        expected: "create api_route.GET /counter",
        change: |stack| route_removed(stack).boxed_local(),
    },
    Case {
        expected: "delete api_route.GET /extra",
        change: |stack| route_added(stack).boxed_local(),
    },
    Case {
        expected: "update cloudwatch_alarm.tasks-errors threshold",
        change: |stack| alarm_threshold(stack).boxed_local(),
    },
    Case {
        expected: "update log_group.tasks retention_days",
        change: |stack| log_retention(stack).boxed_local(),
    },
    Case {
        expected: "update lambda_function.tasks tags.owner",
        change: |stack| function_tag(stack).boxed_local(),
    },
    Case {
        expected: "update http_api.api cors.max_age_seconds",
        change: |stack| cors_age(stack).boxed_local(),
    },
    Case {
        expected: "update dynamodb_table.tasks ttl_attribute",
        change: |stack| table_ttl(stack).boxed_local(),
    },
    Case {
        expected: "update dynamodb_table.users indexes.email-index",
        change: |stack| table_index(stack).boxed_local(),
    },
];

/// Makes the change, and expects the plan to show exactly this, and a deploy to repair it.
fn run_case(project: &Project, case: &Case) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clients = project.clients().await;
        (case.change)(Stack { project, clients }).await;
    });
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    assert_eq!(plan.changes(), [case.expected]);
    project.run(&["deploy", "--yes"]).expect(0);
    let after = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(after.changes(), Vec::<String>::new(), "{}", case.expected);
}

#[test]
fn ten_changes_behind_its_back_are_shown_and_repaired() {
    let project = Project::platform("drift");
    project.run(&["deploy"]).expect(0);
    for case in &CASES {
        run_case(&project, case);
    }
    a_role_that_was_deleted(&project);
    cors_is_right_with_the_release_and_at_once(&project);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// Lambda cannot decrypt the variables of what was published under it, whatever role has its name: another version is made.
fn a_role_that_was_deleted(project: &Project) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let role = format!("{}-{}", project.name("tasks"), project.region());
    runtime.block_on(async {
        let iam = &clients.iam;
        let policies = iam.list_role_policies().role_name(&role).send().await.unwrap();
        for policy in policies.policy_names() {
            let deleted = iam.delete_role_policy().role_name(&role).policy_name(policy);
            deleted.send().await.unwrap();
        }
        iam.delete_role().role_name(&role).send().await.unwrap();
    });
    let before = project.status("dev")["live"]["release"].as_u64().unwrap();
    let plan = project.run(&["plan", "--output", "json"]).expect(2).changes();
    for expected in [
        "create iam_role.tasks",
        "update lambda_function.tasks status",
        "create lambda_version.tasks",
    ] {
        assert!(plan.iter().any(|change| change == expected), "{expected}: {plan:?}");
    }
    project.run(&["deploy", "--yes"]).expect(0);
    assert_eq!(project.status("dev")["live"]["release"], before + 1);
    let after = project.run(&["plan"]).expect(0);
    let named = format!("release {before}: the role of tasks was deleted since");
    assert!(
        after.out.contains(&named) || after.err.contains(&named),
        "{}\n{}",
        after.out,
        after.err
    );
    // Live does not go where it would fail.
    let refused = project
        .run(&["rollback", "--yes", "--to", &before.to_string()])
        .expect(1);
    let told = refused.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains(&format!(
            "release {before} does not go live: the role of tasks was deleted since"
        )) && told.contains("make its content a new release"),
        "{}",
        refused.err
    );
    assert_eq!(project.status("dev")["live"]["release"], before + 1);
}

async fn api_id(clients: &Clients, name: &str) -> String {
    let apis = clients.apigateway.get_apis().max_results("500").send().await.unwrap();
    apis.items()
        .iter()
        .find(|api| api.name() == Some(name))
        .and_then(|api| api.api_id())
        .unwrap()
        .to_owned()
}

async fn function_timeout(stack: Stack<'_>) {
    let function = stack.project.name("tasks");
    stack
        .clients
        .lambda
        .update_function_configuration()
        .function_name(&function)
        .timeout(7)
        .send()
        .await
        .unwrap();
}

async fn role_statement(stack: Stack<'_>) {
    let roles = stack
        .clients
        .iam
        .list_roles()
        .path_prefix("/taskctl/drift/dev/")
        .send()
        .await
        .unwrap();
    let role = roles
        .roles()
        .iter()
        .find(|role| role.role_name().contains("-tasks"))
        .unwrap()
        .role_name()
        .to_owned();
    let policies = stack
        .clients
        .iam
        .list_role_policies()
        .role_name(&role)
        .send()
        .await
        .unwrap();
    let policy = policies.policy_names().first().unwrap().clone();
    let read = stack
        .clients
        .iam
        .get_role_policy()
        .role_name(&role)
        .policy_name(&policy)
        .send()
        .await
        .unwrap();
    let decoded = percent_decode_str(read.policy_document()).decode_utf8().unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&decoded).unwrap();
    document["Statement"]
        .as_array_mut()
        .unwrap()
        .retain(|statement| statement["Sid"] != "Logs");
    let put = stack
        .clients
        .iam
        .put_role_policy()
        .role_name(&role)
        .policy_name(&policy);
    put.policy_document(document.to_string()).send().await.unwrap();
}

async fn route_removed(stack: Stack<'_>) {
    let id = stack.api_id().await;
    let routes = stack
        .clients
        .apigateway
        .get_routes()
        .api_id(&id)
        .max_results("500")
        .send()
        .await
        .unwrap();
    let route = routes
        .items()
        .iter()
        .find(|route| route.route_key() == Some("GET /counter"))
        .unwrap();
    stack
        .clients
        .apigateway
        .delete_route()
        .api_id(&id)
        .route_id(route.route_id().unwrap())
        .send()
        .await
        .unwrap();
}

async fn route_added(stack: Stack<'_>) {
    let id = stack.api_id().await;
    let routes = stack
        .clients
        .apigateway
        .get_routes()
        .api_id(&id)
        .max_results("500")
        .send()
        .await
        .unwrap();
    let target = routes.items().first().unwrap().target().unwrap().to_owned();
    stack
        .clients
        .apigateway
        .create_route()
        .api_id(&id)
        .route_key("GET /extra")
        .target(target)
        .send()
        .await
        .unwrap();
}

async fn alarm_threshold(stack: Stack<'_>) {
    let function = stack.project.name("tasks");
    let alarm = stack.project.name("tasks-errors");
    let read = stack
        .clients
        .cloudwatch
        .describe_alarms()
        .alarm_names(&alarm)
        .send()
        .await
        .unwrap();
    let seen = read.metric_alarms().first().unwrap().clone();
    stack
        .clients
        .cloudwatch
        .put_metric_alarm()
        .alarm_name(&alarm)
        .set_alarm_description(seen.alarm_description)
        .set_alarm_actions(seen.alarm_actions)
        .set_ok_actions(seen.ok_actions)
        .namespace("AWS/Lambda")
        .metric_name("Errors")
        .dimensions(Dimension::builder().name("FunctionName").value(&function).build())
        .statistic(Statistic::Sum)
        .set_period(seen.period)
        .set_evaluation_periods(seen.evaluation_periods)
        .set_datapoints_to_alarm(seen.datapoints_to_alarm)
        .threshold(99.0)
        .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
        .set_treat_missing_data(seen.treat_missing_data)
        .send()
        .await
        .unwrap();
}

async fn log_retention(stack: Stack<'_>) {
    let function = stack.project.name("tasks");
    let group = format!("/aws/lambda/{function}");
    stack
        .clients
        .logs
        .put_retention_policy()
        .log_group_name(group)
        .retention_in_days(3)
        .send()
        .await
        .unwrap();
}

async fn function_tag(stack: Stack<'_>) {
    let function = stack.project.name("tasks");
    let read = stack
        .clients
        .lambda
        .get_function()
        .function_name(&function)
        .send()
        .await
        .unwrap();
    let arn = read
        .configuration()
        .and_then(|config| config.function_arn())
        .unwrap()
        .to_owned();
    stack
        .clients
        .lambda
        .tag_resource()
        .resource(arn)
        .tags("owner", "somebody")
        .send()
        .await
        .unwrap();
}

async fn cors_age(stack: Stack<'_>) {
    let id = stack.api_id().await;
    let read = stack.clients.apigateway.get_api().api_id(&id).send().await.unwrap();
    let cors = read.cors_configuration().unwrap();
    let changed = aws_sdk_apigatewayv2::types::Cors::builder()
        .set_allow_origins(cors.allow_origins.clone())
        .set_allow_methods(cors.allow_methods.clone())
        .set_allow_headers(cors.allow_headers.clone())
        .set_expose_headers(cors.expose_headers.clone())
        .set_allow_credentials(cors.allow_credentials)
        .max_age(1)
        .build();
    stack
        .clients
        .apigateway
        .update_api()
        .api_id(&id)
        .cors_configuration(changed)
        .send()
        .await
        .unwrap();
}

async fn table_ttl(stack: Stack<'_>) {
    let table = stack.project.name("tasks");
    let off = TimeToLiveSpecification::builder()
        .enabled(false)
        .attribute_name("ttl")
        .build()
        .unwrap();
    stack
        .clients
        .dynamodb
        .update_time_to_live()
        .table_name(&table)
        .time_to_live_specification(off)
        .send()
        .await
        .unwrap();
}

async fn table_index(stack: Stack<'_>) {
    let users = stack.project.name("users");
    let delete = DeleteGlobalSecondaryIndexAction::builder()
        .index_name("email-index")
        .build()
        .unwrap();
    let update = GlobalSecondaryIndexUpdate::builder().delete(delete).build();
    stack
        .clients
        .dynamodb
        .update_table()
        .table_name(&users)
        .global_secondary_index_updates(update)
        .send()
        .await
        .unwrap();
}

/// What comes in beside what is wanted, everywhere at once: one plan shows all of it, one deploy takes it away.
#[test]
fn something_extra_in_the_api_and_its_functions_is_shown_and_goes() {
    let project = Project::platform("extra");
    project.write(
        "app: extra\nregion: eu-central-1\nstages: {dev: {}}\nfunctions:\n  health: {}\napi:\n  cors: {allow_origins: \
         [http://localhost:1580]}\n  routes: {GET /health: health}\n",
    );
    project.run(&["deploy"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(add_extras(&project));
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    let changes = plan.changes();
    let expected = [
        "update lambda_function.health environment,tags.extra",
        "update lambda_permission.health statements.extra",
        "update http_api.api cors.allow_origins",
        "delete api_integration.unknown-",
        "update api_stage.live variables.extra",
        "update api_stage.preview routes",
        "delete api_stage.extra",
        "update log_group.health tags.extra",
    ];
    for start in expected {
        assert!(
            changes.iter().any(|change| change.starts_with(start)),
            "{start}: {changes:#?}"
        );
    }
    assert_eq!(changes.len(), expected.len(), "{changes:#?}");
    project.run(&["deploy", "--yes"]).expect(0);
    let after = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(after.changes(), Vec::<String>::new());
    project.run(&["destroy", "--yes"]).expect(0);
}

/// Whether AWS keeps CORS in deployments is not documented (decision 0313). A deploy is right either way; a rollback takes CORS along
/// where it does.
fn cors_is_right_with_the_release_and_at_once(project: &Project) {
    let live = project.live("dev");
    let allowed = |origin: &str| {
        let asked = ureq::get(format!("{live}/health")).header("origin", origin).call();
        asked.unwrap().headers().contains_key("access-control-allow-origin")
    };
    let (first, second, third) = (
        "http://localhost:1580",
        "https://second.example",
        "https://third.example",
    );
    project.write(&project.template().replace(first, second));
    project.run(&["deploy", "--yes"]).expect(0);
    assert!(allowed(second) && !allowed(first));
    project.run(&["rollback", "--yes"]).expect(0);
    assert!(allowed(first) && !allowed(second));
    let at_once = format!("{}\ntags: {{taskctl-local-cors: at-once}}\n", project.template());
    project.write(&at_once.replace(second, third));
    project.run(&["deploy", "--yes"]).expect(0);
    assert!(allowed(third) && !allowed(second));
    project.run(&["rollback", "--yes"]).expect(0);
    assert!(allowed(third) && !allowed(first));
    let plan = project.run(&["plan"]).expect(2);
    let told = format!("{}{}", plan.out, plan.err);
    assert!(told.contains("was rolled back"), "{told}");
}

async fn add_extras(project: &Project) {
    let clients = project.clients().await;
    let function = project.name("health");
    let (lambda, gateway) = (&clients.lambda, &clients.apigateway);
    let read = lambda.get_function().function_name(&function).send().await.unwrap();
    let configuration = read.configuration().unwrap();
    let variables = configuration
        .environment()
        .and_then(|environment| environment.variables());
    let mut variables = variables.cloned().unwrap_or_default();
    variables.insert("EXTRA".to_owned(), "1".to_owned());
    let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables));
    let update = lambda.update_function_configuration().function_name(&function);
    update.environment(environment.build()).send().await.unwrap();
    let tag = lambda.tag_resource().resource(configuration.function_arn().unwrap());
    tag.tags("extra", "1").send().await.unwrap();
    let permit = lambda.add_permission().function_name(&function).qualifier("v1");
    let permit = permit.statement_id("extra").action("lambda:InvokeFunction");
    permit.principal("s3.amazonaws.com").send().await.unwrap();

    let api = api_id(&clients, &format!("{}-dev", project.app)).await;
    let cors = aws_sdk_apigatewayv2::types::Cors::builder();
    let read = gateway.get_api().api_id(&api).send().await.unwrap();
    let seen = read.cors_configuration().unwrap();
    let cors = cors
        .set_allow_origins(seen.allow_origins.clone())
        .allow_origins("https://extra.example")
        .set_allow_methods(seen.allow_methods.clone())
        .set_allow_headers(seen.allow_headers.clone())
        .set_expose_headers(seen.expose_headers.clone())
        .set_max_age(seen.max_age)
        .set_allow_credentials(seen.allow_credentials)
        .build();
    let update = gateway.update_api().api_id(&api).cors_configuration(cors);
    update.send().await.unwrap();
    let integration = gateway.create_integration().api_id(&api).integration_method("GET");
    let proxy = aws_sdk_apigatewayv2::types::IntegrationType::HttpProxy;
    let integration = integration.integration_type(proxy).payload_format_version("1.0");
    let integration = integration.integration_uri("https://extra.example/");
    integration.send().await.unwrap();
    let live = gateway.update_stage().api_id(&api).stage_name("$default");
    live.stage_variables("extra", "1").send().await.unwrap();
    let throttle = aws_sdk_apigatewayv2::types::RouteSettings::builder().throttling_rate_limit(1.0);
    let preview = gateway.update_stage().api_id(&api).stage_name("preview");
    let preview = preview.route_settings("GET /health", throttle.throttling_burst_limit(1).build());
    preview.send().await.unwrap();
    let stage = gateway.create_stage().api_id(&api).stage_name("extra");
    stage.send().await.unwrap();

    let identity = clients.sts.get_caller_identity().send().await.unwrap();
    let group = format!(
        "arn:aws:logs:{}:{}:log-group:/aws/lambda/{function}",
        project.region(),
        identity.account().unwrap()
    );
    let tag = clients.logs.tag_resource().resource_arn(group);
    tag.tags("extra", "1").send().await.unwrap();
}
