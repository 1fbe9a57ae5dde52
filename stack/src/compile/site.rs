//! Web sites: their content, and the pages that users see.

use super::{Inputs, id, resource};
use crate::aws::kinds::apigateway;
use crate::aws::kinds::apigateway::stage::LIVE;
use crate::aws::kinds::s3;
use crate::aws::kinds::site;
use crate::release::slots::{ReleaseState, Slots};
use crate::resource::{Resource, ResourceId};
use crate::site::Site;

/// A site's content; without an API there are no releases, so its pages too.
pub(super) fn compile(inputs: &Inputs<'_>, name: &str, site: &Site) -> Vec<Resource> {
    let has_api = inputs.stack.api.is_some();
    let model = site::content::Model::new(inputs.bucket(name), site, has_api);
    let needs = std::iter::once(id(s3::bucket::KIND, name)).chain(has_api.then(apigateway::api::id));
    let mut resources = vec![resource(site::content::KIND, name, &model, needs.collect())];
    if !has_api {
        let needs = vec![id(site::content::KIND, name)];
        resources.push(pages(inputs, name, site.id.clone(), needs));
    }
    resources
}

/// The pages of the live release.
pub(super) fn released(inputs: &Inputs<'_>, facts: &ReleaseState, slots: &Slots) -> Vec<Resource> {
    let live = match facts.releases.get(&slots.live.release) {
        Some(label) => label.sites.clone(),
        None => inputs.site_ids(),
    };
    let shown = inputs.sites.keys().filter_map(|logical| {
        let site = live.get(&inputs.bucket(logical))?;
        let needs = vec![apigateway::stage::id(LIVE), id(site::content::KIND, logical)];
        Some(pages(inputs, logical, site.clone(), needs))
    });
    shown.collect()
}

fn pages(inputs: &Inputs<'_>, logical: &str, site: String, needs: Vec<ResourceId>) -> Resource {
    let model = site::pages::Model {
        bucket: inputs.bucket(logical),
        site,
        api: inputs.stack.api.is_some(),
    };
    resource(site::pages::KIND, logical, &model, needs)
}
