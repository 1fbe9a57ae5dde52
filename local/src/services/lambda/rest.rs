//! From REST requests of the Lambda API to calls on the stored functions.

use http::Method;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::address::{one_qualifier, parse_name};
use super::constraints::check_function;
use super::rules::{absent, constraint, invalid};
use super::{Functions, Owner, StoredCode};
use crate::protocol::classify::{query_parameter, query_parameters};
use crate::services::{Fault, Reply, page};

/// Largest page of any list.
const PAGE: usize = 50;

/// Prerequisites of the answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// It runs a function.
    Invocation,
    /// Its member `Code` names a zip, and `Role` a role that must exist.
    CodeAndRole,
    /// It names a zip itself.
    Code,
    /// It may name a role that must exist.
    Role,
    /// Nothing.
    Nothing,
}

/// Derives the prerequisites of a call from its method and path.
pub(crate) fn needs(method: &Method, path: &str) -> Needs {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method.as_str(), segments.as_slice()) {
        ("POST", [_, "functions", _, "invocations"]) => Needs::Invocation,
        ("POST", [_, "functions" | "functions/"]) | ("POST", [_, "functions", ""]) => Needs::CodeAndRole,
        ("PUT", [_, "functions", _, "code"]) => Needs::Code,
        ("PUT", [_, "functions", _, "configuration"]) => Needs::Role,
        _ => Needs::Nothing,
    }
}

/// The function and qualifier that a request's path and query address.
pub(crate) fn addressed(owner: Owner<'_>, path: &str, query: &str) -> Result<(String, Option<String>), Fault> {
    let segment = path.split('/').nth(3).unwrap_or_default();
    let (name, of_name) = parse_name(owner, &percent_decode_str(segment).decode_utf8_lossy())?;
    Ok((name, one_qualifier(of_name, query_parameter(query, "Qualifier"))?))
}

/// The refusal of a call whose members are not what they must be, before code and roles are looked at.
pub(crate) fn check_shape(owner: Owner<'_>, needs: Needs, path: &str, query: &str, body: &[u8]) -> Result<(), Fault> {
    if matches!(needs, Needs::Invocation | Needs::Nothing) {
        return Ok(());
    }
    if needs != Needs::CodeAndRole {
        addressed(owner, path, query)?;
    }
    check_function(&parsed(body)?)
}

