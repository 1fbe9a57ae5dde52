//! HTTP API: the API object itself with its CORS settings and tags. Its id is made by AWS and its name need not be
//! unique, so it is found by its tags before it is ever made.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_apigatewayv2::types::{Cors, ProtocolType};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::gone;
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags, managed};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct HttpApi;

/// Settings of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 1–128 characters.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// CORS; none = off.
    pub cors: Option<CorsModel>,
    /// Whether the `execute-api` endpoint answers.
    pub endpoint_enabled: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// CORS settings. Header names and methods are compared without regard to case and order, as AWS keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsModel {
    /// Origins, sorted.
    pub allow_origins: Vec<String>,
    /// Methods, upper case, sorted.
    pub allow_methods: Vec<String>,
    /// Request headers, lower case, sorted.
    pub allow_headers: Vec<String>,
    /// Response headers, lower case, sorted.
    pub expose_headers: Vec<String>,
    /// Seconds.
    pub max_age_seconds: i32,
    /// Credentials.
    pub allow_credentials: bool,
}

impl CorsModel {
    /// Brings lists into the form in which they are compared.
    pub fn normalised(mut self) -> Self {
        let tidy = |list: &mut Vec<String>, case: fn(&str) -> String| {
            for item in list.iter_mut() {
                *item = case(item);
            }
            list.sort();
            list.dedup();
        };
        tidy(&mut self.allow_origins, str::to_lowercase);
        tidy(&mut self.allow_methods, str::to_uppercase);
        tidy(&mut self.allow_headers, str::to_lowercase);
        tidy(&mut self.expose_headers, str::to_lowercase);
        self
    }

    fn to_sdk(&self) -> Cors {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
        Cors::builder()
            .set_allow_origins(list(&self.allow_origins))
            .set_allow_methods(list(&self.allow_methods))
            .set_allow_headers(list(&self.allow_headers))
            .set_expose_headers(list(&self.expose_headers))
            .max_age(self.max_age_seconds)
            .allow_credentials(self.allow_credentials)
            .build()
    }

    fn from_sdk(cors: &Cors) -> Self {
        Self {
            allow_origins: cors.allow_origins().to_vec(),
            allow_methods: cors.allow_methods().to_vec(),
            allow_headers: cors.allow_headers().to_vec(),
            expose_headers: cors.expose_headers().to_vec(),
            max_age_seconds: cors.max_age().unwrap_or(0),
            allow_credentials: cors.allow_credentials().unwrap_or(false),
        }
        .normalised()
    }
}

/// Name of the kind.
pub const KIND: &str = "http_api";

static SPEC: Spec = Spec {
    name: KIND,
    title: "HTTP API",
    documentation: "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html",
    read_actions: &["apigateway:GET"],
    write_actions: &[
        "apigateway:POST",
        "apigateway:PATCH",
        "apigateway:DELETE",
        "apigateway:TagResource",
        "apigateway:UntagResource",
        // By API Gateway, with the first API of an account.
        "iam:CreateServiceLinkedRole",
    ],
    delete_actions: &["apigateway:DELETE"],
    rollback: Rollback::Immediate,
    replacement: Replacement::DeleteFirst,
    usual: Duration::from_millis(400),
    reach: Reach::ApiChanges,
    reaches: &[
        ("apigateway:DELETE", Reach::ApiRemovals),
        ("apigateway:UntagResource", Reach::ApiRemovals),
        ("iam:CreateServiceLinkedRole", Reach::ServiceRole),
    ],
    ..Spec::of(&apigateway::SERVICE)
};

/// Logical name of the stack's API.
pub const NAME: &str = "api";

/// Identity of the stack's API.
pub fn id() -> ResourceId {
    ResourceId::new(SPEC.name, NAME)
}

fn arn(context: &Context, api_id: &str) -> String {
    let identity = context.identity();
    format!(
        "arn:{}:apigateway:{}::/apis/{api_id}",
        identity.partition, identity.region
    )
}

/// Where an API's live slot answers.
pub fn endpoint(state: &crate::aws::kinds::apigateway::state::ApiState) -> String {
    let endpoint = state.api.api_endpoint().unwrap_or_default();
    endpoint.trim_end_matches('/').to_owned()
}

fn api_outputs(context: &Context, api_id: &str, endpoint: &str) -> Outputs {
    outputs([
        ("api_id", api_id.to_owned()),
        ("endpoint", endpoint.trim_end_matches('/').to_owned()),
        ("arn", arn(context, api_id)),
    ])
}

