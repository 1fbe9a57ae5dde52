//! Physical names: a pure function of application, stage, region, account and logical name.
//!
//! | What | Name | Longest | Unique in |
//! |---|---|---|---|
//! | table | `{app}-{stage}-{logical}` | 255 | account and region |
//! | bucket | `{app}-{stage}-{logical}-{account}-{region}` | 63 | the partition |
//! | function | `{app}-{stage}-{logical}` | 64 | account and region |
//! | role | `{app}-{stage}-{logical}-{region}` under `/taskctl/{app}/{stage}/` | 64 | account, all regions |
//! | log group of a function | `/aws/lambda/{function}` | 512 | account and region |
//! | access log | `/aws/vendedlogs/taskctl/{app}/{stage}/api` | 512 | account and region |
//! | API | `{app}-{stage}` | 128 | not unique: found by its tags |
//! | alarm | `{app}-{stage}-{logical}` | 255 | account and region |
//! | topic | `{app}-{stage}-{logical}` | 256 | account and region |
//! | dashboard | `{app}-{stage}-{logical}-{region}` | 255 | account, all regions |
//! | schedule rule | `{app}-{stage}-{logical}` | 64 | account and region |
//!
//! A name that is longer than its service takes is cut and ends in 8 hex digits of the SHA-256 of the whole. Two stacks
//! whose parts join to the same text (`a-b`, `c` and `a`, `b-c`) would share names: the tags app and stage tell them apart,
//! and a resource with another stack's tags is never touched.

use crate::digest::short_sha256;

/// Hex digits of the hash in a cut name.
const HASH_DIGITS: usize = 8;

/// Longest names that the services take.
pub mod longest {
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
    pub const TABLE: usize = 255;
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
    pub const BUCKET: usize = 63;
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>
    pub const FUNCTION: usize = 64;
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
    pub const ROLE: usize = 64;
    /// <https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html>
    pub const API: usize = 128;
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>
    pub const ALARM: usize = 255;
    /// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>
    pub const TOPIC: usize = 256;
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html>
    pub const DASHBOARD: usize = 255;
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html>
    pub const RULE: usize = 64;
}

/// What all physical names of a stack are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    /// Application.
    pub app: &'a str,
    /// Stage.
    pub stage: &'a str,
    /// Region, e.g. `eu-central-1`.
    pub region: &'a str,
    /// Account id, 12 digits.
    pub account: &'a str,
}

impl Names<'_> {
    /// Name of a DynamoDB table.
    #[must_use]
    pub fn table(&self, logical: &str) -> String {
        cut(&self.plain(logical), longest::TABLE)
    }

    /// Name of an S3 bucket. Account and region stay readable when it is cut.
    #[must_use]
    pub fn bucket(&self, logical: &str) -> String {
        let suffix = format!("-{}-{}", self.account, self.region);
        let room = longest::BUCKET.saturating_sub(suffix.len());
        cut(&format!("{}{suffix}", cut(&self.plain(logical), room)), longest::BUCKET)
    }

    /// Name of a Lambda function.
    #[must_use]
    pub fn function(&self, logical: &str) -> String {
        cut(&self.plain(logical), longest::FUNCTION)
    }

    /// Name of a function's IAM role. Role names are unique in the account whatever their path, so it carries the region,
    /// which stays readable when it is cut: that distinguishes the roles of one region from another's.
    #[must_use]
    pub fn role(&self, logical: &str) -> String {
        self.regional(logical, longest::ROLE)
    }

    /// Path of the stack's roles.
    #[must_use]
    pub fn role_path(&self) -> String {
        format!("/taskctl/{}/{}/", self.app, self.stage)
    }

    /// Log group of a function, from the function's physical name.
    #[must_use]
    pub fn function_log_group(&self, function: &str) -> String {
        format!("/aws/lambda/{function}")
    }

    /// Log group of the API's access log.
    #[must_use]
    pub fn access_log_group(&self) -> String {
        format!("{}api", self.access_log_prefix())
    }

    /// Start of the names of access logs. It keeps the account's log resource policy small:
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>
    #[must_use]
    pub fn access_log_prefix(&self) -> String {
        format!("/aws/vendedlogs/taskctl/{}/{}/", self.app, self.stage)
    }

    /// Name of the HTTP API.
    #[must_use]
    pub fn api(&self) -> String {
        cut(&format!("{}-{}", self.app, self.stage), longest::API)
    }

    /// Name of a CloudWatch alarm.
    #[must_use]
    pub fn alarm(&self, logical: &str) -> String {
        cut(&self.plain(logical), longest::ALARM)
    }

    /// Name of an SNS topic.
    #[must_use]
    pub fn topic(&self, logical: &str) -> String {
        cut(&self.plain(logical), longest::TOPIC)
    }

    /// Name of a CloudWatch dashboard. Dashboards are global to the account, so it carries the region.
    #[must_use]
    pub fn dashboard(&self, logical: &str) -> String {
        self.regional(logical, longest::DASHBOARD)
    }

    /// Name of an EventBridge rule.
    #[must_use]
    pub fn rule(&self, logical: &str) -> String {
        cut(&self.plain(logical), longest::RULE)
    }

    fn regional(&self, logical: &str, longest: usize) -> String {
        let suffix = format!("-{}", self.region);
        format!(
            "{}{suffix}",
            cut(&self.plain(logical), longest.saturating_sub(suffix.len()))
        )
    }

    fn plain(&self, logical: &str) -> String {
        format!("{}-{}-{logical}", self.app, self.stage)
    }
}

/// A name as it is, or cut to `longest` with a hash of the whole at its end.
fn cut(name: &str, longest: usize) -> String {
    if name.len() <= longest {
        return name.to_owned();
    }
    let hash = short_sha256(name, HASH_DIGITS);
    let mut end = longest.saturating_sub(HASH_DIGITS + 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", name[..end].trim_end_matches(['-', '.', '_']))
}
