//! S3 bucket with all its settings: public access block, ownership, encryption, policy, lifecycle, cross-origin rules,
//! web site, versioning, tags. Objects are the application's (and the site's publisher's); this file only asks whether
//! there are any, and removes them when the bucket is deleted.

mod account;
mod desired;
mod empty;
mod lifecycle;
mod setting;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, ObjectOwnership, Tag, Tagging};
use aws_smithy_types::error::operation::BuildError;
use futures::future::try_join_all;

use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::error::{found, gone};
use crate::aws::client::identity::Identity;
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::aws::kinds::kind::{Discovered, Emptiness, Fields, Kind, Spec};
use crate::aws::kinds::s3;
use crate::aws::policy::document::Document;
use crate::aws::policy::reach::Reach;
use crate::aws::read::inventory::{Naming, logical, ours};
use crate::aws::read::reader::{Reader, ownership};
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, Ownership, ResourceId, outputs};
use crate::template::model::{self, Bucket};
pub use account::public_access_block as account_public_access_block;
pub use desired::{CorsRule, Encryption, Model, PublicAccessBlock, Website};
use empty::Contents;
use setting::Setting;

/// The kind.
pub struct S3Bucket;

/// Name of the kind.
pub const KIND: &str = "s3_bucket";

static SPEC: Spec = Spec {
    name: KIND,
    title: "S3 bucket",
    documentation: "https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html",
    read_actions: &[
        "s3:GetBucketTagging",
        "s3:GetBucketPolicy",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:GetBucketCORS",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketVersioning",
        "s3:GetBucketWebsite",
        "s3:ListAllMyBuckets",
        "s3:GetAccountPublicAccessBlock",
        "tag:GetResources",
    ],
    write_actions: &[
        "s3:CreateBucket",
        "s3:TagResource",
        "s3:PutBucketTagging",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutBucketCORS",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketVersioning",
        "s3:PutBucketWebsite",
        "s3:DeleteBucketWebsite",
    ],
    delete_actions: &[
        "s3:ListBucketVersions",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:DeleteBucket",
    ],
    holds_data: true,
    rollback: Rollback::Immediate,
    replacement: Replacement::DeleteFirst,
    replace_on: &["name"],
    usual: Duration::from_secs(2),
    needed_at_runtime: true,
    reach: Reach::Buckets,
    reaches: &[
        ("s3:ListAllMyBuckets", Reach::Account),
        ("s3:GetAccountPublicAccessBlock", Reach::Account),
        ("s3:AbortMultipartUpload", Reach::Objects),
        ("s3:DeleteObject", Reach::Objects),
        ("s3:DeleteObjectVersion", Reach::Objects),
    ],
    ..Spec::of(&s3::SERVICE)
};

/// How long changed settings may take to be seen by those who ask.
const SETTLING_LIMIT: Duration = Duration::from_secs(60);

/// How long a new bucket may take to show the tags it was made with.
const TAGS_LIMIT: Duration = Duration::from_secs(15);

