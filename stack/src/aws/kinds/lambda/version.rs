//! Published version of a function, with its alias `v{n}`. Versions are immutable; the alias exists so that each version
//! can have its own invoke permission and, during a canary, its own weights. The alias's description carries the
//! fingerprint of what the version contains: that is how a version is found again without asking for each.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::types::{AliasConfiguration, AliasRoutingConfiguration};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::op;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::{Cells, Reader};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct LambdaVersion;

/// A version that should exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the function.
    pub function: String,
    /// Fingerprint of code and configuration.
    pub fingerprint: String,
    /// Where the alias sends requests: `own version`, unless somebody moved it.
    pub routing: String,
}

/// Routing of an alias that names its own version and nothing else.
pub const OWN_VERSION: &str = "own version";

/// Name of the kind.
pub const KIND: &str = "lambda_version";

static SPEC: Spec = Spec {
    name: KIND,
    title: "function version",
    documentation: "https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html",
    read_actions: &["lambda:ListAliases"],
    write_actions: &["lambda:PublishVersion", "lambda:CreateAlias", "lambda:UpdateAlias"],
    delete_actions: &["lambda:DeleteAlias", "lambda:DeleteFunction"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["function"],
    // A hash over the function's variables, too: in a plan it would let its readers try guesses.
    hidden: &["fingerprint"],
    usual: Duration::from_millis(600),
    reads_by_content: true,
    contained_in: Some(lambda::function::KIND),
    reach: Reach::Functions,
    ..Spec::of(&lambda::SERVICE)
};

/// An alias that taskctl made for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionAlias {
    /// Version number.
    pub version: u64,
    /// Fingerprint of what the version contains.
    pub fingerprint: String,
    /// `own version`, or where it was moved.
    pub routing: String,
}

impl VersionAlias {
    /// Reads an alias; none when it is not one of ours.
    pub fn parse(alias: &AliasConfiguration) -> Option<Self> {
        let version: u64 = alias.name()?.strip_prefix('v')?.parse().ok()?;
        let fingerprint = alias.description()?.strip_prefix("taskctl ")?.to_owned();
        let target = alias.function_version().unwrap_or_default();
        let mut weights: Vec<String> = alias
            .routing_config()
            .and_then(|routing| routing.additional_version_weights())
            .into_iter()
            .flatten()
            .map(|(version, weight)| format!("{:.0}% to {version}", weight * 100.0))
            .collect();
        weights.sort();
        let routing = if target == version.to_string() && weights.is_empty() {
            OWN_VERSION.to_owned()
        } else {
            std::iter::once(format!("version {target}"))
                .chain(weights)
                .collect::<Vec<_>>()
                .join(", ")
        };
        Some(Self {
            version,
            fingerprint,
            routing,
        })
    }

    /// `v{n}`.
    pub fn name(&self) -> String {
        format!("v{}", self.version)
    }
}

/// The newest alias with this fingerprint.
pub async fn find(reader: &Reader, function: &str, fingerprint: &str) -> Result<Option<VersionAlias>, AwsError> {
    let aliases = reader.aliases(function).await?;
    Ok(aliases
        .iter()
        .filter_map(VersionAlias::parse)
        .filter(|alias| alias.fingerprint == fingerprint)
        .max_by_key(|alias| alias.version))
}

