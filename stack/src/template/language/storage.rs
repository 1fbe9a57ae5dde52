//! Tables and buckets.

use super::{AttributeName, DocumentName, Header, IndexName, KmsKey, NameText, ObjectMethod, Origin, PathText};
use crate::template::grammar::{
    Days, Decode, Duration, Named, OneOf, Reserved, Seconds, Shape, Short, Shorthand, Spanned, Switch, Text, Variant,
    record,
};
use crate::template::model::{AttributeType, StreamView};

record! {
    /// A DynamoDB table, on-demand.
    pub(crate) struct TableSource as "table" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// Partition key.
        partition_key: Spanned<Short<KeySource>>,
        /// Sort key.
        sort_key: Option<Spanned<Short<KeySource>>>,
        /// Global secondary indexes, at most 20.
        indexes: Spanned<Named<IndexName, IndexSource>> = "{}",
        /// Attribute that holds the expiry, in epoch seconds.
        ttl: Option<Spanned<Text<AttributeName>>>,
        /// Point-in-time recovery: how far back, 1 to 35 days; `true` is 35 days.
        point_in_time_recovery: Spanned<Switch<Short<RecoverySource>>> = "true",
        /// Refuse deletion on AWS's side. Without it: on for protected stages.
        deletion_protection: Option<Spanned<bool>>,
        /// Customer-managed KMS key. Without it: the key that AWS owns.
        kms_key: Option<Spanned<Text<KmsKey>>>,
        /// Stream of the table's changes. Another word replaces the stream: it has a new ARN, and the records of the old one stay
        /// readable for 24 h.
        stream: Option<Spanned<OneOf<StreamView>>>,
    }
}

record! {
    /// Point-in-time recovery.
    pub(crate) struct RecoverySource as "point-in-time recovery" {
        /// How far back a table can be restored.
        period: Spanned<Duration<Days, 1, 35>> = "35d",
    }
}

impl Shorthand for RecoverySource {
    const KEY: &'static str = "period";

    fn short() -> Shape {
        Duration::<Days, 1, 35>::shape()
    }
}

record! {
    /// A key attribute. `partition_key: taskId` is short for `partition_key: {name: taskId, type: string}`.
    pub(crate) struct KeySource as "key" {
        /// Attribute name.
        name: Spanned<Text<AttributeName>>,
        /// Attribute type.
        r#type: Spanned<OneOf<AttributeType>> = "string",
    }
}

impl Shorthand for KeySource {
    const KEY: &'static str = "name";

    fn short() -> Shape {
        Text::<AttributeName>::shape()
    }
}

impl Variant for AttributeType {
    const WHAT: &'static str = "a key's type";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("string", "text (S)", Self::String),
        ("number", "number (N)", Self::Number),
        ("binary", "bytes (B)", Self::Binary),
    ];
}

impl Variant for StreamView {
    const WHAT: &'static str = "a stream view";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("keys-only", "the key of the item", Self::KeysOnly),
        ("new-image", "the item after the change", Self::NewImage),
        ("old-image", "the item before the change", Self::OldImage),
        ("new-and-old-images", "both", Self::NewAndOldImages),
    ];
}

record! {
    /// A global secondary index.
    pub(crate) struct IndexSource as "index" {
        /// Partition key.
        partition_key: Spanned<Short<KeySource>>,
        /// Sort key.
        sort_key: Option<Spanned<Short<KeySource>>>,
        /// What is copied into the index.
        projection: Spanned<OneOf<ProjectionType>> = "all",
        /// Attributes copied beside the keys, with `projection: include`.
        attributes: Option<Spanned<Vec<Spanned<Text<AttributeName>>>>>,
    }
}

/// What an index copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProjectionType {
    All,
    KeysOnly,
    Include,
}

impl Variant for ProjectionType {
    const WHAT: &'static str = "a projection";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("all", "all attributes", Self::All),
        ("keys-only", "only keys", Self::KeysOnly),
        ("include", "keys and the listed `attributes`", Self::Include),
    ];
}

record! {
    /// An S3 bucket: private, encrypted, reachable over TLS only.
    pub(crate) struct BucketSource as "bucket" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// Objects expire after this time.
        expire: Option<Spanned<Duration<Days, 1, 36500>>>,
        /// Incomplete multipart uploads are aborted after this time.
        abort_incomplete_uploads: Spanned<Switch<Short<AbortSource>>> = "true",
        /// Lets browsers use presigned URLs: `true` takes the origins of the API.
        cors: Spanned<Switch<BucketCorsSource>> = "false",
        /// Serve the bucket as a public web site.
        website: Spanned<Switch<WebsiteSource>> = "false",
        /// Keep old versions of objects.
        versioning: Spanned<bool> = "false",
        /// Customer-managed KMS key. Without it: SSE-S3.
        kms_key: Option<Spanned<Text<KmsKey>>>,
    }
}

record! {
    /// Cross-origin settings of a bucket.
    pub(crate) struct BucketCorsSource as "bucket cors" {
        /// Origins that may read and write. Without it: those of the API.
        allow_origins: Option<Spanned<Vec<Spanned<Text<Origin>>>>>,
        /// Methods.
        allow_methods: Spanned<Vec<Spanned<Text<ObjectMethod>>>> = "[GET, HEAD, PUT]",
        /// Request headers.
        allow_headers: Spanned<Vec<Spanned<Text<Header>>>> = "['*']",
        /// Response headers that scripts may read.
        expose_headers: Spanned<Vec<Spanned<Text<Header>>>> = "[etag]",
        /// How long browsers may remember the answer to a preflight.
        max_age: Spanned<Duration<Seconds, 0, 86400>> = "1h",
    }
}

record! {
    /// When incomplete multipart uploads are aborted.
    pub(crate) struct AbortSource as "abort of incomplete uploads" {
        /// Time after the upload began.
        after: Spanned<Duration<Days, 1, 365>> = "7d",
    }
}

impl Shorthand for AbortSource {
    const KEY: &'static str = "after";

    fn short() -> Shape {
        Duration::<Days, 1, 365>::shape()
    }
}

record! {
    /// A web site served from a bucket.
    pub(crate) struct WebsiteSource as "website" {
        /// Folder with the files, relative to the template. Without it: the page shipped with taskctl.
        source: Option<Spanned<Text<PathText>>>,
        /// Document for the root.
        index_document: Spanned<Text<DocumentName>> = "index.html",
        /// Document for errors.
        error_document: Spanned<Text<DocumentName>> = "error.html",
        /// Serve through CloudFront.
        cdn: Reserved,
    }
}
