//! From the words of the template to the resolved stack of one stage, with the rules that need more than one value: that
//! references lead somewhere, that routes do not collide, that what a service limits stays within its limits.

mod alarms;
mod api;
mod functions;
mod generated;
mod route_key;
mod rules;
mod storage;

pub(crate) use generated::with_generated_alarms;
pub(crate) use rules::{is_region, region_help};

use std::collections::BTreeMap;

use super::fault::{Code, Fault, Span};
use super::grammar::{Decoder, NamedValue, Spanned, Switch, Text, TextRule, did_you_mean};
use super::language::{HookSource, Policy, StackSource};
use super::model::{Dashboard, Hook, Hooks, ReleasePolicy, Stack, Warmup};
use super::names::Names;
use rules::Naming;

/// Stands for the account in checks of lengths, where the real one is not known: all accounts have 12 digits.
const ANY_ACCOUNT: &str = "000000000000";

/// What is resolved, and what is found on the way.
pub(crate) struct Resolver<'a> {
    pub(crate) source: &'a StackSource,
    pub(crate) stage: &'a str,
    pub(crate) region: String,
    pub(crate) faults: Vec<Fault>,
    /// Places by path, `functions.tasks`.
    pub(crate) places: BTreeMap<String, Span>,
    /// Who has each physical name, by kind of resource.
    pub(crate) taken: BTreeMap<(&'static str, String), Taken>,
}

/// Who has a physical name.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    logical: String,
    /// Where the physical name is given, else the logical one.
    pub(crate) span: Span,
    pub(crate) origin: NameOrigin,
}

/// Where a physical name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOrigin {
    /// The template gives it.
    Given,
    /// It is derived from application, stage and logical name.
    Derived,
}

/// Keys of the tags that taskctl sets itself.
const OWN_TAGS: [&str; 3] = ["app", "managed-by", "stage"];

