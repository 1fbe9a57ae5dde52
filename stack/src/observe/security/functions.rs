//! Who may call functions past the API: policies on the function, its versions and aliases, and function URLs.

use std::collections::BTreeSet;

use super::{Finding, Stage};
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::function::ITSELF;
use crate::aws::kinds::lambda::permission::{Statement, Statements, api_pattern, read_policy};
use crate::aws::kinds::lambda::version::{VersionAlias, published};
use crate::aws::registry;

pub(super) async fn examine(stage: &Stage<'_>) -> Result<Vec<Finding>, AwsError> {
    let functions = registry().kind(lambda::function::KIND).enumerate(&stage.reader).await?;
    let api = stage
        .reader
        .api()
        .await?
        .map(|api| api_pattern(stage.context, api.id()));
    let found = functions.iter().map(|function| {
        let (logical, api) = (&function.id.name, api.as_deref());
        let name = function.outputs.get("name").cloned().unwrap_or_default();
        async move {
            let (callers, urls) =
                futures::try_join!(callers(stage, &name, api), lambda::function::urls(stage.context, &name))?;
            let urls = urls
                .iter()
                .map(|(what, who)| format!("{what} has a URL, asking for {who}"));
            Ok::<_, AwsError>([
                Finding::new(
                    "functions",
                    format!("only this stack calls {logical}"),
                    format!("GetPolicy of {name}, its versions and aliases"),
                    &callers,
                ),
                Finding::new(
                    "functions",
                    format!("{logical} has no URL past the API"),
                    format!("ListFunctionUrlConfigs of {name}"),
                    &urls.collect(),
                ),
            ])
        }
    });
    Ok(futures::future::try_join_all(found)
        .await?
        .into_iter()
        .flatten()
        .collect())
}

/// Callers that are not the stack's own, in words.
async fn callers(stage: &Stage<'_>, name: &str, api: Option<&str>) -> Result<BTreeSet<String>, AwsError> {
    let (aliases, versions) = futures::try_join!(stage.reader.aliases(name), published(stage.context, name))?;
    let ours: BTreeSet<String> = aliases
        .iter()
        .filter_map(VersionAlias::parse)
        .map(|alias| alias.name())
        .collect();
    let others = aliases.iter().filter_map(|alias| alias.name().map(str::to_owned));
    let qualifiers: BTreeSet<String> = others.chain(versions).chain(["$LATEST".to_owned()]).collect();
    let policies = qualifiers.iter().map(|qualifier| async move {
        let policy = read(stage, name, Some(qualifier)).await?;
        Ok::<_, AwsError>((qualifier, policy))
    });
    let (own, policies) = futures::try_join!(read(stage, name, None), futures::future::try_join_all(policies))?;
    let mut wrong: BTreeSet<String> = own.values().map(|one| said(ITSELF, one)).collect();
    for (qualifier, statements) in policies {
        // Some keep the function's own policy under this name, too.
        if qualifier == "$LATEST" && statements == own {
            continue;
        }
        let strange = statements
            .values()
            .filter(|one| !ours.contains(qualifier) || !is_ours(stage, one, api));
        wrong.extend(strange.map(|one| said(qualifier, one)));
    }
    Ok(wrong)
}

fn said(qualifier: &str, statement: &Statement) -> String {
    format!("{qualifier}: {statement}")
}

/// The statements of a policy. AWS has none for `$LATEST`, and may say that one must not ask.
async fn read(stage: &Stage<'_>, name: &str, qualifier: Option<&str>) -> Result<Statements, AwsError> {
    match read_policy(stage.context, name, qualifier).await {
        Err(error) if qualifier == Some("$LATEST") && error.kind == ErrorKind::Invalid => Ok(Statements::new()),
        other => Ok(other?.unwrap_or_default()),
    }
}

/// The API of this stack and its rules may call versions, and nothing else may.
fn is_ours(stage: &Stage<'_>, statement: &Statement, api: Option<&str>) -> bool {
    let identity = stage.context.identity();
    let rules = identity.arn("events", &format!("rule/{}", identity.prefix()));
    let source = &statement.source;
    let by_api = api == Some(source) && statement.principal == "apigateway.amazonaws.com";
    let by_rule = source
        .strip_prefix(&rules)
        .is_some_and(|rest| !rest.contains(['*', '?']))
        && statement.principal == "events.amazonaws.com";
    statement.action.is_none() && statement.conditions.is_empty() && (by_api || by_rule)
}
