//! What a value may look like, as data: read by the JSON Schema and by the reference page.

/// The look of a value.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Text by a rule.
    Text {
        /// What it is, e.g. `an AWS region`.
        what: &'static str,
        /// Regular expression over the whole text.
        pattern: Option<&'static str>,
        /// Longest, characters.
        longest: usize,
    },
    /// A whole number, both ends included.
    Integer { least: i64, most: i64 },
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Text, a number or a boolean, taken as text.
    AnyScalar { what: &'static str, longest: usize },
    /// One of these words.
    OneOf(Vec<(&'static str, &'static str)>),
    /// A duration in seconds; a bare number counts `unit`s.
    Duration { least: u64, most: u64, unit: &'static str },
    /// Values in order.
    List(Box<Shape>),
    /// One value, or several in a list.
    OneOrMore(Box<Shape>),
    /// Names that the author gives, with a value each.
    Named {
        rule: &'static str,
        pattern: Option<&'static str>,
        longest: usize,
        value: Box<Shape>,
    },
    /// Fixed keys.
    Record(RecordShape),
    /// `true`, `false`, or the settings.
    Switch(Box<Shape>),
    /// A scalar that stands for one key of the long form, or the long form.
    Short {
        key: &'static str,
        short: Box<Shape>,
        long: Box<Shape>,
    },
    /// Fixed keys, none of them required; `null` removes what the base has.
    Patch {
        of: RecordShape,
        without: &'static [&'static str],
    },
    /// Not yet part of the language.
    Reserved,
}

/// A mapping with fixed keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordShape {
    /// Its name in the schema and the reference, e.g. `function`.
    pub(crate) title: &'static str,
    /// What it is, from the doc comment.
    pub(crate) doc: &'static str,
    /// Its keys; a function, because a stage holds a patch of the stack that holds it.
    pub(crate) fields: fn() -> Vec<FieldShape>,
}

/// A key of a record.
#[derive(Debug, Clone)]
pub(crate) struct FieldShape {
    /// The key.
    pub(crate) key: &'static str,
    /// What it means, from the doc comment.
    pub(crate) doc: &'static str,
    /// What its value looks like.
    pub(crate) shape: Shape,
    /// Whether it has to be there.
    pub(crate) presence: Presence,
}

/// Whether a key has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has to.
    Required,
    /// It may be absent, which means something of its own.
    Optional,
    /// It may be absent and then has this value, written as YAML.
    Default(&'static str),
    /// It may not be there yet.
    Reserved,
}
