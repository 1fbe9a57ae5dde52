//! What a release was allowed: the grants of its functions' roles. The ledger remembers the statements; the release's label
//! on AWS has their hash, and it alone decides whether what the ledger says is believed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::label::ReleaseLabel;
use crate::aws::policy::document::{Document, Statement};
use crate::digest::hex;

/// What the roles of a release's functions allow, by the function's logical name.
pub type Grants = BTreeMap<String, Document>;

/// Hex digits of a hash: 128 bits, so that no other grants with the same one can be found.
const DIGITS: usize = 32;

/// Whether grants are those of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// They have the hash that is in its label.
    Proven,
    /// They have another one.
    Differs,
    /// Its label has no hash: it was made before labels carried one.
    Unknown,
}

/// The hash that labels have. It is over what the documents say: order and repetition mean nothing.
pub fn hash(grants: &Grants) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"taskctl grants 1\n");
    for (function, document) in grants.iter().filter(|(_, document)| !document.is_empty()) {
        let document = serde_json::to_string(document).unwrap_or_default();
        for text in [function, &document] {
            hasher.update(text.len().to_string());
            hasher.update(b":");
            hasher.update(text);
        }
    }
    let mut digits = hex(hasher.finalize());
    digits.truncate(DIGITS);
    digits
}

/// Whether these are the grants that a release was made with.
pub fn prove(label: &ReleaseLabel, grants: &Grants) -> Proof {
    match &label.grants {
        None => Proof::Unknown,
        Some(known) if *known == hash(grants) => Proof::Proven,
        Some(_) => Proof::Differs,
    }
}

/// Whether what a record says of a release is believed where nothing is given by it: the release stands, and its label does not
/// say otherwise.
pub fn is_believed(labels: &BTreeMap<u64, ReleaseLabel>, release: u64, grants: &Grants) -> bool {
    let label = labels.get(&release);
    label.is_some_and(|label| prove(label, grants) != Proof::Differs)
}

/// Everything that releases were recorded to need of a function's role.
pub fn recorded(known: &[BTreeMap<String, Document>], function: &str) -> Document {
    let grants = known.iter().filter_map(|grants| grants.get(function));
    grants.fold(Document::default(), |all, grants| all.with(grants))
}

/// What a role allows now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InPlace {
    /// The role's name.
    pub role: String,
    /// Its own policy.
    pub own: Document,
    /// What its policies keep for the release and later ones.
    pub former: Document,
}

/// What a rollback gives back to the roles before live moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restoration {
    /// The release that needs it.
    pub release: u64,
    /// By the function's logical name.
    pub roles: BTreeMap<String, Restored>,
    /// The ledger has no record of the release: what it was allowed beyond what is in place stays away.
    pub is_unknown: bool,
}

/// What one role gets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The role's name.
    pub role: String,
    /// Statements that it does not have now.
    pub lacking: Document,
    /// Everything that the release needs beyond the role's own policy.
    pub needed: Document,
}

/// Why grants are not given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the record has other grants than the release; else nothing proves them.
    pub differs: bool,
    /// What the record has beyond what is in place, a line for each statement.
    pub beyond: Vec<String>,
}

/// What the roles get back for a release. Only grants that its label proves are given; a release whose functions have what
/// they need already needs no proof.
pub fn restoration(
    label: &ReleaseLabel,
    record: Option<&Grants>,
    in_place: &BTreeMap<String, InPlace>,
) -> Result<Restoration, Refusal> {
    let nothing = Restoration {
        release: label.number,
        ..Restoration::default()
    };
    let own: Grants = in_place
        .iter()
        .map(|(name, one)| (name.clone(), one.own.clone()))
        .collect();
    if prove(label, &own) == Proof::Proven {
        return Ok(nothing);
    }
    let Some(record) = record else {
        return Ok(Restoration {
            is_unknown: true,
            ..nothing
        });
    };
    let roles: BTreeMap<String, Restored> = in_place
        .iter()
        .filter_map(|(name, one)| {
            let needed = record.get(name)?.without(&one.own);
            let lacking = needed.without(&one.former);
            let role = one.role.clone();
            (!lacking.is_empty()).then(|| (name.clone(), Restored { role, lacking, needed }))
        })
        .collect();
    let refused = |differs: bool| {
        let beyond = roles.iter().flat_map(|(name, one)| lines(name, &one.lacking));
        Refusal {
            differs,
            beyond: beyond.collect(),
        }
    };
    match prove(label, record) {
        Proof::Differs => Err(refused(true)),
        Proof::Unknown if !roles.is_empty() => Err(refused(false)),
        Proof::Unknown => Ok(nothing),
        Proof::Proven => Ok(Restoration { roles, ..nothing }),
    }
}

