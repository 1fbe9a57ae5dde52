//! JSON in which the first member of a name counts. Whoever controls a value that is put into a line unescaped can add members
//! behind it; serde's own maps would let those win.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a text.
pub fn read(text: &str) -> Option<Value> {
    serde_json::from_str::<First>(text).ok().map(|First(value)| value)
}

/// Reads the beginning of an object whose end cannot be read: API Gateway puts values into a line as clients sent them, and the
/// quotes of a user agent end its text early. Its last members are left out until the rest can be read.
pub fn read_beginning(text: &str) -> Option<Value> {
    let ends = text.rmatch_indices(",\"").map(|(end, _)| end);
    let mut objects = ends
        .take(MEMBERS)
        .filter_map(|end| read(&format!("{}}}", text.get(..end)?)));
    objects.next()
}

/// Most members that are left out.
const MEMBERS: usize = 64;

struct First(Value);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstVisitor).map(First)
    }
}

struct FirstVisitor;

impl<'de> Visitor<'de> for FirstVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(First(value)) = sequence.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, First(value))) = members.next_entry::<String, First>()? {
            object.entry(name).or_insert(value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_comes_before_a_value_that_breaks_a_line_is_read() {
        let line = |agent: &str| format!(r#"{{"status":"200","route":"GET /x","path":"/x","userAgent":"{agent}"}}"#);
        let whole = json!({"status": "200", "route": "GET /x", "path": "/x"});
        for agent in [
            r#"a "quoted" one"#,
            r"back\slash",
            "\"",
            "tab\there",
            r#"x","status":"500","y":"\"#,
        ] {
            assert_eq!(super::read(&line(agent)), None, "{agent}");
            let read = super::read_beginning(&line(agent)).unwrap_or_default();
            assert_eq!(read["status"], "200", "{agent}");
            assert!(
                whole
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(name, value)| read[name] == *value),
                "{read}"
            );
        }
        assert_eq!(super::read_beginning("not JSON, \"at\" all"), None);
    }

    #[test]
    fn the_first_member_of_a_name_counts() {
        let read = |text| read(text).unwrap_or_default();
        assert_eq!(
            read(r#"{"a":1,"b":{"c":[1.5,-2,null,true],"c":3},"a":"later"}"#),
            json!({"a": 1, "b": {"c": [1.5, -2, null, true]}})
        );
        assert_eq!(super::read(r#"{"a":1} {"a":2}"#), None);
    }
}
