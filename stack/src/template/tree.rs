//! YAML text as a tree in which every key and value knows its place. Aliases are followed, duplicate keys are faults,
//! and a text that grows out of bounds when its aliases are followed is refused. What the keys mean is not known here.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::rc::Rc;

use serde_yaml::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Tag};

use super::fault::{Code, Fault, Span};

/// Largest template, bytes. Real ones have a few kilobytes.
pub(crate) const LARGEST_TEXT: usize = 1_000_000;

/// Most values in a template with its aliases followed.
const MOST_VALUES: usize = 20_000;

/// Deepest nesting with aliases followed. The language itself needs about ten.
const DEEPEST: usize = 32;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    Mapping(Mapping),
}

/// A single value. Which type it has is decided by who reads it.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// How a scalar is written: a quoted `"5"` is text, a plain `5` can be a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
}

/// Keys and values in the order of the text, each key once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping {
    pub(crate) entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Rc<Node>,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// Plain text made by taskctl itself, standing for the place `span`.
    pub(crate) fn plain(text: impl Into<String>, span: Span) -> Self {
        Self {
            span,
            content: Content::Scalar(Scalar {
                text: text.into(),
                style: Style::Plain,
            }),
        }
    }

    /// Quoted text made by taskctl itself, standing for the place `span`.
    pub(crate) fn quoted(text: impl Into<String>, span: Span) -> Self {
        Self {
            span,
            content: Content::Scalar(Scalar {
                text: text.into(),
                style: Style::Quoted,
            }),
        }
    }

    /// A mapping made by taskctl itself, standing for the place `span`.
    pub(crate) fn mapping<K: Into<String>>(entries: impl IntoIterator<Item = (K, Node)>, span: Span) -> Self {
        let entries = entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: Key { text: key.into(), span },
                value: Rc::new(value),
            })
            .collect();
        Self {
            span,
            content: Content::Mapping(Mapping { entries }),
        }
    }

    /// `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(Scalar {
                text,
                style: Style::Plain,
            }) => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => false,
        }
    }

    /// The mapping that this value is.
    pub(crate) fn as_mapping(&self) -> Option<&Mapping> {
        match &self.content {
            Content::Mapping(mapping) => Some(mapping),
            Content::Scalar(_) | Content::Sequence(_) => None,
        }
    }

    /// What this value is, in words for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::Sequence(items) if items.is_empty() => "an empty list".to_owned(),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Scalar(_) if self.is_null() => "nothing".to_owned(),
            Content::Scalar(Scalar {
                text,
                style: Style::Quoted,
            }) => format!("the text \"{}\"", shorten(text)),
            Content::Scalar(Scalar {
                text,
                style: Style::Plain,
            }) => format!("`{}`", shorten(text)),
        }
    }
}

impl Mapping {
    /// The entry with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// A text short enough for a message, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    short
}

/// Reads a text. The faults come with the tree where the text can be read at all.
pub(crate) fn parse(text: &str) -> (Option<Rc<Node>>, Vec<Fault>) {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = DEEPEST * 2;
    options.flow_nesting_limit = DEEPEST * 2;
    options.emit_unresolved_aliases = true;
    let mut builder = Builder {
        text,
        faults: Vec::new(),
        anchors: HashMap::new(),
        open: Vec::new(),
        root: None,
        values: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                let span = span
                    .byte_range()
                    .map_or_else(Span::default, |range| Span::new(range.start, range.end));
                if let Err(fault) = builder.event(event, span) {
                    builder.faults.push(fault);
                    return (None, builder.faults);
                }
            }
            Err(error) => {
                let offset = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                builder.faults.push(match error.kind() {
                    ErrorKind::RecursionLimitExceeded => too_deep(Span::new(offset, offset)),
                    _ => syntax(text, offset, &error.info()),
                });
                return (None, builder.faults);
            }
        }
    }
    (builder.root, builder.faults)
}

/// A syntax fault in the words of someone who writes templates.
fn syntax(text: &str, offset: usize, info: &str) -> Fault {
    let line_start = text
        .get(..offset)
        .unwrap_or(text)
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line = text
        .get(line_start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let indentation = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indentation.find('\t') {
        let at = line_start + tab;
        return Fault::error(Code::Syntax, "a tab indents this line; YAML is indented with spaces")
            .at(Span::new(at, at + 1))
            .help("replace the tab by spaces, two for each level");
    }
    Fault::error(Code::Syntax, format!("this is not YAML: {info}")).at(Span::new(offset, offset))
}

/// A finished value and what it costs with its aliases followed.
#[derive(Debug, Clone)]
struct Built {
    node: Rc<Node>,
    values: usize,
    depth: usize,
}

/// A collection whose end has not been seen.
struct Open {
    span: Span,
    anchor: usize,
    items: Items,
    values: usize,
    depth: usize,
}

enum Items {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<Entry>,
        keys: HashMap<String, Span>,
        pending: Pending,
    },
}

/// What the next value of a mapping is.
enum Pending {
    /// A key.
    Key,
    /// The value of this key.
    Value(Key),
    /// The value of a key that is a fault.
    Skipped,
}

struct Builder<'a> {
    text: &'a str,
    faults: Vec<Fault>,
    anchors: HashMap<usize, Built>,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    values: usize,
}

