//! Tags of a resource, and how one set becomes another.

use std::collections::BTreeMap;

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// Tags without those that AWS sets itself.
pub fn managed(mut tags: Tags) -> Tags {
    tags.retain(|key, _| !key.starts_with("aws:"));
    tags
}

/// What turns the tags that a resource has into those that it should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Tags to set: new ones, and those with another value.
    pub set: Tags,
    /// Keys of tags to remove.
    pub remove: Vec<String>,
}

/// Compares tags.
pub fn diff(observed: &Tags, desired: &Tags) -> Difference {
    let is_new = |(key, value): &(&String, &String)| observed.get(*key) != Some(value);
    let set = desired.iter().filter(is_new);
    let remove = observed.keys().filter(|key| !desired.contains_key(*key));
    Difference {
        set: set.map(|(key, value)| (key.clone(), value.clone())).collect(),
        remove: remove.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_set_and_removed() {
        let tags = |text: &str| -> Tags {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let difference = diff(&tags("a=1 b=2 c=3"), &tags("b=2 c=4 d=5"));
        assert_eq!(difference.set, tags("c=4 d=5"));
        assert_eq!(difference.remove, ["a"]);
        assert_eq!(diff(&tags("a=1"), &tags("a=1")), Difference::default());
    }
}
