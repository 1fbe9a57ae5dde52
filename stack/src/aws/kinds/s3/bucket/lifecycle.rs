//! Lifecycle of objects: the rules that taskctl writes, and what else is found. The whole document is written at once.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html>

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration,
};

use super::{Model, fits, unset};
use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;

/// What lifecycle rules come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lifecycle {
    pub expire_days: Option<i32>,
    pub abort_incomplete_upload_days: Option<i32>,
    pub other: Vec<String>,
}

/// Ids of the rules that taskctl writes.
const EXPIRE: &str = "expire";
const ABORT: &str = "abort-incomplete-uploads";

impl Lifecycle {
    pub(super) fn of(desired: &Model) -> Self {
        Self {
            expire_days: desired.expire_days,
            abort_incomplete_upload_days: desired.abort_incomplete_upload_days,
            other: desired.other_lifecycle_rules.clone(),
        }
    }
}

/// The rules as taskctl writes them.
pub(super) fn rules(desired: &Model) -> Vec<Rule> {
    // The second half does nothing in a bucket that never kept versions, and matters in one that did.
    let expire = desired.expire_days.map(|days| Rule {
        expire_days: Some(days),
        noncurrent_days: Some(days),
        ..Rule::of_everything(EXPIRE)
    });
    let abort = desired.abort_incomplete_upload_days.map(|days| Rule {
        abort_days: Some(days),
        ..Rule::of_everything(ABORT)
    });
    expire.into_iter().chain(abort).collect()
}

/// A lifecycle rule, as far as taskctl writes any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule {
    id: String,
    expire_days: Option<i32>,
    noncurrent_days: Option<i32>,
    abort_days: Option<i32>,
    /// What else it says.
    more: Vec<&'static str>,
}

