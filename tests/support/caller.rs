//! Somebody who may do what a policy says, and no more: a role of the local target with that policy.

use aws_sdk_iam::config::Credentials;
use taskctl_stack::aws::client::clients::Clients;

use crate::local::{Run, must};
use crate::project::Project;

/// Somebody with a policy.
pub struct Caller<'a> {
    project: &'a Project,
    /// Clients that act as the role.
    pub clients: Clients,
    credentials: Vec<(&'static str, String)>,
}

impl<'a> Caller<'a> {
    /// Makes a role of this name with this policy, and acts as it.
    ///
    /// # Panics
    /// When the role cannot be made or taken on.
    pub async fn with(project: &'a Project, name: &str, policy: &str) -> Self {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        let owner = project.clients().await;
        let made = owner
            .iam
            .create_role()
            .role_name(name)
            .assume_role_policy_document(trust);
        let made = must(made.send().await);
        let put = owner.iam.put_role_policy().role_name(name).policy_name("caller");
        must(put.policy_document(policy).send().await);
        let arn = made.role().map(|role| role.arn().to_owned()).unwrap_or_default();
        let assume = owner.sts.assume_role().role_arn(arn).role_session_name("caller");
        let Some(given) = must(assume.send().await).credentials else {
            panic!("no credentials for {name}");
        };
        let credentials = vec![
            ("AWS_ACCESS_KEY_ID", given.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", given.secret_access_key.clone()),
            ("AWS_SESSION_TOKEN", given.session_token.clone()),
        ];
        let given = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            None,
            "caller",
        );
        Self {
            project,
            clients: acting(&owner, &given),
            credentials,
        }
    }

    /// Runs a command as the role.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let credentials = self.credentials.iter().map(|(name, value)| (*name, value.as_str()));
        let credentials: Vec<(&str, &str)> = credentials.collect();
        self.project
            .start_as(&self.project.local.endpoint(), arguments, &credentials)
            .end()
    }
}

/// The same clients with other credentials.
fn acting(clients: &Clients, credentials: &Credentials) -> Clients {
    macro_rules! of {
        ($service:ident, $name:ident) => {
            $service::Client::from_conf(
                clients
                    .$name
                    .config()
                    .to_builder()
                    .credentials_provider(credentials.clone())
                    .build(),
            )
        };
    }
    let mut acting = clients.clone();
    acting.apigateway = of!(aws_sdk_apigatewayv2, apigateway);
    acting.cloudwatch = of!(aws_sdk_cloudwatch, cloudwatch);
    acting.logs = of!(aws_sdk_cloudwatchlogs, logs);
    acting.dynamodb = of!(aws_sdk_dynamodb, dynamodb);
    acting.events = of!(aws_sdk_eventbridge, events);
    acting.iam = of!(aws_sdk_iam, iam);
    acting.lambda = of!(aws_sdk_lambda, lambda);
    acting.tagging = of!(aws_sdk_resourcegroupstagging, tagging);
    acting.s3 = of!(aws_sdk_s3, s3);
    acting.sns = of!(aws_sdk_sns, sns);
    acting.sts = of!(aws_sdk_sts, sts);
    acting
}
