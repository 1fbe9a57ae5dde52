//! A bucket's settings, each with its own call to read, write and remove it. S3 takes one change of a bucket at a time,
//! and readers may see the former state for a moment after it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::types::{
    BucketVersioningStatus, CorsConfiguration, ErrorDocument, IndexDocument, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration, WebsiteConfiguration,
};
use futures::future::try_join_all;

use super::account;
use super::lifecycle::{self, Lifecycle};
use super::{
    CorsRule, Encryption, Model, PublicAccessBlock, SETTLING_LIMIT, Website, fits, read_tags, there, turn, unset,
    write_tags,
};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::op;
use crate::aws::client::tags::{Tags, managed};
use crate::aws::policy::document::Document;

/// How long S3 may refuse a public policy after a bucket's own block was lifted.
const LIFTED_WITHIN: Duration = Duration::from_secs(20);

/// One setting, in the order in which settings are written: what opens a bucket to a public policy comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    PublicAccessBlock,
    Ownership,
    Policy,
    Encryption,
    Versioning,
    Lifecycle,
    Cors,
    Website,
    Tags,
}

impl Setting {
    pub(super) const ALL: [Self; 9] = [
        Self::PublicAccessBlock,
        Self::Ownership,
        Self::Policy,
        Self::Encryption,
        Self::Versioning,
        Self::Lifecycle,
        Self::Cors,
        Self::Website,
        Self::Tags,
    ];

    /// The model's fields that it writes.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::PublicAccessBlock => &["public_access_block"],
            Self::Ownership => &["object_ownership"],
            Self::Policy => &["policy"],
            Self::Encryption => &["encryption"],
            Self::Versioning => &["versioning"],
            Self::Lifecycle => &["expire_days", "abort_incomplete_upload_days", "other_lifecycle_rules"],
            Self::Cors => &["cors"],
            Self::Website => &["website"],
            Self::Tags => &["tags"],
        }
    }

    /// Whether a bucket just made (with tags and ownership in that call) is not yet as desired.
    pub(super) fn differs_from_new(self, desired: &Model) -> bool {
        match self {
            Self::PublicAccessBlock => true,
            Self::Ownership | Self::Tags => false,
            Self::Policy => !desired.policy.is_empty(),
            Self::Encryption => desired.encryption != Encryption::new(None),
            Self::Versioning => desired.versioning,
            Self::Lifecycle => !lifecycle::rules(desired).is_empty(),
            Self::Cors => !desired.cors.is_empty(),
            Self::Website => desired.website.is_some(),
        }
    }

    async fn write(self, context: &Context, desired: &Model) -> Result<(), AwsError> {
        match self {
            Self::PublicAccessBlock => write_public_access_block(context, desired).await,
            Self::Ownership => write_ownership(context, desired).await,
            Self::Policy => write_policy(context, desired).await,
            Self::Encryption => write_encryption(context, desired).await,
            Self::Versioning => write_versioning(context, desired).await,
            Self::Lifecycle => lifecycle::write(context, desired).await,
            Self::Cors => write_cors(context, desired).await,
            Self::Website => write_website(context, desired).await,
            Self::Tags => write_tags(context, &desired.name, &desired.tags).await,
        }
    }

    /// Whether AWS shows it as desired.
    async fn stands(self, context: &Context, desired: &Model) -> Result<bool, AwsError> {
        let name = desired.name.as_str();
        Ok(match self {
            Self::PublicAccessBlock => read_public_access_block(context, name).await? == desired.public_access_block,
            Self::Ownership => read_ownership(context, name).await? == desired.object_ownership,
            Self::Policy => read_policy(context, name).await? == desired.policy,
            Self::Encryption => read_encryption(context, name).await? == desired.encryption,
            Self::Versioning => read_versioning(context, name).await? == desired.versioning,
            Self::Lifecycle => lifecycle::read(context, desired).await? == Lifecycle::of(desired),
            Self::Cors => read_cors(context, name).await? == desired.cors,
            Self::Website => read_website(context, name).await? == desired.website,
            Self::Tags => managed(read_tags(context, name).await?) == desired.tags,
        })
    }
}

