//! What the exported policies and the control bucket do not give: other stacks, user data, more rights than the boundary
//! allows, grants that no release had.

use std::collections::BTreeMap;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use taskctl_stack::aws::client::clients::Clients;
use taskctl_stack::aws::policy::document::Document;
use taskctl_tests::{Caller, Project, artifacts};

const ANYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Sid":"Any","Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const FOREIGN_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"sts:AssumeRole"}]}"#;
const LAMBDA_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

fn exported(project: &Project, commands: &str) -> String {
    project.run(&["export", "policy", "--for", commands]).expect(0).out
}

/// What a call that must not be possible came to.
fn outcome<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => match error.code() {
            Some(code) if code.starts_with("AccessDenied") => "denied".to_owned(),
            code => format!("passed on: {}", code.unwrap_or("?")),
        },
    }
}

/// A stack whose names begin like those of `{app}-dev`.
struct Neighbour {
    api: String,
    /// API of another stage of the same application.
    sibling: String,
    topic: String,
    role_arn: String,
    role: String,
    bucket: String,
}

fn tags(app: &str, stage: &str) -> [(&'static str, String); 3] {
    [
        ("app", app.to_owned()),
        ("stage", stage.to_owned()),
        ("managed-by", "taskctl".to_owned()),
    ]
}

impl Neighbour {
    /// Stands beside `app`'s stage dev: application `{app}-dev`, stage eu.
    async fn made(clients: &Clients, app: &str, region: &str) -> Self {
        let own = tags(&format!("{app}-dev"), "eu");
        let name = format!("{app}-dev-eu-tasks");
        let plain = || own.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let api = async |app: &str, stage: &str| {
            let make = clients.apigateway.create_api().name(app);
            let tags = tags(app, stage).into_iter().map(|(key, value)| (key.to_owned(), value));
            let made = make.protocol_type("HTTP".into()).set_tags(Some(tags.collect())).send();
            made.await.unwrap().api_id.unwrap()
        };
        let bucket = format!("{app}-dev-eu-assets-000000000000-{region}");
        let role = format!("{name}-{region}");
        let made = clients.iam.create_role().role_name(&role);
        let made = made
            .path(format!("/taskctl/{app}-dev/eu/"))
            .assume_role_policy_document(LAMBDA_TRUST);
        let role_arn = made.send().await.unwrap().role.unwrap().arn;
        let zip = std::fs::read(artifacts().join("health.zip")).unwrap();
        let code = aws_sdk_lambda::types::FunctionCode::builder().zip_file(aws_sdk_lambda::primitives::Blob::new(zip));
        let function = clients.lambda.create_function().function_name(&name).role(&role_arn);
        let function = function
            .code(code.build())
            .runtime("provided.al2023".into())
            .handler("bootstrap");
        function.set_tags(Some(plain().collect())).send().await.unwrap();
        let alarm = clients
            .cloudwatch
            .put_metric_alarm()
            .alarm_name(&name)
            .namespace("AWS/Lambda");
        let alarm = alarm
            .metric_name("Errors")
            .evaluation_periods(1)
            .period(60)
            .threshold(1.0);
        let alarm = alarm
            .statistic("Sum".into())
            .comparison_operator("GreaterThanThreshold".into());
        let tag =
            |(key, value): &(&str, String)| aws_sdk_cloudwatch::types::Tag::builder().key(*key).value(value).build();
        alarm
            .set_tags(Some(own.iter().map(tag).collect()))
            .send()
            .await
            .unwrap();
        let group = clients
            .logs
            .create_log_group()
            .log_group_name(format!("/aws/lambda/{name}"));
        group.set_tags(Some(plain().collect())).send().await.unwrap();
        let tag = |(key, value): &(&str, String)| {
            aws_sdk_sns::types::Tag::builder()
                .key(*key)
                .value(value)
                .build()
                .unwrap()
        };
        let topic = clients
            .sns
            .create_topic()
            .name(&name)
            .set_tags(Some(own.iter().map(tag).collect()));
        let topic = topic.send().await.unwrap().topic_arn.unwrap();
        let tag = |(key, value): &(&str, String)| {
            aws_sdk_eventbridge::types::Tag::builder()
                .key(*key)
                .value(value)
                .build()
                .unwrap()
        };
        let rule = clients
            .events
            .put_rule()
            .name(&name)
            .schedule_expression("rate(5 minutes)");
        rule.set_tags(Some(own.iter().map(tag).collect())).send().await.unwrap();
        let located = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region.into());
        let make = clients
            .s3
            .create_bucket()
            .bucket(&bucket)
            .create_bucket_configuration(located.build());
        make.send().await.unwrap();
        let object = clients
            .s3
            .put_object()
            .bucket(&bucket)
            .key("a")
            .body(ByteStream::from_static(b"a"));
        object.send().await.unwrap();
        Self {
            api: api(&format!("{app}-dev"), "eu").await,
            sibling: api(app, "prod").await,
            topic,
            role_arn,
            role,
            bucket,
        }
    }
}

