//! Functions and what they may do.

use super::{
    ActionName, BinaryName, CodePath, ConditionKey, ConditionOperator, ConditionValue, Description, EventText,
    HandlerName, KeyPrefix, LayerArn, LogicalName, NameText, PolicyArn, Reason, ResourceArn, RuntimeName,
    SecurityGroupId, SubnetId, VariableName, VariableValue,
};
use crate::template::grammar::{
    AnyScalar, Days, Duration, Integer, Named, OneOf, OneOrMore, Reserved, Seconds, Spanned, Text, Variant, record,
};
use crate::template::model::{Access, Architecture};

record! {
    /// A Lambda function.
    pub(crate) struct FunctionSource as "function" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
        /// Cargo binary of the function, in whichever package of the project has it. Without it: the logical name, `-` and `_` being alike.
        binary: Option<Spanned<Text<BinaryName>>>,
        /// Code that is not built here: a zip file, or a folder that is zipped, relative to the template. With `runtime`.
        code: Option<Spanned<Text<CodePath>>>,
        /// Lambda runtime of `code`, e.g. python3.13. What is built here runs on provided.al2023.
        runtime: Option<Spanned<Text<RuntimeName>>>,
        /// What the runtime calls in `code`, e.g. app.handler. With `provided` runtimes, `bootstrap` unless it is given.
        handler: Option<Spanned<Text<HandlerName>>>,
        /// What it does, for people.
        description: Option<Spanned<Text<Description>>>,
        /// CPU architecture that it is built for and runs on.
        architecture: Spanned<OneOf<Architecture>> = "x86_64",
        /// Memory, MB; CPU grows with it.
        memory: Spanned<Integer<128, 10240>> = "512",
        /// Longest run. HTTP APIs wait at most 30 s.
        timeout: Spanned<Duration<Seconds, 1, 900>> = "30s",
        /// Environment variables, 4 KB together; `${app}`, `${stage}` and `${region}` are filled in. Each grant adds
        /// `{NAME}_TABLE` or `{NAME}_BUCKET` with the physical name.
        environment: Spanned<Named<VariableName, Spanned<AnyScalar<VariableValue>>>> = "{}",
        /// What the function may do; its role allows nothing else.
        grants: Spanned<Vec<GrantSource>> = "[]",
        /// Raw IAM: what no grant expresses, such as sending mail.
        statements: Spanned<Vec<StatementSource>> = "[]",
        /// Layers: ARNs of versions in the function's region, at most 5. The local target does not run them.
        layers: Spanned<Vec<Spanned<Text<LayerArn>>>> = "[]",
        /// An existing network that the function is in.
        vpc: Option<Spanned<VpcSource>>,
        /// Managed policy that caps the function's role.
        permissions_boundary: Option<Spanned<Text<PolicyArn>>>,
        /// How long logs are kept: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192,
        /// 2557, 2922, 3288 or 3653 days.
        log_retention: Spanned<Duration<Days, 1, 3653>> = "30d",
        /// Least severe lines that are kept.
        log_level: Spanned<OneOf<LogLevel>> = "INFO",
        /// Trace with X-Ray.
        tracing: Spanned<bool> = "false",
        /// Most concurrent runs, taken from the account's concurrency; 0 switches the function off.
        reserved_concurrency: Option<Spanned<Integer<0, 100000>>>,
        /// Space in `/tmp`, MB.
        ephemeral_storage: Spanned<Integer<512, 10240>> = "512",
        /// Event that the function takes without changing anything, as JSON. Promotions call it with that before live moves, when no
        /// route reaches it.
        check_event: Option<Spanned<Text<EventText>>>,
        /// Environments kept ready.
        provisioned_concurrency: Reserved,
    }
}

record! {
    /// A statement that the function's role allows beside its grants. `${account}` and `${partition}` are filled in, too.
    pub(crate) struct StatementSource as "statement" {
        /// What is allowed, e.g. ses:SendEmail; one action or a list.
        actions: Spanned<OneOrMore<Spanned<Text<ActionName>>>>,
        /// On what: ARNs, or `*` for actions that know no resource; one or a list.
        resources: Spanned<OneOrMore<Spanned<Text<ResourceArn>>>>,
        /// Under which conditions: operator → key → values.
        conditions: Spanned<Named<ConditionOperator, Spanned<Named<ConditionKey, Spanned<OneOrMore<Spanned<AnyScalar<ConditionValue>>>>>>>> = "{}",
        /// Why actions with `*` are allowed on `*`: without a reason they are refused.
        allow_wildcard: Option<Spanned<Text<Reason>>>,
    }
}

record! {
    /// The network of a function. The local target notes it and runs the function on this machine's. AWS needs a minute or more
    /// for the first function in a pair of subnets and security groups.
    pub(crate) struct VpcSource as "vpc" {
        /// Subnets, at most 16.
        subnets: Spanned<Vec<Spanned<Text<SubnetId>>>>,
        /// Security groups, at most 5.
        security_groups: Spanned<Vec<Spanned<Text<SecurityGroupId>>>>,
    }
}

record! {
    /// Something that a function may do with one table or one bucket.
    pub(crate) struct GrantSource as "grant" {
        /// Logical name of the table.
        table: Option<Spanned<Text<LogicalName>>>,
        /// Logical name of the bucket.
        bucket: Option<Spanned<Text<LogicalName>>>,
        /// What is allowed; one word or a list. Tables: read, get, write, increment. Buckets: read, write, delete, presign.
        access: Spanned<OneOrMore<Spanned<OneOf<Access>>>>,
        /// Buckets: only objects whose key begins with this.
        prefix: Option<Spanned<Text<KeyPrefix>>>,
    }
}

impl Variant for Architecture {
    const WHAT: &'static str = "a CPU architecture";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("x86_64", "Intel and AMD", Self::X86_64),
        ("arm64", "Graviton", Self::Arm64),
    ];
}

impl Variant for Access {
    const WHAT: &'static str = "an access";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        (
            "read",
            "tables: get, query and check items, indexes too; buckets: get objects",
            Self::Read,
        ),
        ("get", "tables: get single items only", Self::Get),
        (
            "write",
            "tables: put, update, delete and check items; buckets: put and delete objects",
            Self::Write,
        ),
        ("increment", "tables: update items only", Self::Increment),
        ("presign", "buckets: sign URLs that get and put objects", Self::Presign),
        ("delete", "buckets: delete objects", Self::Delete),
    ];
}

/// Log levels of Lambda's JSON logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) &'static str);

impl Variant for LogLevel {
    const WHAT: &'static str = "a log level";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("TRACE", "everything", Self("TRACE")),
        ("DEBUG", "details", Self("DEBUG")),
        ("INFO", "what happened", Self("INFO")),
        ("WARN", "what looks wrong", Self("WARN")),
        ("ERROR", "what failed", Self("ERROR")),
        ("FATAL", "what ended the function", Self("FATAL")),
    ];
}
