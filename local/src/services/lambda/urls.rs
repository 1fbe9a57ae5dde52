//! Function URLs, as far as the control plane goes: they are kept and listed, and nothing answers under them.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html>

use serde_json::{Value, json};

use super::address::names_alias;
use super::functions::{modified, new_revision};
use super::model::{FunctionRecord, FunctionUrl, UrlInput};
use super::rules::{self, conflict, constraint, missing};
use super::{Functions, Owner};
use crate::services::Fault;

impl Functions {
    pub(super) fn create_url(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        input: UrlInput,
    ) -> Result<Value, Fault> {
        check_alias(qualifier)?;
        let invoke_mode = invoke_mode(input.invoke_mode)?;
        let auth_type = auth_type(input.auth_type.as_deref())?;
        self.change_or(owner, name, no_function, |record| {
            let slot = slot(record, qualifier).ok_or_else(no_function)?;
            if record.urls.contains_key(&slot) {
                return Err(conflict(format!(
                    "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig exists for \
                     this Lambda function",
                    record.arn()
                )));
            }
            let id: String = new_revision().chars().filter(char::is_ascii_alphanumeric).collect();
            let now = modified();
            let url = FunctionUrl {
                url: format!("https://{id}.lambda-url.{}.on.aws/", record.region),
                auth_type,
                cors: input.cors,
                invoke_mode: invoke_mode.unwrap_or_else(|| "BUFFERED".to_owned()),
                created: now.clone(),
                modified: now,
            };
            let mut view = view(record, &slot, &url);
            // The answer to the creation has no time of a change.
            if let Some(members) = view.as_object_mut() {
                members.remove("LastModifiedTime");
            }
            record.urls.insert(slot, url);
            Ok(view)
        })
    }

    pub(super) fn update_url(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
        input: UrlInput,
    ) -> Result<Value, Fault> {
        check_alias(qualifier)?;
        let invoke_mode = invoke_mode(input.invoke_mode)?;
        self.change_or(owner, name, no_function, |record| {
            let slot = slot(record, qualifier).ok_or_else(absent)?;
            let mut url = record.urls.get(&slot).cloned().ok_or_else(absent)?;
            if input.auth_type.is_some() {
                url.auth_type = auth_type(input.auth_type.as_deref())?;
            }
            url.cors = input.cors.or(url.cors);
            url.invoke_mode = invoke_mode.unwrap_or(url.invoke_mode);
            url.modified = modified();
            let view = view(record, &slot, &url);
            record.urls.insert(slot, url);
            Ok(view)
        })
    }

    pub(super) fn get_url(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<Value, Fault> {
        check_alias(qualifier)?;
        self.read_or(owner, name, absent, |record| {
            let slot = slot(record, qualifier).ok_or_else(absent)?;
            let url = record.urls.get(&slot).ok_or_else(absent)?;
            Ok(view(record, &slot, url))
        })
    }

    pub(super) fn delete_url(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<(), Fault> {
        check_alias(qualifier)?;
        self.change_or(owner, name, absent, |record| {
            let slot = slot(record, qualifier).ok_or_else(absent)?;
            record.urls.remove(&slot).map(drop).ok_or_else(absent)
        })
    }

    pub(super) fn list_urls(&self, owner: Owner<'_>, name: &str) -> Result<Vec<Value>, Fault> {
        self.read_or(owner, name, no_function, |record| {
            Ok(record.urls.iter().map(|(slot, url)| view(record, slot, url)).collect())
        })
    }
}

/// A URL calls the function or an alias, no version.
fn check_alias(qualifier: Option<&str>) -> Result<(), Fault> {
    match qualifier {
        Some(name) if !names_alias(name) => {
            let rule = r"Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)";
            Err(constraint(name, "qualifier", rule))
        }
        _ => Ok(()),
    }
}

/// Where the URL of the function or an alias is kept. `None` where there is no such alias.
fn slot(record: &FunctionRecord, qualifier: Option<&str>) -> Option<String> {
    let alias = qualifier.unwrap_or_default();
    (alias.is_empty() || record.aliases.contains_key(alias)).then(|| alias.to_owned())
}

fn invoke_mode(given: Option<String>) -> Result<Option<String>, Fault> {
    match given.as_deref() {
        None | Some("BUFFERED" | "RESPONSE_STREAM") => Ok(given),
        Some(other) => {
            let rule = "Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]";
            Err(constraint(other, "invokeMode", rule))
        }
    }
}

fn auth_type(given: Option<&str>) -> Result<String, Fault> {
    match given {
        Some(known @ ("NONE" | "AWS_IAM")) => Ok(known.to_owned()),
        Some(other) => {
            let rule = "Member must satisfy enum value set: [NONE, AWS_IAM]";
            Err(constraint(other, "authType", rule))
        }
        None => Err(rules::absent("authType")),
    }
}

fn no_function() -> Fault {
    missing("Function does not exist")
}

fn absent() -> Fault {
    missing("The resource you requested does not exist.")
}

fn view(record: &FunctionRecord, slot: &str, url: &FunctionUrl) -> Value {
    let arn = match slot {
        "" => record.arn(),
        alias => format!("{}:{alias}", record.arn()),
    };
    let mut view = json!({
        "FunctionUrl": url.url,
        "FunctionArn": arn,
        "AuthType": url.auth_type,
        "InvokeMode": url.invoke_mode,
        "CreationTime": url.created,
        "LastModifiedTime": url.modified,
    });
    if let Some(cors) = &url.cors {
        view["Cors"] = cors.clone();
    }
    view
}
