//! The objects of a web site in its bucket: what is kept for every release, and the pages that users see. Pages of each
//! kept content lie under `.taskctl/{id}/` and are copied to the root when a release goes live, so that going back needs
//! no build; files with a hash in their names are shared by all contents. Not everything that names a file can be found
//! (a `srcset`, a manifest, a script), so the files of what is live stand under their plain names, too.

use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier};
use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::aws::client::body;
use crate::aws::client::context::Context;
use crate::aws::client::error::found;
use crate::aws::client::error::{AwsError, ErrorKind};
use crate::aws::client::op::{Op, op};
use crate::aws::kinds::s3;
use crate::aws::read::reader::{Cells, Reader};
use crate::site::{CONFIG, Content, File, KEPT, Place, Site, content_type, kept, md5, plain_name};

/// Files on their way at the same time.
const SIDE_BY_SIDE: usize = 16;
/// How long browsers keep what has a hash in its name.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Browsers ask each time whether a page has changed.
const ASK_FIRST: &str = "no-cache";

/// What is left as it is in the source of a copy.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// ETag by key of everything in a bucket.
pub type Objects = BTreeMap<String, String>;

/// The contents of a run, by bucket.
#[derive(Debug, Default)]
pub struct Sites {
    by_bucket: RwLock<BTreeMap<String, Arc<Site>>>,
}

/// The list of a kept content: what belongs to it beside its pages.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// Keys with hashes in their names.
    files: BTreeSet<String>,
}

/// Key of a content's list.
pub fn manifest_key(site: &str) -> String {
    format!("{KEPT}{site}.json")
}

/// Text of a content's list.
pub fn manifest(site: &Site) -> String {
    serde_json::to_string(&Manifest {
        files: hashed_keys(site),
    })
    .unwrap_or_default()
}

/// Keys of a content's files that have hashes in their names.
pub fn hashed_keys(site: &Site) -> BTreeSet<String> {
    let files = site.files.iter().filter_map(|file| match &file.place {
        Place::Hashed(key) => Some(key.clone()),
        Place::Page => None,
    });
    files.collect()
}

/// What pages are told about the API.
pub fn config(api_url: &str) -> String {
    format!("{}\n", serde_json::json!({ "apiUrl": api_url }))
}

/// Listings of buckets that a reader has made.
#[derive(Default)]
struct Listings(Cells<String, Option<Objects>>);

impl Reader {
    /// What a web site's bucket has; none when there is no such bucket, or it is one of another account or region, which reading
    /// the bucket itself tells.
    pub(in crate::aws) async fn objects(&self, bucket: &str) -> Result<Option<Objects>, AwsError> {
        let listings = self.extension::<Listings>();
        let listing = async {
            match list(self.context(), bucket).await {
                Err(error) => match s3::bucket::not_here(self.context(), bucket, &error).await? {
                    Some(_) => Ok(None),
                    None => Err(error),
                },
                listed => listed,
            }
        };
        listings.0.get(bucket.to_owned(), listing).await
    }
}

impl Context {
    /// Makes the content of a bucket's site known.
    pub fn add_site(&self, bucket: &str, site: Arc<Site>) {
        let sites = self.extension::<Sites>();
        sites.by_bucket.write().insert(bucket.to_owned(), site);
    }

    /// The content of a bucket's site.
    pub(in crate::aws) fn site(&self, bucket: &str) -> Result<Arc<Site>, AwsError> {
        let sites = self.extension::<Sites>();
        let site = sites.by_bucket.read().get(bucket).cloned();
        site.ok_or_else(|| failed(format!("no content for bucket {bucket} was read in this run")))
    }
}

fn failed(message: String) -> AwsError {
    AwsError::own("taskctl", "site", ErrorKind::Invalid, message)
}

/// Lists a bucket; none when there is no such bucket.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
pub async fn list(context: &Context, bucket: &str) -> Result<Option<Objects>, AwsError> {
    list_by(context, op("s3", "ListObjectsV2"), bucket).await
}

