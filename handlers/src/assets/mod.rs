//! The assets function: `/assets`. The bytes go between client and bucket by presigned URLs; here are the records and the signing.
//!
//! An upload replaces the object that was put there for it when the asset was made, and nothing else: so its URL is good for one
//! upload, and for none once the asset is gone. `docs/decisions/0105-uploads.md` says why.

mod model;
mod name;

use serde_json::json;

use crate::aws::{DynamoStore, Environment, EnvironmentError, S3Objects, number, required};
use crate::contention::{Attempt, until_finished};
use crate::http::{Failure, Function, IfMatch, Request, Response, RouteSpec, etag, shortened};
use crate::idempotency::{Created, IdempotencyKey, create, forget, refuse};
use crate::listing::{Index, List, Listing, PageRequest, fetch};
use crate::ports::{Clock, Commit, Condition, Ids, Objects, Store, SystemClock, SystemIds, Upload, Write};
use crate::record::{Millis, RecordId};

pub use model::{Asset, AssetView, Draft, KEPT_SECONDS, Status, UPLOAD_LIMIT};
pub use name::FileName;

use model::{KEY, Kept, SIZE_LIMIT, status_label};

/// How long a presigned URL is good for.
pub const URL_SECONDS: u32 = 3600;

/// The assets function.
#[derive(Debug)]
pub struct Assets<S, O, C, I> {
    store: S,
    objects: O,
    clock: C,
    ids: I,
    listing: Listing,
    upload_limit: i64,
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Announce an asset, and get the URL to upload it to.
    Create,
    /// List assets.
    List,
    /// Read an asset.
    Get,
    /// Get the URL to download an asset from.
    Download,
    /// Delete an asset.
    Delete,
}

/// The function as Lambda runs it.
pub fn function() -> Result<Assets<DynamoStore, S3Objects, SystemClock, SystemIds>, EnvironmentError> {
    let environment = Environment::read()?;
    let store = DynamoStore::new(environment.dynamodb(), required("ASSETS_TABLE")?, KEY);
    let objects = S3Objects::new(environment.s3(), required("ASSETS_BUCKET")?);
    let partitions = number("LIST_PARTITIONS", "a whole number from 1 to 16", 1..=16, 1)?;
    let allowed = "a whole number of bytes from 1 to 5368709120";
    let upload_limit = number("MAX_UPLOAD_BYTES", allowed, 1..=SIZE_LIMIT, UPLOAD_LIMIT)?;
    Ok(Assets::new(store, objects, SystemClock, SystemIds, partitions).with_upload_limit(upload_limit))
}

impl<S: Store, O: Objects, C: Clock, I: Ids> Function for Assets<S, O, C, I> {
    type Route = Route;
    const ROUTES: &'static [RouteSpec<Route>] = &[
        ("POST /assets", Route::Create),
        ("GET /assets", Route::List),
        ("GET /assets/{assetId}", Route::Get),
        ("GET /assets/{assetId}/download", Route::Download),
        ("DELETE /assets/{assetId}", Route::Delete),
    ];

    async fn handle(&self, route: Route, request: &Request) -> Result<Response, Failure> {
        match route {
            Route::Create => self.create(request).await,
            Route::List => self.list(request).await,
            Route::Get => self.get(request).await,
            Route::Download => self.download(request).await,
            Route::Delete => self.delete(request).await,
        }
    }
}

impl<S: Store, O: Objects, C: Clock, I: Ids> Assets<S, O, C, I> {
    /// The function over its ports; `partitions` is the least number of list partitions a month.
    pub fn new(store: S, objects: O, clock: C, ids: I, partitions: usize) -> Self {
        Self {
            store,
            objects,
            clock,
            ids,
            listing: Listing::new(partitions),
            upload_limit: UPLOAD_LIMIT,
        }
    }

    /// This function with another largest upload, bytes.
    #[must_use]
    pub fn with_upload_limit(self, upload_limit: i64) -> Self {
        Self { upload_limit, ..self }
    }