impl<'a> Resolver<'a> {
    /// Reads one stage.
    pub(crate) fn new(source: &'a StackSource, stage: &'a str, region: Option<&str>) -> Self {
        let region = region
            .map(str::to_owned)
            .or_else(|| source.region.as_ref().map(|region| region.value.text.clone()));
        let mut faults = Vec::new();
        let region = region.unwrap_or_else(|| {
            faults.push(
                Fault::error(Code::MissingKey, "no region: the template has none and none was given")
                    .at(Span::new(source.span.start, source.span.start))
                    .help("add `region: eu-central-1` (or another) to the template, or give --region"),
            );
            String::new()
        });
        Self {
            source,
            stage,
            region,
            faults,
            places: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// The resolved stack.
    pub(crate) fn stack(&mut self) -> Stack {
        let source = self.source;
        let tables = self.tables();
        let buckets = self.buckets();
        let functions = self.functions();
        let api = self.api();
        let topics = self.topics();
        let alarms = self.alarms();
        self.written_region();
        Stack {
            app: source.app.value.text.clone(),
            stage: self.stage.to_owned(),
            region: self.region.clone(),
            account: source.account.as_ref().map(|account| account.value.text.clone()),
            protected: source.protected.value,
            release_policy: self.release_policy(),
            keep_releases: source
                .release
                .as_ref()
                .map_or(10, |release| release.value.0.keep.value.u32()),
            hooks: self.hooks(),
            tags: self.tags(),
            tables,
            buckets,
            functions,
            api,
            alarms,
            topics,
            dashboards: self.dashboards(),
            warmup: self.warmup(),
            queries: source
                .queries
                .value
                .iter()
                .map(|(name, query)| (name.to_owned(), query.value.value.text.clone()))
                .collect(),
        }
    }

    /// The tags of everything. IAM compares keys without case: two that differ in nothing else, or one and a key of taskctl's own,
    /// would be refused with the first role.
    fn tags(&mut self) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        let mut seen: BTreeMap<String, String> = OWN_TAGS.map(|key| (key.to_owned(), key.to_owned())).into();
        for (key, tag) in self.source.tags.value.iter() {
            let first = seen.entry(key.to_lowercase()).or_insert_with(|| key.to_owned()).clone();
            if first != key {
                let message =
                    format!("tag `{key}` differs from `{first}` by case alone, which IAM does not tell apart");
                let help = "write the key once, in one case";
                self.report(Fault::error(Code::BadName, message).at(tag.key).help(help));
            }
            tags.insert(key.to_owned(), self.fill(&tag.value.value.text, tag.value.span));
        }
        tags
    }

    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            app: &self.source.app.value.text,
            stage: self.stage,
            region: &self.region,
            account: ANY_ACCOUNT,
        }
    }

    pub(crate) fn report(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn mark(&mut self, path: String, span: Span) {
        self.places.insert(path, span);
    }

    /// A text with `${app}`, `${stage}` and `${region}` filled in; `$${` stands for `${`.
    pub(crate) fn fill(&mut self, text: &str, span: Span) -> String {
        self.fill_but(text, span, &[])
    }

    /// The same; the variables `later` stay as they are, for whoever knows their values.
    pub(crate) fn fill_but(&mut self, text: &str, span: Span, later: &[&str]) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find("${") {
            if rest[..dollar].ends_with('$') {
                filled.push_str(&rest[..dollar]);
                filled.push('{');
                rest = &rest[dollar + 2..];
                continue;
            }
            filled.push_str(&rest[..dollar]);
            let after = &rest[dollar + 2..];
            let Some(close) = after.find('}') else {
                self.report(
                    Fault::error(Code::BadValue, "a `${` is not closed")
                        .at(span)
                        .help("write `${app}`, `${stage}` or `${region}`; `$${` stands for `${`"),
                );
                return filled;
            };
            match &after[..close] {
                "app" => filled.push_str(&self.source.app.value.text),
                "stage" => filled.push_str(self.stage),
                "region" => filled.push_str(&self.region.clone()),
                other if later.contains(&other) => filled.push_str(&format!("${{{other}}}")),
                other => {
                    let fault = Fault::error(Code::UnknownReference, format!("`${{{other}}}` is not a variable of templates"))
                        .at(span)
                        .maybe_help(did_you_mean(other, ["app", "stage", "region"]))
                        .help("known: `${app}`, `${stage}`, `${region}`; `$${` stands for `${`; other values go into `stages`");
                    self.report(fault);
                }
            }
            rest = &after[close + 1..];
        }
        filled.push_str(rest);
        filled
    }

    /// A physical name given in the template, filled in and checked by its service's rule and against the others.
    fn physical_name<R: TextRule>(
        &mut self,
        naming: &Naming,
        logical: &str,
        key: Span,
        name: Option<&Spanned<Text<R>>>,
    ) -> Option<String> {
        let given = name.map(|name| self.fill(&name.value.text, name.span));
        let (span, origin) = name.map_or((key, NameOrigin::Derived), |name| (name.span, NameOrigin::Given));
        if let Some(given) = &given
            && let Err(fault) = naming.check(given, span)
        {
            self.report(fault);
        }
        let physical = given
            .clone()
            .unwrap_or_else(|| (naming.derived)(&self.names(), logical));
        match self.taken.get(&(naming.what, physical.clone())) {
            Some(first) => {
                let message = format!(
                    "`{}` and `{logical}` would both be {} named `{physical}`",
                    first.logical, naming.what
                );
                let fault = Fault::error(Code::Collision, message)
                    .labelled(span, "again")
                    .with(first.span, "first");
                self.report(fault.help("give each its own `name`, or none at all"));
            }
            None => {
                self.taken.insert(
                    (naming.what, physical),
                    Taken {
                        logical: logical.to_owned(),
                        span,
                        origin,
                    },
                );
            }
        }
        given
    }

    fn release_policy(&mut self) -> ReleasePolicy {
        let Some(release) = &self.source.release else {
            return if self.source.protected.value {
                ReleasePolicy::Manual
            } else {
                ReleasePolicy::Immediate
            };
        };
        let release = &release.value.0;
        let percent = u8::try_from(release.percent.value.u32()).unwrap_or(u8::MAX);
        match release.policy.value.0 {
            Policy::Immediate => ReleasePolicy::Immediate,
            Policy::Manual => ReleasePolicy::Manual,
            Policy::Canary => ReleasePolicy::Canary {
                percent,
                bake_seconds: release.bake.value.units(),
            },
            Policy::Linear => ReleasePolicy::Linear {
                percent,
                interval_seconds: release.interval.value.units(),
            },
        }
    }

    fn hooks(&mut self) -> Hooks {
        let Some(release) = &self.source.release else {
            return Hooks::default();
        };
        let release = &release.value.0;
        Hooks {
            before: release.before.value.iter().filter_map(|hook| self.hook(hook)).collect(),
            after: release.after.value.iter().filter_map(|hook| self.hook(hook)).collect(),
        }
    }

    fn hook(&mut self, hook: &HookSource) -> Option<Hook> {
        match (&hook.run, &hook.function) {
            (Some(run), None) => Some(Hook::Run(run.value.text.clone())),
            (None, Some(function)) => {
                self.refer("function", &function.value.text, function.span);
                Some(Hook::Function(function.value.text.clone()))
            }
            (Some(_), Some(function)) => {
                let fault =
                    Fault::error(Code::Conflict, "a hook is a command or a function, not both").at(function.span);
                self.report(fault.help("write two hooks"));
                None
            }
            (None, None) => {
                let fault = Fault::error(Code::MissingKey, "a hook needs `run` or `function`").at(hook.span);
                self.report(fault.help("e.g. `{run: ./smoke-test.sh}`"));
                None
            }
        }
    }

    fn dashboards(&mut self) -> BTreeMap<String, Dashboard> {
        match &self.source.dashboard.value {
            Switch::Off => BTreeMap::new(),
            Switch::On(dashboard) => {
                let name = self.physical_name(&rules::DASHBOARD, "overview", dashboard.span, dashboard.name.as_ref());
                self.mark("dashboard".to_owned(), dashboard.span);
                BTreeMap::from([("overview".to_owned(), Dashboard { name })])
            }
        }
    }

    fn warmup(&mut self) -> Option<Warmup> {
        let Switch::On(warmup) = &self.source.warmup.value else {
            return None;
        };
        self.mark("warmup".to_owned(), warmup.span);
        if self.source.api.is_none() {
            let fault = Fault::error(
                Code::Conflict,
                "`warmup` calls functions as the API does, and the stack has no API",
            );
            self.report(fault.at(warmup.span).help("leave `warmup` out"));
        }
        let functions = match &warmup.functions {
            Some(functions) => {
                for function in &functions.value {
                    self.refer("function", &function.value.text, function.span);
                }
                functions
                    .value
                    .iter()
                    .map(|function| function.value.text.clone())
                    .collect()
            }
            None => {
                let mut used: Vec<String> = Vec::new();
                for (_, route) in self.source.api.iter().flat_map(|api| api.value.routes.value.iter()) {
                    let function = &route.value.0.function.value.text;
                    if !used.contains(function) {
                        used.push(function.clone());
                    }
                }
                used
            }
        };
        Some(Warmup {
            every_minutes: warmup.every.value.units(),
            functions,
        })
    }

    /// Checks that a reference leads somewhere.
    pub(crate) fn refer(&mut self, kind: &str, name: &str, span: Span) -> bool {
        let source = self.source;
        let known: Vec<&str> = match kind {
            "table" => source.tables.value.names().collect(),
            "bucket" => source.buckets.value.names().collect(),
            "function" => source.functions.value.names().collect(),
            _ => source.topics.value.names().collect(),
        };
        if known.contains(&name) {
            return true;
        }
        let allowed = if known.is_empty() {
            format!("the template has no {kind}s; add it under `{kind}s`")
        } else {
            format!("{kind}s of the template: {}", known.join(", "))
        };
        let fault = Fault::error(Code::UnknownReference, format!("there is no {kind} `{name}`"))
            .at(span)
            .maybe_help(did_you_mean(name, known.iter().copied()))
            .help(allowed);
        self.report(fault);
        false
    }

    fn written_region(&mut self) {
        let written = self.source.region.as_ref();
        let fault = written.and_then(|region| rules::region(&region.value.text, region.span));
        if let Some(fault) = fault {
            self.report(fault);
        }
    }
}

/// The topics' own part of the stack.
impl Resolver<'_> {
    fn topics(&mut self) -> BTreeMap<String, super::model::Topic> {
        let mut topics = BTreeMap::new();
        for (logical, NamedValue { key, value: topic }) in self.source.topics.value.iter() {
            self.mark(format!("topics.{logical}"), *key);
            let name = self.physical_name(&rules::TOPIC, logical, *key, topic.name.as_ref());
            let emails = topic
                .emails
                .value
                .iter()
                .map(|email| email.value.text.clone())
                .collect();
            topics.insert(logical.to_owned(), super::model::Topic { name, emails });
        }
        topics
    }
}

/// Reads the words of one stage's tree.
pub(crate) fn words(node: &super::tree::Node) -> (Option<StackSource>, Vec<Fault>) {
    let mut decoder = Decoder::new();
    let source = <StackSource as super::grammar::Decode>::decode(node, &mut decoder);
    (source, decoder.faults)
}
