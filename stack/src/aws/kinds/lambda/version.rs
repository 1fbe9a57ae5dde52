//! Published version of a function, with its alias `v{n}`. Versions are immutable; the alias exists so that each version
//! can have its own invoke permission and, during a canary, its own weights. The alias's description carries the
//! fingerprint of what the version contains: that is how a version is found again without asking for each. It also carries
//! the id of the role that the version was published under: once that role is deleted Lambda cannot decrypt the version's
//! variables any more, whatever role has the name now.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::types::{AliasConfiguration, LogType};
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::iam;
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
    read_actions: &["lambda:GetFunction", "lambda:ListAliases"],
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
    /// Id of the role that it was published under; none where a taskctl made it that did not write it down.
    pub role_id: Option<String>,
    /// `own version`, or where it was moved.
    pub routing: String,
}

impl VersionAlias {
    /// Reads an alias; none when it is not one of ours.
    pub fn parse(alias: &AliasConfiguration) -> Option<Self> {
        let version: u64 = alias.name()?.strip_prefix('v')?.parse().ok()?;
        let (fingerprint, then) = content_of(alias.description()?)?;
        let role_id = then.map(str::to_owned);
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
            fingerprint: fingerprint.to_owned(),
            role_id,
            routing,
        })
    }

    /// Whether its role was deleted since it was published. `role_id` is the id of the role that has the name now.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>
    pub fn is_cut_off(&self, role_id: Option<&str>) -> bool {
        differ(self.role_id.as_deref(), role_id)
    }

    /// `v{n}`.
    pub fn name(&self) -> String {
        format!("v{}", self.version)
    }
}

/// What the descriptions of our aliases begin with.
const OURS: &str = "taskctl ";
/// What comes before the role's id in them.
const ROLE: &str = " role=";

/// Fingerprint and role id in an alias's description; none where it is not ours.
fn content_of(description: &str) -> Option<(&str, Option<&str>)> {
    let content = description.strip_prefix(OURS)?;
    Some(match content.split_once(ROLE) {
        Some((fingerprint, role_id)) => (fingerprint, Some(role_id)),
        None => (content, None),
    })
}

/// Whether the role of a version was deleted since the version was published, by the description of its alias.
pub fn is_cut_off(description: &str, role_id: Option<&str>) -> bool {
    content_of(description).is_some_and(|(_, then)| differ(then, role_id))
}

/// Whether a role is another one now, or gone. Versions of before their descriptions had ids know only of the latter.
fn differ(then: Option<&str>, now: Option<&str>) -> bool {
    match (then, now) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(then), Some(now)) => then != now,
    }
}

/// An alias's description.
fn description(fingerprint: &str, role_id: Option<&str>) -> String {
    let role = role_id.map(|id| format!("{ROLE}{id}")).unwrap_or_default();
    format!("{OURS}{fingerprint}{role}")
}

/// The newest alias with this fingerprint whose role is still there. A version of a former release (`tasks.v3`, `tasks.live`)
/// is found whatever became of its role.
pub async fn find(
    reader: &Reader,
    id: &ResourceId,
    function: &str,
    fingerprint: &str,
) -> Result<Option<VersionAlias>, AwsError> {
    let aliases = reader.aliases(function).await?;
    let mut same: Vec<VersionAlias> = aliases
        .iter()
        .filter_map(VersionAlias::parse)
        .filter(|alias| alias.fingerprint == fingerprint)
        .collect();
    if !same.is_empty() && !id.name.contains('.') {
        let role_id = role_id(reader, &id.name).await?;
        same.retain(|alias| !alias.is_cut_off(role_id.as_deref()));
    }
    Ok(same.into_iter().max_by_key(|alias| alias.version))
}