#[async_trait]
impl Kind for S3Bucket {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let identity = Identity {
            app: "shop".to_owned(),
            stage: "dev".to_owned(),
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            partition: "aws".to_owned(),
        };
        let bucket = Bucket {
            name: None,
            expire_days: None,
            abort_incomplete_upload_days: None,
            cors: None,
            website: None,
            versioning: false,
            kms_key: None,
        };
        let cors = model::Cors {
            allow_origins: vec!["http://localhost:1580".to_owned()],
            allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
            allow_headers: vec!["*".to_owned()],
            expose_headers: vec!["etag".to_owned()],
            max_age_seconds: 3600,
            allow_credentials: false,
        };
        let site = model::Website {
            source: None,
            index_document: "index.html".to_owned(),
            error_document: "error.html".to_owned(),
        };
        let full = Bucket {
            name: None,
            expire_days: Some(30),
            abort_incomplete_upload_days: Some(7),
            cors: Some(cors),
            website: Some(site),
            versioning: true,
            kms_key: Some("arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555".to_owned()),
        };
        let name = || "shop-dev-assets-000000000000-us-east-1".to_owned();
        vec![
            Self::Model::new(name(), &bucket, &[], &identity, identity.tags()),
            Self::Model::new(name(), &full, &["https://shop.example".to_owned()], &identity, {
                let mut tags = identity.tags();
                tags.insert("owner".to_owned(), "team".to_owned());
                tags
            }),
        ]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let context = reader.context();
        let name = desired.name.as_str();
        let arn = arn(context, name);
        // A bucket that is not known by its tags is looked for; one that is may be gone all the same.
        let tags = match reader.tagged().await?.get(&arn) {
            Some(tags) if *tags == desired.tags => None,
            Some(_) | None => match there(read_tags(context, name).await) {
                Ok(Some(tags)) => Some(managed(tags)),
                Ok(None) => return Ok(None),
                Err(error) => {
                    let ownership = not_here(context, name, &error).await?.ok_or(error)?;
                    return Ok(Some(Observed {
                        model: desired.clone(),
                        outputs: named(context, name),
                        ownership,
                        pending: Vec::new(),
                    }));
                }
            },
        };
        let tags = tags.unwrap_or_else(|| desired.tags.clone());
        let Some(model) = there(setting::read(context, desired, tags.clone()).await)? else {
            return Ok(None);
        };
        Ok(Some(Observed {
            model,
            outputs: named(context, name),
            ownership: owner(context, &tags),
            pending: Vec::new(),
        }))
    }

    async fn enumerate(&self, reader: &Reader) -> Result<Vec<Discovered>, AwsError> {
        let context = reader.context();
        let identity = context.identity();
        let prefix = identity.prefix();
        let (listed, tagged) = futures::try_join!(names(context, &prefix), reader.tagged())?;
        // Names of the template's own say nothing of the region.
        let start = arn(context, "");
        let given = tagged
            .keys()
            .filter_map(|arn| arn.strip_prefix(&start))
            .filter(|name| !name.starts_with(&prefix));
        let judged = given.map(|name| async move {
            let is_here = names(context, name).await?.contains(name);
            Ok::<_, AwsError>(is_here.then(|| name.to_owned()))
        });
        let given: BTreeSet<String> = try_join_all(judged).await?.into_iter().flatten().collect();
        let is_here = |name: &str| listed.contains(name) || given.contains(name);
        let own_tags = |name: String| async move { read_tags(context, &name).await };
        let names = ours(
            reader,
            &Naming {
                start,
                is_here: &is_here,
                inside: &['/', ':'],
            },
            listed.clone(),
            own_tags,
        )
        .await?;
        let suffix = suffix(identity);
        let found = names.iter().map(|name| Discovered {
            id: ResourceId::new(SPEC.name, logical(identity, name, &suffix)),
            outputs: named(context, name),
        });
        Ok(found.collect())
    }

    async fn is_empty(&self, context: &Context, outputs: &Outputs) -> Result<bool, AwsError> {
        match outputs.get("name") {
            Some(name) => match empty::contents(context, name).await? {
                Contents::NoBucket | Contents::Remains(_) => Ok(true),
                Contents::Data(_) => Ok(false),
            },
            None => Ok(true),
        }
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        make(context, desired).await?;
        // A new bucket blocks all public access, has no ACLs and uses SSE-S3; the rest is written. The block is looked at
        // in any case: it must not depend on a default.
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-overview.html
        let settings = Setting::ALL
            .into_iter()
            .filter(|setting| setting.differs_from_new(desired));
        setting::write(context, desired, &settings.collect::<Vec<_>>()).await?;
        Ok(named(context, &desired.name))
    }

    async fn update(
        &self,
        context: &Context,
        _: &ResourceId,
        desired: &Model,
        _: &Observed<Model>,
        changes: &Fields,
    ) -> Result<Outputs, AwsError> {
        let settings = Setting::ALL
            .into_iter()
            .filter(|setting| changes.touch_any(setting.fields()));
        setting::write(context, desired, &settings.collect::<Vec<_>>()).await?;
        Ok(named(context, &desired.name))
    }

    async fn delete(&self, context: &Context, _: &ResourceId, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(name) = outputs.get("name") else { return Ok(()) };
        let _turn = context.serial(turn(name)).await;
        // What is written while the bucket is being emptied makes S3 refuse: then once more.
        const ROUNDS: usize = 5;
        for round in 1..=ROUNDS {
            if !empty::empty(context, name).await? {
                return Ok(());
            }
            match remove(context, name).await {
                Err(error) if is_not_empty(&error) && round < ROUNDS => {}
                other => return gone(other),
            }
        }
        Ok(())
    }

    /// The bucket is not emptied: S3 deletes none that holds anything, whenever it was written.
    async fn delete_if_empty(
        &self,
        context: &Context,
        _: &ResourceId,
        outputs: &Outputs,
    ) -> Result<Emptiness, AwsError> {
        let Some(name) = outputs.get("name") else {
            return Ok(Emptiness::Gone);
        };
        let _turn = context.serial(turn(name)).await;
        match empty::contents(context, name).await? {
            Contents::NoBucket => return Ok(Emptiness::Gone),
            Contents::Data(found) => return Ok(Emptiness::HoldsData(found)),
            Contents::Remains(remains) => empty::clear(context, name, remains).await?,
        }
        match gone(remove(context, name).await) {
            Err(error) if is_not_empty(&error) => Ok(Emptiness::data()),
            other => other.map(|()| Emptiness::Gone),
        }
    }
}

