//! Tags of what CloudWatch keeps: alarms and dashboards. Both take tags on creation only; later they change here.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_TagResource.html>

use aws_sdk_cloudwatch::types::Tag;

use crate::aws::client::context::Context;
use crate::aws::client::error::AwsError;
use crate::aws::client::op::op;
use crate::aws::client::tags::{self, Difference, Tags};

/// Tags as the SDK takes them.
pub fn build(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// Asks for the tags of one resource.
pub async fn read(context: &Context, arn: &str) -> Result<Tags, AwsError> {
    let client = &context.clients().cloudwatch;
    let answer = context
        .call(op("cloudwatch", "ListTagsForResource"), || {
            client.list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    let pairs = answer
        .tags
        .unwrap_or_default()
        .into_iter()
        .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
    Ok(pairs.collect())
}

/// Brings the tags of one resource to what is desired.
pub async fn change(context: &Context, arn: &str, observed: &Tags, desired: &Tags) -> Result<(), AwsError> {
    let client = &context.clients().cloudwatch;
    let Difference { set, remove } = tags::diff(observed, desired);
    if !set.is_empty() {
        let tags = build(&set);
        context
            .call(op("cloudwatch", "TagResource"), || {
                client
                    .tag_resource()
                    .resource_arn(arn)
                    .set_tags(Some(tags.clone()))
                    .send()
            })
            .await?;
    }
    if !remove.is_empty() {
        context
            .call(op("cloudwatch", "UntagResource"), || {
                client
                    .untag_resource()
                    .resource_arn(arn)
                    .set_tag_keys(Some(remove.clone()))
                    .send()
            })
            .await?;
    }
    Ok(())
}
