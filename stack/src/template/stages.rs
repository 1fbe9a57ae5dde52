//! The stages of a template: each laid over the base and over the defaults, then read and resolved on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::fault::{Code, Fault, Severity, Span};
use super::grammar::{TextRule, did_you_mean};
use super::language::{AppName, HandlersSource, PERMANENT};
use super::merge;
use super::model::{Handlers, Stack};
use super::resolve::{self, NameOrigin, Resolver, Taken};
use super::tree::{self, Content, Entry, Key, Mapping, Node};

/// Stages of a template. Each is resolved whenever one is read.
const MOST_STAGES: usize = 20;

/// The faults of all stages, each reported once.
pub(super) struct Found {
    faults: Vec<Fault>,
    seen: BTreeSet<(Severity, Option<Span>, Code, String)>,
    /// Physical names that the template gives, by kind and region, and the first stage that has each.
    given: BTreeMap<(&'static str, String, String), String>,
}

impl Found {
    /// With the faults of the text itself.
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self {
            faults,
            seen: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }

    /// A fault of no stage in particular.
    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// All of them.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Stages whose resources have the same given names collide unless each has an account of its own.
    fn share_no_names(&mut self, stage: &str, region: &str, taken: BTreeMap<(&'static str, String), Taken>) {
        for ((what, name), taken) in taken {
            if taken.origin == NameOrigin::Derived {
                continue;
            }
            let first = self
                .given
                .entry((what, region.to_owned(), name.clone()))
                .or_insert_with(|| stage.to_owned())
                .clone();
            if first != stage {
                let message = format!("the stages `{first}` and `{stage}` would share {what} named `{name}`");
                let fault = Fault::warning(Code::Collision, message).at(taken.span);
                self.add(
                    vec![fault.help("put `${stage}` into the name, unless each stage has an account of its own")],
                    None,
                );
            }
        }
    }

    fn add(&mut self, faults: Vec<Fault>, other_stage: Option<&str>) {
        for mut fault in faults {
            let span = fault.primary.as_ref().map(|mark| mark.span);
            let key = (fault.severity, span, fault.code, fault.message.clone());
            if !self.seen.insert(key) {
                continue;
            }
            if let Some(stage) = other_stage {
                fault.message = format!("{} (stage `{stage}`)", fault.message);
            }
            self.faults.push(fault);
        }
    }
}

/// A stage's name and what it sets differently.
pub(super) type Stage = (String, Option<Rc<Node>>);

/// The stages of a template with what each sets differently. A template without `stages` has the stage dev.
pub(super) fn stages_of(root: &Mapping) -> Vec<Stage> {
    let stages = root.get("stages").and_then(|entry| entry.value.as_mapping());
    match stages {
        Some(stages) if !stages.entries.is_empty() => stages
            .entries
            .iter()
            .map(|entry| (entry.key.text.clone(), Some(Rc::clone(&entry.value))))
            .collect(),
        Some(_) | None => vec![("dev".to_owned(), None)],
    }
}

/// Warns of stages whose names begin alike: what is called `{app}-prod-eu-…` may be a thing of stage `prod-eu` or one of stage
/// `prod` called `eu-…`. Not a fault: names are identity, and deployed stages cannot be renamed.
pub(super) fn warn_of_alike(root: &Mapping, stages: &[Stage], found: &mut Found) {
    let Some(mapping) = root.get("stages").and_then(|entry| entry.value.as_mapping()) else {
        return;
    };
    for entry in &mapping.entries {
        let name = &entry.key.text;
        let shorter = stages.iter().map(|(stage, _)| stage);
        let shorter = shorter.filter(|stage| {
            name.strip_prefix(stage.as_str())
                .is_some_and(|rest| rest.starts_with('-'))
        });
        for stage in shorter {
            let message = format!("names of stage `{name}` begin like those of stage `{stage}`");
            let help = format!(
                "policies exported for `{stage}` tell the two apart by their tags; for a stage that is not deployed yet, prefer \
                 a name such as `{}`",
                name.replace('-', "")
            );
            found.push(Fault::warning(Code::Suspicious, message).at(entry.key.span).help(help));
        }
    }
}

/// The stages if they are not too many, else the one asked for.
pub(super) fn few_enough(mut stages: Vec<Stage>, root: &Mapping, asked: &str, found: &mut Found) -> Vec<Stage> {
    if stages.len() > MOST_STAGES {
        let fault = Fault::error(Code::TooMany, format!("the template has {} stages", stages.len()));
        let span = root.get("stages").map_or_else(Span::default, |entry| entry.key.span);
        found.push(
            fault
                .at(span)
                .help(format!("at most {MOST_STAGES}; all are read and checked together")),
        );
        stages.retain(|(name, _)| name == asked);
    }
    stages
}

/// The base with an `app`, so that a template without one is still read to its end.
pub(super) fn with_app(root: &Rc<Node>, found: &mut Found) -> Rc<Node> {
    let Some(mapping) = root.as_mapping() else {
        return Rc::clone(root);
    };
    if mapping.get("app").is_some_and(|entry| !entry.value.is_null()) {
        return Rc::clone(root);
    }
    let start = Span::new(root.span.start, root.span.start);
    let fault = Fault::error(Code::MissingKey, "the template needs `app`, the application's name").at(start);
    found.add(vec![fault.help(AppName::ALLOWED)], None);
    let mut entries: Vec<Entry> = mapping
        .entries
        .iter()
        .filter(|entry| entry.key.text != "app")
        .cloned()
        .collect();
    entries.push(Entry {
        key: Key {
            text: "app".to_owned(),
            span: start,
        },
        value: Rc::new(Node::plain("app", start)),
    });
    Rc::new(Node {
        span: root.span,
        content: Content::Mapping(Mapping { entries }),
    })
}

/// What one stage comes to.
pub(super) struct Resolved {
    pub(super) stack: Stack,
    pub(super) places: BTreeMap<String, Span>,
    pub(super) handlers: Handlers,
}

pub(super) fn resolve_stage(
    base: &Rc<Node>,
    stage: &str,
    patch: Option<&Rc<Node>>,
    region: Option<&str>,
    found: &mut Found,
    other_stage: Option<&str>,
) -> Option<Resolved> {
    let mut merged = Rc::clone(base);
    if let Some(changes) = patch.and_then(|patch| patch.as_mapping()) {
        let permanent = |entry: &&Entry| PERMANENT.contains(&entry.key.text.as_str());
        for entry in changes.entries.iter().filter(permanent) {
            let fault =
                Fault::error(Code::Permanent, format!("a stage cannot change `{}`", entry.key.text)).at(entry.key.span);
            found.add(
                vec![fault.help("it is the same for all stages; another application is another template")],
                None,
            );
        }
        let entries = changes
            .entries
            .iter()
            .filter(|entry| !permanent(entry))
            .cloned()
            .collect();
        let span = patch.map_or(base.span, |patch| patch.span);
        let patch = Rc::new(Node {
            span,
            content: Content::Mapping(Mapping { entries }),
        });
        let mut idle = Vec::new();
        let laid = merge::merge(base, &patch, &mut |key, beside| {
            let known = beside.entries.iter().map(|entry| entry.key.text.as_str());
            idle.push(
                Fault::error(
                    Code::UnknownReference,
                    format!("`{}: null` removes what is not there", tree::shorten(&key.text)),
                )
                .at(key.span)
                .maybe_help(did_you_mean(&key.text, known))
                .help("in a stage `null` removes what the base has; write `{}` to add something with its defaults"),
            );
        });
        found.add(idle, None);
        merged = Rc::new(Node {
            span: base.span,
            content: laid.content.clone(),
        });
    }
    // Given for the stage asked for; the other stages have it where the template has none.
    let region = region.filter(|_| other_stage.is_none() || below(&merged, "region").is_none());
    let merged = with_defaults(&merged);
    let text = |key: &str| match &below(&merged, key)?.content {
        Content::Scalar(scalar) => Some(scalar.text.clone()),
        Content::Sequence(_) | Content::Mapping(_) => None,
    };
    let (app, region_text) = (
        text("app").unwrap_or_default(),
        region.map(str::to_owned).or(text("region")).unwrap_or_default(),
    );
    let merged = resolve::with_generated_alarms(&merged, &app, stage, &region_text);
    let (source, faults) = resolve::words(&merged);
    found.add(faults, other_stage);
    let source = source?;
    let mut resolver = Resolver::new(&source, stage, region);
    let stack = resolver.stack();
    let (places, taken) = (resolver.places, resolver.taken);
    found.add(resolver.faults, other_stage);
    found.share_no_names(stage, &stack.region, taken);
    Some(Resolved {
        stack,
        places,
        handlers: handlers(&source.handlers.value.0),
    })
}

fn handlers(source: &HandlersSource) -> Handlers {
    Handlers {
        path: source.path.as_ref().map(|path| path.value.text.clone()),
        profile: source.profile.value.text.clone(),
        features: source.features.value.iter().map(|one| one.value.text.clone()).collect(),
        arguments: source.args.value.iter().map(|one| one.value.text.clone()).collect(),
    }
}

/// Each table, bucket and function laid over its defaults.
fn with_defaults(root: &Rc<Node>) -> Rc<Node> {
    let mut laid = Rc::clone(root);
    for (section, kind) in [("tables", "table"), ("buckets", "bucket"), ("functions", "function")] {
        let defaults = below(root, "defaults").and_then(|defaults| below(&defaults, kind));
        if let Some(defaults) = defaults.filter(|defaults| defaults.as_mapping().is_some()) {
            laid = merge::with(&laid, section, |entry| Some(over_defaults(&entry.value, &defaults)));
        }
    }
    laid
}

fn over_defaults(section: &Rc<Node>, defaults: &Rc<Node>) -> Rc<Node> {
    let Some(mapping) = section.as_mapping() else {
        return Rc::clone(section);
    };
    let lay = |entry: &Entry| {
        let value = if entry.value.is_null() {
            Rc::new(Node {
                span: entry.key.span,
                content: defaults.content.clone(),
            })
        } else {
            merge::merge(defaults, &entry.value, &mut |_, _| {})
        };
        Entry {
            key: entry.key.clone(),
            value,
        }
    };
    let entries = mapping.entries.iter().map(lay).collect();
    Rc::new(Node {
        span: section.span,
        content: Content::Mapping(Mapping { entries }),
    })
}

/// The value of a key, unless it is `null`.
fn below(node: &Rc<Node>, key: &str) -> Option<Rc<Node>> {
    let entry = node.as_mapping()?.get(key)?;
    Some(Rc::clone(&entry.value)).filter(|value| !value.is_null())
}
