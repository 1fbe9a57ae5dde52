//! What a bucket should be: its settings, and how they follow from the template.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::{ObjectOwnership, PublicAccessBlockConfiguration};
use serde::{Deserialize, Serialize};

use crate::aws::client::identity::Identity;
use crate::aws::client::tags::Tags;
use crate::aws::policy::document::{Document, Effect, Statement};
use crate::site::KEPT;
use crate::template::model::{self, Bucket};

/// Settings of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name, 3–63 characters, unique in the partition.
    pub name: String,
    /// What of public access is blocked.
    pub public_access_block: PublicAccessBlock,
    /// Who owns objects: `BucketOwnerEnforced` (no ACLs), `BucketOwnerPreferred` or `ObjectWriter`.
    pub object_ownership: String,
    /// How objects are encrypted when nobody says.
    pub encryption: Encryption,
    /// Bucket policy.
    pub policy: Document,
    /// Objects, and versions that are no longer current, expire after so many days.
    pub expire_days: Option<i32>,
    /// Incomplete multipart uploads are aborted after so many days.
    pub abort_incomplete_upload_days: Option<i32>,
    /// Lifecycle rules that taskctl did not write, in words. Never desired.
    pub other_lifecycle_rules: Vec<String>,
    /// Cross-origin rules by their place, from `1`: S3 takes the first that fits.
    pub cors: BTreeMap<String, CorsRule>,
    /// Web site.
    pub website: Option<Website>,
    /// Keep old versions of objects.
    pub versioning: bool,
    /// Tags.
    pub tags: Tags,
}

/// What of public access is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    /// New public ACLs are refused.
    pub block_public_acls: bool,
    /// Public ACLs have no effect.
    pub ignore_public_acls: bool,
    /// New public policies are refused.
    pub block_public_policy: bool,
    /// Public policies let only this account and AWS services in.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// Whether nobody but the account gets into a bucket by its policy.
    pub fn keeps_closed(&self) -> bool {
        self.block_public_policy || self.restrict_public_buckets
    }

    /// As S3 tells it: what it leaves out is not blocked.
    pub(super) fn of(block: &PublicAccessBlockConfiguration) -> Self {
        Self {
            block_public_acls: block.block_public_acls.unwrap_or(false),
            ignore_public_acls: block.ignore_public_acls.unwrap_or(false),
            block_public_policy: block.block_public_policy.unwrap_or(false),
            restrict_public_buckets: block.restrict_public_buckets.unwrap_or(false),
        }
    }

    /// Everything is blocked.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };

    /// A policy may make the bucket public; ACLs still cannot.
    pub const ALL_BUT_POLICY: Self = Self {
        block_public_policy: false,
        restrict_public_buckets: false,
        ..Self::ALL
    };

    /// Whether everything is blocked that another blocks.
    pub fn covers(&self, other: &Self) -> bool {
        let Self {
            block_public_acls,
            ignore_public_acls,
            block_public_policy,
            restrict_public_buckets,
        } = *self;
        (block_public_acls || !other.block_public_acls)
            && (ignore_public_acls || !other.ignore_public_acls)
            && (block_public_policy || !other.block_public_policy)
            && (restrict_public_buckets || !other.restrict_public_buckets)
    }

    /// Nothing is blocked.
    pub const NONE: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };
}

/// Default encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `AES256` (SSE-S3, what every bucket has), `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// KMS key; none with SSE-S3, or with the account's own `aws/s3` key.
    pub kms_key: Option<String>,
    /// Whether S3 asks KMS once per bucket rather than once per object.
    pub bucket_key: bool,
}

impl Encryption {
    /// SSE-S3, or SSE-KMS with a key (and a bucket key, which spares most of the cost).
    pub fn new(kms_key: Option<String>) -> Self {
        match kms_key {
            None => Self {
                algorithm: "AES256".to_owned(),
                kms_key: None,
                bucket_key: false,
            },
            Some(key) => Self {
                algorithm: "aws:kms".to_owned(),
                kms_key: Some(key),
                bucket_key: true,
            },
        }
    }
}

/// A cross-origin rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// Origins.
    pub allow_origins: BTreeSet<String>,
    /// Methods.
    pub allow_methods: BTreeSet<String>,
    /// Request headers, lower case.
    pub allow_headers: BTreeSet<String>,
    /// Response headers that scripts may read, lower case.
    pub expose_headers: BTreeSet<String>,
    /// Seconds a preflight may be cached.
    pub max_age_seconds: i32,
}

/// A bucket's web site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Website {
    /// Document for the root and for folders.
    pub index_document: Option<String>,
    /// Document for errors.
    pub error_document: Option<String>,
    /// Redirects that taskctl did not write, in words. Never desired.
    pub redirects: Vec<String>,
}

