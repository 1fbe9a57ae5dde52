//! The label of a release: the Description of its API deployment. It says which function versions are behind it and
//! carries the fingerprint of everything the snapshot contains, so that releases can be read back from AWS alone.
//!
//! `r42 3f9a1c2b4d5e6f70 format=2 grants=5f0c… counter=3,health=3,tasks=17 git=1a2b3c4d site=0123456789ab@shop-dev-site-…`
//!
//! Format 1 has neither `format` nor `grants`. Where the versions of many functions would not fit, format 3 has them compressed
//! (`packed=`): names, then versions, deflated, in base64. Formats 4 and 5 are the same for a stack with functions that are called
//! through their alias `live`: a mark after the version says so (`3*` through it alone, `3+` by routes as well). A label of a format that
//! is not known here says its number and fingerprint, no more; what would act on it asks [`too_new`] first.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde::{Deserialize, Serialize};

/// API Gateway keeps at most 1,024 characters of a description.
/// <https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html>
pub const MAX_LENGTH: usize = 1_024;

/// The newest format of labels that is read here: the one of labels that need it.
pub const FORMAT: u32 = 5;
/// The format of labels that fit as they are.
pub const PLAIN: u32 = 2;
/// The same with its versions compressed.
const COMPRESSED: u32 = 3;
/// With marks; the next one has its versions compressed, too.
const MARKED: u32 = 4;

/// What calls a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Callers {
    /// Triggers, schedules, other services, people: through its alias `live` alone.
    Live,
    /// These, and routes of the API.
    Both,
}

impl Callers {
    fn mark(self) -> char {
        match self {
            Self::Live => '*',
            Self::Both => '+',
        }
    }
}

/// What compressed versions may come to, bytes.
const UNPACKED_LIMIT: usize = 1 << 16;

/// A parsed label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseLabel {
    /// Release number, from 1.
    pub number: u64,
    /// Hash over routes, integrations and CORS of the snapshot.
    pub fingerprint: String,
    /// Version by logical function name.
    pub versions: BTreeMap<String, String>,
    /// Functions that are called through their alias `live`; routes alone call the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callers: BTreeMap<String, Callers>,
    /// Commit the code came from, with a trailing `+` when the work tree was not clean.
    pub commit: Option<String>,
    /// Content of each web site, by bucket.
    pub sites: BTreeMap<String, String>,
    /// Format it is written in.
    pub format: u32,
    /// Hash of what the functions' roles allowed when the release was made ([`super::grants::hash`]); none in format 1.
    pub grants: Option<String>,
}

/// A release whose label a newer taskctl wrote.
pub fn too_new<'a>(mut labels: impl Iterator<Item = &'a ReleaseLabel>) -> Option<&'a ReleaseLabel> {
    labels.find(|label| label.format > FORMAT)
}

impl ReleaseLabel {
    /// The same label in the plainest format in which it fits, or the shortest.
    #[must_use]
    pub fn fitting(self) -> Self {
        let format = if self.callers.is_empty() { PLAIN } else { MARKED };
        let plain = Self { format, ..self };
        if plain.length() <= MAX_LENGTH {
            return plain;
        }
        let packed = Self {
            format: format + 1,
            ..plain.clone()
        };
        if packed.length() < plain.length() {
            packed
        } else {
            plain
        }
    }

    /// Whether routes of the API call a function of it.
    pub fn is_routed(&self, function: &str) -> bool {
        self.callers.get(function) != Some(&Callers::Live)
    }

    fn is_packed(&self) -> bool {
        matches!(self.format, COMPRESSED | FORMAT)
    }

    /// Versions with the marks of those that call their functions.
    fn marked(&self) -> BTreeMap<&str, String> {
        let versions = self.versions.iter();
        versions
            .map(|(name, version)| {
                let mark = self.callers.get(name).map(|callers| callers.mark());
                (name.as_str(), version.chars().chain(mark).collect())
            })
            .collect()
    }

    /// Characters that it takes.
    pub fn length(&self) -> usize {
        self.to_string().chars().count()
    }