/// Everything that none of the policies may allow, with what came of it.
async fn attempts(
    c: &Clients,
    app: &str,
    region: &str,
    other: &Neighbour,
    own_api: &str,
) -> BTreeMap<&'static str, String> {
    let name = format!("{app}-dev-eu-tasks");
    let own_role = format!("{app}-dev-users-{region}");
    let loose = format!("{app}-dev-loose-{region}");
    let assets = format!("{app}-dev-assets-000000000000-{region}");
    let control = format!("taskctl-000000000000-{region}");
    let path = format!("/taskctl/{app}/dev/");
    let mut seen = BTreeMap::new();
    macro_rules! tried {
        ($($what:literal: $call:expr;)*) => {
            $(seen.insert($what, outcome($call.send().await));)*
        };
    }
    tried! {
        "another stack: lambda:UpdateFunctionConfiguration": c.lambda.update_function_configuration().function_name(&name).memory_size(256);
        "another stack: lambda:AddPermission": c.lambda.add_permission().function_name(&name).statement_id("a").action("lambda:InvokeFunction").principal("*");
        "another stack: lambda:PublishVersion": c.lambda.publish_version().function_name(&name);
        "another stack: lambda:TagResource": c.lambda.tag_resource().resource(format!("arn:aws:lambda:{region}:000000000000:function:{name}")).tags("app", app).tags("stage", "dev");
        "another stack: lambda:Invoke": c.lambda.invoke().function_name(&name);
        "another stack: lambda:DeleteFunction": c.lambda.delete_function().function_name(&name);
        "another stack: dynamodb:UpdateTable": c.dynamodb.update_table().table_name(&name).deletion_protection_enabled(false);
        "another stack: dynamodb:Scan": c.dynamodb.scan().table_name(&name);
        "another stack: dynamodb:DeleteTable": c.dynamodb.delete_table().table_name(&name);
        "another stack: s3:GetObject": c.s3.get_object().bucket(&other.bucket).key("a");
        "another stack: s3:PutObject": c.s3.put_object().bucket(&other.bucket).key("b").body(ByteStream::from_static(b"b"));
        "another stack: s3:DeleteObject": c.s3.delete_object().bucket(&other.bucket).key("a");
        "another stack: s3:PutBucketPolicy": c.s3.put_bucket_policy().bucket(&other.bucket).policy("{}");
        "another stack: s3:DeleteBucket": c.s3.delete_bucket().bucket(&other.bucket);
        "another stack: logs:PutRetentionPolicy": c.logs.put_retention_policy().log_group_name(format!("/aws/lambda/{name}")).retention_in_days(1);
        "another stack: logs:FilterLogEvents": c.logs.filter_log_events().log_group_name(format!("/aws/lambda/{name}"));
        "another stack: logs:DeleteLogGroup": c.logs.delete_log_group().log_group_name(format!("/aws/lambda/{name}"));
        "another stack: cloudwatch:PutMetricAlarm": c.cloudwatch.put_metric_alarm().alarm_name(&name).namespace("n").metric_name("m").evaluation_periods(1).period(60).threshold(9.0).statistic("Sum".into()).comparison_operator("GreaterThanThreshold".into());
        "another stack: cloudwatch:DeleteAlarms": c.cloudwatch.delete_alarms().alarm_names(&name);
        "another stack: sns:Subscribe": c.sns.subscribe().topic_arn(&other.topic).protocol("email").endpoint("a@example.com");
        "another stack: sns:DeleteTopic": c.sns.delete_topic().topic_arn(&other.topic);
        "another stack: events:PutRule": c.events.put_rule().name(&name).schedule_expression("rate(1 minute)");
        "another stack: events:DeleteRule": c.events.delete_rule().name(&name);
        "another stack: iam:PutRolePolicy": c.iam.put_role_policy().role_name(&other.role).policy_name("p").policy_document(ANYTHING);
        "another stack: iam:DeleteRole": c.iam.delete_role().role_name(&other.role);
        "another stack: iam:PassRole": c.lambda.update_function_configuration().function_name(format!("{app}-dev-tasks")).role(&other.role_arn);
        "another stack: apigateway:PATCH": c.apigateway.update_api().api_id(&other.api).name("mine");
        "another stack: apigateway:POST": c.apigateway.create_route().api_id(&other.api).route_key("GET /a");
        "another stack: apigateway:TagResource": c.apigateway.tag_resource().resource_arn(format!("arn:aws:apigateway:{region}::/apis/{}", other.api)).tags("app", app).tags("stage", "dev");
        "another stack: apigateway:DELETE": c.apigateway.delete_api().api_id(&other.api);
        "another stage: apigateway:PATCH": c.apigateway.update_api().api_id(&other.sibling).name("mine");
        "another stage: apigateway:DELETE": c.apigateway.delete_api().api_id(&other.sibling);
        "control bucket: s3:PutBucketPolicy": c.s3.put_bucket_policy().bucket(&control).policy("{}");
        "control bucket: another stack's record": c.s3.put_object().bucket(&control).key(format!("{app}-dev/eu/releases/00000001.json")).body(ByteStream::from_static(b"{}"));
        "label of a release: apigateway:PATCH": c.apigateway.update_deployment().api_id(own_api).deployment_id("d").description("r1 0123456789abcdef");
        "user data: s3:GetObject": c.s3.get_object().bucket(&assets).key("assets/a");
        "user data: s3:PutObject": c.s3.put_object().bucket(&assets).key("assets/a").body(ByteStream::from_static(b"a"));
        "own function: lambda:AddPermission for everybody": c.lambda.add_permission().function_name(format!("{app}-dev-tasks")).statement_id("a").action("lambda:InvokeFunction").principal("*");
        "own role: iam:DeleteRolePermissionsBoundary": c.iam.delete_role_permissions_boundary().role_name(&own_role);
        "own role: iam:PutRolePermissionsBoundary of another": c.iam.put_role_permissions_boundary().role_name(&own_role).permissions_boundary(ADMINISTRATOR);
        "own role: iam:AttachRolePolicy": c.iam.attach_role_policy().role_name(&own_role).policy_arn(ADMINISTRATOR);
        "own role: iam:UpdateAssumeRolePolicy": c.iam.update_assume_role_policy().role_name(&own_role).policy_document(FOREIGN_TRUST);
        "role without the boundary: iam:PutRolePolicy": c.iam.put_role_policy().role_name(&loose).policy_name("p").policy_document(ANYTHING);
        "new role without the boundary: iam:CreateRole": c.iam.create_role().role_name(format!("{app}-dev-a-{region}")).path(&path).assume_role_policy_document(LAMBDA_TRUST);
        "new role with another boundary: iam:CreateRole": c.iam.create_role().role_name(format!("{app}-dev-b-{region}")).path(&path).assume_role_policy_document(LAMBDA_TRUST).permissions_boundary(ADMINISTRATOR);
        "new role elsewhere: iam:CreateRole": c.iam.create_role().role_name("elsewhere").assume_role_policy_document(LAMBDA_TRUST);
    }
    seen
}

