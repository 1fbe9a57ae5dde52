//! One stack's HTTP API as AWS has it: the working copy (routes, integrations), the deployments (releases) and the
//! slots. Read once per run and shared by the `api_*` kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_apigatewayv2::types::{Api, AuthorizationType, Deployment, Integration, Route, Stage};
use tokio::sync::OnceCell;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::aws::read::reader::{Reader, ownership};
use crate::release::label::ReleaseLabel;
use crate::resource::Ownership;

/// An API and everything in it.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// The API.
    pub api: Api,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Its integrations.
    pub integrations: Vec<Integration>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Its deployments.
    pub deployments: Vec<Deployment>,
    /// Other APIs with our tags, left over from a create whose answer was lost.
    pub duplicates: Vec<String>,
}

/// The API that a reader has read.
#[derive(Default)]
struct ReadApi(OnceCell<Option<Arc<ApiState>>>);

impl Reader {
    /// The stack's HTTP API with everything in it.
    pub async fn api(&self) -> Result<Option<Arc<ApiState>>, AwsError> {
        let api = self.extension::<ReadApi>();
        let read = async || Ok::<_, AwsError>(Box::pin(ApiState::read(self.context())).await?.map(Arc::new));
        api.0.get_or_try_init(read).await.cloned()
    }
}

impl ApiState {
    /// Finds the stack's API by its tags and reads it.
    pub async fn read(context: &Context) -> Result<Option<Self>, AwsError> {
        Self::read_found(context, find(context).await?).await
    }

    /// Reads the stack's API of those that [`find`] has found.
    pub async fn read_found(context: &Context, mut ours: Vec<Api>) -> Result<Option<Self>, AwsError> {
        if ours.is_empty() {
            return Ok(None);
        }
        let api = if ours.len() == 1 {
            ours.remove(0)
        } else {
            in_use(context, &mut ours).await?
        };
        let duplicates = ours.iter().filter_map(|api| api.api_id.clone()).collect();
        let id = api.api_id().unwrap_or_default().to_owned();
        let (routes, integrations, stages, deployments) = futures::try_join!(
            routes(context, &id),
            integrations(context, &id),
            stages(context, &id),
            deployments(context, &id)
        )?;
        Ok(Some(Self {
            api,
            routes,
            integrations,
            stages,
            deployments,
            duplicates,
        }))
    }

    /// The API's id.
    pub fn id(&self) -> &str {
        self.api.api_id().unwrap_or_default()
    }

    /// How many of its routes anyone may call.
    pub fn open_routes(&self) -> usize {
        let is_open = |route: &&Route| matches!(route.authorization_type(), None | Some(AuthorizationType::None));
        self.routes.iter().filter(is_open).count()
    }

    /// A slot by its stage name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.stage_name() == Some(name))
    }

    /// The release a deployment is, read from its description; none when it is not ours.
    pub fn release_of(&self, deployment: &str) -> Option<ReleaseLabel> {
        let deployment = self
            .deployments
            .iter()
            .find(|one| one.deployment_id() == Some(deployment))?;
        ReleaseLabel::parse(deployment.description().unwrap_or_default())
    }

    /// Releases by number, with their deployment ids. Of two deployments for one release the newer counts.
    pub fn releases(&self) -> BTreeMap<u64, (ReleaseLabel, String)> {
        let mut sorted: Vec<&Deployment> = self.deployments.iter().collect();
        sorted.sort_by_key(|deployment| deployment.created_date().map(|date| (date.secs(), date.subsec_nanos())));
        sorted
            .into_iter()
            .filter_map(|deployment| {
                let label = ReleaseLabel::parse(deployment.description().unwrap_or_default())?;
                Some((label.number, (label, deployment.deployment_id()?.to_owned())))
            })
            .collect()
    }
}

/// All APIs that carry this stack's tags.
pub async fn find(context: &Context) -> Result<Vec<Api>, AwsError> {
    let client = &context.clients().apigateway;
    let items = context.pages(|token| async move {
        let page = context
            .call(op("apigateway", "GetApis"), || {
                client
                    .get_apis()
                    .max_results("500")
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.items.unwrap_or_default(), page.next_token))
    });
    let is_ours = |api: &Api| {
        let tags: Tags = api
            .tags()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        matches!(ownership(context, &managed(tags)), Ownership::Ours)
    };
    Ok(items.await?.into_iter().filter(is_ours).collect())
}

/// Of several APIs with our tags, the one that has a live stage, else the oldest. The rest stays in `candidates`.
async fn in_use(context: &Context, candidates: &mut Vec<Api>) -> Result<Api, AwsError> {
    candidates.sort_by_key(|api| {
        (
            api.created_date().map(|date| (date.secs(), date.subsec_nanos())),
            api.api_id.clone(),
        )
    });
    let mut chosen = 0;
    for (index, api) in candidates.iter().enumerate() {
        let stages = stages(context, api.api_id().unwrap_or_default()).await?;
        if stages.iter().any(|stage| stage.deployment_id().is_some()) {
            chosen = index;
            break;
        }
    }
    Ok(candidates.remove(chosen))
}

/// All routes of an API.
pub async fn routes(context: &Context, api: &str) -> Result<Vec<Route>, AwsError> {
    let client = &context.clients().apigateway;
    let items = context.pages(|token| async move {
        let page = context
            .call(op("apigateway", "GetRoutes"), || {
                client
                    .get_routes()
                    .api_id(api)
                    .max_results("500")
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.items.unwrap_or_default(), page.next_token))
    });
    items.await
}

/// All integrations of an API.
pub async fn integrations(context: &Context, api: &str) -> Result<Vec<Integration>, AwsError> {
    let client = &context.clients().apigateway;
    let items = context.pages(|token| async move {
        let page = context
            .call(op("apigateway", "GetIntegrations"), || {
                client
                    .get_integrations()
                    .api_id(api)
                    .max_results("500")
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.items.unwrap_or_default(), page.next_token))
    });
    items.await
}

async fn stages(context: &Context, api: &str) -> Result<Vec<Stage>, AwsError> {
    let client = &context.clients().apigateway;
    let items = context.pages(|token| async move {
        let page = context
            .call(op("apigateway", "GetStages"), || {
                let stages = client.get_stages().api_id(api).max_results("100");
                stages.set_next_token(token.clone()).send()
            })
            .await?;
        Ok((page.items.unwrap_or_default(), page.next_token))
    });
    items.await
}

/// All deployments of an API.
pub async fn deployments(context: &Context, api: &str) -> Result<Vec<Deployment>, AwsError> {
    let client = &context.clients().apigateway;
    let items = context.pages(|token| async move {
        let page = context
            .call(op("apigateway", "GetDeployments"), || {
                client
                    .get_deployments()
                    .api_id(api)
                    .max_results("500")
                    .set_next_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.items.unwrap_or_default(), page.next_token))
    });
    items.await
}
