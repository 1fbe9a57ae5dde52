//! The control plane of functions: code, configuration, versions, aliases, policies, concurrency, tags.
//!
//! Kept here rather than in the emulator because releases are built on versions, aliases and their policies, and the
//! runtime host needs code and configuration of each anyway.

mod actions;
mod address;
mod call;
mod constraints;
mod event_invoke;
mod functions;
pub(crate) mod mappings;
mod model;
mod policy;
mod publishing;
mod rest;
mod rules;
mod state;
mod urls;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

pub(crate) use self::actions::FUNCTION_ARN;
pub(crate) use self::model::CodeInput;
use self::model::{FunctionRecord, Version, function_arn};
pub(crate) use self::rest::{Needs, addressed, check_shape, needs};
use self::rules::missing;
use super::Fault;
use crate::error::LocalError;
use crate::files;
use crate::keys::Keys;
use crate::ports::{
    Asynchronous, FunctionAddress, FunctionCode, FunctionNotFound, FunctionSource, FunctionVersion, Resolved,
    WeightedVersion,
};
use crate::protocol::OWN_PATHS;

use crate::signing::{self, Payload, Signable};

/// Names a function: account, region, name.
type Key = (String, String, String);

/// Where zips can be fetched: from the endpoint, by URLs that are presigned as those of S3 are.
pub(crate) struct Downloads {
    /// The endpoint.
    pub endpoint_url: String,
    /// Signs URLs.
    pub keys: Keys,
}

impl Downloads {
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html>: good for ten minutes.
    const LIFE: Duration = Duration::from_secs(10 * 60);

    fn url(&self, account: &str, hash: &str) -> String {
        let url = format!("{}{OWN_PATHS}code/{hash}", self.endpoint_url);
        let request = Signable {
            method: "GET",
            url: &url,
            headers: &[],
            body: Payload::Bytes(b""),
        };
        signing::presigned_url(
            &self.keys.of_account(account),
            signing::own_scope(),
            request,
            Self::LIFE,
        )
        .unwrap_or(url)
    }
}

/// All functions.
pub(crate) struct Functions {
    directory: PathBuf,
    /// Where zips can be fetched, and by whom.
    downloads: Downloads,
    /// How long a change takes until it is in effect.
    settling_ms: u64,
    records: Mutex<BTreeMap<Key, FunctionRecord>>,
    /// The runtime host's view of each, by unqualified ARN.
    served: RwLock<BTreeMap<String, Arc<Served>>>,
    changes: watch::Sender<u64>,
}

/// A function as the runtime host sees it.
struct Served {
    record: FunctionRecord,
    versions: BTreeMap<String, Arc<FunctionVersion>>,
}

/// Whose call it is: functions are seen only by their own account in their own region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'call> {
    pub account: &'call str,
    pub region: &'call str,
}

/// The owner of the functions of unit tests.
#[cfg(test)]
const TEST_OWNER: Owner<'static> = Owner {
    account: "000000000000",
    region: "eu-central-1",
};

/// A zip that came with a call, written to disk and named by its hash.
#[derive(Debug, Clone)]
pub(crate) struct StoredCode {
    /// base64(sha256(zip)).
    pub sha256: String,
    pub size: u64,
}

impl Functions {
    /// Reads the state on disk. Changes take so many milliseconds until they are in effect.
    pub(crate) fn open(directory: &Path, downloads: Downloads, settling_ms: u64) -> Result<Self, LocalError> {
        let functions = Self {
            directory: directory.to_owned(),
            downloads,
            settling_ms,
            records: Mutex::default(),
            served: RwLock::default(),
            changes: watch::Sender::new(0),
        };
        for path in files::children(&directory.join("records"))? {
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(record) = files::read_json::<FunctionRecord>(&path)?
            {
                functions.publish(&record);
                functions.records.lock().insert(key(&record), record);
            }
        }
        Ok(functions)
    }

    /// ARN and tags of every function of an account and region.
    pub(crate) fn tagged(&self, account: &str, region: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let of_caller = |record: &&FunctionRecord| record.account == account && record.region == region;
        self.records
            .lock()
            .values()
            .filter(of_caller)
            .map(|record| (record.arn(), record.tags.clone()))
            .collect()
    }

    fn record_path(&self, record: &FunctionRecord) -> PathBuf {
        let FunctionRecord {
            account, region, name, ..
        } = record;
        self.directory
            .join("records")
            .join(format!("{account}.{region}.{name}.json"))
    }

    fn code_path(&self, sha256: &str) -> PathBuf {
        self.directory.join("code").join(format!("{}.zip", hex_of(sha256)))
    }