/// Whoever has one of the policies reaches nothing of a stack whose names begin alike, no user data, and no right beyond the
/// boundary; and each policy suffices for its commands.
#[test]
fn the_exported_policies_stay_within_the_stack_and_its_boundary() {
    let project = Project::platform("bounds");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let owner = runtime.block_on(project.clients());
    let cap = runtime.block_on(async {
        let made = owner
            .iam
            .create_policy()
            .policy_name("bounds-cap")
            .policy_document(ANYTHING);
        made.send().await.unwrap().policy.unwrap().arn.unwrap()
    });
    // What a policy without a boundary amounts to is said, and what it amounts to with one.
    let open = project.run(&["export", "policy", "--for", "deploy"]).expect(0);
    assert!(
        words(&open.err).contains("administrator of the account"),
        "{}",
        open.err
    );
    let text = project.template();
    project.write(&text.replacen(
        "  function:\n",
        &format!("  function:\n    permissions_boundary: {cap}\n"),
        1,
    ));
    let bounded = project.run(&["export", "policy", "--for", "deploy"]).expect(0);
    assert!(
        words(&bounded.err).contains("whatever") && bounded.err.contains(&cap),
        "{}",
        bounded.err
    );
    // As files, each fits into a managed policy, and together they are the policy.
    let folder = project.directory().join("policies");
    let written = project.run(&["export", "policy", "--for", "deploy", "--out", folder.to_str().unwrap()]);
    let mut together = Document::default();
    for file in written.expect(0).out.lines() {
        let part = Document::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        part.lint(taskctl_stack::aws::policy::deployer::MANAGED_LIMIT).unwrap();
        together = together.with(&part);
    }
    assert_eq!(together, Document::parse(&bounded.out).unwrap());
    let (app, region) = (project.app.clone(), project.region());
    let deployer = runtime.block_on(Caller::with(&project, "bounds-deploy", &exported(&project, "deploy")));
    deployer.run(&["deploy", "--yes"]).expect(0);
    let other = runtime.block_on(async {
        let loose = owner.iam.create_role().role_name(format!("{app}-dev-loose-{region}"));
        let loose = loose
            .path(format!("/taskctl/{app}/dev/"))
            .assume_role_policy_document(LAMBDA_TRUST);
        loose.send().await.unwrap();
        Neighbour::made(&owner, &app, &region).await
    });
    let apis = runtime
        .block_on(owner.apigateway.get_apis().max_results("500").send())
        .unwrap()
        .items
        .unwrap();
    let own = apis
        .into_iter()
        .find(|api| api.name() == Some("bounds-dev") && api.api_id() != Some(&other.api));
    let own = own.unwrap().api_id.unwrap();
    let mut reached = Vec::new();
    for commands in ["read", "release", "deploy", "destroy"] {
        let name = format!("bounds-{commands}-later");
        let caller = runtime.block_on(Caller::with(&project, &name, &exported(&project, commands)));
        let seen = runtime.block_on(attempts(&caller.clients, &app, &region, &other, &own));
        assert!(seen.len() > 40, "{seen:?}");
        let passed = seen.into_iter().filter(|(_, outcome)| outcome != "denied");
        reached.extend(passed.map(|(what, outcome)| format!("{commands}: {what}: {outcome}")));
        if commands == "destroy" {
            assert_eq!(reached, Vec::<String>::new(), "{}", reached.join("\n"));
            caller.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
        }
    }
}

