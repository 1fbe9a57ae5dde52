//! An asset: its fields, their rules, how it is shown and how it is stored.

use serde::{Deserialize, Serialize};

use super::FileName;
use crate::http::{Failure, Fields, Request};
use crate::idempotency::KEPT_ANSWER;
use crate::listing::{LIST_PARTITION, Place, STATUS_PARTITION};
use crate::ports::{Item, ObjectHead, REVISION, TTL};
use crate::record::{Millis, RecordId};

/// Partition key attribute of the table.
pub(super) const KEY: &str = "assetId";
/// Record and object expire after 30 days.
pub const KEPT_SECONDS: i64 = 30 * 24 * 3600;

const CONTENT_TYPE_LENGTH: usize = 255;
/// Largest object of one PUT: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.
pub(crate) const SIZE_LIMIT: i64 = 5 * 1024 * 1024 * 1024;
/// Largest upload where nothing else is said: 100 MB.
pub const UPLOAD_LIMIT: i64 = 100 * 1024 * 1024;

/// What is known of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Not uploaded yet, as far as is known.
    Pending,
    /// There, with its size and entity tag recorded.
    Uploaded,
    /// There, and larger than announced.
    Rejected,
}

impl Status {
    /// Reads a status in any case.
    pub fn read(text: &str) -> Result<Self, Failure> {
        match text.trim().to_ascii_uppercase().as_str() {
            "PENDING" => Ok(Self::Pending),
            "UPLOADED" => Ok(Self::Uploaded),
            "REJECTED" => Ok(Self::Rejected),
            _ => Err(Failure::field("status", "must be PENDING, UPLOADED or REJECTED")),
        }
    }

    /// As it is written in responses and in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Uploaded => "UPLOADED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// An asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Id; carries the creation time.
    pub id: RecordId,
    /// Its original name.
    pub file_name: FileName,
    /// Media type that it is uploaded with.
    pub content_type: String,
    /// Size that was announced, bytes; records of earlier releases may have none.
    pub announced: Option<i64>,
    /// Entity tag of the object that stands for the upload to come; records of earlier releases have none.
    pub reserved: Option<String>,
    /// Size of the object, bytes.
    pub size: Option<i64>,
    /// Entity tag of the object.
    pub etag: Option<String>,
    /// Object key.
    pub s3_key: String,
    /// Bucket.
    pub s3_bucket: String,
    /// Status.
    pub status: Status,
    /// Last change.
    pub updated: Millis,
    /// Epoch second from which it is gone.
    pub ttl: i64,
    /// Number of changes, from 1.
    pub revision: i64,
    /// Its position in the lists.
    pub place: Place,
    /// Key of the item that keeps the answer to its create, when one was kept.
    pub kept_answer: Option<String>,
}

/// The part of a create that is kept to sign its URL again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) view: AssetView,
    /// Entity tag of what the upload replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reserved: Option<String>,
}

impl Kept {
    /// Reads what was kept. Its text is in no error: it has the file's name in it.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|_| Failure::Internal("the kept answer is not that of an asset".into()))
    }
}

/// An asset as responses show it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetView {
    pub(super) asset_id: String,
    file_name: String,
    pub(super) content_type: String,
    /// The object's once it is there, before that the announced one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size_bytes: Option<i64>,
    /// Only when it differs from the object's.
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    pub(super) s3_key: String,
    s3_bucket: String,
    status: Status,
    created_at: i64,
    updated_at: i64,
    ttl: i64,
}

/// Label of the partitions by status.
pub(super) fn status_label(status: Status) -> String {
    format!("status:{}", status.word())
}

impl Asset {
    /// As responses show it.
    pub fn view(&self) -> AssetView {
        let announced_bytes = self
            .announced
            .filter(|announced| self.size.is_some_and(|size| size != *announced));
        AssetView {
            asset_id: self.id.to_string(),
            file_name: self.file_name.as_str().to_owned(),
            content_type: self.content_type.clone(),
            size_bytes: self.size.or(self.announced),
            announced_bytes,
            etag: self.etag.clone(),
            s3_key: self.s3_key.clone(),
            s3_bucket: self.s3_bucket.clone(),
            status: self.status,
            created_at: self.id.created().0,
            updated_at: self.updated.0,
            ttl: self.ttl,
        }
    }

    /// This asset with the entity tag of the object that stands for its upload.
    pub(super) fn reserved(self, etag: String) -> Self {
        Self {
            reserved: Some(etag),
            ..self
        }
    }

