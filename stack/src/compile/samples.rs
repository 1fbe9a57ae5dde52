//! The shipped stack, compiled, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Inputs, released, standing};
use crate::aws::client::identity::Identity;
use crate::release::slots::{GoLive, ReleaseState};
use crate::resource::Resource;
use crate::site::{Content, File, Place, Site};
use crate::template::model::Stack;
use crate::template::{Options, Source, embedded, load};

/// Stage `dev` of the shipped stack, somewhere.
pub(super) fn identity(region: &str, account: &str) -> Identity {
    Identity {
        app: "platform".into(),
        stage: "dev".into(),
        region: region.into(),
        account: account.into(),
        partition: "aws".into(),
    }
}

/// The shipped template as it is.
pub(super) fn platform(identity: &Identity) -> Stack {
    loaded(identity, "")
}

/// The shipped template with everything that a template can have.
pub(super) fn full_platform(identity: &Identity) -> Stack {
    loaded(identity, "\nwarmup: {every: 5m}\n")
}

/// A stack of functions alone.
pub(super) fn without_api(identity: &Identity) -> Stack {
    read(identity, "app: platform\nfunctions: {jobs: {}, mail: {}}\n".to_owned())
}

fn loaded(identity: &Identity, more: &str) -> Stack {
    let template = embedded("platform").expect("a shipped template");
    read(identity, format!("{template}{more}"))
}

fn read(identity: &Identity, text: String) -> Stack {
    let source = Source::new("platform", text);
    let options = Options {
        region: Some(identity.region.clone()),
    };
    load(&source, &identity.stage, &options).expect("it is valid").stack
}

/// Everything that a first deploy of a stack makes, its web site included.
pub(super) fn resources(stack: &Stack, identity: &Identity) -> Vec<Resource> {
    let site = Arc::new(Site {
        id: "0123456789ab".into(),
        files: vec![File {
            path: "index.html".into(),
            place: Place::Page,
            etag: "0".repeat(32),
            content: Content::Text("<!doctype html>".into()),
        }],
    });
    let buckets = stack.buckets.iter().filter(|(_, bucket)| bucket.website.is_some());
    let inputs = Inputs {
        stack,
        identity,
        packages: &BTreeMap::new(),
        website_url: &|bucket| format!("http://{bucket}.example"),
        commit: None,
        go_live: GoLive::AtOnce,
        sites: &buckets.map(|(name, _)| (name.clone(), Arc::clone(&site))).collect(),
    };
    let mut all = standing(&inputs);
    all.extend(released(&inputs, &ReleaseState::default()).0);
    all
}