impl Restoration {
    /// Whether nothing is given back.
    pub fn is_nothing(&self) -> bool {
        self.roles.is_empty()
    }

    /// For people, a line for each statement.
    pub fn lines(&self) -> Vec<String> {
        self.roles
            .iter()
            .flat_map(|(name, one)| lines(name, &one.lacking))
            .collect()
    }
}

/// Longest line that is shown of a statement.
const LONGEST_LINE: usize = 300;

/// Statements for people. They may come from a record that anybody wrote: nothing in them reaches the terminal as it is.
fn lines(function: &str, document: &Document) -> Vec<String> {
    let line = |statement: &Statement| {
        let Statement {
            effect,
            principals: _,
            not_principals: _,
            actions,
            not_actions,
            resources,
            not_resources,
            conditions,
        } = statement;
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        let but = |plain: &BTreeSet<String>, not: &BTreeSet<String>| match not.is_empty() {
            true => join(plain),
            false => format!("everything but {}", join(not)),
        };
        let when = match conditions.is_empty() {
            true => String::new(),
            false => format!(" if {}", serde_json::to_string(conditions).unwrap_or_default()),
        };
        let text = format!(
            "{function}: {effect:?} {} on {}{when}",
            but(actions, not_actions),
            but(resources, not_resources)
        );
        let plain: String = text
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
            .collect();
        match plain.len() > LONGEST_LINE {
            true => format!("{}…", &plain[..LONGEST_LINE]),
            false => plain,
        }
    };
    document.statements().values().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(resource: &str) -> Grants {
        let statement = Statement::allow(&["s3:GetObject"], [resource.to_owned()]);
        BTreeMap::from([("users".to_owned(), Document::new([("A".to_owned(), statement)]))])
    }

    fn label(grants: Option<String>) -> ReleaseLabel {
        ReleaseLabel {
            number: 3,
            fingerprint: "0123456789abcdef".to_owned(),
            versions: BTreeMap::new(),
            callers: BTreeMap::new(),
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

    /// If the hash changes, no existing label can be believed any more.
    #[test]
    fn a_record_is_believed_when_its_release_stands_and_does_not_deny_it() {
        let labels = BTreeMap::from([(1, label(Some(hash(&grants("a"))))), (2, label(None))]);
        let believed = |release, allowed| is_believed(&labels, release, &grants(allowed));
        assert_eq!((believed(1, "a"), believed(1, "b")), (true, false));
        assert_eq!((believed(2, "a"), believed(3, "a")), (true, false));
    }

    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(hash(&grants("a")), "5031f4392717ccb412b560bcfff12dde");
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

    fn in_place(own: &str) -> BTreeMap<String, InPlace> {
        let role = InPlace {
            role: "shop-dev-users".to_owned(),
            own: grants(own)["users"].clone(),
            former: Document::default(),
        };
        BTreeMap::from([("users".to_owned(), role)])
    }

    #[test]
    fn what_the_label_proves_is_given_back() {
        let label = label(Some(hash(&grants("a"))));
        let back = restoration(&label, Some(&grants("a")), &in_place("b")).map(|back| back.lines());
        assert_eq!(back, Ok(vec!["users: Allow s3:GetObject on a".to_owned()]));
        let mut kept = in_place("b");
        kept.values_mut()
            .for_each(|one| one.former = grants("a")["users"].clone());
        let back = restoration(&label, Some(&grants("a")), &kept);
        assert!(back.is_ok_and(|back| back.is_nothing()), "it is there already");
    }

    #[test]
    fn a_record_with_other_grants_is_refused() {
        let label = label(Some(hash(&grants("a"))));
        let refused = restoration(&label, Some(&grants("\u{1b}[31m*")), &in_place("b"));
        assert_eq!(
            refused,
            Err(Refusal {
                differs: true,
                beyond: vec!["users: Allow s3:GetObject on ?[31m*".to_owned()],
            })
        );
        // Less than the release had is no better: someone else wrote it.
        assert!(restoration(&label, Some(&Grants::new()), &in_place("b")).is_err());
        // What is in place is what the release was made with: no record is needed.
        let back = restoration(&label, Some(&grants("*")), &in_place("a"));
        assert!(back.is_ok_and(|back| back.is_nothing()));
    }

    #[test]
    fn grants_that_nothing_proves_are_not_given() {
        let refused = restoration(&label(None), Some(&grants("a")), &in_place("b"));
        assert!(refused.is_err_and(|refusal| !refusal.differs));
        let back = restoration(&label(None), Some(&grants("a")), &in_place("a"));
        assert!(back.is_ok_and(|back| back.is_nothing()), "what it had is in place");
        let lost = restoration(&label(None), None, &in_place("a"));
        assert!(lost.is_ok_and(|back| back.is_unknown && back.is_nothing()));
    }
}
