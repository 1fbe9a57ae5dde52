//! `{{name}}` in paths, headers, bodies and expectations. `{{uuid}}` is a new one each time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Known values by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// The name of a new UUID.
pub(crate) const UUID: &str = "uuid";

/// Names that a text uses.
pub(crate) fn used(text: &str) -> BTreeSet<&str> {
    pieces(text).filter_map(|piece| piece.1).collect()
}

/// Fills a text in; an error is the name that is not known.
pub(crate) fn fill(text: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    for (plain, name) in pieces(text) {
        filled.push_str(plain);
        match name {
            Some(UUID) => filled.push_str(&uuid::Uuid::new_v4().to_string()),
            Some(name) => filled.push_str(variables.get(name).ok_or_else(|| name.to_owned())?),
            None => {}
        }
    }
    Ok(filled)
}

/// Fills all texts of a value in.
pub(crate) fn fill_value(value: &Value, variables: &Variables) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text, variables)?),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill_value(item, variables))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill_value(value, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

/// Plain text and the name after it.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        let found = now.split_once("{{").and_then(|(plain, after)| {
            let (name, after) = after.split_once("}}")?;
            Some((plain, name.trim(), after))
        });
        match found {
            Some((plain, name, after)) => {
                rest = Some(after);
                Some((plain, Some(name)))
            }
            None => {
                rest = None;
                Some((now, None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let variables = Variables::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(fill("/x/{{a}}/{{ a }}", &variables), Ok("/x/1/1".to_owned()));
        assert_eq!(fill("{{b}}", &variables), Err("b".to_owned()));
        assert_eq!(fill("{{", &variables), Ok("{{".to_owned()));
        assert_ne!(fill("{{uuid}}", &variables), fill("{{uuid}}", &variables));
        assert_eq!(used("{{a}} {{b}}"), BTreeSet::from(["a", "b"]));
    }
}
