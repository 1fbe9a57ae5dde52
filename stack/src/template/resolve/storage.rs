//! Tables and buckets of the resolved stack.

use std::collections::BTreeMap;

use super::{Resolver, rules};
use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{NamedValue, Short, Spanned, Switch};
use crate::template::language::{BucketCorsSource, BucketSource, IndexSource, KeySource, ProjectionType, TableSource};
use crate::template::model::{
    AttributeType, Bucket, Cors, Index, KeyAttribute, Projection, Table, TableSettings, Website,
};

/// Indexes of a table. <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
const MOST_INDEXES: usize = 20;

/// Attributes listed in `attributes` over all indexes of a table. The same page.
const MOST_INCLUDED: usize = 100;

impl Resolver<'_> {
    pub(super) fn tables(&mut self) -> BTreeMap<String, Table> {
        let mut tables = BTreeMap::new();
        for (logical, NamedValue { key, value }) in self.source.tables.value.iter() {
            self.mark(format!("tables.{logical}"), *key);
            tables.insert(logical.to_owned(), self.table(logical, *key, value));
        }
        tables
    }

    fn table(&mut self, logical: &str, key: Span, table: &TableSource) -> Table {
        let partition_key = attribute(&table.partition_key);
        let sort_key = table.sort_key.as_ref().map(attribute);
        self.keys(logical, table);
        let mut indexes = BTreeMap::new();
        for (name, NamedValue { key, value }) in table.indexes.value.iter() {
            self.mark(format!("tables.{logical}.indexes.{name}"), *key);
            indexes.insert(name.to_owned(), self.index(value));
        }
        Table {
            name: self.physical_name(&rules::TABLE, logical, key, table.name.as_ref()),
            settings: TableSettings {
                partition_key,
                sort_key,
                indexes,
                ttl_attribute: table.ttl.as_ref().map(|ttl| ttl.value.text.clone()),
                point_in_time_recovery_days: match &table.point_in_time_recovery.value {
                    Switch::Off => None,
                    Switch::On(Short(recovery)) => u8::try_from(recovery.period.value.units()).ok(),
                },
                deletion_protection: table
                    .deletion_protection
                    .map_or(self.source.protected.value, |protection| protection.value),
                kms_key: table.kms_key.as_ref().map(|key| key.value.text.clone()),
                stream: table.stream.map(|stream| stream.value.0),
            },
        }
    }

    fn index(&mut self, index: &IndexSource) -> Index {
        let projection = match (index.projection.value.0, &index.attributes) {
            (ProjectionType::All, None) => Projection::All,
            (ProjectionType::KeysOnly, None) => Projection::KeysOnly,
            (ProjectionType::Include, Some(attributes)) if !attributes.value.is_empty() => Projection::Include(
                attributes
                    .value
                    .iter()
                    .map(|attribute| attribute.value.text.clone())
                    .collect(),
            ),
            (ProjectionType::Include, _) => {
                let fault = Fault::error(Code::MissingKey, "`projection: include` needs the list `attributes`")
                    .at(index.projection.span)
                    .help("name the attributes that the index copies beside the keys");
                self.report(fault);
                Projection::All
            }
            (ProjectionType::All | ProjectionType::KeysOnly, Some(attributes)) => {
                let fault = Fault::error(Code::Conflict, "`attributes` is only used with `projection: include`")
                    .at(attributes.span)
                    .help("add `projection: include`, or remove `attributes`");
                self.report(fault);
                Projection::All
            }
        };
        Index {
            partition_key: attribute(&index.partition_key),
            sort_key: index.sort_key.as_ref().map(attribute),
            projection,
        }
    }

    /// One attribute has one type, keys of one index differ, and the expiry is a number.
    fn keys(&mut self, logical: &str, table: &TableSource) {
        let mut types: BTreeMap<&str, (AttributeType, Span)> = BTreeMap::new();
        let mut schemas = vec![(&table.partition_key, &table.sort_key)];
        schemas.extend(
            table
                .indexes
                .value
                .iter()
                .map(|(_, index)| (&index.value.partition_key, &index.value.sort_key)),
        );
        for (partition_key, sort_key) in schemas {
            for Spanned { value: Short(key), .. } in std::iter::once(partition_key).chain(sort_key) {
                let (name, span) = (key.name.value.text.as_str(), key.name.span);
                let kind = key.r#type.value.0;
                match types.get(name) {
                    Some((first, at)) if *first != kind => {
                        let fault = Fault::error(
                            Code::Conflict,
                            format!("the attribute `{name}` of table `{logical}` has two types"),
                        )
                        .labelled(span, word(kind))
                        .with(*at, word(*first))
                        .help("an attribute has one type in the table and all its indexes");
                        self.report(fault);
                    }
                    Some(_) => {}
                    None => {
                        types.insert(name, (kind, span));
                    }
                }
            }
            if let Some(sort_key) = sort_key
                && sort_key.value.0.name.value.text == partition_key.value.0.name.value.text
            {
                let fault = Fault::error(Code::Conflict, "sort key and partition key are the same attribute")
                    .labelled(sort_key.value.0.name.span, "sort key")
                    .with(partition_key.value.0.name.span, "partition key");
                self.report(fault);
            }
        }
        if let Some(ttl) = &table.ttl
            && let Some((kind, at)) = types.get(ttl.value.text.as_str())
            && *kind != AttributeType::Number
        {
            let fault = Fault::error(
                Code::Conflict,
                format!("the expiry `{}` is a key of type {}", ttl.value.text, word(*kind)),
            )
            .at(ttl.span)
            .with(*at, "key")
            .help("DynamoDB expires items by a number attribute of epoch seconds");
            self.report(fault);
        }
        self.index_counts(logical, table);
    }

    fn index_counts(&mut self, logical: &str, table: &TableSource) {
        let indexes = &table.indexes;
        if indexes.value.len() > MOST_INDEXES {
            let fault = Fault::error(
                Code::TooMany,
                format!("table `{logical}` has {} indexes", indexes.value.len()),
            )
            .at(indexes.span)
            .help(format!("a table has at most {MOST_INDEXES} global secondary indexes"));
            self.report(fault);
        }
        let included: usize = indexes
            .value
            .iter()
            .filter_map(|(_, index)| index.value.attributes.as_ref())
            .map(|list| list.value.len())
            .sum();
        if included > MOST_INCLUDED {
            let fault = Fault::error(
                Code::TooMany,
                format!("the indexes of table `{logical}` copy {included} listed attributes"),
            )
            .at(indexes.span)
            .help(format!(
                "at most {MOST_INCLUDED} over all indexes; use `projection: all`"
            ));
            self.report(fault);
        }
    }

    pub(super) fn buckets(&mut self) -> BTreeMap<String, Bucket> {
        let mut buckets = BTreeMap::new();
        for (logical, NamedValue { key, value }) in self.source.buckets.value.iter() {
            self.mark(format!("buckets.{logical}"), *key);
            buckets.insert(logical.to_owned(), self.bucket(logical, *key, value));
        }
        buckets
    }

    fn bucket(&mut self, logical: &str, key: Span, bucket: &BucketSource) -> Bucket {
        Bucket {
            name: self.physical_name(&rules::BUCKET, logical, key, bucket.name.as_ref()),
            expire_days: bucket.expire.map(|expire| expire.value.units()),
            abort_incomplete_upload_days: match &bucket.abort_incomplete_uploads.value {
                Switch::Off => None,
                Switch::On(Short(abort)) => Some(abort.after.value.units()),
            },
            cors: match &bucket.cors.value {
                Switch::Off => None,
                Switch::On(cors) => Some(self.bucket_cors(cors)),
            },
            website: match &bucket.website.value {
                Switch::Off => None,
                Switch::On(website) => Some(Website {
                    source: website.source.as_ref().map(|source| source.value.text.clone()),
                    index_document: website.index_document.value.text.clone(),
                    error_document: website.error_document.value.text.clone(),
                }),
            },
            versioning: bucket.versioning.value,
            kms_key: bucket.kms_key.as_ref().map(|key| key.value.text.clone()),
        }
    }

    fn bucket_cors(&mut self, cors: &BucketCorsSource) -> Cors {
        let api = self.source.api.as_ref().and_then(|api| match &api.value.cors.value {
            Switch::Off => None,
            Switch::On(cors) => Some(&cors.allow_origins.value),
        });
        let origins = cors.allow_origins.as_ref().map(|origins| &origins.value).or(api);
        if origins.is_none_or(|origins| origins.is_empty()) && !self.has_site() {
            let fault = Fault::warning(
                Code::Suspicious,
                "this bucket allows no origin: the API has none and the stack has no site",
            )
            .at(cors.span)
            .help("set `allow_origins` here or under `api.cors`");
            self.report(fault);
        }
        Cors {
            allow_origins: origins
                .into_iter()
                .flatten()
                .map(|origin| origin.value.text.clone())
                .collect(),
            allow_methods: cors
                .allow_methods
                .value
                .iter()
                .map(|method| method.value.text.clone())
                .collect(),
            allow_headers: cors
                .allow_headers
                .value
                .iter()
                .map(|header| header.value.text.clone())
                .collect(),
            expose_headers: cors
                .expose_headers
                .value
                .iter()
                .map(|header| header.value.text.clone())
                .collect(),
            max_age_seconds: cors.max_age.value.units(),
            allow_credentials: false,
        }
    }

    /// Whether a bucket of the stack is a web site.
    pub(super) fn has_site(&self) -> bool {
        self.source
            .buckets
            .value
            .iter()
            .any(|(_, bucket)| matches!(bucket.value.website.value, Switch::On(_)))
    }
}

fn attribute(key: &Spanned<Short<KeySource>>) -> KeyAttribute {
    let Short(key) = &key.value;
    KeyAttribute {
        name: key.name.value.text.clone(),
        kind: key.r#type.value.0,
    }
}

fn word(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::String => "string",
        AttributeType::Number => "number",
        AttributeType::Binary => "binary",
    }
}