    /// What is kept of it for an idempotency key.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            view: self.view(),
            reserved: self.reserved.clone(),
        }
    }

    /// As the table holds it.
    pub(super) fn item(&self) -> Item {
        Item::default()
            .with(KEY, self.id.to_string())
            .with("fileName", self.file_name.as_str())
            .with("contentType", self.content_type.clone())
            .with_some("announcedBytes", self.announced)
            .with_some("reservedEtag", self.reserved.clone())
            .with_some("sizeBytes", self.size)
            .with_some("etag", self.etag.clone())
            .with("s3Key", self.s3_key.clone())
            .with("s3Bucket", self.s3_bucket.clone())
            .with("status", self.status.word())
            .with("createdAt", self.id.created().0)
            .with("updatedAt", self.updated.0)
            .with(TTL, self.ttl)
            .with(REVISION, self.revision)
            .with_some(KEPT_ANSWER, self.kept_answer.clone())
            .with(LIST_PARTITION, self.place.partition("all"))
            .with(STATUS_PARTITION, self.place.partition(&status_label(self.status)))
    }

    /// Reads an item; none when it is no asset, or one whose time is over.
    pub(super) fn from_item(item: &Item, now: Millis) -> Option<Self> {
        if item.expired(now) {
            return None;
        }
        let id = RecordId::parse(item.text(KEY)?)?;
        let reserved = item.text("reservedEtag").map(str::to_owned);
        // A release before this one takes the object that stands for the upload for the upload.
        let mistaken = reserved.is_some() && item.text("etag") == reserved.as_deref();
        let seen = |value: Option<i64>| value.filter(|_| !mistaken);
        let status = item.text("status").and_then(|text| Status::read(text).ok())?;
        Some(Self {
            id,
            file_name: FileName::stored(item.text("fileName")?),
            content_type: item.text("contentType")?.to_owned(),
            announced: item.number("announcedBytes"),
            size: seen(item.number("sizeBytes")),
            etag: item.text("etag").filter(|_| !mistaken).map(str::to_owned),
            reserved,
            s3_key: item.text("s3Key")?.to_owned(),
            s3_bucket: item.text("s3Bucket")?.to_owned(),
            status: if mistaken { Status::Pending } else { status },
            updated: item.number("updatedAt").map_or(id.created(), Millis),
            ttl: item.number(TTL)?,
            revision: item.number(REVISION)?,
            place: Place::of(item)?,
            kept_answer: item.text(KEPT_ANSWER).map(str::to_owned),
        })
    }

    /// The asset with what its object is like; the same one when that is known already, or nothing has been uploaded.
    pub(super) fn uploaded(&self, head: &ObjectHead, now: Millis) -> Self {
        if self.reserved.as_deref() == Some(&head.etag) {
            return self.clone();
        }
        let fits = self.announced.is_none_or(|announced| head.size <= announced);
        let status = if fits { Status::Uploaded } else { Status::Rejected };
        let mut after = Self {
            size: Some(head.size),
            etag: Some(head.etag.clone()),
            status,
            ..self.clone()
        };
        if after != *self {
            after.updated = now.max(self.updated);
            after.revision = self.revision + 1;
        }
        after
    }
}

/// The body of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    file_name: FileName,
    content_type: String,
    announced: i64,
}

impl Draft {
    /// Reads and checks it; at most `upload_limit` bytes may be uploaded.
    pub fn read(request: &Request, upload_limit: i64) -> Result<Self, Failure> {
        let mut fields = Fields::read(request)?;
        let file_name = fields.text("fileName")?.try_map(|name| FileName::read(&name))?;
        let content_type = fields.text("contentType")?.try_map(|text| {
            let text = text.trim().to_owned();
            if is_media_type(&text) {
                Ok(text)
            } else {
                Err(Failure::field("contentType", "must be a media type such as image/png"))
            }
        })?;
        let announced = fields.number("sizeBytes")?.try_map(|size| {
            if size < 0 {
                Err(Failure::field("sizeBytes", "must not be negative"))
            } else {
                Ok(size)
            }
        })?;
        fields.finish()?;
        let draft = Self {
            file_name: file_name.required("fileName")?,
            content_type: content_type.required("contentType")?,
            announced: announced.required("sizeBytes")?,
        };
        if draft.announced > upload_limit {
            return Err(Failure::TooLarge(format!(
                "'sizeBytes' is {}; files of at most {upload_limit} bytes are taken",
                draft.announced
            )));
        }
        Ok(draft)
    }

    /// The asset made of it.
    pub(super) fn into_asset(self, id: RecordId, bucket: &str, place: Place, kept_answer: Option<String>) -> Asset {
        let Self {
            file_name,
            content_type,
            announced,
        } = self;
        let s3_key = format!("assets/{id}/{}", file_name.as_str());
        Asset {
            id,
            file_name,
            content_type,
            announced: Some(announced),
            reserved: None,
            size: None,
            etag: None,
            s3_key,
            s3_bucket: bucket.to_owned(),
            status: Status::Pending,
            updated: id.created(),
            ttl: super::expiry(id.created()),
            revision: 1,
            place,
            kept_answer,
        }
    }
}

/// `type/subtype` with parameters, printable ASCII: <https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1>.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let (media, parameters) = text.split_once(';').unwrap_or((text, ""));
    let named = media
        .trim_end()
        .split_once('/')
        .is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    named && text.len() <= CONTENT_TYPE_LENGTH && parameters.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for good in [
            "image/png",
            "text/plain; charset=utf-8",
            "application/vnd.x+json",
            "text/plain;a=\"b c\"",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "png",
            "image/",
            "/png",
            "image/png/x",
            "ima ge/png",
            "text/plain; a=\u{e9}",
            "text/plain\r\nx: y",
            "*",
        ] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
