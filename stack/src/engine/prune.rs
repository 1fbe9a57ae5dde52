//! Deletes what no kept release uses.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, EngineError};
use crate::aws::kinds::lambda;
use crate::aws::kinds::lambda::version::VersionAlias;
use crate::aws::kinds::{apigateway, iam, site};
use crate::aws::read::reader::Reader;
use crate::aws::release::sight::Sight;
use crate::release::retention::Kept;
use crate::release::slots::Carrier;
use crate::resource::Outputs;

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Releases that cannot be rolled back to any more.
    pub releases: BTreeSet<u64>,
    /// Versions by logical name of their function.
    pub versions: BTreeMap<String, Vec<u64>>,
    /// Functions whose roles lost grants that only former releases needed.
    pub grants: BTreeSet<String>,
    /// Files of web sites.
    pub files: usize,
}

impl Pruned {
    /// Whether nothing went.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Engine {
    /// Takes away what no kept release needs: grants of former releases, function versions, deployments, web site content.
    pub async fn prune(&self, keep: usize) -> Result<Pruned, EngineError> {
        let context = &self.context;
        let Sight { gateway, facts } = Sight::read(context).await?;
        let kept = Kept::of(&facts, keep);
        let mut pruned = Pruned::default();
        let reader = Reader::new(context.clone());
        if let Some(oldest) = kept.oldest_reachable {
            let roles = self.registry.kind(iam::role::KIND).enumerate(&reader).await?;
            let named = roles
                .iter()
                .filter_map(|role| Some((&role.id, role.outputs.get("name")?)));
            let dropped = named.map(async |(id, name)| {
                let dropped = iam::role::drop_former(context, name, oldest).await?;
                Ok::<_, EngineError>((dropped > 0).then(|| id.name.clone()))
            });
            pruned.grants = futures::future::try_join_all(dropped)
                .await?
                .into_iter()
                .flatten()
                .collect();
        }
        if facts.releases.keys().all(|release| kept.releases.contains(release)) {
            return Ok(pruned);
        }
        let api = reader.api().await?.map(|api| api.id().to_owned()).unwrap_or_default();
        for (number, deployment) in facts
            .deployments
            .iter()
            .filter(|(number, _)| !kept.releases.contains(number))
        {
            let (id, outputs) = match facts.carrier {
                Carrier::Api => {
                    let outputs = [("api_id", api.clone()), ("deployment_id", deployment.clone())];
                    (apigateway::deployment::id(), outputs)
                }
                Carrier::Functions => {
                    let label = facts.releases.get(number);
                    let functions = label.into_iter().flat_map(|label| label.versions.keys());
                    let functions: Vec<String> = functions.map(|name| gateway.physical_name(name)).collect();
                    let outputs = [("release", number.to_string()), ("functions", functions.join(","))];
                    (lambda::release::id(), outputs)
                }
            };
            let outputs: Outputs = outputs.map(|(key, value)| (key.to_owned(), value)).into();
            self.registry.kind(&id.kind).delete(context, &id, &outputs).await?;
            pruned.releases.insert(*number);
        }
        let versions = self.registry.kind(lambda::version::KIND);
        for function in self.registry.kind(lambda::function::KIND).enumerate(&reader).await? {
            let Some(physical) = function.outputs.get("name") else {
                continue;
            };
            let aliases = reader.aliases(physical).await?;
            let known: Vec<u64> = aliases
                .iter()
                .filter_map(VersionAlias::parse)
                .map(|alias| alias.version)
                .collect();
            let stay = kept.versions(&facts, &function.id.name, &known, keep);
            for version in known.into_iter().filter(|version| !stay.contains(version)) {
                let outputs = Outputs::from([
                    ("function".to_owned(), physical.clone()),
                    ("version".to_owned(), version.to_string()),
                ]);
                versions.delete(context, &function.id, &outputs).await?;
                pruned
                    .versions
                    .entry(function.id.name.clone())
                    .or_default()
                    .push(version);
            }
        }
        let labels = facts
            .releases
            .iter()
            .filter(|(number, _)| kept.releases.contains(number));
        let mut needed: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
        for (bucket, content) in labels.flat_map(|(_, label)| &label.sites) {
            needed.entry(bucket).or_default().insert(content.clone());
        }
        for (bucket, contents) in needed {
            pruned.files += site::objects::prune(context, bucket, &contents).await?;
        }
        Ok(pruned)
    }
}
