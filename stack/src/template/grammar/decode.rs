//! The decoder: from the tree to the records of the language, with every fault collected on the way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;

use super::scalar::TextRule;
use super::shape::{Presence, Shape};
use crate::template::fault::{Code, Fault, Span};
use crate::template::tree::{self, Content, Key, Mapping, Node, Scalar, Style};

/// A value that can be read from the tree.
pub(crate) trait Decode: Sized {
    /// What it looks like.
    fn shape() -> Shape;

    /// Reads it. None when a fault has been reported.
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self>;
}

/// A value that a key of a record can have: required, optional or with a default.
pub(crate) trait Field: Sized {
    /// What it looks like.
    fn shape() -> Shape;

    /// Whether the key has to be there.
    fn presence(default: Option<&'static str>) -> Presence;

    /// Reads it, or takes its default. None when a fault has been reported.
    fn decode_field(
        mapping: &Mapping,
        key: &'static str,
        default: Option<&'static str>,
        owner: Span,
        decoder: &mut Decoder,
    ) -> Option<Self>;
}

/// Whether keys that a record needs have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completeness {
    Whole,
    Patch,
}

/// Faults after which unknown keys get no suggestions: who has that many has another problem, and each costs time.
const MOST_SUGGESTIONS: usize = 100;

/// Collects faults and knows where in the template the reader is.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) faults: Vec<Fault>,
    path: Vec<String>,
    completeness: Completeness,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            faults: Vec::new(),
            path: Vec::new(),
            completeness: Completeness::Whole,
        }
    }

    /// The dotted path of the value being read, `functions.tasks.memory`.
    pub(crate) fn path(&self) -> String {
        if self.path.is_empty() {
            "the template".to_owned()
        } else {
            format!("`{}`", self.path.join("."))
        }
    }

    /// Reports a fault.
    pub(crate) fn report(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reports that a value has the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        let fault = Fault::error(
            Code::WrongType,
            format!("{} must be {expected}, not {}", self.path(), node.describe()),
        );
        self.report(fault.at(node.span));
    }

    /// Reads below a key.
    pub(crate) fn below<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(tree::shorten(key));
        let value = read(self);
        self.path.pop();
        value
    }

    /// The mapping of a record with these keys; the keys that do not belong are reported.
    pub(crate) fn record<'n>(
        &mut self,
        node: &'n Node,
        title: &str,
        keys: &[(&'static str, Presence)],
    ) -> Option<Cow<'n, Mapping>> {
        let mapping = match &node.content {
            Content::Mapping(mapping) => Cow::Borrowed(mapping),
            Content::Scalar(_) if node.is_null() => Cow::Owned(Mapping::default()),
            Content::Scalar(_) | Content::Sequence(_) => {
                self.wrong_type(node, &format!("a mapping ({title})"));
                return None;
            }
        };
        let allowed = || {
            keys.iter()
                .filter(|(_, presence)| *presence != Presence::Reserved)
                .map(|(key, _)| *key)
        };
        for entry in &mapping.entries {
            let key = entry.key.text.as_str();
            if !keys.iter().any(|(known, _)| *known == key) {
                let at = if self.path.is_empty() {
                    String::new()
                } else {
                    format!(" in {}", self.path())
                };
                let fault = Fault::error(Code::UnknownKey, format!("unknown key `{}`{at}", tree::shorten(key)))
                    .at(entry.key.span)
                    .maybe_help(if self.faults.len() < MOST_SUGGESTIONS {
                        did_you_mean(key, allowed())
                    } else {
                        None
                    })
                    .help(format!(
                        "keys of `{title}`: {}",
                        allowed().collect::<Vec<_>>().join(", ")
                    ));
                self.report(fault);
            }
        }
        Some(mapping)
    }

    /// The plain text of a scalar, or a fault naming what was expected.
    pub(crate) fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n Scalar> {
        match &node.content {
            Content::Scalar(scalar) if !node.is_null() => Some(scalar),
            Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// Reads a patch: keys that a whole record needs may be absent.
    fn as_patch<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.completeness, Completeness::Patch);
        let value = read(self);
        self.completeness = before;
        value
    }
}

/// `did you mean …?`, when one of the words is close.
pub(crate) fn did_you_mean<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    if word.len() > 64 {
        return None;
    }
    let folded = word.to_lowercase().replace(['-', ' '], "_");
    words
        .into_iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&folded, &known.to_lowercase().replace('-', "_")),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 1.max(known.len().min(word.len()) / 3))
        .min()
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