/// Reads all settings at once. "Not found" means that the bucket does not exist.
pub(super) async fn read(context: &Context, desired: &Model, tags: Tags) -> Result<Model, AwsError> {
    let name = desired.name.as_str();
    let (public_access_block, object_ownership, policy, encryption, versioning, lifecycle, cors, website) = futures::try_join!(
        read_public_access_block(context, name),
        read_ownership(context, name),
        read_policy(context, name),
        read_encryption(context, name),
        read_versioning(context, name),
        lifecycle::read(context, desired),
        read_cors(context, name),
        read_website(context, name),
    )?;
    let Lifecycle {
        expire_days,
        abort_incomplete_upload_days,
        other,
    } = lifecycle;
    Ok(Model {
        name: name.to_owned(),
        public_access_block,
        object_ownership,
        encryption,
        policy,
        expire_days,
        abort_incomplete_upload_days,
        other_lifecycle_rules: other,
        cors,
        website,
        versioning,
        tags,
    })
}

/// Writes settings one after the other, then waits until readers see them: a plan right after would otherwise report
/// what is only on its way. One that does not show within the limit is left to the next plan, which will name it.
pub(super) async fn write(context: &Context, desired: &Model, settings: &[Setting]) -> Result<(), AwsError> {
    put(context, desired, settings).await?;
    let seen = settings.iter().map(|setting| async move {
        let shown = context
            .poll("bucket to show its settings", SETTLING_LIMIT, || async {
                let stands = there(setting.stands(context, desired).await)?.unwrap_or(false);
                Ok(stands.then_some(()))
            })
            .await;
        match shown {
            Err(error) if error.kind == ErrorKind::Busy => Ok(()),
            other => other,
        }
    });
    try_join_all(seen).await.map(drop)
}

/// Writes settings one after the other.
pub(super) async fn put(context: &Context, desired: &Model, settings: &[Setting]) -> Result<(), AwsError> {
    let _turn = context.serial(turn(&desired.name)).await;
    for setting in settings {
        setting.write(context, desired).await?;
    }
    Ok(())
}

pub(super) async fn read_public_access_block(context: &Context, name: &str) -> Result<PublicAccessBlock, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetPublicAccessBlock"), || {
            client
                .get_public_access_block()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let configuration = unset(answer)?.and_then(|answer| answer.public_access_block_configuration);
    Ok(configuration
        .as_ref()
        .map_or(PublicAccessBlock::NONE, PublicAccessBlock::of))
}

