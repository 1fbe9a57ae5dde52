//! Least privilege: the printed policies suffice and nothing in them is idle; functions can do what they are granted, and need
//! it.

use std::collections::BTreeMap;

use serde_json::Value;
use taskctl_stack::aws::client::clients::Clients;
use taskctl_stack::aws::policy::document::Document;
use taskctl_tests::{Project, Run};

/// Somebody who may do what a policy says.
struct Deployer<'a> {
    project: &'a Project,
    runtime: tokio::runtime::Runtime,
    clients: Clients,
    role: String,
    credentials: Vec<(&'static str, String)>,
}

impl<'a> Deployer<'a> {
    fn of(project: &'a Project) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients = runtime.block_on(project.clients());
        let role = format!("{}-deployer", project.app);
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        let credentials = runtime.block_on(async {
            let made = clients.iam.create_role().role_name(&role);
            let made = made.assume_role_policy_document(trust).send().await.unwrap();
            let assumed = clients.sts.assume_role().role_arn(made.role().unwrap().arn());
            let assumed = assumed.role_session_name("deployer").send().await.unwrap();
            assumed.credentials.unwrap()
        });
        Self {
            project,
            runtime,
            clients,
            role,
            credentials: vec![
                ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
                ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
                ("AWS_SESSION_TOKEN", credentials.session_token),
            ],
        }
    }

    fn allow(&self, policy: &Value) {
        let put = self.clients.iam.put_role_policy().role_name(&self.role);
        let put = put.policy_name("deployer").policy_document(policy.to_string());
        self.runtime.block_on(put.send()).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let credentials: Vec<(&str, &str)> = self
            .credentials
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.project
            .start_as(&self.project.local.endpoint(), arguments, &credentials)
            .end()
    }
}

fn policy(project: &Project, commands: &str) -> Value {
    let run = project.run(&["export", "policy", "--for", commands]).expect(0);
    serde_json::from_str(&run.out).unwrap()
}

/// Another content for every function and for the web site.
fn change(project: &Project) {
    let text = project.template();
    project.write(&text.replacen("  function:\n", "  function:\n    memory: 640\n", 1));
    let page = project.directory().join("site/index.html");
    let html = std::fs::read_to_string(&page).unwrap();
    std::fs::write(page, html.replace("<title>Tasks", "<title>Changed")).unwrap();
}

/// Takes a bucket away with all that is in it.
async fn forget(clients: &Clients, bucket: &str) {
    let Ok(listed) = clients.s3.list_objects_v2().bucket(bucket).send().await else {
        return;
    };
    for object in listed.contents() {
        let delete = clients.s3.delete_object().bucket(bucket).key(object.key().unwrap());
        delete.send().await.unwrap();
    }
    clients.s3.delete_bucket().bucket(bucket).send().await.unwrap();
}

#[test]
fn the_printed_policies_suffice() {
    let project = Project::platform("allowed");
    let deployer = Deployer::of(&project);
    deployer.allow(&policy(&project, "deploy"));
    deployer.run(&["deploy", "--yes"]).expect(0);
    change(&project);
    deployer.run(&["deploy", "--yes", "--no-promote"]).expect(0);
    deployer.allow(&policy(&project, "release"));
    deployer.run(&["promote", "--yes"]).expect(0);
    deployer.run(&["rollback", "--yes"]).expect(0);
    deployer.run(&["prune", "--yes", "--keep", "1"]).expect(0);
    deployer.run(&["invoke", "health", "--route", "GET /health"]).expect(0);
    deployer.allow(&policy(&project, "read"));
    deployer.run(&["plan"]).expect(2);
    for arguments in [
        &["status"][..],
        &["releases"],
        &["logs"],
        &["export", "policy"],
        &["export", "openapi"],
    ] {
        deployer.run(arguments).expect(0);
    }
    let refused = deployer.run(&["deploy", "--yes"]).expect(1);
    assert!(refused.err.contains("s3:PutObject"), "{}", refused.err);
    deployer.allow(&policy(&project, "destroy"));
    let destroyed = deployer.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    assert!(!destroyed.err.contains("warning"), "{}", destroyed.err);
}

