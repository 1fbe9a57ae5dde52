//! A release of a stack without an API: an alias `r{n}` of each of its functions (`release::by_alias`). It is one once all of them
//! are there.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::alias::Place;
use crate::aws::kinds::lambda::version::published_here;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::release::by_alias::{alias_of, describe, label_of};
use crate::release::label::{Callers, PLAIN, ReleaseLabel};
use crate::resource::{Observed, Outputs, ResourceId, outputs};

/// The kind.
pub struct LambdaRelease;

/// A release that should exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Release number.
    pub release: u64,
    /// Fingerprint of everything in it.
    pub fingerprint: String,
    /// Names of the functions, by logical name.
    pub functions: BTreeMap<String, String>,
    /// Versions by logical name, as expected when it was planned.
    pub versions: BTreeMap<String, String>,
    /// Commit of the code.
    pub commit: Option<String>,
    /// Hash of what the functions' roles allow.
    pub grants: String,
}

impl Model {
    fn label(&self) -> ReleaseLabel {
        let Self {
            release,
            fingerprint,
            functions,
            versions,
            commit,
            grants,
        } = self.clone();
        ReleaseLabel {
            number: release,
            fingerprint,
            versions,
            callers: functions.into_keys().map(|name| (name, Callers::Live)).collect(),
            commit,
            sites: BTreeMap::new(),
            format: PLAIN,
            grants: Some(grants),
        }
        .fitting()
    }

    /// Characters of the longest of its descriptions.
    pub fn description_length(&self) -> usize {
        let label = self.label();
        let lengths = self.functions.keys().map(|name| describe(&label, name).chars().count());
        lengths.max().unwrap_or(0)
    }
}

/// Name of the kind.
pub const KIND: &str = "lambda_release";

static SPEC: Spec = Spec {
    name: KIND,
    title: "release",
    documentation: "https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html",
    read_actions: &["lambda:ListAliases"],
    write_actions: &["lambda:CreateAlias", "lambda:UpdateAlias"],
    delete_actions: &["lambda:DeleteAlias"],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    // A hash over the function's variables, too: in a plan it would let its readers try guesses.
    hidden: &["fingerprint"],
    usual: Duration::from_millis(400),
    reads_by_content: true,
    contained_in: Some(lambda::function::KIND),
    reach: Reach::Functions,
    ..Spec::of(&lambda::SERVICE)
};

/// Identity of the release that a deploy makes or keeps.
pub fn id() -> ResourceId {
    ResourceId::new(KIND, "release")
}

#[async_trait]
impl Kind for LambdaRelease {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![Model {
            release: 1,
            fingerprint: "0123456789abcdef".into(),
            functions: BTreeMap::from([("jobs".to_owned(), "shop-dev-jobs".to_owned())]),
            versions: BTreeMap::from([("jobs".to_owned(), "1".to_owned())]),
            commit: Some("1a2b3c4d".into()),
            grants: "0123456789abcdef0123456789abcdef".into(),
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let name = alias_of(desired.release);
        for function in desired.functions.values() {
            let aliases = reader.aliases(function).await?;
            let alias = aliases.iter().find(|alias| alias.name() == Some(&name));
            let label = alias.and_then(|alias| label_of(alias.description()?));
            let is_there = label
                .is_some_and(|(of, label)| of == desired.functions.len() && label.fingerprint == desired.fingerprint);
            if !is_there {
                return Ok(None);
            }
        }
        Ok(Some(Observed::ours(desired.clone(), release_outputs(desired.release))))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // Earlier releases stay until pruned.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let label = desired.label();
        let making = desired.functions.iter().map(|(logical, function)| {
            let expected = desired.versions.get(logical).map_or("", String::as_str);
            let place = Place {
                function: function.clone(),
                alias: alias_of(desired.release),
                version: published_here(context, logical, expected),
                description: describe(&label, logical),
            };
            async move { place.create(context, op("lambda", "CreateAlias").just_made()).await }
        });
        try_join_all(making).await?;
        Ok(release_outputs(desired.release))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        _: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        // Reading answers only for an equal one.
        self.create(context, id, desired).await
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let (Some(release), Some(functions)) = (outputs.get("release"), outputs.get("functions")) else {
            return Ok(());
        };
        let Ok(release) = release.parse() else { return Ok(()) };
        let alias = alias_of(release);
        let deleting = functions.split(',').filter(|function| !function.is_empty());
        let deleting = deleting.map(|function| lambda::alias::delete(context, function, &alias));
        try_join_all(deleting).await.map(drop)
    }
}

fn release_outputs(release: u64) -> Outputs {
    outputs([("release", release.to_string())])
}
