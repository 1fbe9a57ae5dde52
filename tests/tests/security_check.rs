//! What opens a stage to others is named by `check --security` and shown by `plan`, and a deploy closes it.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{IndexDocument, WebsiteConfiguration};
use serde_json::{Value, json};
use taskctl_stack::aws::client::clients::Clients;
use taskctl_stack::aws::policy::document::Document;
use taskctl_tests::Project;

const FAR: &str = "999999999999";

/// Holes in a stage that stands.
struct Holes<'a> {
    project: &'a Project,
    clients: &'a Clients,
}

impl Holes<'_> {
    fn role(&self, function: &str) -> String {
        format!("{}-dev-{function}-{}", self.project.app, self.project.region())
    }

    async fn allow(&self, function: &str, policy: &str, actions: &[&str], resource: &str) {
        let statement = json!({"Sid": "Open", "Effect": "Allow", "Action": actions, "Resource": resource});
        let document = json!({"Version": "2012-10-17", "Statement": [statement]});
        let put = self.clients.iam.put_role_policy().role_name(self.role(function));
        let put = put.policy_name(policy).policy_document(document.to_string());
        put.send().await.unwrap();
    }

    /// Adds a statement to the role's own policy.
    async fn add(&self, function: &str, action: &str, resource: &str) {
        let iam = &self.clients.iam;
        let get = iam
            .get_role_policy()
            .role_name(self.role(function))
            .policy_name("taskctl");
        let text = get.send().await.unwrap().policy_document;
        let plain = Document::parse(&text).unwrap().to_json();
        let mut document: Value = serde_json::from_str(&plain).unwrap();
        let statements = document["Statement"].as_array_mut().unwrap();
        statements.push(json!({"Sid": "Open", "Effect": "Allow", "Action": action, "Resource": resource}));
        let put = iam
            .put_role_policy()
            .role_name(self.role(function))
            .policy_name("taskctl");
        put.policy_document(document.to_string()).send().await.unwrap();
    }

    /// Lets everyone do everything with a function.
    async fn permit(&self, function: &str, qualifier: Option<&str>) {
        let add = self.clients.lambda.add_permission();
        let add = add.function_name(self.project.name(function)).statement_id("open");
        let add = add.action("lambda:*").principal("*");
        add.set_qualifier(qualifier.map(str::to_owned)).send().await.unwrap();
    }

    /// Asks for more than the stack does before the API may call.
    async fn condition(&self, function: &str) {
        let lambda = &self.clients.lambda;
        let name = self.project.name(function);
        let read = lambda
            .get_policy()
            .function_name(&name)
            .qualifier("v1")
            .send()
            .await
            .unwrap();
        let policy: Value = serde_json::from_str(read.policy().unwrap()).unwrap();
        let source = policy["Statement"][0]["Condition"]["ArnLike"]["AWS:SourceArn"]
            .as_str()
            .unwrap()
            .to_owned();
        let remove = lambda.remove_permission().function_name(&name).qualifier("v1");
        remove.statement_id("api").send().await.unwrap();
        let add = lambda
            .add_permission()
            .function_name(&name)
            .qualifier("v1")
            .statement_id("api");
        let add = add
            .action("lambda:InvokeFunction")
            .principal("apigateway.amazonaws.com");
        add.source_arn(source).source_account(FAR).send().await.unwrap();
    }

    async fn url(&self, function: &str, qualifier: Option<&str>) {
        let url = self.clients.lambda.create_function_url_config();
        let url = url.function_name(self.project.name(function)).auth_type("NONE".into());
        url.set_qualifier(qualifier.map(str::to_owned)).send().await.unwrap();
    }

    async fn alias(&self, function: &str) {
        let alias = self
            .clients
            .lambda
            .create_alias()
            .function_name(self.project.name(function));
        alias.name("side-door").function_version("1").send().await.unwrap();
        self.permit(function, Some("side-door")).await;
    }

    async fn bucket(&self) {
        let s3 = &self.clients.s3;
        let name = format!("{}-dev-assets-000000000000-{}", self.project.app, self.project.region());
        let index = IndexDocument::builder().suffix("index.html").build().unwrap();
        let site = WebsiteConfiguration::builder().index_document(index).build();
        s3.put_bucket_website()
            .bucket(&name)
            .website_configuration(site)
            .send()
            .await
            .unwrap();
        s3.delete_public_access_block().bucket(&name).send().await.unwrap();
        let resource = format!("arn:aws:s3:::{name}/*");
        let statement =
            json!({"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": resource});
        let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        s3.put_bucket_policy()
            .bucket(&name)
            .policy(policy)
            .send()
            .await
            .unwrap();
    }
}

