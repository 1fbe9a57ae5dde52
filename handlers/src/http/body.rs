//! A request body, field by field: each taken once by name in either spelling, what is left over refused.

use serde_json::Value;

use super::{Failure, Members, Request};

/// A field of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// Not in the body.
    Absent,
    /// `null`: clears on update.
    Null,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// The value, where absent and `null` are the same, as on create.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// The value, where `null` is not allowed.
    pub fn not_null(self, name: &str) -> Result<Option<T>, Failure> {
        match self {
            Self::Absent => Ok(None),
            Self::Null => Err(Failure::field(name, "must not be null")),
            Self::Value(value) => Ok(Some(value)),
        }
    }

    /// The value, which must be there.
    pub fn required(self, name: &str) -> Result<T, Failure> {
        match self {
            Self::Absent | Self::Null => Err(Failure::field(name, "is required")),
            Self::Value(value) => Ok(value),
        }
    }

    /// Applies it to a field that may be empty: `null` empties it.
    pub fn change(&self, field: &mut Option<T>)
    where
        T: Clone,
    {
        match self {
            Self::Absent => {}
            Self::Null => *field = None,
            Self::Value(value) => *field = Some(value.clone()),
        }
    }

    /// Applies it to a field with a default, which `null` stands for.
    pub fn set(&self, field: &mut T)
    where
        T: Clone + Default,
    {
        match self {
            Self::Absent => {}
            Self::Null => *field = T::default(),
            Self::Value(value) => field.clone_from(value),
        }
    }

    /// Another value in its place.
    pub fn try_map<U>(self, map: impl FnOnce(T) -> Result<U, Failure>) -> Result<Given<U>, Failure> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(map(value)?),
        })
    }
}

/// The fields of a body that have not been taken yet.
#[derive(Debug)]
pub struct Fields {
    members: Vec<(String, Value)>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Reads the body as a JSON object.
    pub fn read(request: &Request) -> Result<Self, Failure> {
        Self::parse(request.json_body()?)
    }

    /// Reads bytes as a JSON object. Nesting beyond serde_json's 128 levels is a 400 like any other fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let members: Members = serde_json::from_slice(bytes).map_err(|error| {
            let text = super::failure::shortened(&error.to_string());
            Failure::Validation(format!("the body is not a valid JSON object: {text}"))
        })?;
        Ok(Self {
            members: members.0,
            known: Vec::new(),
        })
    }

    /// Takes a field by its camelCase name or the PascalCase spelling of it.
    fn take(&mut self, name: &'static str) -> Result<Given<Value>, Failure> {
        self.known.push(name);
        let matches = |given: &str| {
            given.len() == name.len()
                && given.get(1..) == name.get(1..)
                && given
                    .get(..1)
                    .is_some_and(|first| first.eq_ignore_ascii_case(&name[..1]))
        };
        let Some(at) = self.members.iter().position(|(given, _)| matches(given)) else {
            return Ok(Given::Absent);
        };
        let (_, value) = self.members.swap_remove(at);
        if self.members.iter().any(|(given, _)| matches(given)) {
            return Err(Failure::field(name, "is given in two spellings"));
        }
        Ok(if value.is_null() {
            Given::Null
        } else {
            Given::Value(value)
        })
    }

    /// Takes a text field.
    pub fn text(&mut self, name: &'static str) -> Result<Given<String>, Failure> {
        self.take(name)?.try_map(|value| text(name, value))
    }

    /// Takes a field that holds a list of texts.
    pub fn texts(&mut self, name: &'static str) -> Result<Given<Vec<String>>, Failure> {
        self.take(name)?.try_map(|value| match value {
            Value::Array(values) => values.into_iter().map(|value| text(name, value)).collect(),
            _ => Err(Failure::field(name, "must be a list of strings")),
        })
    }

    /// Takes a whole number.
    pub fn number(&mut self, name: &'static str) -> Result<Given<i64>, Failure> {
        self.take(name)?.try_map(|value| match value.as_i64() {
            Some(number) => Ok(number),
            None => Err(Failure::field(name, "must be a whole number")),
        })
    }

    /// Takes the record's id, which an update may contain when it equals the path's.
    pub fn same_id(&mut self, name: &'static str, id: &str) -> Result<(), Failure> {
        match self.text(name)? {
            Given::Absent => Ok(()),
            Given::Value(given) if given == id => Ok(()),
            Given::Null | Given::Value(_) => Err(Failure::field(name, "cannot be changed")),
        }
    }

    /// 400 when an unknown field is left.
    pub fn finish(self) -> Result<(), Failure> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) => Err(Failure::field(
                name,
                format_args!("is not a known field; known are {}", self.known.join(", ")),
            )),
        }
    }
}

fn text(name: &str, value: Value) -> Result<String, Failure> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Failure::field(name, "must not contain NUL")),
        Value::String(text) => Ok(text),
        _ => Err(Failure::field(name, "must be a string")),
    }
}

/// Checks a length in characters.
pub(crate) fn check_length(name: &str, text: &str, shortest: usize, longest: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if (shortest..=longest).contains(&length) {
        return Ok(());
    }
    Err(Failure::field(
        name,
        format_args!("must have {shortest} to {longest} characters, not {length}"),
    ))
}
