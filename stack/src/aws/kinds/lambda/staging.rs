//! Packages on their way to Lambda. Each is uploaded to the control bucket once and named in the calls that need it: those
//! calls are repeated until Lambda knows a new role, and the package is not sent again with each of them. It streams from
//! the disk, so that memory does not grow with the packages.

use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};

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

/// Longest package that is sent whole.
const WHOLE: u64 = 8 << 20;
/// Length of a part, the shortest that S3 takes: one has to arrive within the limit of a call ([`Op::upload`]), which is two megabits
/// a second for two of them.
///
/// [`Op::upload`]: crate::aws::client::op::Op::upload
const PART: u64 = 5 << 20;

/// Turns of uploads: more at once would share a slow line, and none would arrive in time.
struct Uploads(Semaphore);

impl Default for Uploads {
    fn default() -> Self {
        Self(Semaphore::new(2))
    }
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
        let size =
            std::fs::metadata(path).map_err(|error| failed(format!("reading {} failed: {error}", path.display())))?;
        match size.len() {
            0..=WHOLE => self.put_whole(package).await,
            size => self.put_in_parts(package, size).await,
        }
    }

    async fn put_whole(&self, package: &Package) -> Result<(), AwsError> {
        let client = &self.clients().s3;
        let uploads = self.extension::<Uploads>();
        let _turn = uploads.0.acquire().await;
        let put = self.call(op("s3", "PutObject").upload(), || async {
            let body = ByteStream::from_path(&package.path).await;
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

    /// Uploads in parts, each of which is sent again by itself. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>
    async fn put_in_parts(&self, package: &Package, size: u64) -> Result<(), AwsError> {
        let client = &self.clients().s3;
        let Place { bucket, key } = &package.place;
        let owner = &self.identity().account;
        let begun = self.call(op("s3", "CreateMultipartUpload"), || {
            client
                .create_multipart_upload()
                .bucket(bucket)
                .key(key)
                .content_type("application/zip")
                .expected_bucket_owner(owner)
                .send()
        });
        let upload = begun.await?.upload_id.unwrap_or_default();
        let parts = (0..size.div_ceil(PART)).map(|place| self.put_part(package, &upload, place, size));
        let sent = async {
            let parts: Vec<CompletedPart> = futures::future::try_join_all(parts).await?;
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            self.call(op("s3", "CompleteMultipartUpload"), || {
                client
                    .complete_multipart_upload()
                    .bucket(bucket)
                    .key(key)
                    .upload_id(&upload)
                    .multipart_upload(parts.clone())
                    .expected_bucket_owner(owner)
                    .send()
            })
            .await
        };
        let Err(error) = sent.await else { return Ok(()) };
        // What was sent would be kept, and paid for. The error is why it ended, whatever comes of this.
        let aborted = self.call(op("s3", "AbortMultipartUpload").even_when_stopped(), || {
            client
                .abort_multipart_upload()
                .bucket(bucket)
                .key(key)
                .upload_id(&upload)
                .expected_bucket_owner(owner)
                .send()
        });
        drop(aborted.await);
        Err(error)
    }

    async fn put_part(
        &self,
        package: &Package,
        upload: &str,
        place: u64,
        size: u64,
    ) -> Result<CompletedPart, AwsError> {
        let client = &self.clients().s3;
        let number = i32::try_from(place + 1).unwrap_or(i32::MAX);
        let (begin, length) = (place * PART, PART.min(size - place * PART));
        let uploads = self.extension::<Uploads>();
        let _turn = uploads.0.acquire().await;
        let put = self.call(op("s3", "UploadPart").upload(), || async {
            let part = ByteStream::read_from().path(&package.path).offset(begin);
            let part = part.length(Length::Exact(length)).build().await;
            client
                .upload_part()
                .bucket(&package.place.bucket)
                .key(&package.place.key)
                .upload_id(upload)
                .part_number(number)
                .expected_bucket_owner(&self.identity().account)
                .body(part.map_err(SdkError::construction_failure)?)
                .send()
                .await
        });
        let etag = put.await?.e_tag;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(etag).build())
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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::clients;

    /// What is called to upload a package of so many bytes; `refused` is a part that never arrives.
    async fn calls(size: u64, refused: Option<&'static str>) -> (Vec<String>, bool) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let fake = clients("eu-central-1", move |call| {
            let verb = call.operation.split(' ').next().unwrap_or_default().to_owned();
            let part = call.fields.get("partNumber").cloned();
            let what = match (verb.as_str(), &part, call.fields.contains_key("uploads")) {
                ("PUT", None, _) => "whole".to_owned(),
                ("PUT", Some(part), _) => format!("part {part}"),
                ("POST", _, true) => "begin".to_owned(),
                ("POST", _, false) => "complete".to_owned(),
                _ => "abort".to_owned(),
            };
            seen.lock().push(what);
            if refused.is_some() && part.as_deref() == refused {
                return (
                    403,
                    b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_vec(),
                );
            }
            let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            let complete = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
            match verb.as_str() {
                "POST" if call.fields.contains_key("uploads") => (200, begun.as_bytes().to_vec()),
                "POST" => (200, complete.as_bytes().to_vec()),
                _ => (200, Vec::new()),
            }
        });
        let context = context_over(identity(), fake);
        let folder = std::env::temp_dir().join(format!("taskctl-staging-{}-{size}-{refused:?}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("package.zip");
        let file = std::fs::File::create(&path).expect("a file");
        file.set_len(size).expect("room");
        let sha = hash(&path).expect("it can be read");
        context.add_package("control", &sha, &path);
        let staged = context.stage(&sha).await;
        std::fs::remove_dir_all(&folder).expect("it is ours");
        let mut asked = asked.lock().clone();
        // Parts go side by side.
        let parts = asked.iter().filter(|what| what.starts_with("part")).count();
        if parts > 0 {
            asked[1..=parts].sort();
        }
        (asked, staged.is_ok())
    }

    #[tokio::test]
    async fn a_large_package_goes_in_parts() {
        assert_eq!(calls(WHOLE, None).await, (vec!["whole".to_owned()], true));
        let (asked, is_staged) = calls(WHOLE + PART, None).await;
        assert!(is_staged);
        assert_eq!(asked, ["begin", "part 1", "part 2", "part 3", "complete"]);
        let (asked, is_staged) = calls(WHOLE + PART, Some("1")).await;
        assert!(!is_staged);
        assert_eq!(
            (asked.first().map(String::as_str), asked.last().map(String::as_str)),
            (Some("begin"), Some("abort"))
        );
    }
}
