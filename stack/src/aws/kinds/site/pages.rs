//! The pages of a web site that users see: those of the release that is live.

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
use crate::site::md5;

/// The kind.
pub struct SitePages;

/// Which pages should be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Bucket.
    pub bucket: String,
    /// Id of the content, 12 hexadecimal digits; `changed` where somebody else wrote.
    pub site: String,
    /// Whether pages are told where the API is.
    pub api: bool,
}

/// Name of the kind.
pub const KIND: &str = "site_pages";

static SPEC: Spec = Spec {
    name: KIND,
    title: "web pages",
    documentation: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html",
    read_actions: &["s3:ListBucket"],
    write_actions: &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
    delete_actions: &[],
    rollback: Rollback::WithRelease,
    replacement: Replacement::CreateFirst,
    replace_on: &["bucket"],
    usual: Duration::from_millis(300),
    contained_in: Some(s3::bucket::KIND),
    release_actions: &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
    reach: Reach::Sites,
    ..Spec::of(&s3::SERVICE)
};

#[async_trait]
impl Kind for SitePages {
    type Model = Model;

    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn examples(&self) -> Vec<Model> {
        vec![Model {
            bucket: "shop-dev-site-123456789012-eu-central-1".into(),
            site: "0123456789ab".into(),
            api: true,
        }]
    }

    async fn read(
        &self,
        reader: &Reader,
        _: &ResourceId,
        desired: &Model,
    ) -> Result<Option<Observed<Model>>, AwsError> {
        let Some(objects) = reader.objects(&desired.bucket).await? else {
            return Ok(None);
        };
        let config = match desired.api {
            // Without an API nothing can be right.
            true => Some(match reader.api().await? {
                Some(api) => md5(&site::objects::config(&apigateway::api::endpoint(&api))),
                None => String::new(),
            }),
            false => None,
        };
        // Which files a former content has is not worth a call.
        let content = reader.context().site(&desired.bucket).ok();
        let hashed = content
            .filter(|content| content.id == desired.site)
            .map(|content| site::objects::hashed_keys(&content));
        let Some(site) = site::objects::seen(&objects, &desired.site, config.as_deref(), hashed.as_ref()) else {
            return Ok(None);
        };
        let model = Model {
            site,
            ..desired.clone()
        };
        Ok(Some(Observed::ours(
            model,
            outputs([("bucket", desired.bucket.clone())]),
        )))
    }

    async fn enumerate(&self, _: &Reader) -> Result<Vec<Discovered>, AwsError> {
        Ok(Vec::new())
    }

    async fn create(&self, context: &Context, _: &ResourceId, desired: &Model) -> Result<Outputs, AwsError> {
        site::objects::show(context, &desired.bucket, &desired.site).await?;
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
