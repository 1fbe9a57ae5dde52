//! Single values of the language: text by a rule, numbers in a range, durations, words from a list.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;

use regex_lite::Regex;

use super::decode::{Decode, Decoder, did_you_mean};
use super::shape::Shape;
use crate::template::fault::{Code, Fault, Span};
use crate::template::tree::{self, Content, Node, Style};

/// Whether a text matches a pattern. Patterns are compiled once: the same few are used for every name.
pub(crate) fn matches(pattern: &'static str, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<&'static str, Option<Regex>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let regex = compiled.entry(pattern).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    })
}

/// A rule for text. The pattern drives the check and the JSON Schema alike.
pub(crate) trait TextRule {
    /// What it is, with its article: `an AWS region such as eu-central-1`.
    const WHAT: &'static str;
    /// Regular expression over the whole text.
    const PATTERN: Option<&'static str> = None;
    /// Longest, characters.
    const LONGEST: usize;
    /// What is allowed, in words.
    const ALLOWED: &'static str;
    /// The code of a fault.
    const CODE: Code = Code::BadValue;

    /// Checks a text.
    fn check(text: &str, span: Span) -> Result<(), Fault> {
        let length = text.chars().count();
        if length > Self::LONGEST {
            let code = if Self::CODE == Code::BadName {
                Code::NameTooLong
            } else {
                Self::CODE
            };
            return Err(Fault::error(
                code,
                format!(
                    "`{}` has {length} characters; {} has at most {}",
                    tree::shorten(text),
                    Self::WHAT,
                    Self::LONGEST
                ),
            )
            .at(span)
            .help(Self::ALLOWED));
        }
        let matches = Self::PATTERN.is_none_or(|pattern| matches(pattern, text));
        if matches {
            return Ok(());
        }
        Err(
            Fault::error(Self::CODE, format!("`{}` is not {}", tree::shorten(text), Self::WHAT))
                .at(span)
                .help(Self::ALLOWED),
        )
    }
}

/// A text as its rule wants it. One that breaks the rule is reported; reading continues with its beginning.
fn checked<R: TextRule>(text: &str, span: Span, decoder: &mut Decoder) -> String {
    match R::check(text, span) {
        Ok(()) => text.to_owned(),
        Err(mut fault) => {
            fault.message = format!("{}: {}", decoder.path(), fault.message);
            decoder.report(fault);
            tree::shorten(text)
        }
    }
}

/// Text that follows a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<R> {
    pub(crate) text: String,
    rule: PhantomData<R>,
}

impl<R: TextRule> Decode for Text<R> {
    fn shape() -> Shape {
        Shape::Text {
            what: R::WHAT,
            pattern: R::PATTERN,
            longest: R::LONGEST,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, R::WHAT)?;
        Some(Self {
            text: checked::<R>(&scalar.text, node.span, decoder),
            rule: PhantomData,
        })
    }
}

/// Text, a number or a boolean, taken as the text it is written as; for environments and tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyScalar<R> {
    pub(crate) text: String,
    rule: PhantomData<R>,
}

impl<R: TextRule> Decode for AnyScalar<R> {
    fn shape() -> Shape {
        Shape::AnyScalar {
            what: R::WHAT,
            longest: R::LONGEST,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, &format!("{} (`\"\"` for an empty text)", R::WHAT))?;
        Some(Self {
            text: checked::<R>(&scalar.text, node.span, decoder),
            rule: PhantomData,
        })
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer<const LEAST: i64, const MOST: i64>(pub(crate) i64);

impl<const LEAST: i64, const MOST: i64> Integer<LEAST, MOST> {
    /// The number, which its range keeps within `u32`.
    pub(crate) fn u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<const LEAST: i64, const MOST: i64> Decode for Integer<LEAST, MOST> {
    fn shape() -> Shape {
        Shape::Integer {
            least: LEAST,
            most: MOST,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let expected = format!("a whole number from {LEAST} to {MOST}");
        let scalar = decoder.scalar(node, &expected)?;
        let digits = scalar.text.strip_prefix('-').unwrap_or(&scalar.text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if scalar.style == Style::Quoted || !is_number {
            decoder.wrong_type(node, &expected);
            return None;
        }
        match scalar.text.parse::<i64>() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Some(Self(number)),
            _ => {
                let fault = Fault::error(
                    Code::OutOfRange,
                    format!("{} is {}", decoder.path(), tree::shorten(&scalar.text)),
                )
                .at(node.span)
                .help(format!("allowed: {LEAST} to {MOST}"));
                decoder.report(fault);
                None
            }
        }
    }
}

impl Decode for f64 {
    fn shape() -> Shape {
        Shape::Number
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, "a number")?;
        let number = scalar
            .text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && scalar.style == Style::Plain);
        if number.is_none() {
            decoder.wrong_type(node, "a number");
        }
        number
    }
}

impl Decode for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, "true or false")?;
        match (scalar.text.as_str(), scalar.style) {
            ("true", Style::Plain) => Some(true),
            ("false", Style::Plain) => Some(false),
            (word, _) => {
                let meant = match word.to_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" => Some("write `true`"),
                    "false" | "no" | "off" | "n" => Some("write `false`"),
                    _ => None,
                };
                let message = format!("{} must be true or false, not {}", decoder.path(), node.describe());
                decoder.report(
                    Fault::error(Code::WrongType, message)
                        .at(node.span)
                        .maybe_help(meant.map(str::to_owned)),
                );
                None
            }
        }
    }
}

