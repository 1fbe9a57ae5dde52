//! Who may invoke a version: the resource-based policy of its alias `v{n}`. A policy belongs to exactly one qualifier,
//! so each version has its own. Statements are added and removed one at a time, never side by side for one function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html>

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::{Context, op};
use super::error::{AwsError, Class};
use super::kind::{Fields, Found, Kind, Spec, found, gone};
use super::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct LambdaPermission;

/// The policy of one version's alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the function.
    pub function: String,
    /// Fingerprint of the version.
    pub fingerprint: String,
    /// Statements by id.
    pub statements: Statements,
}

/// A statement that allows a service to invoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Service principal, e.g. `apigateway.amazonaws.com`.
    pub principal: String,
    /// ARN pattern of the caller; [`THIS_API`] stands for every stage and route of the stack's API.
    pub source: String,
}

/// Statements by id.
pub type Statements = BTreeMap<String, Statement>;

/// Stands for the ARN pattern of the stack's own API, whose id AWS makes.
pub const THIS_API: &str = "this API";

static SPEC: Spec = Spec {
    name: "lambda_permission",
    title: "invoke permission",
    documentation: "https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html",
    read_actions: &["lambda:GetPolicy", "lambda:ListAliases"],
    write_actions: &["lambda:AddPermission", "lambda:RemovePermission"],
    delete_actions: &["lambda:RemovePermission"],
    holds_data: false,
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["function"],
    hidden: &[],
    deleted_after: &[],
    usual: Duration::from_millis(400),
};

fn api_pattern(context: &Context, api_id: &str) -> String {
    context.identity().arn("execute-api", &format!("{api_id}/*/*"))
}

#[async_trait]
impl Kind for LambdaPermission {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let api = Statement {
            principal: "apigateway.amazonaws.com".into(),
            source: THIS_API.into(),
        };
        vec![Model {
            function: "shop-dev-tasks".into(),
            fingerprint: "0123456789abcdef".into(),
            statements: BTreeMap::from([("api".to_owned(), api)]),
        }]
    }

    fn reads_by_content(&self) -> bool {
        true
    }

    fn contained_in(&self) -> Option<&'static str> {
        Some("lambda_function")
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let Some(alias) = super::lambda_version::find(reader, &desired.function, &desired.fingerprint).await? else {
            return Ok(None);
        };
        let alias = alias.name();
        let Some(statements) = reader.policy(&desired.function, &alias).await? else {
            return Ok(None);
        };
        let this_api = match reader.api().await? {
            Some(api) => api_pattern(context, api.id()),
            None => String::new(),
        };
        let statements = statements
            .into_iter()
            .map(|(sid, mut statement)| {
                if statement.source == this_api {
                    statement.source = THIS_API.to_owned();
                }
                (sid, statement)
            })
            .collect();
        Ok(Some(Observed::ours(
            Model {
                statements,
                ..desired.clone()
            },
            outputs([("function", desired.function.clone()), ("alias", alias)]),
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Found>, AwsError> {
        // A version's policy goes with the version.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let alias = context.output(&ResourceId::new("lambda_version", id.name.clone()), "alias")?;
        let _turn = context.serial(format!("lambda/{}", desired.function)).await;
        for (sid, statement) in &desired.statements {
            match add(context, &desired.function, &alias, sid, statement).await {
                Err(error) if error.class == Class::AlreadyExists => {
                    remove(context, &desired.function, &alias, sid).await?;
                    add(context, &desired.function, &alias, sid, statement).await?;
                }
                other => other?,
            }
        }
        Ok(outputs([("function", desired.function.clone()), ("alias", alias)]))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        let function = &desired.function;
        let alias = observed.outputs.get("alias").cloned().unwrap_or_default();
        let _turn = context.serial(format!("lambda/{function}")).await;
        for (sid, statement) in &observed.model.statements {
            if desired.statements.get(sid) != Some(statement) {
                remove(context, function, &alias, sid).await?;
            }
        }
        for (sid, statement) in &desired.statements {
            if observed.model.statements.get(sid) != Some(statement) {
                add(context, function, &alias, sid, statement).await?;
            }
        }
        Ok(observed.outputs.clone())
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(function), Some(alias)) = (outputs.get("function"), outputs.get("alias")) else {
            return Ok(());
        };
        let _turn = context.serial(format!("lambda/{function}")).await;
        for sid in read_policy(context, function, alias).await?.unwrap_or_default().keys() {
            remove(context, function, alias, sid).await?;
        }
        Ok(())
    }
}

async fn add(context: &Context, function: &str, alias: &str, sid: &str, statement: &Statement) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let source = if statement.source == THIS_API {
        api_pattern(context, &context.output(&ResourceId::new("http_api", "api"), "api_id")?)
    } else {
        statement.source.clone()
    };
    context
        .call(op("lambda", "AddPermission").just_made(), || {
            client
                .add_permission()
                .function_name(function)
                .qualifier(alias)
                .statement_id(sid)
                .action("lambda:InvokeFunction")
                .principal(&statement.principal)
                .source_arn(&source)
                .send()
        })
        .await
        .map(drop)
}

async fn remove(context: &Context, function: &str, alias: &str, sid: &str) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let removed = context
        .call(op("lambda", "RemovePermission"), || {
            client
                .remove_permission()
                .function_name(function)
                .qualifier(alias)
                .statement_id(sid)
                .send()
        })
        .await;
    gone(removed.map(drop))
}

/// The statements of an alias's policy; none when it has no policy or is not there.
/// Asks for the policy of an alias.
pub(super) async fn read_policy(
    context: &Context,
    function: &str,
    alias: &str,
) -> Result<Option<Statements>, AwsError> {
    let client = &context.clients().lambda;
    let answer = found(
        context
            .call(op("lambda", "GetPolicy"), || {
                client.get_policy().function_name(function).qualifier(alias).send()
            })
            .await,
    )?;
    let Some(text) = answer.and_then(|answer| answer.policy) else {
        return Ok(None);
    };
    let policy: Value = serde_json::from_str(&text).unwrap_or_default();
    let statements = policy["Statement"].as_array().into_iter().flatten().map(|statement| {
        let principal = match &statement["Principal"] {
            Value::String(text) => text.clone(),
            other => other["Service"]
                .as_str()
                .or(other["AWS"].as_str())
                .unwrap_or("?")
                .to_owned(),
        };
        let source = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
            .as_str()
            .unwrap_or("anything");
        let sid = statement["Sid"].as_str().unwrap_or_default().to_owned();
        (
            sid,
            Statement {
                principal,
                source: source.to_owned(),
            },
        )
    });
    Ok(Some(statements.collect()))
}