/// A value that knows its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spanned<T> {
    pub(crate) span: Span,
    pub(crate) value: T,
}

impl<T: Decode> Decode for Spanned<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        T::decode(node, decoder).map(|value| Self { span: node.span, value })
    }
}

impl<T: Decode> Field for Spanned<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn presence(default: Option<&'static str>) -> Presence {
        default.map_or(Presence::Required, Presence::Default)
    }

    fn decode_field(
        mapping: &Mapping,
        key: &'static str,
        default: Option<&'static str>,
        owner: Span,
        decoder: &mut Decoder,
    ) -> Option<Self> {
        if let Some(entry) = mapping.get(key).filter(|entry| !entry.value.is_null()) {
            let value = decoder.below(key, |decoder| Self::decode(&entry.value, decoder));
            if value.is_some() || default.is_none() {
                return value;
            }
            // The fault is known; reading continues with the default, to find the other faults.
        }
        if let Some(default) = default {
            let node = match tree::parse(default).0 {
                Some(node) => Node {
                    span: owner,
                    content: node.content.clone(),
                },
                None => Node::plain("", owner),
            };
            return decoder.below(key, |decoder| Self::decode(&node, decoder));
        }
        if decoder.completeness == Completeness::Whole {
            let span = mapping.get(key).map_or(owner, |entry| entry.key.span);
            let path = decoder.path();
            let fault = match mapping.get(key) {
                Some(_) => Fault::error(Code::MissingKey, format!("`{key}` has no value in {path}")),
                None => Fault::error(Code::MissingKey, format!("{path} needs `{key}`")),
            };
            decoder.report(fault.at(span));
        }
        None
    }
}

impl<T: Decode> Field for Option<Spanned<T>> {
    fn shape() -> Shape {
        T::shape()
    }

    fn presence(_default: Option<&'static str>) -> Presence {
        Presence::Optional
    }

    fn decode_field(
        mapping: &Mapping,
        key: &'static str,
        _default: Option<&'static str>,
        _owner: Span,
        decoder: &mut Decoder,
    ) -> Option<Self> {
        match mapping.get(key).filter(|entry| !entry.value.is_null()) {
            Some(entry) => Some(decoder.below(key, |decoder| Spanned::decode(&entry.value, decoder))),
            None => Some(None),
        }
    }
}

/// A key that a later version will have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved;

impl Field for Reserved {
    fn shape() -> Shape {
        Shape::Reserved
    }

    fn presence(_default: Option<&'static str>) -> Presence {
        Presence::Reserved
    }

    fn decode_field(
        mapping: &Mapping,
        key: &'static str,
        _default: Option<&'static str>,
        _owner: Span,
        decoder: &mut Decoder,
    ) -> Option<Self> {
        let off = |node: &Node| match &node.content {
            Content::Scalar(Scalar {
                text,
                style: Style::Plain,
            }) => text == "false",
            Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => false,
        };
        if let Some(entry) = mapping
            .get(key)
            .filter(|entry| !entry.value.is_null() && !off(&entry.value))
        {
            let fault = Fault::error(Code::NotYet, format!("`{key}` is reserved and not yet built"))
                .at(entry.key.span)
                .help("remove it; this version of taskctl would otherwise deploy a stack without it");
            decoder.report(fault);
        }
        Some(Self)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Content::Sequence(items) = &node.content else {
            decoder.wrong_type(node, "a list");
            return None;
        };
        let items = items.iter().enumerate();
        Some(
            items
                .filter_map(|(index, item)| decoder.below(&index.to_string(), |decoder| T::decode(item, decoder)))
                .collect(),
        )
    }
}

/// A value by a name that the author gives, with the name's place.
#[derive(Debug, Clone)]
pub(crate) struct NamedValue<T> {
    pub(crate) key: Span,
    pub(crate) value: T,
}

/// Values by names that the author gives, in the order of the text.
#[derive(Debug, Clone)]
pub(crate) struct Named<K, T> {
    order: Vec<String>,
    values: BTreeMap<String, NamedValue<T>>,
    broken: BTreeSet<String>,
    rule: PhantomData<K>,
}