/// What `check --security` says is wrong, as `name: why`.
fn wrong(project: &Project) -> BTreeSet<String> {
    let run = project.run(&["check", "--security", "--folder", "security", "--output", "json"]);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let failed: BTreeSet<String> = checks
        .iter()
        .filter(|check| matches!(check["suite"].as_str(), Some("functions" | "callers" | "buckets")))
        .filter_map(|check| {
            let why = check["assertions"][0]["failure"].as_str()?;
            Some(format!("{}: {why}", check["name"].as_str().unwrap()))
        })
        .collect();
    let expected = if failed.is_empty() { 0 } else { 4 };
    assert_eq!(run.code, expected, "{}", run.err);
    failed
}

#[track_caller]
fn expect_each(found: &BTreeSet<String>, expected: &[(&str, &str)]) {
    for (about, why) in expected {
        let is_named = found.iter().any(|one| one.starts_with(about) && one.contains(why));
        assert!(is_named, "`{about}` … `{why}` is not in {found:#?}");
    }
}

#[test]
fn each_hole_is_named_shown_and_closed() {
    let project = Project::platform("holes");
    project.run(&["deploy"]).expect(0);
    assert_eq!(wrong(&project), BTreeSet::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let holes = Holes {
        project: &project,
        clients: &clients,
    };
    let account = "arn:aws:iam::000000000000:role/*";
    let region = project.region();
    runtime.block_on(async {
        let table = format!("arn:aws:dynamodb:{region}:000000000000:table/*");
        holes.allow("tasks", "extra", &["dynamodb:DeleteTable"], &table).await;
        let function = format!("arn:aws:lambda:{region}:000000000000:function:*");
        holes.add("users", "lambda:UpdateFunctionCode", &function).await;
        let roles = ["iam:PutRolePolicy", "sts:AssumeRole"];
        holes.allow("counter", "former-r1", &roles, account).await;
        let attach = clients.iam.attach_role_policy().role_name(holes.role("health"));
        let administrator = "arn:aws:iam::aws:policy/AdministratorAccess";
        attach.policy_arn(administrator).send().await.unwrap();
        holes.permit("tasks", None).await;
        holes.permit("users", None).await;
        holes.permit("assets", Some("v1")).await;
        holes.condition("counter").await;
        holes.alias("tasks").await;
        holes.url("health", None).await;
        holes.url("health", Some("v1")).await;
        holes.bucket().await;
    });

    expect_each(
        &wrong(&project),
        &[
            ("tasks cannot change the stack", "allows dynamodb:DeleteTable on"),
            ("tasks has its own policy and no other", "extra is not taskctl's"),
            ("users cannot change the stack", "allows lambda:UpdateFunctionCode on"),
            ("counter cannot change the stack", "allows iam:PutRolePolicy on"),
            ("counter cannot change the stack", "allows sts:AssumeRole on"),
            (
                "counter has its own policy and no other",
                "former-r1 allows more than was recorded for release 1: Open",
            ),
            (
                "health has its own policy and no other",
                "AdministratorAccess is attached",
            ),
            ("only this stack calls tasks", "(function): everyone may lambda:*"),
            ("only this stack calls tasks", "side-door: everyone may lambda:*"),
            ("only this stack calls users", "everyone may lambda:*"),
            ("only this stack calls assets", "v1: everyone may lambda:*"),
            (
                "only this stack calls counter",
                "StringEquals AWS:SourceAccount 999999999999",
            ),
            (
                "health has no URL past the API",
                "(function) has a URL, asking for NONE",
            ),
            ("health has no URL past the API", "v1 has a URL, asking for NONE"),
            ("assets is closed to the public", "it is served as a web site"),
            ("assets is closed to the public", "public access is not blocked"),
            ("assets is closed to the public", "its policy allows everyone s3:*"),
        ],
    );
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    let fields = |id: &str| -> BTreeSet<String> {
        let start = format!("update {id} ");
        let changes = plan.changes();
        let fields = changes.iter().filter_map(|change| change.strip_prefix(&start));
        // A field, not what is inside it.
        fields
            .flat_map(|fields| fields.split(','))
            .map(|field| field.split('.').next().unwrap().to_owned())
            .collect()
    };
    let check = |id: &str, expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(fields(id), expected, "{id}: {:#?}", plan.changes());
    };
    check("iam_role.tasks", &["other_inline_policies"]);
    check("iam_role.users", &["policy"]);
    check("iam_role.counter", &["former_policies", "other_inline_policies"]);
    check("iam_role.health", &["managed_policies"]);
    check("lambda_function.tasks", &["other_callers"]);
    check("lambda_function.users", &["other_callers"]);
    check("lambda_function.health", &["urls"]);
    check("lambda_permission.assets", &["statements"]);
    check("lambda_permission.counter", &["statements"]);
    check("s3_bucket.assets", &["policy", "public_access_block", "website"]);
    assert_eq!(plan.changes().len(), 10, "{:#?}", plan.changes());

    project.run(&["deploy", "--yes"]).expect(0);
    assert_eq!(wrong(&project), BTreeSet::new());
    let after = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(after.changes(), Vec::<String>::new());
    requests_of_anyone(&project);
    former_releases(&project, &runtime, &holes);
    project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
}

