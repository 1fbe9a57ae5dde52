//! Calls on versions and aliases.

use serde_json::{Value, json};

use super::functions::{find, find_or_alias, new_revision, unknown_qualifier};
use super::model::{Alias, AliasInput, FunctionRecord, PublishInput, Version};
use super::rules::{
    READ_FUNCTION, absent, check_alias, check_alias_name, check_revision, check_weights, conflict, invalid, missing,
};
use super::state::{Change, pending};
use super::view::{self, States};
use super::{Functions, Owner};
use crate::services::Fault;

/// Publishes `$LATEST`. When neither code nor configuration changed since the last version, that one is the answer.
/// A new one takes so many milliseconds until it is ready.
pub(super) fn publish(record: &mut FunctionRecord, description: Option<String>, settling_ms: u64) -> Version {
    let latest = &record.latest;
    let same =
        |version: &&Version| version.code_sha256 == latest.code_sha256 && version.configuration == latest.configuration;
    if let Some(last) = record.versions.values().next_back().filter(same) {
        return last.clone();
    }
    let number = record.next_version;
    let mut version = Version {
        version: number.to_string(),
        published_description: description.filter(|text| !text.is_empty()),
        revision_id: new_revision(),
        execution_id: Some(new_revision()),
        ..latest.clone()
    };
    version.begin(Change::Creation, settling_ms);
    record.versions.insert(number, version.clone());
    record.next_version = number + 1;
    version
}

impl Functions {
    pub(super) fn publish_version(&self, owner: Owner<'_>, name: &str, input: PublishInput) -> Result<Value, Fault> {
        self.change(owner, name, |record| {
            record.latest.check_settled(&record.arn())?;
            check_revision(input.revision_id.as_deref(), record.latest.revision(), READ_FUNCTION)?;
            let current = &record.latest.code_sha256;
            if let Some(given) = input.code_sha256.filter(|given| !given.is_empty() && given != current) {
                return Err(invalid(format!(
                    "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with \
                     the CodeSHA256 in $LATEST."
                )));
            }
            let version = publish(record, input.description, self.settling_ms);
            let arn = format!("{}:{}", record.arn(), version.version);
            Ok(view::configuration(record, &version, &arn, States::Ready))
        })
    }

    pub(super) fn list_versions(&self, owner: Owner<'_>, name: &str) -> Result<Vec<Value>, Fault> {
        self.read(owner, name, |record| {
            let all = [&record.latest].into_iter().chain(record.versions.values());
            let shown = |version: &Version| {
                let arn = format!("{}:{}", record.arn(), version.version);
                view::configuration(record, version, &arn, States::Hidden)
            };
            Ok(all.map(shown).collect())
        })
    }

    pub(super) fn delete_version(&self, owner: Owner<'_>, name: &str, qualifier: &str) -> Result<(), Fault> {
        let removed = self.change(owner, name, |record| {
            if qualifier == "$LATEST" {
                return Err(invalid(
                    "$LATEST version cannot be deleted without deleting the function.",
                ));
            }
            let Ok(number) = qualifier.parse::<u64>() else {
                return Err(invalid("Deletion of aliases is not currently supported."));
            };
            let names = |alias: &&Alias| alias.function_version == qualifier || alias.weights.contains_key(qualifier);
            if let Some(alias) = record.aliases.values().find(names) {
                return Err(conflict(format!(
                    "Unable to delete version because the following aliases reference it: [{}]",
                    alias.name
                )));
            }
            let before = record.clone();
            record.policies.remove(qualifier);
            // One that is not there is deleted already.
            record.versions.remove(&number);
            Ok(before)
        })?;
        self.collect_code(&self.records.lock(), &removed);
        Ok(())
    }

    pub(super) fn create_alias(&self, owner: Owner<'_>, name: &str, input: AliasInput) -> Result<Value, Fault> {
        let alias_name = input.name.clone().unwrap_or_default();
        check_alias_name(&alias_name)?;
        check_weights(&input)?;
        let Some(version) = input.function_version.clone() else {
            return Err(absent("functionVersion"));
        };
        let unknown = || owner.unknown(name, Some(&version));
        self.change_or(owner, name, unknown, |record| {
            let version = version.clone();
            if record.is_pending("$LATEST") {
                return Err(pending());
            }
            check_alias(record, &version, &input)?;
            if record.aliases.contains_key(&alias_name) {
                return Err(conflict(format!("Alias already exists: {}:{alias_name}", record.arn())));
            }
            let alias = Alias {
                name: alias_name.clone(),
                function_version: version,
                description: input.description.unwrap_or_default(),
                weights: input
                    .routing_config
                    .and_then(|routing| routing.additional_version_weights)
                    .unwrap_or_default(),
                revision_id: new_revision(),
            };
            let shown = view::alias(record, &alias);
            record.aliases.insert(alias_name, alias);
            Ok(shown)
        })
    }

