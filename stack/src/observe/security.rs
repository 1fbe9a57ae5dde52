//! What must not be possible on the stage that stands, asked of AWS itself: what functions may do, who can read buckets.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::aws::context::{Context, op};
use crate::aws::error::AwsError;
use crate::aws::kind::found;
use crate::aws::reader::Reader;
use crate::aws::registry;
use crate::aws::s3_bucket;
use crate::template::model::{GrantTarget, Stack};

/// Something that must not be possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `functions` or `buckets`.
    pub about: &'static str,
    /// What must hold.
    pub holds: String,
    /// What was asked.
    pub asked: String,
    /// What is wrong; none when it holds.
    pub wrong: Option<String>,
}

/// What no function of a stack may do, whatever it is granted.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>
const NEVER: &[&str] = &[
    "dynamodb:DeleteTable",
    "iam:CreateUser",
    "iam:PutRolePolicy",
    "lambda:UpdateFunctionCode",
    "s3:DeleteBucket",
    "s3:PutBucketPolicy",
    "sts:AssumeRole",
];
/// What only a grant on a table allows.
const TABLE: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
];
/// What only a grant on a bucket allows.
const BUCKET: &[&str] = &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];

/// Asks for everything that must not be possible.
pub async fn examine(context: &Context, stack: &Stack) -> Result<Vec<Finding>, AwsError> {
    let reader = Reader::new(context.clone());
    let registry = registry();
    let (roles, tables, buckets) = futures::try_join!(
        registry.kind("iam_role").enumerate(&reader),
        registry.kind("dynamodb_table").enumerate(&reader),
        registry.kind("s3_bucket").enumerate(&reader)
    )?;
    let mut asked = Vec::new();
    for role in &roles {
        let (Some(function), Some(arn)) = (stack.functions.get(&role.id.name), role.outputs.get("arn")) else {
            continue;
        };
        let name = &role.id.name;
        let granted: BTreeSet<&GrantTarget> = function.grants.iter().map(|grant| &grant.on).collect();
        asked.push((format!("{name} cannot change the stack"), arn, "*".to_owned(), NEVER));
        for table in tables
            .iter()
            .filter(|table| !granted.contains(&GrantTarget::Table(table.id.name.clone())))
        {
            let what = format!("{name} cannot touch table {}", table.id.name);
            let resource = context.identity().arn(
                "dynamodb",
                &format!("table/{}", table.outputs.get("name").map_or("", String::as_str)),
            );
            asked.push((what, arn, resource, TABLE));
        }
        for bucket in buckets
            .iter()
            .filter(|bucket| !granted.contains(&GrantTarget::Bucket(bucket.id.name.clone())))
        {
            let what = format!("{name} cannot touch bucket {}", bucket.id.name);
            let resource = format!("{}/x", bucket.outputs.get("arn").map_or("", String::as_str));
            asked.push((what, arn, resource, BUCKET));
        }
    }
    let of_roles = asked.into_iter().map(|(holds, arn, resource, actions)| async move {
        let allowed = allowed(context, arn, &resource, actions).await?;
        Ok::<_, AwsError>(Finding {
            about: "functions",
            holds,
            asked: format!("SimulatePrincipalPolicy on {resource}"),
            wrong: (!allowed.is_empty()).then(|| format!("its role allows {}", allowed.join(", "))),
        })
    });
    let of_buckets = buckets.iter().map(|bucket| async move {
        let name = bucket.outputs.get("name").cloned().unwrap_or_default();
        let is_website = s3_bucket::is_website(context, &name).await?;
        let is_closed = is_website || is_closed(context, &name).await?;
        Ok::<_, AwsError>(Finding {
            about: "buckets",
            holds: match is_website {
                true => format!("{} is a web site, open by intent", bucket.id.name),
                false => format!("{} is closed to the public", bucket.id.name),
            },
            asked: format!("GetPublicAccessBlock of {name}"),
            wrong: (!is_closed).then(|| "public access is not blocked".to_owned()),
        })
    });
    let (mut findings, of_buckets) = futures::try_join!(
        futures::future::try_join_all(of_roles),
        futures::future::try_join_all(of_buckets)
    )?;
    findings.extend(of_buckets);
    Ok(findings)
}

/// Which of the actions a role may do on a resource.
async fn allowed(context: &Context, role: &str, resource: &str, actions: &[&str]) -> Result<Vec<String>, AwsError> {
    let client = &context.clients().iam;
    let answer = context
        .call(op("iam", "SimulatePrincipalPolicy"), || {
            client
                .simulate_principal_policy()
                .policy_source_arn(role)
                .set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()))
                .resource_arns(resource)
                .send()
        })
        .await?;
    let results = answer.evaluation_results.unwrap_or_default();
    Ok(results
        .into_iter()
        .filter(|one| one.eval_decision.as_str() == "allowed")
        .map(|one| one.eval_action_name)
        .collect())
}

/// Whether all public access to a bucket is blocked, whatever its policy and lists say.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>
async fn is_closed(context: &Context, bucket: &str) -> Result<bool, AwsError> {
    let client = &context.clients().s3;
    let block = context
        .call(op("s3", "GetPublicAccessBlock"), || {
            client.get_public_access_block().bucket(bucket).send()
        })
        .await;
    let block = found(block)?.and_then(|answer| answer.public_access_block_configuration);
    let closed = block.is_some_and(|block| {
        [
            block.block_public_acls(),
            block.ignore_public_acls(),
            block.block_public_policy(),
            block.restrict_public_buckets(),
        ]
        .into_iter()
        .all(|one| one == Some(true))
    });
    Ok(closed)
}
