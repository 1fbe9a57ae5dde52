//! Short forms written out, so that a stage can be laid over them: `GET /tasks: tasks` becomes
//! `GET /tasks: {function: tasks}` before a stage adds a `throttle` to that route.

use std::rc::Rc;

use super::shape::{FieldShape, Shape};
use crate::template::tree::{Content, Entry, Mapping, Node};

/// The tree with every short form written out. What does not have the shape stays as it is.
pub(crate) fn expand(node: &Rc<Node>, shape: &Shape) -> Rc<Node> {
    match (shape, &node.content) {
        (Shape::Short { key, .. }, Content::Scalar(_)) if !node.is_null() => {
            Rc::new(Node::mapping([(*key, Node::clone(node))], node.span))
        }
        (Shape::Short { long: inner, .. }, _) => expand(node, inner),
        // `true` and `false` are the switch itself; any other scalar is a short form of its settings.
        (Shape::Switch(_), Content::Scalar(scalar)) if matches!(scalar.text.as_str(), "true" | "false") => {
            Rc::clone(node)
        }
        (Shape::Switch(inner), _) => expand(node, inner),
        (Shape::Record(record) | Shape::Patch { of: record, .. }, Content::Mapping(mapping)) => {
            let fields = (record.fields)();
            let shape_of = |key: &str| {
                fields
                    .iter()
                    .find(|field| field.key == key)
                    .map(|field: &FieldShape| &field.shape)
            };
            each(node, mapping, |entry| {
                shape_of(&entry.key.text).map(|shape| expand(&entry.value, shape))
            })
        }
        (Shape::Named { value, .. }, Content::Mapping(mapping)) => {
            each(node, mapping, |entry| Some(expand(&entry.value, value)))
        }
        _ => Rc::clone(node),
    }
}

fn each(node: &Node, mapping: &Mapping, change: impl Fn(&Entry) -> Option<Rc<Node>>) -> Rc<Node> {
    let entries = mapping
        .entries
        .iter()
        .map(|entry| Entry {
            key: entry.key.clone(),
            value: change(entry).unwrap_or_else(|| Rc::clone(&entry.value)),
        })
        .collect();
    Rc::new(Node {
        span: node.span,
        content: Content::Mapping(Mapping { entries }),
    })
}