impl<K, T> Named<K, T> {
    /// Names and values in the order of the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &NamedValue<T>)> {
        self.order.iter().filter_map(|name| {
            self.values
                .get_key_value(name)
                .map(|(name, value)| (name.as_str(), value))
        })
    }

    /// The value by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&NamedValue<T>> {
        self.values.get(name)
    }

    /// The names that can be referred to, those of faulty values too.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().chain(&self.broken).map(String::as_str)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

impl<K: TextRule, T: Decode> Decode for Named<K, T> {
    fn shape() -> Shape {
        Shape::Named {
            rule: K::WHAT,
            pattern: K::PATTERN,
            longest: K::LONGEST,
            value: Box::new(T::shape()),
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Content::Mapping(mapping) = &node.content else {
            decoder.wrong_type(node, "a mapping of names");
            return None;
        };
        let mut named = Self {
            order: Vec::new(),
            values: BTreeMap::new(),
            broken: BTreeSet::new(),
            rule: PhantomData,
        };
        for entry in &mapping.entries {
            let Key { text: name, span: key } = &entry.key;
            if let Err(fault) = K::check(name, *key) {
                decoder.report(fault);
            }
            // A name without a value has all settings at their defaults.
            let value = if entry.value.is_null() && !scalar_only(&T::shape()) {
                Rc::new(Node {
                    span: *key,
                    content: Content::Mapping(Mapping::default()),
                })
            } else {
                Rc::clone(&entry.value)
            };
            match decoder.below(name, |decoder| T::decode(&value, decoder)) {
                Some(value) => {
                    named.order.push(name.clone());
                    named.values.insert(name.clone(), NamedValue { key: *key, value });
                }
                None => {
                    named.broken.insert(name.clone());
                }
            }
        }
        Some(named)
    }
}

/// `true` or `false`, or the settings of what is on.
#[derive(Debug, Clone)]
pub(crate) enum Switch<T> {
    Off,
    On(T),
}

impl<T: Decode> Decode for Switch<T> {
    fn shape() -> Shape {
        Shape::Switch(Box::new(T::shape()))
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.content {
            Content::Scalar(Scalar {
                text,
                style: Style::Plain,
            }) if text == "false" => Some(Self::Off),
            Content::Scalar(Scalar {
                text,
                style: Style::Plain,
            }) if text == "true" => {
                let defaults = Node {
                    span: node.span,
                    content: Content::Mapping(Mapping::default()),
                };
                T::decode(&defaults, decoder).map(Self::On)
            }
            Content::Scalar(_) if !takes_scalar(&T::shape()) => {
                decoder.wrong_type(node, "true, false, or a mapping of settings");
                None
            }
            Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => T::decode(node, decoder).map(Self::On),
        }
    }
}

/// Whether a value of this shape can be written as a scalar.
fn takes_scalar(shape: &Shape) -> bool {
    !matches!(
        shape,
        Shape::Record(_) | Shape::Named { .. } | Shape::List(_) | Shape::Patch { .. }
    )
}

/// Whether a value of this shape is always written as a scalar.
fn scalar_only(shape: &Shape) -> bool {
    match shape {
        Shape::Switch(settings) => scalar_only(settings),
        Shape::Short { long, .. } => scalar_only(long),
        other => takes_scalar(other),
    }
}

/// A record that can also be written as one scalar.
pub(crate) trait Shorthand: Decode {
    /// The key that the scalar stands for.
    const KEY: &'static str;

    /// What the scalar looks like.
    fn short() -> Shape;
}

/// A scalar for the most common setting, or the whole record.
#[derive(Debug, Clone)]
pub(crate) struct Short<T>(pub(crate) T);

impl<T: Shorthand> Decode for Short<T> {
    fn shape() -> Shape {
        Shape::Short {
            key: T::KEY,
            short: Box::new(T::short()),
            long: Box::new(T::shape()),
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.content {
            Content::Scalar(_) if !node.is_null() => {
                let long = Node::mapping([(T::KEY, node.clone())], node.span);
                T::decode(&long, decoder).map(Self)
            }
            Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => T::decode(node, decoder).map(Self),
        }
    }
}

/// Settings that are laid over a record elsewhere. Read only for its faults; what it says reaches the record through
/// the merged tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch<T>(PhantomData<T>);

impl<T: Decode> Decode for Patch<T> {
    fn shape() -> Shape {
        match T::shape() {
            Shape::Record(of) => Shape::Patch { of, without: &[] },
            other => other,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        decoder.as_patch(|decoder| T::decode(node, decoder));
        Some(Self(PhantomData))
    }
}
