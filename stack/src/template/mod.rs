//! Templates: YAML text with places in, the validated [`model::Stack`] of one stage out, or all faults at once.
//!
//! ```text
//! text → tree (places, duplicates, limits) → stage laid over base → words of the language → resolved stack
//! ```
//!
//! Pure: the caller reads the file. Nothing here knows AWS beyond what its services allow in names and numbers.

mod embedded;
mod fault;
mod grammar;
mod language;
mod merge;
pub mod model;
pub mod names;
mod reference;
mod resolve;
mod schema;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sha2::{Digest, Sha256};

pub use embedded::{EMBEDDED, Embedded, embedded, embedded_names};
pub use fault::{Code, Color, Fault, Faults, Mark, Position, Severity, Span};
use grammar::{Decode, TextRule, did_you_mean, expand};
use language::{AppName, PERMANENT, StackSource, StageName};
use model::Stack;
pub use reference::reference;
use resolve::{NameOrigin, Resolver, Taken};
pub use schema::json_schema;
use tree::{Content, Entry, Key, Mapping, Node};

/// A template's text and what to call it in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the file as the operator knows it, or of the shipped template.
    pub name: String,
    /// What the file holds; UTF-8 is checked by [`load`].
    pub text: Vec<u8>,
}

impl Source {
    /// A source of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// What comes from outside the template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Region given by the operator or the profile. It counts before the template's own.
    pub region: Option<String>,
}

/// A template that was read without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The resolved stack of the stage.
    pub stack: Stack,
    /// What is allowed and probably not meant.
    pub warnings: Faults,
    /// Where the parts of the stack stand, by path: `functions.tasks`, `api.routes.GET /tasks`.
    pub places: BTreeMap<String, Span>,
    /// Folder of the handlers package as the template gives it; none = the shipped handlers.
    pub handlers: Option<String>,
    /// The stages of the template.
    pub stages: Vec<String>,
    /// SHA-256 of the text, hex.
    pub hash: String,
    source: String,
    text: String,
}

impl Loaded {
    /// A fault found later, at the place of a part of the stack: `function_binary_missing` and the like.
    #[must_use]
    pub fn fault_at(&self, path: &str, fault: Fault) -> Faults {
        let fault = match self.places.get(path) {
            Some(span) if fault.primary.is_none() => fault.at(*span),
            _ => fault,
        };
        Faults::new(self.source.clone(), self.text.clone(), vec![fault])
    }

    /// `file:line:col` of a part of the stack.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<String> {
        let Position { line, column } = Position::of(&self.text, self.places.get(path)?.start);
        Some(format!("{}:{line}:{column}", self.source))
    }
}

/// Reads a template for one stage.
///
/// Faults of the other stages are found too: a template is right for all its stages or for none.
///
/// # Errors
/// All faults of the template at once; of broken YAML the first.
pub fn load(source: &Source, stage: &str, options: &Options) -> Result<Loaded, Faults> {
    let text = text_of(source)?;
    let fail = |faults: Vec<Fault>| Faults::new(source.name.clone(), text, faults);
    let (root, faults) = tree::parse(text);
    let Some(root) = root else {
        let empty = Fault::error(Code::Empty, "the template is empty")
            .help("`taskctl init` writes one; the least is `app`, `region` and what it shall have");
        return Err(fail(if faults.is_empty() { vec![empty] } else { faults }));
    };
    let Some(mapping) = root.as_mapping() else {
        let fault = if root.is_null() {
            Fault::error(Code::Empty, "the template is empty")
        } else {
            Fault::error(
                Code::WrongType,
                format!("a template is a mapping, not {}", root.describe()),
            )
            .at(root.span)
        };
        return Err(fail(vec![fault.help("it begins with `app: name`")]));
    };
    let mut found = Found {
        faults,
        seen: BTreeSet::new(),
        given: BTreeMap::new(),
    };
    let stages = stages_of(mapping);
    if !stages.iter().any(|(name, _)| name == stage) {
        let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
        let fault = match StageName::check(stage, Span::default()) {
            Err(fault) => Fault { primary: None, ..fault },
            Ok(()) => Fault::error(Code::UnknownStage, format!("the template has no stage `{stage}`")),
        };
        let fault = fault.maybe_help(did_you_mean(stage, names.iter().copied()));
        found
            .faults
            .push(fault.help(format!("stages of the template: {}", names.join(", "))));
    }
    let base = expand(&with_app(&root, &mut found), &<StackSource as Decode>::shape());
    let stages = base.as_mapping().map_or(stages, stages_of);
    let mut asked = None;
    // The stage asked for comes first, so that a fault of several stages is told as its own.
    let (first, others): (Vec<_>, Vec<_>) = stages.iter().partition(|(name, _)| name == stage);
    for (name, patch) in first.into_iter().chain(others) {
        let resolved = resolve_stage(
            &base,
            name,
            patch.as_ref(),
            options.region.as_deref(),
            &mut found,
            (name != stage).then_some(name),
        );
        if name == stage {
            asked = resolved;
        }
    }
    let all = fail(found.faults);
    match asked {
        Some(Resolved {
            stack,
            places,
            handlers,
        }) if !all.has_errors() => Ok(Loaded {
            stack,
            warnings: all,
            places,
            handlers,
            stages: stages.into_iter().map(|(name, _)| name).collect(),
            hash: Sha256::digest(text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            source: source.name.clone(),
            text: text.to_owned(),
        }),
        _ => Err(all),
    }
}

/// The text of a source, without its byte order mark.
fn text_of(source: &Source) -> Result<&str, Faults> {
    let refuse = |fault: Fault| Faults::new(source.name.clone(), "", vec![fault]);
    if source.text.len() > tree::LARGEST_TEXT {
        let message = format!(
            "the template has {} bytes; the largest has {}",
            source.text.len(),
            tree::LARGEST_TEXT
        );
        return Err(refuse(
            Fault::error(Code::TooLarge, message).help("is this the right file? Templates have a few kilobytes"),
        ));
    }
    let text = std::str::from_utf8(&source.text).map_err(|error| {
        let message = format!("the template is not UTF-8 (byte {})", error.valid_up_to() + 1);
        refuse(Fault::error(Code::NotUtf8, message).help("save the file as UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The faults of all stages, each told once.
struct Found {
    faults: Vec<Fault>,
    seen: BTreeSet<(Severity, Option<Span>, Code, String)>,
    /// Physical names that the template gives, by kind and region, and the first stage that has each.
    given: BTreeMap<(&'static str, String, String), String>,
}

impl Found {
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

/// The stages of a template with what each sets differently. A template without `stages` has the stage dev.
fn stages_of(root: &Mapping) -> Vec<(String, Option<Rc<Node>>)> {
    let stages = root.get("stages").and_then(|entry| entry.value.as_mapping());
    match stages {
        Some(stages) => stages
            .entries
            .iter()
            .map(|entry| (entry.key.text.clone(), Some(Rc::clone(&entry.value))))
            .collect(),
        None => vec![("dev".to_owned(), None)],
    }
}

/// The base with an `app`, so that a template without one is still read to its end.
fn with_app(root: &Rc<Node>, found: &mut Found) -> Rc<Node> {
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
struct Resolved {
    stack: Stack,
    places: BTreeMap<String, Span>,
    handlers: Option<String>,
}

fn resolve_stage(
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
        handlers: source.handlers.as_ref().map(|path| path.value.text.clone()),
    })
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

#[cfg(test)]
mod tests;