    async fn create(&self, request: &Request) -> Result<Response, Failure> {
        let now = self.clock.now();
        let key = IdempotencyKey::of(request)?;
        let draft = match Draft::read(request, self.upload_limit) {
            Ok(draft) => draft,
            Err(failure) => return Err(refuse(&self.store, key.as_ref(), failure, now).await),
        };
        let id = self.ids.next();
        let place = self.listing.place(&self.store, id, now).await?;
        let asset = draft.into_asset(
            id,
            self.objects.bucket(),
            place,
            key.as_ref().map(IdempotencyKey::kept_answer),
        );
        let reserved = self.objects.reserve(&asset.s3_key).await?;
        let asset = asset.reserved(reserved);
        // The record is stored under the key; the URL is signed each time.
        let kept = Response::json(201, &asset.kept());
        let writes = vec![Write::Put {
            item: asset.item(),
            when: Condition::Absent,
        }];
        match create(&self.store, key.as_ref(), id, writes, &kept, now).await {
            Ok(Created::New) => self.created(asset.kept()).await,
            Ok(Created::Replayed(kept)) => {
                self.give_up(&asset).await;
                self.created(Kept::read(kept.body.as_deref().unwrap_or_default())?)
                    .await
            }
            Ok(Created::Refused(_)) => {
                self.give_up(&asset).await;
                Err(Failure::Conflict(format!(
                    "Asset '{id}' exists already; repeat the request"
                )))
            }
            // The record may have been made, so its object stays; if not, the bucket's lifecycle removes it.
            Err(failure) => {
                self.listing.relieve(&self.store, &failure, now).await;
                Err(failure)
            }
        }
    }

    /// Removes the object of an asset that was not made after all. One that stays has no record, and goes by the bucket's lifecycle.
    async fn give_up(&self, asset: &Asset) {
        if let Err(error) = self.objects.delete(&asset.s3_key).await {
            tracing::warn!(%error, "the object of an asset that was not made could not be removed");
        }
    }

    /// The answer to a create, with a URL to upload to.
    async fn created(&self, kept: Kept) -> Result<Response, Failure> {
        let Kept { view, reserved } = kept;
        let (Some(size), Some(reserved)) = (view.size_bytes, reserved) else {
            return Err(Failure::Unprocessable(
                "'Idempotency-Key' was used for an asset without a size, by an earlier release; use a new key"
                    .to_owned(),
            ));
        };
        let upload = Upload {
            key: &view.s3_key,
            content_type: &view.content_type,
            size,
            replaces: &reserved,
        };
        let signed = self.objects.upload_url(&upload, URL_SECONDS).await?;
        let location = format!("/assets/{}", view.asset_id);
        let body = json!({
            "message": "Asset created successfully",
            "assetId": view.asset_id,
            "uploadUrl": signed.url,
            "method": "PUT",
            "headers": signed.headers,
            "expiresIn": URL_SECONDS,
            "data": view,
        });
        Ok(Response::json(201, &body)
            .header("location", location)
            .header("etag", etag(1)))
    }

    async fn get(&self, request: &Request) -> Result<Response, Failure> {
        let asset = self.checked(request).await?;
        Ok(Response::json(200, &asset.view()).header("etag", etag(asset.revision)))
    }

    async fn download(&self, request: &Request) -> Result<Response, Failure> {
        let asset = self.checked(request).await?;
        match asset.status {
            Status::Uploaded => {
                let head = self.objects.head(&asset.s3_key).await?;
                if head.map(|head| head.etag) != asset.etag {
                    return Err(Failure::Conflict(format!(
                        "The file of asset '{}' is no longer the one that was uploaded; create another asset",
                        asset.id
                    )));
                }
                let signed = self
                    .objects
                    .download_url(&asset.s3_key, &asset.file_name.disposition(), URL_SECONDS)
                    .await?;
                Ok(Response::json(
                    200,
                    &json!({"downloadUrl": signed.url, "expiresIn": URL_SECONDS}),
                ))
            }
            Status::Pending => Err(Failure::Conflict(format!(
                "Asset '{}' has not been uploaded yet; upload it to its 'uploadUrl' first",
                asset.id
            ))),
            Status::Rejected => Err(Failure::Conflict(format!(
                "Asset '{}' was uploaded with {} bytes, more than the {} announced; create another one with its real 'sizeBytes'",
                asset.id,
                asset.size.unwrap_or_default(),
                asset.announced.unwrap_or_default()
            ))),
        }
    }