#[async_trait]
impl Kind for LambdaVersion {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![Model {
            function: "shop-dev-tasks".into(),
            fingerprint: "0123456789abcdef".into(),
            routing: OWN_VERSION.into(),
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(alias) = find(reader, &desired.function, &desired.fingerprint).await? else {
            return Ok(None);
        };
        let outputs = version_outputs(reader.context(), &desired.function, alias.version);
        Ok(Some(Observed::ours(
            Model {
                routing: alias.routing,
                ..desired.clone()
            },
            outputs,
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // Versions of earlier releases stay until pruned; they go with their function.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, id: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let Model {
            function,
            fingerprint,
            routing: _,
        } = desired;
        let client = &context.clients().lambda;
        let _turn = context.serial(format!("lambda/{function}")).await;
        let working_copy = context.outputs(&ResourceId::new(lambda::function::KIND, id.name.clone()));
        let version = match working_copy.get("published") {
            Some(version) => version.clone(),
            None => {
                let published = context
                    .call(op("lambda", "PublishVersion"), || {
                        client
                            .publish_version()
                            .function_name(function)
                            .description(format!("taskctl {fingerprint}"))
                            .send()
                    })
                    .await?;
                published.version.unwrap_or_default()
            }
        };
        let number: u64 = version.parse().map_err(|_| {
            AwsError::own(
                "lambda",
                "PublishVersion",
                ErrorKind::Invalid,
                format!("{function} was published as {version}, which is no version number"),
            )
        })?;
        let alias = format!("v{number}");
        if working_copy.get("published_alias") != Some(&alias) {
            match create_alias(context, function, &version, fingerprint).await {
                Err(error) if error.kind == ErrorKind::AlreadyExists => {
                    point(context, function, number, &format!("taskctl {fingerprint}")).await?;
                }
                other => other?,
            }
        }
        Ok(version_outputs(context, function, number))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        observed: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        let Model {
            function,
            fingerprint,
            routing: _,
        } = desired;
        let version: u64 = observed
            .outputs
            .get("version")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let _turn = context.serial(format!("lambda/{function}")).await;
        point(context, function, version, &format!("taskctl {fingerprint}")).await?;
        Ok(version_outputs(context, function, version))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(function), Some(version)) = (outputs.get("function"), outputs.get("version")) else {
            return Ok(());
        };
        let client = &context.clients().lambda;
        let _turn = context.serial(format!("lambda/{function}")).await;
        let alias = format!("v{version}");
        let deleted = context
            .call(op("lambda", "DeleteAlias"), || {
                client.delete_alias().function_name(function).name(&alias).send()
            })
            .await;
        gone(deleted.map(drop))?;
        let deleted = context
            .call(op("lambda", "DeleteFunction"), || {
                client
                    .delete_function()
                    .function_name(function)
                    .qualifier(version)
                    .send()
            })
            .await;
        gone(deleted.map(drop))
    }
}

/// Whether a version of this content is there: a template that goes back to what it was needs no other one.
pub(super) async fn is_published(context: &Context, function: &str, fingerprint: &str) -> Result<bool, AwsError> {
    let aliases = list_aliases(context, function).await?;
    let mut versions = aliases.iter().filter_map(VersionAlias::parse);
    Ok(versions.any(|version| version.fingerprint == fingerprint))
}

async fn create_alias(context: &Context, function: &str, version: &str, fingerprint: &str) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let (alias, description) = (format!("v{version}"), format!("taskctl {fingerprint}"));
    context
        .call(op("lambda", "CreateAlias").just_made(), || {
            client
                .create_alias()
                .function_name(function)
                .name(&alias)
                .function_version(version)
                .description(&description)
                .send()
        })
        .await
        .map(drop)
}

/// Gives a version its alias while its function still changes; none when that does not work yet.
pub async fn name_early(context: &Context, function: &str, version: &str, fingerprint: &str) -> Option<String> {
    let made = create_alias(context, function, version, fingerprint).await;
    made.is_ok().then(|| format!("v{version}"))
}

/// Points an alias at its own version and clears its weights.
async fn point(context: &Context, function: &str, version: u64, description: &str) -> Result<(), AwsError> {
    let client = &context.clients().lambda;
    let alias = format!("v{version}");
    context
        .call(op("lambda", "UpdateAlias"), || {
            client
                .update_alias()
                .function_name(function)
                .name(&alias)
                .function_version(version.to_string())
                .description(description)
                .routing_config(
                    AliasRoutingConfiguration::builder()
                        .set_additional_version_weights(Some(Default::default()))
                        .build(),
                )
                .send()
        })
        .await
        .map(drop)
}

fn version_outputs(context: &Context, function: &str, version: u64) -> Outputs {
    outputs([
        ("function", function.to_owned()),
        ("version", version.to_string()),
        ("alias", format!("v{version}")),
        (
            "alias_arn",
            format!(
                "{}:v{version}",
                crate::aws::kinds::lambda::function::arn(context, function)
            ),
        ),
    ])
}

/// Numbers of all published versions of a function; none when it does not exist.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListVersionsByFunction.html>
pub async fn published(context: &Context, function: &str) -> Result<Vec<String>, AwsError> {
    let client = &context.clients().lambda;
    let versions = context.pages(|marker| async move {
        let page = context
            .call(op("lambda", "ListVersionsByFunction"), || {
                let list = client.list_versions_by_function().function_name(function);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        let versions = page.versions.unwrap_or_default().into_iter();
        let numbers = versions.filter_map(|one| one.version.filter(|version| version != "$LATEST"));
        Ok((numbers.collect(), page.next_marker))
    });
    Ok(found(versions.await)?.unwrap_or_default())
}

/// All aliases of a function; none when it does not exist.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListAliases.html>
pub async fn list_aliases(context: &Context, function: &str) -> Result<Vec<AliasConfiguration>, AwsError> {
    let client = &context.clients().lambda;
    let aliases = context.pages(|marker| async move {
        let page = context
            .call(op("lambda", "ListAliases"), || {
                let list = client.list_aliases().function_name(function);
                list.set_marker(marker.clone()).send()
            })
            .await?;
        Ok((page.aliases.unwrap_or_default(), page.next_marker))
    });
    Ok(found(aliases.await)?.unwrap_or_default())
}

/// Aliases that a reader has listed, by function.
#[derive(Default)]
struct Listed(Cells<String, Vec<AliasConfiguration>>);

impl Reader {
    /// Aliases of a function; none when the function does not exist.
    pub async fn aliases(&self, function: &str) -> Result<Vec<AliasConfiguration>, AwsError> {
        let listed = self.extension::<Listed>();
        listed
            .0
            .get(function.to_owned(), list_aliases(self.context(), function))
            .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;

    #[tokio::test(start_paused = true)]
    async fn content_that_a_version_has_is_published() {
        let fake = clients("eu-central-1", |_| {
            let alias = |name: &str, description: &str| json!({"Name": name, "FunctionVersion": "1", "Description": description});
            let aliases =
                json!({"Aliases": [alias("v1", "taskctl aa"), alias("v2", "taskctl bb"), alias("own", "taskctl cc")]});
            (200, aliases.to_string().into_bytes())
        });
        let context = context_over(identity(), fake);
        for (fingerprint, expected) in [("aa", true), ("bb", true), ("cc", false), ("dd", false)] {
            let is_published = is_published(&context, "shop-dev-tasks", fingerprint).await;
            assert_eq!(is_published, Ok(expected), "{fingerprint}");
        }
    }
}
