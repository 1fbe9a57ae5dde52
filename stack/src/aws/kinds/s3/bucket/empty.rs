//! The objects of a bucket: whether any of them is data, and how they go. A bucket can be deleted only when no version, no
//! delete marker and no unfinished upload is left in it.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/delete-bucket.html>

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::{Delete, MultipartUpload, ObjectIdentifier};
use futures::{FutureExt, TryStreamExt, stream};

use super::{fits, there};
use crate::aws::client::context::Context;
use crate::aws::client::error::{AwsError, ErrorKind, classify};
use crate::aws::client::op::op;
use crate::aws::client::pages::Cursor;
use crate::aws::kinds::s3;
use crate::aws::kinds::site;
use crate::site::KEPT;

/// Pages of objects being deleted at the same time, and uploads being aborted.
const SIDE_BY_SIDE: usize = 4;

/// Most pages of a bucket that are followed: a hundred million versions.
const MOST_PAGES: usize = 100_000;

/// Where a listing resumes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Marker {
    key: Option<String>,
    /// Version or upload.
    id: Option<String>,
}

/// A page of versions, and of delete markers behind them.
struct Page {
    objects: Vec<ObjectIdentifier>,
    versions: usize,
    next: Option<Marker>,
}

/// What a bucket holds.
pub(super) enum Contents {
    /// There is no such bucket.
    NoBucket,
    /// No data: what must go before S3 deletes it, delete markers and what taskctl has published.
    Remains(Vec<ObjectIdentifier>),
    /// Data, in words.
    Data(String),
}

/// Looks at what a bucket holds. Data is every version of every object, current or not, and every upload that is on its way: its
/// parts are there, and whoever began it may finish it. What taskctl has published for a web site is none.
pub(super) async fn contents(context: &Context, name: &str) -> Result<Contents, AwsError> {
    let mut remains = Vec::new();
    let mut published = None;
    let mut cursor = Cursor::first(MOST_PAGES);
    loop {
        let Some(page) = there(versions(context, name, cursor.token()).await)? else {
            return Ok(Contents::NoBucket);
        };
        let (objects, markers) = page.objects.split_at(page.versions);
        if !objects.is_empty() {
            let published = match &published {
                Some(published) => published,
                None => published.insert(site::objects::published_keys(context, name).await?),
            };
            let is_data = |key: &str| !key.starts_with(KEPT) && !published.contains(key);
            if objects.iter().any(|object| is_data(object.key())) {
                return Ok(Contents::Data("it holds data".to_owned()));
            }
        }
        remains.extend(objects.iter().chain(markers).cloned());
        match page.next {
            Some(next) => cursor.advance(next)?,
            None => break,
        }
    }
    let uploads = there(uploads(context, name, &Marker::default()).await)?;
    match uploads {
        None => Ok(Contents::NoBucket),
        Some(page) if page.uploads().is_empty() => Ok(Contents::Remains(remains)),
        Some(_) => Ok(Contents::Data(
            "it holds data: an upload that is not finished".to_owned(),
        )),
    }
}

/// Deletes what a look found to be no data, and nothing that has come since: every version by its id.
pub(super) async fn clear(context: &Context, name: &str, remains: Vec<ObjectIdentifier>) -> Result<(), AwsError> {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    for some in remains.chunks(1_000) {
        there(delete(context, name, some.to_vec()).await)?;
    }
    Ok(())
}

/// Empties a bucket. `false`: there is no such bucket.
pub(super) async fn empty(context: &Context, name: &str) -> Result<bool, AwsError> {
    let emptied = futures::try_join!(delete_versions(context, name), abort_uploads(context, name));
    Ok(there(emptied)?.is_some())
}

/// Deletes all versions and delete markers; while one page is being deleted the next is listed.
async fn delete_versions(context: &Context, name: &str) -> Result<(), AwsError> {
    let pages = stream::try_unfold(Some(Cursor::first(MOST_PAGES)), |cursor| {
        next_page(context, name, cursor).boxed()
    });
    pages
        .try_for_each_concurrent(SIDE_BY_SIDE, |objects| delete(context, name, objects).boxed())
        .await
}

