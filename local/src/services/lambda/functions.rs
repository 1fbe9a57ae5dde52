//! Calls on functions themselves: code, configuration, concurrency, tags.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::address::{names_alias, new_name, tagged_name};
use super::model::{
    ConcurrencyInput, ConfigurationInput, CreateInput, FunctionRecord, UpdateCodeInput, Version, function_arn,
};
use super::publishing::publish;
use super::rules::{
    READ_FUNCTION, absent, check_revision, check_tags, conflict, invalid, missing, new_configuration,
    update_configuration,
};
use super::state::Change;
use super::view::{self, States};
use super::{Functions, Owner, StoredCode, hex_of, key};
use crate::ports::Architecture;
use crate::services::Fault;

/// Concurrency of an account, of which so much must stay unreserved.
const ACCOUNT_CONCURRENCY: u32 = 1000;
const UNRESERVED_MINIMUM: u32 = 100;

impl Functions {
    pub(super) fn create(
        &self,
        owner: Owner<'_>,
        input: CreateInput,
        configuration: ConfigurationInput,
        code: StoredCode,
    ) -> Result<Value, Fault> {
        let name = new_name(owner, input.function_name.as_deref().unwrap_or_default())?;
        if input.package_type.as_deref().is_some_and(|kind| kind != "Zip") {
            return Err(invalid("The local target does not run container images"));
        }
        let architecture = one_architecture(input.architectures)?;
        let configuration = new_configuration(owner, &name, architecture, configuration)?;
        let tags = input.tags.unwrap_or_default();
        check_tags(&tags, tags.keys())?;
        let mut records = self.records.lock();
        if records.contains_key(&owner.key(&name)) {
            return Err(conflict(format!("Function already exist: {name}")));
        }
        let mut latest = Version {
            version: "$LATEST".to_owned(),
            code_sha256: code.sha256,
            code_size: code.size,
            configuration,
            published_description: None,
            last_modified: modified(),
            revision_id: new_revision(),
            execution_id: Some(new_revision()),
            settling: None,
        };
        latest.begin(Change::Creation, self.settling_ms);
        let mut record = FunctionRecord {
            account: owner.account.to_owned(),
            region: owner.region.to_owned(),
            name,
            latest,
            versions: BTreeMap::new(),
            next_version: 1,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            reserved_concurrency: None,
            urls: BTreeMap::new(),
            invoke_configs: BTreeMap::new(),
            tags,
        };
        // The answer names the function itself, even when it is that of the version which was published with it.
        let arn = record.arn();
        let shown = match input.publish {
            Some(true) => {
                let version = publish(&mut record, None, self.settling_ms);
                view::configuration(&record, &version, &arn, States::Begun(Change::Creation))
            }
            _ => view::configuration(&record, &record.latest, &arn, States::Begun(Change::Creation)),
        };
        self.keep(&mut records, record)?;
        Ok(shown)
    }

    pub(super) fn update_code(
        &self,
        owner: Owner<'_>,
        name: &str,
        input: UpdateCodeInput,
        code: StoredCode,
    ) -> Result<Value, Fault> {
        let architecture = one_architecture(input.architectures)?;
        let change = |record: &mut FunctionRecord| {
            self.check_update(record, input.revision_id.as_deref())?;
            record.latest.code_sha256 = code.sha256;
            record.latest.code_size = code.size;
            record.latest.configuration.architecture = architecture;
            self.updated(record);
            if input.publish == Some(true) {
                let version = publish(record, None, self.settling_ms);
                let arn = format!("{}:{}", record.arn(), version.version);
                return Ok(view::configuration(
                    record,
                    &version,
                    &arn,
                    States::Begun(Change::Creation),
                ));
            }
            Ok(updating(record))
        };
        if input.dry_run == Some(true) {
            let mut copy = self.read(owner, name, |record| Ok(record.clone()))?;
            return change(&mut copy);
        }
        self.change(owner, name, change)
    }

    pub(super) fn update_configuration(
        &self,
        owner: Owner<'_>,
        name: &str,
        input: ConfigurationInput,
    ) -> Result<Value, Fault> {
        self.change(owner, name, |record| {
            self.check_update(record, input.revision_id.as_deref())?;
            update_configuration(owner, &mut record.latest.configuration, input)?;
            self.updated(record);
            Ok(updating(record))
        })
    }