async fn list_by(context: &Context, call: Op, bucket: &str) -> Result<Option<Objects>, AwsError> {
    let client = &context.clients().s3;
    let objects = context.pages(|token| async move {
        let page = context
            .call(call, || {
                client
                    .list_objects_v2()
                    .bucket(bucket)
                    .set_continuation_token(token.clone())
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await?;
        let objects = page.contents.unwrap_or_default().into_iter().filter_map(|object| {
            let etag = object.e_tag.unwrap_or_default();
            Some((object.key?, etag.trim_matches('"').to_owned()))
        });
        Ok((objects.collect(), page.next_continuation_token))
    });
    Ok(found(objects.await)?.map(Objects::from_iter))
}

/// Uploads what the bucket lacks of a content, and deletes objects among its pages that are not its own. The list comes last:
/// where there is one, the content is complete.
pub async fn put(context: &Context, bucket: &str, site: &str, api_url: Option<&str>) -> Result<(), AwsError> {
    let content = context.site(bucket)?;
    if content.id != site {
        return Err(failed(format!(
            "the content of bucket {bucket} has changed while it was being deployed"
        )));
    }
    let there = list(context, bucket).await?.unwrap_or_default();
    let missing = |key: &str, etag: &str| there.get(key).is_none_or(|seen| seen != etag);
    let files = content.files.iter().map(|file| published(file, api_url));
    let wanted: Vec<File> = files.filter(|file| missing(&file.key(site), &file.etag)).collect();
    stream::iter(wanted.iter().map(Ok))
        .try_for_each_concurrent(SIDE_BY_SIDE, |file| put_file(context, bucket, site, file))
        .await?;
    let config = api_url.map(|url| (format!("{}{CONFIG}", kept(site)), config(url)));
    let own: BTreeSet<String> = content.files.iter().map(|file| file.key(site)).collect();
    let others = there
        .keys()
        .filter(|key| key.starts_with(&kept(site)) && !own.contains(*key))
        .filter(|key| config.as_ref().is_none_or(|(config, _)| config != *key));
    delete(context, bucket, others.map(String::as_str)).await?;
    let list = (manifest_key(site), manifest(&content));
    for (key, text) in config.into_iter().chain([list]) {
        if missing(&key, &md5(&text)) {
            put_text(context, bucket, &key, &text).await?;
        }
    }
    Ok(())
}

/// A file as it is published for an API: pages are told its origin.
pub(in crate::aws) fn published(file: &File, api_url: Option<&str>) -> File {
    match api_url.and_then(|url| file.told(url)) {
        Some(text) => File {
            etag: md5(&text),
            content: Content::Text(text),
            ..file.clone()
        },
        None => file.clone(),
    }
}

async fn put_file(context: &Context, bucket: &str, site: &str, file: &File) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let cache = match file.place {
        Place::Hashed(_) => FOR_EVER,
        Place::Page => ASK_FIRST,
    };
    let put = context.call(op("s3", "PutObject").upload().just_made(), || async {
        let body = match &file.content {
            Content::Text(text) => ByteStream::from(text.clone().into_bytes()),
            Content::AsIs(path) => ByteStream::from_path(path)
                .await
                .map_err(SdkError::construction_failure)?,
        };
        client
            .put_object()
            .bucket(bucket)
            .key(file.key(site))
            .content_type(content_type(&file.path))
            .cache_control(cache)
            .expected_bucket_owner(&context.identity().account)
            .body(body)
            .send()
            .await
    });
    let etag = put.await?.e_tag.unwrap_or_default();
    if etag.trim_matches('"') == file.etag {
        return Ok(());
    }
    Err(failed(format!(
        "{} arrived with another content (ETag {etag}, not {}): it has changed while it was being deployed, or the bucket \
         is not encrypted with SSE-S3",
        file.path, file.etag
    )))
}

async fn put_text(context: &Context, bucket: &str, key: &str, text: &str) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    context
        .call(op("s3", "PutObject").just_made(), || {
            client
                .put_object()
                .bucket(bucket)
                .key(key)
                .content_type("application/json")
                .cache_control(ASK_FIRST)
                .expected_bucket_owner(&context.identity().account)
                .body(ByteStream::from(text.to_owned().into_bytes()))
                .send()
        })
        .await
        .map(drop)
}

/// Paths of the pages of each kept content, by its id.
fn pages(objects: &Objects) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut pages: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, etag) in objects {
        if let Some((site, path)) = key.strip_prefix(KEPT).and_then(|rest| rest.split_once('/')) {
            pages.entry(site).or_default().insert(path, etag);
        }
    }
    pages
}

/// Pages in the places where users see them that some kept content has, and this one has not.
fn stale<'a>(
    objects: &Objects,
    kept: &BTreeMap<&str, BTreeMap<&'a str, &'a str>>,
    wanted: &BTreeMap<&str, &str>,
) -> BTreeSet<&'a str> {
    kept.values()
        .flat_map(BTreeMap::keys)
        .copied()
        .filter(|path| !wanted.contains_key(path) && objects.contains_key(*path))
        .collect()
}

