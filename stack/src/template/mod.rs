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
mod requires;
mod resolve;
mod schema;
mod stages;
mod tree;

use std::collections::BTreeMap;

use crate::digest::sha256;

pub use embedded::{EMBEDDED, Embedded, embedded, embedded_names};
pub use fault::{Code, Color, Fault, Faults, Flag, Mark, Position, Severity, Span};
use grammar::{Decode, did_you_mean, expand};
use language::StackSource;
use model::{Handlers, Stack};
pub use reference::reference;
pub(crate) use resolve::is_region;
pub use schema::json_schema;
use stages::{Found, Resolved, Stage, few_enough, resolve_stage, stages_of, warn_of_alike, with_app};

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
    /// Where the parts of the stack are written, by path: `functions.tasks`, `api.routes.GET /tasks`.
    pub places: BTreeMap<String, Span>,
    /// The Cargo project of the functions, as the template gives it.
    pub handlers: Handlers,
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
/// All faults of the template at once; of broken YAML the first; of a wrong stage or region that one alone.
pub fn load(source: &Source, stage: &str, options: &Options) -> Result<Loaded, Faults> {
    let text = text_of(source)?;
    let fail = |faults: Vec<Fault>| Faults::new(source.name.clone(), text, faults);
    let (root, faults) = tree::parse(text);
    let Some(root) = root else {
        let empty = Fault::error(Code::Empty, "the template is empty")
            .help("`taskctl init` writes one; it needs `app`, `region` and at least one resource");
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
    if let Some(fault) = requires::unmet(mapping, env!("CARGO_PKG_VERSION")) {
        return Err(fail(vec![fault]));
    }
    let mut found = Found::new(faults);
    let stages = stages_of(mapping);
    if let Some(fault) = wrong_flags(&stages, stage, options) {
        return Err(fail(vec![fault]));
    }
    let base = expand(&with_app(&root, &mut found), &<StackSource as Decode>::shape());
    let stages = few_enough(base.as_mapping().map_or(stages, stages_of), mapping, stage, &mut found);
    warn_of_alike(mapping, &stages, &mut found);
    let mut asked = None;
    // The stage asked for comes first, so that a fault of several stages is reported as its own.
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
    let all = fail(found.into_faults());
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
            hash: sha256(text),
            source: source.name.clone(),
            text: text.to_owned(),
        }),
        _ => Err(all),
    }
}

/// A stage that the template does not have, or a region that does not exist: asked for, so no fault of the template.
fn wrong_flags(stages: &[Stage], stage: &str, options: &Options) -> Option<Fault> {
    if let Some(fault) = options.region.as_deref().and_then(wrong_region) {
        return Some(fault);
    }
    if stages.iter().any(|(name, _)| name == stage) {
        return None;
    }
    let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!("--stage {}: the template has no such stage", tree::shorten(stage));
    let fault = Fault::error(Code::UnknownStage, message).of_flag(Flag::Stage);
    Some(
        fault
            .maybe_help(did_you_mean(stage, names.iter().copied()))
            .help(format!("stages of the template: {}", names.join(", "))),
    )
}

/// The fault of a `--region` that AWS does not have.
#[must_use]
pub fn wrong_region(region: &str) -> Option<Fault> {
    if is_region(region) {
        return None;
    }
    let message = format!("--region {}: AWS has no such region", tree::shorten(region));
    let fault = Fault::error(Code::BadValue, message).of_flag(Flag::Region);
    Some(resolve::region_help(region).into_iter().fold(fault, Fault::help))
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

#[cfg(test)]
mod tests;