#[test]
fn without_any_statement_something_fails_and_says_what_is_missing() {
    let mut project = Project::platform("needed");
    project.control_bucket = Some("needed-control".to_owned());
    let deployer = Deployer::of(&project);
    let whole = policy(&project, "deploy,destroy");
    let statements = whole["Statement"].as_array().unwrap();
    let template = project.template();
    // The account of the local target has the role that API Gateway makes with the first API of an account.
    let needed = |(_, statement): &(usize, &Value)| statement["Sid"] != "ServiceRole";
    for (place, left_out) in statements.iter().enumerate().filter(needed) {
        let mut rest = statements.clone();
        rest.remove(place);
        let mut less = whole.clone();
        less["Statement"] = Value::Array(rest);
        deployer.allow(&less);
        deployer.runtime.block_on(forget(&deployer.clients, "needed-control"));
        project.write(&template);
        let mut failed = None;
        for arguments in [
            &["deploy", "--yes"][..],
            &["deploy", "--yes"],
            &["logs"],
            &["destroy", "--yes", "--delete-data", "all"],
        ] {
            let run = deployer.run(arguments);
            if run.code != 0 {
                failed = Some(run);
                break;
            }
            if project.template() == template {
                change(&project);
            }
        }
        let sid = &left_out["Sid"];
        let Some(run) = failed else {
            panic!("nothing failed without {sid}");
        };
        let actions = left_out["Action"].as_array().unwrap();
        let said: String = run.err.split_whitespace().collect();
        assert!(
            actions
                .iter()
                .any(|action| said.contains(&format!("lacks{}", action.as_str().unwrap()))),
            "without {sid}: {}",
            run.err
        );
        project.run(&["destroy", "--yes", "--delete-data", "all"]).expect(0);
    }
}

#[test]
fn each_grant_of_each_function_is_needed() {
    let project = Project::platform("granted");
    project.run(&["deploy"]).expect(0);
    project.run(&["check", "--allow-writes"]).expect(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let path = format!("/taskctl/{}/dev/", project.app);
    let roles = runtime
        .block_on(clients.iam.list_roles().path_prefix(&path).send())
        .unwrap()
        .roles;
    let mut tried: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in roles {
        let name = role.role_name();
        let names = runtime
            .block_on(clients.iam.list_role_policies().role_name(name).send())
            .unwrap()
            .policy_names;
        let policy = names.first().unwrap();
        let get = clients.iam.get_role_policy().role_name(name).policy_name(policy).send();
        let got = runtime.block_on(get).unwrap().policy_document;
        let plain = Document::parse(&got).unwrap().to_json();
        let put = |document: &Value| {
            let put = clients.iam.put_role_policy().role_name(name).policy_name(policy);
            runtime
                .block_on(put.policy_document(document.to_string()).send())
                .unwrap();
        };
        let whole: Value = serde_json::from_str(&plain).unwrap();
        let statements = whole["Statement"].as_array().unwrap();
        for (place, left_out) in statements.iter().enumerate() {
            // The local target writes the logs of a function itself.
            if left_out["Sid"] == "Logs" {
                continue;
            }
            let mut rest = statements.clone();
            rest.remove(place);
            let mut less = whole.clone();
            less["Statement"] = Value::Array(rest);
            put(&less);
            let run = project.run(&["check", "--allow-writes"]);
            assert_ne!(run.code, 0, "{name} does not need {}", left_out["Sid"]);
            tried
                .entry(name.to_owned())
                .or_default()
                .push(left_out["Sid"].as_str().unwrap().to_owned());
        }
        put(&whole);
    }
    project.run(&["check", "--allow-writes"]).expect(0);
    assert!(tried.len() >= 4, "{tried:?}");
    println!("{tried:?}");
}