/// Id of the role of a function, by its logical name.
pub async fn role_id(reader: &Reader, logical: &str) -> Result<Option<String>, AwsError> {
    let role = reader.context().identity().names().role(logical);
    reader.role_id(&role).await
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
        id: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(alias) = find(reader, id, &desired.function, &desired.fingerprint).await? else {
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
        let _turn = context.serial(format!("lambda/{function}")).await;
        let working_copy = context.outputs(&ResourceId::new(lambda::function::KIND, id.name.clone()));
        let version = match working_copy.get("published") {
            Some(version) => version.clone(),
            None => publish(context, function, fingerprint).await?,
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
            let content = description(fingerprint, iam::role::id_of(context, &id.name).as_deref());
            match create_alias(context, function, &version, &content).await {
                Err(error) if error.kind == ErrorKind::AlreadyExists => {
                    point(context, function, number, Some(&content)).await?;
                }
                other => other?,
            }
        }
        active(context, function, &version).await?;
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
            fingerprint: _,
            routing: _,
        } = desired;
        let version: u64 = observed
            .outputs
            .get("version")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let _turn = context.serial(format!("lambda/{function}")).await;
        point(context, function, version, None).await?;
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

/// How long a published version may be pending.
const PENDING: Duration = Duration::from_secs(300);

/// Waits until a version can be invoked: a published one is made ready on its own, and refuses requests until then.
/// <https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>
async fn active(context: &Context, function: &str, version: &str) -> Result<(), AwsError> {
    let look = || async {
        let state = lambda::function::state(context, function, Some(version)).await?.state;
        match state.as_str() {
            // Published a moment ago, and not known everywhere yet.
            "Pending" | "Missing" => Ok(None),
            "Failed" => {
                let message = format!("version {version} of {function} could not be made ready");
                Err(AwsError::own("lambda", "PublishVersion", ErrorKind::Invalid, message))
            }
            _ => Ok(Some(())),
        }
    };
    context.poll("version to become active", PENDING, look).await
}

/// Publishes a function as it is. Returns the version's number: the last one's where nothing has changed since.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html>
pub(super) async fn publish(context: &Context, function: &str, fingerprint: &str) -> Result<String, AwsError> {
    let client = &context.clients().lambda;
    let published = context
        .call(op("lambda", "PublishVersion"), || {
            client
                .publish_version()
                .function_name(function)
                .description(description(fingerprint, None))
                .send()
        })
        .await?;
    Ok(published.version.unwrap_or_default())
}

/// The versions that have an alias of ours.
pub(super) async fn named(context: &Context, function: &str) -> Result<Vec<VersionAlias>, AwsError> {
    let aliases = list_aliases(context, function).await?;
    Ok(aliases.iter().filter_map(VersionAlias::parse).collect())
}

/// Whether a version of this content can be used: a template that goes back to what it was needs no other one.
pub(super) fn has_content(versions: &[VersionAlias], fingerprint: &str, role_id: Option<&str>) -> bool {
    let mut same = versions.iter().filter(|version| version.fingerprint == fingerprint);
    same.any(|version| role_id.is_none() || !version.is_cut_off(role_id))
}

async fn create_alias(context: &Context, function: &str, version: &str, content: &str) -> Result<(), AwsError> {
    let place = lambda::alias::Place {
        function: function.to_owned(),
        alias: format!("v{version}"),
        version: version.to_owned(),
        description: content.to_owned(),
    };
    lambda::alias::create(context, op("lambda", "CreateAlias").just_made(), &place).await
}

/// Gives a version its alias while its function still changes; none when that does not work yet.
pub(super) async fn name_early(
    context: &Context,
    function: &str,
    version: &str,
    fingerprint: &str,
    role_id: Option<&str>,
) -> Option<String> {
    let made = create_alias(context, function, version, &description(fingerprint, role_id)).await;
    made.is_ok().then(|| format!("v{version}"))
}

/// Points an alias at its own version and clears its weights; without a description it keeps its own.
async fn point(context: &Context, function: &str, version: u64, description: Option<&str>) -> Result<(), AwsError> {
    let change = lambda::alias::Change {
        function,
        alias: &format!("v{version}"),
        version: Some(&version.to_string()),
        description,
        shares: HashMap::new(),
    };
    change.send(context, op("lambda", "UpdateAlias")).await
}

/// The version of a function's content that this run has published, or else the one that was expected.
pub fn published_here(context: &Context, function: &str, expected: &str) -> String {
    let outputs = context.outputs(&ResourceId::new(KIND, function));
    outputs.get("version").map_or(expected, String::as_str).to_owned()
}

/// Calls a version through its alias.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub async fn invoke(
    context: &Context,
    call: Op,
    (function, version): (&str, &str),
    payload: &str,
    log: Option<LogType>,
) -> Result<Invoked, AwsError> {
    let client = &context.clients().lambda;
    let answer = context
        .call(call, || {
            client
                .invoke()
                .function_name(function)
                .qualifier(format!("v{version}"))
                .set_log_type(log.clone())
                .payload(payload.as_bytes().to_vec().into())
                .send()
        })
        .await?;
    let payload = answer
        .payload()
        .map(|payload| String::from_utf8_lossy(payload.as_ref()));
    Ok(Invoked {
        payload: payload.map(|text| text.into_owned()).unwrap_or_default(),
        error: answer.function_error().map(str::to_owned),
        log: answer.log_result().map(str::to_owned),
    })
}

/// What a call gave.
pub struct Invoked {
    /// The answer.
    pub payload: String,
    /// `Unhandled` when the function failed.
    pub error: Option<String>,
    /// The last 4 KB that it logged, base64, where they were asked for.
    pub log: Option<String>,
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake;

