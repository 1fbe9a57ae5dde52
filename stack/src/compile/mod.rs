//! The resources of a stack: each part of the template becomes desired models, and the few edges between them that AWS
//! enforces. Pure: nothing is read here.

mod alarm;
mod alias;
mod api;
mod dashboard;
pub mod former;
mod function;
#[cfg(test)]
mod references;
mod release;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scopes;
mod site;
mod warmup;
mod warning;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::aws::client::identity::Identity;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::cloudwatch;
use crate::aws::kinds::dynamodb;
use crate::aws::kinds::s3;
use crate::aws::kinds::sns;
use crate::release::grants::Grants;
use crate::release::slots::GoLive;
use crate::resource::{Resource, ResourceId};
use crate::site::Site;
use crate::template::model::{GrantTarget, Stack};
use crate::template::names::Names;

pub use release::released;
pub use warning::{unauthenticated, unrecorded_grants, warnings};

/// Everything that decides what should exist.
pub struct Inputs<'a> {
    /// The template.
    pub stack: &'a Stack,
    /// Who and where.
    pub identity: &'a Identity,
    /// base64 SHA-256 of each function's package, by logical name.
    pub packages: &'a BTreeMap<String, String>,
    /// URL at which a bucket's web site is served, by the bucket's physical name.
    pub website_url: &'a (dyn Fn(&str) -> String + Sync),
    /// Commit of the code.
    pub commit: Option<String>,
    /// Whether a new release goes live with its deploy.
    pub go_live: GoLive,
    /// Content of the web sites, by the bucket's logical name.
    pub sites: &'a BTreeMap<String, Arc<Site>>,
}

impl Inputs<'_> {
    fn names(&self) -> Names<'_> {
        self.identity.names()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.stack.tags.clone();
        tags.extend(self.identity.tags());
        tags
    }

    /// Physical name of a table.
    pub fn table(&self, logical: &str) -> String {
        let given = self.stack.tables.get(logical).and_then(|table| table.name.clone());
        given.unwrap_or_else(|| self.names().table(logical))
    }

    /// Physical name of a bucket.
    pub fn bucket(&self, logical: &str) -> String {
        let given = self.stack.buckets.get(logical).and_then(|bucket| bucket.name.clone());
        given.unwrap_or_else(|| self.names().bucket(logical))
    }

    /// Physical name of a function.
    pub fn function(&self, logical: &str) -> String {
        let given = self
            .stack
            .functions
            .get(logical)
            .and_then(|function| function.name.clone());
        given.unwrap_or_else(|| self.names().function(logical))
    }

    /// Physical name of a topic.
    pub fn topic(&self, logical: &str) -> String {
        let given = self.stack.topics.get(logical).and_then(|topic| topic.name.clone());
        given.unwrap_or_else(|| self.names().topic(logical))
    }

    /// Physical names of all functions by logical name.
    pub fn functions(&self) -> BTreeMap<String, String> {
        self.stack
            .functions
            .keys()
            .map(|name| (name.clone(), self.function(name)))
            .collect()
    }

    /// Origin of the stage's web site.
    pub fn site_url(&self) -> Option<String> {
        let (logical, _) = self.stack.buckets.iter().find(|(_, bucket)| bucket.website.is_some())?;
        Some(
            (self.website_url)(&self.bucket(logical))
                .trim_end_matches('/')
                .to_owned(),
        )
    }

    /// Content of each web site, by the bucket's physical name.
    fn site_ids(&self) -> BTreeMap<String, String> {
        self.sites
            .iter()
            .map(|(logical, site)| (self.bucket(logical), site.id.clone()))
            .collect()
    }

    fn target(&self, target: &GrantTarget) -> String {
        match target {
            GrantTarget::Table(logical) => self.table(logical),
            GrantTarget::Bucket(logical) => self.bucket(logical),
        }
    }
}

/// A resource from a typed model.
fn resource<M: Serialize>(kind: &str, name: &str, model: &M, depends_on: Vec<ResourceId>) -> Resource {
    let desired = serde_json::to_value(model).unwrap_or_default();
    Resource {
        id: ResourceId::new(kind, name),
        desired,
        depends_on,
    }
}

fn id(kind: &str, name: &str) -> ResourceId {
    ResourceId::new(kind, name)
}

/// What does not depend on which releases exist.
pub fn standing(inputs: &Inputs<'_>) -> Vec<Resource> {
    let stack = inputs.stack;
    let mut resources = Vec::new();
    for (name, function) in &stack.functions {
        resources.extend(function::compile(inputs, name, function));
    }
    for (name, table) in &stack.tables {
        let model = dynamodb::table::Model::new(inputs.table(name), table, inputs.tags());
        resources.push(resource(dynamodb::table::KIND, name, &model, Vec::new()));
    }
    for (name, bucket) in &stack.buckets {
        let origins: Vec<String> = inputs.site_url().into_iter().collect();
        let model = s3::bucket::Model::new(inputs.bucket(name), bucket, &origins, inputs.identity, inputs.tags());
        resources.push(resource(s3::bucket::KIND, name, &model, Vec::new()));
    }
    for (name, topic) in &stack.topics {
        let model = sns::topic::Model::new(inputs.topic(name), topic, inputs.tags());
        resources.push(resource(sns::topic::KIND, name, &model, Vec::new()));
    }
    if let Some(api) = &stack.api {
        resources.extend(api::compile(inputs, api));
    }
    for (name, site) in inputs.sites {
        resources.extend(site::compile(inputs, name, site));
    }
    for (name, alarm) in &stack.alarms {
        let (model, needs) = alarm::compile(inputs, name, alarm);
        resources.push(resource(cloudwatch::alarm::KIND, name, &model, needs));
    }
    for (name, dashboard) in &stack.dashboards {
        let model = cloudwatch::dashboard::Model {
            name: dashboard.name.clone().unwrap_or_else(|| inputs.names().dashboard(name)),
            body: dashboard::compile(inputs),
            tags: inputs.tags(),
        };
        let needs = stack.api.is_some().then(apigateway::api::id);
        resources.push(resource(
            cloudwatch::dashboard::KIND,
            name,
            &model,
            needs.into_iter().collect(),
        ));
    }
    resources
}

/// What the roles of all functions allow, by logical name.
pub fn all_grants(inputs: &Inputs<'_>) -> Grants {
    let functions = inputs.stack.functions.iter();
    functions
        .map(|(name, function)| (name.clone(), function::policy(inputs, name, function)))
        .collect()
}
