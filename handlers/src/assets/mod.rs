//! The assets function: `/assets`. The bytes go between client and bucket by presigned URLs; here are the records and the signing.

mod model;
mod name;

use serde_json::json;

use crate::aws::{DynamoStore, Environment, EnvironmentError, S3Objects, number, required};
use crate::contention::{Attempt, until_finished};
use crate::http::{Failure, Function, IfMatch, Request, Response, RouteSpec, etag, shortened};
use crate::idempotency::{Created, Once, create, refuse};
use crate::listing::{Index, List, Listing, PageRequest, fetch};
use crate::ports::{Clock, Commit, Condition, Ids, Objects, Store, SystemClock, SystemIds, Write};
use crate::record::{Millis, RecordId};

pub use model::{Asset, Draft, KEPT_SECONDS, Shown, Status};
pub use name::FileName;

use model::{KEY, status_label};

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
}

/// Its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A8
    Create,
    /// A9
    List,
    /// A9
    Get,
    /// A9
    Download,
    /// A9
    Delete,
}

/// The function as Lambda runs it.
pub fn function() -> Result<Assets<DynamoStore, S3Objects, SystemClock, SystemIds>, EnvironmentError> {
    let environment = Environment::read()?;
    let store = DynamoStore::new(environment.dynamodb(), required("ASSETS_TABLE")?, KEY);
    let objects = S3Objects::new(environment.s3(), required("ASSETS_BUCKET")?);
    let partitions = number("LIST_PARTITIONS", "a whole number from 1 to 16", 1..=16, 1)?;
    Ok(Assets::new(store, objects, SystemClock, SystemIds, partitions))
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
        }
    }

    async fn create(&self, request: &Request) -> Result<Response, Failure> {
        let now = self.clock.now();
        let once = Once::of(request)?;
        let draft = match Draft::read(request) {
            Ok(draft) => draft,
            Err(failure) => return Err(refuse(&self.store, once.as_ref(), failure, now).await),
        };
        let id = self.ids.next();
        let place = self.listing.place(&self.store, id, now).await?;
        let asset = draft.into_asset(id, self.objects.bucket(), place);
        // What is kept for the key is the record; the URL is signed anew each time.
        let kept = Response::json(201, &asset.shown());
        let writes = vec![Write::Put {
            item: asset.item(),
            when: Condition::Absent,
        }];
        match create(&self.store, once.as_ref(), writes, &kept, now).await {
            Ok(Created::New) => self.created(asset.shown()).await,
            Ok(Created::Replayed(kept)) => {
                let shown = serde_json::from_str(kept.body.as_deref().unwrap_or_default());
                self.created(shown.map_err(|error| Failure::Internal(Box::new(error)))?)
                    .await
            }
            Ok(Created::Refused(_)) => Err(Failure::Conflict(format!(
                "Asset '{id}' exists already; repeat the request"
            ))),
            Err(failure) => {
                self.listing.relieve(&self.store, &failure, now).await;
                Err(failure)
            }
        }
    }

    /// The answer to a create, with a URL to upload to.
    async fn created(&self, shown: Shown) -> Result<Response, Failure> {
        let signed = self
            .objects
            .upload_url(&shown.s3_key, &shown.content_type, shown.size_bytes, URL_SECONDS)
            .await?;
        let location = format!("/assets/{}", shown.asset_id);
        let body = json!({
            "message": "Asset created successfully",
            "assetId": shown.asset_id,
            "uploadUrl": signed.url,
            "method": "PUT",
            "headers": signed.headers,
            "expiresIn": URL_SECONDS,
            "data": shown,
        });
        Ok(Response::json(201, &body)
            .header("location", location)
            .header("etag", etag(1)))
    }

    async fn get(&self, request: &Request) -> Result<Response, Failure> {
        let asset = self.checked(request).await?;
        Ok(Response::json(200, &asset.shown()).header("etag", etag(asset.revision)))
    }

    async fn download(&self, request: &Request) -> Result<Response, Failure> {
        let asset = self.checked(request).await?;
        match asset.status {
            Status::Uploaded => {
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
        let items: Vec<_> = page.items.iter().map(Asset::shown).collect();
        Ok(Response::json(
            200,
            &json!({"items": items, "nextKey": page.next.map(|id| id.to_string())}),
        ))
    }

    /// The object first: what is left when the second step fails is a record that can be deleted again.
    async fn delete(&self, request: &Request) -> Result<Response, Failure> {
        let if_match = IfMatch::of(request);
        until_finished(async || {
            let asset = self.find(request).await?;
            if_match.check(asset.revision)?;
            self.objects.delete(&asset.s3_key).await?;
            let write = Write::Delete {
                key: asset.id.to_string(),
                when: Condition::Revision(asset.revision),
            };
            match self.store.commit(&[write]).await? {
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