#[async_trait]
impl Kind for HttpApi {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let tags = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let cors = CorsModel {
            allow_origins: vec!["http://localhost:1580".into()],
            allow_methods: vec!["GET".into(), "POST".into()],
            allow_headers: vec!["content-type".into()],
            expose_headers: vec!["etag".into()],
            max_age_seconds: 300,
            allow_credentials: false,
        };
        vec![
            Model {
                name: "shop-dev".into(),
                description: None,
                cors: None,
                endpoint_enabled: true,
                tags: tags.clone(),
            },
            Model {
                name: "shop-dev".into(),
                description: Some("Tasks".into()),
                cors: Some(cors),
                endpoint_enabled: true,
                tags,
            },
        ]
    }

    async fn read(&self, reader: &Reader, _: &ResourceId, _: &Model) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(state) = reader.api().await? else {
            return Ok(None);
        };
        let api = &state.api;
        let model = Model {
            name: api.name().unwrap_or_default().to_owned(),
            description: api.description().filter(|text| !text.is_empty()).map(str::to_owned),
            cors: api.cors_configuration().map(CorsModel::from_sdk),
            endpoint_enabled: !api.disable_execute_api_endpoint().unwrap_or(false),
            tags: managed(
                api.tags()
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
            ),
        };
        let outputs = api_outputs(reader.context(), state.id(), api.api_endpoint().unwrap_or_default());
        Ok(Some(Observed::ours(model, outputs)))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let Some(state) = reader.api().await? else {
            return Ok(Vec::new());
        };
        let duplicates = state.duplicates.iter().map(|api_id| Discovered {
            id: ResourceId::new(SPEC.name, format!("duplicate-{api_id}")),
            outputs: outputs([("api_id", api_id.clone())]),
        });
        let main = Discovered {
            id: id(),
            outputs: outputs([("api_id", state.id().to_owned())]),
        };
        Ok(std::iter::once(main).chain(duplicates).collect())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            name,
            description,
            cors,
            endpoint_enabled,
            tags,
        } = desired;
        let client = &context.clients().apigateway;
        // CreateApi has no token.
        context
            .call_once(
                op("apigateway", "CreateApi"),
                || async {
                    let api = client
                        .create_api()
                        .name(name)
                        .protocol_type(ProtocolType::Http)
                        .set_description(description.clone())
                        .set_cors_configuration(cors.as_ref().map(CorsModel::to_sdk))
                        .disable_execute_api_endpoint(!endpoint_enabled)
                        .set_tags(Some(tags.clone().into_iter().collect()))
                        .send()
                        .await?;
                    let api_id = api.api_id().unwrap_or_default();
                    Ok(api_outputs(context, api_id, api.api_endpoint().unwrap_or_default()))
                },
                || async {
                    let api = look(context).await?;
                    Ok(api.map(|api| {
                        let api_id = api.api_id().unwrap_or_default();
                        api_outputs(context, api_id, api.api_endpoint().unwrap_or_default())
                    }))
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
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let Model {
            name,
            description,
            cors,
            endpoint_enabled,
            tags,
        } = desired;
        let client = &context.clients().apigateway;
        let api_id = observed.outputs.get("api_id").cloned().unwrap_or_default();
        let _turn = context.serial(format!("api/{api_id}")).await;
        if changes.touch("cors") && cors.is_none() {
            let deleted = context
                .call(op("apigateway", "DeleteCorsConfiguration"), || {
                    client.delete_cors_configuration().api_id(&api_id).send()
                })
                .await;
            gone(deleted.map(drop))?;
        }
        if changes.touch_any(&["name", "description", "endpoint_enabled"]) || (changes.touch("cors") && cors.is_some())
        {
            context
                .call(op("apigateway", "UpdateApi"), || {
                    client
                        .update_api()
                        .api_id(&api_id)
                        .name(name)
                        .description(description.clone().unwrap_or_default())
                        .set_cors_configuration(cors.as_ref().map(CorsModel::to_sdk))
                        .disable_execute_api_endpoint(!endpoint_enabled)
                        .send()
                })
                .await?;
        }
        if changes.touch("tags") {
            retag(context, &arn(context, &api_id), &observed.model.tags, tags).await?;
        }
        Ok(observed.outputs.clone())
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(api_id) = outputs.get("api_id") else {
            return Ok(());
        };
        let client = &context.clients().apigateway;
        let deleted = context
            .call(op("apigateway", "DeleteApi"), || {
                client.delete_api().api_id(api_id).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Looks for an API that a create may have made, a few times because listings lag.
async fn look(context: &Context) -> Result<Option<aws_sdk_apigatewayv2::types::Api>, AwsError> {
    let looked = std::sync::atomic::AtomicU32::new(0);
    context
        .poll("API that may have been made", Duration::from_secs(60), || async {
            let found = apigateway::state::find(context).await?.into_iter().next();
            let times = looked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(if found.is_some() || times >= 3 {
                Some(found)
            } else {
                None
            })
        })
        .await
}

/// Brings the tags of an API Gateway resource to what is desired.
pub(in crate::aws) async fn retag(
    context: &Context,
    arn: &str,
    observed: &Tags,
    desired: &Tags,
) -> Result<(), AwsError> {
    let client = &context.clients().apigateway;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        context
            .call(op("apigateway", "TagResource"), || {
                client
                    .tag_resource()
                    .resource_arn(arn)
                    .set_tags(Some(set.clone().into_iter().collect()))
                    .send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("apigateway", "UntagResource"), || {
                client
                    .untag_resource()
                    .resource_arn(arn)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    Ok(())
}
