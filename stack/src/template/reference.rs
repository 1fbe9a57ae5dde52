//! The reference of the template language as a page of Markdown, made from the same description as the decoder.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::grammar::{Decode, Presence, RecordShape, Shape};
use super::language::StackSource;
use super::schema::one_line;

/// Every mapping of the language with its keys, as Markdown; `docs/template.md` holds it.
#[must_use]
pub fn reference() -> String {
    let mut page = Page::default();
    if let Shape::Record(root) = <StackSource as Decode>::shape() {
        page.meet(root);
    }
    let mut text = String::new();
    let mut next = 0;
    while let Some(record) = page.met.get(next).copied() {
        next += 1;
        page.describe(&mut text, &record);
    }
    text
}

/// The records met so far, in the order they are described.
#[derive(Default)]
struct Page {
    met: Vec<RecordShape>,
    titles: BTreeSet<&'static str>,
}

impl Page {
    fn meet(&mut self, record: RecordShape) {
        if self.titles.insert(record.title) {
            self.met.push(record);
        }
    }

    fn describe(&mut self, text: &mut String, record: &RecordShape) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n### {}\n\n{}\n\n", record.title, one_line(record.doc));
        text.push_str("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
        let mut words = String::new();
        for field in (record.fields)() {
            let default = match field.presence {
                Presence::Required => "required".to_owned(),
                Presence::Optional | Presence::Reserved => "–".to_owned(),
                Presence::Default(default) => format!("`{default}`"),
            };
            let value = self.value(&field.shape).replace('|', "\\|");
            let _ = writeln!(
                text,
                "| `{}` | {value} | {default} | {} |",
                field.key,
                one_line(field.doc)
            );
            if let Some(list) = choices(&field.shape) {
                let _ = writeln!(words, "- `{}`: {list}", field.key);
            }
        }
        if !words.is_empty() {
            let _ = write!(text, "\n{words}");
        }
    }

    /// A value's look in words.
    fn value(&mut self, shape: &Shape) -> String {
        match shape {
            Shape::Text { what, .. } | Shape::AnyScalar { what, .. } => (*what).to_owned(),
            Shape::Integer { least, most } => format!("{least} to {most}"),
            Shape::Number => "number".to_owned(),
            Shape::Boolean => "`true` or `false`".to_owned(),
            Shape::OneOf(_) => "one of the words below".to_owned(),
            Shape::Duration { least, most, unit } => format!("duration, {least} to {most} {unit}"),
            Shape::List(item) => format!("list: {}", self.value(item)),
            Shape::OneOrMore(item) => format!("{}, or a list", self.value(item)),
            Shape::Named { rule, value, .. } => format!("{rule} → {}", self.value(value)),
            Shape::Record(record) => self.link(record),
            Shape::Patch { of, .. } => format!("any keys of {}", self.link(of)),
            Shape::Switch(settings) => format!("`true`, `false` or {}", self.value(settings)),
            Shape::Short { key: _, short, long } => format!("{} or {}", self.value(short), self.value(long)),
            Shape::Reserved => "not yet".to_owned(),
        }
    }

    fn link(&mut self, record: &RecordShape) -> String {
        self.meet(*record);
        format!("[{}](#{})", record.title, record.title.replace(' ', "-"))
    }
}

/// The words that a value may be, with what each means.
fn choices(shape: &Shape) -> Option<String> {
    match shape {
        Shape::OneOf(words) => {
            let words: Vec<String> = words.iter().map(|(word, doc)| format!("`{word}` ({doc})")).collect();
            Some(words.join(", "))
        }
        Shape::List(inner) | Shape::OneOrMore(inner) | Shape::Switch(inner) => choices(inner),
        Shape::Short { short, .. } => choices(short),
        Shape::Text { .. }
        | Shape::AnyScalar { .. }
        | Shape::Integer { .. }
        | Shape::Number
        | Shape::Boolean
        | Shape::Duration { .. }
        | Shape::Named { .. }
        | Shape::Record(_)
        | Shape::Patch { .. }
        | Shape::Reserved => None,
    }
}