/// What a bare number of a duration counts.
pub(crate) trait DurationUnit {
    /// Plural name.
    const NAME: &'static str;
    /// Seconds in one; durations are whole multiples of it.
    const SECONDS: u64;
}

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds;
impl DurationUnit for Seconds {
    const NAME: &'static str = "seconds";
    const SECONDS: u64 = 1;
}

/// Minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Minutes;
impl DurationUnit for Minutes {
    const NAME: &'static str = "minutes";
    const SECONDS: u64 = 60;
}

/// Days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days;
impl DurationUnit for Days {
    const NAME: &'static str = "days";
    const SECONDS: u64 = 86_400;
}

/// A duration from `LEAST` to `MOST` units: `30s`, `5m`, `1h`, `30d`, or a bare number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration<U, const LEAST: u64, const MOST: u64> {
    units: u32,
    unit: PhantomData<U>,
}

impl<U: DurationUnit, const LEAST: u64, const MOST: u64> Duration<U, LEAST, MOST> {
    /// How many units it has.
    pub(crate) fn units(self) -> u32 {
        self.units
    }
}

impl<U: DurationUnit, const LEAST: u64, const MOST: u64> Decode for Duration<U, LEAST, MOST> {
    fn shape() -> Shape {
        Shape::Duration {
            least: LEAST,
            most: MOST,
            unit: U::NAME,
        }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let expected = format!(
            "a duration such as `30s`, `5m`, `1h` or `30d` (a bare number counts {})",
            U::NAME
        );
        let scalar = decoder.scalar(node, &expected)?;
        let text = scalar.text.as_str();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let seconds = match &text[split..] {
            "" => Some(U::SECONDS),
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let (Ok(count), Some(seconds)) = (text[..split].parse::<u64>(), seconds) else {
            decoder.wrong_type(node, &expected);
            return None;
        };
        let total = count.saturating_mul(seconds);
        let units = total / U::SECONDS;
        if total % U::SECONDS != 0 || !(LEAST..=MOST).contains(&units) {
            let fault = Fault::error(Code::OutOfRange, format!("{} is {text}", decoder.path()))
                .at(node.span)
                .help(format!("allowed: {LEAST} to {MOST} whole {}", U::NAME));
            decoder.report(fault);
            return None;
        }
        u32::try_from(units).ok().map(|units| Self {
            units,
            unit: PhantomData,
        })
    }
}

/// A word from a list.
pub(crate) trait Variant: Copy + 'static {
    /// What the words are, with the article: `a CPU architecture`.
    const WHAT: &'static str;
    /// The words, what each means, and the value.
    const WORDS: &'static [(&'static str, &'static str, Self)];
}

/// One of the words of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OneOf<V>(pub(crate) V);

impl<V: Variant> Decode for OneOf<V> {
    fn shape() -> Shape {
        Shape::OneOf(V::WORDS.iter().map(|(word, doc, _)| (*word, *doc)).collect())
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let words = || V::WORDS.iter().map(|(word, _, _)| *word);
        let scalar = decoder.scalar(node, V::WHAT)?;
        if let Some((_, _, value)) = V::WORDS.iter().find(|(word, _, _)| *word == scalar.text) {
            return Some(Self(*value));
        }
        let fault = Fault::error(
            Code::BadValue,
            format!(
                "{}: `{}` is not {}",
                decoder.path(),
                tree::shorten(&scalar.text),
                V::WHAT
            ),
        )
        .at(node.span)
        .maybe_help(did_you_mean(&scalar.text, words()))
        .help(format!("allowed: {}", words().collect::<Vec<_>>().join(", ")));
        decoder.report(fault);
        None
    }
}

/// One value, or several in a list.
#[derive(Debug, Clone)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn shape() -> Shape {
        Shape::OneOrMore(Box::new(T::shape()))
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => {
                if items.is_empty() {
                    decoder.wrong_type(node, "one value or a list of them");
                }
                Vec::decode(node, decoder).map(Self)
            }
            Content::Scalar(_) | Content::Mapping(_) => T::decode(node, decoder).map(|value| Self(vec![value])),
        }
    }
}
