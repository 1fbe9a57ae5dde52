//! Laying one tree over another: a stage over the base, a function over `defaults.function`. Mappings are merged key by
//! key, everything else is replaced, `null` removes. Places stay those of the text that a value came from.

use std::rc::Rc;

use super::tree::{Content, Entry, Key, Mapping, Node};

/// `over` laid over `base`. A `null` that removes nothing is reported to `idle`, with the keys beside it.
pub(crate) fn merge(base: &Rc<Node>, over: &Rc<Node>, idle: &mut dyn FnMut(&Key, &Mapping)) -> Rc<Node> {
    let (Content::Mapping(below), Content::Mapping(above)) = (&base.content, &over.content) else {
        return Rc::clone(over);
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(below.entries.len() + above.entries.len());
    for entry in &below.entries {
        match above.get(&entry.key.text) {
            None => entries.push(entry.clone()),
            Some(change) if change.value.is_null() => {}
            Some(change) => {
                entries.push(Entry {
                    key: entry.key.clone(),
                    value: merge(&entry.value, &change.value, idle),
                });
            }
        }
    }
    for entry in above
        .entries
        .iter()
        .filter(|entry| below.get(&entry.key.text).is_none())
    {
        if entry.value.is_null() {
            idle(&entry.key, below);
        } else {
            entries.push(entry.clone());
        }
    }
    Rc::new(Node {
        span: over.span,
        content: Content::Mapping(Mapping { entries }),
    })
}

/// A mapping with one key's value changed, or without it.
pub(crate) fn with(node: &Rc<Node>, key: &str, change: impl FnOnce(&Entry) -> Option<Rc<Node>>) -> Rc<Node> {
    let Some(mapping) = node.as_mapping() else {
        return Rc::clone(node);
    };
    let mut change = Some(change);
    let mut entries = Vec::with_capacity(mapping.entries.len());
    for entry in &mapping.entries {
        match change.take_if(|_| entry.key.text == key) {
            Some(change) => entries.extend(change(entry).map(|value| Entry {
                key: entry.key.clone(),
                value,
            })),
            None => entries.push(entry.clone()),
        }
    }
    Rc::new(Node {
        span: node.span,
        content: Content::Mapping(Mapping { entries }),
    })
}