/// Deletes a bucket as it is. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html>
async fn remove(context: &Context, name: &str) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    context
        .call(op("s3", "DeleteBucket"), || {
            client
                .delete_bucket()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

fn is_not_empty(error: &AwsError) -> bool {
    error.code.as_deref() == Some("BucketNotEmpty")
}

/// Whether S3 says that a bucket is in another region.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn is_redirected(error: &AwsError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed")
    )
}

/// The end of derived names, which tells accounts and regions apart.
fn suffix(identity: &Identity) -> String {
    format!("-{}-{}", identity.account, identity.region)
}

/// Whose a bucket is that S3 refused to read because it is of another account or region; none where it is this account's and here,
/// so that a permission is missing. S3 says "access denied" to both: only what the account has tells them apart.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html>
pub(in crate::aws) async fn not_here(
    context: &Context,
    name: &str,
    error: &AwsError,
) -> Result<Option<Ownership>, AwsError> {
    let is_redirected = is_redirected(error);
    if !is_redirected && error.kind != ErrorKind::Denied {
        return Ok(None);
    }
    let is_of_account = match names_in(context, name, None).await {
        Ok(names) => names.contains(name),
        // Without the right to list buckets nothing is known beyond the first answer.
        Err(denied) if denied.kind == ErrorKind::Denied => true,
        Err(error) => return Err(error),
    };
    Ok(match (is_of_account, is_redirected) {
        (false, _) => Some(Ownership::Taken {
            by: format!("bucket {name} belongs to another account"),
        }),
        (true, true) => Some(Ownership::Foreign {
            found: format!("it is not in {}", context.identity().region),
        }),
        (true, false) => None,
    })
}

/// Names of this region's buckets that begin so.
async fn names(context: &Context, prefix: &str) -> Result<BTreeSet<String>, AwsError> {
    names_in(context, prefix, Some(&context.identity().region)).await
}