/// What was said, without its line breaks.
fn words(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn role_policies(project: &Project, clients: &Clients, runtime: &tokio::runtime::Runtime) -> Vec<String> {
    let role = format!("{}-dev-users-{}", project.app, project.region());
    let listed = clients.iam.list_role_policies().role_name(role).send();
    let mut names = runtime.block_on(listed).unwrap().policy_names;
    names.sort();
    names
}

/// What the ledger says of a release's grants is believed only as far as the release's label on AWS proves it.
#[test]
fn a_changed_record_of_a_release_grants_nothing() {
    let project = Project::platform("proven");
    let edit = |from: &str, to: &str| {
        let text = project.template();
        assert!(text.contains(from), "{from} in {text}");
        project.write(&text.replacen(from, to, 1));
    };
    // Release 1 may read the assets table from the users function; 2 and 3 may not.
    let grant = "      - {table: assets, access: read}\n";
    edit("  users:\n    grants:\n", &format!("  users:\n    grants:\n{grant}"));
    project.run(&["deploy"]).expect(0);
    edit(grant, "");
    project.run(&["deploy"]).expect(0);
    edit("  function:\n", "  function:\n    memory: 640\n");
    project.run(&["deploy"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    assert_eq!(role_policies(&project, &clients, &runtime), ["taskctl"]);

    let control = format!("taskctl-000000000000-{}", project.region());
    let key = format!("{}/dev/releases/00000001.json", project.app);
    let stored = runtime.block_on(async {
        let got = clients.s3.get_object().bucket(&control).key(&key).send().await.unwrap();
        got.body.collect().await.unwrap().to_vec()
    });
    let write = |body: Vec<u8>| {
        let put = clients.s3.put_object().bucket(&control).key(&key).body(body.into());
        runtime.block_on(put.send()).unwrap();
    };
    let mut changed: Value = serde_json::from_slice(&stored).unwrap();
    let any = json!({"effect": "Allow", "actions": ["*"], "resources": ["*"]});
    changed["grants"]["users"]["Any"] = any;
    write(changed.to_string().into_bytes());
    let refused = project.run(&["rollback", "--to", "1", "--yes"]).expect(1);
    for said in [
        "nothing was granted",
        &format!("s3://{control}/{key}"),
        "users: Allow * on *",
        "taskctl deploy",
    ] {
        assert!(words(&refused.err).contains(said), "{said} in {}", refused.err);
    }
    assert_eq!(role_policies(&project, &clients, &runtime), ["taskctl"]);
    assert_eq!(project.status("dev")["live"]["release"], 3);

    // A release of the time before labels had a hash.
    write(stored);
    let described = |description: Option<String>| {
        runtime.block_on(async {
            let apis = clients
                .apigateway
                .get_apis()
                .max_results("500")
                .send()
                .await
                .unwrap()
                .items
                .unwrap();
            let own = |api: &&aws_sdk_apigatewayv2::types::Api| {
                api.tags().is_some_and(|tags| tags.get("app") == Some(&project.app))
            };
            let api = apis.iter().find(own).unwrap().api_id().unwrap().to_owned();
            let all = clients
                .apigateway
                .get_deployments()
                .api_id(&api)
                .send()
                .await
                .unwrap()
                .items
                .unwrap();
            let first = all
                .iter()
                .find(|one| one.description().unwrap().starts_with("r1 "))
                .unwrap();
            if let Some(description) = description {
                let update = clients.apigateway.update_deployment().api_id(&api);
                let update = update
                    .deployment_id(first.deployment_id().unwrap())
                    .description(description);
                update.send().await.unwrap();
            }
            first.description().unwrap().to_owned()
        })
    };
    let label = described(None);
    assert!(label.contains(" format=2 grants="), "{label}");
    let former: Vec<&str> = label
        .split(' ')
        .filter(|word| !word.starts_with("format=") && !word.starts_with("grants="))
        .collect();
    described(Some(former.join(" ")));
    let refused = project.run(&["rollback", "--to", "1", "--yes"]).expect(1);
    assert!(
        words(&refused.err).contains("before labels carried a hash"),
        "{}",
        refused.err
    );
    assert_eq!(role_policies(&project, &clients, &runtime), ["taskctl"]);
    // A label of a later format is not guessed at.
    described(Some(label.replace("format=2", "format=99")));
    let refused = project.run(&["rollback", "--yes"]).expect(1);
    assert!(words(&refused.err).contains("newer taskctl"), "{}", refused.err);

    // What release 1 was made with comes back, and is shown before.
    described(Some(label));
    let back = project.run(&["rollback", "--to", "1", "--yes"]).expect(0);
    assert!(words(&back.err).contains("restored before live moves:"), "{}", back.err);
    assert!(back.err.contains("table/proven-dev-assets"), "{}", back.err);
    assert_eq!(role_policies(&project, &clients, &runtime), ["former-r1", "taskctl"]);
}

/// The control bucket has a policy that nobody of a stack's own functions and nobody outside the account gets past, and
/// records of releases are written once.
#[test]
fn the_control_bucket_has_a_policy() {
    let mut project = Project::platform("kept");
    project.control_bucket = Some("kept-control".to_owned());
    project.run(&["deploy"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let policy = || {
        let got = clients.s3.get_bucket_policy().bucket("kept-control").send();
        Document::parse(&runtime.block_on(got).unwrap().policy.unwrap()).unwrap()
    };
    let exported = project.run(&["export", "control-bucket-policy"]).expect(0);
    assert_eq!(policy(), Document::parse(&exported.out).unwrap());
    assert!(
        policy().statements().contains_key("RecordsAreWrittenOnce"),
        "{}",
        exported.out
    );
    // A bucket that was made without it gets it.
    let delete = clients.s3.delete_bucket_policy().bucket("kept-control").send();
    runtime.block_on(delete).unwrap();
    let text = project.template();
    project.write(&text.replacen("tables:\n", "tables:\n  notes: {partition_key: id}\n", 1));
    project.run(&["deploy"]).expect(0);
    assert_eq!(policy(), Document::parse(&exported.out).unwrap());
}