    fn read<T>(
        &self,
        owner: Owner<'_>,
        name: &str,
        look: impl FnOnce(&FunctionRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.read_or(owner, name, || owner.unknown(name, None), look)
    }

    /// The same, with a refusal of its own where there is no such function.
    fn read_or<T>(
        &self,
        owner: Owner<'_>,
        name: &str,
        absent: impl FnOnce() -> Fault,
        look: impl FnOnce(&FunctionRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        look(self.records.lock().get(&owner.key(name)).ok_or_else(absent)?)
    }

    /// Changes a function of the caller: kept on disk, then visible. Nothing changes when `change` or the disk refuses.
    fn change<T>(
        &self,
        owner: Owner<'_>,
        name: &str,
        change: impl FnOnce(&mut FunctionRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.change_or(owner, name, || owner.unknown(name, None), change)
    }

    /// The same, with a refusal of its own where there is no such function.
    fn change_or<T>(
        &self,
        owner: Owner<'_>,
        name: &str,
        absent: impl FnOnce() -> Fault,
        change: impl FnOnce(&mut FunctionRecord) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut records = self.records.lock();
        let mut next = records.get(&owner.key(name)).cloned().ok_or_else(absent)?;
        let result = change(&mut next)?;
        self.keep(&mut records, next)?;
        Ok(result)
    }

    fn keep(&self, records: &mut BTreeMap<Key, FunctionRecord>, record: FunctionRecord) -> Result<(), Fault> {
        files::write_json(&self.record_path(&record), &record)?;
        self.publish(&record);
        records.insert(key(&record), record);
        Ok(())
    }

    /// Makes a function visible to the runtime host.
    fn publish(&self, record: &FunctionRecord) {
        let arn = record.arn();
        let mut served = self.served.write();
        let before = served.get(&arn).cloned();
        let version = |version: &Version| {
            let known = before.as_ref().and_then(|before| before.versions.get(&version.version));
            let known = known.filter(|known| known.revision == revision(&arn, version));
            (
                version.version.clone(),
                known
                    .cloned()
                    .unwrap_or_else(|| Arc::new(self.runnable(record, version))),
            )
        };
        let versions = record.versions.values().chain([&record.latest]).map(version).collect();
        served.insert(
            arn,
            Arc::new(Served {
                record: record.clone(),
                versions,
            }),
        );
        drop(served);
        self.changes.send_modify(|count| *count += 1);
    }

    fn withdraw(&self, arn: &str) {
        self.served.write().remove(arn);
        self.changes.send_modify(|count| *count += 1);
    }

    fn runnable(&self, record: &FunctionRecord, version: &Version) -> FunctionVersion {
        let configuration = &version.configuration;
        FunctionVersion {
            function_arn: record.arn(),
            function_name: record.name.clone(),
            version: version.version.clone(),
            revision: revision(&record.arn(), version),
            code: FunctionCode {
                zip: self.code_path(&version.code_sha256),
                sha256: version.code_sha256.clone(),
                size: version.code_size,
            },
            runtime: configuration.runtime.clone(),
            handler: configuration.handler.clone(),
            role: configuration.role.clone(),
            architecture: configuration.architecture,
            memory_mb: configuration.memory_mb,
            ephemeral_storage_mb: configuration.ephemeral_storage_mb,
            timeout: Duration::from_secs(configuration.timeout_seconds.into()),
            environment: configuration.environment.clone().unwrap_or_default(),
            log_group: configuration.log_group.clone(),
            log_format: configuration.log_format,
            application_log_level: configuration.application_log_level.clone(),
            system_log_level: configuration.system_log_level.clone(),
            tracing: configuration.tracing,
        }
    }

    /// Checks a zip and keeps it under its hash.
    pub(crate) fn store_code(&self, zip: &[u8]) -> Result<StoredCode, Fault> {
        const UNZIPPED_LIMIT: u64 = 250 * 1024 * 1024;
        if zip.is_empty() {
            return Err(rules::invalid("Uploaded file must be a non-empty zip"));
        }
        let unreadable =
            || rules::invalid("Could not unzip uploaded file. Please check your file, then try to upload again.");
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).map_err(|_| unreadable())?;
        let mut unzipped = 0u64;
        for index in 0..archive.len() {
            unzipped += archive.by_index_raw(index).map_err(|_| unreadable())?.size();
        }
        if archive.is_empty() {
            return Err(rules::invalid("Uploaded file must be a non-empty zip"));
        }
        if unzipped > UNZIPPED_LIMIT {
            return Err(rules::invalid(format!(
                "Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"
            )));
        }
        let sha256 = BASE64.encode(Sha256::digest(zip));
        let path = self.code_path(&sha256);
        if !path.exists() {
            files::write(&path, zip)?;
        }
        Ok(StoredCode {
            sha256,
            size: zip.len().try_into().unwrap_or(u64::MAX),
        })
    }

    /// Removes zips that no version names any more.
    fn collect_code(&self, records: &BTreeMap<Key, FunctionRecord>, removed: &FunctionRecord) {
        let used: Vec<&str> = records
            .values()
            .flat_map(|record| record.versions.values().chain([&record.latest]))
            .map(|version| version.code_sha256.as_str())
            .collect();
        for version in removed.versions.values().chain([&removed.latest]) {
            if !used.contains(&version.code_sha256.as_str()) {
                let _ = files::remove(&self.code_path(&version.code_sha256));
            }
        }
    }

    /// The zip behind a hash in hexadecimal, for downloads.
    pub(crate) fn code(&self, hex: &str) -> Option<Vec<u8>> {
        let plain = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| std::fs::read(self.directory.join("code").join(format!("{hex}.zip"))).ok())?
    }
}

impl FunctionSource for Functions {
    fn resolve(&self, address: &FunctionAddress) -> Result<Resolved, FunctionNotFound> {
        let unknown = || FunctionNotFound {
            address: address.qualified_arn(),
        };
        let served = self.served.read().get(&address.function_arn).cloned();
        let served = served.ok_or_else(unknown)?;
        let version = |name: &str| {
            let found = served.versions.get(name).cloned().ok_or_else(unknown)?;
            // A version that is being made is not there yet for who calls it.
            match served.record.is_pending(name) {
                true => Err(unknown()),
                false => Ok(found),
            }
        };
        let qualifier = address.qualifier.as_deref().unwrap_or("$LATEST");
        let targets = match served.record.aliases.get(qualifier) {
            None => vec![WeightedVersion {
                version: version(qualifier)?,
                weight: 1.0,
            }],
            Some(alias) => {
                let shifted: f64 = alias.weights.values().sum();
                let mut targets = vec![WeightedVersion {
                    version: version(&alias.function_version)?,
                    weight: 1.0 - shifted,
                }];
                for (name, weight) in &alias.weights {
                    targets.push(WeightedVersion {
                        version: version(name)?,
                        weight: *weight,
                    });
                }
                targets
            }
        };
        Ok(Resolved {
            targets,
            reserved_concurrency: served.record.reserved_concurrency,
        })
    }

