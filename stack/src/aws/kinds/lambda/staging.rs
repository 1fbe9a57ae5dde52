//! Packages on their way to Lambda. Each is uploaded to the control bucket once and named in the calls that need it: those
//! calls are repeated until Lambda knows a new role, and the package is not sent again with each of them. It streams from
//! the disk, so that memory does not grow with the packages.

use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;

/// The packages of a run.
#[derive(Debug, Default)]
pub struct Staging {
    packages: RwLock<BTreeMap<String, Arc<Package>>>,
}

#[derive(Debug)]
struct Package {
    path: PathBuf,
    place: Place,
    put: OnceCell<()>,
}

/// Where Lambda finds a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
}

impl Staging {
    fn package(&self, code_sha256: &str) -> Option<Arc<Package>> {
        let packages = self.packages.read();
        packages.get(code_sha256).cloned()
    }
}

fn failed(message: String) -> AwsError {
    AwsError::own("taskctl", "package", ErrorKind::Invalid, message)
}

impl Context {
    /// Makes a function's package known, by the base64 SHA-256 that AWS shows.
    pub fn add_package(&self, bucket: &str, code_sha256: &str, zip: &Path) {
        let name = code_sha256.replace('/', "_").replace('+', "-");
        let package = Package {
            path: zip.to_owned(),
            place: Place {
                bucket: bucket.to_owned(),
                key: format!("{}{name}.zip", self.packages_prefix()),
            },
            put: OnceCell::new(),
        };
        let staging = self.extension::<Staging>();
        staging
            .packages
            .write()
            .insert(code_sha256.to_owned(), Arc::new(package));
    }

    /// Uploads a package to where Lambda finds it, once a run.
    pub async fn stage(&self, code_sha256: &str) -> Result<Place, AwsError> {
        let package = self.extension::<Staging>().package(code_sha256).ok_or_else(|| {
            failed(format!(
                "no package with CodeSha256 {code_sha256} was built in this run"
            ))
        })?;
        package
            .put
            .get_or_try_init(|| self.put_package(code_sha256, &package))
            .await?;
        Ok(package.place.clone())
    }

    async fn put_package(&self, code_sha256: &str, package: &Package) -> Result<(), AwsError> {
        let path = &package.path;
        let hash = hash(path).map_err(|error| failed(format!("reading {} failed: {error}", path.display())))?;
        if hash != code_sha256 {
            return Err(failed(format!(
                "{} has changed while it was being deployed",
                path.display()
            )));
        }
        let client = &self.clients().s3;
        let put = self.call(op("s3", "PutObject").upload(), || async {
            let body = ByteStream::from_path(path).await;
            client
                .put_object()
                .bucket(&package.place.bucket)
                .key(&package.place.key)
                .content_type("application/zip")
                .expected_bucket_owner(&self.identity().account)
                .body(body.map_err(SdkError::construction_failure)?)
                .send()
                .await
        });
        put.await.map(drop)
    }

    /// Deletes the uploaded packages; Lambda has copies of its own.
    pub async fn unstage(&self) -> Result<(), AwsError> {
        let places: Vec<Place> = {
            let staging = self.extension::<Staging>();
            let packages = staging.packages.read();
            let put = packages.values().filter(|package| package.put.initialized());
            put.map(|package| package.place.clone()).collect()
        };
        let Some(bucket) = places.first().map(|place| place.bucket.clone()) else {
            return Ok(());
        };
        self.delete_packages(&bucket, places.into_iter().map(|place| place.key).collect())
            .await
    }

    /// Where the control bucket keeps this stage's packages.
    pub(in crate::aws) fn packages_prefix(&self) -> String {
        let identity = self.identity();
        format!("{}/{}/packages/", identity.app, identity.stage)
    }

    /// Deletes packages from the control bucket.
    pub(in crate::aws) async fn delete_packages(&self, bucket: &str, keys: Vec<String>) -> Result<(), AwsError> {
        let client = &self.clients().s3;
        // A request takes 1,000 keys: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
        for some in keys.chunks(1_000) {
            let objects = some
                .iter()
                .filter_map(|key| ObjectIdentifier::builder().key(key).build().ok());
            let Ok(delete) = Delete::builder()
                .set_objects(Some(objects.collect()))
                .quiet(true)
                .build()
            else {
                continue;
            };
            self.call(op("s3", "DeleteObjects").even_when_stopped(), || {
                client
                    .delete_objects()
                    .bucket(bucket)
                    .delete(delete.clone())
                    .expected_bucket_owner(&self.identity().account)
                    .send()
            })
            .await?;
        }
        Ok(())
    }
}

/// base64 of a file's SHA-256.
fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut block)? {
            0 => return Ok(base64::engine::general_purpose::STANDARD.encode(hasher.finalize())),
            read => hasher.update(&block[..read]),
        }
    }
}
