//! Parts of requests about tables.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, KeySchemaElement, KeyType, ProjectionType, ScalarAttributeType, SseSpecification, SseType,
    StreamSpecification, StreamViewType, Tag,
};
use aws_smithy_types::error::operation::BuildError;

use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::tags::Tags;
use crate::template::model::{AttributeType, KeyAttribute, Projection, StreamView};

/// The attributes that keys use: exactly these must be defined.
#[derive(Default)]
pub(super) struct Attributes(BTreeSet<(String, &'static str)>);

impl Attributes {
    pub(super) fn add(&mut self, partition: &KeyAttribute, sort: Option<&KeyAttribute>) {
        for key in [Some(partition), sort].into_iter().flatten() {
            let kind = match key.kind {
                AttributeType::String => "S",
                AttributeType::Number => "N",
                AttributeType::Binary => "B",
            };
            self.0.insert((key.name.clone(), kind));
        }
    }

    pub(super) fn definitions(self) -> Result<Vec<AttributeDefinition>, AwsError> {
        let define = |(name, kind): (String, &str)| {
            fits(
                AttributeDefinition::builder()
                    .attribute_name(name)
                    .attribute_type(ScalarAttributeType::from(kind))
                    .build(),
            )
        };
        self.0.into_iter().map(define).collect()
    }
}

pub(super) fn schema(partition: &KeyAttribute, sort: Option<&KeyAttribute>) -> Result<Vec<KeySchemaElement>, AwsError> {
    let keys = [(Some(partition), KeyType::Hash), (sort, KeyType::Range)];
    keys.into_iter()
        .filter_map(|(key, kind)| {
            Some(fits(
                KeySchemaElement::builder()
                    .attribute_name(&key?.name)
                    .key_type(kind)
                    .build(),
            ))
        })
        .collect()
}

pub(super) fn projected(projection: &Projection) -> aws_sdk_dynamodb::types::Projection {
    let builder = aws_sdk_dynamodb::types::Projection::builder();
    match projection {
        Projection::All => builder.projection_type(ProjectionType::All),
        Projection::KeysOnly => builder.projection_type(ProjectionType::KeysOnly),
        Projection::Include(attributes) => builder
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(attributes.clone())),
    }
    .build()
}

pub(super) fn encrypted(key: Option<&str>) -> SseSpecification {
    let builder = SseSpecification::builder().enabled(key.is_some());
    match key {
        Some(key) => builder.sse_type(SseType::Kms).kms_master_key_id(key),
        None => builder,
    }
    .build()
}

pub(super) fn streaming(view: Option<StreamView>) -> Result<StreamSpecification, AwsError> {
    let view_type = view.map(|view| match view {
        StreamView::KeysOnly => StreamViewType::KeysOnly,
        StreamView::NewImage => StreamViewType::NewImage,
        StreamView::OldImage => StreamViewType::OldImage,
        StreamView::NewAndOldImages => StreamViewType::NewAndOldImages,
    });
    fits(
        StreamSpecification::builder()
            .stream_enabled(view_type.is_some())
            .set_stream_view_type(view_type)
            .build(),
    )
}

pub(super) fn labels(tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| fits(Tag::builder().key(key).value(value).build()))
        .collect()
}

/// A list, unless it is empty: AWS refuses empty ones.
pub(super) fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// A part of a request that the SDK could not put together.
pub(super) fn fits<T>(built: Result<T, BuildError>) -> Result<T, AwsError> {
    built.map_err(|error| AwsError::own("dynamodb", "request", ErrorKind::Invalid, error.to_string()))
}
