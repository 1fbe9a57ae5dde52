//! The rules for names and other text.

use crate::template::fault::Code;
use crate::template::grammar::TextRule;

macro_rules! text_rule {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal, $pattern:expr, $longest:literal, $code:ident, $allowed:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name;

        impl TextRule for $name {
            const WHAT: &'static str = $what;
            const PATTERN: Option<&'static str> = $pattern;
            const LONGEST: usize = $longest;
            const ALLOWED: &'static str = $allowed;
            const CODE: Code = Code::$code;
        }
    };
}

text_rule!(
    /// Application name.
    AppName, "an application name", Some("^[a-z]([a-z0-9-]*[a-z0-9])?$"), 31, BadName,
    "allowed: 1 to 31 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`"
);
text_rule!(
    /// Stage name.
    StageName, "a stage name", Some("^[a-z]([a-z0-9-]*[a-z0-9])?$"), 16, BadName,
    "allowed: 1 to 16 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`"
);
text_rule!(
    /// Logical name of a part of the stack.
    LogicalName, "a logical name", Some("^[a-z]([a-z0-9-]*[a-z0-9])?$"), 40, BadName,
    "allowed: 1 to 40 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`"
);
text_rule!(
    /// Logical name of an alarm; generated ones are a logical name and a word.
    AlarmKey, "an alarm's logical name", Some("^[a-z]([a-z0-9-]*[a-z0-9])?$"), 64, BadName,
    "allowed: 1 to 64 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`"
);
text_rule!(
    /// AWS region; the partitions' regions all have this form.
    RegionName, "an AWS region", Some("^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$"), 25, BadValue,
    "a region looks like eu-central-1, us-east-1 or us-gov-west-1"
);
text_rule!(
    /// An AWS account.
    AccountId, "an AWS account", Some("^[0-9]{12}$"), 12, BadValue,
    "an account's number has 12 digits: `aws sts get-caller-identity` shows it"
);
text_rule!(
    /// A version of taskctl.
    VersionText, "a version", Some("^[0-9]{1,9}(\\.[0-9]{1,9}){0,2}$"), 32, BadValue,
    "a version looks like 0.1 or 1.4.2; that version and later ones are meant"
);
text_rule!(
    /// A path on this machine.
    PathText, "a path", Some("^[^\\x00]+$"), 4096, BadValue,
    "a folder, relative to the template"
);
text_rule!(
    /// A physical name; each service's own rule is checked when the stage is known.
    NameText, "a physical name", Some("^\\S+$"), 512, BadName,
    "a name without spaces; `${app}`, `${stage}` and `${region}` are filled in"
);
text_rule!(
    /// A description that people read.
    Description, "a description", None, 256, BadValue,
    "at most 256 characters"
);
text_rule!(
    /// A shell command.
    Command, "a command", None, 4096, BadValue,
    "at most 4096 characters"
);
text_rule!(
    /// An event of a function.
    EventText, "JSON in quotes", None, 8192, BadValue,
    "at most 8192 characters"
);
text_rule!(
    /// A Logs Insights query. <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html>
    QueryText, "a Logs Insights query", None, 10000, BadValue,
    "at most 10000 characters"
);
text_rule!(
    /// An alarm's description. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>
    AlarmDescription, "an alarm's description", None, 1024, BadValue,
    "at most 1024 characters"
);
text_rule!(
    /// Key of a tag. <https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html>
    TagKey, "a tag key", Some("^[a-zA-Z0-9 _.:/=+@-]+$"), 128, BadName,
    "allowed: 1 to 128 of letters, digits, spaces and _ . : / = + - @"
);
text_rule!(
    /// Value of a tag.
    TagValue, "a tag value", Some("^[a-zA-Z0-9 _.:/=+@${}-]*$"), 256, BadValue,
    "allowed: at most 256 of letters, digits, spaces and _ . : / = + - @"
);
text_rule!(
    /// A DynamoDB attribute. <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
    AttributeName, "an attribute name", Some("^[^\\x00-\\x1f]+$"), 255, BadName,
    "allowed: 1 to 255 characters"
);
text_rule!(
    /// A DynamoDB index. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GlobalSecondaryIndex.html>
    IndexName, "an index name", Some("^[a-zA-Z0-9_.-]{3,}$"), 255, BadName,
    "allowed: 3 to 255 of a-z, A-Z, 0-9, `_`, `-` and `.`"
);
text_rule!(
    /// A KMS key.
    KmsKey, "a KMS key", Some("^(arn:[a-z0-9-]+:kms:.+|alias/.+|[0-9a-f-]{36}|mrk-[0-9a-f]+)$"), 2048, BadValue,
    "a key's ARN, its id, or `alias/…`"
);
text_rule!(
    /// A policy that caps a role. <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePermissionsBoundary.html>
    PolicyArn, "the ARN of a managed policy", Some("^arn:[a-z0-9-]+:iam::([0-9]{12}|aws):policy/.+$"), 2048, BadValue,
    "it looks like arn:aws:iam::111122223333:policy/boundary"
);
text_rule!(
    /// An action of IAM. <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
    ActionName, "an IAM action", Some("^(\\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$"), 128, BadValue,
    "SERVICE:Operation, e.g. ses:SendEmail; `*` and `?` stand for others"
);
text_rule!(
    /// A resource of IAM. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
    ResourceArn, "an ARN", Some("^(\\*|arn:\\S+)$"), 2048, BadValue,
    "an ARN such as arn:${partition}:ses:${region}:${account}:identity/example.org, or `*`"
);
text_rule!(
    /// A version of a layer. <https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html>
    LayerArn, "a layer", Some("^arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$"), 140, BadValue,
    "the ARN of a version, such as arn:aws:lambda:eu-central-1:123456789012:layer:tools:3"
);
text_rule!(
    /// A subnet. <https://docs.aws.amazon.com/vpc/latest/userguide/configure-subnets.html>
    SubnetId, "a subnet", Some("^subnet-[0-9a-z]+$"), 1024, BadValue,
    "an id such as subnet-0a1b2c3d4e5f60718"
);
text_rule!(
    /// A security group. <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html>
    SecurityGroupId, "a security group", Some("^sg-[0-9a-zA-Z]+$"), 1024, BadValue,
    "an id such as sg-0a1b2c3d4e5f60718"
);
text_rule!(
    /// An operator of a condition. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
    ConditionOperator, "an operator of a condition", Some("^((ForAllValues|ForAnyValue):)?[A-Z][A-Za-z]+$"), 64, BadName,
    "an operator of IAM, such as StringEquals or ForAnyValue:StringLike"
);
text_rule!(
    /// A key of a condition. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
    ConditionKey, "a key of a condition", Some("^[A-Za-z0-9-]+:\\S+$"), 256, BadName,
    "a key of IAM, such as aws:SourceVpc or ses:FromAddress"
);
text_rule!(
    /// A value of a condition.
    ConditionValue, "a value of a condition", Some("^[^\\x00-\\x1f]*$"), 2048, BadValue,
    "text, a number, true or false; at most 2048 characters"
);
text_rule!(
    /// Why something is as it is.
    Reason, "a reason", Some("^\\S.*$"), 256, BadValue,
    "one line that says why, at most 256 characters"
);
text_rule!(
    /// A cargo binary.
    BinaryName, "a cargo binary's name", Some("^[a-zA-Z0-9][a-zA-Z0-9_-]*$"), 64, BadName,
    "the name of a package with src/main.rs, of a `[[bin]]`, or of a file in src/bin"
);
text_rule!(
    /// Code that is not built here.
    CodePath, "a path to code", Some("^[^\\x00]+$"), 4096, BadValue,
    "a zip file or a folder, relative to the template"
);
text_rule!(
    /// A runtime of Lambda. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>
    RuntimeName, "a Lambda runtime", Some("^[a-z][a-z0-9.]*$"), 64, BadName,
    "an identifier such as provided.al2023, python3.13 or nodejs22.x"
);
text_rule!(
    /// What a runtime calls. <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>
    HandlerName, "a handler", Some("^\\S+$"), 128, BadValue,
    "what the runtime calls, such as app.handler; without spaces"
);
text_rule!(
    /// A profile of Cargo. <https://doc.rust-lang.org/cargo/reference/profiles.html>
    ProfileName, "a cargo profile", Some("^[a-zA-Z0-9_-]+$"), 64, BadName,
    "release, dev, or the name of a `[profile.NAME]` of the workspace's Cargo.toml"
);
text_rule!(
    /// A feature of Cargo. <https://doc.rust-lang.org/cargo/reference/features.html>
    FeatureName, "a cargo feature", Some("^[a-zA-Z0-9_][a-zA-Z0-9_+./-]*$"), 128, BadName,
    "FEATURE, or PACKAGE/FEATURE in a workspace"
);
text_rule!(
    /// An argument of `cargo build`. What is built, and where to, is taskctl's to say.
    CargoArgument, "an argument of cargo build", Some("^[^\\x00-\\x1f]+$"), 1024, BadValue,
    "one word of the command line, such as `--locked` or `--config=net.offline=true`"
);
text_rule!(
    /// An environment variable of a function.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
    VariableName, "an environment variable's name", Some("^[a-zA-Z][a-zA-Z0-9_]+$"), 256, BadName,
    "allowed: a letter, then at least one of a-z, A-Z, 0-9 and `_`"
);
text_rule!(
    /// Value of an environment variable.
    VariableValue, "an environment variable's value", Some("^[^\\x00]*$"), 4096, BadValue,
    "text, a number, true or false; at most 4096 characters"
);
text_rule!(
    /// A prefix of object keys. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
    KeyPrefix, "a prefix of object keys", Some("^[^*?\\x00]+$"), 512, BadValue,
    "text without `*` and `?`, e.g. `assets/`"
);
text_rule!(
    /// A document of a web site.
    DocumentName, "a document of the site", Some("^[^/\\x00][^\\x00]*$"), 512, BadValue,
    "a file name such as index.html"
);
text_rule!(
    /// The key of a route; its parts are checked in `rules`.
    RouteKey, "a route", Some("^(\\$default|[A-Za-z]+ \\S+)$"), 512, BadValue,
    "a route is a method and a path, `GET /tasks/{taskId}`, or `$default`"
);
text_rule!(
    /// A web origin; its parts are checked in `rules`.
    Origin, "an origin", Some("^(\\*|[a-z][a-z0-9+.-]*://[^/\\s]+)$"), 253, BadValue,
    "an origin is scheme, host and port without a path: https://example.org, http://localhost:1580, or `*`"
);
text_rule!(
    /// An HTTP method.
    Method, "an HTTP method", Some("^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|\\*)$"), 10, BadValue,
    "allowed: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS or `*`"
);
text_rule!(
    /// A method of a bucket's CORS rule. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CORSRule.html>
    ObjectMethod, "a method of a bucket", Some("^(GET|HEAD|PUT|POST|DELETE)$"), 6, BadValue,
    "allowed: GET, HEAD, PUT, POST, DELETE"
);
text_rule!(
    /// An HTTP header's name.
    Header, "an HTTP header", Some("^(\\*|[A-Za-z0-9!#$%&'*+.^_`|~-]+)$"), 256, BadValue,
    "a header's name, e.g. content-type, or `*`"
);
text_rule!(
    /// A metric's namespace. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
    Namespace, "a metric namespace", Some("^[0-9A-Za-z._/#:-]+$"), 255, BadValue,
    "allowed: 1 to 255 of letters, digits and . - _ / # :"
);
text_rule!(
    /// A metric's name.
    MetricName, "a metric name", Some("^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$"), 255, BadValue,
    "a metric such as Errors, 5xx or Latency"
);
text_rule!(
    /// A metric's statistic. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html>
    Statistic, "a statistic", Some("^(Sum|Average|Minimum|Maximum|SampleCount|IQM|(p|tm|tc|ts|wm)(100|[0-9]{1,2}(\\.[0-9]{1,10})?)|PR\\(([0-9.]+:[0-9.]*|:[0-9.]+)\\)|(TM|TC|TS|WM)\\(([0-9.]+:[0-9.]*|:[0-9.]+|[0-9.]+%:([0-9.]+%)?|:[0-9.]+%)\\))$"), 64, BadValue,
    "allowed: Sum, Average, Minimum, Maximum, SampleCount, a percentile such as p99 or p99.9, or one of tm90, tc90, ts90, wm90, IQM, PR(:300), TM(2%:98%)"
);
text_rule!(
    /// The id of a metric in an expression.
    MetricId, "a metric's id", Some("^[a-z][a-zA-Z0-9_]*$"), 255, BadName,
    "allowed: a lower-case letter, then letters, digits and `_`"
);
text_rule!(
    /// A metric math expression.
    Expression, "a metric math expression", Some("^[^\\x00]*\\S[^\\x00]*$"), 1024, BadValue,
    "e.g. IF(invocations > 20, 100 * errors / invocations, 0)"
);
text_rule!(
    /// A dimension of a metric.
    Dimension, "a dimension's name", Some("^[\\x21-\\x7e]+$"), 255, BadName,
    "e.g. FunctionName"
);
text_rule!(
    /// The value of a dimension.
    DimensionValue, "a dimension's value", Some("^[\\x20-\\x7e]+$"), 1024, BadValue,
    "text, e.g. the function's name"
);
text_rule!(
    /// An e-mail address.
    Email, "an e-mail address", Some("^[^@\\s<>\"(),;:]+@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\\.)+[A-Za-z]{2,}$"), 254, BadValue,
    "an address such as ops@example.org"
);
