//! Deployment of the HTTP API: an immutable snapshot of routes and integrations, hence of the exact function versions
//! behind them – a release. Its Description is the release's label.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_apigatewayv2::types::DeploymentStatus;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::gone;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::release::label::{Callers, PLAIN, ReleaseLabel};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct ApiDeployment;

/// A release that should exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Release number.
    pub release: u64,
    /// Fingerprint of everything in the snapshot.
    pub fingerprint: String,
    /// Functions in it, by logical name, with the version expected when it was planned.
    pub versions: BTreeMap<String, String>,
    /// Those of them that something else than routes calls.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, Callers>,
    /// Commit of the code.
    pub commit: Option<String>,
    /// Content of each web site, by bucket.
    pub sites: BTreeMap<String, String>,
    /// Hash of what the functions' roles allow.
    pub grants: String,
}

impl Model {
    /// The label with the versions that were really made.
    fn label(&self, versions: BTreeMap<String, String>) -> ReleaseLabel {
        let Self {
            release,
            fingerprint,
            versions: _,
            callers,
            commit,
            sites,
            grants,
        } = self.clone();
        ReleaseLabel {
            number: release,
            fingerprint,
            versions,
            callers,
            commit,
            sites,
            format: PLAIN,
            grants: Some(grants),
        }
        .fitting()
    }

    /// Characters of the label, by the versions that are expected.
    pub fn label_length(&self) -> usize {
        self.label(self.versions.clone()).length()
    }
}

/// Name of the kind.
pub const KIND: &str = "api_deployment";

static SPEC: Spec = Spec {
    name: KIND,
    title: "release",
    documentation: "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html",
    read_actions: &["apigateway:GET"],
    write_actions: &["apigateway:POST"],
    delete_actions: &["apigateway:DELETE"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    // A hash over the function's variables, too: in a plan it would let its readers try guesses.
    hidden: &["fingerprint"],
    usual: Duration::from_millis(800),
    reads_by_content: true,
    contained_in: Some(apigateway::api::KIND),
    reach: Reach::ApiChanges,
    reaches: &[("apigateway:DELETE", Reach::ApiRemovals)],
    ..Spec::of(&apigateway::SERVICE)
};

/// Identity of the release that a deploy makes or keeps.
pub fn id() -> ResourceId {
    ResourceId::new(SPEC.name, "release")
}

#[async_trait]
impl Kind for ApiDeployment {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![Model {
            release: 1,
            fingerprint: "0123456789abcdef".into(),
            versions: BTreeMap::from([("tasks".to_owned(), "1".to_owned())]),
            callers: BTreeMap::new(),
            commit: Some("1a2b3c4d".into()),
            sites: BTreeMap::new(),
            grants: "0123456789abcdef0123456789abcdef".into(),
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(None);
        };
        let releases = api.releases();
        let Some((label, deployment_id)) = releases.get(&desired.release) else {
            return Ok(None);
        };
        if label.fingerprint != desired.fingerprint {
            return Ok(None);
        }
        Ok(Some(Observed::ours(
            desired.clone(),
            deployment_outputs(label.number, deployment_id),
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // Earlier releases stay until pruned.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model { release, versions, .. } = desired;
        let api_id = context.output(&crate::aws::kinds::apigateway::api::id(), "api_id")?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let published = |(function, expected): (&String, &String)| {
            let version = lambda::version::published_here(context, function, expected);
            (function.clone(), version)
        };
        let actual: BTreeMap<String, String> = versions.iter().map(published).collect();
        if actual != *versions {
            point_integrations(context, &api_id).await?;
        }
        let label = desired.label(actual);
        let (deployment_id, is_deployed) = deploy(context, &api_id, &label.to_string()).await?;
        if !is_deployed {
            settle(context, &api_id, &deployment_id).await?;
        }
        Ok(deployment_outputs(*release, &deployment_id))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        _: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        // A deployment is immutable; reading answers only for an equal one.
        self.create(context, id, desired).await
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(api_id), Some(deployment_id)) = (outputs.get("api_id"), outputs.get("deployment_id")) else {
            return Ok(());
        };
        let client = &context.clients().apigateway;
        let deleted = context
            .call(op("apigateway", "DeleteDeployment"), || {
                client
                    .delete_deployment()
                    .api_id(api_id)
                    .deployment_id(deployment_id)
                    .send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Makes a deployment: its id, and whether it is deployed already.
async fn deploy(context: &Context, api_id: &str, description: &str) -> Result<(String, bool), AwsError> {
    let client = &context.clients().apigateway;
    context
        .call_once(
            op("apigateway", "CreateDeployment"),
            || async {
                let made = client
                    .create_deployment()
                    .api_id(api_id)
                    .description(description)
                    .send()
                    .await?;
                let is_deployed = made.deployment_status() == Some(&DeploymentStatus::Deployed);
                Ok((made.deployment_id.unwrap_or_default(), is_deployed))
            },
            || async {
                let all = apigateway::state::deployments(context, api_id).await?;
                let made = all.iter().find(|one| one.description() == Some(description));
                let id = made.and_then(|made| made.deployment_id());
                Ok(id.map(|id| (id.to_owned(), false)))
            },
        )
        .await
}

/// Waits until a deployment is deployed.
async fn settle(context: &Context, api_id: &str, deployment_id: &str) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    context
        .poll("deployment", Duration::from_secs(300), || async {
            let answer = context
                .call(op("apigateway", "GetDeployment").just_made(), || {
                    client
                        .get_deployment()
                        .api_id(api_id)
                        .deployment_id(deployment_id)
                        .send()
                })
                .await?;
            match answer.deployment_status() {
                Some(DeploymentStatus::Deployed) => Ok(Some(())),
                Some(DeploymentStatus::Failed) => Err(AwsError::own(
                    "apigateway",
                    "CreateDeployment",
                    ErrorKind::Invalid,
                    answer
                        .deployment_status_message()
                        .unwrap_or("the deployment failed")
                        .to_owned(),
                )),
                Some(_) | None => Ok(None),
            }
        })
        .await
}

fn deployment_outputs(release: u64, deployment_id: &str) -> Outputs {
    outputs([
        ("release", release.to_string()),
        ("deployment_id", deployment_id.to_owned()),
    ])
}

/// A version got another number than planned: points the integrations at what was really published.
async fn point_integrations(context: &Context, api_id: &str) -> Result<(), AwsError> {
    for integration in apigateway::state::integrations(context, api_id).await? {
        let Some(name) = apigateway::integration::name_of(&integration) else {
            continue;
        };
        let version = context.outputs(&ResourceId::new(lambda::version::KIND, name));
        let Some(alias_arn) = version.get("alias_arn") else {
            continue;
        };
        let mut model = apigateway::integration::model_of(&integration);
        if model.target != *alias_arn {
            model.target.clone_from(alias_arn);
            apigateway::integration::put(
                context,
                api_id,
                integration.integration_id().unwrap_or_default(),
                &model,
            )
            .await?;
        }
    }
    Ok(())
}