    /// Whether `$LATEST` can be changed now, by a caller who knows this revision.
    fn check_update(&self, record: &FunctionRecord, revision: Option<&str>) -> Result<(), Fault> {
        record.latest.check_settled(&record.arn())?;
        check_revision(revision, record.latest.revision(), READ_FUNCTION)
    }

    /// Another code or configuration of `$LATEST` begins to take effect.
    fn updated(&self, record: &mut FunctionRecord) {
        let latest = &mut record.latest;
        latest.last_modified = modified();
        latest.revision_id = new_revision();
        latest.execution_id = Some(new_revision());
        latest.begin(Change::Update, self.settling_ms);
    }

    pub(super) fn get_configuration(
        &self,
        owner: Owner<'_>,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Value, Fault> {
        let unknown = || owner.unknown(name, qualifier);
        self.read_or(owner, name, unknown, |record| {
            let (version, arn) = find(owner, record, qualifier)?;
            Ok(view::configuration(record, version, &arn, States::Now))
        })
    }

    pub(super) fn get(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<Value, Fault> {
        let unknown = || owner.unknown(name, qualifier);
        self.read_or(owner, name, unknown, |record| {
            let (version, arn) = find(owner, record, qualifier)?;
            let location = self.downloads.url(owner.account, &hex_of(&version.code_sha256));
            let mut shown = json!({
                "Configuration": view::configuration(record, version, &arn, States::Now),
                "Code": {"RepositoryType": "S3", "Location": location},
            });
            if !record.tags.is_empty() {
                shown["Tags"] = json!(record.tags);
            }
            if let (Some(reserved), None) = (record.reserved_concurrency, qualifier) {
                shown["Concurrency"] = json!({"ReservedConcurrentExecutions": reserved});
            }
            Ok(shown)
        })
    }

    pub(super) fn delete(&self, owner: Owner<'_>, name: &str, qualifier: Option<&str>) -> Result<(), Fault> {
        if let Some(qualifier) = qualifier {
            return self.delete_version(owner, name, qualifier);
        }
        let mut records = self.records.lock();
        let record = records
            .get(&owner.key(name))
            .cloned()
            .ok_or_else(|| owner.unknown(name, None))?;
        crate::files::remove(&self.record_path(&record))?;
        records.remove(&key(&record));
        self.withdraw(&record.arn());
        self.collect_code(&records, &record);
        Ok(())
    }

    pub(super) fn list(&self, owner: Owner<'_>, every_version: bool) -> Vec<Value> {
        let records = self.records.lock();
        let of_caller = records
            .values()
            .filter(|record| record.account == owner.account && record.region == owner.region);
        of_caller
            .flat_map(|record| {
                let published = record.versions.values().filter(|_| every_version);
                [&record.latest].into_iter().chain(published).map(|version| {
                    let arn = if every_version {
                        format!("{}:{}", record.arn(), version.version)
                    } else {
                        record.arn()
                    };
                    view::configuration(record, version, &arn, States::Hidden)
                })
            })
            .collect()
    }

    pub(super) fn put_concurrency(
        &self,
        owner: Owner<'_>,
        name: &str,
        input: ConcurrencyInput,
    ) -> Result<Value, Fault> {
        let Some(wanted) = input.reserved_concurrent_executions else {
            return Err(absent("reservedConcurrentExecutions"));
        };
        let latest = || owner.unknown(name, Some("$LATEST"));
        self.read_or(owner, name, latest, |_| Ok(()))?;
        let others: u32 = self
            .records
            .lock()
            .values()
            .filter(|record| record.account == owner.account && record.region == owner.region && record.name != name)
            .filter_map(|record| record.reserved_concurrency)
            .sum();
        if others.saturating_add(wanted) > ACCOUNT_CONCURRENCY - UNRESERVED_MINIMUM {
            return Err(Fault::new(
                400,
                "InvalidParameterValueException",
                format!(
                    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
                     its minimum value of [{UNRESERVED_MINIMUM}]."
                ),
            ));
        }
        self.change(owner, name, |record| {
            record.reserved_concurrency = Some(wanted);
            Ok(json!({"ReservedConcurrentExecutions": wanted}))
        })
    }

    pub(super) fn get_concurrency(&self, owner: Owner<'_>, name: &str) -> Result<Value, Fault> {
        self.read(owner, name, |record| {
            Ok(record.reserved_concurrency.map_or_else(
                || json!({}),
                |reserved| json!({"ReservedConcurrentExecutions": reserved}),
            ))
        })
    }

    pub(super) fn delete_concurrency(&self, owner: Owner<'_>, name: &str) -> Result<(), Fault> {
        self.change(owner, name, |record| {
            record.reserved_concurrency = None;
            Ok(())
        })
    }

    /// Limits and use of the account.
    pub(super) fn account_settings(&self, owner: Owner<'_>) -> Value {
        let records = self.records.lock();
        let of_caller: Vec<_> = records
            .values()
            .filter(|record| record.account == owner.account && record.region == owner.region)
            .collect();
        let reserved: u32 = of_caller.iter().filter_map(|record| record.reserved_concurrency).sum();
        let code: u64 = of_caller
            .iter()
            .flat_map(|record| record.versions.values().chain([&record.latest]))
            .map(|version| version.code_size)
            .sum();
        json!({
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800_u64,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                "UnreservedConcurrentExecutions": ACCOUNT_CONCURRENCY - reserved,
            },
            "AccountUsage": {"TotalCodeSize": code, "FunctionCount": of_caller.len()},
        })
    }

