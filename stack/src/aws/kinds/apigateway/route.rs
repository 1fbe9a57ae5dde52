//! Route of the HTTP API's working copy: a method and path, and the integration that answers it.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_apigatewayv2::types::{AuthorizationType, Route};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::error::gone;
use crate::aws::client::op::op;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::state::ApiState;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback, Scope};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct ApiRoute;

/// Settings of a route. Its key is its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Logical name of the integration (the function) that answers.
    pub integration: String,
    /// `NONE`.
    pub authorization: String,
}

/// Name of the kind.
pub const KIND: &str = "api_route";

static SPEC: Spec = Spec {
    name: KIND,
    title: "route",
    documentation: "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-routes.html",
    read_actions: &["apigateway:GET"],
    write_actions: &["apigateway:POST", "apigateway:PATCH"],
    delete_actions: &["apigateway:DELETE"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::DeleteFirst,
    deleted_after: &[(apigateway::api::KIND, Scope::Any)],
    usual: Duration::from_millis(300),
    contained_in: Some(apigateway::api::KIND),
    deleted_before: &[apigateway::deployment::KIND],
    reach: Reach::ApiChanges,
    reaches: &[("apigateway:DELETE", Reach::ApiRemovals)],
    ..Spec::of(&apigateway::SERVICE)
};

#[async_trait]
impl Kind for ApiRoute {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![Model {
            integration: "tasks".into(),
            authorization: "NONE".into(),
        }]
    }

    async fn read(&self, reader: &Reader, id: &ResourceId, _: &Model) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(None);
        };
        let Some(route) = api
            .routes
            .iter()
            .find(|route| route.route_key() == Some(id.name.as_str()))
        else {
            return Ok(None);
        };
        let model = Model {
            integration: integration_of(&api, route),
            authorization: route
                .authorization_type()
                .map_or("NONE", AuthorizationType::as_str)
                .to_owned(),
        };
        Ok(Some(Observed::ours(model, route_outputs(api.id(), route))))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let Some(api) = reader.api().await? else {
            return Ok(Vec::new());
        };
        let found = api.routes.iter().map(|route| {
            let key = route.route_key().unwrap_or_default();
            let mut outputs = route_outputs(api.id(), route);
            outputs.extend(stages_with_settings(&api, key).map(|stages| (SETTINGS.to_owned(), stages)));
            Discovered {
                id: ResourceId::new(SPEC.name, key),
                outputs,
            }
        });
        Ok(found.collect())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let client = &context.clients().apigateway;
        let api_id = context.output(&crate::aws::kinds::apigateway::api::id(), "api_id")?;
        let target = target(context, desired)?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let made = context
            .call(op("apigateway", "CreateRoute"), || {
                client
                    .create_route()
                    .api_id(&api_id)
                    .route_key(&id.name)
                    .target(&target)
                    .authorization_type(AuthorizationType::from(desired.authorization.as_str()))
                    .send()
            })
            .await?;
        Ok(outputs([
            ("api_id", api_id),
            ("route_id", made.route_id.unwrap_or_default()),
        ]))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        let client = &context.clients().apigateway;
        let api_id = observed.outputs.get("api_id").cloned().unwrap_or_default();
        let route_id = observed.outputs.get("route_id").cloned().unwrap_or_default();
        let target = target(context, desired)?;
        let _turn = context.serial(format!("api/{api_id}")).await;
        context
            .call(op("apigateway", "UpdateRoute"), || {
                client
                    .update_route()
                    .api_id(&api_id)
                    .route_id(&route_id)
                    .target(&target)
                    .authorization_type(AuthorizationType::from(desired.authorization.as_str()))
                    .authorizer_id("")
                    .send()
            })
            .await?;
        Ok(observed.outputs.clone())
    }

    /// Its settings go first: they would outlive it, and AWS refuses every change of a stage that has settings of a route that is
    /// gone.
    async fn delete(&self, context: &Context, id: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(api_id), Some(route_id)) = (outputs.get("api_id"), outputs.get("route_id")) else {
            return Ok(());
        };
        let client = &context.clients().apigateway;
        let _turn = context.serial(format!("api/{api_id}")).await;
        let stages = outputs.get(SETTINGS).map(String::as_str).unwrap_or_default();
        for stage in stages.split_whitespace() {
            apigateway::stage::drop_route_settings(context, api_id, stage, &id.name).await?;
        }
        let deleted = context
            .call(op("apigateway", "DeleteRoute"), || {
                client.delete_route().api_id(api_id).route_id(route_id).send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

fn target(context: &Context, desired: &Model) -> Result<String, AwsError> {
    let integration = ResourceId::new(apigateway::integration::KIND, desired.integration.clone());
    Ok(format!(
        "integrations/{}",
        context.output(&integration, "integration_id")?
    ))
}

/// The logical name of the integration a route points at, or the raw target when it is not ours.
fn integration_of(api: &ApiState, route: &Route) -> String {
    let target = route.target().unwrap_or("nothing");
    let id = target.strip_prefix("integrations/").unwrap_or(target);
    api.integrations
        .iter()
        .find(|one| one.integration_id() == Some(id))
        .and_then(apigateway::integration::name_of)
        .unwrap_or(target)
        .to_owned()
}

fn route_outputs(api_id: &str, route: &Route) -> Outputs {
    outputs([
        ("api_id", api_id.to_owned()),
        ("route_id", route.route_id().unwrap_or_default().to_owned()),
    ])
}

/// Output with the stages that have settings of a route, parted by spaces.
const SETTINGS: &str = "settings";

/// The stages that have settings of a route; none when none has.
fn stages_with_settings(api: &ApiState, key: &str) -> Option<String> {
    let stages = api.stages.iter();
    let with = stages.filter(|stage| {
        stage
            .route_settings()
            .is_some_and(|settings| settings.contains_key(key))
    });
    let names: Vec<&str> = with.filter_map(|stage| stage.stage_name()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_sdk_apigatewayv2::types::{RouteSettings, Stage};
    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;

    #[test]
    fn stages_that_have_settings_of_a_route_are_known() {
        let stage = |name: &str, key: &str| {
            let settings = RouteSettings::builder().throttling_burst_limit(5).build();
            Stage::builder().stage_name(name).route_settings(key, settings).build()
        };
        let api = ApiState {
            api: aws_sdk_apigatewayv2::types::Api::builder().api_id("a1").build(),
            routes: Vec::new(),
            integrations: Vec::new(),
            stages: vec![
                stage("$default", "GET /a"),
                stage("preview", "GET /a"),
                stage("own", "GET /b"),
            ],
            deployments: Vec::new(),
            duplicates: Vec::new(),
        };
        let with = |key: &str| stages_with_settings(&api, key);
        assert_eq!(with("GET /a").as_deref(), Some("$default preview"));
        assert_eq!(with("GET /c"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn settings_of_a_route_go_before_it() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&made);
        let clients = fake::clients("eu-central-1", move |call| {
            seen.lock().push(call.operation);
            (204, Vec::new())
        });
        let context = context_over(identity(), clients);
        let outputs = outputs([
            ("api_id", "a1".to_owned()),
            ("route_id", "r1".to_owned()),
            (SETTINGS, "$default preview".to_owned()),
        ]);
        let id = ResourceId::new(KIND, "GET /a");
        assert_eq!(ApiRoute.delete(&context, &id, &outputs).await, Ok(()));
        assert_eq!(
            made.lock().as_slice(),
            [
                "DELETE /v2/apis/a1/stages/%24default/routesettings/GET%20%2Fa",
                "DELETE /v2/apis/a1/stages/preview/routesettings/GET%20%2Fa",
                "DELETE /v2/apis/a1/routes/r1"
            ]
        );
    }
}
