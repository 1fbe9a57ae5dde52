//! The label of a release: the Description of its API deployment. It says which function versions are behind it and
//! carries the fingerprint of everything the snapshot contains, so that releases can be read back from AWS alone.
//!
//! `r42 3f9a1c2b4d5e6f70 format=2 grants=5f0c… counter=3,health=3,tasks=17 git=1a2b3c4d site=0123456789ab@shop-dev-site-…`
//!
//! Format 1 has neither `format` nor `grants`. A label of a format that is not known here says its number and fingerprint, no
//! more; what would act on it asks [`too_new`] first.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// API Gateway keeps at most 1,024 characters of a description.
/// <https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html>
pub const MAX_LENGTH: usize = 1_024;

/// The newest format of labels that is read here, and the one that is written.
pub const FORMAT: u32 = 2;

/// A parsed label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseLabel {
    /// Release number, from 1.
    pub number: u64,
    /// Hash over routes, integrations and CORS of the snapshot.
    pub fingerprint: String,
    /// Version by logical function name.
    pub versions: BTreeMap<String, String>,
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
        Some(Self {
            number,
            fingerprint: fingerprint.to_owned(),
            versions,
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
        if !self.versions.is_empty() {
            let pairs: Vec<String> = self
                .versions
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
                commit,
                sites,
                format: if grants.is_some() { FORMAT } else { 1 },
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
            number: 1_234,
            fingerprint: "0123456789abcdef".to_owned(),
            versions: (0..40)
                .map(|n| (format!("function-no-{n}"), "100".to_owned()))
                .collect(),
            commit: Some("0123abcd+".to_owned()),
            sites: BTreeMap::from([(
                "shop-production-site-123456789012-eu-central-1".to_owned(),
                "0123456789ab".to_owned(),
            )]),
            format: FORMAT,
            grants: Some("0".repeat(32)),
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