impl Builder<'_> {
    /// Takes one event; an error ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let style = match (style, self.tag(tag.as_deref(), span)) {
                    (ScalarStyle::Plain, Style::Plain) => Style::Plain,
                    _ => Style::Quoted,
                };
                let scalar = Scalar {
                    text: value.into_owned(),
                    style,
                };
                self.finish(
                    Node {
                        span,
                        content: Content::Scalar(scalar),
                    },
                    anchor,
                    1,
                    1,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), span);
                self.begin(span, anchor, Items::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), span);
                self.begin(
                    span,
                    anchor,
                    Items::Mapping {
                        entries: Vec::new(),
                        keys: HashMap::new(),
                        pending: Pending::Key,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(built) => {
                    let values = built.values;
                    self.place(built, span, values)
                }
                None => Err(Fault::error(
                    Code::Cycle,
                    format!("the alias `{}` refers to a value that it is part of", self.at(span)),
                )
                .at(span)
                .help("write the value out, or move the anchor to a value that does not contain the alias")),
            },
            Event::UnresolvedAlias(name) => {
                self.faults.push(
                    Fault::error(
                        Code::UnknownReference,
                        format!("there is no anchor `&{name}` before this alias"),
                    )
                    .at(span)
                    .help("an anchor is set with `&name` before the value; a text that begins with `*` needs quotes"),
                );
                self.finish(Node::plain("", span), 0, 1, 1)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Fault::error(Code::Unsupported, "a second YAML document begins here")
                    .at(span)
                    .help("a template is one document: remove the `---`"))
            }
            _ => Ok(()),
        }
    }

    fn at(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// How a tag changes the reading: `!!str` makes text; others are not used in templates.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> Style {
        match tag {
            None => Style::Plain,
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Style::Quoted,
            Some(tag) if tag.is_yaml_core_schema() => Style::Plain,
            Some(tag) => {
                self.faults.push(
                    Fault::error(
                        Code::Unsupported,
                        format!("the tag `{}` has no meaning in a template", tag.original()),
                    )
                    .at(span)
                    .help("remove the tag; a text that begins with `!` needs quotes"),
                );
                Style::Plain
            }
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, items: Items) -> Result<(), Fault> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep(span));
        }
        self.open.push(Open {
            span,
            anchor,
            items,
            values: 1,
            depth: 1,
        });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let Open {
            span: start,
            anchor,
            items,
            values,
            depth,
        } = open;
        let content = match items {
            Items::Sequence(items) => Content::Sequence(items),
            Items::Mapping { entries, .. } => Content::Mapping(Mapping { entries }),
        };
        // A block collection ends where its last value ends, not where the next key begins.
        let end = match &content {
            Content::Sequence(items) => items.last().map(|item| item.span.end),
            Content::Mapping(mapping) => mapping.entries.last().map(|entry| entry.value.span.end),
            Content::Scalar(_) => None,
        };
        let end = if self.at(span).is_empty() {
            end.unwrap_or(span.end)
        } else {
            span.end
        };
        self.finish(
            Node {
                span: Span::new(start.start, end),
                content,
            },
            anchor,
            values,
            depth,
        )
    }

    fn finish(&mut self, node: Node, anchor: usize, values: usize, depth: usize) -> Result<(), Fault> {
        let built = Built {
            node: Rc::new(node),
            values,
            depth,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let span = built.node.span;
        self.place(built, span, 1)
    }

    /// Puts a value where it belongs: into the open collection, as a key, or as the root. `cost` is how many values
    /// it adds to the whole: all of them for an alias, itself for anything written out.
    fn place(&mut self, built: Built, span: Span, cost: usize) -> Result<(), Fault> {
        let Built { node, values, depth } = built;
        self.values = self.values.saturating_add(cost);
        if self.values > MOST_VALUES {
            return Err(Fault::error(
                Code::Expansion,
                format!("the template has more than {MOST_VALUES} values when its aliases are followed"),
            )
            .at(span)
            .help("templates have a few hundred values; write less with aliases of aliases"));
        }
        if depth + self.open.len() > DEEPEST {
            return Err(too_deep(span));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.values = open.values.saturating_add(values);
        open.depth = open.depth.max(depth + 1);
        match &mut open.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, keys, pending } => match std::mem::replace(pending, Pending::Key) {
                Pending::Key => *pending = pending_of(&node, span, &mut self.faults),
                Pending::Value(key) => match keys.entry(key.text.clone()) {
                    MapEntry::Vacant(vacant) => {
                        vacant.insert(key.span);
                        entries.push(Entry { key, value: node });
                    }
                    MapEntry::Occupied(first) => self.faults.push(
                        Fault::error(
                            Code::DuplicateKey,
                            format!("the key `{}` is here twice", shorten(&key.text)),
                        )
                        .labelled(key.span, "again")
                        .with(*first.get(), "first here")
                        .help("keep one of them"),
                    ),
                },
                Pending::Skipped => {}
            },
        }
        Ok(())
    }
}

/// What a key makes of the value behind it.
fn pending_of(node: &Node, span: Span, faults: &mut Vec<Fault>) -> Pending {
    match &node.content {
        Content::Scalar(scalar) if scalar.text == "<<" => {
            faults.push(
                Fault::error(Code::Unsupported, "merge keys are not used in templates")
                    .at(span)
                    .help("put what functions share under `defaults.function`, or alias the whole value"),
            );
            Pending::Skipped
        }
        Content::Scalar(scalar) => Pending::Value(Key {
            text: scalar.text.clone(),
            span,
        }),
        Content::Sequence(_) | Content::Mapping(_) => {
            faults.push(Fault::error(Code::Unsupported, "a key must be text, not a collection").at(span));
            Pending::Skipped
        }
    }
}

fn too_deep(span: Span) -> Fault {
    Fault::error(Code::Expansion, format!("nested more than {DEEPEST} levels deep"))
        .at(span)
        .help("templates need about ten levels")
}