    /// Changes the tags of a function, named by ARN, and returns them.
    pub(crate) fn tags(
        &self,
        owner: Owner<'_>,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<BTreeMap<String, String>, Fault> {
        let name = tagged_name(owner, arn)?;
        let mut records = self.records.lock();
        let mut next = records
            .get(&owner.key(&name))
            .cloned()
            .ok_or_else(|| owner.unknown(&name, None))?;
        let before = next.tags.clone();
        change(&mut next.tags);
        let tags = next.tags.clone();
        let given = tags.iter().filter(|(key, value)| before.get(*key) != Some(*value));
        check_tags(&tags, given.map(|(key, _)| key))?;
        if records.get(&owner.key(&name)).is_some_and(|record| record.tags != tags) {
            self.keep(&mut records, next)?;
        }
        Ok(tags)
    }
}

/// The version that a qualifier stands for, and the ARN as it was addressed.
pub(super) fn find<'record>(
    owner: Owner<'_>,
    record: &'record FunctionRecord,
    qualifier: Option<&str>,
) -> Result<(&'record Version, String), Fault> {
    let Some(qualifier) = qualifier else {
        return Ok((&record.latest, record.arn()));
    };
    let arn = format!("{}:{qualifier}", record.arn());
    let name = record
        .aliases
        .get(qualifier)
        .map_or(qualifier, |alias| alias.function_version.as_str());
    record
        .version(name)
        .map(|version| (version, arn))
        .ok_or_else(|| owner.unknown(&record.name, Some(qualifier)))
}

/// What the answer to an update shows: it takes effect a moment later.
fn updating(record: &FunctionRecord) -> Value {
    view::configuration(record, &record.latest, &record.arn(), States::Begun(Change::Update))
}

fn one_architecture(given: Option<Vec<Architecture>>) -> Result<Architecture, Fault> {
    match given.as_deref() {
        None => Ok(Architecture::X86_64),
        Some([architecture]) => Ok(*architecture),
        Some(_) => Err(invalid("A function has one architecture.")),
    }
}

/// The same for operations that tell an alias which is not there from a version.
pub(super) fn find_or_alias<'record>(
    owner: Owner<'_>,
    record: &'record FunctionRecord,
    qualifier: Option<&str>,
) -> Result<(&'record Version, String), Fault> {
    let found = find(owner, record, qualifier);
    found.map_err(|_| unknown_qualifier(owner, &record.name, qualifier.unwrap_or_default()))
}

/// The refusal of a version or alias that is not there.
pub(super) fn unknown_qualifier(owner: Owner<'_>, name: &str, qualifier: &str) -> Fault {
    if !names_alias(qualifier) {
        return owner.unknown(name, Some(qualifier));
    }
    let arn = function_arn(owner.account, owner.region, name);
    missing(format!("Cannot find alias arn: {arn}:{qualifier}"))
}

pub(super) fn new_revision() -> String {
    Uuid::new_v4().to_string()
}

/// Now, as the service writes times.
pub(super) fn modified() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%3f+0000")
        .to_string()
}
