//! What a release was allowed: the grants of its functions' roles. The ledger remembers the statements; the release's label
//! on AWS has their hash, and it alone decides whether what the ledger says is believed. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::label::ReleaseLabel;
use crate::aws::policy_document::Document;

/// What the roles of a release's functions allow, by the function's logical name.
pub type Grants = BTreeMap<String, Document>;

/// Hex digits of a hash: 128 bits, so that nobody finds other grants with the same one.
const DIGITS: usize = 32;

/// Whether grants are those of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// They have the hash that stands in its label.
    Proven,
    /// They have another one.
    Differs,
    /// Its label has no hash: it was made before labels carried one.
    Unknown,
}

/// The hash that stands in labels. It is over what the documents say: order and repetition mean nothing.
pub fn hash(grants: &Grants) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"taskctl grants 1\n");
    for (function, document) in grants.iter().filter(|(_, document)| !document.is_empty()) {
        for text in [function.as_str(), &document.to_json()] {
            hasher.update(text.len().to_string());
            hasher.update(b":");
            hasher.update(text);
        }
    }
    let digest = hasher.finalize();
    digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether these are the grants that a release was made with.
pub fn prove(label: &ReleaseLabel, grants: &Grants) -> Proof {
    match &label.grants {
        None => Proof::Unknown,
        Some(known) if *known == hash(grants) => Proof::Proven,
        Some(_) => Proof::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::policy_document::Statement;

    fn grants(resource: &str) -> Grants {
        let statement = Statement::allow(&["s3:GetObject"], [resource.to_owned()]);
        BTreeMap::from([("users".to_owned(), Document::new([("A".to_owned(), statement)]))])
    }

    fn label(grants: Option<String>) -> ReleaseLabel {
        ReleaseLabel {
            number: 3,
            fingerprint: "0123456789abcdef".to_owned(),
            versions: BTreeMap::new(),
            commit: None,
            sites: BTreeMap::new(),
            format: 2,
            grants,
        }
    }

    #[test]
    fn only_what_a_release_was_made_with_is_proven() {
        let label = label(Some(hash(&grants("a"))));
        assert_eq!(prove(&label, &grants("a")), Proof::Proven);
        assert_eq!(prove(&label, &grants("*")), Proof::Differs);
        assert_eq!(prove(&label, &Grants::new()), Proof::Differs);
        let mut more = grants("a");
        more.insert("tasks".to_owned(), grants("b")["users"].clone());
        assert_eq!(prove(&label, &more), Proof::Differs);
    }

    #[test]
    fn a_label_without_a_hash_proves_nothing() {
        assert_eq!(prove(&label(None), &grants("a")), Proof::Unknown);
    }

    /// A hash that changes means that no label that stands can be believed any more.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(hash(&grants("a")), "");
    }

    #[test]
    fn what_says_the_same_has_the_same_hash() {
        let text = |text: &str| match Document::parse(text) {
            Ok(document) => hash(&BTreeMap::from([("users".to_owned(), document)])),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            text(r#"{"Statement":{"Sid":"A","Effect":"Allow","Action":["b:B","a:A"],"Resource":"x"}}"#),
            text(r#"{"Statement":[{"Sid":"A","Resource":["x","x"],"Action":["a:A","b:B"],"Effect":"Allow"}]}"#),
        );
    }
}