    /// Reads a description; none when it is not a label.
    pub fn parse(description: &str) -> Option<Self> {
        let mut words = description.split(' ');
        let number = words.next()?.strip_prefix('r')?.parse().ok()?;
        let fingerprint = words
            .next()
            .filter(|word| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let mut versions = BTreeMap::new();
        let mut commit = None;
        let mut sites = BTreeMap::new();
        let mut grants = None;
        let words: Vec<&str> = words.collect();
        let format = words.iter().find_map(|word| word.strip_prefix("format="));
        let format = format.map_or(Some(1), |format| format.parse().ok())?;
        // What the words of a newer format mean is not known here.
        let words = if format > FORMAT { Vec::new() } else { words };
        for word in words {
            if word.starts_with("format=") {
                continue;
            }
            if let Some(found) = word.strip_prefix("grants=").filter(|_| format > 1) {
                grants = Some(found.to_owned());
            } else if let Some(packed) = word.strip_prefix(PACKED).filter(|_| format > PLAIN) {
                versions.extend(unpack(packed)?);
            } else if let Some(found) = word.strip_prefix("git=") {
                commit = Some(found.to_owned());
            } else if let Some((site, bucket)) = word.strip_prefix("site=").and_then(|found| found.split_once('@')) {
                sites.insert(bucket.to_owned(), site.to_owned());
            } else {
                for pair in word.split(',').filter(|pair| !pair.is_empty()) {
                    let (function, version) = pair.split_once('=')?;
                    versions.insert(function.to_owned(), version.to_owned());
                }
            }
        }
        let mut callers = BTreeMap::new();
        if format >= MARKED {
            for (name, version) in &mut versions {
                let mark = [Callers::Live, Callers::Both]
                    .into_iter()
                    .find(|callers| version.ends_with(callers.mark()));
                if let Some(mark) = mark {
                    version.pop();
                    callers.insert(name.clone(), mark);
                }
            }
        }
        Some(Self {
            number,
            fingerprint: fingerprint.to_owned(),
            versions,
            callers,
            commit,
            sites,
            format,
            grants,
        })
    }
}

impl fmt::Display for ReleaseLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{} {}", self.number, self.fingerprint)?;
        if self.format > 1 {
            write!(f, " format={}", self.format)?;
        }
        if let Some(grants) = &self.grants {
            write!(f, " grants={grants}")?;
        }
        if self.is_packed() {
            write!(f, " {PACKED}{}", pack(&self.marked()))?;
        } else if !self.versions.is_empty() {
            let pairs: Vec<String> = self
                .marked()
                .iter()
                .map(|(name, version)| format!("{name}={version}"))
                .collect();
            write!(f, " {}", pairs.join(","))?;
        }
        if let Some(commit) = &self.commit {
            write!(f, " git={commit}")?;
        }
        for (bucket, site) in &self.sites {
            write!(f, " site={site}@{bucket}")?;
        }
        Ok(())
    }
}

/// What comes before compressed versions.
const PACKED: &str = "packed=";

/// Versions by function, compressed.
fn pack(versions: &BTreeMap<&str, String>) -> String {
    let join = |texts: Vec<&str>| texts.join(",");
    let names = join(versions.keys().copied().collect());
    let numbers = join(versions.values().map(String::as_str).collect());
    URL_SAFE_NO_PAD.encode(compress_to_vec(format!("{names};{numbers}").as_bytes(), 10))
}

