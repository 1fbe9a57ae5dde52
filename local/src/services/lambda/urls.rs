//! Function URLs, as far as the control plane goes: they are kept and listed, and nothing answers under them.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html>

use serde_json::{Value, json};

use super::functions::{find, modified, new_revision};
use super::model::{FunctionRecord, FunctionUrl, UrlInput};
use super::rules::{conflict, constraint, invalid, missing};
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
        self.change(owner, name, |record| {
            let slot = slot(owner, record, qualifier)?;
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
                auth_type: auth_type(input.auth_type.as_deref())?,
                cors: input.cors,
                invoke_mode: input.invoke_mode.unwrap_or_else(|| "BUFFERED".to_owned()),
                created: now.clone(),
                modified: now,
            };
            let view = view(record, &slot, &url);
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
        self.change(owner, name, |record| {
            let slot = slot(owner, record, qualifier)?;
            let mut url = record.urls.get(&slot).cloned().ok_or_else(absent)?;
            if input.auth_type.is_some() {
                url.auth_type = auth_type(input.auth_type.as_deref())?;
            }
            url.cors = input.cors.or(url.cors);
            url.invoke_mode = input.invoke_mode.unwrap_or(url.invoke_mode);
            url.modified = modified();
            let view = view(record, &slot, &url);
            record.urls.insert(slot, url);
            Ok(view)
        })
    }

    pub(super) fn get_url(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<Value, Fault> {
        self.read(owner, name, |record| {
            let slot = slot(owner, record, qualifier)?;
            let url = record.urls.get(&slot).ok_or_else(absent)?;
            Ok(view(record, &slot, url))
        })
    }

    pub(super) fn delete_url(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<(), Fault> {
        self.change(owner, name, |record| {
            let slot = slot(owner, record, qualifier)?;
            record.urls.remove(&slot).map(drop).ok_or_else(absent)
        })
    }

    pub(super) fn list_urls(&self, owner: Owner<'_>, name: &str) -> Result<Vec<Value>, Fault> {
        self.read(owner, name, |record| {
            Ok(record.urls.iter().map(|(slot, url)| view(record, slot, url)).collect())
        })
    }
}

/// A URL calls the function or an alias, no version.
fn slot(owner: Owner<'_>, record: &FunctionRecord, qualifier: Option<&str>) -> Result<String, Fault> {
    find(owner, record, qualifier)?;
    match qualifier {
        None => Ok(String::new()),
        Some(alias) if record.aliases.contains_key(alias) => Ok(alias.to_owned()),
        Some(_) => Err(invalid("A function URL takes the function itself or an alias.")),
    }
}

fn auth_type(given: Option<&str>) -> Result<String, Fault> {
    match given {
        Some(known @ ("NONE" | "AWS_IAM")) => Ok(known.to_owned()),
        other => Err(constraint(
            other.unwrap_or("null"),
            "authType",
            "Member must satisfy enum value set: [NONE, AWS_IAM]",
        )),
    }
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