/// Nothing asks who calls: `plan` warns of it in every output, and on a protected stage the check fails.
fn requests_of_anyone(project: &Project) {
    let said = "18 routes, none asks who calls";
    let plan = project.run(&["plan"]).expect(0);
    assert!(plan.out.contains(&format!("warning: {said}")), "{}", plan.out);
    let plan = project.run(&["plan", "--output", "github"]).expect(0);
    assert!(
        plan.out.contains(&format!("::warning title=plan::{said}")),
        "{}",
        plan.out
    );
    let events = project.run(&["plan", "--output", "json"]).expect(0).events();
    let warnings = events
        .iter()
        .find_map(|event| event.pointer("/plan/warnings"))
        .unwrap()
        .clone();
    let codes: Vec<&str> = warnings
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    // The site of the local target does not leave this machine.
    assert_eq!(codes, ["unauthenticated-routes"]);
    let deploy = project.run(&["deploy"]).expect(0);
    assert!(deploy.err.contains(&format!("warning: {said}")), "{}", deploy.err);

    let template = project.template();
    project.write(&template.replacen("  dev:\n", "  dev:\n    protected: true\n", 1));
    let found = wrong(project);
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [format!("every route asks who calls: {said}")]
    );
    project.write(&template);
}

/// On AWS a web site without a CDN is plain HTTP, and versions of releases that can be live are looked at as well.
fn former_releases(project: &Project, runtime: &tokio::runtime::Runtime, holes: &Holes<'_>) {
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    project.run(&["deploy"]).expect(0);
    runtime.block_on(holes.permit("assets", Some("v1")));
    let plan = project.run(&["plan", "--output", "json"]).expect(2);
    let former: Vec<String> = plan
        .changes()
        .into_iter()
        .filter(|one| one.contains("lambda_permission"))
        .collect();
    assert_eq!(former, ["update lambda_permission.assets.v1 statements.open"]);
    let on_aws = project.start_at(&project.local.endpoint(), &["plan", "--output", "json"]);
    let on_aws = on_aws.end().expect(2);
    assert!(on_aws.out.contains("\"code\":\"plain-http-site\""), "{}", on_aws.out);
    expect_each(
        &wrong(project),
        &[("only this stack calls assets", "v1: everyone may lambda:*")],
    );
    project.run(&["deploy", "--yes"]).expect(0);
    assert_eq!(wrong(project), BTreeSet::new());
}