/// Where a file with a hash in its name stands under its plain one: the same content, so it was copied from there.
fn plain_copy(objects: &Objects, key: &str) -> Option<String> {
    let plain = plain_name(key)?;
    (objects.get(&plain)? == objects.get(key)?).then_some(plain)
}

/// Plain names of files that do not belong to a content with these hashed keys.
fn stale_copies(objects: &Objects, hashed: &BTreeSet<String>) -> BTreeSet<String> {
    let wanted: BTreeSet<String> = hashed.iter().filter_map(|key| plain_name(key)).collect();
    let copies = objects.keys().filter_map(|key| plain_copy(objects, key));
    copies.filter(|plain| !wanted.contains(plain)).collect()
}

/// Whether the plain names show what a content with these hashed keys has. Versions before did not write any: then none is
/// missed until the next release.
fn has_copies(objects: &Objects, hashed: &BTreeSet<String>) -> bool {
    let is_right = |key: &String| plain_copy(objects, key).is_some();
    let is_none = !objects.keys().any(|key| plain_copy(objects, key).is_some());
    is_none || (hashed.iter().all(is_right) && stale_copies(objects, hashed).is_empty())
}

/// Which content's pages users see, all of them and no other content's: none before the first, `changed` when it is no
/// content's. `config` is the ETag of what pages should be told about the API, `hashed` the wanted content's keys with hashes,
/// where they are known.
pub fn seen(
    objects: &Objects,
    wanted: &str,
    config: Option<&str>,
    hashed: Option<&BTreeSet<String>>,
) -> Option<String> {
    let kept = pages(objects);
    let is_seen = |site: &str| {
        kept.get(site).is_some_and(|pages| {
            let complete = pages.iter().all(|(path, etag)| {
                let etag = config.filter(|_| *path == CONFIG).unwrap_or(etag);
                objects.get(*path).is_some_and(|seen| seen == etag)
            });
            let config = config.is_none_or(|config| objects.get(CONFIG).is_some_and(|seen| seen == config));
            complete && config && stale(objects, &kept, pages).is_empty()
        })
    };
    if is_seen(wanted) && hashed.is_none_or(|hashed| has_copies(objects, hashed)) {
        return Some(wanted.to_owned());
    }
    if let Some(other) = kept.keys().find(|site| **site != wanted && is_seen(site)) {
        return Some((*other).to_owned());
    }
    let any = kept
        .values()
        .flat_map(BTreeMap::keys)
        .any(|path| objects.contains_key(*path));
    any.then(|| "changed".to_owned())
}

/// Copies a content's pages to where users see them, and takes away those of other contents. The pages that others
/// refer to come first. Returns how many objects changed.
pub async fn show(context: &Context, bucket: &str, site: &str) -> Result<usize, AwsError> {
    // Begun is finished, also when the operator wants to stop: it is short, and half of it is seen.
    let call = op("s3", "ListObjectsV2").even_when_stopped();
    let objects = list_by(context, call, bucket).await?.unwrap_or_default();
    let kept = pages(&objects);
    let Some(wanted) = kept.get(site) else {
        return Err(failed(format!(
            "the pages of content {site} are not in bucket {bucket} any more; `taskctl deploy` puts them there"
        )));
    };
    let hashed = read_manifest(context, op("s3", "GetObject").even_when_stopped(), bucket, site).await?;
    let (mut last, mut first) = (Vec::new(), Vec::new());
    for (path, etag) in wanted {
        if objects.get(*path).is_some_and(|seen| seen == etag) {
            continue;
        }
        let copy = Copy {
            source: format!("{}{path}", crate::site::kept(site)),
            key: (*path).to_owned(),
        };
        if path.ends_with(".html") {
            last.push(copy)
        } else {
            first.push(copy)
        }
    }
    let plain = hashed.iter().filter_map(|key| {
        let plain = plain_name(key).filter(|_| objects.contains_key(key) && plain_copy(&objects, key).is_none())?;
        Some(Copy {
            source: key.clone(),
            key: plain,
        })
    });
    first.extend(plain);
    for some in [&first, &last] {
        stream::iter(some.iter().map(Ok))
            .try_for_each_concurrent(SIDE_BY_SIDE, |one| copy(context, bucket, one))
            .await?;
    }
    let copies = stale_copies(&objects, &hashed);
    let stale: BTreeSet<&str> = copies
        .iter()
        .map(String::as_str)
        .filter(|plain| !wanted.contains_key(plain))
        .chain(stale(&objects, &kept, wanted))
        .collect();
    delete(context, bucket, stale.iter().copied()).await?;
    Ok(first.len() + last.len() + stale.len())
}

