//! The files of a web site, as its bucket keeps them for the releases that have them. What users see of them is
//! `site_pages`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::kinds::apigateway;
use crate::aws::kinds::kind::{Discovered, Fields, Kind, Spec};
use crate::aws::kinds::s3;
use crate::aws::kinds::site;
use crate::aws::policy::reach::Reach;
use crate::aws::read::reader::Reader;
use crate::plan::{Replacement, Rollback};
use crate::resource::{Observed, Outputs, ResourceId, outputs};
use crate::site::{CONFIG, KEPT, Site, kept, md5};

/// The kind.
pub struct SiteContent;

/// Files that should be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Bucket.
    pub bucket: String,
    /// Id of the content, 12 hexadecimal digits; none = it is not there.
    pub site: Option<String>,
    /// ETag by key.
    pub files: BTreeMap<String, String>,
}

/// Stands for the ETag of the file that tells pages the URL of the stack's API.
pub const THIS_API: &str = "URL of the API";
/// Follows the ETag of a page that is told the origin of the stack's API: that of the page before.
const TOLD: &str = " and the origin of the API";

impl Model {
    /// A site's files. `api`: whether pages are told where the API is.
    pub fn new(bucket: String, content: &Site, api: bool) -> Self {
        let id = &content.id;
        let files = content.files.iter().map(|file| {
            let told = if api && file.wants_origin() { TOLD } else { "" };
            (file.key(id), format!("{}{told}", file.etag))
        });
        let list = (site::objects::manifest_key(id), md5(&site::objects::manifest(content)));
        let config = api.then(|| (config_key(id), THIS_API.to_owned()));
        Self {
            bucket,
            site: Some(id.clone()),
            files: files.chain([list]).chain(config).collect(),
        }
    }
}

/// ETags of the pages that are told the origin of an API, by key.
fn told(context: &Context, desired: &Model, api_url: Option<&str>) -> BTreeMap<String, String> {
    let (Some(id), Ok(content), Some(url)) = (&desired.site, context.site(&desired.bucket), api_url) else {
        return BTreeMap::new();
    };
    let pages = content.files.iter().filter(|file| file.wants_origin());
    pages
        .map(|file| (file.key(id), site::objects::published(file, Some(url)).etag))
        .collect()
}

fn config_key(id: &str) -> String {
    format!("{}{CONFIG}", kept(id))
}

/// Name of the kind.
pub const KIND: &str = "site_content";

static SPEC: Spec = Spec {
    name: KIND,
    title: "web site files",
    documentation: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html",
    read_actions: &["s3:ListBucket"],
    write_actions: &["s3:PutObject", "s3:DeleteObject"],
    delete_actions: &[],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["bucket"],
    usual: Duration::from_millis(500),
    contained_in: Some(s3::bucket::KIND),
    reach: Reach::Sites,
    ..Spec::of(&s3::SERVICE)
};

#[async_trait]
impl Kind for SiteContent {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        let file = |key: &str| (key.to_owned(), "d41d8cd98f00b204e9800998ecf8427e".to_owned());
        vec![Model {
            bucket: "shop-dev-site-123456789012-eu-central-1".into(),
            site: Some("0123456789ab".into()),
            files: BTreeMap::from([
                file(".taskctl/0123456789ab/index.html"),
                file(".taskctl/0123456789ab.json"),
                file("app.0123456789.js"),
            ]),
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let objects = reader.objects(&desired.bucket).await?;
        let Some(objects) = objects.filter(|objects| objects.keys().any(|key| key.starts_with(KEPT))) else {
            return Ok(None);
        };
        let endpoint = match desired.files.values().any(|etag| etag == THIS_API) {
            true => reader.api().await?.as_deref().map(apigateway::api::endpoint),
            false => None,
        };
        let config = endpoint.as_ref().map(|url| md5(&site::objects::config(url)));
        let told = told(reader.context(), desired, endpoint.as_deref());
        // Everything among the content's pages, and the files that it shares with others as far as they are its own.
        let pages = desired.site.as_deref().map(kept);
        let among = |key: &str| pages.as_deref().is_some_and(|pages| key.starts_with(pages));
        let seen = objects
            .iter()
            .filter(|(key, _)| desired.files.contains_key(*key) || among(key));
        let files = seen.map(|(key, seen)| {
            let wanted = desired.files.get(key);
            let known = match wanted.map(String::as_str) {
                Some(THIS_API) => config.as_ref(),
                _ => told.get(key),
            };
            let shown = wanted.filter(|_| known == Some(seen)).unwrap_or(seen);
            (key.clone(), shown.clone())
        });
        let site = desired
            .site
            .clone()
            .filter(|site| objects.contains_key(&site::objects::manifest_key(site)));
        let model = Model {
            bucket: desired.bucket.clone(),
            site,
            files: files.collect(),
        };
        Ok(Some(Observed::ours(
            model,
            outputs([("bucket", desired.bucket.clone())]),
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        // What a bucket keeps goes with it, or when no release has it any more.
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        let told = desired.files.values().any(|etag| etag == THIS_API);
        let url = told
            .then(|| context.output(&apigateway::api::id(), "endpoint"))
            .transpose()?;
        let id = desired.site.as_deref().unwrap_or_default();
        site::objects::put(context, &desired.bucket, id, url.as_deref()).await?;
        Ok(outputs([("bucket", desired.bucket.clone())]))
    }

    async fn update(
        &self,
        context: &Context,
        id: &ResourceId,
        desired: &Model,
        _: &Observed<Model>,
        _: &Fields,
    ) -> Result<Outputs, AwsError> {
        self.create(context, id, desired).await
    }

    async fn delete(&self, _: &Context, _: &ResourceId, _: &Outputs) -> Result<(), AwsError> {
        Ok(())
    }
}