/// Written only where it is not so already: organizations often deny this call to everyone, and a new bucket blocks all by itself.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-overview.html>
async fn write_public_access_block(context: &Context, desired: &Model) -> Result<(), AwsError> {
    if there(read_public_access_block(context, &desired.name).await)? == Some(desired.public_access_block) {
        return Ok(());
    }
    let PublicAccessBlock {
        block_public_acls,
        ignore_public_acls,
        block_public_policy,
        restrict_public_buckets,
    } = desired.public_access_block;
    let configuration = PublicAccessBlockConfiguration::builder()
        .block_public_acls(block_public_acls)
        .ignore_public_acls(ignore_public_acls)
        .block_public_policy(block_public_policy)
        .restrict_public_buckets(restrict_public_buckets)
        .build();
    let client = &context.clients().s3;
    context
        .call(op("s3", "PutPublicAccessBlock").just_made(), || {
            client
                .put_public_access_block()
                .bucket(&desired.name)
                .public_access_block_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

pub(super) async fn read_ownership(context: &Context, name: &str) -> Result<String, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketOwnershipControls"), || {
            client
                .get_bucket_ownership_controls()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let rule = unset(answer)?
        .and_then(|answer| answer.ownership_controls)
        .and_then(|controls| controls.rules.into_iter().next());
    Ok(rule
        .map_or(ObjectOwnership::ObjectWriter, |rule| rule.object_ownership)
        .as_str()
        .to_owned())
}

async fn write_ownership(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let ownership = ObjectOwnership::from(desired.object_ownership.as_str());
    let rule = fits(OwnershipControlsRule::builder().object_ownership(ownership).build())?;
    let controls = fits(OwnershipControls::builder().rules(rule).build())?;
    let client = &context.clients().s3;
    context
        .call(op("s3", "PutBucketOwnershipControls").just_made(), || {
            client
                .put_bucket_ownership_controls()
                .bucket(&desired.name)
                .ownership_controls(controls.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

pub(super) async fn read_policy(context: &Context, name: &str) -> Result<Document, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketPolicy"), || {
            client
                .get_bucket_policy()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let Some(text) = unset(answer)?.and_then(|answer| answer.policy) else {
        return Ok(Document::default());
    };
    Document::parse(&text).map_err(|error| {
        AwsError::own(
            "s3",
            "GetBucketPolicy",
            ErrorKind::Invalid,
            format!("the policy of bucket {name} cannot be read: {error}"),
        )
    })
}

async fn write_policy(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let Model { name, policy, .. } = desired;
    if policy.is_empty() {
        return context
            .call(op("s3", "DeleteBucketPolicy"), || {
                client
                    .delete_bucket_policy()
                    .bucket(name)
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await
            .map(drop);
    }
    let text = policy.to_json();
    let put = async || {
        let put = context.call(op("s3", "PutBucketPolicy").just_made(), || {
            client
                .put_bucket_policy()
                .bucket(name)
                .policy(&text)
                .expected_bucket_owner(&context.identity().account)
                .send()
        });
        put.await.map(drop)
    };
    if desired.public_access_block == PublicAccessBlock::ALL {
        return put().await;
    }
    account::let_public(context, name).await?;
    // The bucket's own block was lifted a moment ago, which S3 may not know everywhere.
    let taken = context
        .poll("bucket to take a public policy", LIFTED_WITHIN, || async {
            match put().await {
                Err(error) if account::is_blocked(&error) => Ok(None),
                other => other.map(Some),
            }
        })
        .await;
    match taken {
        Err(error) if error.kind == ErrorKind::Busy => Err(account::blocks(name)),
        other => other,
    }
}

async fn read_encryption(context: &Context, name: &str) -> Result<Encryption, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketEncryption"), || {
            client
                .get_bucket_encryption()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let rule = unset(answer)?
        .and_then(|answer| answer.server_side_encryption_configuration)
        .and_then(|configuration| configuration.rules.into_iter().next());
    let Some(rule) = rule else {
        return Ok(Encryption::new(None));
    };
    let ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(default),
        bucket_key_enabled,
        ..
    } = rule
    else {
        return Ok(Encryption::new(None));
    };
    let managed = default.sse_algorithm == ServerSideEncryption::Aes256;
    Ok(Encryption {
        algorithm: default.sse_algorithm.as_str().to_owned(),
        kms_key: default.kms_master_key_id.filter(|_| !managed),
        // It has no meaning with SSE-S3, whatever it says.
        bucket_key: bucket_key_enabled.unwrap_or(false) && !managed,
    })
}

async fn write_encryption(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let Encryption {
        algorithm,
        kms_key,
        bucket_key,
    } = &desired.encryption;
    let default = fits(
        ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::from(algorithm.as_str()))
            .set_kms_master_key_id(kms_key.clone())
            .build(),
    )?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(*bucket_key)
        .build();
    let configuration = fits(ServerSideEncryptionConfiguration::builder().rules(rule).build())?;
    let client = &context.clients().s3;
    context
        .call(op("s3", "PutBucketEncryption").just_made(), || {
            client
                .put_bucket_encryption()
                .bucket(&desired.name)
                .server_side_encryption_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

async fn read_versioning(context: &Context, name: &str) -> Result<bool, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketVersioning"), || {
            client
                .get_bucket_versioning()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await?;
    Ok(answer.status == Some(BucketVersioningStatus::Enabled))
}

async fn write_versioning(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let status = if desired.versioning {
        BucketVersioningStatus::Enabled
    } else {
        BucketVersioningStatus::Suspended
    };
    let configuration = VersioningConfiguration::builder().status(status).build();
    let client = &context.clients().s3;
    context
        .call(op("s3", "PutBucketVersioning").just_made(), || {
            client
                .put_bucket_versioning()
                .bucket(&desired.name)
                .versioning_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

async fn read_cors(context: &Context, name: &str) -> Result<BTreeMap<String, CorsRule>, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketCors"), || {
            client
                .get_bucket_cors()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let rules = unset(answer)?.and_then(|answer| answer.cors_rules).unwrap_or_default();
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
    let read = |rule: &aws_sdk_s3::types::CorsRule| CorsRule {
        allow_origins: rule.allowed_origins().iter().cloned().collect(),
        allow_methods: rule.allowed_methods().iter().cloned().collect(),
        allow_headers: lower(rule.allowed_headers()),
        expose_headers: lower(rule.expose_headers()),
        max_age_seconds: rule.max_age_seconds().unwrap_or(0),
    };
    Ok(rules
        .iter()
        .enumerate()
        .map(|(place, rule)| ((place + 1).to_string(), read(rule)))
        .collect())
}

async fn write_cors(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let Model { name, cors, .. } = desired;
    if cors.is_empty() {
        return context
            .call(op("s3", "DeleteBucketCors"), || {
                client
                    .delete_bucket_cors()
                    .bucket(name)
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await
            .map(drop);
    }
    let rule = |rule: &CorsRule| {
        let CorsRule {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age_seconds,
        } = rule;
        fits(
            aws_sdk_s3::types::CorsRule::builder()
                .set_allowed_origins(Some(allow_origins.iter().cloned().collect()))
                .set_allowed_methods(Some(allow_methods.iter().cloned().collect()))
                .set_allowed_headers(Some(allow_headers.iter().cloned().collect()))
                .set_expose_headers(Some(expose_headers.iter().cloned().collect()))
                .max_age_seconds(*max_age_seconds)
                .build(),
        )
    };
    let rules = cors.values().map(rule).collect::<Result<_, _>>()?;
    let configuration = fits(CorsConfiguration::builder().set_cors_rules(Some(rules)).build())?;
    context
        .call(op("s3", "PutBucketCors").just_made(), || {
            client
                .put_bucket_cors()
                .bucket(name)
                .cors_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

pub(super) async fn read_website(context: &Context, name: &str) -> Result<Option<Website>, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketWebsite"), || {
            client
                .get_bucket_website()
                .bucket(name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let Some(site) = unset(answer)? else { return Ok(None) };
    let all = site
        .redirect_all_requests_to()
        .map(|to| format!("everything to {}", to.host_name()));
    let some = Some(site.routing_rules().len())
        .filter(|count| *count > 0)
        .map(|count| format!("{count} routing rules"));
    Ok(Some(Website {
        redirects: all.into_iter().chain(some).collect(),
        index_document: site.index_document.map(|document| document.suffix),
        error_document: site.error_document.map(|document| document.key),
    }))
}

async fn write_website(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let name = desired.name.as_str();
    let Some(Website {
        index_document,
        error_document,
        redirects: _,
    }) = &desired.website
    else {
        return context
            .call(op("s3", "DeleteBucketWebsite"), || {
                client
                    .delete_bucket_website()
                    .bucket(name)
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await
            .map(drop);
    };
    let index = index_document
        .as_ref()
        .map(|suffix| fits(IndexDocument::builder().suffix(suffix).build()))
        .transpose()?;
    let error = error_document
        .as_ref()
        .map(|key| fits(ErrorDocument::builder().key(key).build()))
        .transpose()?;
    let configuration = WebsiteConfiguration::builder()
        .set_index_document(index)
        .set_error_document(error)
        .build();
    context
        .call(op("s3", "PutBucketWebsite").just_made(), || {
            client
                .put_bucket_website()
                .bucket(name)
                .website_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}