/// A copy within a bucket.
struct Copy {
    source: String,
    key: String,
}

async fn copy(context: &Context, bucket: &str, Copy { source, key }: &Copy) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let account = &context.identity().account;
    let source = format!("{bucket}/{source}");
    context
        .call(op("s3", "CopyObject").even_when_stopped(), || {
            client
                .copy_object()
                .bucket(bucket)
                .key(key)
                .copy_source(utf8_percent_encode(&source, KEY).to_string())
                // What has a hash in its name is kept for ever; its plain name is not.
                .metadata_directive(MetadataDirective::Replace)
                .content_type(content_type(key))
                .cache_control(ASK_FIRST)
                .expected_bucket_owner(account)
                .expected_source_bucket_owner(account)
                .send()
        })
        .await
        .map(drop)
}

async fn delete(context: &Context, bucket: &str, keys: impl Iterator<Item = &str>) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let keys: Vec<ObjectIdentifier> = keys
        .filter_map(|key| ObjectIdentifier::builder().key(key).build().ok())
        .collect();
    // A request takes 1,000 keys: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    for some in keys.chunks(1_000) {
        let Ok(delete) = Delete::builder().set_objects(Some(some.to_vec())).quiet(true).build() else {
            continue;
        };
        context
            .call(op("s3", "DeleteObjects").even_when_stopped(), || {
                client
                    .delete_objects()
                    .bucket(bucket)
                    .delete(delete.clone())
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await?;
    }
    Ok(())
}

/// The keys of a bucket under which taskctl has published something. None where there is no such bucket.
pub async fn published_keys(context: &Context, bucket: &str) -> Result<BTreeSet<String>, AwsError> {
    let objects = list(context, bucket).await?.unwrap_or_default();
    let kept: BTreeSet<String> = objects
        .keys()
        .filter_map(|key| key.strip_prefix(KEPT)?.strip_suffix(".json"))
        .filter(|site| !site.contains('/'))
        .map(str::to_owned)
        .collect();
    let lists: Vec<BTreeSet<String>> = stream::iter(kept)
        .map(|site| async move { read_manifest(context, op("s3", "GetObject"), bucket, &site).await })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    let pages = pages(&objects)
        .into_values()
        .flat_map(BTreeMap::into_keys)
        .map(str::to_owned);
    let own = objects.keys().filter(|key| key.starts_with(KEPT)).cloned();
    let hashed: BTreeSet<String> = lists.into_iter().flatten().collect();
    let copies: Vec<String> = hashed.iter().filter_map(|key| plain_copy(&objects, key)).collect();
    Ok(hashed.into_iter().chain(copies).chain(pages).chain(own).collect())
}

async fn read_manifest(context: &Context, call: Op, bucket: &str, site: &str) -> Result<BTreeSet<String>, AwsError> {
    let client = &context.clients().s3;
    let key = manifest_key(site);
    let manifest = context.call(call, || {
        let request = client
            .get_object()
            .bucket(bucket)
            .key(&key)
            .expected_bucket_owner(&context.identity().account);
        async { body::collect(request.send().await?.body).await }
    });
    let Some(manifest) = found(manifest.await)? else {
        return Ok(BTreeSet::new());
    };
    // What cannot be read was not written by taskctl, and lists nothing.
    Ok(serde_json::from_slice::<Manifest>(&manifest)
        .map(|list| list.files)
        .unwrap_or_default())
}