    async fn list(&self, request: &Request) -> Result<Response, Failure> {
        let page = PageRequest::of(request)?;
        let status = request.query.value("status")?.map(Status::read).transpose()?;
        let now = self.clock.now();
        let since = Some(now.plus_seconds(-KEPT_SECONDS));
        let (index, label) = match status {
            None => (Index::ById, "all".to_owned()),
            Some(status) => (Index::ByStatus, status_label(status)),
        };
        let list = List {
            index,
            label,
            key_prefix: String::new(),
            since,
        };
        let page = self
            .listing
            .page(&self.store, &list, page, now, async |entries| {
                let items = match status {
                    None => entries.into_iter().map(|entry| entry.item).collect(),
                    Some(_) => fetch(&self.store, &entries).await?,
                };
                let assets = items.iter().filter_map(|item| Asset::from_item(item, now));
                let assets = assets.filter(|asset| status.is_none_or(|status| status == asset.status));
                Ok(assets.map(|asset| (asset.id, asset)).collect())
            })
            .await?;
        let items: Vec<_> = page.items.iter().map(Asset::view).collect();
        Ok(Response::json(
            200,
            &json!({"items": items, "nextKey": page.next.map(|id| id.to_string())}),
        ))
    }

    /// The object first: what is left when the second step fails is a record that can be deleted again. Once the object is gone, no
    /// upload URL of the asset is good for anything.
    async fn delete(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        until_finished(async || {
            let asset = self.find(request).await?;
            if_match.check(asset.revision)?;
            self.objects.delete(&asset.s3_key).await?;
            let mut writes = vec![Write::Delete {
                key: asset.id.to_string(),
                when: Condition::Revision(asset.revision),
            }];
            writes.extend(forget(asset.kept_answer.as_deref(), asset.id, self.clock.now()));
            match self.store.commit(&writes).await? {
                Commit::Done => Ok(Attempt::Finished(())),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await?;
        Ok(Response::no_content())
    }

    /// The asset of the path; what is no id names no asset.
    async fn find(&self, request: &Request) -> Result<Asset, Failure> {
        let given = request.parameter("assetId");
        let missing = || Failure::NotFound(format!("Asset with ID '{}' not found", shortened(given)));
        let id = RecordId::parse(given).ok_or_else(missing)?;
        let item = self.store.get(&id.to_string()).await?;
        item.as_ref()
            .and_then(|item| Asset::from_item(item, self.clock.now()))
            .ok_or_else(missing)
    }

    /// The asset of the path, its object looked at unless that is known to be there.
    async fn checked(&self, request: &Request) -> Result<Asset, Failure> {
        until_finished(async || {
            let before = self.find(request).await?;
            if before.status == Status::Uploaded {
                return Ok(Attempt::Finished(before));
            }
            let Some(head) = self.objects.head(&before.s3_key).await? else {
                return Ok(Attempt::Finished(before));
            };
            let after = before.uploaded(&head, self.clock.now());
            if after == before {
                return Ok(Attempt::Finished(before));
            }
            let (set, remove) = before.item().changes_to(&after.item());
            let when = Condition::Revision(before.revision);
            match self
                .store
                .commit(&[Write::Update {
                    key: after.id.to_string(),
                    set,
                    remove,
                    when,
                }])
                .await?
            {
                Commit::Done => Ok(Attempt::Finished(after)),
                Commit::Refused(_) | Commit::Contended => Ok(Attempt::Again),
            }
        })
        .await
    }
}

/// Used by tests and the API document: when an asset made at `created` is gone.
pub fn expiry(created: Millis) -> i64 {
    created.plus_seconds(KEPT_SECONDS).seconds()
}

#[cfg(test)]
mod tests;
