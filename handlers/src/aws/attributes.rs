//! Items between the ports and DynamoDB. Attributes of types that these functions do not use are left out on reading; writes name
//! attributes, so they do not lose them.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use crate::ports::{Attribute, Item};

/// To DynamoDB.
pub(super) fn value(attribute: &Attribute) -> AttributeValue {
    match attribute {
        Attribute::Text(text) => AttributeValue::S(text.clone()),
        Attribute::Number(number) => AttributeValue::N(number.to_string()),
        Attribute::Texts(texts) => AttributeValue::L(texts.iter().cloned().map(AttributeValue::S).collect()),
        Attribute::Set(members) => AttributeValue::Ss(members.iter().cloned().collect()),
    }
}

/// To DynamoDB.
pub(super) fn map(item: &Item) -> HashMap<String, AttributeValue> {
    item.0
        .iter()
        .map(|(name, attribute)| (name.clone(), value(attribute)))
        .collect()
}

/// From DynamoDB.
pub(super) fn item(map: HashMap<String, AttributeValue>) -> Item {
    Item(
        map.into_iter()
            .filter_map(|(name, value)| Some((name, attribute(value)?)))
            .collect(),
    )
}

fn attribute(value: AttributeValue) -> Option<Attribute> {
    match value {
        AttributeValue::S(text) => Some(Attribute::Text(text)),
        AttributeValue::N(number) => number.parse().ok().map(Attribute::Number),
        AttributeValue::L(values) => {
            let texts = values.into_iter().map(|value| match value {
                AttributeValue::S(text) => Some(text),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().map(Attribute::Texts)
        }
        AttributeValue::Ss(members) => Some(Attribute::Set(members.into_iter().collect::<BTreeSet<_>>())),
        _ => None,
    }
}