/// Takes away the contents that no kept release has, with the files and pages that were theirs alone: without its content
/// nothing tells that such a page is not somebody else's. Returns how many objects.
pub async fn prune(context: &Context, bucket: &str, needed: &BTreeSet<String>) -> Result<usize, AwsError> {
    let Some(objects) = list(context, bucket).await? else {
        return Ok(0);
    };
    let of_site = |key: &str| {
        let rest = key.strip_prefix(KEPT)?;
        Some(
            rest.split_once('/')
                .map_or_else(|| rest.trim_end_matches(".json"), |(site, _)| site)
                .to_owned(),
        )
    };
    let known: BTreeSet<String> = objects.keys().filter_map(|key| of_site(key)).collect();
    if known.iter().all(|site| needed.contains(site)) {
        return Ok(0);
    }
    let (mut keep, mut drop) = (BTreeSet::new(), BTreeSet::new());
    let pages = pages(&objects);
    for site in &known {
        let files = read_manifest(context, op("s3", "GetObject"), bucket, site).await?;
        let copies: Vec<String> = files.iter().filter_map(|key| plain_copy(&objects, key)).collect();
        // Where somebody wrote over a page, it is no longer the content's.
        let pages = pages.get(site.as_str()).into_iter().flatten();
        let pages = pages.filter(|(path, etag)| objects.get(**path).is_some_and(|seen| seen == *etag));
        let own = files
            .into_iter()
            .chain(copies)
            .chain(pages.map(|(path, _)| (*path).to_owned()));
        if needed.contains(site) {
            keep.extend(own)
        } else {
            drop.extend(own)
        }
    }
    let gone: Vec<&str> = objects
        .keys()
        .filter(|key| match of_site(key) {
            Some(site) => !needed.contains(&site),
            None => drop.contains(*key) && !keep.contains(*key),
        })
        .map(String::as_str)
        .collect();
    delete(context, bucket, gone.iter().copied()).await?;
    Ok(gone.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(pairs: &[(&str, &str)]) -> Objects {
        pairs
            .iter()
            .map(|(key, etag)| ((*key).to_owned(), (*etag).to_owned()))
            .collect()
    }

    #[test]
    fn what_users_see_is_told_from_a_listing() {
        let kept = [
            (".taskctl/a/index.html", "1"),
            (".taskctl/b/index.html", "2"),
            (".taskctl/b/more.html", "3"),
        ];
        let with = |more: &[(&str, &str)]| objects(&[&kept[..], more].concat());
        assert_eq!(seen(&with(&[]), "a", None, None), None);
        assert_eq!(
            seen(&with(&[("index.html", "1")]), "b", None, None).as_deref(),
            Some("a")
        );
        assert_eq!(
            seen(&with(&[("index.html", "2"), ("more.html", "3")]), "b", None, None).as_deref(),
            Some("b")
        );
        assert_eq!(
            seen(&with(&[("index.html", "9")]), "b", None, None).as_deref(),
            Some("changed")
        );
        // Pages that do not know where the API is now are not right.
        assert_eq!(
            seen(&with(&[("index.html", "1")]), "a", Some("c"), None).as_deref(),
            Some("changed")
        );
        assert_eq!(
            seen(&with(&[("index.html", "1"), (CONFIG, "c")]), "a", Some("c"), None).as_deref(),
            Some("a")
        );
    }

    #[test]
    fn a_page_that_the_content_does_not_have_is_a_difference() {
        let kept = [
            (".taskctl/a/index.html", "1"),
            (".taskctl/b/index.html", "1"),
            (".taskctl/b/secret.html", "2"),
            (".taskctl/c/index.html", "1"),
            (".taskctl/c/more.html", "3"),
        ];
        let check = |more: &[(&str, &str)], wanted: &str, expected: &str| {
            let objects = objects(&[&kept[..], &[("index.html", "1")], more].concat());
            assert_eq!(
                seen(&objects, wanted, None, None).as_deref(),
                Some(expected),
                "{more:?}"
            );
        };
        check(&[], "a", "a");
        check(&[("secret.html", "2")], "a", "b");
        check(&[("secret.html", "2"), ("more.html", "3")], "a", "changed");
        check(&[("secret.html", "9")], "a", "changed");
        // What no content of ours has is somebody else's.
        check(&[("theirs.txt", "5")], "a", "a");
    }

    /// The files of what is live stand under their plain names, those of no other content.
    #[test]
    fn plain_names_are_those_of_what_is_live() {
        let (one, two) = ("js/app.0123456789.js", "js/app.abcdef0123.js");
        let base = [
            (".taskctl/a/index.html", "1"),
            ("index.html", "1"),
            (one, "8"),
            (two, "9"),
        ];
        let hashed = BTreeSet::from([one.to_owned()]);
        let check = |more: &[(&str, &str)], expected: &str| {
            let objects = objects(&[&base[..], more].concat());
            assert_eq!(
                seen(&objects, "a", None, Some(&hashed)).as_deref(),
                Some(expected),
                "{more:?}"
            );
        };
        check(&[("js/app.js", "8")], "a");
        check(&[("js/app.js", "9")], "changed");
        check(
            &[("js/app.js", "8"), ("old.0123456789.css", "5"), ("old.css", "5")],
            "changed",
        );
        // Somebody else's file.
        check(&[("js/app.js", "8"), ("old.css", "7")], "a");
        // Made by a version that wrote none.
        check(&[], "a");
    }
}
