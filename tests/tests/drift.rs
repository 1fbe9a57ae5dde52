//! Whatever is changed behind taskctl's back, plan shows exactly that, and deploy repairs it.

use std::future::Future;

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, Statistic};
use aws_sdk_dynamodb::types::{DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, TimeToLiveSpecification};
use taskctl_stack::aws::client::clients::Clients;
use taskctl_tests::Project;

/// Changes something, and expects the plan to show exactly `expected`, and a deploy to repair it.
#[track_caller]
fn check<F: Future<Output = ()>>(project: &Project, expected: &[&str], change: impl FnOnce(Clients) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { change(project.clients().await).await });
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    assert_eq!(plan.changes(), expected);
    project.run(&["deploy", "--yes"]).expect(0);
    let after = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(after.changes(), Vec::<String>::new());
}

async fn api_id(clients: &Clients, name: &str) -> String {
    let apis = clients.apigateway.get_apis().send().await.unwrap();
    apis.items()
        .iter()
        .find(|api| api.name() == Some(name))
        .and_then(|api| api.api_id())
        .unwrap()
        .to_owned()
}

#[test]
fn ten_changes_behind_its_back_are_shown_and_repaired() {
    let project = Project::platform("drift");
    project.run(&["deploy"]).expect(0);
    let function = project.name("tasks");
    let table = project.name("tasks");
    let users = project.name("users");
    let alarm = project.name("tasks-errors");
    let api = format!("{}-dev", project.app);

    check(
        &project,
        &["update lambda_function.tasks timeout_seconds"],
        async |clients| {
            clients
                .lambda
                .update_function_configuration()
                .function_name(&function)
                .timeout(7)
                .send()
                .await
                .unwrap();
        },
    );
    check(&project, &["update iam_role.tasks policy.Logs"], async |clients| {
        let roles = clients
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
        let policies = clients.iam.list_role_policies().role_name(&role).send().await.unwrap();
        let policy = policies.policy_names().first().unwrap().clone();
        let read = clients
            .iam
            .get_role_policy()
            .role_name(&role)
            .policy_name(&policy)
            .send()
            .await
            .unwrap();
        let decoded = percent_decode(read.policy_document());
        let mut document: serde_json::Value = serde_json::from_str(&decoded).unwrap();
        document["Statement"]
            .as_array_mut()
            .unwrap()
            .retain(|statement| statement["Sid"] != "Logs");
        let put = clients.iam.put_role_policy().role_name(&role).policy_name(&policy);
        put.policy_document(document.to_string()).send().await.unwrap();
    });
    check(&project, &["create api_route.GET /counter"], async |clients| {
        let id = api_id(&clients, &api).await;
        let routes = clients
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
        clients
            .apigateway
            .delete_route()
            .api_id(&id)
            .route_id(route.route_id().unwrap())
            .send()
            .await
            .unwrap();
    });
    check(&project, &["delete api_route.GET /extra"], async |clients| {
        let id = api_id(&clients, &api).await;
        let routes = clients
            .apigateway
            .get_routes()
            .api_id(&id)
            .max_results("500")
            .send()
            .await
            .unwrap();
        let target = routes.items().first().unwrap().target().unwrap().to_owned();
        clients
            .apigateway
            .create_route()
            .api_id(&id)
            .route_key("GET /extra")
            .target(target)
            .send()
            .await
            .unwrap();
    });
    check(
        &project,
        &["update cloudwatch_alarm.tasks-errors threshold"],
        async |clients| {
            let read = clients
                .cloudwatch
                .describe_alarms()
                .alarm_names(&alarm)
                .send()
                .await
                .unwrap();
            let seen = read.metric_alarms().first().unwrap().clone();
            clients
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
        },
    );
    check(&project, &["update log_group.tasks retention_days"], async |clients| {
        let group = format!("/aws/lambda/{function}");
        clients
            .logs
            .put_retention_policy()
            .log_group_name(group)
            .retention_in_days(3)
            .send()
            .await
            .unwrap();
    });
    check(
        &project,
        &["update lambda_function.tasks tags.owner"],
        async |clients| {
            let read = clients
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
            clients
                .lambda
                .tag_resource()
                .resource(arn)
                .tags("owner", "somebody")
                .send()
                .await
                .unwrap();
        },
    );
    check(
        &project,
        &["update http_api.api cors.max_age_seconds"],
        async |clients| {
            let id = api_id(&clients, &api).await;
            let read = clients.apigateway.get_api().api_id(&id).send().await.unwrap();
            let cors = read.cors_configuration().unwrap();
            let changed = aws_sdk_apigatewayv2::types::Cors::builder()
                .set_allow_origins(cors.allow_origins.clone())
                .set_allow_methods(cors.allow_methods.clone())
                .set_allow_headers(cors.allow_headers.clone())
                .set_expose_headers(cors.expose_headers.clone())
                .set_allow_credentials(cors.allow_credentials)
                .max_age(1)
                .build();
            clients
                .apigateway
                .update_api()
                .api_id(&id)
                .cors_configuration(changed)
                .send()
                .await
                .unwrap();
        },
    );
    check(
        &project,
        &["update dynamodb_table.tasks ttl_attribute"],
        async |clients| {
            let off = TimeToLiveSpecification::builder()
                .enabled(false)
                .attribute_name("ttl")
                .build()
                .unwrap();
            clients
                .dynamodb
                .update_time_to_live()
                .table_name(&table)
                .time_to_live_specification(off)
                .send()
                .await
                .unwrap();
        },
    );
    check(
        &project,
        &["update dynamodb_table.users indexes.email-index"],
        async |clients| {
            let delete = DeleteGlobalSecondaryIndexAction::builder()
                .index_name("email-index")
                .build()
                .unwrap();
            let update = GlobalSecondaryIndexUpdate::builder().delete(delete).build();
            clients
                .dynamodb
                .update_table()
                .table_name(&users)
                .global_secondary_index_updates(update)
                .send()
                .await
                .unwrap();
        },
    );
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
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

pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let hex = std::str::from_utf8(&[*high, *low]).unwrap().to_owned();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