impl Rule {
    fn of_everything(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    fn read(rule: &LifecycleRule) -> Self {
        let filter = rule.filter();
        #[expect(deprecated, reason = "rules in the old form are still returned in it")]
        let prefixed = rule
            .prefix()
            .or(filter.and_then(LifecycleRuleFilter::prefix))
            .is_some_and(|prefix| !prefix.is_empty());
        let narrowed = filter.is_some_and(|filter| {
            filter.tag().is_some()
                || filter.and().is_some()
                || filter.object_size_greater_than().is_some()
                || filter.object_size_less_than().is_some()
        });
        let expiration = rule.expiration();
        let noncurrent = rule.noncurrent_version_expiration();
        let more = [
            (*rule.status() != ExpirationStatus::Enabled, "disabled"),
            (prefixed || narrowed, "of some objects"),
            (expiration.is_some_and(|e| e.date().is_some()), "expires at a date"),
            (
                expiration.is_some_and(|e| e.expired_object_delete_marker() == Some(true)),
                "expires delete markers",
            ),
            (
                noncurrent.is_some_and(|n| n.newer_noncurrent_versions().is_some()),
                "keeps some versions",
            ),
            (
                !rule.transitions().is_empty() || !rule.noncurrent_version_transitions().is_empty(),
                "moves to other classes",
            ),
        ];
        Self {
            id: rule.id().unwrap_or_default().to_owned(),
            expire_days: expiration.and_then(LifecycleExpiration::days),
            noncurrent_days: noncurrent.and_then(NoncurrentVersionExpiration::noncurrent_days),
            abort_days: rule
                .abort_incomplete_multipart_upload()
                .and_then(AbortIncompleteMultipartUpload::days_after_initiation),
            more: more
                .into_iter()
                .filter_map(|(says, words)| says.then_some(words))
                .collect(),
        }
    }

    fn write(&self) -> Result<LifecycleRule, AwsError> {
        let Self {
            id,
            expire_days,
            noncurrent_days,
            abort_days,
            more: _,
        } = self;
        let noncurrent = |days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build();
        let abort = |days| {
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(days)
                .build()
        };
        fits(
            LifecycleRule::builder()
                .id(id)
                .status(ExpirationStatus::Enabled)
                .filter(LifecycleRuleFilter::builder().prefix("").build())
                .set_expiration(expire_days.map(|days| LifecycleExpiration::builder().days(days).build()))
                .set_noncurrent_version_expiration(noncurrent_days.map(noncurrent))
                .set_abort_incomplete_multipart_upload(abort_days.map(abort))
                .build(),
        )
    }

    fn in_words(&self) -> String {
        let Self {
            id,
            expire_days,
            noncurrent_days,
            abort_days,
            more,
        } = self;
        let days = [
            ("expires after", expire_days),
            ("old versions after", noncurrent_days),
            ("aborts uploads after", abort_days),
        ];
        let days = days
            .into_iter()
            .filter_map(|(words, days)| days.map(|days| format!("{words} {days} d")));
        let words: Vec<String> = days.chain(more.iter().map(|&words| words.to_owned())).collect();
        format!("{id}: {}", words.join(", "))
    }
}

pub(super) async fn read(context: &Context, desired: &Model) -> Result<Lifecycle, AwsError> {
    let client = &context.clients().s3;
    let answer = context
        .call(op("s3", "GetBucketLifecycleConfiguration"), || {
            client
                .get_bucket_lifecycle_configuration()
                .bucket(&desired.name)
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await;
    let found = unset(answer)?.and_then(|answer| answer.rules).unwrap_or_default();
    let mut lifecycle = Lifecycle {
        expire_days: None,
        abort_incomplete_upload_days: None,
        other: Vec::new(),
    };
    for rule in found.iter().map(Rule::read) {
        // It is one of ours when ours, with the days found, would read the same.
        let like = |expire_days, abort_incomplete_upload_days| {
            rules(&Model {
                expire_days,
                abort_incomplete_upload_days,
                ..desired.clone()
            })
            .contains(&rule)
        };
        if like(rule.expire_days, None) {
            lifecycle.expire_days = rule.expire_days;
        } else if like(None, rule.abort_days) {
            lifecycle.abort_incomplete_upload_days = rule.abort_days;
        } else {
            lifecycle.other.push(rule.in_words());
        }
    }
    lifecycle.other.sort();
    Ok(lifecycle)
}

pub(super) async fn write(context: &Context, desired: &Model) -> Result<(), AwsError> {
    let client = &context.clients().s3;
    let name = desired.name.as_str();
    let rules: Vec<LifecycleRule> = rules(desired).iter().map(Rule::write).collect::<Result<_, _>>()?;
    if rules.is_empty() {
        return context
            .call(op("s3", "DeleteBucketLifecycle"), || {
                client
                    .delete_bucket_lifecycle()
                    .bucket(name)
                    .expected_bucket_owner(&context.identity().account)
                    .send()
            })
            .await
            .map(drop);
    }
    let configuration = fits(BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build())?;
    context
        .call(op("s3", "PutBucketLifecycleConfiguration").just_made(), || {
            client
                .put_bucket_lifecycle_configuration()
                .bucket(name)
                .lifecycle_configuration(configuration.clone())
                .expected_bucket_owner(&context.identity().account)
                .send()
        })
        .await
        .map(drop)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{Transition, TransitionStorageClass};

    #[test]
    fn what_is_written_is_read() {
        for rule in [
            Rule {
                expire_days: Some(30),
                noncurrent_days: Some(30),
                ..Rule::of_everything(EXPIRE)
            },
            Rule {
                abort_days: Some(7),
                ..Rule::of_everything(ABORT)
            },
        ] {
            assert_eq!(Rule::read(&rule.write().unwrap()), rule);
        }
    }

    #[test]
    fn rules_of_others_are_put_in_words() {
        let rule = LifecycleRule::builder()
            .id("archive")
            .status(ExpirationStatus::Disabled)
            .filter(LifecycleRuleFilter::builder().prefix("old/").build())
            .transitions(
                Transition::builder()
                    .days(3)
                    .storage_class(TransitionStorageClass::Glacier)
                    .build(),
            )
            .expiration(LifecycleExpiration::builder().days(90).build())
            .build()
            .unwrap();
        assert_eq!(
            Rule::read(&rule).in_words(),
            "archive: expires after 90 d, disabled, of some objects, moves to other classes"
        );
    }
}