    /// Waits for a version whose states AWS shows one after another.
    async fn waited(states: &'static [&'static str]) -> Result<(), AwsError> {
        let looks = AtomicU32::new(0);
        let clients = fake::clients("eu-central-1", move |call| {
            assert_eq!(call.fields["Qualifier"], "7");
            let look = usize::try_from(looks.fetch_add(1, Ordering::Relaxed)).expect("a few");
            let state = states.get(look).expect("it does not look any more");
            let body = format!(r#"{{"Configuration":{{"State":"{state}"}}}}"#);
            (200, body.into_bytes())
        });
        active(&context_over(identity(), clients), "shop-dev-tasks", "7").await
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_is_made_when_it_can_be_invoked() {
        assert_eq!(waited(&["Pending", "Pending", "Active"]).await, Ok(()));
        assert_eq!(waited(&["Inactive"]).await, Ok(()));
        let failed = waited(&["Pending", "Failed"]).await.expect_err("it is not ready");
        assert_eq!(failed.message, "version 7 of shop-dev-tasks could not be made ready");
    }

    fn aliases() -> Value {
        let alias =
            |name: &str, description: &str| json!({"Name": name, "FunctionVersion": "1", "Description": description});
        json!({"Aliases": [
            alias("v1", "taskctl aa"),
            alias("v2", "taskctl bb role=AROAOLD"),
            alias("v3", "taskctl cc role=AROAOLD"),
            alias("v4", "taskctl cc role=AROANEW"),
            alias("own", "taskctl dd"),
        ]})
    }

    #[tokio::test(start_paused = true)]
    async fn content_that_a_version_has_is_published() {
        let fake = fake::clients("eu-central-1", |_| (200, aliases().to_string().into_bytes()));
        let context = context_over(identity(), fake);
        let versions = named(&context, "shop-dev-tasks").await.expect("they are listed");
        for (fingerprint, role_id, expected) in [
            ("aa", Some("AROANEW"), true),
            ("bb", Some("AROAOLD"), true),
            ("bb", Some("AROANEW"), false),
            ("bb", None, true),
            ("cc", Some("AROANEW"), true),
            ("dd", Some("AROANEW"), false),
            ("ee", Some("AROANEW"), false),
        ] {
            let has = has_content(&versions, fingerprint, role_id);
            assert_eq!(has, expected, "{fingerprint} {role_id:?}");
        }
    }

    /// The version of some content that is found while a role has this id; without one there is no such role.
    async fn version_found(name: &str, fingerprint: &str, role_id: Option<&'static str>) -> Option<u64> {
        let fake = fake::clients("eu-central-1", move |call| {
            let role = role_id.map(|id| {
                let name = "shop-dev-tasks-eu-central-1";
                format!(
                    "<member><Path>/</Path><RoleName>{name}</RoleName><RoleId>{id}</RoleId><Arn>a</Arn>\
                     <CreateDate>2026-01-01T00:00:00Z</CreateDate></member>"
                )
            });
            match call.operation.as_str() {
                "ListRoles" => {
                    let roles = role.unwrap_or_default();
                    let text = format!(
                        "<ListRolesResponse><ListRolesResult><Roles>{roles}</Roles><IsTruncated>false</IsTruncated>\
                         </ListRolesResult></ListRolesResponse>"
                    );
                    (200, text.into_bytes())
                }
                "GetRole" => {
                    let text =
                        "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>";
                    (404, text.as_bytes().to_vec())
                }
                _ => (200, aliases().to_string().into_bytes()),
            }
        });
        let reader = Reader::new(context_over(identity(), fake));
        let id = ResourceId::new(KIND, name);
        let found = find(&reader, &id, "shop-dev-tasks", fingerprint).await;
        found.expect("it is read").map(|version| version.version)
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_whose_role_was_deleted_is_not_found_again() {
        for (name, fingerprint, role_id, expected) in [
            ("tasks", "bb", Some("AROAOLD"), Some(2)),
            ("tasks", "bb", Some("AROANEW"), None),
            ("tasks", "bb", None, None),
            // It may be asked who can call it, and its weights are taken back.
            ("tasks.v2", "bb", Some("AROANEW"), Some(2)),
            ("tasks", "cc", Some("AROAOLD"), Some(3)),
            ("tasks", "cc", Some("AROANEW"), Some(4)),
            // Made by a taskctl that did not write the role down.
            ("tasks", "aa", Some("AROANEW"), Some(1)),
            ("tasks", "aa", None, None),
        ] {
            let found = version_found(name, fingerprint, role_id).await;
            assert_eq!(found, expected, "{name} {fingerprint} {role_id:?}");
        }
    }
}
