//! Who can read and write buckets. Whether one is a web site is the template's to say.

use std::collections::BTreeSet;

use super::{Finding, Stage};
use crate::aws::client::error::AwsError;
use crate::aws::kinds::s3;
use crate::aws::kinds::s3::bucket::{Exposure, PublicAccessBlock};
use crate::aws::policy::document::{Effect, Statement};
use crate::aws::registry;

pub(super) async fn examine(stage: &Stage<'_>) -> Result<Vec<Finding>, AwsError> {
    let buckets = registry().kind(s3::bucket::KIND).enumerate(&stage.reader).await?;
    let names = stage.buckets();
    let found = buckets.iter().map(|bucket| {
        let name = bucket.outputs.get("name").cloned().unwrap_or_default();
        let logical = names
            .iter()
            .find(|(_, physical)| **physical == name)
            .map(|(logical, _)| *logical);
        let wanted = logical.and_then(|logical| stage.stack.buckets.get(logical));
        let is_site = wanted.is_some_and(|bucket| bucket.website.is_some());
        async move {
            let Some(exposure) = s3::bucket::exposure(stage.context, &name).await? else {
                return Ok(None);
            };
            let shown = logical.unwrap_or(&bucket.id.name);
            let holds = match is_site {
                true => format!("{shown} is a web site: everyone reads its objects, and no more"),
                false => format!("{shown} is closed to the public"),
            };
            let asked = format!("GetPublicAccessBlock, GetBucketPolicy and GetBucketWebsite of {name}");
            let objects = format!("{}/*", stage.bucket_arn(&name));
            Ok::<_, AwsError>(Some(Finding::new(
                "buckets",
                holds,
                asked,
                &wrong(&exposure, is_site, &objects),
            )))
        }
    });
    Ok(futures::future::try_join_all(found)
        .await?
        .into_iter()
        .flatten()
        .collect())
}

fn wrong(exposure: &Exposure, is_site: bool, objects: &str) -> BTreeSet<String> {
    let Exposure {
        public_access_block,
        has_acls,
        policy,
        is_website,
    } = exposure;
    let mut wrong = BTreeSet::new();
    let needed = match is_site {
        true => PublicAccessBlock::ALL_BUT_POLICY,
        false => PublicAccessBlock::ALL,
    };
    if !public_access_block.covers(&needed) {
        wrong.insert("public access is not blocked".to_owned());
    }
    if *has_acls {
        wrong.insert("access control lists count".to_owned());
    }
    if *is_website && !is_site {
        wrong.insert("it is served as a web site, which the template does not say".to_owned());
    }
    let allowing = policy.statements().values().filter(|one| one.effect == Effect::Allow);
    let strange = allowing.filter(|one| !(is_site && reads_objects(one, objects)));
    wrong.extend(strange.map(in_words));
    wrong
}

/// Whether a statement lets others read the objects of a bucket and nothing else.
fn reads_objects(statement: &Statement, objects: &str) -> bool {
    statement.actions.iter().eq(["s3:GetObject"])
        && statement.resources.iter().eq([objects])
        && statement.not_actions.is_empty()
}

fn in_words(statement: &Statement) -> String {
    let join = |all: Vec<&String>| all.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let who = join(statement.principals.values().flatten().collect());
    let who = match who.as_str() {
        "" => "everyone who is not named".to_owned(),
        "*" => "everyone".to_owned(),
        _ => who,
    };
    let what = match statement.not_actions.is_empty() {
        true => join(statement.actions.iter().collect()),
        false => format!("everything but {}", join(statement.not_actions.iter().collect())),
    };
    format!("its policy allows {who} {what}")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::aws::policy::document::Document;

    const OBJECTS: &str = "arn:aws:s3:::b/*";

    fn check(block: PublicAccessBlock, is_website: bool, policy: &str, is_site: bool, expected: &[&str]) {
        let exposure = Exposure {
            public_access_block: block,
            has_acls: false,
            policy: Document::parse(&format!(r#"{{"Statement": [{policy}]}}"#)).unwrap(),
            is_website,
        };
        let found = wrong(&exposure, is_site, OBJECTS);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_opens_a_bucket_is_named() {
        let (all, site) = (PublicAccessBlock::ALL, PublicAccessBlock::ALL_BUT_POLICY);
        let read = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}"#;
        let write =
            r#"{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}"#;
        let deny = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b"}"#;
        check(all, false, deny, false, &[]);
        check(site, true, &format!("{read}, {deny}"), true, &[]);
        check(
            site,
            true,
            read,
            false,
            &[
                "it is served as a web site, which the template does not say",
                "its policy allows everyone s3:GetObject",
                "public access is not blocked",
            ],
        );
        check(
            site,
            true,
            &format!("{read}, {write}"),
            true,
            &["its policy allows everyone s3:*"],
        );
        check(
            PublicAccessBlock::NONE,
            true,
            read,
            true,
            &["public access is not blocked"],
        );
    }
}
