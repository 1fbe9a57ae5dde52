//! The template language: every key, its type, its default and what it means. The decoder, the JSON Schema
//! (`taskctl schema`) and the reference in `docs/template.md` are all driven by these declarations.

mod alarm;
mod api;
mod function;
mod storage;
mod text;

pub(crate) use alarm::{AlarmSource, ApiSlot, Dimensions, TopicSource};
pub(crate) use api::{ApiSource, CorsSource, RouteSource};
pub(crate) use function::{FunctionSource, GrantSource, StatementSource, VpcSource};
pub(crate) use storage::{BucketCorsSource, BucketSource, IndexSource, KeySource, ProjectionType, TableSource};
pub(crate) use text::*;

use super::grammar::{
    AnyScalar, Decode, Decoder, Duration, Integer, Minutes, Named, OneOf, Patch, Reserved, Seconds, Shape, Short,
    Shorthand, Spanned, Switch, Text, Variant, record,
};
use super::tree::Node;

/// Keys of a stack that no stage may change.
pub(crate) const PERMANENT: &[&str] = &["app", "requires", "stages"];

record! {
    /// A stack: everything that one template creates, once per stage.
    pub(crate) struct StackSource as "stack" {
        /// Name of the application. It begins every physical name and cannot be changed later: another name is another stack.
        app: Spanned<Text<AppName>>,
        /// AWS region. Permanent, like `app`. May be left out when `--region` or the profile gives one.
        region: Option<Spanned<Text<RegionName>>>,
        /// AWS account of the stage, 12 digits: with credentials of another one nothing is done. Usually set per stage.
        account: Option<Spanned<AnyScalar<AccountId>>>,
        /// Oldest version of taskctl that understands the template. An older one says so and does nothing.
        requires: Option<Spanned<AnyScalar<VersionText>>>,
        /// The Cargo project that has the functions' binaries, in whichever of its packages. `handlers: DIR` is short for
        /// `handlers: {path: DIR}`.
        handlers: Spanned<Short<HandlersSource>> = "{}",
        /// Tags for everything that takes tags, beside `app`, `stage` and `managed-by`, which taskctl sets itself.
        tags: Spanned<Named<TagKey, Spanned<AnyScalar<TagValue>>>> = "{}",
        /// Protected stages are not destroyed. They get deletion protection on their tables and the release policy `manual`, unless set
        /// otherwise.
        protected: Spanned<bool> = "false",
        /// How a release goes live. Without it: `immediate`, or `manual` on protected stages.
        release: Option<Spanned<Short<ReleaseSource>>>,
        /// Settings for all tables, buckets, functions and alarms.
        defaults: Spanned<DefaultsSource> = "{}",
        /// The stages and what each sets differently: any key of the template except `app`, `requires` and `stages`. Mappings are
        /// merged key by key, everything else is replaced, `null` removes.
        stages: Spanned<Named<StageName, StagePatch>> = "{dev: {}}",
        /// DynamoDB tables, on-demand.
        tables: Spanned<Named<LogicalName, TableSource>> = "{}",
        /// S3 buckets: private, encrypted, reachable over TLS only.
        buckets: Spanned<Named<LogicalName, BucketSource>> = "{}",
        /// Lambda functions, each a binary of the Cargo project.
        functions: Spanned<Named<LogicalName, FunctionSource>> = "{}",
        /// The HTTP API.
        api: Option<Spanned<ApiSource>>,
        /// CloudWatch alarms: own ones, and changes to the generated ones by their name (`false` removes one).
        alarms: Spanned<Named<AlarmKey, Switch<AlarmSource>>> = "{}",
        /// SNS topics.
        topics: Spanned<Named<LogicalName, TopicSource>> = "{}",
        /// A CloudWatch dashboard of functions, API, tables and alarms.
        dashboard: Spanned<Switch<DashboardSource>> = "true",
        /// A schedule that keeps functions warm by calling them through live.
        warmup: Spanned<Switch<WarmupSource>> = "false",
        /// Logs Insights queries by name, for `taskctl logs --query NAME`, beside the built-in ones.
        queries: Spanned<Named<LogicalName, Spanned<Text<QueryText>>>> = "{}",
        /// Alarms over alarms.
        composite_alarms: Reserved,
    }
}

record! {
    /// What tables, buckets, functions and alarms have in common.
    pub(crate) struct DefaultsSource as "defaults" {
        /// Settings that every table has unless it says otherwise.
        table: Spanned<Patch<TableSource>> = "{}",
        /// Settings that every bucket has unless it says otherwise.
        bucket: Spanned<Patch<BucketSource>> = "{}",
        /// Settings that every function has unless it says otherwise.
        function: Spanned<Patch<FunctionSource>> = "{}",
        /// What the generated alarms and all alarms have in common.
        alarm: Spanned<AlarmDefaultsSource> = "{}",
    }
}