impl Functions {
    /// Answers a call other than an invocation. `code` is the package that [`needs`] asked for.
    pub(crate) fn call(
        &self,
        owner: Owner<'_>,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
        code: Option<StoredCode>,
    ) -> Result<Reply, Fault> {
        let decoded: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = decoded
            .iter()
            .map(String::as_str)
            .filter(|segment| !segment.is_empty())
            .collect();
        let code = || code.ok_or_else(|| invalid("Please provide a source for function code."));
        match (method.as_str(), segments.as_slice()) {
            ("GET", [_, "account-settings"]) => ok(self.account_settings(owner)),
            ("GET", [_, "tags", arn @ ..]) => ok(json!({"Tags": self.tags(owner, &arn.join("/"), |_| ())?})),
            ("POST", [_, "tags", arn @ ..]) => {
                let given: TagsInput = parsed(body)?;
                if given.tags.is_empty() {
                    return Err(invalid("An error occurred and the request cannot be processed."));
                }
                none(
                    self.tags(owner, &arn.join("/"), |tags| tags.extend(given.tags))
                        .map(drop),
                )
            }
            ("DELETE", [_, "tags", arn @ ..]) => {
                let keys = query_parameters(query, "tagKeys");
                if keys.is_empty() {
                    return Err(absent("tagKeys"));
                }
                none(
                    self.tags(owner, &arn.join("/"), |tags| tags.retain(|key, _| !keys.contains(key)))
                        .map(drop),
                )
            }
            ("GET", [_, "functions"]) => {
                let every_version = match query_parameter(query, "FunctionVersion").as_deref() {
                    None => false,
                    Some("ALL") => true,
                    Some(other) => {
                        let rule = "Member must satisfy enum value set: [ALL]";
                        return Err(constraint(other, "functionVersion", rule));
                    }
                };
                list(query, "Functions", self.list(owner, every_version))
            }
            ("POST", [_, "functions"]) => Ok(Reply::json(
                201,
                &self.create(owner, parsed(body)?, parsed(body)?, code()?)?,
            )),
            (_, [_, "functions", _, rest @ ..]) => {
                let (name, qualifier) = addressed(owner, path, query)?;
                let reply = self.call_function(owner, method, &name, qualifier.as_deref(), rest, query, body, code)?;
                reply.ok_or_else(|| unsupported(method, path))
            }
            _ => Err(unsupported(method, path)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn call_function(
        &self,
        owner: Owner<'_>,
        method: &Method,
        name: &str,
        qualifier: Option<&str>,
        rest: &[&str],
        query: &str,
        body: &[u8],
        code: impl FnOnce() -> Result<StoredCode, Fault>,
    ) -> Result<Option<Reply>, Fault> {
        match (method.as_str(), rest) {
            ("GET", []) => Ok(Some(Reply::json(200, &self.get(owner, name, qualifier)?))),
            ("DELETE", []) => done(self.delete(owner, name, qualifier)),
            ("GET", ["configuration"]) => some(self.get_configuration(owner, name, qualifier)?),
            ("PUT", ["configuration"]) => some(self.update_configuration(owner, name, parsed(body)?)?),
            ("PUT", ["code"]) => some(self.update_code(owner, name, parsed(body)?, code()?)?),
            ("POST", ["versions"]) => Ok(Some(Reply::json(
                201,
                &self.publish_version(owner, name, parsed(body)?)?,
            ))),
            ("GET", ["versions"]) => list(query, "Versions", self.list_versions(owner, name)?).map(Some),
            ("POST", ["aliases"]) => Ok(Some(Reply::json(201, &self.create_alias(owner, name, parsed(body)?)?))),
            ("GET", ["aliases"]) => {
                let version = query_parameter(query, "FunctionVersion");
                list(query, "Aliases", self.list_aliases(owner, name, version.as_deref())?).map(Some)
            }
            ("GET", ["aliases", alias]) => some(self.get_alias(owner, name, alias)?),
            ("PUT", ["aliases", alias]) => some(self.update_alias(owner, name, alias, parsed(body)?)?),
            ("DELETE", ["aliases", alias]) => done(self.delete_alias(owner, name, alias)),
            ("GET", ["policy"]) => some(self.get_policy(owner, name, qualifier)?),
            ("POST", ["policy"]) => Ok(Some(Reply::json(
                201,
                &self.add_permission(owner, name, qualifier, parsed(body)?)?,
            ))),
            ("DELETE", ["policy", statement]) => {
                let revision = query_parameter(query, "RevisionId");
                done(self.remove_permission(owner, name, qualifier, statement, revision.as_deref()))
            }
            (_, ["concurrency"]) if qualifier.is_some() => Err(invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please \
                 specify either a function name or an unqualified function ARN.",
            )),
            ("PUT", ["concurrency"]) => some(self.put_concurrency(owner, name, parsed(body)?)?),
            ("GET", ["concurrency"]) => some(self.get_concurrency(owner, name)?),
            ("DELETE", ["concurrency"]) => done(self.delete_concurrency(owner, name)),
            ("GET", ["urls"]) => list(query, "FunctionUrlConfigs", self.list_urls(owner, name)?).map(Some),
            ("GET", ["url"]) => some(self.get_url(owner, name, qualifier)?),
            ("POST", ["url"]) => Ok(Some(Reply::json(
                201,
                &self.create_url(owner, name, qualifier, parsed(body)?)?,
            ))),
            ("PUT", ["url"]) => some(self.update_url(owner, name, qualifier, parsed(body)?)?),
            ("GET", ["event-invoke-config"]) => some(self.get_invoke_config(owner, name, qualifier)?),
            ("PUT" | "POST", ["event-invoke-config"]) => {
                let keeps = *method == Method::POST;
                some(self.put_invoke_config(owner, name, qualifier, parsed(body)?, keeps)?)
            }
            ("DELETE", ["event-invoke-config"]) => done(self.delete_invoke_config(owner, name, qualifier)),
            ("GET", ["event-invoke-config", "list"]) => {
                let all = self.list_invoke_configs(owner, name)?;
                list(query, "FunctionEventInvokeConfigs", all).map(Some)
            }
            ("DELETE", ["url"]) => done(self.delete_url(owner, name, qualifier)),
            _ => self.call_unused(owner, method, name, qualifier, rest, query),
        }
    }

    /// Settings that functions have none of here, so that clients which look for them find nothing.
    fn call_unused(
        &self,
        owner: Owner<'_>,
        method: &Method,
        name: &str,
        qualifier: Option<&str>,
        rest: &[&str],
        query: &str,
    ) -> Result<Option<Reply>, Fault> {
        match (method.as_str(), rest) {
            ("GET", ["provisioned-concurrency"]) if query.split('&').any(|pair| pair.starts_with("List=")) => {
                some(self.provisioned_concurrency(owner, name)?)
            }
            ("GET", ["provisioned-concurrency"]) => some(self.get_provisioned_concurrency(owner, name, qualifier)?),
            ("GET", ["code-signing-config"]) => self.read(owner, name, |_| some(json!({"FunctionName": name}))),
            ("GET", ["runtime-management-config"]) => self.read(owner, name, |record| {
                some(json!({"UpdateRuntimeOn": "Auto", "FunctionArn": record.arn()}))
            }),
            ("GET", ["recursion-config"]) => self.read(owner, name, |_| some(json!({"RecursiveLoop": "Terminate"}))),
            _ => Ok(None),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(default)]
    pub tags: std::collections::BTreeMap<String, String>,
}

/// The members of a body.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        Fault::new(
            400,
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {error}"),
        )
        .with("Type", "User")
    })
}

fn list(query: &str, member: &str, items: Vec<Value>) -> Result<Reply, Fault> {
    let size = match query_parameter(query, "MaxItems") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(size @ 1..=10_000) => PAGE.min(size),
            _ => {
                return Err(constraint(
                    &text,
                    "maxItems",
                    "Member must have value less than or equal to 10000",
                ));
            }
        },
    };
    let marker = query_parameter(query, "Marker");
    let (items, next) = page(items, size, marker.as_deref()).map_err(|()| invalid("The marker is not valid."))?;
    let mut body = json!({member: items});
    if let Some(next) = next {
        body["NextMarker"] = next.into();
    }
    Ok(Reply::json(200, &body))
}

fn ok(body: Value) -> Result<Reply, Fault> {
    Ok(Reply::json(200, &body))
}

fn some(body: Value) -> Result<Option<Reply>, Fault> {
    Ok(Some(Reply::json(200, &body)))
}

fn done(result: Result<(), Fault>) -> Result<Option<Reply>, Fault> {
    result.map(|()| Some(Reply::empty(204)))
}

fn none(result: Result<(), Fault>) -> Result<Reply, Fault> {
    result.map(|()| Reply::empty(204))
}

fn unsupported(method: &Method, path: &str) -> Fault {
    invalid(format!("{method} {path} is not served by the local target"))
}
