//! Integration of the HTTP API with one function: names the alias of exactly one version. Integrations are the working
//! copy; what a slot serves is the snapshot of them in a deployment.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_apigatewayv2::types::{Integration, IntegrationType};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::gone;
use crate::aws::client::op::op;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct ApiIntegration;

/// Settings of an integration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// ARN of the alias that is invoked.
    pub target: String,
    /// `AWS_PROXY`.
    pub kind: String,
    /// `2.0`.
    pub payload_format: String,
    /// Milliseconds, 50–30,000.
    pub timeout_millis: i32,
}

/// Name of the kind.
pub const KIND: &str = "api_integration";

static SPEC: Spec = Spec {
    name: KIND,
    title: "API integration",
    documentation: "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-integrations.html",
    read_actions: &["apigateway:GET"],
    write_actions: &["apigateway:POST", "apigateway:PATCH"],
    delete_actions: &["apigateway:DELETE"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    deleted_after: &[
        (apigateway::route::KIND, Scope::Any),
        (apigateway::api::KIND, Scope::Any),
    ],
    usual: Duration::from_millis(300),
    contained_in: Some(apigateway::api::KIND),
    reach: Reach::ApiChanges,
    reaches: &[("apigateway:DELETE", Reach::ApiRemovals)],
    ..Spec::of(&apigateway::SERVICE)
};

/// The Description by which an integration is found again.
pub fn identity(name: &str) -> String {
    format!("taskctl {name}")
}

/// The logical name of an integration, read from its Description.
pub fn name_of(integration: &Integration) -> Option<&str> {
    integration.description()?.strip_prefix("taskctl ")
}

#[async_trait]
impl Kind for ApiIntegration {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let target =
            |version: u32| format!("arn:aws:lambda:eu-central-1:123456789012:function:shop-dev-tasks:v{version}");
        let example = Model {
            target: target(1),
            kind: "AWS_PROXY".into(),
            payload_format: "2.0".into(),
            timeout_millis: 30_000,
        };
        vec![
            example.clone(),
            Model {
                target: target(2),
                timeout_millis: 5_000,
                ..example
            },
        ]
    }

    async fn read(&self, reader: &Reader, id: &ResourceId, _: &Model) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(None);
        };
        let Some(integration) = chosen(&api, &id.name) else {
            return Ok(None);
        };
        Ok(Some(Observed::ours(
            model_of(integration),
            integration_outputs(api.id(), integration.integration_id()),
        )))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(Vec::new());
        };
        let found = api.integrations.iter().map(|integration| {
            let integration_id = integration.integration_id().unwrap_or_default();
            let name = match name_of(integration) {
                Some(name) if chosen(&api, name).and_then(Integration::integration_id) == Some(integration_id) => {
                    name.to_owned()
                }
                Some(name) => format!("{name}-duplicate-{integration_id}"),
                None => format!("unknown-{integration_id}"),
            };
            Discovered {
                id: ResourceId::new(SPEC.name, name),
                outputs: integration_outputs(api.id(), integration.integration_id()),
            }
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            target,
            kind,
            payload_format,
            timeout_millis,
        } = desired;
        let client = &context.clients().apigateway;
        let api_id = context.output(&crate::aws::kinds::apigateway::api::id(), "api_id")?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let description = identity(&id.name);
        context
            .call_once(
                op("apigateway", "CreateIntegration"),
                || async {
                    let made = client
                        .create_integration()
                        .api_id(&api_id)
                        .integration_type(IntegrationType::from(kind.as_str()))
                        .integration_method("POST")
                        .integration_uri(target)
                        .payload_format_version(payload_format)
                        .timeout_in_millis(*timeout_millis)
                        .description(&description)
                        .send()
                        .await?;
                    Ok(integration_outputs(&api_id, made.integration_id()))
                },
                || async {
                    let all = apigateway::state::integrations(context, &api_id).await?;
                    let made = all.iter().find(|one| one.description() == Some(description.as_str()));
                    Ok(made.map(|made| integration_outputs(&api_id, made.integration_id())))
                },
            )
            .await
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        let api_id = observed.outputs.get("api_id").cloned().unwrap_or_default();
        let integration_id = observed.outputs.get("integration_id").cloned().unwrap_or_default();
        let _turn = context.serial(format!("api/{api_id}")).await;
        put(context, &api_id, &integration_id, desired).await?;
        Ok(observed.outputs.clone())
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(api_id), Some(integration_id)) = (outputs.get("api_id"), outputs.get("integration_id")) else {
            return Ok(());
        };
        let client = &context.clients().apigateway;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let deleted = context
            .call(op("apigateway", "DeleteIntegration"), || {
                client
                    .delete_integration()
                    .api_id(api_id)
                    .integration_id(integration_id)
                    .send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Of several integrations with one identity, the one that a route uses, else the first by id.
fn chosen<'a>(api: &'a apigateway::state::ApiState, name: &str) -> Option<&'a Integration> {
    let mut named: Vec<&Integration> = api
        .integrations
        .iter()
        .filter(|one| name_of(one) == Some(name))
        .collect();
    named.sort_by_key(|one| one.integration_id().map(str::to_owned));
    let used = |one: &&Integration| {
        let target = format!("integrations/{}", one.integration_id().unwrap_or_default());
        api.routes.iter().any(|route| route.target() == Some(target.as_str()))
    };
    named.iter().copied().find(used).or(named.first().copied())
}

/// An integration's settings.
pub fn model_of(integration: &Integration) -> Model {
    Model {
        target: integration.integration_uri().unwrap_or_default().to_owned(),
        kind: integration
            .integration_type()
            .map_or("", |kind| kind.as_str())
            .to_owned(),
        payload_format: integration.payload_format_version().unwrap_or_default().to_owned(),
        timeout_millis: integration.timeout_in_millis().unwrap_or(30_000),
    }
}

fn integration_outputs(api_id: &str, integration_id: Option<&str>) -> Outputs {
    outputs([
        ("api_id", api_id.to_owned()),
        ("integration_id", integration_id.unwrap_or_default().to_owned()),
    ])
}

/// Writes an integration's settings.
pub async fn put(context: &Context, api_id: &str, integration_id: &str, desired: &Model) -> Result<(), AwsError> {
    let Model {
        target,
        kind,
        payload_format,
        timeout_millis,
    } = desired;
    let client = &context.clients().apigateway;
    context
        .call(op("apigateway", "UpdateIntegration"), || {
            client
                .update_integration()
                .api_id(api_id)
                .integration_id(integration_id)
                .integration_type(IntegrationType::from(kind.as_str()))
                .integration_method("POST")
                .integration_uri(target)
                .payload_format_version(payload_format)
                .timeout_in_millis(*timeout_millis)
                .send()
        })
        .await
        .map(drop)
}