/// Names of the account's buckets that begin so, in a region or in all of them.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>
async fn names_in(context: &Context, prefix: &str, region: Option<&str>) -> Result<BTreeSet<String>, AwsError> {
    let client = &context.clients().s3;
    let buckets = context.pages(|token| async move {
        let page = context
            .call(op("s3", "ListBuckets"), || {
                client
                    .list_buckets()
                    .prefix(prefix)
                    .set_bucket_region(region.map(str::to_owned))
                    .max_buckets(1_000)
                    .set_continuation_token(token.clone())
                    .send()
            })
            .await?;
        Ok((page.buckets.unwrap_or_default(), page.continuation_token))
    });
    Ok(buckets.await?.into_iter().filter_map(|bucket| bucket.name).collect())
}

/// Who a bucket lets in.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// What of public access is blocked.
    pub public_access_block: PublicAccessBlock,
    /// Whether access control lists count.
    pub has_acls: bool,
    /// Bucket policy.
    pub policy: Document,
    /// Whether it is served as a web site.
    pub is_website: bool,
}

/// Who a bucket lets in; none when there is no such bucket.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>
pub async fn exposure(context: &Context, name: &str) -> Result<Option<Exposure>, AwsError> {
    let read = async {
        let (public_access_block, ownership, policy, website) = futures::try_join!(
            setting::read_public_access_block(context, name),
            setting::read_ownership(context, name),
            setting::read_policy(context, name),
            setting::read_website(context, name)
        )?;
        Ok(Exposure {
            public_access_block,
            has_acls: ownership != ObjectOwnership::BucketOwnerEnforced.as_str(),
            policy,
            is_website: website.is_some(),
        })
    };
    there(read.await)
}

/// Whether a bucket is served as a web site. One that does not exist is not.
pub async fn is_website(context: &Context, name: &str) -> Result<bool, AwsError> {
    Ok(there(setting::read_website(context, name).await)?.flatten().is_some())
}

/// Makes the bucket with its tags.
async fn make(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let Model {
        name,
        tags,
        object_ownership,
        ..
    } = desired;
    let identity = context.identity();
    let elsewhere = identity.region != "us-east-1";
    let configuration = CreateBucketConfiguration::builder()
        // us-east-1 is the one Region that must not be named.
        .set_location_constraint(elsewhere.then(|| BucketLocationConstraint::from(identity.region.as_str())))
        .set_tags((!tags.is_empty()).then(|| labels(tags)).transpose()?)
        .build();
    let client = &context.clients().s3;
    context
        .call(op("s3", "CreateBucket"), || {
            client
                .create_bucket()
                .bucket(name)
                .object_ownership(ObjectOwnership::from(object_ownership.as_str()))
                .create_bucket_configuration(configuration.clone())
                .send()
        })
        .await?;
    if elsewhere {
        return Ok(());
    }
    // us-east-1 answers 200 for a bucket that the account has already: only its tags tell whether this call made it.
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html (BucketAlreadyOwnedByYou)
    let tagged = context
        .poll("bucket to show its tags", TAGS_LIMIT, || async {
            let found = there(read_tags(context, name).await)?.map(managed).unwrap_or_default();
            Ok((!found.is_empty() || tags.is_empty()).then_some(found))
        })
        .await
        .or_else(|error| {
            if error.service == "taskctl" && error.kind == ErrorKind::Busy {
                Ok(Tags::new())
            } else {
                Err(error)
            }
        })?;
    if tagged == *tags {
        return Ok(());
    }
    Err(AwsError::own(
        "s3",
        "CreateBucket",
        ErrorKind::AlreadyExists,
        format!("bucket {name} was there before, with other tags"),
    ))
}

/// Whether a bucket is ours. One without any tags is not: it was not made by taskctl, which tags in the call that makes
/// a bucket, so nothing but `adopt` may take it over, empty or not.
fn owner(context: &Context, tags: &Tags) -> Ownership {
    ownership(context, tags)
}