fn unpack(packed: &str) -> Option<BTreeMap<String, String>> {
    let packed = URL_SAFE_NO_PAD.decode(packed).ok()?;
    let text = decompress_to_vec_with_limit(&packed, UNPACKED_LIMIT).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (names, numbers) = text.split_once(';')?;
    let split = |text: &str| -> Vec<String> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (names, numbers) = (split(names), split(numbers));
    (names.len() == numbers.len()).then(|| names.into_iter().zip(numbers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A label of so many functions that are called like this, with a commit and a web site.
    fn of_many(names: impl Iterator<Item = String>) -> ReleaseLabel {
        ReleaseLabel {
            number: 1_234,
            fingerprint: "0123456789abcdef".to_owned(),
            versions: names
                .zip(1..)
                .map(|(name, number)| (name, (number * 7 % 300).to_string()))
                .collect(),
            callers: BTreeMap::new(),
            commit: Some("0123abcd+".to_owned()),
            sites: BTreeMap::from([(
                "shop-production-site-123456789012-eu-central-1".to_owned(),
                "0123456789ab".to_owned(),
            )]),
            format: PLAIN,
            grants: Some("0123456789abcdef".repeat(2)),
        }
    }

    proptest! {
        /// However many functions there are: what fits stays as it was, what does not gets shorter, and all is read again.
        #[test]
        fn a_label_takes_the_plainest_format_that_fits(
            names in prop::collection::btree_set("[a-z][a-z0-9-]{0,30}", 0..120),
            marks in prop::collection::vec(prop::option::of(any::<bool>()), 120),
        ) {
            let callers = names.iter().zip(marks).filter_map(|(name, mark)| {
                Some((name.clone(), if mark? { Callers::Live } else { Callers::Both }))
            });
            let callers: BTreeMap<String, Callers> = callers.collect();
            let format = if callers.is_empty() { PLAIN } else { MARKED };
            let plain = ReleaseLabel { callers, format, ..of_many(names.into_iter()) };
            let label = plain.clone().fitting();
            match plain.length() <= MAX_LENGTH {
                true => prop_assert_eq!(&label, &plain),
                false => prop_assert!(label.length() <= plain.length()),
            }
            prop_assert_eq!(ReleaseLabel::parse(&label.to_string()), Some(label));
        }
    }

    /// A hundred and twenty functions with names of people's, which once was refused beyond sixty.
    #[test]
    fn labels_of_large_stacks_fit() {
        let nouns = "order customer invoice payment refund basket product price stock shipment address coupon";
        let verbs = "create get list update delete search export import notify archive";
        let nouns = nouns
            .split(' ')
            .flat_map(|noun| verbs.split(' ').map(move |verb| format!("{noun}-{verb}")));
        let label = of_many(nouns);
        assert_eq!(label.versions.len(), 120);
        assert!(label.length() > MAX_LENGTH + MAX_LENGTH / 2, "{}", label.length());
        let length = label.fitting().length();
        assert!(length <= MAX_LENGTH, "{length}");
    }

    #[test]
    fn what_is_not_packed_is_no_label() {
        for packed in ["", "!", "AAAA", &pack(&BTreeMap::from([("a,b", "1".to_owned())]))] {
            let text = format!("r3 0123456789abcdef format=3 grants=aa {PACKED}{packed}");
            assert_eq!(ReleaseLabel::parse(&text), None, "{packed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in 1u64..1_000_000,
            versions in prop::collection::btree_map("[a-z][a-z0-9-]{0,20}", 1u32..1_000, 0..20),
            commit in prop::option::of("[0-9a-f]{8}\\+?"),
            sites in prop::collection::btree_map("[a-z][a-z0-9-]{2,20}", "[0-9a-f]{12}", 0..2),
            grants in prop::option::of("[0-9a-f]{32}"),
        ) {
            let label = ReleaseLabel {
                number,
                fingerprint: "0123456789abcdef".to_owned(),
                versions: versions.into_iter().map(|(name, version)| (name, version.to_string())).collect(),
                callers: BTreeMap::new(),
                commit,
                sites,
                format: if grants.is_some() { PLAIN } else { 1 },
                grants,
            };
            prop_assert_eq!(ReleaseLabel::parse(&label.to_string()), Some(label));
        }
    }

    #[test]
    fn labels_of_other_formats() {
        let former = ReleaseLabel::parse("r3 0123456789abcdef tasks=1 git=1a2b3c4d");
        assert_eq!(
            former.map(|label| (label.format, label.grants, label.versions.len())),
            Some((1, None, 1))
        );
        let newer = ReleaseLabel::parse("r3 0123456789abcdef format=9 tasks:1 what=ever@");
        assert_eq!(
            newer
                .as_ref()
                .map(|label| (label.number, label.format, label.versions.len())),
            Some((3, 9, 0))
        );
        assert_eq!(too_new(newer.iter()).map(|label| label.number), Some(3));
    }

    /// Forty functions, a commit and a web site find room beside the hash.
    #[test]
    fn a_label_of_a_large_stack_fits() {
        let label = ReleaseLabel {
            versions: (0..40)
                .map(|n| (format!("function-no-{n}"), "100".to_owned()))
                .collect(),
            ..of_many(std::iter::empty())
        };
        assert!(label.to_string().len() <= MAX_LENGTH, "{}", label.to_string().len());
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for text in [
            "",
            "r1",
            "hello world",
            "r1 short",
            "rx 0123456789abcdef",
            "r1 0123456789abcdef a,b",
        ] {
            assert_eq!(ReleaseLabel::parse(text), None, "{text}");
        }
    }
}
