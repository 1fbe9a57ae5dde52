//! Paths into JSON: the singular queries of RFC 9535 – `$.items[0].taskId`, `$['odd name']` – which name one place.

use std::fmt;

use serde_json::Value;

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Name(String),
    /// An element of an array.
    Index(usize),
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a path: {why}; one looks like $.items[0].taskId")]
pub struct PathError {
    text: String,
    why: &'static str,
}

impl Path {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = |why| PathError {
            text: text.to_owned(),
            why,
        };
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| error("it does not begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(error("a name is missing"));
                }
                steps.push(Step::Name(after[..end].to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let (inside, after) = after.split_once(']').ok_or_else(|| error("a ] is missing"))?;
                let quoted = ['\'', '"']
                    .into_iter()
                    .find_map(|quote| inside.strip_prefix(quote)?.strip_suffix(quote));
                steps.push(match quoted {
                    Some(name) => Step::Name(name.to_owned()),
                    None => Step::Index(
                        inside
                            .parse()
                            .map_err(|_| error("there is no number between [ and ]"))?,
                    ),
                });
                rest = after;
            } else {
                return Err(error("a step begins with . or ["));
            }
        }
        Ok(Self { steps })
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The value there.
    pub fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(value, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                Step::Name(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => write!(f, ".{name}")?,
                Step::Name(name) => write!(f, "['{name}']")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_path_names_one_place() {
        let value = json!({"items": [{"taskId": "a"}, {"odd name": 1}]});
        let at = |path: &str| Path::parse(path).unwrap().of(&value).cloned();
        assert_eq!(at("$.items[0].taskId"), Some(json!("a")));
        assert_eq!(at("$.items[1]['odd name']"), Some(json!(1)));
        assert_eq!(at("$.items[2]"), None);
        assert_eq!(at("$"), Some(value.clone()));
        for wrong in ["", "items", "$.", "$[", "$[x]", "$x", "$..a"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(steps in prop::collection::vec(prop_oneof!["[a-z ]{1,6}".prop_map(Step::Name), (0usize..9).prop_map(Step::Index)], 0..6)) {
            let path = Path { steps };
            prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }
}