    pub(super) fn update_alias(
        &self,
        owner: Owner<'_>,
        name: &str,
        alias_name: &str,
        input: AliasInput,
    ) -> Result<Value, Fault> {
        check_weights(&input)?;
        self.change(owner, name, |record| {
            let mut alias = record
                .aliases
                .get(alias_name)
                .cloned()
                .ok_or_else(|| missing(format!("Alias not found: {}:{alias_name}", record.arn())))?;
            check_revision(input.revision_id.as_deref(), &alias.revision_id, READ_FUNCTION)?;
            let version = input
                .function_version
                .clone()
                .unwrap_or_else(|| alias.function_version.clone());
            check_alias(record, &version, &input)?;
            if version != alias.function_version {
                // Another version resets the routing, unless the same call sets it.
                alias.weights.clear();
                alias.function_version = version;
            }
            if let Some(weights) = input
                .routing_config
                .map(|routing| routing.additional_version_weights.unwrap_or_default())
            {
                alias.weights = weights;
            }
            if let Some(description) = input.description {
                alias.description = description;
            }
            alias.revision_id = new_revision();
            let shown = view::alias(record, &alias);
            record.aliases.insert(alias_name.to_owned(), alias);
            Ok(shown)
        })
    }

    pub(super) fn get_alias(&self, owner: Owner<'_>, name: &str, alias_name: &str) -> Result<Value, Fault> {
        self.read(owner, name, |record| {
            let alias = record
                .aliases
                .get(alias_name)
                .ok_or_else(|| missing(format!("Cannot find alias arn: {}:{alias_name}", record.arn())))?;
            Ok(view::alias(record, alias))
        })
    }

    pub(super) fn list_aliases(
        &self,
        owner: Owner<'_>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Vec<Value>, Fault> {
        self.read(owner, name, |record| {
            let wanted = |alias: &&Alias| {
                version.is_none_or(|version| alias.function_version == version || alias.weights.contains_key(version))
            };
            Ok(record
                .aliases
                .values()
                .filter(wanted)
                .map(|alias| view::alias(record, alias))
                .collect())
        })
    }

    /// Deleting an alias that is not there succeeds.
    pub(super) fn delete_alias(&self, owner: Owner<'_>, name: &str, alias_name: &str) -> Result<(), Fault> {
        self.change(owner, name, |record| {
            record.aliases.remove(alias_name);
            record.policies.remove(alias_name);
            record.urls.remove(alias_name);
            record.invoke_configs.remove(alias_name);
            Ok(())
        })
    }

    /// Checks that an invocation addresses something, and names it in full.
    pub(crate) fn address(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<crate::ports::FunctionAddress, Fault> {
        let unknown = || owner.unknown(name, qualifier);
        self.read_or(owner, name, unknown, |record| {
            let (version, _) = find(owner, record, qualifier)?;
            if version.change() == Some(Change::Creation) {
                return Err(pending());
            }
            Ok(crate::ports::FunctionAddress {
                function_arn: record.arn(),
                qualifier: qualifier.map(str::to_owned),
            })
        })
    }

    /// Provisioned concurrency of an alias or a version: there is none.
    pub(super) fn get_provisioned_concurrency(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Value, Fault> {
        let Some(qualifier) = qualifier.filter(|qualifier| *qualifier != "$LATEST") else {
            return Err(invalid(
                "The function resource provided must be an alias or a published version.",
            ));
        };
        let unknown = || unknown_qualifier(owner, name, qualifier);
        self.read_or(owner, name, unknown, |record| {
            find_or_alias(owner, record, Some(qualifier))?;
            Err(Fault::new(
                404,
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
            )
            .with("Type", "User"))
        })
    }

    /// Provisioned concurrency: there is none.
    pub(super) fn provisioned_concurrency(&self, owner: Owner<'_>, name: &str) -> Result<Value, Fault> {
        self.read(owner, name, |_| Ok(json!({"ProvisionedConcurrencyConfigs": []})))
    }
}