    fn may_invoke(&self, address: &FunctionAddress, principal: &str, source_arn: &str) -> bool {
        let served = self.served.read().get(&address.function_arn).cloned();
        let qualifier = policy::slot(address.qualifier.as_deref());
        served
            .and_then(|served| {
                served
                    .record
                    .policies
                    .get(qualifier)
                    .map(|found| policy::allows(found, principal, source_arn))
            })
            .unwrap_or(false)
    }

    fn asynchronous(&self, address: &FunctionAddress) -> Asynchronous {
        let Some(served) = self.served.read().get(&address.function_arn).cloned() else {
            return Asynchronous::default();
        };
        let record = &served.record;
        let slot = address.qualifier.as_deref().unwrap_or(event_invoke::LATEST);
        let version = record
            .aliases
            .get(slot)
            .map_or(slot, |alias| alias.function_version.as_str());
        let dead_letter = record
            .version(version)
            .and_then(|version| version.configuration.dead_letter.as_ref());
        let dead_letters = dead_letter
            .and_then(|config| config["TargetArn"].as_str())
            .map(str::to_owned);
        let config = record.invoke_configs.get(slot).cloned().unwrap_or_default();
        let default = Asynchronous::default();
        Asynchronous {
            retries: config
                .retries
                .and_then(|retries| retries.try_into().ok())
                .unwrap_or(default.retries),
            maximum_age: config
                .maximum_age_seconds
                .map_or(default.maximum_age, Duration::from_secs),
            on_success: config.on_success,
            on_failure: config.on_failure,
            dead_letters,
        }
    }

    fn versions(&self) -> Vec<Arc<FunctionVersion>> {
        let served = self.served.read();
        served
            .values()
            .flat_map(|function| function.versions.values().cloned())
            .collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Owner<'_> {
    fn key(self, name: &str) -> Key {
        (self.account.to_owned(), self.region.to_owned(), name.to_owned())
    }

    fn unknown(self, name: &str, qualifier: Option<&str>) -> Fault {
        let arn = function_arn(self.account, self.region, name);
        let suffix = qualifier.map(|qualifier| format!(":{qualifier}")).unwrap_or_default();
        missing(format!("Function not found: {arn}{suffix}"))
    }
}

fn key(record: &FunctionRecord) -> Key {
    (record.account.clone(), record.region.clone(), record.name.clone())
}

/// Unique over functions that are deleted and made again under the same name.
fn revision(arn: &str, version: &Version) -> String {
    let id = version.execution_id.as_ref().unwrap_or(&version.revision_id);
    format!("{arn}:{}:{id}", version.version)
}

/// The hash as a file name: base64 has slashes.
fn hex_of(sha256: &str) -> String {
    hex(&BASE64.decode(sha256).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::io::{Cursor, Write as _};

    use super::*;

    /// A zip of this many bytes in chunks of zeros, packed or not.
    fn zip_of(megabytes: usize, method: zip::CompressionMethod) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file("bootstrap", options).unwrap();
        for _ in 0..megabytes {
            zip.write_all(&vec![0; 1024 * 1024]).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_zip_from_a_bucket_is_bounded_by_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let downloads = Downloads {
            endpoint_url: String::new(),
            keys: Keys::random().unwrap(),
        };
        let functions = Functions::open(directory.path(), downloads, 0).unwrap();
        let large = zip_of(51, zip::CompressionMethod::Stored);
        assert!(functions.store_code(&large).is_ok());
        let larger = zip_of(251, zip::CompressionMethod::Deflated);
        let refused = functions.store_code(&larger).unwrap_err();
        assert_eq!(refused.message, "Unzipped size must be smaller than 262144000 bytes");
    }
}
