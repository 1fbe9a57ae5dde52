//! The control bucket: one per account and region, shared by all stacks, outside every plan. It holds the lease, the
//! inventory and the release records. Losing it loses history, never the ability to manage a stack: whoever changes
//! something makes it again first. Every call names the account that must own it, so a squatted name is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, PublicAccessBlockConfiguration};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::aws::client::body;
use crate::aws::client::context::Context;
use crate::aws::client::error::found;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::identity::Identity;
use crate::aws::client::op::{Op, op};
use crate::aws::policy::document::{Document, Effect, Statement};
use crate::event::Event;

/// The bucket of this account and region.
#[derive(Debug, Clone)]
pub struct ControlBucket {
    context_name: String,
}

/// An object with its version token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Content.
    pub body: Vec<u8>,
    /// Token of this very content.
    pub etag: String,
    /// Seconds since it was written, by S3's own clock.
    pub age_seconds: i64,
    /// When it was written, by S3's own clock.
    pub written: Option<Timestamp>,
}

/// When a write may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Always.
    Always,
    /// Only if there is no such object.
    Absent,
    /// Only if it still is this content.
    Unchanged(&'a str),
}

const fn free(name: &'static str) -> Op {
    op("s3", name).unguarded()
}

impl ControlBucket {
    /// The bucket `name`, or the one with the derived name.
    pub fn new(context: &Context, name: Option<&str>) -> Self {
        let identity = context.identity();
        let derived = || format!("taskctl-{}-{}", identity.account, identity.region);
        Self {
            context_name: name.map_or_else(derived, str::to_owned),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.context_name
    }

    /// The bucket's policy. It only denies, and nobody who may operate stacks; the account's administrators can always change
    /// it. What it stops, and what not: `docs/decisions/0502-control-bucket-policy.md`.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>
    pub fn policy(&self, identity: &Identity) -> Document {
        let Identity { account, partition, .. } = identity;
        let bucket = format!("arn:{partition}:s3:::{}", self.name());
        let everything = [bucket.clone(), format!("{bucket}/*")];
        let records = || [format!("{bucket}/*/releases/*")];
        let deny = |actions: &[&str], resources: &[String], conditions: &[(&str, &str, &str)]| {
            let mut by_operator: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
            for (operator, key, value) in conditions {
                let keys = by_operator.entry((*operator).to_owned()).or_default();
                keys.insert((*key).to_owned(), BTreeSet::from([(*value).to_owned()]));
            }
            Statement {
                effect: Effect::Deny,
                principals: BTreeMap::from([("*".to_owned(), BTreeSet::from(["*".to_owned()]))]),
                conditions: by_operator,
                ..Statement::allow(actions, resources.to_vec())
            }
        };
        let functions = format!("arn:{partition}:iam::{account}:role/taskctl/*/*/*");
        let statements = [
            (
                "FunctionsStayOut",
                deny(
                    &["s3:*"],
                    &everything,
                    &[("ArnLike", "aws:PrincipalArn", functions.as_str())],
                ),
            ),
            (
                "OtherAccountsStayOut",
                deny(
                    &["s3:*"],
                    &everything,
                    &[
                        ("StringNotEquals", "aws:PrincipalAccount", account.as_str()),
                        ("BoolIfExists", "aws:PrincipalIsAWSService", "false"),
                    ],
                ),
            ),
            (
                "RecordsAreWrittenOnce",
                deny(&["s3:PutObject"], &records(), &[("Null", "s3:if-none-match", "true")]),
            ),
            ("RecordsStay", deny(&["s3:DeleteObject"], &records(), &[])),
            (
                "TlsOnly",
                deny(&["s3:*"], &everything, &[("Bool", "aws:SecureTransport", "false")]),
            ),
        ];
        Document::new(statements.map(|(sid, statement)| (sid.to_owned(), statement)))
    }

    /// Makes it, private and with its policy, when it is not there.
    pub async fn ensure(&self, context: &Context) -> Result<(), AwsError> {
        let client = &context.clients().s3;
        let region = context.identity().region.clone();
        let location = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region.as_str()))
                .build()
        });
        let made = context
            .call(free("CreateBucket"), || {
                client
                    .create_bucket()
                    .bucket(self.name())
                    .set_create_bucket_configuration(location.clone())
                    .send()
            })
            .await;
        let is_new = match made {
            Err(error)
                if error.kind == ErrorKind::AlreadyExists && error.code.as_deref() != Some("BucketAlreadyExists") =>
            {
                false
            }
            other => {
                drop(other?);
                true
            }
        };
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        // A new bucket blocks all by itself, and organizations often deny this call to everyone.
        let seen = context.call(free("GetPublicAccessBlock"), || {
            client
                .get_public_access_block()
                .bucket(self.name())
                .expected_bucket_owner(&context.identity().account)
                .send()
        });
        let seen = seen
            .await
            .ok()
            .and_then(|answer| answer.public_access_block_configuration);
        if seen.as_ref() != Some(&block) {
            context
                .call(free("PutPublicAccessBlock").just_made(), || {
                    client
                        .put_public_access_block()
                        .bucket(self.name())
                        .expected_bucket_owner(&context.identity().account)
                        .public_access_block_configuration(block.clone())
                        .send()
                })
                .await?;
        }
        if is_new {
            self.put_policy(context).await?;
        }
        Ok(())
    }

    /// Gives the bucket its policy when it has none: it was made before, or whoever made it was cut off or may not.
    pub async fn keep_policy(&self, context: &Context) -> Result<(), AwsError> {
        let client = &context.clients().s3;
        let there = context
            .call(free("GetBucketPolicy"), || {
                client
                    .get_bucket_policy()
                    .bucket(self.name())
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await;
        match found(there) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.put_policy(context).await,
            // Who may not look is not asked to do anything about it.
            Err(error) if error.kind == ErrorKind::Denied => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whoever may write this policy may let himself into every stack's records, so deployers of one stack need not have the
    /// right: without it the bucket works, and somebody else gives it its policy.
    async fn put_policy(&self, context: &Context) -> Result<(), AwsError> {
        let client = &context.clients().s3;
        let policy = self.policy(context.identity()).to_json();
        let put = context
            .call(free("PutBucketPolicy").just_made(), || {
                client
                    .put_bucket_policy()
                    .bucket(self.name())
                    .expected_bucket_owner(&context.identity().account)
                    .policy(&policy)
                    .send()
            })
            .await;
        match put {
            Err(error) if error.kind == ErrorKind::Denied => {
                context.emit(Event::Warning {
                    message: format!(
                        "the control bucket has no bucket policy, since this caller lacks s3:PutBucketPolicy; whoever has it runs \
                         `aws s3api put-bucket-policy --bucket {} --policy \"$(taskctl export control-bucket-policy)\"`",
                        self.name()
                    ),
                });
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Reads an object; none when it, or the bucket, is not there.
    pub async fn get(&self, context: &Context, key: &str) -> Result<Option<Stored>, AwsError> {
        let client = &context.clients().s3;
        let stored = context.call(free("GetObject"), || {
            let request = client
                .get_object()
                .bucket(self.name())
                .key(key)
                .expected_bucket_owner(&context.identity().account);
            async move {
                // The answer's own date is S3's clock: age is measured by one clock alone.
                let date = DateProbe::default();
                let object = request.customize().interceptor(date.clone()).send().await?;
                let written = object.last_modified().map_or(0, aws_smithy_types::DateTime::secs);
                let now = *date.seen.lock();
                Ok(Stored {
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                    age_seconds: now.map_or(0, |now| (now - written).max(0)),
                    written: object
                        .last_modified()
                        .and_then(|date| Timestamp::from_second(date.secs()).ok()),
                    body: body::collect(object.body).await?,
                })
            }
        });
        found(stored.await)
    }

    /// Writes an object and returns its token.
    pub async fn put(
        &self,
        context: &Context,
        key: &str,
        body: &[u8],
        condition: Condition<'_>,
    ) -> Result<String, AwsError> {
        let client = &context.clients().s3;
        let written = context
            .call(free("PutObject"), || {
                let request = client
                    .put_object()
                    .bucket(self.name())
                    .key(key)
                    .content_type("application/json")
                    .expected_bucket_owner(&context.identity().account)
                    .body(ByteStream::from(body.to_vec()));
                match condition {
                    Condition::Always => request,
                    Condition::Absent => request.if_none_match("*"),
                    Condition::Unchanged(etag) => request.if_match(etag),
                }
                .send()
            })
            .await?;
        Ok(written.e_tag.unwrap_or_default())
    }

    /// Deletes an object if it still is this content.
    pub async fn delete(&self, context: &Context, key: &str, etag: &str) -> Result<(), AwsError> {
        let client = &context.clients().s3;
        context
            .call(free("DeleteObject"), || {
                client
                    .delete_object()
                    .bucket(self.name())
                    .key(key)
                    .if_match(etag)
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await
            .map(drop)
    }

    /// Keys under a prefix, in order.
    pub async fn list(&self, context: &Context, prefix: &str) -> Result<Vec<String>, AwsError> {
        let client = &context.clients().s3;
        let keys = context.pages(|token| async move {
            let page = context
                .call(free("ListObjectsV2"), || {
                    client
                        .list_objects_v2()
                        .bucket(self.name())
                        .prefix(prefix)
                        .set_continuation_token(token.clone())
                        .expected_bucket_owner(&context.identity().account)
                        .send()
                })
                .await?;
            let keys = page
                .contents
                .unwrap_or_default()
                .into_iter()
                .filter_map(|object| object.key);
            Ok((keys.collect(), page.next_continuation_token))
        });
        Ok(found(keys.await)?.unwrap_or_default())
    }

    /// Deletes packages that a killed run has left.
    pub async fn sweep_packages(&self, context: &Context) -> Result<(), AwsError> {
        let keys = self.list(context, &context.packages_prefix()).await?;
        context.delete_packages(self.name(), keys).await
    }
}

/// Notes the `Date` of an answer.
#[derive(Debug, Clone, Default)]
struct DateProbe {
    seen: Arc<Mutex<Option<i64>>>,
}

impl aws_sdk_s3::config::Intercept for DateProbe {
    fn name(&self) -> &'static str {
        "DateProbe"
    }

    fn read_after_transmit(
        &self,
        context: &aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef<'_>,
        _: &aws_sdk_s3::config::RuntimeComponents,
        _: &mut aws_sdk_s3::config::ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date").and_then(|text| {
            aws_smithy_types::DateTime::from_str(text, aws_smithy_types::date_time::Format::HttpDate).ok()
        });
        *self.seen.lock() = date.map(|date| date.secs());
        Ok(())
    }
}