type Unfolded = Option<(Vec<ObjectIdentifier>, Option<Cursor<Marker>>)>;

async fn next_page(context: &Context, name: &str, cursor: Option<Cursor<Marker>>) -> Result<Unfolded, AwsError> {
    let Some(mut cursor) = cursor else { return Ok(None) };
    let page = versions(context, name, cursor.token()).await?;
    let next = match page.next {
        Some(next) => {
            cursor.advance(next)?;
            Some(cursor)
        }
        None => None,
    };
    Ok(Some((page.objects, next)))
}

async fn versions(context: &Context, name: &str, marker: &Marker) -> Result<Page, AwsError> {
    let client = &context.clients().s3;
    let page = context
        .call(op("s3", "ListObjectVersions"), || {
            client
                .list_object_versions()
                .bucket(name)
                .set_key_marker(marker.key.clone())
                .set_version_id_marker(marker.id.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await?;
    let identify = |key: Option<&str>, version: Option<&str>| {
        fits(
            ObjectIdentifier::builder()
                .key(key.unwrap_or_default())
                .set_version_id(version.map(str::to_owned))
                .build(),
        )
    };
    let versions = page
        .versions()
        .iter()
        .map(|version| identify(version.key(), version.version_id()));
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| identify(marker.key(), marker.version_id()));
    Ok(Page {
        objects: versions.chain(markers).collect::<Result<_, _>>()?,
        versions: page.versions().len(),
        next: (page.is_truncated() == Some(true)).then_some(Marker {
            key: page.next_key_marker,
            id: page.next_version_id_marker,
        }),
    })
}

/// Deletes one page. A key that S3 was too busy for stays, and makes the bucket count as not empty.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
async fn delete(context: &Context, name: &str, objects: Vec<ObjectIdentifier>) -> Result<(), AwsError> {
    if objects.is_empty() {
        return Ok(());
    }
    let client = &context.clients().s3;
    let delete = fits(Delete::builder().set_objects(Some(objects)).quiet(true).build())?;
    let answer = context
        .call(op("s3", "DeleteObjects"), || {
            client
                .delete_objects()
                .bucket(name)
                .delete(delete.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await?;
    for failed in answer.errors() {
        let message = failed.message().unwrap_or_default();
        let kind = classify(s3::SERVICE.errors, failed.code(), message, Some(400));
        if !matches!(
            kind,
            ErrorKind::Throttled | ErrorKind::Transient | ErrorKind::Busy | ErrorKind::NotFound
        ) {
            let text = format!(
                "object {} cannot be deleted: {message}",
                failed.key().unwrap_or_default()
            );
            return Err(AwsError {
                code: failed.code().map(str::to_owned),
                ..AwsError::own("s3", "DeleteObjects", kind, text)
            });
        }
    }
    Ok(())
}

/// A page of uploads that are on their way.
async fn uploads(context: &Context, name: &str, marker: &Marker) -> Result<ListMultipartUploadsOutput, AwsError> {
    let client = &context.clients().s3;
    context
        .call(op("s3", "ListMultipartUploads"), || {
            client
                .list_multipart_uploads()
                .bucket(name)
                .set_key_marker(marker.key.clone())
                .set_upload_id_marker(marker.id.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
}

async fn abort_uploads(context: &Context, name: &str) -> Result<(), AwsError> {
    let mut cursor = Cursor::first(MOST_PAGES);
    loop {
        let page = uploads(context, name, cursor.token()).await?;
        stream::iter(page.uploads().iter().cloned().map(Ok))
            .try_for_each_concurrent(SIDE_BY_SIDE, |upload| abort(context, name, upload).boxed())
            .await?;
        if page.is_truncated() != Some(true) {
            return Ok(());
        }
        cursor.advance(Marker {
            key: page.next_key_marker,
            id: page.next_upload_id_marker,
        })?;
    }
}

async fn abort(context: &Context, name: &str, upload: MultipartUpload) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let aborted = context
        .call(op("s3", "AbortMultipartUpload"), || {
            client
                .abort_multipart_upload()
                .bucket(name)
                .set_key(upload.key.clone())
                .set_upload_id(upload.upload_id.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    // Finished or aborted by its owner in the meantime.
    there(aborted).map(drop)
}