impl Model {
    /// The model of a template's bucket under its physical name. `origins` are those that the template cannot know
    /// (the stage's own site); they are added to its cross-origin rule, where it has one.
    pub fn new(name: String, bucket: &Bucket, origins: &[String], identity: &Identity, tags: Tags) -> Self {
        let Bucket {
            name: _,
            expire_days,
            abort_incomplete_upload_days,
            cors,
            website,
            versioning,
            kms_key,
        } = bucket;
        let days = |days: Option<u32>| days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
        Self {
            public_access_block: if website.is_some() {
                PublicAccessBlock::ALL_BUT_POLICY
            } else {
                PublicAccessBlock::ALL
            },
            object_ownership: ObjectOwnership::BucketOwnerEnforced.as_str().to_owned(),
            encryption: Encryption::new(kms_key.clone()),
            policy: policy(identity, &name, website.is_some()),
            expire_days: days(*expire_days),
            abort_incomplete_upload_days: days(*abort_incomplete_upload_days),
            other_lifecycle_rules: Vec::new(),
            cors: cors
                .iter()
                .map(|cors| ("1".to_owned(), CorsRule::new(cors, origins)))
                .collect(),
            website: website.as_ref().map(|site| Website {
                index_document: Some(site.index_document.clone()),
                error_document: Some(site.error_document.clone()),
                redirects: Vec::new(),
            }),
            versioning: *versioning,
            tags,
            name,
        }
    }
}

impl CorsRule {
    fn new(cors: &model::Cors, origins: &[String]) -> Self {
        // S3 knows no credentials: presigned URLs carry theirs.
        let model::Cors {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age_seconds,
            allow_credentials: _,
        } = cors;
        let everyone = allow_origins.iter().any(|origin| origin == "*");
        let more = origins.iter().filter(|_| !everyone);
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
        Self {
            allow_origins: allow_origins.iter().chain(more).cloned().collect(),
            allow_methods: allow_methods.iter().cloned().collect(),
            allow_headers: lower(allow_headers),
            expose_headers: lower(expose_headers),
            max_age_seconds: i32::try_from(*max_age_seconds).unwrap_or(i32::MAX),
        }
    }
}

/// Nobody without TLS; everybody may read a site, but not what is kept of former releases or waits for its own. A site's own
/// endpoint speaks plain HTTP only, so there the TLS rule covers everything but reading objects.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html>
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteAccessPermissionsReqd.html>
/// Whoever is not of the account, anonymous requests included, is told by `aws:PrincipalAccount`:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
fn policy(identity: &Identity, name: &str, website: bool) -> Document {
    let bucket = format!("arn:{}:s3:::{name}", identity.partition);
    let objects = format!("{bucket}/*");
    let everyone = || BTreeMap::from([("*".to_owned(), BTreeSet::from(["*".to_owned()]))]);
    let one = |text: &str| BTreeSet::from([text.to_owned()]);
    let insecure = one("false");
    let mut tls_only = Statement {
        effect: Effect::Deny,
        principals: everyone(),
        resources: [bucket.clone(), objects.clone()].into(),
        conditions: [("Bool".to_owned(), [("aws:SecureTransport".to_owned(), insecure)].into())].into(),
        ..Statement::default()
    };
    let mut statements = Vec::new();
    if website {
        let foreign = [("aws:PrincipalAccount".to_owned(), one(&identity.account))];
        statements.push((
            "KeptReleases".to_owned(),
            Statement {
                effect: Effect::Deny,
                principals: everyone(),
                actions: one("s3:GetObject"),
                resources: one(&format!("{bucket}/{KEPT}*")),
                conditions: [("StringNotEquals".to_owned(), foreign.into())].into(),
                ..Statement::default()
            },
        ));
        tls_only.not_actions = one("s3:GetObject");
        statements.push((
            "PublicRead".to_owned(),
            Statement {
                principals: everyone(),
                ..Statement::allow(&["s3:GetObject"], [objects])
            },
        ));
    } else {
        tls_only.actions = one("s3:*");
    }
    statements.push(("TlsOnly".to_owned(), tls_only));
    Document::new(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(region: &str) -> Identity {
        Identity {
            app: "shop".to_owned(),
            stage: "dev".to_owned(),
            region: region.to_owned(),
            account: "000000000000".to_owned(),
            partition: "aws".to_owned(),
        }
    }

    #[test]
    fn a_private_bucket_speaks_tls_only() {
        insta::assert_snapshot!(
            policy(&identity("us-east-1"), "b", false).to_json(),
            @r#"{"Version":"2012-10-17","Statement":[{"Sid":"TlsOnly","Effect":"Deny","Principal":"*","Action":["s3:*"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],"Condition":{"Bool":{"aws:SecureTransport":["false"]}}}]}"#
        );
    }

    #[test]
    fn a_site_can_be_read_by_its_plain_endpoint() {
        insta::assert_snapshot!(
            policy(&identity("us-east-1"), "b", true).to_json(),
            @r#"{"Version":"2012-10-17","Statement":[{"Sid":"KeptReleases","Effect":"Deny","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::b/.taskctl/*"],"Condition":{"StringNotEquals":{"aws:PrincipalAccount":["000000000000"]}}},{"Sid":"PublicRead","Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::b/*"]},{"Sid":"TlsOnly","Effect":"Deny","Principal":"*","NotAction":["s3:GetObject"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],"Condition":{"Bool":{"aws:SecureTransport":["false"]}}}]}"#
        );
    }
}