record! {
    /// What alarms have in common.
    pub(crate) struct AlarmDefaultsSource as "alarm defaults" {
        /// Generate the standard alarms: errors and throttles of each function, live p99 latency and 5xx of the API,
        /// throttled requests of each table.
        generate: Spanned<bool> = "true",
        /// Topics that every alarm notifies that names none.
        topics: Spanned<Vec<Spanned<Text<LogicalName>>>> = "[]",
    }
}

record! {
    /// The Cargo project of the functions, and how it is built.
    pub(crate) struct HandlersSource as "handlers" {
        /// A folder of the project, relative to the template. Without it: the template's folder.
        path: Option<Spanned<Text<PathText>>>,
        /// Cargo profile of the functions on AWS. `--local` builds with the profile `dev`, unless `--release` is given.
        profile: Spanned<Text<ProfileName>> = "release",
        /// Features to switch on, as `cargo build --features` takes them; those that a binary requires need no mention.
        features: Spanned<Vec<Spanned<Text<FeatureName>>>> = "[]",
        /// Further arguments of `cargo build`, such as `--locked`.
        args: Spanned<Vec<Spanned<Text<CargoArgument>>>> = "[]",
    }
}

impl Shorthand for HandlersSource {
    const KEY: &'static str = "path";

    fn short() -> Shape {
        Text::<PathText>::shape()
    }
}

record! {
    /// How a release goes live. `release: manual` is short for `release: {policy: manual}`.
    pub(crate) struct ReleaseSource as "release" {
        /// What `deploy` and `promote` do.
        policy: Spanned<OneOf<Policy>>,
        /// Canary: share of the requests for the new release, percent. Linear: share of each step.
        percent: Spanned<Integer<1, 50>> = "10",
        /// Canary: how long the new release is watched.
        bake: Spanned<Duration<Seconds, 1, 86400>> = "5m",
        /// Linear: time between steps.
        interval: Spanned<Duration<Seconds, 1, 86400>> = "3m",
        /// Releases that are kept, to roll back to; older ones are pruned after a promotion.
        keep: Spanned<Integer<2, 100>> = "10",
        /// What `promote` runs against preview before live moves, beside the request checks; a failure refuses the release.
        before: Spanned<Vec<HookSource>> = "[]",
        /// What `promote` runs against live after it has moved; a failure moves it back.
        after: Spanned<Vec<HookSource>> = "[]",
    }
}

record! {
    /// A step of a promotion.
    pub(crate) struct HookSource as "hook" {
        /// Shell command. It has TASKCTL_URL, TASKCTL_RELEASE, TASKCTL_APP and TASKCTL_STAGE; anything but exit code 0 is a failure.
        run: Option<Spanned<Text<Command>>>,
        /// Logical name of a function, which is called in the release's version; an error is a failure.
        function: Option<Spanned<Text<LogicalName>>>,
    }
}

impl Shorthand for ReleaseSource {
    const KEY: &'static str = "policy";

    fn short() -> Shape {
        OneOf::<Policy>::shape()
    }
}

/// The release policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Immediate,
    Manual,
    Canary,
    Linear,
}

impl Variant for Policy {
    const WHAT: &'static str = "a release policy";
    const WORDS: &'static [(&'static str, &'static str, Self)] = &[
        ("immediate", "`deploy` promotes at once", Self::Immediate),
        (
            "manual",
            "`deploy` leaves the release in preview; `promote` moves it",
            Self::Manual,
        ),
        ("canary", "`promote` sends a share first and watches", Self::Canary),
        ("linear", "`promote` raises the share step by step", Self::Linear),
    ];
}

record! {
    /// The dashboard.
    pub(crate) struct DashboardSource as "dashboard" {
        /// Physical name instead of the derived one.
        name: Option<Spanned<Text<NameText>>>,
    }
}

record! {
    /// The warm-up schedule.
    pub(crate) struct WarmupSource as "warmup" {
        /// Time between calls.
        every: Spanned<Duration<Minutes, 1, 60>> = "5m",
        /// The functions called. Without it: all that the API uses.
        functions: Option<Spanned<Vec<Spanned<Text<LogicalName>>>>>,
    }
}

/// What a stage sets differently: a patch of the whole stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StagePatch;

impl Decode for StagePatch {
    fn shape() -> Shape {
        match StackSource::shape() {
            Shape::Record(of) => Shape::Patch { of, without: PERMANENT },
            other => other,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        // Its settings are read where they count: laid over the base, as this stage (`stages`).
        if node.is_null() || node.as_mapping().is_some() {
            return Some(Self);
        }
        decoder.wrong_type(node, "a mapping of what the stage sets differently");
        None
    }
}