/// Reads the tags; none set is an empty map.
async fn read_tags(context: &Context, name: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketTagging"), || {
            client
                .get_bucket_tagging()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let tags = unset(answer)?.map(|answer| answer.tag_set).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

async fn write_tags(context: &Context, name: &str, tags: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let tagging = fits(Tagging::builder().set_tag_set(Some(labels(tags)?)).build())?;
    context
        .call(op("s3", "PutBucketTagging").just_made(), || {
            client
                .put_bucket_tagging()
                .bucket(name)
                .tagging(tagging.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

fn labels(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| fits(Tag::builder().key(key).value(value).build()))
        .collect()
}

/// Treats "this setting is not set" as an answer, but not "there is no such bucket".
fn unset<T>(result: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match result {
        Err(error) if error.code.as_deref() == Some("NoSuchBucket") => Err(error),
        other => found(other),
    }
}

/// Treats "there is no such bucket" as an answer.
fn there<T>(result: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    found(result)
}

/// A part of a request that the SDK could not put together.
fn fits<T>(built: Result<T, BuildError>) -> Result<T, AwsError> {
    built.map_err(|error| AwsError::own("s3", "request", ErrorKind::Invalid, error.to_string()))
}

/// The queue of calls that change a bucket: S3 refuses two at a time.
fn turn(name: &str) -> String {
    format!("s3:{name}")
}

fn arn(context: &Context, name: &str) -> String {
    format!("arn:{}:s3:::{name}", context.identity().partition)
}

fn named(context: &Context, name: &str) -> Outputs {
    outputs([("name", name.to_owned()), ("arn", arn(context, name))])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::aws::client::context::tests::{context_over, identity};
    use crate::aws::client::fake::{Answer, Call, clients};
    use crate::aws::registry;
    use crate::plan::{Observations, Request, build, lint};
    use crate::resource::Resource;

    /// What S3 answers to an account that has the buckets `own`, which it may not read.
    fn refused(call: &Call, own: &[&str], code: &str) -> Answer {
        if call.service == "tagging" {
            return (200, b"{}".to_vec());
        }
        if call.bucket.is_none() {
            let all = own.iter().map(|name| format!("<Bucket><Name>{name}</Name></Bucket>"));
            let all = format!(
                "<ListAllMyBucketsResult><Buckets>{}</Buckets></ListAllMyBucketsResult>",
                all.collect::<String>()
            );
            return (200, all.into_bytes());
        }
        let error = format!("<Error><Code>{code}</Code><Message>Access Denied</Message></Error>");
        (if code == "AccessDenied" { 403 } else { 301 }, error.into_bytes())
    }

    async fn read(own: &'static [&'static str], code: &'static str) -> Result<Option<Observed<Model>>, AwsError> {
        let clients = clients("eu-central-1", move |call| refused(&call, own, code));
        let reader = Reader::new(context_over(identity(), clients));
        // What lies in the bucket does not stop the run with an error of its own.
        let is_of_account = own.contains(&"shop-assets");
        let objects = reader.objects("shop-assets").await;
        assert_eq!(objects.is_ok(), !is_of_account || code != "AccessDenied", "{objects:?}");
        let desired = Model {
            name: "shop-assets".to_owned(),
            ..S3Bucket.examples().swap_remove(0)
        };
        S3Bucket.read(&reader, &ResourceId::new(KIND, "assets"), &desired).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_of_another_account_is_one_finding_before_anything_is_changed() {
        for code in ["AccessDenied", "PermanentRedirect"] {
            let Observed {
                model,
                outputs,
                ownership,
                pending,
            } = read(&["shop-assets-2"], code).await.unwrap().unwrap();
            let id = ResourceId::new(KIND, "assets");
            let model = serde_json::to_value(model).unwrap();
            let request = Request {
                resources: vec![Resource {
                    id: id.clone(),
                    desired: model.clone(),
                    depends_on: Vec::new(),
                }],
                orphans: Vec::new(),
            };
            let seen = Observed {
                model,
                outputs,
                ownership,
                pending,
            };
            let observed = Observations::from([(id, seen)]);
            let errors = lint(&build(&request, &observed, registry()), &request, &observed, registry());
            let told: Vec<String> = errors.iter().map(|one| format!("{one}; {}", one.hint())).collect();
            assert_eq!(
                told,
                [
                    "s3_bucket.assets cannot be created: bucket shop-assets belongs to another account; \
                     choose another name: set `name:` of assets in the template"
                ]
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_of_the_account_that_may_not_be_read_lacks_a_permission() {
        let error = read(&["shop-assets"], "AccessDenied").await.unwrap_err();
        assert_eq!((error.operation, error.kind), ("GetBucketTagging", ErrorKind::Denied));
        let elsewhere = read(&["shop-assets"], "PermanentRedirect").await.unwrap().unwrap();
        let found = "it is not in eu-central-1".to_owned();
        assert_eq!(elsewhere.ownership, Ownership::Foreign { found });
    }

    /// A new bucket that is made of an example: what is called, and the end. `account` is what the account blocks, `put` the answer to
    /// its policy.
    async fn made(example: usize, account: &'static str, put: &'static str) -> (Vec<String>, Result<(), AwsError>) {
        let desired = S3Bucket.examples().swap_remove(example);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let fake = clients("eu-central-1", move |call| {
            let setting = call.fields.keys().next().map(String::as_str).unwrap_or_default();
            let (method, path) = call.operation.split_once(' ').unwrap_or_default();
            if path.starts_with("/v20180820") {
                seen.lock().push("account".to_owned());
                let block = format!("<PublicAccessBlockConfiguration>{account}</PublicAccessBlockConfiguration>");
                return (200, block.into_bytes());
            }
            if method == "PUT" {
                seen.lock().push(format!("put {setting}"));
            }
            match (method, setting) {
                ("PUT", "policy") if !put.is_empty() => {
                    let refused = format!("<Error><Code>AccessDenied</Code><Message>{put}</Message></Error>");
                    (403, refused.into_bytes())
                }
                ("GET", "publicAccessBlock") => {
                    let names = [
                        "BlockPublicAcls",
                        "IgnorePublicAcls",
                        "BlockPublicPolicy",
                        "RestrictPublicBuckets",
                    ];
                    let all = names.map(|name| format!("<{name}>true</{name}>")).concat();
                    let block = format!("<PublicAccessBlockConfiguration>{all}</PublicAccessBlockConfiguration>");
                    (200, block.into_bytes())
                }
                _ => (200, Vec::new()),
            }
        });
        let context = context_over(identity(), fake);
        let settings = [Setting::PublicAccessBlock, Setting::Policy];
        let written = setting::put(&context, &desired, &settings).await;
        let asked = asked.lock().clone();
        (asked, written)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_new_bucket_blocks_by_itself_is_not_written() {
        let (asked, written) = made(0, "", "").await;
        assert_eq!(written, Ok(()));
        assert_eq!(asked, ["put policy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_where_the_account_has_no_public_buckets_is_refused_at_once() {
        for block in ["BlockPublicPolicy", "RestrictPublicBuckets"] {
            let block = format!("<{block}>true</{block}>").leak();
            let (asked, written) = made(1, block, "").await;
            let error = written.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied);
            assert_eq!(
                error.message,
                "bucket shop-dev-assets-000000000000-us-east-1 cannot be public: Block Public Access of the account refuses it, whatever \
                 the bucket says"
            );
            assert!(error.hint().unwrap().starts_with("let the account have public buckets"));
            assert_eq!(asked, ["put publicAccessBlock", "account"]);
        }
        let (asked, written) = made(1, "", "").await;
        assert_eq!(written, Ok(()));
        assert_eq!(asked, ["put publicAccessBlock", "account", "put policy"]);
    }

    /// Where the account may not be asked, S3 says it with the words of a block that was lifted a moment ago.
    #[tokio::test(start_paused = true)]
    async fn a_policy_that_stays_refused_is_the_accounts_doing() {
        let began = tokio::time::Instant::now();
        let refusal = "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
        let (_, written) = made(1, "", refusal).await;
        assert!(
            written
                .unwrap_err()
                .message
                .contains("Block Public Access of the account")
        );
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}
