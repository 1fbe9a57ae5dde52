//! Smithy RPC v2 CBOR, which current SDKs speak to CloudWatch, to and from JSON. Timestamps are numbers of seconds in
//! JSON and tagged in CBOR; members whose name ends in `Timestamp` or `Timestamps` are ones.

use minicbor::data::{IanaTag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is read.
const DEPTH: usize = 32;

/// A malformed body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CborError {
    #[error("the body is not CBOR: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    #[error("the body has a value that is not expected here")]
    Unexpected,
}

/// Reads a body; an empty one is an empty object.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    value(&mut Decoder::new(bytes), DEPTH)
}

fn value(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, CborError> {
    let depth = depth.checked_sub(1).ok_or(CborError::Unexpected)?;
    Ok(match decoder.datatype()? {
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            Value::Null
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Number(decoder.u64()?.into()),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Value::Number(decoder.i64()?.into()),
        Type::F16 => float(decoder.f16()?.into()),
        Type::F32 => float(decoder.f32()?.into()),
        Type::F64 => float(decoder.f64()?),
        Type::String | Type::StringIndef => {
            let mut text = String::new();
            for part in decoder.str_iter()? {
                text.push_str(part?);
            }
            Value::String(text)
        }
        Type::Array | Type::ArrayIndef => {
            let mut items = Vec::new();
            let mut left = decoder.array()?;
            while more(decoder, &mut left)? {
                items.push(value(decoder, depth)?);
            }
            Value::Array(items)
        }
        Type::Map | Type::MapIndef => {
            let mut members = Map::new();
            let mut left = decoder.map()?;
            while more(decoder, &mut left)? {
                let Value::String(name) = value(decoder, depth)? else {
                    return Err(CborError::Unexpected);
                };
                members.insert(name, value(decoder, depth)?);
            }
            Value::Object(members)
        }
        Type::Tag => {
            decoder.tag()?;
            value(decoder, depth)?
        }
        _ => return Err(CborError::Unexpected),
    })
}

/// Whether another element follows; takes the end mark of an indefinite one.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, CborError> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}

fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Writes a body.
pub(crate) fn encode(body: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing into memory cannot fail.
    let _ = put(&mut Encoder::new(&mut bytes), body, Meaning::Plain);
    bytes
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Plain,
    Timestamp,
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn put(encoder: &mut Encoder<&mut Vec<u8>>, body: &Value, meaning: Meaning) -> Written {
    match body {
        Value::Null => encoder.null().map(drop),
        Value::Bool(value) => encoder.bool(*value).map(drop),
        Value::Number(number) if meaning == Meaning::Timestamp => encoder
            .tag(IanaTag::Timestamp)?
            .f64(number.as_f64().unwrap_or_default())
            .map(drop),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => encoder.u64(value).map(drop),
            (None, Some(value)) => encoder.i64(value).map(drop),
            (None, None) => encoder.f64(number.as_f64().unwrap_or_default()).map(drop),
        },
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) if meaning == Meaning::Timestamp => encoder
                .tag(IanaTag::Timestamp)?
                .f64(time.as_millisecond() as f64 / 1000.0)
                .map(drop),
            _ => encoder.str(text).map(drop),
        },
        Value::Array(items) => {
            encoder.array(items.len().try_into().unwrap_or(u64::MAX))?;
            items.iter().try_for_each(|item| put(encoder, item, meaning))
        }
        Value::Object(members) => {
            let present = members.iter().filter(|(_, member)| !member.is_null());
            encoder.map(present.clone().count().try_into().unwrap_or(u64::MAX))?;
            for (name, member) in present {
                let timestamp = name.ends_with("Timestamp") || name.ends_with("Timestamps") || name == "LastModified";
                encoder.str(name)?;
                put(
                    encoder,
                    member,
                    if timestamp { Meaning::Timestamp } else { Meaning::Plain },
                )?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use serde_json::json;

    use super::*;

    #[test]
    fn both_ways() {
        let body = json!({
            "Text": "ä", "Number": 7, "Negative": -3, "Float": 0.5, "Yes": true, "List": [1, {"a": []}],
            "StateUpdatedTimestamp": 1.5, "Timestamps": [60, 120],
        });
        let mut expected = body.clone();
        expected["Timestamps"] = json!([60.0, 120.0]);
        assert_eq!(decode(&encode(&body)).unwrap(), expected);
    }

    #[test]
    fn indefinite_lengths() {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        encoder
            .begin_map()
            .unwrap()
            .str("a")
            .unwrap()
            .begin_array()
            .unwrap()
            .u8(1)
            .unwrap()
            .end()
            .unwrap()
            .end()
            .unwrap();
        assert_eq!(decode(&bytes).unwrap(), json!({"a": [1]}));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert_eq!(decode(b"").unwrap(), json!({}));
        assert!(decode(b"\xff\xff").is_err());
        assert!(decode(b"\xa1").is_err());
        assert!(decode(&[0x81; 1000]).is_err());
    }
}
